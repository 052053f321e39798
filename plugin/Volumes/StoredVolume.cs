// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>A volume as its file has it.</summary>
sealed record StoredVolume(string Name, string? GpuMemory, string? Owner = null);
