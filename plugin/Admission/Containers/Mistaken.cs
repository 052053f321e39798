// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Containers;

/// <summary>A mount where one of ours was meant: of another volume by one of our names, or at the place of
/// ours.</summary>
/// <param name="Source">The volume's name, or a path of the host.</param>
/// <param name="Driver">Of the volume. Null: not known; empty: the engine has it for a driver that is not
/// there.</param>
/// <param name="Target">A clean absolute path in the container.</param>
/// <param name="IsNamesake">Whether a volume of ours has this name.</param>
/// <param name="IsAsked">Whether the caller names the driver.</param>
sealed record Mistaken(string Source, string? Driver, string Target, bool IsNamesake, bool IsAsked = false);
