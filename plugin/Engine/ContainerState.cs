// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>The container's process, as the engine knows it.</summary>
sealed record ContainerState
{
    /// <summary><c>created</c>, <c>running</c>, <c>paused</c>, <c>restarting</c>, <c>removing</c>, <c>exited</c> or
    /// <c>dead</c>.</summary>
    public string Status
    {
        get;
        init => field = value ?? "";
    } = "";

    /// <summary>Also true while the container is paused, or waits for its restart.</summary>
    public bool Running { get; init; }

    /// <summary>In the engine's PID namespace; 0 when not running.</summary>
    public int Pid { get; init; }

    /// <summary>RFC 3339 with nanoseconds, by the host's clock.</summary>
    public string StartedAt
    {
        get;
        init => field = value ?? "";
    } = "";
}
