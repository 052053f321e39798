// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Reconciliation;

/// <summary>What a running program has to do with the shim.</summary>
enum ProgramKind
{
    /// <summary>It cannot be told.</summary>
    Unknown,

    /// <summary>It has loaded it.</summary>
    WithShim,

    /// <summary>Its loader would have loaded it, and has not.</summary>
    WithoutShim,

    /// <summary>It is static, or of musl: no preload gets into it.</summary>
    Unreached,
}
