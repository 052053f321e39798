// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Status.Checks;

/// <summary>One key of the <c>config.toml</c> of NVIDIA's container toolkit, which is before the file's first
/// table.</summary>
static class ToolkitConfiguration
{
    const string Key = "swarm-resource";
    const int MaxBytes = 64 << 10;

    /// <summary>The variables whose values the toolkit takes for GPUs, divided by commas.</summary>
    /// <returns>Null where there is no such file or key.</returns>
    public static string? SwarmResource(string path)
    {
        if (ServedFile.TryReadUntrusted(path, MaxBytes) is not { } content)
            return null;
        foreach (var line in Encoding.UTF8.GetString(content).Split('\n').Select(line => line.Trim()))
        {
            if (line.StartsWith('['))
                return null;
            if (line.Split('=', 2) is [var key, var value] && key.Trim().Trim('"', '\'') == Key)
                return Text(value.Trim());
        }
        return null;
    }

    /// <summary>A string of TOML on one line, without what is behind it.</summary>
    static string? Text(string value) =>
        value is [('"' or '\'') and var quote, .. var rest] && rest.IndexOf(quote) is > 0 and var end
            ? rest[..end]
            : null;
}
