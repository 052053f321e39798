// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>The specification that a service had before the one in force.</summary>
/// <param name="Version">Of the service as it is now; an update has to name it.</param>
/// <param name="Spec">JSON, as the body that made it so; null where it never had another.</param>
sealed record PreviousService(ulong Version, byte[]? Spec);
