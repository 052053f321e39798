// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Requests;

/// <summary>The body of <c>POST /volumes/create</c>, as far as it matters.</summary>
sealed record VolumeBody
{
    public string? Name { get; init; }
    public string? Driver { get; init; }
    public IReadOnlyDictionary<string, string>? DriverOpts { get; init; }
}
