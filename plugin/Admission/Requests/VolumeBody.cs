// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The body of <c>POST /volumes/create</c>, as far as it matters.</summary>
sealed record VolumeBody
{
    /// <summary>Empty: the engine makes up a name.</summary>
    public string? Name { get; init; }

    /// <summary>Empty: the local driver.</summary>
    public string? Driver { get; init; }

    /// <summary><c>-o NAME=VALUE</c>, as the driver reads them.</summary>
    public IReadOnlyDictionary<string, string>? DriverOpts { get; init; }
}
