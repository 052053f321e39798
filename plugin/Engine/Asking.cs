// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>Whether the engine asks this plugin about API calls.</summary>
enum Asking
{
    /// <summary>The engine boots: its API is not served yet.</summary>
    Booting,

    /// <summary>The engine asked this plugin about the ping, so it asks about every call.</summary>
    Yes,

    /// <summary>The engine answered the ping without asking this plugin: its calls are not judged.</summary>
    No,

    /// <summary>The API is served, and another plugin, asked before this one, refuses the question.</summary>
    Denied,

    /// <summary>The API is served, or should be by now, and does not answer.</summary>
    Silent,

    /// <summary>Nothing listens at the engine's socket.</summary>
    Absent,
}
