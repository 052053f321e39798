// SPDX-License-Identifier: Apache-2.0
using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;

namespace Runai.GpuMemory.Protocol;

/// <summary>A connection as the web server sees it: what a <see cref="PluginConnection"/> passes on, and what is
/// answered.</summary>
sealed class ServerConnection : ConnectionContext
{
    /// <summary>Inline: whoever has bytes goes on with them. No more in it than this, so that a body of megabytes is
    /// out of it as it comes.</summary>
    static readonly PipeOptions Options = new(
        readerScheduler: PipeScheduler.Inline,
        writerScheduler: PipeScheduler.Inline,
        pauseWriterThreshold: 1 << 17,
        resumeWriterThreshold: 1 << 16,
        useSynchronizationContext: false
    );

    readonly Socket _socket;
    readonly Pipe _calls = new(Options),
        _answers = new(Options);
    readonly CancellationTokenSource _closed = new(); // Never disposed: the server may close what it has let go of.

    public ServerConnection(Socket socket)
    {
        _socket = socket;
        Transport = new Ends(_calls.Reader, _answers.Writer);
        ConnectionClosed = _closed.Token;
    }

    /// <summary>The web server's input. A write waits while 128 KiB are unread.</summary>
    public PipeWriter Calls => _calls.Writer;

    /// <summary>The web server's output; ends when it closes the connection.</summary>
    public PipeReader Answers => _answers.Reader;

    public override string ConnectionId { get; set; } = Guid.NewGuid().ToString();
    public override IFeatureCollection Features { get; } = new FeatureCollection();
    public override IDictionary<object, object?> Items { get; set; } = new Dictionary<object, object?>();
    public override IDuplexPipe Transport { get; set; }

    /// <summary>The engine hung up.</summary>
    public void Close()
    {
        _calls.Writer.Complete();
        _ = _closed.CancelAsync();
    }

    /// <summary>The server is done with it.</summary>
    public override ValueTask DisposeAsync()
    {
        Transport.Input.Complete();
        Transport.Output.Complete();
        return base.DisposeAsync();
    }

    public override void Abort(ConnectionAbortedException abortReason) => _socket.Dispose();

    sealed record Ends(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
