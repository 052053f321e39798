// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Preload;

/// <summary>A folder that some users of a container cannot enter, so that their programs would run without the
/// shim.</summary>
/// <param name="Path">Where it is in the container.</param>
/// <param name="HidesShim">Whether it is above the shim, not only above the file that names it.</param>
sealed record ClosedFolder(string Path, bool HidesShim);
