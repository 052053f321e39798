// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Requests;

sealed record TaskContainer
{
    public string? Image { get; init; }
    public IReadOnlyDictionary<string, string>? Labels { get; init; }
    public IReadOnlyList<string>? Env { get; init; }
    public IReadOnlyList<MountSpec?>? Mounts { get; init; }
    public bool ReadOnly { get; init; }
    public IReadOnlyList<string>? CapabilityAdd { get; init; }
    public TaskPrivileges? Privileges { get; init; }
    public IReadOnlyList<FileReference?>? Configs { get; init; }
    public IReadOnlyList<FileReference?>? Secrets { get; init; }
}

/// <summary>A config or secret that a service uses.</summary>
sealed record FileReference
{
    public FileTarget? File { get; init; }
}

sealed record FileTarget
{
    /// <summary>Its path in the container.</summary>
    public string? Name { get; init; }
}
