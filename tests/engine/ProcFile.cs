// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.EngineTests;

/// <summary>Files of processes and threads, which may end between a listing and the reading.</summary>
static class ProcFile
{
    /// <summary>Null: it has ended.</summary>
    public static string? TryRead(string path)
    {
        try
        {
            return File.ReadAllText(path);
        }
        catch (IOException)
        {
            return null;
        }
    }
}
