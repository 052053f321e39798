// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Net.Sockets;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Words;
using Runai.GpuMemory.CliTests.Commands;

namespace Runai.GpuMemory.CliTests.Exporter;

/// <summary>The exporter as it is built, with a docker that answers a status.</summary>
sealed class ExporterTests : ScriptFixture
{
    string Answering(string answer) => Docker($"cat <<'END'\n{answer}\nEND");

    /// <summary>Runs it, calls it, and ends it by a signal.</summary>
    static (string Text, int Code, string Error) Scrape(string docker, string signal = "TERM", bool isLogRead = true) =>
        Scrape(
            docker,
            process => new DockerProcess("kill"u8.ToArray()).Capture([Word.Of($"-{signal}"), Word.Of($"{process}")]),
            isLogRead: isLogRead
        );

    /// <summary>Runs it, calls it, and ends it.</summary>
    static (string Text, int Code, string Error) Scrape(
        string docker,
        Action<int> end,
        string pluginSocket = "",
        bool isLogRead = true
    )
    {
        var start = new ProcessStartInfo(Built.Program, ["exporter", "--listen", "127.0.0.1:0"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["RUNAI_DOCKER"] = docker;
        start.Environment["DOCKER_CLI_PLUGIN_SOCKET"] = pluginSocket;
        using var process = Process.Start(start)!;
        var serving = process.StandardOutput.ReadLine()!;
        Assert.That(serving, Does.Match("^serving http://127.0.0.1:[0-9]+/metrics$"));
        if (!isLogRead)
            process.StandardError.Close();
        using var client = new HttpClient();
        var text = client.GetStringAsync(new Uri(serving.Split(' ')[1])).GetAwaiter().GetResult();
        end(process.Id);
        Assert.That(process.WaitForExit(20_000), "it ends");
        return (text, process.ExitCode, isLogRead ? process.StandardError.ReadToEnd() : "");
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(100)]
    public void Promtool_finds_nothing_to_say(int containers)
    {
        var answer = MetricsPage
            .Answer(containers)
            .Replace("\"alice\"", "\"a\\\"b\\\\c\\nd\\u0000\\ufffd\"", StringComparison.Ordinal);
        var (text, code, error) = Scrape(Answering(answer));
        Assert.That((code, error), Is.EqualTo((0, "runai-docker exporter: the plugin answers\n")));
        var file = Path.Combine(Folder, "metrics");
        File.WriteAllText(file, text);
        Assert.That(MetricSeries.Of(text), Is.EquivalentTo(MetricSeries.Of(MetricsPage.Text(answer))));
        Assert.That(Tool.Run(Folder, "promtool", "--version").Code, Is.Zero);
        var check = Tool.Run(Folder, "sh", "-c", "promtool check metrics <metrics");
        Assert.That((check.Code, check.Text), Is.EqualTo((0, "")));
    }

    [TestCase("INT")]
    [TestCase("TERM")]
    public void A_signal_ends_it_cleanly(string signal) =>
        Assert.That(Scrape(Answering(MetricsPage.Answer(1)), signal).Code, Is.Zero);

    /// <summary>As docker (25 and later) ends docker runai.</summary>
    [Test]
    public void It_ends_when_docker_closes_the_socket_of_plugins()
    {
        var name = $"docker_cli_{Guid.NewGuid():N}";
        using var docker = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        docker.Bind(new UnixDomainSocketEndPoint($"\0{name}"));
        docker.Listen();
        Assert.That(Scrape(Answering(MetricsPage.Answer(1)), _ => docker.Accept().Dispose(), $"@{name}").Code, Is.Zero);
    }

    [Test]
    public void It_serves_on_when_its_log_is_not_read()
    {
        var (text, code, _) = Scrape(Answering(MetricsPage.Answer(1)), isLogRead: false);
        Assert.That(text, Does.Contain("\ngpu_memory_enforced 1\n"));
        Assert.That(code, Is.Zero);
    }

    [Test]
    public void Without_the_plugin_it_serves_that_nothing_is_enforced()
    {
        var (text, code, error) = Scrape(Docker("echo 'Error: no such volume: runai-status' >&2; exit 1"));
        Assert.That(text, Does.EndWith("\ngpu_memory_enforced 0\n"));
        Assert.That(code, Is.Zero);
        Assert.That(error, Does.StartWith("runai-docker exporter: no answer: docker volume inspect"));
    }

    [TestCase("127.0.0.1:0", "")]
    [TestCase("[::1]:0", "")]
    [TestCase("0.0.0.0:0", "WARNING: 0.0.0.0:0 is not a loopback address: whoever reaches it reads the names of")]
    public void An_address_that_others_reach_is_said(string address, string warning) =>
        Assert.That(
            ShownStatus.Run(Answering(""), $"exporter --listen {address}").Error,
            warning == "" ? Is.Empty : Does.StartWith(warning)
        );
}
