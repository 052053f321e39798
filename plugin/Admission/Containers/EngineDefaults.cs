// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>The engine's default runtime. It stands in no create body; an inspected container names its
/// runtime.</summary>
sealed class EngineDefaults(IEngineClient engine, TimeProvider time)
{
    static readonly TimeSpan MaxAge = TimeSpan.FromMinutes(1);
    long _readAt;

    /// <summary>A name that no runtime has: while the default is unknown, it may be NVIDIA's.</summary>
    const string Unknown = "?";

    /// <summary>As last read.</summary>
    public string Runtime { get; private set; } = Unknown;

    /// <summary>Reads it again when it is older than a minute (a SIGHUP to the engine can change it). A failure leaves
    /// the last one.</summary>
    public async ValueTask<string?> ReadRuntimeAsync(CancellationToken cancel)
    {
        if (_readAt != 0 && time.GetElapsedTime(_readAt) < MaxAge)
            return Runtime;
        try
        {
            Runtime = (await engine.InfoAsync(cancel)).DefaultRuntime;
            _readAt = time.GetTimestamp();
        }
        catch (EngineException) { }
        return Runtime;
    }
}
