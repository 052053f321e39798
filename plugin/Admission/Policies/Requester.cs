// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Policies;

/// <summary>Who asks. <paramref name="Name"/> is the common name of the TLS client certificate, empty on the unix
/// socket.</summary>
sealed record Requester(string Name, bool IsAdmin)
{
    /// <summary>For containers that no API call started: restart policies, engine boot, swarm.</summary>
    public static Requester Engine { get; } = new("", true);
}
