// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using System.Net;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Exporter;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Status;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary><c>exporter</c>: serves the status as metrics, until a signal ends it.</summary>
sealed class ExporterCommand : Command
{
    /// <summary>How long docker has for an answer: Prometheus gives up after 10 s.</summary>
    static readonly TimeSpan Limit = TimeSpan.FromSeconds(8);

    readonly Option<string> _listen = new("--listen")
    {
        HelpName = "ADDRESS:PORT",
        Description = $"Where to listen; by default {ListenAddress.Default}",
        DefaultValueFactory = _ => ListenAddress.Default,
    };

    public ExporterCommand(OwnLine line)
        : base("exporter", "Serve metrics of GPU memory for Prometheus at /metrics")
    {
        Options.Add(_listen);
        SetAction(parse => Run(line, parse));
    }

    int Run(OwnLine line, ParseResult parse)
    {
        var address = ListenAddress.Read(parse.GetRequiredValue(_listen));
        var error = parse.InvocationConfiguration.Error;
        _ = Libc.Signal(Libc.SigPipe, 1); // whoever reads the log may end first
        var docker = line.Docker!.WithLimit(Limit);
        using var socket = EngineSocket.Find(docker, Limit);
        var reader = new StatusReader(socket ?? (IStatusChannel)new QuestionChannel(docker));
        var source = new StatusSource(reader, text => Say(error, $"runai-docker exporter: {text}\n"));
        using var server = MetricsServer.Start(address, new SharedReading(source.Read));
        if (!IPAddress.IsLoopback(address.Address))
            Say(
                error,
                $"WARNING: {address} is not a loopback address: whoever reaches it reads the names of containers and "
                    + "users, without a password\n"
            );
        parse.InvocationConfiguration.Output.WriteLine($"serving {server.Address}/metrics");
        if (line.Docker.Interruption is { } interruption)
        {
            PluginSocket.OnClosed(() => interruption.Come(Libc.SigTerm));
            interruption.Wait(Timeout.InfiniteTimeSpan);
        }

        return 0;
    }

    /// <summary>A log that cannot be written does not end the exporter.</summary>
    static void Say(TextWriter error, string line)
    {
        try
        {
            error.Write(line);
        }
        catch (UserException) { }
    }
}
