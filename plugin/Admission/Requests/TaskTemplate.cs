// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>What each task of a service runs: a container, or a plugin.</summary>
sealed record TaskTemplate
{
    /// <summary>Null if the tasks are not containers.</summary>
    public TaskContainer? ContainerSpec { get; init; }

    /// <summary>Installs a plugin on every node.</summary>
    public NoMembers? PluginSpec { get; init; }

    /// <summary>Networks that the tasks join.</summary>
    public IReadOnlyList<NetworkAttachment?>? Networks { get; init; }

    /// <summary>Null if the task reserves nothing.</summary>
    public TaskResources? Resources { get; init; }
}

/// <summary>A network that the tasks join.</summary>
sealed record NetworkAttachment
{
    /// <summary>A name or an ID.</summary>
    public string? Target { get; init; }
}
