// SPDX-License-Identifier: Apache-2.0
using System.Runtime.CompilerServices;
using System.Text.Json;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Checks;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Tables;
using Runai.GpuMemory.Cli.Words;
using Runai.GpuMemory.CliTests.Commands;

namespace Runai.GpuMemory.CliTests.Checks;

/// <summary>doctor, with a docker in which one thing is wrong. UPDATE_CASES=1 writes the files.</summary>
sealed class DoctorTests : ScriptFixture
{
    static readonly FakeEngine Healthy = new();

    const string Devices = """
        Name:          default
        Driver:        docker

        Nodes:
        Name:             default
        Devices:
         Name:                  nvidia.com/gpu=all
         Automatically allowed: false
        """;

    static readonly FakeEngine Broken = new()
    {
        Client = "19.03.8",
        RequiresQuota = true,
        Runtime = "nvidia",
        Authorization = """["acme/audit","runai/gpu-memory"]""",
        Probe = FakeEngine.Denied + "the body of this volume call is ambiguous, so it is refused: it is empty",
        Builder = Devices,
        Plugin = "99.1.0",
        Problems = """
            [{"Check":"no-gpu","Container":"web\u001b[31m","Message":"it has lost its GPU","Remedy":"docker restart web"},
            {"Check":"nvml","Container":null,"Message":"no driver","Remedy":""}]
            """,
    };

