// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Gpu;

/// <summary>What was found behind a path of the host.</summary>
/// <param name="Kind">What the path leads to.</param>
/// <param name="Node">The GPU node found, as a path on the host; null unless <paramref name="Kind"/> is
/// <see cref="DevicePathKind.Gpu"/>.</param>
sealed record DevicePath(DevicePathKind Kind, string? Node = null);
