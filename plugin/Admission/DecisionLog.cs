// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission;

/// <summary>One line a decision, about containers that ask for a quota or a GPU and about every refusal.</summary>
sealed partial class DecisionLog(DecisionCounts counts, TimeProvider time, ILogger<DecisionLog> log)
{
    /// <summary>A timestamp from which <see cref="Write"/> counts the milliseconds.</summary>
    public long Start() => time.GetTimestamp();

    /// <summary>Logs a decision, except for an allowed call that asks for neither a quota nor a GPU.</summary>
    /// <param name="route">The API call.</param>
    /// <param name="who">Empty: a caller on the unix socket.</param>
    /// <param name="container">Name or ID; empty while it has none.</param>
    /// <param name="spec">Null where the call could not be read.</param>
    /// <param name="verdict">The decision.</param>
    /// <param name="started">From <see cref="Start"/>.</param>
    public void Write(RouteKind route, string who, string container, ContainerSpec? spec, Verdict verdict, long started)
    {
        var ms = time.GetElapsedTime(started).TotalMilliseconds;
        var gpu = verdict.Gpu ?? "none";
        var quota = (spec?.Quota ?? verdict.Quota?.Text) is { } text ? Quoted.Text(text) : "none";
        Count(spec, verdict);
        if (!verdict.IsAllowed)
            LogDenied(
                log,
                route,
                Quoted.Text(who),
                Quoted.Text(container),
                Quoted.Text(spec?.Image),
                gpu,
                quota,
                string.Join(',', verdict.Reasons.Select(r => r.Rule)),
                ms,
                verdict.Message
            );
        else if (verdict.Audited.Count > 0)
            LogAudited(
                log,
                route,
                Quoted.Text(who),
                Quoted.Text(container),
                Quoted.Text(spec?.Image),
                gpu,
                quota,
                string.Join(',', verdict.Audited.Select(r => r.Rule)),
                ms,
                string.Join("; ", verdict.Audited.Select(r => r.Message))
            );
        else if (spec is { IsRelevant: true })
            LogAllowed(
                log,
                route,
                Quoted.Text(who),
                Quoted.Text(container),
                Quoted.Text(spec.Image),
                gpu,
                quota,
                RuleOf(verdict),
                ms
            );
    }

    /// <summary>What is logged is counted.</summary>
    void Count(ContainerSpec? spec, Verdict verdict)
    {
        if (!verdict.IsAllowed)
            counts.Add(new(false, verdict.Reasons[0].Rule));
        else if (verdict.Audited.Count > 0)
            counts.Add(new(true, verdict.Audited[0].Rule));
        else if (spec is { IsRelevant: true })
            counts.Add(new(true, RuleOf(verdict)));
    }

    /// <summary>Writes it down, and says it to the engine.</summary>
    public AuthZAnswer Answer(
        RouteKind route,
        AuthZRequest apiCall,
        string container,
        ContainerSpec? spec,
        Verdict verdict,
        long started
    )
    {
        Write(route, apiCall.User ?? "", container, spec, verdict, started);
        return verdict.IsAllowed ? AuthZAnswer.Allowed : AuthZAnswer.Denied(verdict.Message);
    }

    /// <summary>The same about a call of which no container was read.</summary>
    public AuthZAnswer Answer(EngineRoute route, AuthZRequest apiCall, Verdict verdict) =>
        Answer(route.Kind, apiCall, route.Name, null, verdict, Start());

    /// <summary>A dry run of a call.</summary>
    public void WriteDryRun(EngineRoute route, string who, ContainerSpec? spec, Verdict verdict, long started) =>
        LogAsked(
            log,
            route.Kind,
            Quoted.Text(who),
            Quoted.Text(route.Name),
            Quoted.Text(spec?.Image),
            verdict.Gpu ?? "none",
            verdict.Quota?.Text ?? "none",
            verdict.IsAllowed ? "allowed" : string.Join(',', verdict.Reasons.Select(r => r.Rule)),
            time.GetElapsedTime(started).TotalMilliseconds
        );

    static string RuleOf(Verdict verdict) =>
        verdict switch
        {
            { Quota: null } => "gpu-without-quota",
            { Gpu: null } => "quota-without-gpu",
            _ => "quota",
        };

    [LoggerMessage(
        600,
        LogLevel.Information,
        "allowed {Route} user={User} container={Container} image={Image} gpu={Gpu} quota={Quota} rule={Rule} "
            + "ms={Ms:0.0}"
    )]
    static partial void LogAllowed(
        ILogger logger,
        RouteKind route,
        string user,
        string container,
        string image,
        string gpu,
        string quota,
        string rule,
        double ms
    );

    [LoggerMessage(
        601,
        LogLevel.Warning,
        "denied {Route} user={User} container={Container} image={Image} gpu={Gpu} quota={Quota} rule={Rule} "
            + "ms={Ms:0.0} reason={Reason}"
    )]
    static partial void LogDenied(
        ILogger logger,
        RouteKind route,
        string user,
        string container,
        string image,
        string gpu,
        string quota,
        string rule,
        double ms,
        string reason
    );

    [LoggerMessage(
        607,
        LogLevel.Information,
        "asked about {Route} user={User} container={Container} image={Image} gpu={Gpu} quota={Quota} "
            + "rule={Rule} ms={Ms:0.0}"
    )]
    static partial void LogAsked(
        ILogger logger,
        RouteKind route,
        string user,
        string container,
        string image,
        string gpu,
        string quota,
        string rule,
        double ms
    );

    [LoggerMessage(
        604,
        LogLevel.Warning,
        "audit: would be denied {Route} user={User} container={Container} image={Image} gpu={Gpu} "
            + "quota={Quota} rule={Rule} ms={Ms:0.0} reason={Reason}"
    )]
    static partial void LogAudited(
        ILogger logger,
        RouteKind route,
        string user,
        string container,
        string image,
        string gpu,
        string quota,
        string rule,
        double ms,
        string reason
    );
}
