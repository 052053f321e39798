// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>The files of one version in the store.</summary>
/// <param name="Folder">Where they are.</param>
/// <param name="Names">Paths in there, and in a private directory.</param>
sealed record ShimFiles(string Folder, IReadOnlyList<string> Names);
