// SPDX-License-Identifier: Apache-2.0
using System.Runtime.CompilerServices;
using System.Text.Json;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Commands;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Docker;
using Runai.GpuMemory.Cli.Help;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.CliTests.Commands;

/// <summary>ps, stats and gpus, with a docker that answers a status. UPDATE_CASES=1 writes the files that tables are
/// compared with: read the difference.</summary>
sealed class StatusCommandTests : ScriptFixture
{
    const string Denied = "Error response from daemon: authorization denied by plugin runai/gpu-memory:latest: ";
    static readonly string[] StatsColumns = ["CONTAINER ID", "NAME"];

    string Answering(string answer, string before = "") => Docker($"{before}\ncat <<'END'\n{answer}\nEND");

    string Answering(int containers) => Answering(ShownStatus.Answer(containers));

    static string Case(string name, [CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "../cases", name);

    [Test]
    public void Tables_are_those_of_the_files(
        [Values(
            "ps",
            "ps --no-trunc",
            "stats --no-stream",
            "gpus",
            "ps --format json",
            "gpus --format json",
            "stats --no-stream --format json"
        )]
            string words,
        [Values(0, 1, 100)] int containers
    )
    {
        var (code, output, error) = ShownStatus.Run(Answering(containers), words);
        Assert.That((code, error), Is.EqualTo((0, "")));
        var file = Case($"{words.Replace(" ", "", StringComparison.Ordinal)}-{containers}.case");
        if (Environment.GetEnvironmentVariable("UPDATE_CASES") is not null)
            File.WriteAllText(file, output);
        Assert.That(output, Is.EqualTo(File.ReadAllText(file)));
    }

    [Test]
    public void Names_of_users_and_containers_cannot_move_the_cursor() =>
        Assert.That(ShownStatus.Run(Answering(100), "ps --no-trunc").Out, Does.Not.Contain('\e'));

    [Test]
    public void Each_line_of_json_is_an_object()
    {
        var lines = ShownStatus.Run(Answering(8), "ps --format json").Out.TrimEnd('\n').Split('\n');
        using var row = JsonDocument.Parse(lines[3]);
        Assert.That(lines, Has.Length.EqualTo(10), "eight containers, two of them with two GPUs");
        Assert.That(row.RootElement.GetProperty("Name").GetString(), Is.EqualTo("web-2"));
        Assert.That(row.RootElement.GetProperty("User").GetString(), Is.EqualTo("日本"));
        Assert.That(row.RootElement.GetProperty("GPU").GetString(), Is.EqualTo("1"));
        Assert.That(row.RootElement.GetProperty("UsedBytes").GetInt64(), Is.EqualTo(246_913_578));
    }

    [TestCase("ps")]
    [TestCase("stats --no-stream")]
    public void Json_says_what_was_refused_last(string words)
    {
        var lines = ShownStatus.Run(Answering(4), $"{words} --format json").Out.TrimEnd('\n').Split('\n');
        static string Refusals(string line)
        {
            using var row = JsonDocument.Parse(line);
            return string.Join(
                ' ',
                ((string[])["Refused", "RefusedCount", "LastRefusedBytes", "LastRefusedTime"]).Select(key =>
                    row.RootElement.GetProperty(key).GetRawText()
                )
            );
        }

        Assert.That(Refusals(lines[0]), Is.EqualTo("\"0\" 0 null null"));
        Assert.That(Refusals(lines[^1]), Is.EqualTo("\"1\" 1 3145728 \"2026-11-30T10:00:00.123Z\""));
    }

    [TestCase("-q", "0 1 2 3 4 5 6 7")]
    [TestCase("--quiet --filter state=over", "1 5")]
    [TestCase("-q -f state=over --filter state=no-gpu", "1 2 5 6")]
    [TestCase("-q -f user=alice", "0 4")]
    [TestCase("-q -f user=", "1 5")]
    [TestCase("-q -f gpu=1", "2 5")]
    [TestCase("-q -f gpu=GPU-1 -f state=over", "5")]
    [TestCase("-qf state=dead", "")]
    [TestCase("-qf name=-3", "3")]
    [TestCase("-q -f name=web-1 --filter name=b-6 -f state=over", "1")]
    public void A_row_has_one_of_the_values_of_each_key(string words, string found) =>
        Assert.That(
            ShownStatus.Run(Answering(8), $"ps {words}").Out,
            Is.EqualTo(string.Concat(found.Split(' ').Where(n => n != "").Select(n => $"0{n}aaaaaaaaaa\n")))
        );

    [TestCase("ps --filter id=0", "invalid filter 'id=0': type --filter user=NAME, name=TEXT, gpu=INDEX or state=")]
    [TestCase("ps --filter x\u001b[2J=1", @"invalid filter 'x\u001b[2J=1'")]
    [TestCase(
        "ps --filter state=foo",
        "unknown state 'foo': type one of ok, over, no-gpu, unlimited, created, exited, dead"
    )]
    [TestCase("ps --filter state", "invalid filter 'state'")]
    [TestCase("stats --no-stream web-0 web", "no container web runs with a quota or a GPU")]
    public void What_cannot_be_shown_is_said(string words, string why) =>
        Assert.That(
            () => ShownStatus.Run(Answering(2), words),
            Throws.TypeOf<UserException>().With.Message.StartsWith(why)
        );

    [TestCase("ps --format yaml", "invalid value 'yaml' of --format: type table or json")]
    [TestCase("gpus --format \u001b[2J", @"invalid value '\u001b[2J' of --format: type table or json")]
    public void A_format_that_is_none_is_said(string words, string error)
    {
        var parse = OwnCommands.Tree(OwnLine.Empty).Parse(words.Split(' '), OwnCommands.Parser);
        Assert.That(parse.Errors.Select(one => one.Message), Is.EqualTo([error]));
    }

    [Test]
    public void All_has_stopped_containers_too()
    {
        var docker = Answering(
            ShownStatus.Answer(1),
            """[ "$1" = ps ] && echo '["bbbb","old","3g","exited"]' && exit"""
        );
        Assert.That(
            ShownStatus.Run(docker, "ps -a").Out.Split('\n')[2],
            Is.EqualTo(
                "bbbb           old       -         -         3g        - / -          -         -         exited"
            )
        );
        Assert.That(ShownStatus.Run(docker, "ps -aq --filter state=exited").Out, Is.EqualTo("bbbb\n"));
        Assert.That(ShownStatus.Run(docker, "ps").Out, Does.Not.Contain("old"));
    }

    [TestCase("web-1", "web-1")]
    [TestCase("00 web-1", "web-0 web-1")]
    public void Stats_shows_the_containers_that_are_named(string names, string shown)
    {
        var lines = ShownStatus.Run(Answering(3), $"stats --no-stream {names}").Out.TrimEnd('\n').Split('\n');
        Assert.That(lines.Skip(1).Select(line => line[15..20]), Is.EqualTo(shown.Split(' ')));
        Assert.That(lines[0], Does.StartWith(string.Join("   ", StatsColumns)), "docker's words");
    }

    /// <summary>The policy has "status": "own".</summary>
    [TestCase("runai-status.bob", "ps", 0, "CONTAINER ID", "")]
    [TestCase("runai", "ps", 0, "GPU       NAME", StatusView.SumsOnly + "\n")]
    [TestCase("runai", "stats", 0, "GPU       NAME", StatusView.SumsOnly + "\n")]
    [TestCase("runai", "ps --format json", 1, "", StatusView.SumsOnly + "\n")]
    [TestCase("runai", "stats --format json", 1, "", StatusView.SumsOnly + "\n")]
    [TestCase("runai", "gpus", 0, "GPU       NAME", "")]
    public void Who_may_not_see_all_sees_what_the_refusal_names(
        string volume,
        string words,
        int code,
        string begin,
        string error
    )
    {
        var answer = ShownStatus.Answer(1);
        if (volume == "runai")
            answer = answer[..answer.IndexOf(",\"Containers\":[", StringComparison.Ordinal)] + "} }]";
        var refusal = $"[ \"$3\" = runai-status ] && echo '{Denied}no: docker volume inspect {volume}' >&2 && exit 1";
        var shown = ShownStatus.Run(Answering(answer, refusal), words);
        Assert.That((shown.Code, shown.Error), Is.EqualTo((code, error)));
        Assert.That(shown.Out, begin == "" ? Is.Empty : Does.StartWith(begin));
    }

    [TestCase("Run it again", "WARNING: nobody asks: Run it again\n")]
    [TestCase("", "WARNING: nobody asks\n")]
    public void The_plugins_own_word_for_it_goes_first(string remedy, string warning)
    {
        var problem = $$"""{"Check":"chain","Container":null,"Message":"nobody asks","Remedy":"{{remedy}}"}""";
        var answer = ShownStatus
            .Answer(0, "\"Enforced\":false,")
            .Replace("\"Problems\":[]", $"\"Problems\":[{problem}]", StringComparison.Ordinal);
        Assert.That(ShownStatus.Run(Answering(answer), "ps").Error, Is.EqualTo(warning));
    }

    [TestCase("ps")]
    [TestCase("stats --no-stream")]
    [TestCase("gpus")]
    public void An_engine_that_does_not_ask_is_named_beside_rows(string words)
    {
        var shown = ShownStatus.Run(Answering(ShownStatus.Answer(1, "\"Enforced\":false,")), words);
        Assert.That(shown.Out, Does.Contain("\n0"));
        Assert.That(
            shown.Error,
            Does.StartWith("WARNING: the engine does not ask the plugin about API calls").And.Contain("daemon.json")
        );
    }

    [TestCase("ps")]
    [TestCase("stats")]
    [TestCase("gpus")]
    public void Without_the_plugin_there_is_no_answer(string words) =>
        Assert.That(
            () => ShownStatus.Run(Docker("echo 'Error: no such volume: runai-status' >&2; exit 1"), words),
            Throws
                .TypeOf<UserException>()
                .With.Message.Contains("is the plugin enabled?")
                .And.Property(nameof(UserException.ExitCode))
                .EqualTo(2)
        );

    /// <summary>Signals of this process come to all that listen: the docker sends one while it is asked.</summary>
    [Test]
    public void Ctrl_C_ends_stats_as_it_ends_docker_stats()
    {
        using var interruption = new Interruption();
        var docker = Answering(
            ShownStatus.Answer(1),
            "[ -e \"$0.once\" ] && kill -INT $PPID && exec sleep 9; : >\"$0.once\""
        );
        var shown = ShownStatus.Run(docker, "stats", new(true, true, () => 24), interruption);
        Assert.That((shown.Code, shown.Error), Is.EqualTo((130, "")));
        Assert.That(shown.Out, Does.StartWith(Terminal.Clear + "\e[?7l\e[HCONTAINER ID").And.EndWith("\e[J\e[?7h"));
    }

    /// <summary>A line of the screen may have no room for all of it.</summary>
    [Test]
    public void A_warning_stands_above_the_frame_and_again_at_end()
    {
        using var interruption = new Interruption();
        var docker = Answering(
            ShownStatus.Answer(0, "\"Enforced\":false,"),
            "[ -e \"$0.once\" ] && kill -INT $PPID && exec sleep 9; : >\"$0.once\""
        );
        var shown = ShownStatus.Run(docker, "stats", new(true, true, () => 24), interruption);
        Assert.That(shown.Out, Does.StartWith(Terminal.Clear + "\e[?7l\e[HWARNING: the engine does not ask"));
        Assert.That(shown.Error, Does.StartWith("WARNING: the engine does not ask").And.EndWith(" reload it\n"));
    }

    [Test]
    public void Without_a_terminal_stats_prints_one_header_and_rows()
    {
        using var interruption = new Interruption();
        var docker = Answering(
            ShownStatus.Answer(1),
            "echo >>\"$0.n\"; [ $(wc -l <\"$0.n\") = 3 ] && kill -INT $PPID && exec sleep 9"
        );
        var shown = ShownStatus.Run(docker, "stats", interruption: interruption);
        Assert.That(shown.Code, Is.EqualTo(130));
        Assert.That(
            shown.Out.TrimEnd('\n').Split('\n').Select(line => line.Split(' ')[0]),
            Is.EqualTo(["CONTAINER", "00aaaaaaaaaa", "00aaaaaaaaaa"])
        );
        Assert.That(shown.Out, Does.Not.Contain('\e'));
    }

    [Test]
    public void Stats_as_json_is_never_redrawn()
    {
        using var interruption = new Interruption();
        var docker = Answering(
            ShownStatus.Answer(1),
            "echo >>\"$0.n\"; [ $(wc -l <\"$0.n\") = 3 ] && kill -INT $PPID && exec sleep 9"
        );
        var shown = ShownStatus.Run(docker, "stats --format json", new(true, true, () => 24), interruption);
        var lines = shown.Out.TrimEnd('\n').Split('\n');
        Assert.That(lines, Has.Length.EqualTo(2), shown.Out);
        Assert.That(lines, Is.All.StartsWith("{\"ID\":\"00aaaaaaaaaa\","));
    }

    [Test]
    public void What_docker_has_too_is_ours_as_its_plugin_only()
    {
        foreach (var command in OwnCommands.Tree(OwnLine.Empty).Subcommands)
        {
            Assert.That(OwnCommands.Have(command.Name, isPlugin: true), command.Name);
            Assert.That(OwnCommands.Have(command.Name, isPlugin: false), Is.EqualTo(command is not PluginCommand));
            Assert.That(
                OwnHelp.Usage(OwnHelp.Leaves(command).First()),
                Does.StartWith(command is PluginCommand ? $"docker runai {command.Name}" : "runai-docker")
            );
        }
    }
}
