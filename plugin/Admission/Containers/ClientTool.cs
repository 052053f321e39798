// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Admission.Containers;

/// <summary>Into what the caller types, as far as the labels and the kind of the call show.</summary>
enum ClientTool
{
    /// <summary><c>docker run</c>, and what is like it.</summary>
    Run,

    /// <summary>A Compose file, for a container or for a stack.</summary>
    Compose,

    /// <summary><c>docker service create</c>.</summary>
    Service,
}
