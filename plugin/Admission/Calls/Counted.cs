// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Calls;

/// <summary>What <see cref="JudgedCalls"/> counts by.</summary>
enum Counted
{
    /// <summary>That the URI names.</summary>
    Container,

    /// <summary>A TLS name; empty on the unix socket.</summary>
    Caller,

    /// <summary>A container that the body names, or in which an exec is, or whose reach is judged.</summary>
    Reached,

    /// <summary>A volume that the body names.</summary>
    Volume,
}
