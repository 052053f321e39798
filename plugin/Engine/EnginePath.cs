// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>Names as parts of a URL's path. Dot segments are refused, because no escaping keeps them from changing the
/// path.</summary>
static class EnginePath
{
    /// <summary>One escaped segment. Throws <see cref="EngineException"/> with 404 for what can be no object's name:
    /// empty, <c>.</c> and <c>..</c>.</summary>
    public static string Segment(string name)
    {
        if (name is "" or "." or "..")
            throw new EngineException($"'{name}' names no object of the engine", 404);
        return Uri.EscapeDataString(name);
    }

    /// <summary>For image names, whose slashes are the path's.</summary>
    public static string Segments(string name) => string.Join('/', name.Split('/').Select(Segment));
}
