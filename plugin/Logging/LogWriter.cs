// SPDX-License-Identifier: Apache-2.0
using System.Globalization;

namespace Runai.GpuMemory.Logging;

/// <summary>Writes lines to the engine, in a thread of its own. No caller waits for it: while the engine does not read,
/// what does not fit into the queue is dropped and counted.</summary>
/// <remarks>Not the framework's console logger: after a failed write it makes every caller write, and its line about
/// what it dropped has no prefix.</remarks>
sealed class LogWriter : IDisposable
{
    /// <summary>Some 5,000 ordinary lines.</summary>
    public const int MaxQueuedBytes = 1 << 20;
    static readonly TimeSpan FlushTimeout = TimeSpan.FromSeconds(1);

    readonly Stream _output,
        _error;
    readonly Queue<(byte[] Line, bool IsError)> _queue = new();
    readonly Lock _lock = new();
    readonly SemaphoreSlim _lines = new(0);
    readonly Thread _thread;
    int _queuedBytes,
        _dropped;
    bool _ended;

    /// <param name="output">The engine takes its lines for information.</param>
    /// <param name="error">The engine takes its lines for errors.</param>
    public LogWriter(Stream output, Stream error)
    {
        (_output, _error) = (output, error);
        _thread = new(WriteAll) { IsBackground = true, Name = "log" };
        _thread.Start();
    }

    /// <summary>Never waits for the streams.</summary>
    public void Write(byte[] line, bool isError)
    {
        lock (_lock)
        {
            if (_ended || _queuedBytes + line.Length > MaxQueuedBytes)
            {
                _dropped++;
                return;
            }
            _queue.Enqueue((line, isError));
            _queuedBytes += line.Length;
        }
        _lines.Release();
    }

    /// <summary>Waits a second for what is queued.</summary>
    public void Dispose()
    {
        lock (_lock)
            _ended = true;
        _lines.Release();
        if (_thread.Join(FlushTimeout))
            _lines.Dispose();
    }

    void WriteAll()
    {
        while (true)
        {
            _lines.Wait();
            var (line, isError, dropped) = Next();
            if (line is null)
                return;
            TryWrite(line, isError);
            if (dropped > 0)
                TryWrite(
                    LogLine.Format(LogLevel.Warning, new(10), nameof(Runai) + ".GpuMemory", Dropped(dropped), null),
                    isError: false
                );
        }
    }

    static string Dropped(int lines) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{lines} lines of this log were dropped: the engine did not read them in time"
        );

    (byte[]? Line, bool IsError, int Dropped) Next()
    {
        lock (_lock)
        {
            if (!_queue.TryDequeue(out var next))
                return (null, false, 0);
            _queuedBytes -= next.Line.Length;
            var dropped = _dropped;
            _dropped = 0;
            return (next.Line, next.IsError, dropped);
        }
    }

    void TryWrite(byte[] line, bool isError)
    {
        try
        {
            (isError ? _error : _output).Write(line);
        }
        catch (Exception)
        {
            // There is nowhere to say it, and the next line may find a reader.
            lock (_lock)
                _dropped++;
        }
    }
}
