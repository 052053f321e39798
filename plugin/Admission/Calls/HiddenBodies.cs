// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Protocol;

namespace Runai.GpuMemory.Admission.Calls;

/// <summary>Bodies of API calls that count and that the engine does not pass on.</summary>
static class HiddenBodies
{
    /// <summary>Null, or what is wrong, for the caller.</summary>
    /// <param name="call">The call.</param>
    /// <param name="kind">Which one.</param>
    /// <param name="policy">The policy in force.</param>
    public static string? FindProblem(AuthZRequest call, RouteKind kind, PolicySettings policy)
    {
        if (kind is RouteKind.Exempt or RouteKind.Unknown || call.RequestBody is { Length: > 0 })
            return null;
        if (call.RequestHeaders.Find("Content-Type")?.Contains("form", StringComparison.OrdinalIgnoreCase) == true)
            return "the body of this call is a form, whose values count before those of the URI, and the engine does "
                + "not pass it on: put them into the URI, and send no body, or one of another type "
                + "(application/json, or application/x-tar for a build)";
        return !policy.IsBuiltIn && ReadsBodyFirst(kind) && MayHaveBody(call)
            ? "the engine did not pass on the body of this call, which it reads before it looks for the "
                + "container: send none (Content-Length: 0), or JSON of less than 1 MiB with the type "
                + "application/json"
            : null;
    }

    /// <summary>A body that comes slowly would let the name mean another container by then. Of two headers of one name
    /// the engine reads the first and passes on the last.</summary>
    static bool ReadsBodyFirst(RouteKind kind) =>
        kind is RouteKind.ContainerRename or RouteKind.Commit or RouteKind.Checkpoint;

    /// <summary>Without a type engines read none; its length stands in no header where it comes in chunks.</summary>
    static bool MayHaveBody(AuthZRequest call) =>
        call.RequestMethod == "POST"
        && call.RequestHeaders.Find("Content-Type") is not null
        && call.RequestHeaders.Find("Content-Length") != "0";
}
