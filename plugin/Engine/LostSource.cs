// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>The setting <c>NAME.source</c>: what was set, and what is mounted.</summary>
sealed record LostSource(string Name, string Set, string Mounted);
