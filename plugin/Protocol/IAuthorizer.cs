// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>Decides about API calls. Neither method throws for what is none of this plugin's business.</summary>
interface IAuthorizer
{
    /// <summary>Whether a call is any of this plugin's business. If not, it is allowed without being looked at more
    /// closely.</summary>
    bool NeedsDecision(string method, string uri);

    /// <summary>Whether a call of this method that has the header <see cref="AuthZEndpoints.DryRunHeader"/> is a dry
    /// run, which needs a decision whatever it is about.</summary>
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
