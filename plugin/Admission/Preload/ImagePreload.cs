// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Preload;

/// <summary>What an image has of the files that the loader reads.</summary>
/// <param name="Text">Of its <c>/etc/ld.so.preload</c>; empty without one.</param>
/// <param name="Has32Bit">Whether it has the loader of 32-bit programs.</param>
/// <param name="NixText">Of its <c>/etc/ld-nix.so.preload</c>; null where it has no programs of Nix.</param>
/// <param name="Closed">A folder on the way to the preload or the shim that is closed to some users; null for
/// none.</param>
sealed record ImagePreload(string Text, bool Has32Bit, string? NixText, ClosedFolder? Closed);
