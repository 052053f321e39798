// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using Runai.GpuMemory.Cli.Checks;
using Runai.GpuMemory.Cli.Commands;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Tables;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Commands;

/// <summary>Runs a command of ours with a docker that answers a status.</summary>
static class ShownStatus
{
    const long Gib = 1L << 30;

    /// <summary>What the command printed, and its exit code.</summary>
    /// <param name="docker">Its path.</param>
    /// <param name="words">From the command on.</param>
    /// <param name="terminal">What it prints to; null: none.</param>
    /// <param name="interruption">What may end it.</param>
    /// <param name="installation">Where the program is; null: not known.</param>
    /// <param name="output">For who needs it where the command throws.</param>
    public static (int Code, string Out, string Error) Run(
        string docker,
        string words,
        Terminal? terminal = null,
        Interruption? interruption = null,
        Installation? installation = null,
        StringWriter? output = null
    )
    {
        var line = new OwnLine(words.Split(' '), [], new DockerProcess(Word.Of(docker), null, interruption))
        {
            Terminal = terminal ?? Terminal.None,
            Installation = installation ?? Installation.None,
        };
        output ??= new StringWriter();
        using var error = new StringWriter();
        var code = OwnCommands
            .Tree(line)
            .Parse(line.Words, OwnCommands.Parser)
            .Invoke(
                new()
                {
                    EnableDefaultExceptionHandler = false,
                    Output = output,
                    Error = error,
                }
            );
        return (code, output.ToString(), error.ToString());
    }

    /// <summary>The answer of docker volume inspect, of a host with two GPUs.</summary>
    /// <param name="containers">How many run.</param>
    /// <param name="more">Members of the status, with a comma behind.</param>
    public static string Answer(int containers, string more = "\"Enforced\":true,")
    {
        var rows = string.Join(',', Enumerable.Range(0, containers).Select(Container));
        return $$"""
            [{"Name":"runai-status","Status":{"Version":1,{{more}}"Gpus":[
            {"Index":0,"Uuid":"GPU-0","Name":"NVIDIA H200","TotalBytes":{{141 * Gib}},"AllocatableBytes":{{140 * Gib}},
            "PromisedBytes":{{70 * Gib}},"UsedBytes":{{12 * Gib + 300_000_000}},"FreeToPromiseBytes":{{70 * Gib}},
            "Containers":{{containers}},"State":"shared","NewKey":[]
            },
            {"Index":1,"Uuid":"GPU-1","Name":"NVIDIA H200","TotalBytes":{{141 * Gib}},"AllocatableBytes":{{140 * Gib}},
            "PromisedBytes":null,"UsedBytes":null,"FreeToPromiseBytes":0,"Containers":1,"State":"full"}
            ],"Containers":[{{rows}}],"Cut":false,"Problems":[]} }]
            """;
    }

    /// <summary>Every third has two GPUs; users, states and figures differ.</summary>
    static string Container(int n)
    {
        string[] states = ["ok", "over", "no-gpu", "unlimited"];
        string?[] users = ["alice", null, "日本", "bob\e[31m"];
        var quota = n % 4 == 3 ? "null" : $"\"0.{n % 4 + 1}\"";
        var limit = n % 4 == 3 ? "null" : $"{(n % 4 + 1) * Gib}";
        var used = n == 5 ? "null" : $"{n * 123_456_789L}";
        var percent = n == 2 ? "null" : $"{n % 101}";
        var gpu =
            $"\"LimitBytes\":{limit},\"UsedBytes\":{used},\"GpuPercent\":{percent},"
            + $"\"Refused\":{n / 3},"
            + (
                n < 3
                    ? "\"LastRefusedBytes\":null,\"LastRefusedTime\":null"
                    : $"\"LastRefusedBytes\":{n << 20},\"LastRefusedTime\":\"2026-11-30T10:00:00.123Z\""
            );
        var second = n % 3 == 2 ? $",{{\"Uuid\":\"GPU-1\",\"Index\":1,{gpu}}}" : "";
        return $$"""
            {"Id":"{{n:x2}}{{new string('a', 62)}}","Name":"web-{{n}}","User":{{JsonSerializer.Serialize(
                users[n % 4]
            )}},
            "Quota":{{quota}},"State":"{{states[
                n % 4
            ]}}","StartedAt":null,"Gpus":[{"Uuid":"GPU-0","Index":0,{{gpu}}}{{second}}]
            }
            """;
    }
}
