namespace Runai.GpuMemory.Protocol;

/// <summary>Decides about API calls. Neither method throws for what is none of this plugin's business.</summary>
public interface IAuthorizer
{
    /// <summary>Before the engine does it.</summary>
    ValueTask<AuthZAnswer> BeforeAsync(AuthZRequest apiCall, CancellationToken cancel);
    /// <summary>After the engine did it: a denial would hide the answer from the user and undo nothing.</summary>
    ValueTask<AuthZAnswer> AfterAsync(AuthZRequest apiCall, CancellationToken cancel);
}

/// <summary>The authorization protocol. A decision is always status 200.</summary>
public static class AuthZPlugin
{
    public static IEndpointRouteBuilder MapAuthZPlugin(this IEndpointRouteBuilder app)
    {
        var authorizer = app.ServiceProvider.GetRequiredService<IAuthorizer>();
        var (json, answer) = (AuthZJson.Default.AuthZRequest, AuthZJson.Default.AuthZAnswer);
        app.MapPluginCall("/AuthZPlugin.AuthZReq", json, answer, authorizer.BeforeAsync, AuthZAnswer.Denied);
        app.MapPluginCall("/AuthZPlugin.AuthZRes", json, answer, authorizer.AfterAsync, _ => AuthZAnswer.Allowed);
        return app;
    }
}
