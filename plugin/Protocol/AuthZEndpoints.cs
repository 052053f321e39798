// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>The authorization protocol. A decision is always status 200.</summary>
static class AuthZEndpoints
{
    /// <summary>On a call that is not to be done: its sender asks what would become of it. In the spelling in which the
    /// engine passes header names on.</summary>
    public const string DryRunHeader = "X-Gpu-Memory-Ask";

    /// <summary>Called before the engine executes an API call.</summary>
    public const string BeforePath = "/AuthZPlugin.AuthZReq";

    /// <summary>Called after an API call, before the engine sends its answer.</summary>
    public const string AfterPath = "/AuthZPlugin.AuthZRes";

    /// <summary>Maps both paths to the <see cref="IAuthorizer"/>. A request that cannot be read is denied before a call
    /// and allowed after it: the call is done.</summary>
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
