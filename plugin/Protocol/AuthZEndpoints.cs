namespace Runai.GpuMemory.Protocol;

/// <summary>Decides about API calls. Neither method throws for what is none of this plugin's business.</summary>
public interface IAuthorizer
{
    /// <summary>Whether a call is any of this plugin's business. If not, it is allowed without being looked at more
    /// closely.</summary>
    bool NeedsDecision(string method, string uri);

    /// <summary>Whether a call of this method that has the header <see cref="AuthZEndpoints.DryRunHeader"/> is a
    /// question, of concern whatever it is about.</summary>
    bool MayBeDryRun(string method);

    /// <summary>Before the engine does it.</summary>
    ValueTask<AuthZAnswer> BeforeAsync(AuthZRequest apiCall, CancellationToken cancel);

    /// <summary>The denial of a call that was not read.</summary>
    /// <param name="problem">For the caller.</param>
    /// <param name="method">Null where the call's begin did not say it.</param>
    /// <param name="uri">As the method.</param>
    AuthZAnswer Unread(string problem, string? method, string? uri);

    /// <summary>After the engine did it: a denial would hide the answer from the user and undo nothing.</summary>
    ValueTask<AuthZAnswer> AfterAsync(AuthZRequest apiCall, CancellationToken cancel);
}

/// <summary>The authorization protocol. A decision is always status 200.</summary>
public static class AuthZEndpoints
{
    /// <summary>On a call that is not to be done: its sender asks what would become of it. In the spelling in which the
    /// engine passes header names on.</summary>
    public const string DryRunHeader = "X-Gpu-Memory-Ask";
    public const string BeforePath = "/AuthZPlugin.AuthZReq";
    public const string AfterPath = "/AuthZPlugin.AuthZRes";

    public static IEndpointRouteBuilder MapAuthZPlugin(this IEndpointRouteBuilder app)
    {
        var authorizer = app.ServiceProvider.GetRequiredService<IAuthorizer>();
        var json = AuthZJson.Default.AuthZRequest;
        var answer = AuthZJson.Default.AuthZAnswer;
        app.MapPluginCall(
            BeforePath,
            json,
            answer,
            authorizer.BeforeAsync,
            (problem, begin) =>
                AuthZPeek.TryRead(begin.Span, out var method, out var uri)
                    ? authorizer.Unread(problem, method, uri)
                    : authorizer.Unread(problem, null, null)
        );
        app.MapPluginCall(AfterPath, json, answer, authorizer.AfterAsync, (_, _) => AuthZAnswer.Allowed);
        return app;
    }
}
