// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The container that each task of a service runs.</summary>
sealed record TaskContainer
{
    /// <summary>As the client wrote it, often with the digest that it found for the tag.</summary>
    public string? Image { get; init; }

    /// <summary><c>--container-label</c>.</summary>
    public IReadOnlyDictionary<string, string>? Labels { get; init; }

    /// <summary><c>NAME=value</c>, or a <c>NAME</c> alone.</summary>
    public IReadOnlyList<string>? Env { get; init; }

    /// <summary><c>--mount</c>. Swarm reads the types in any case, and no type as a bind.</summary>
    public IReadOnlyList<MountSpec?>? Mounts { get; init; }

    /// <summary><c>--read-only</c>.</summary>
    public bool ReadOnly { get; init; }

    /// <summary><c>--cap-add</c>.</summary>
    public IReadOnlyList<string>? CapabilityAdd { get; init; }

    /// <summary>Null: the engine's defaults.</summary>
    public TaskPrivileges? Privileges { get; init; }

    /// <summary><c>--config</c>: files that swarm mounts, by default in the root.</summary>
    public IReadOnlyList<FileReference?>? Configs { get; init; }

    /// <summary><c>--secret</c>: files that swarm mounts, by default in <c>/run/secrets</c>.</summary>
    public IReadOnlyList<FileReference?>? Secrets { get; init; }
}

/// <summary>A config or secret that a service uses.</summary>
sealed record FileReference
{
    /// <summary>Null where it is not mounted as a file.</summary>
    public FileTarget? File { get; init; }
}

/// <summary>Where a config or secret is mounted.</summary>
sealed record FileTarget
{
    /// <summary>Its path in the container.</summary>
    public string? Name { get; init; }
}
