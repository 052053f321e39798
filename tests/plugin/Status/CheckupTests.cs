// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Text.Json;
using NUnit.Framework;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Status;
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Tests.Status;

/// <summary>When checks look, and what of their findings is shown and logged.</summary>
sealed class CheckupTests : StatusFixture
{
    /// <summary>Finds what a test says.</summary>
    sealed class FakeCheck : ICheck
    {
        public List<Problem> Found { get; } = [];
        public EngineInfo? Engine { get; private set; }
        public Exception? Failure { get; set; }
        public ManualResetEventSlim? Gate { get; set; }
        public int Looks;

        public IEnumerable<Problem> Find(EngineInfo? engine)
        {
            Engine = engine;
            Interlocked.Increment(ref Looks);
            Gate?.Wait();
            return Failure is null ? [.. Found] : throw Failure;
        }
    }

    readonly Problem _full = new("space", null, "no room", "make room");
    FakeCheck _check = null!;

    [SetUp]
    public void AddCheck() => Checks.Add(_check = new FakeCheck());

    static string[] ChecksOf(JsonElement report) =>
        [.. report.GetProperty("Problems").EnumerateArray().Select(one => one.GetProperty("Check").GetString()!)];

    string[] Logged() => [.. Log.Where(line => line.StartsWith("Warning 701 ", StringComparison.Ordinal))];

    [Test]
    public void Checks_look_for_readers_and_every_ten_seconds()
    {
        _ = Summary();
        Clock.Advance(TimeSpan.FromHours(1));
        Assert.That((_check.Looks, Engine.Calls.Count), Is.EqualTo((0, 0)), "docker run waits for none");
        for (var n = 0; n < 5; n++)
            Report();
        Assert.That((_check.Looks, Engine.Calls.Count), Is.EqualTo((1, 1)));
        Assert.That(_check.Engine!.DefaultRuntime, Is.EqualTo("runc"));
        _check.Found.Add(_full);
        Assert.That(ChecksOf(Report()), Is.Empty);
        Clock.Advance(Checkup.MaxAge);
        Assert.That(Summary(measures: true).GetProperty("ProblemCount").GetInt32(), Is.EqualTo(1));
        Assert.That(ChecksOf(Report()), Is.EqualTo(new[] { "space" }));
        Assert.That(_check.Looks, Is.EqualTo(2));
    }

    [Test]
    public void A_check_that_fails_hides_no_other()
    {
        _check.Failure = new InvalidOperationException("a bug");
        var second = new FakeCheck { Found = { _full } };
        Checks.Add(second);
        Engine.Failure = new EngineException("no answer", 500);
        for (var n = 0; n < 3; n++)
        {
            Assert.That(ChecksOf(Report()), Is.EqualTo(new[] { "space" }));
            Clock.Advance(Checkup.MaxAge);
        }
        Assert.That(second.Engine, Is.Null, "the engine did not say how it is set up");
        Assert.That(Log.Where(line => line.StartsWith("Error 702 ", StringComparison.Ordinal)), Has.One.Items);
    }

    [Test]
    public async Task A_check_that_hangs_keeps_readers_for_a_second()
    {
        using var gate = _check.Gate = new();
        _check.Found.Add(_full);
        var reading = Reports.ReportAsync(null, CancellationToken.None);
        SpinWait.SpinUntil(() => _check.Looks == 1, TimeSpan.FromSeconds(20));
        Assert.That(reading.IsCompleted, Is.False);
        Clock.Advance(Checkup.MaxWait);
        await reading;
        Assert.That(ChecksOf(Report()), Is.Empty, "who comes later does not wait");
        gate.Set();
        SpinWait.SpinUntil(() => ChecksOf(Report()).Length == 1, TimeSpan.FromSeconds(20));
        Assert.That((ChecksOf(Report()), _check.Looks), Is.EqualTo((new[] { "space" }, 1)));
    }

    [Test]
    public void Each_problem_is_logged_once_while_it_lasts()
    {
        _check.Found.Add(_full);
        Run("free", null, 10, [Gpu0], "bob");
        string[] expected =
        [
            "Warning 701 problem check=space container=: no room. Remedy: make room",
            "Warning 701 problem check=unlimited container=free: it has a GPU and no quota. Remedy: run it with -v "
                + "runai:/runai --label gpu-memory=0.5, or require quotas in the policy (requireQuota)",
        ];
        for (var n = 0; n < 3; n++)
        {
            Report("alice");
            Report();
            Assert.That(Logged(), Is.EqualTo(expected));
            Clock.Advance(Checkup.MaxAge);
        }
        _check.Found.Clear();
        Report();
        Clock.Advance(Checkup.MaxAge);
        _check.Found.Add(_full);
        Report();
        Assert.That(Logged(), Is.EqualTo(expected.Append(expected[0])), "it was gone meanwhile");
    }

    [Test]
    public void The_list_and_the_log_are_bounded()
    {
        Run("free", null, 10, [Gpu0], "bob");
        for (var n = 0; n < 1000; n++)
        {
            _check.Found.Add(new("static", $"c{n}", "x", "y"));
            Run($"u{n}", null, 20 + n, [Gpu0]);
        }
        Assert.That(ChecksOf(Report()), Has.Length.EqualTo(StatusContract.MaxProblems));
        Assert.That(ChecksOf(Report("bob")), Is.EqualTo(new[] { "unlimited" }), "his is shown all the same");
        Report();
        Assert.That(Logged(), Has.Length.EqualTo(StatusContract.MaxProblems));
    }

    [TestCase("nvidia-cuda-mps-server", "{}", true)]
    [TestCase("nvidia-cuda-mps-server", """{ "overcommit": 0.97 }""", false)]
    [TestCase("nvidia-cuda-mps-server", null, false)]
    [TestCase("python3", "{}", false)]
    public void An_MPS_server_is_a_problem_where_quotas_fill_GPUs(string name, string? policy, bool isProblem)
    {
        var folder = Directory.CreateTempSubdirectory("mps").FullName;
        File.CreateSymbolicLink(Path.Combine(folder, name), "/bin/sh");
        using var server = Process.Start(
            new ProcessStartInfo(Path.Combine(folder, name), "-c \"read x\"") { RedirectStandardInput = true }
        )!;
        try
        {
            SpinWait.SpinUntil(
                () => File.ReadAllText($"/proc/{server.Id}/comm").StartsWith(name[..7], StringComparison.Ordinal),
                TimeSpan.FromSeconds(20)
            );
            Make(policy);
            Processes.Groups[server.Id] = [];
            Driver.Use(Gpu0, 30 * Mib, null, (server.Id, 30 * Mib));
            Assert.That(ChecksOf(Report()), isProblem ? Is.EqualTo(new[] { "mps" }) : Is.Empty);
            Processes.Groups[server.Id] = [Id("web")];
            Clock.Advance(UseMeter.MaxWait);
            Assert.That(ChecksOf(Report()), Is.Empty, "a container's is within its quota");
        }
        finally
        {
            server.StandardInput.Close();
            server.WaitForExit();
            Directory.Delete(folder, recursive: true);
        }
    }
}
