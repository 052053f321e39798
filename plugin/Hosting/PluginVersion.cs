// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Hosting;

/// <summary>The version of everything that is built together, from <c>Directory.Build.props</c>:
/// <c>0.2.0</c>.</summary>
static partial class PluginVersion
{
    /// <summary>Three numbers. The log's first line and <c>docker volume inspect</c> show it.</summary>
    public static string Text { get; } = typeof(PluginVersion).Assembly.GetName().Version!.ToString(3);

    /// <summary>The log's first line.</summary>
    [LoggerMessage(1, LogLevel.Information, "version {Version} starts")]
    public static partial void LogStart(ILogger logger, string version);
}