    static string Case(string name, [CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "../cases", name);

    (int Code, JsonElement[] Rows) Examine(FakeEngine engine, Installation? installation = null)
    {
        var shown = ShownStatus.Run(Docker(engine.Script), "doctor --format json", installation: installation);
        Assert.That(shown.Error, Is.Empty);
        return (
            shown.Code,
            [.. shown.Out.TrimEnd('\n').Split('\n').Select(line => JsonDocument.Parse(line).RootElement)]
        );
    }

    static string Text(JsonElement row, string key) => row.GetProperty(key).GetString()!;

    [TestCase("healthy", "doctor", 0)]
    [TestCase("broken", "doctor", 1)]
    [TestCase("broken", "doctor --format json", 1)]
    public void What_is_printed_is_that_of_the_files(string which, string words, int expected)
    {
        var engine = which == "healthy" ? Healthy : Broken;
        var (code, output, error) = ShownStatus.Run(Docker(engine.Script), words);
        Assert.That((code, error), Is.EqualTo((expected, "")));
        output = output.Replace(ProgramVersion.Text, "VERSION", StringComparison.Ordinal);
        var file = Case($"{words.Replace(" ", "", StringComparison.Ordinal)}-{which}.case");
        if (Environment.GetEnvironmentVariable("UPDATE_CASES") is not null)
            File.WriteAllText(file, output);
        Assert.That(output, Is.EqualTo(File.ReadAllText(file)));
    }

    /// <summary>An engine, the check that finds what is wrong with it, what it finds, and words of its text.</summary>
    static IEnumerable<TestCaseData> Faults()
    {
        static TestCaseData Fault(string name, FakeEngine engine, string check, string state, string words) =>
            new TestCaseData(engine, check, state, words).SetArgDisplayNames(name);

        const string Problem = Finding.IsProblem;
        const string Unknown = Finding.IsUnknown;
        const string Silent = Finding.IsSilent;
        const string Unasked = "Error: No such container: runai-policy-question";
        const string NoVolume = "Error: no such volume: runai-status";
        var unasked = Healthy with { Question = Unasked, Enforced = "false" };
        yield return Fault("no engine", Healthy with { Server = null }, "engine", Silent, "no daemon");
        yield return Fault("old client", Healthy with { Client = "19.03.1" }, "engine", Problem, "client is too old");
        yield return Fault("old engine", Healthy with { Server = "20.9.1" }, "engine", Problem, "Engine is too old");
        var required = Healthy with { RequiresQuota = true };
        yield return Fault("runtime", required with { Runtime = "nvidia" }, "runtime", Problem, "default-runtime");
        yield return Fault("not installed", Healthy with { Plugins = "" }, "plugin", Problem, "docs/operate.md");
        yield return Fault(
            "disabled",
            Healthy with
            {
                Plugins =
                    """{"Enabled":false,"Name":"hub.acme.com:5000/gpu:2","Description":"GPU memory as a Docker resource"}""",
            },
            "plugin",
            Problem,
            "docker plugin enable hub.acme.com:5000/gpu:2"
        );
        yield return Fault("no status", Healthy with { StatusError = NoVolume }, "status", Silent, "no such volume");
        yield return Fault("other contract", Healthy with { Contract = 2 }, "status", Silent, "has version 2");
        yield return Fault(
            "not named",
            unasked with
            {
                Authorization = """["acme/audit"]""",
            },
            "authorization",
            Problem,
            "docker info also names acme/audit | has \"authorization-plugins\": [\"runai/gpu-memory\"]"
        );
        yield return Fault(
            "dropped",
            unasked,
            "authorization",
            Problem,
            "disabled, or removed from daemon.json | \"authorization-plugins\": [\"runai/gpu-memory\"] | reload docker"
        );
        yield return Fault(
            "not sure",
            Healthy with
            {
                Enforced = "false",
            },
            "authorization",
            Problem,
            "does not find out"
        );
        yield return Fault(
            "not reached",
            Healthy with
            {
                Question = Unasked,
            },
            "authorization",
            Unknown,
            "did not reach"
        );
        yield return Fault(
            "other plugin first",
            Healthy with
            {
                Question = "Error response from daemon: authorization denied by plugin acme/audit: no",
            },
            "authorization",
            Unknown,
            "acme/audit refused the question"
        );
        yield return Fault(
            "body dropped",
            Broken,
            "bodies",
            Problem,
            "CVE-2026-34040 | acme/audit may let them through"
        );
        yield return Fault("probe lost", Healthy with { Probe = "no space" }, "bodies", Unknown, "no space");
        yield return Fault("not probed", unasked, "bodies", Unknown, "not probed");
        yield return Fault("builder", Healthy with { Builder = "no builder" }, "buildkit", Unknown, "no builder");
        yield return Fault(
            "other builder",
            Healthy with
            {
                Builder = "Name: mine\nDriver: docker-container",
            },
            "buildkit",
            Unknown,
            "is not the engine's"
        );
        yield return Fault(
            "devices",
            required with
            {
                Builder = Devices,
            },
            "buildkit",
            Problem,
            "nvidia.com/gpu=all | \"device\": false"
        );
        yield return Fault(
            "build fails",
            Healthy with
            {
                Builder = Devices,
                Build = "ERROR: no space",
            },
            "buildkit",
            Unknown,
            "no space"
        );
        yield return Fault("newer plugin", Healthy with { Plugin = "99.1.0" }, "versions", Problem, "release 99.1");
        yield return Fault(
            "older plugin",
            Healthy with
            {
                Plugin = "0.0.9",
            },
            "versions",
            Problem,
            "upgrade the plugin"
        );
        yield return Fault("the plugin's", Broken, "nvml", Problem, "no driver");
        yield return Fault("a container's", Broken, "no-gpu", Problem, "docker restart web");
    }

    [TestCaseSource(nameof(Faults))]
    public void Each_fault_is_found_by_its_check(FakeEngine engine, string check, string state, string words)
    {
        var (code, rows) = Examine(engine);
        var row = rows.Single(row => Text(row, "Check") == check);
        Assert.That(Text(row, "State"), Is.EqualTo(state));
        foreach (var part in words.Split(" | "))
            Assert.That($"{Text(row, "Message")}: {Text(row, "Remedy")}", Does.Contain(part));
        var states = rows.Select(row => Text(row, "State")).ToArray();
        Assert.That(
            code,
            Is.EqualTo(
                states.Contains("no answer") ? 2
                : states.Contains("problem") ? 1
                : 0
            )
        );
        Assert.That(states, Does.Contain(state));
    }

    [Test]
    public void A_plugin_that_gives_no_answer_is_exit_code_2()
    {
        var (code, rows) = Examine(Healthy with { StatusError = "Error: no such volume", Plugins = "" });
        Assert.That(code, Is.EqualTo(2));
        Assert.That(
            rows.Where(row => Text(row, "State") is "problem" or "no answer").Select(row => Text(row, "Check")),
            Is.EqualTo(["plugin", "status"])
        );
    }

    [TestCase("docker: 'buildx' is not a docker command.\nSee 'docker --help'")]
    [TestCase("docker: unknown command: docker buildx\n\nRun 'docker --help' for more information")]
    public void Without_buildx_nothing_is_to_be_fixed(string error)
    {
        var (code, rows) = Examine(Healthy with { Builder = error });
        var row = rows.Single(row => Text(row, "Check") == "buildkit");
        Assert.That((code, Text(row, "State"), Text(row, "Remedy")), Is.EqualTo((0, "unknown", "")));
        Assert.That(Text(row, "Message"), Is.EqualTo("docker buildx is not installed: not checked"));
    }

    [Test]
    public void That_nobody_asks_the_plugin_is_said_once()
    {
        var (_, rows) = Examine(
            Healthy with
            {
                Question = "Error: No such container: runai-policy-question",
                Enforced = "false",
                Problems = """[{"Check":"chain","Message":"a","Remedy":"b"}]""",
            }
        );
        Assert.That(
            rows.Where(row => Text(row, "State") == "problem").Select(row => Text(row, "Check")),
            Is.EqualTo(["chain"])
        );
    }

    [Test]
    public void An_engine_that_hangs_is_not_another_engine()
    {
        var doctor = new Doctor(
            new(Word.Of(Docker("exec sleep 60"))),
            Installation.None,
            limit: TimeSpan.FromSeconds(0.2)
        );
        var finding = doctor.Examine().Single();
        Assert.That(finding.State, Is.EqualTo(Finding.IsSilent));
        Assert.That(finding.Message, Is.EqualTo("the engine gave no answer within 0.2 s"));
        Assert.That(finding.Remedy, Does.Contain("hangs").And.Not.Contain("context"));
    }

    [Test]
    public void Without_an_answer_it_does_not_say_no_problem()
    {
        string LastLine(FakeEngine engine) =>
            ShownStatus.Run(Docker(engine.Script), "doctor").Out.TrimEnd('\n').Split('\n')[^1];
        Assert.That(LastLine(Healthy with { Server = null }), Is.EqualTo("not checked: the engine does not answer"));
        Assert.That(
            LastLine(Healthy with { StatusError = "Error: no such volume" }),
            Is.EqualTo("not checked: 1, no answer")
        );
    }

    /// <summary>Where no quota is required, whole GPUs break no rule; what both find is said once.</summary>
    [Test]
    public void A_default_runtime_is_a_problem_where_quotas_are_required()
    {
        var nvidia = Healthy with { Runtime = "nvidia", Builder = Devices };
        Assert.That(Examine(nvidia).Code, Is.Zero);
        var (code, rows) = Examine(
            nvidia with
            {
                RequiresQuota = true,
                Problems =
                    """[{"Check":"runtime","Message":"a","Remedy":"b"},{"Check":"buildkit","Message":"c","Remedy":"d"}]""",
            }
        );
        Assert.That(code, Is.EqualTo(1));
        Assert.That(
            rows.Where(row => Text(row, "State") == "problem").Select(row => $"{Text(row, "By")} {Text(row, "Check")}"),
            Is.EqualTo(["plugin runtime", "plugin buildkit"])
        );
    }

    [Test]
    public void Devices_that_the_engine_closes_to_builds_are_no_problem()
    {
        var engine = Healthy with
        {
            Builder = Devices,
            Build = "ERROR: granting entitlement device is not allowed by build daemon configuration",
        };
        Assert.That(Examine(engine).Code, Is.Zero);
    }

    /// <summary>The policy has "status": "own".</summary>
    [TestCase("runai-status.bob", "[]", "of your containers only")]
    [TestCase("runai", null, "neither containers nor problems")]
    public void Who_may_not_see_all_reads_what_is_not_shown(string volume, string? problems, string words)
    {
        var (code, rows) = Examine(
            Healthy with
            {
                StatusError = $"{FakeEngine.Denied}no: docker volume inspect {volume}",
                Problems = problems,
            }
        );
        var status = rows.Single(row => Text(row, "Check") == "status");
        Assert.That((code, Text(status, "State")), Is.EqualTo((0, "unknown")));
        Assert.That(Text(status, "Message"), Does.Contain(words));
        Assert.That(Text(status, "Remedy"), Does.Contain("ask an admin"));
    }

    [Test]
    public void The_probe_is_large_in_words_that_the_kernel_takes()
    {
        var docker = Docker(Healthy.Script);
        ShownStatus.Run(docker, "doctor");
        var lengths = File.ReadLines($"{docker}.lengths").Select(int.Parse).ToArray();
        Assert.That(lengths.Sum(), Is.GreaterThan((11 << 20) / 10));
        Assert.That(lengths.Max(), Is.LessThan(128 << 10));
    }

    [Test]
    public void Without_a_plugin_that_is_asked_nothing_is_probed()
    {
        var docker = Docker((Healthy with { Question = "Error: no such container" }).Script);
        ShownStatus.Run(docker, "doctor");
        Assert.That(File.ReadAllText($"{docker}.calls"), Does.Not.Contain("volume create"));
    }

    [Test]
    public void Text_of_others_cannot_move_the_cursor()
    {
        var docker = Docker(Broken.Script);
        Assert.That(ShownStatus.Run(docker, "doctor").Out, Does.Not.Contain('\e').And.Contain("web\\u001b[31m: "));
        Assert.That(
            ShownStatus.Run(docker, "doctor", new Terminal(true, true, () => 24)).Out,
            Does.Contain("\e[31mproblem\e[0m")
        );
    }

    string Program(string folder, string name, string text)
    {
        var path = Path.Combine(Directory.CreateDirectory(Path.Combine(Folder, folder)).FullName, name);
        File.WriteAllText(path, text);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }

    [Test]
    public void A_program_that_hides_this_one_is_named()
    {
        var ours = Program("ours", "runai-docker", "new");
        var copy = Program("copy", "runai-docker", "new");
        var other = Program("other", "runai-docker", "old");
        string Found(FakeEngine engine, params string[] folders)
        {
            var (_, rows) = Examine(engine, new(ours, [.. folders.Select(folder => Path.Combine(Folder, folder))]));
            var row = rows.Single(row => Text(row, "Check") == "programs");
            return $"{Text(row, "State")}: {Text(row, "Message")}";
        }

        string Plugin(string path, string shadowed = "[]") =>
            $$"""[{"Name":"runai","Path":"{{path}}","ShadowedPaths":{{shadowed}}}]""";
        Assert.That(Found(Healthy, "ours", "other"), Does.StartWith("ok"));
        Assert.That(Found(Healthy, "copy", "ours"), Does.StartWith("ok"), "the same in another place");
        Assert.That(Found(Healthy, "other", "ours"), Does.Contain($"{other}, which hides {ours}"));
        Assert.That(Found(Healthy with { CliPlugins = Plugin(copy) }), Does.StartWith("ok"));
        Assert.That(
            Found(Healthy with { CliPlugins = Plugin(other) }),
            Does.StartWith($"problem: docker runai is {other}")
        );
        Assert.That(
            Found(Healthy with { CliPlugins = Plugin(ours, $"[\"{other}\"]") }),
            Does.StartWith($"problem: docker runai is {ours}, which hides {other}")
        );
    }

    /// <summary>It would call itself for ever.</summary>
    [Test]
    public void A_docker_that_is_this_program_is_not_called()
    {
        var docker = Docker(Healthy.Script);
        var (code, rows) = Examine(Healthy, new("/nowhere", []));
        Assert.That(code, Is.Zero, $"{rows.Length}");
        var shown = ShownStatus.Run(docker, "doctor", installation: new(docker, []));
        Assert.That(shown.Code, Is.EqualTo(2));
        Assert.That(shown.Out, Does.Contain($"{docker} is this program, not docker").And.Contain("RUNAI_DOCKER"));
        Assert.That(File.Exists($"{docker}.calls"), Is.False);
    }
}
