// SPDX-License-Identifier: Apache-2.0
using System.IO.Pipes;
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Logging;

namespace Runai.GpuMemory.Tests.Logging;

sealed class LogWriterTests
{
    static readonly byte[] Line = Encoding.ASCII.GetBytes(new string('x', 999) + "\n");

    /// <summary>A real pipe: the engine's end of it is what nobody reads.</summary>
    [Test]
    public void An_unread_pipe_only_drops_counted_lines()
    {
        using var engine = new AnonymousPipeServerStream(PipeDirection.In);
        using var plugin = new AnonymousPipeClientStream(PipeDirection.Out, engine.ClientSafePipeHandle);
        using var writer = new LogWriter(plugin, plugin);
        const int Lines = 10_000;
        for (var i = 0; i < Lines; i++)
            writer.Write(Line, isError: i % 2 == 0); // hangs here where it may wait for the pipe
        using var reader = new StreamReader(engine);
        var (read, dropped) = (0, 0);
        while (read + dropped < Lines)
        {
            var line = reader.ReadLine()!;
            if (line.Contains("were dropped", StringComparison.Ordinal))
                dropped += int.Parse(line.Split(' ')[3], null);
            else
                read++;
        }
        Assert.That(dropped, Is.GreaterThan(Lines / 2));
        writer.Write("after\n"u8.ToArray(), isError: false);
        Assert.That(reader.ReadLine(), Is.EqualTo("after"));
    }

    [Test]
    public void The_end_does_not_wait_for_an_unread_pipe()
    {
        using var engine = new AnonymousPipeServerStream(PipeDirection.In);
        using var plugin = new AnonymousPipeClientStream(PipeDirection.Out, engine.ClientSafePipeHandle);
        var writer = new LogWriter(plugin, plugin);
        for (var i = 0; i < 1000; i++)
            writer.Write(Line, isError: false);
        writer.Dispose(); // hangs here where it waits for good
        writer.Write(Line, isError: false);
        engine.Dispose();
    }

    [Test]
    public void The_end_waits_for_a_reader()
    {
        using var output = new MemoryStream();
        using var error = new MemoryStream();
        using (var writer = new LogWriter(output, error))
            for (var i = 0; i < 100; i++)
                writer.Write(Line, isError: i < 10);
        Assert.That((output.Length, error.Length), Is.EqualTo((90 * Line.Length, 10 * Line.Length)));
    }

    [Test]
    public void A_line_that_cannot_be_written_is_counted()
    {
        using var broken = new MemoryStream([], writable: false);
        using var output = new MemoryStream();
        using (var writer = new LogWriter(output, broken))
        {
            writer.Write(Line, isError: true);
            writer.Write(Line, isError: false);
        }
        var text = Encoding.UTF8.GetString(output.ToArray());
        Assert.That(text, Does.StartWith("xxx").And.Contain("gpu-memory warning 10: 1 lines of this log were dropped"));
    }
}
