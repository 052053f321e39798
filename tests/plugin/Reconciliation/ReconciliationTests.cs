// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Quotas;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Reconciliation;

sealed class ReconciliationTests
{
    string _folder = null!;
    FakeDocker _docker = null!;
    FakeMounts _mounts = null!;
    FakeInjector _injector = null!;
    PluginIdentity _identity = null!;
    PrivateDirectories _directories = null!;
    ConcurrentQueue<string> _log = null!;
    FakeLedger _ledger = null!;
    SelfCalls _own = null!;
    PolicySource _policy = null!;
    FakeJudge _judge = null!;
    FakeContainerMounts _containerMounts = null!;
    FakePrograms _programs = null!;
    RunningContainers _running = null!;
    ContainerReconciler _reconciler = null!;
    ReconciliationService _service = null!;

    [SetUp]
    public void SetUp()
    {
        _folder = Directory.CreateTempSubdirectory("reconciliation").FullName;
        var settings = new PluginSettings { State = _folder };
        var layout = new StateLayout(settings);
        (_docker, _mounts, _injector, _ledger, _log) = (new(), new(_folder), new(), new(), new());
        _directories = new PrivateDirectories(layout, new ShimStore(layout), _mounts);
        var references = new ReferenceTable(layout);
        var activations = new Activations(
            _directories,
            references,
            _mounts,
            _mounts,
            new NoHost(),
            TimeProvider.System,
            NullLogger<Activations>.Instance
        );
        activations.Restore();
        _identity = new PluginIdentity(layout, settings, _mounts);
        var catalog = new VolumeCatalog(layout, _identity, NullLogger<VolumeCatalog>.Instance);
        var options = new ReconciliationOptions
        {
            SweepEvery = TimeSpan.FromMilliseconds(100),
            LookAfter = TimeSpan.FromMilliseconds(200),
        };
        _policy = new PolicySource(PolicyFile, PolicyFile + ".good", NullLogger<PolicySource>.Instance);
        _judge = new(_policy);
        _own = new();
        _reconciler = new ContainerReconciler(
            _docker,
            _judge,
            _ledger,
            catalog,
            _directories,
            activations,
            _mounts,
            _mounts,
            _containerMounts = new(_mounts),
            _running = new(),
            _programs = new(),
            options,
            TimeProvider.System,
            new ListLogger<ContainerReconciler>(_log)
        );
        _service = new ReconciliationService(
            _docker,
            _reconciler,
            _judge,
            _injector,
            catalog,
            _identity,
            _own,
            new(_docker, _own, TimeProvider.System),
            _running,
            _policy,
            new NoGpus(),
            settings,
            options,
            TimeProvider.System,
            new ListLogger<ReconciliationService>(_log)
        );
    }

    [TearDown]
    public async Task TearDown()
    {
        await _service.StopAsync(default);
        _service.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    sealed class NoGpus : IGpuInventory
    {
        public IReadOnlyList<GpuDevice> Devices => [];
        public string? Problem => "none";
    }

    string PolicyFile => Path.Combine(_folder, "policy.json");

    /// <summary>Of another length than the one before, so that it is seen to be another one within a tick of the clock
    /// too.</summary>
    void Enforce(string policy)
    {
        File.WriteAllText(PolicyFile, policy);
        _policy.Refresh();
    }

    static string Id(int n) => n.ToString("x64", null);

    /// <summary>A running container whose process has mounted these private directories.</summary>
    ContainerInspect Container(int n, string? quota, params string[] directories)
    {
        foreach (var directory in directories)
            Directory.CreateDirectory(Path.Combine(_folder, "state", directory.Split('/')[0]));
        _mounts.Set(1000 + n, directories);
        return new ContainerInspect
        {
            Id = Id(n),
            Name = $"/c{n}",
            State = new ContainerState
            {
                Running = true,
                Pid = 1000 + n,
                StartedAt = $"then {n}",
            },
            Config = new ContainerConfig
            {
                Labels = quota is null ? null : new Dictionary<string, string> { ["gpu-memory"] = quota },
            },
            Mounts =
            [
                new MountPoint
                {
                    Type = "volume",
                    Name = "runai",
                    Driver = "lab/gpu:v1",
                    Destination = "/runai",
                },
            ],
        };
    }

    string? Quota(string directory)
    {
        var path = Path.Combine(_folder, "state", directory, "quota");
        return File.Exists(path) ? File.ReadAllText(path) : null;
    }

    async Task StartAsync()
    {
        await _service.StartAsync(default);
        await Until(
            () => _docker.Watchers == 1 && _log.Any(line => line.Contains(" 510 ", StringComparison.Ordinal)),
            "it watches"
        );
    }

    static async Task Until(Func<bool> condition, string what)
    {
        var watch = Stopwatch.StartNew();
        while (!condition())
        {
            Assert.That(watch.Elapsed, Is.LessThan(TimeSpan.FromSeconds(10)), what);
            await Task.Delay(5);
        }
    }

    Task UntilQuota(string directory, string text) =>
        Until(() => Quota(directory)?.Contains(text, StringComparison.Ordinal) == true, $"{directory} has {text}");

    [Test]
    public async Task A_container_that_starts_gets_its_quota()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1"));
        await UntilQuota("d1", "limit=0.5");
        Assert.That(Quota("d1"), Is.EqualTo($"version=1\ncontainer={Id(1)}\nlimit=0.5\n"));
    }

