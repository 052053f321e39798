// SPDX-License-Identifier: Apache-2.0
using Microsoft.Win32.SafeHandles;

namespace Runai.GpuMemory.Logging;

/// <summary>The log as the engine reads it: standard output becomes its information lines, standard error its error
/// lines (20.10 to 28.5; it has no other levels for plugins).</summary>
[ProviderAlias("Plugin")]
sealed class PluginLog(LogWriter writer) : ILoggerProvider
{
    const int StandardOutput = 1,
        StandardError = 2;

    /// <summary>Writes to the standard output and standard error of this process, and leaves them open.</summary>
    public static PluginLog ToEngine() => new(new(Open(StandardOutput), Open(StandardError)));

    public ILogger CreateLogger(string categoryName) => new Logger(categoryName, writer);

    public void Dispose() => writer.Dispose();

    static FileStream Open(int descriptor) =>
        new(new SafeFileHandle(descriptor, ownsHandle: false), FileAccess.Write, bufferSize: 0);

    sealed class Logger(string category, LogWriter writer) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public void Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter
        ) =>
            writer.Write(
                LogLine.Format(logLevel, eventId, category, formatter(state, exception), exception),
                logLevel >= LogLevel.Error
            );
    }
}
