// SPDX-License-Identifier: Apache-2.0
using System.Text;
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Logging;

/// <summary>One line of the log: <c>gpu-memory warning 601: denied …</c>. What stands in the engine's log among other
/// lines is found by the first word.</summary>
static class LogLine
{
    /// <summary>The first word of every line, also of those that <c>Program</c> writes before there is a log.</summary>
    public const string Prefix = "gpu-memory";

    /// <summary>Loggers of ours are named after their classes, which say nothing to a reader. Those of the libraries
    /// are.</summary>
    const string OwnCategory = "Runai.GpuMemory";

    /// <summary>UTF-8 with the newline at the end, at most <see cref="Bounded.MaxBytes"/>; control characters become
    /// spaces.</summary>
    public static byte[] Format(LogLevel level, EventId id, string category, string message, Exception? exception)
    {
        var text = new StringBuilder(Prefix, message.Length + 32).Append(' ').Append(Word(level));
        if (id.Id != 0 && category.StartsWith(OwnCategory, StringComparison.Ordinal))
            text.Append(' ').Append(id.Id);
        text.Append(": ");
        if (!category.StartsWith(OwnCategory, StringComparison.Ordinal))
            text.Append(category).Append(": ");
        text.Append(message, 0, Math.Min(message.Length, Bounded.MaxBytes));
        if (exception is not null)
            text.Append(": ").Append(exception);
        for (var i = 0; i < text.Length && i < Bounded.MaxBytes; i++)
            if (char.IsControl(text[i]) || text[i] is '\u2028' or '\u2029')
                text[i] = ' ';
        return Encoding.UTF8.GetBytes(Bounded.Text(text.ToString(), Bounded.MaxBytes - 1) + '\n');
    }

    static string Word(LogLevel level) =>
        level switch
        {
            LogLevel.Trace or LogLevel.Debug => "debug",
            LogLevel.Information => "info",
            LogLevel.Warning => "warning",
            LogLevel.Error => "error",
            _ => "critical",
        };
}