    [Test]
    public async Task Containers_that_ran_before_get_theirs()
    {
        _docker.Put(Container(1, "0.5", "d1"));
        _docker.Put(Container(2, "2g", "d2"));
        await StartAsync();
        await UntilQuota("d1", "limit=0.5");
        await UntilQuota("d2", "limit=2g");
    }

    [Test]
    public async Task The_plugin_learns_its_name_from_the_engine()
    {
        await StartAsync();
        Assert.That(_identity.Name, Is.EqualTo("lab/gpu:v1"));
    }

    [TestCase("etc", true)]
    [TestCase("driver", false)]
    public async Task A_setting_lost_by_an_upgrade_is_an_error(string mount, bool isPolicy)
    {
        _docker.LostSources = [new(mount, "/srv/x", "/x")];
        await StartAsync();
        var problem =
            $"{mount}.source=/srv/x was lost by an upgrade, and /x is mounted: with the plugin disabled, docker "
            + $"plugin set lab/gpu:v1 {mount}.source=/srv/x";
        await Until(
            () => _log.Any(line => line.StartsWith($"Error 516 {problem}", StringComparison.Ordinal)),
            "it says so"
        );
        await Until(() => _policy.Current.Problem == (isPolicy ? problem : null), "the policy is another's");
    }

    [Test]
    public async Task Every_directory_of_a_container_gets_the_quota()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1", "d2/ld.so.preload"));
        await UntilQuota("d1", "limit=0.5");
        await UntilQuota("d2", "limit=0.5");
    }

    [Test]
    public async Task Starts_missed_while_the_engine_was_away_are_served()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1"));
        await UntilQuota("d1", "limit");
        _docker.GoDown();
        await Until(
            () =>
                _log.Any(line =>
                    line.Contains(" 505 ", StringComparison.Ordinal)
                    && line.Contains(
                        "at /host/run/docker.sock (settings run.source and DOCKER_HOST)",
                        StringComparison.Ordinal
                    )
                ),
            "it says so, and where"
        );
        _docker.Put(Container(2, "0.25", "d2"));
        _docker.Put(
            Container(1, "0.5", "d3") with
            {
                State = new ContainerState
                {
                    Running = true,
                    Pid = 1001,
                    StartedAt = "later",
                },
            }
        );
        _docker.Down = false;
        await UntilQuota("d2", "limit=0.25");
        await UntilQuota("d3", "limit=0.5");
        Assert.That(
            _log.Count(line => line.Contains(" 505 ", StringComparison.Ordinal)),
            Is.EqualTo(1),
            "one line an outage"
        );
        _docker.Start(Container(4, "0.1", "d4"));
        await UntilQuota("d4", "limit=0.1");
    }

    [Test]
    public async Task Another_process_under_the_same_number_gets_nothing()
    {
        await StartAsync();
        var container = Container(1, "0.5", "d1");
        // It ends between the two inspects.
        _docker.OnInspect = n =>
        {
            if (n == 2)
                _docker.Put(container with { State = container.State with { Running = false, Pid = 0 } });
        };
        _docker.Start(container);
        await Until(() => _docker.Inspects >= 2, "it was inspected twice");
        await Task.Delay(100);
        Assert.That(Quota("d1"), Is.Null);
    }

    [Test]
    public async Task A_run_that_began_meanwhile_is_another()
    {
        await StartAsync();
        var container = Container(1, "0.5", "d1");
        var inspects = 0;
        _docker.OnInspect = _ =>
        {
            if (++inspects >= 2)
                _docker.Put(container with { State = container.State with { StartedAt = $"then, {inspects}" } });
        };
        _docker.Start(container);
        await Until(() => inspects >= 6, "it was looked at again");
        Assert.That(Quota("d1"), Is.Null);
        _docker.OnInspect = null;
        await UntilQuota("d1", "limit=0.5");
    }

    [Test]
    public async Task A_neighbours_directory_is_not_written()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1"));
        await UntilQuota("d1", "limit=0.5");
        _docker.Start(Container(2, "1", "d1", "d2"));
        await UntilQuota("d2", "limit=1");
        Assert.That(Quota("d1"), Does.Contain("limit=0.5"));
        Assert.That(_log, Has.Some.Contains("directory=d1 of another running container"));
        await Task.Delay(300);
        Assert.That(Quota("d1"), Does.Contain("limit=0.5"), "after some sweeps");
    }

    [Test]
    public async Task A_wrong_quota_file_is_repaired()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1"));
        await UntilQuota("d1", "limit=0.5");
        await Task.Delay(250);
        var asked = _docker.Inspects;
        await Task.Delay(300);
        Assert.That(_docker.Inspects, Is.EqualTo(asked), "while all is in order");
        File.WriteAllText(Path.Combine(_folder, "state", "d1", "quota"), "version=1\nlimit=1\n");
        await UntilQuota("d1", "limit=0.5");
        File.Delete(Path.Combine(_folder, "state", "d1", "quota"));
        await UntilQuota("d1", "limit=0.5");
    }

    [Test]
    public async Task A_directory_mounted_later_gets_the_quota()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1"));
        await UntilQuota("d1", "limit");
        Container(1, "0.5", "d1", "d2");
        await UntilQuota("d2", "limit=0.5");
    }

    [Test]
    public async Task Without_a_valid_quota_the_file_says_why()
    {
        await StartAsync();
        _docker.Start(Container(1, "bad", "d1"));
        _docker.Start(Container(2, null, "d2"));
        await UntilQuota("d1", "\nerror=gpu-memory=bad is no quota\n");
        await UntilQuota("d2", "\nerror=the container has the volume but no quota: add --label gpu-memory=0.5\n");
        Assert.That(_log, Has.Some.Contains("running against the rules").And.Contain("rules=quota-syntax"));
    }

    [Test]
    public async Task A_violation_is_reported_once_and_keeps_the_quota()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1") with { Name = "/outlaw" });
        await UntilQuota("d1", "limit=0.5");
        _docker.GoDown();
        _docker.Down = false;
        await Until(() => _log.Count(line => line.Contains(" 504 ", StringComparison.Ordinal)) == 2, "it is back");
        await Task.Delay(300);
        Assert.That(_log.Count(line => line.Contains(" 501 ", StringComparison.Ordinal)), Is.EqualTo(1));
    }

    [Test]
    public async Task Other_peoples_containers_are_only_judged()
    {
        await StartAsync();
        _docker.Start(
            Container(1, null, "d1") with
            {
                Name = "/outlaw",
                Mounts =
                [
                    new MountPoint
                    {
                        Type = "volume",
                        Name = "runai",
                        Driver = "local",
                    },
                ],
            }
        );
        await Until(() => _log.Any(line => line.Contains(" 501 ", StringComparison.Ordinal)), "it is reported");
        await Task.Delay(300);
        Assert.That(Quota("d1"), Is.Null);
        Assert.That(_docker.Inspects, Is.LessThan(3), "and not at every sweep");
    }

    [Test]
    public async Task An_engine_that_fails_is_asked_again()
    {
        await StartAsync();
        _docker.FailingInspects = 2;
        _docker.Start(Container(1, "0.5", "d1"));
        await UntilQuota("d1", "limit=0.5");
    }

    [Test]
    public async Task A_bug_with_one_container_does_not_cost_the_others()
    {
        await StartAsync();
        for (var n = 1; n <= 20; n++)
            _docker.Start(Container(n, "0.5", $"d{n}") with { Name = "/bug" });
        _docker.Start(Container(99, "0.5", "d99"));
        await UntilQuota("d99", "limit=0.5");
        Assert.That(_log, Has.Some.StartsWith("Error 508"));
    }

    [Test]
    public async Task A_container_that_ends_at_once_is_no_error()
    {
        await StartAsync();
        _docker.Say("start", Id(1));
        _docker.Start(Container(2, "0.5", "d2"));
        _docker.Die(Id(2));
        _docker.Start(Container(3, "0.5", "d3"));
        await UntilQuota("d3", "limit");
        Assert.That(_log, Has.None.StartsWith("Error"));
    }

    [Test]
    public async Task A_container_that_ends_meanwhile_is_not_counted()
    {
        await StartAsync();
        var container = Container(1, "0.5", "d1");
        // After the two looks that say that it runs.
        _docker.OnInspect = n =>
        {
            if (n == 3)
                _docker.Put(container with { State = container.State with { Running = false, Pid = 0 } });
        };
        _docker.Start(container);
        await Until(() => _ledger.Told.Contains("1 ended"), "its end is told");
        Assert.That(
            _ledger.Told.Where(told =>
                told.Contains("start", StringComparison.Ordinal) || told.Contains("ended", StringComparison.Ordinal)
            ),
            Is.EqualTo(new[] { "1 started", "1 ended" })
        );
        Assert.That(Quota("d1"), Is.Null);
    }

    [Test]
    public async Task A_new_container_with_our_volume_gets_the_preload()
    {
        await StartAsync();
        _injector.Problem = "its root is read-only";
        _docker.Put(Container(1, "0.5", "d1") with { State = new ContainerState { Status = "created" } });
        _docker.Put(Container(2, "0.5") with { Mounts = [] });
        foreach (var n in new[] { 1, 2, 3 })
            _docker.Say("create", Id(n));
        await Until(() => !_injector.Served.IsEmpty, "it was asked");
        await Until(
            () =>
                _log.Any(line =>
                    line.Contains("no preload of the shim: its root is read-only", StringComparison.Ordinal)
                ),
            "it says so"
        );
        Assert.That(_injector.Served, Is.EqualTo(new[] { Id(1) }));
    }

    [Test]
    public async Task An_engine_that_does_not_ask_gets_no_preload()
    {
        await StartAsync();
        _docker.PingStatus = 200;
        foreach (var n in new[] { 1, 2 })
            _docker.Put(Container(n, "0.5", $"d{n}") with { State = new ContainerState { Status = "created" } });
        _docker.Say("create", Id(1));
        await Until(() => _docker.Pings > 0, "it was looked at");
        _docker.PingStatus = 403;
        _docker.Say("create", Id(2));
        await Until(() => !_injector.Served.IsEmpty, "in doubt it is tried");
        Assert.That(_injector.Served, Is.EqualTo(new[] { Id(2) }));
    }

    [Test]
    public async Task Behind_admission_only_swarm_tasks_get_the_preload_here()
    {
        await StartAsync();
        _own.NoteAuthorizationCall();
        foreach (var n in new[] { 1, 2 })
            _docker.Put(Container(n, "0.5", $"d{n}") with { State = new ContainerState { Status = "created" } });
        _docker.Say("create", Id(1));
        _docker.Say("create", Id(2), "com.docker.swarm.task.id");
        await Until(() => !_injector.Served.IsEmpty, "the task was served");
        Assert.That(_injector.Served, Is.EqualTo(new[] { Id(2) }));
    }

    [Test]
    public async Task Fifty_that_start_at_once_have_their_quotas_soon()
    {
        await StartAsync();
        var containers = Enumerable.Range(1, 50).Select(n => Container(n, $"0.{n:00}", $"d{n}")).ToList();
        containers.ForEach(_docker.Start);
        foreach (var n in Enumerable.Range(1, 50))
            await UntilQuota($"d{n}", $"limit=0.{n:00}\n");
    }

    [Test]
    public async Task A_violation_under_a_stopping_policy_is_stopped()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1") with { Name = "/desperado" });
        _docker.Start(Container(2, "0.5", "d2") with { Name = "/outlaw" });
        await UntilQuota("d2", "limit=0.5");
        await Until(() => !_docker.Stopped.IsEmpty, "it was stopped");
        Assert.That((_docker.Stopped.Distinct(), Quota("d1")), Is.EqualTo((new[] { Id(1) }, (string?)null)));
    }

    [Test]
    public async Task A_container_with_a_covered_quota_is_stopped()
    {
        await StartAsync();
        var covered = Container(1, "0.5", "d1");
        _mounts.Add(1001, (50, 1, "/at0"));
        _docker.Start(covered);
        await Until(() => _docker.Stopped.Contains($"{Id(1)} at once"), "it was stopped");
        Assert.That(Quota("d1"), Is.Null);
        Assert.That(_log, Has.Some.Contains("rules=volume-covered: /at0 covers /at0"));
        _docker.Start(Container(2, "0.5", "d2"));
        await UntilQuota("d2", "limit=0.5");
        _mounts.Add(1002, (51, 3, "/at0/quota"));
        await Until(() => _docker.Stopped.Contains($"{Id(2)} at once"), "a sweep sees it");
    }

    [Test]
    public async Task Another_default_quota_reaches_containers_that_run()
    {
        Enforce("""{"defaultQuota":"0.5"}""");
        await StartAsync();
        _docker.Start(Container(1, null, "d1"));
        _docker.Start(Container(2, "2g", "d2"));
        await UntilQuota("d1", "limit=0.5");
        await UntilQuota("d2", "limit=2g");
        Enforce("""{"defaultQuota":"0.25"}""");
        await UntilQuota("d1", "limit=0.25");
        await Until(
            () =>
                _ledger.Told.Contains("/c1 runs with 0.25")
                && _ledger.Told.Count(told => told == "/c2 runs with 2g") > 1,
            "both are counted anew"
        );
        Assert.That(Quota("d2"), Does.Contain("limit=2g"), "who asked for a quota keeps it");
        var asked = _docker.Inspects;
        _policy.Refresh();
        await Task.Delay(300);
        Assert.That(_docker.Inspects, Is.EqualTo(asked), "nobody is looked at again for a file that is the same");
        Enforce("{}");
        await UntilQuota("d1", "error=the container has the volume but no quota");
    }

    [Test]
    public async Task A_policy_change_before_delivery_counts()
    {
        Enforce("""{"defaultQuota":"0.5"}""");
        _judge.OnJudged = () =>
        {
            _judge.OnJudged = null;
            Enforce("""{"defaultQuota":"0.25"}""");
        };
        await StartAsync();
        _docker.Start(Container(1, null, "d1"));
        await UntilQuota("d1", "limit=0.25");
    }

    [Test]
    public async Task A_policy_change_is_applied_to_running_containers()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1"));
        await UntilQuota("d1", "limit=0.5");
        Enforce("""{"maxQuota":"0.25"}""");
        await Until(
            () => _log.Any(line => line.Contains("rules=max-quota", StringComparison.Ordinal)),
            "it is reported"
        );
        Assert.That(
            (_docker.Stopped.Count, Quota("d1")),
            Is.EqualTo((0, $"version=1\ncontainer={Id(1)}\nlimit=0.5\n"))
        );
        Enforce("""{"maxQuota":"0.25","onBreach":"stop"}""");
        await Until(() => _docker.Stopped.Contains(Id(1)), "it is stopped");
    }

    [Test]
    public async Task The_reservations_hear_of_every_start_and_end()
    {
        _docker.Put(Container(1, "0.5", "d1"));
        await StartAsync();
        await Until(() => _ledger.Told.Contains("1 run"), "the sweep was counted");
        Assert.That(_ledger.Told.First(), Is.EqualTo("/c1 runs with 0.5"), "before it is said that all are known");
        _docker.Die(Id(1));
        _docker.Say("stop", Id(2));
        await Until(() => _ledger.Told.Contains("2 ended for good"), "the end was told");
        Assert.That(
            _ledger.Told.Any(told => told.StartsWith("1 ended", StringComparison.Ordinal)),
            Is.False,
            "it held nothing"
        );
    }

    [Test]
    public async Task No_failure_ends_an_event_worker()
    {
        await StartAsync();
        Assert.That(GpuMemoryQuota.TryParse("0.5", out var quota, out _));
        _ledger.Holders[Id(1)] = quota!;
        _docker.OnInspect = _ => throw new InvalidOperationException("a bug");
        for (var n = 0; n < 2 * new ReconciliationOptions().Workers; n++)
            _docker.Say("die", Id(1));
        _docker.Say("stop", Id(2));
        await Until(() => _ledger.Told.Contains("2 ended for good"), "the event after them is worked on");
    }

    [TestCase(true, 0, "1 ended and restarts")]
    [TestCase(false, 0, "1 ended for good")]
    [TestCase(true, 1001, null)]
    public async Task The_engine_says_whether_a_container_restarts(bool running, int pid, string? told)
    {
        Assert.That(GpuMemoryQuota.TryParse("0.5", out var quota, out _));
        _ledger.Holders[Id(1)] = quota!;
        _docker.Put(
            Container(1, "0.5", "d1") with
            {
                State = new() { Running = running, Pid = pid },
            }
        );
        await _reconciler.DiedAsync(Id(1), DateTimeOffset.UtcNow, default);
        _docker.Down = true;
        await _reconciler.DiedAsync(Id(1), DateTimeOffset.UtcNow, default);
        Assert.That(
            _ledger.Told,
            Is.EqualTo(told is null ? new[] { "1 ended" } : [told, "1 ended"]),
            "the last one while the engine does not answer"
        );
    }

    [Test]
    public async Task A_container_with_unreadably_many_mounts_is_stopped()
    {
        _docker.Put(Container(1, "0.5", "d1"));
        _mounts.Cut(1001);
        await _reconciler.ReconcileAsync(Id(1), default);
        Assert.That(_docker.Stopped, Is.EqualTo(new[] { $"{Id(1)} at once" }));
        Assert.That(_log, Has.Some.Contains("rules=volume-covered: too many mounts"));
    }

    [TestCase("/c1", false)]
    [TestCase("/greedy", true)]
    public async Task Unreadable_mounts_are_reported_at_the_second_look(string name, bool stopped)
    {
        _docker.Put(Container(1, "0.5", "d1") with { Name = name });
        _mounts.Hide(1001);
        await _reconciler.ReconcileAsync(Id(1), default);
        Assert.That(_reconciler.IsSettled(Id(1)), Is.False, "it is looked at again");
        Assert.That(_log, Has.None.Contains("volume-gone"));
        await _reconciler.ReconcileAsync(Id(1), default);
        await _reconciler.ReconcileAsync(Id(1), default);
        Assert.That(_log, Has.Exactly(1).Contains("rules=volume-gone: unreadable"));
        Assert.That(_docker.Stopped.Contains(Id(1)), Is.EqualTo(stopped));
    }

    [Test]
    public async Task Mounts_readable_again_clear_the_first_look()
    {
        _docker.Put(Container(1, "0.5", "d1"));
        for (var n = 0; n < 3; n++)
        {
            _mounts.Hide(1001);
            await _reconciler.ReconcileAsync(Id(1), default);
            _mounts.Set(1001, "d1");
            await _reconciler.ReconcileAsync(Id(1), default);
            Assert.That(_reconciler.IsSettled(Id(1)));
        }
        Assert.That(_log, Has.None.Contains("volume-gone"));
    }

    /// <summary>As <c>-v /:/host</c> shows them: its own and a neighbour's, of which another container has the
    /// quota.</summary>
    [Test]
    public async Task Directories_seen_through_host_binds_are_ignored()
    {
        _docker.Put(Container(1, "0.5", "d1"));
        _docker.Put(Container(2, "0.3", "d2"));
        await _reconciler.ReconcileAsync(Id(1), default);
        var place = $"/docker/plugins/{new string('1', 64)}/propagated-mount";
        _mounts.Put(1002, new("8:1", "/", "/host", null, 50, 1), new("8:1", place, $"/host{place}", null, 51, 50));
        foreach (var (dir, id) in (IEnumerable<(string, int)>)[("d1", 60), ("d1", 62), ("d2", 64)])
        {
            _mounts.Put(
                1002,
                new MountEntry(
                    "8:1",
                    $"{place}/state/{dir}",
                    $"/host{place}/mounts/{dir}",
                    null,
                    id,
                    id == 62 ? 60 : 51
                ),
                new MountEntry("0:60", "/", $"/host{place}/mounts/{dir}/usage", null, id + 1, id)
            );
        }
        await _reconciler.ReconcileAsync(Id(2), default);
        Assert.That(_docker.Stopped, Is.Empty);
        Assert.That(_log, Has.None.Contains("rules=").And.None.Contains("of another running container"));
        Assert.That((_reconciler.IsSettled(Id(1)), _reconciler.IsSettled(Id(2))), Is.EqualTo((true, true)));
        _mounts.Add(1002, (70, 2, "/at0/quota"));
        await _reconciler.ReconcileAsync(Id(2), default);
        Assert.That(
            _log,
            Has.Some.Contains("rules=volume-covered: /at0/quota covers /at0"),
            "what covers its own counts"
        );
    }

    /// <summary>The container's mount gets what the host's gets, as runc makes it.</summary>
    void Follow(int pid) => _mounts.Change(pid, mount => mount.Target == "/at0" ? mount with { Master = "7" } : mount);

    [Test]
    public async Task The_mount_of_a_container_is_made_private_once()
    {
        _docker.Put(Container(1, "0.5", "d1"));
        Follow(1001);
        await StartAsync();
        await UntilQuota("d1", "limit=0.5");
        var second = Container(2, "0.5", "d2", "d2/ld.so.preload");
        Follow(1002);
        _docker.Start(second);
        await Until(() => _containerMounts.Asked.Count == 2, "both are private");
        await Task.Delay(300); // sweeps
        Assert.That(_containerMounts.Asked, Is.EquivalentTo(new[] { "1001 2 /at0 d1", "1002 2 /at0 d2" }));
    }

    [Test]
    public async Task A_mount_that_stays_shared_is_reported_once()
    {
        _containerMounts.Problem = "ns/mnt: Permission denied";
        _docker.Put(Container(1, "0.5", "d1"));
        Follow(1001);
        await StartAsync();
        await UntilQuota("d1", "limit=0.5");
        await Until(() => _log.Any(line => line.Contains(" 502 ", StringComparison.Ordinal)), "it is named");
        await Task.Delay(300); // sweeps
        Assert.That(
            _log.Where(line => line.Contains(" 502 ", StringComparison.Ordinal)),
            Has.Exactly(1).Contains($"container={Id(1)} name=/c1").And.Exactly(1).Contains("Permission denied")
        );
        Assert.That(_docker.Stopped, Is.Empty);
    }

    [TestCase("/c1", false)]
    [TestCase("/greedy", true)]
    public async Task A_lost_private_directory_is_reported_or_stopped(string name, bool stopped)
    {
        _docker.Put(Container(1, "0.5", "d1") with { Name = name });
        _mounts.Set(1001);
        await StartAsync();
        await Until(
            () => _log.Any(line => line.Contains("rules=volume-gone: the private directory", StringComparison.Ordinal)),
            "it is reported"
        );
        await Until(() => _docker.Stopped.Contains(Id(1)) == stopped, "what follows");
        await Task.Delay(300); // sweeps
        Assert.That(_log.Where(line => line.Contains("volume-gone", StringComparison.Ordinal)), Has.Exactly(1).Items);
    }

    [TestCase("/c1", false)]
    [TestCase("/greedy", true)]
    public async Task A_program_without_the_shim_is_reported_or_stopped(string name, bool stopped)
    {
        _docker.Put(Container(1, "0.5", "d1") with { Name = name });
        _programs.WithoutShim[1001] = "/usr/bin/python3";
        await StartAsync();
        await Until(
            () => _log.Any(line => line.Contains("rules=preload-missing: /usr/bin/python3", StringComparison.Ordinal)),
            "it is reported"
        );
        await Until(() => _docker.Stopped.Contains(Id(1)) == stopped, "what follows");
        await Task.Delay(300); // sweeps
        Assert.That(
            _log.Where(line => line.Contains("preload-missing", StringComparison.Ordinal)),
            Has.Exactly(1).Items
        );
        if (!stopped)
            Assert.That(Quota("d1"), Does.Contain("limit=0.5"), "its other programs are limited");
    }

    [Test]
    public async Task A_young_container_is_looked_at_later()
    {
        await StartAsync();
        var young = Container(1, "0.5", "d1");
        _docker.Start(
            young with
            {
                State = young.State with { StartedAt = DateTimeOffset.UtcNow.AddHours(1).ToString("o") },
            }
        );
        await UntilQuota("d1", "limit=0.5");
        Assert.That(_log, Has.None.Contains("preload-missing"));
        _programs.WithoutShim[1001] = "/usr/bin/python3";
        await Until(
            () => _log.Any(line => line.Contains("rules=preload-missing: /usr/bin/python3", StringComparison.Ordinal)),
            "it is reported later"
        );
    }

    [TestCase(-1)]
    [TestCase(1)]
    public async Task Programs_that_no_preload_reaches_are_known(int hours)
    {
        _programs.Unreached[1001] = "/bin/busybox";
        await StartAsync();
        var container = Container(1, "0.5", "d1");
        _docker.Start(
            container with
            {
                State = container.State with { StartedAt = DateTimeOffset.UtcNow.AddHours(hours).ToString("o") },
            }
        );
        await Until(() => _running.All.Any(one => one.Unreached == "/bin/busybox"), "it is seen, at once or later");
    }

    [Test]
    public async Task The_next_sweep_finds_a_lost_directory()
    {
        _docker.Put(Container(1, "0.5", "d1"));
        await StartAsync();
        await UntilQuota("d1", "limit=0.5");
        _mounts.Change(1001, mount => mount.Target == "/at0" ? mount with { Root = mount.Root + "//deleted" } : mount);
        await Until(
            () => _log.Any(line => line.Contains("rules=volume-gone: the private directory", StringComparison.Ordinal)),
            "the folder was deleted"
        );
    }

    [Test]
    public async Task The_next_sweep_finds_a_lost_ledger()
    {
        _docker.Put(Container(1, "0.5", "d1"));
        await StartAsync();
        await UntilQuota("d1", "limit=0.5");
        _mounts.Change(1001, mount => mount.Target == "/at0/usage" ? null : mount);
        await Until(
            () =>
                _log.Any(line =>
                    line.Contains("rules=volume-gone: the account of its processes", StringComparison.Ordinal)
                ),
            "the ledger is gone"
        );
    }

    /// <summary>Events come faster than the engine describes containers: what is too much is not kept, and who was
    /// among it is found by looking at all.</summary>
    [Test]
    public async Task A_flood_of_events_hides_no_container()
    {
        await StartAsync();
        using var gate = new ManualResetEventSlim();
        _docker.OnInspect = _ => gate.Wait();
        for (var n = 0; n < 11_000; n++)
            _docker.Say(
                n % 3 == 0 ? "start"
                    : n % 3 == 1 ? "die"
                    : "destroy",
                Id(100 + n),
                new string('x', 1000)
            );
        _docker.Start(Container(1, "0.5", "d1"));
        for (var n = 0; n < 11_000; n++)
            _docker.Say("start", Id(100 + n), new string('x', 1000));
        await Until(
            () => _ledger.Told.Count(line => line.EndsWith(" started", StringComparison.Ordinal)) > 14_600,
            "all are read, though nobody works on them"
        );
        gate.Set();
        await UntilQuota("d1", "limit=0.5");
        _docker.Start(Container(2, "0.25", "d2"));
        await UntilQuota("d2", "limit=0.25");
    }

    /// <summary>A GPU of 1000 MiB, and what processes are said to have of it at the first reading, the second…; the
    /// last one repeats.</summary>
    sealed class FakeUse(params (int Pid, int MiB)[][] readings) : IGpuUse, IGpuInventory
    {
        int _reading;

        public int Readings => _reading;
        public IReadOnlyList<GpuDevice> Devices => [new(0, "GPU-1", "Test GPU", 1000 << 20, 0)];
        public string? Problem => null;

        public IReadOnlyList<GpuProcess> Read() =>
            [
                .. readings[Math.Min(Interlocked.Increment(ref _reading), readings.Length) - 1]
                    .Select(one => new GpuProcess(one.Pid, "GPU-1", (long)one.MiB << 20)),
            ];
    }

    /// <summary>Looks at what container 1, with processes 51 and 52, has beside its quota of a half.</summary>
    async Task WatchAsync(FakeUse use, string name, Func<bool> until)
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1") with { Name = name });
        await UntilQuota("d1", "limit=0.5");
        Assert.That(GpuMemoryQuota.TryParse("0.5", out var half, out _));
        _ledger.Holders[Id(1)] = half!;
        (_mounts.Groups[51], _mounts.Groups[52], _mounts.Groups[53]) = ([Id(1)], [Id(1)], [Id(2)]);
        using var watch = new UseWatch(
            use,
            use,
            _ledger,
            _mounts,
            _reconciler,
            new PluginSettings { WatchUse = TimeSpan.FromMilliseconds(20) },
            TimeProvider.System,
            new ListLogger<UseWatch>(_log)
        );
        await watch.StartAsync(default);
        await Until(until, "it was looked at");
        await watch.StopAsync(default);
    }

    [Test]
    public async Task Running_containers_are_known_by_their_present_names()
    {
        await StartAsync();
        _docker.Start(Container(1, "0.5", "d1"));
        _docker.Start(Container(2, null) with { Mounts = [] });
        await Until(() => _running.All.Count() == 2, "both are known");
        var first = _running.All.Single(one => one.Id == Id(1));
        Assert.That(
            (first.Name, first.Pid, first.Quota?.Text, first.StartedAt),
            Is.EqualTo(("c1", 1001, "0.5", (DateTimeOffset?)null))
        );
        Assert.That(first.Directories, Is.EqualTo(new[] { "d1" }));
        _docker.Rename(Id(1), "web");
        _docker.Rename(Id(9), "nobody");
        await Until(() => _running.All.Any(one => one.Name == "web"), "it is called so now");
        _docker.Die(Id(1));
        await Until(() => _running.Ids.SequenceEqual([Id(2)]), "one has ended");
        _docker.GoDown();
        _docker.Put(Container(2, null) with { Mounts = [], State = new() });
        _docker.Down = false;
        await Until(() => !_running.All.Any(), "the other ended unheard");
    }

    bool SaysExceeded() => _log.Any(line => line.Contains("rules=quota-exceeded", StringComparison.Ordinal));

    [Test]
    public async Task Use_above_the_quota_is_reported_once()
    {
        var use = new FakeUse([(51, 300), (52, 203), (53, 400)]);
        await WatchAsync(use, "/c1", () => use.Readings > 5 && SaysExceeded());
        Assert.That(
            _log.Where(line => line.Contains(" 501 ", StringComparison.Ordinal)).ToArray(),
            Is.EqualTo(
                new[]
                {
                    $"Warning 501 running against the rules container={Id(1)} name=/c1 image= gpu=--gpus "
                        + $"rules=quota-exceeded: {503 << 20} of GPU-1 are more than {500 << 20}",
                }
            )
        );
        Assert.That(_docker.Stopped, Is.Empty);
        Assert.That(Quota("d1"), Does.Contain("limit=0.5"), "it keeps its quota");
    }

    [Test]
    public async Task Use_above_the_quota_is_stopped_where_policy_says() =>
        await WatchAsync(new([(51, 503)]), "/greedy", () => _docker.Stopped.Contains(Id(1)));

    [Test]
    public async Task Use_without_a_reservation_is_judged_too()
    {
        _docker.Put(Container(2, null) with { Name = "/other", Mounts = [] });
        await WatchAsync(new([(51, 300), (53, 1), (54, 400)], [(51, 300), (53, 400)]), "/c1", SaysExceeded);
        Assert.That(
            _log.Where(line => line.Contains("quota-exceeded", StringComparison.Ordinal)).ToArray(),
            Is.EqualTo(
                new[]
                {
                    $"Warning 501 running against the rules container={Id(2)} name=/other image= gpu=--gpus "
                        + $"rules=quota-exceeded: {400 << 20} of GPU-1 are more than 0",
                }
            )
        );
    }

    /// <summary>Its description is longer than is read, or the engine fails at it for long.</summary>
    [TestCase(true, true)]
    [TestCase(true, false)]
    [TestCase(false, true)]
    [TestCase(false, false)]
    public async Task A_container_that_cannot_be_inspected_shields_no_other(bool isTooLong, bool stops)
    {
        if (stops)
            Enforce("""{"onBreach":"stop"}""");
        Assert.That(GpuMemoryQuota.TryParse("0.4", out var quota, out _));
        _ledger.Holders[Id(2)] = quota!;
        _docker.Unreadable[Id(2)] = new("no", 500) { IsTooLong = isTooLong };
        _docker.Put(Container(2, "0.4", "d2"));
        var use = new FakeUse([(53, 600), (51, 503)]);
        await WatchAsync(
            use,
            "/greedy",
            () => use.Readings > 8 && _docker.Stopped.Contains(Id(1)) && (!stops || _docker.Stopped.Contains(Id(2)))
        );
        Assert.That(_docker.Stopped.Contains(Id(2)), Is.EqualTo(stops));
        Assert.That(_log, Has.Some.Contains($"container={Id(2)}").And.Some.Contains("rules=container-unreadable: no"));
    }

    /// <summary>A policy may allow it a GPU without a quota; what the engine does not say for a while is no reason to
    /// end it.</summary>
    [Test]
    public async Task An_unreadable_container_without_a_reservation_stays()
    {
        Enforce("""{"onBreach":"stop"}""");
        _docker.Unreadable[Id(2)] = new("busy", 500);
        var use = new FakeUse([(53, 600)]);
        await WatchAsync(use, "/c1", () => use.Readings > 20);
        Assert.That(_docker.Stopped, Is.Empty);
        Assert.That(
            _log,
            Has.Some.Contains($" 515 container={Id(2)} has more of a GPU than it may, and could not be judged")
        );
    }

    [Test]
    public async Task Audit_reports_running_containers_once()
    {
        Enforce("""{"mode":"audit","onBreach":"stop"}""");
        _docker.Put(Container(1, "0.5", "d1") with { Name = "/audited" });
        await StartAsync();
        await UntilQuota("d1", "limit=0.5");
        await Task.Delay(300); // sweeps
        Assert.That(
            _log.Where(line => line.Contains("audit:", StringComparison.Ordinal)),
            Is.EqualTo(
                new[]
                {
                    $"Warning 514 audit: running against the rules container={Id(1)} name=/audited image= "
                        + "gpu=--gpus rules=max-quota: it is too much",
                }
            )
        );
        Assert.That(_docker.Stopped, Is.Empty);
    }

    static readonly FakeUse[] Fine =
    [
        new([(51, 300), (52, 202)]),
        new([(51, 500), (53, 400), (54, 400)]),
        new([(51, 900)], []),
        new([(51, 900)], [], [(51, 900)], [], [(51, 900)], []),
    ];

    [TestCaseSource(nameof(Fine))]
    public async Task Short_excess_use_is_left_alone(object use)
    {
        await WatchAsync((FakeUse)use, "/c1", () => ((FakeUse)use).Readings > 8);
        Assert.That(SaysExceeded(), Is.False);
    }
}
