// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>A folder as mount tables name it.</summary>
/// <param name="Device">The file system.</param>
/// <param name="Root">The path in it, with a slash at its end.</param>
sealed record Location(string Device, string Root);
