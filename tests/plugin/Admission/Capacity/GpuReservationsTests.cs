// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Admission.Capacity;

sealed class GpuReservationsTests
{
    readonly PolicySettings _policy = PolicyReader.Read("{}"u8).Policy!;
    readonly ContainerSpecMapper _specs = new(new FakeVolumes(), new FakeNodes());
    readonly FakeGpus _gpus = new();
    readonly FakeTimeProvider _clock = new();
    string _folder = null!;
    GpuReservations _ledger = null!;

    [SetUp]
    public void Start()
    {
        _folder = Directory.CreateTempSubdirectory("ledger").FullName;
        _ledger = Open();
    }

    [TearDown]
    public void Stop() => Directory.Delete(_folder, recursive: true);

    GpuReservations Open() => new(_gpus, new(Path.Combine(_folder, "owners")), _clock);

    static string Id(string name) => name.PadRight(64, '-');

    static ContainerInspect Container(string name, string quota = "0.5", string restart = "no", bool gpu = true) =>
        new()
        {
            Id = Id(name),
            Name = "/" + name,
            Config = new() { Labels = new Dictionary<string, string> { ["gpu-memory"] = quota } },
            HostConfig = new() { DeviceRequests = gpu ? [new() { Count = 1 }] : [], RestartPolicy = new(restart) },
            Mounts =
            [
                new()
                {
                    Type = "volume",
                    Name = "runai",
                    Driver = "runai/gpu-memory",
                    Destination = "/runai",
                },
            ],
        };

    bool Starts(ContainerInspect container, string user = "")
    {
        var spec = _specs.FromInspect(container, "");
        return _ledger
            .Decide(
                container,
                spec,
                user,
                holdings =>
                    PolicyRules.Evaluate(spec, _policy.RequesterOfRecord(user), _gpus.Devices, _policy, holdings)
            )
            .IsAllowed;
    }

    void Runs(ContainerInspect container)
    {
        _ledger.Succeeded(container.Id);
        Described(container);
    }

    void Described(ContainerInspect container) =>
        _ledger.Running(
            container,
            _specs.FromInspect(container, "?"),
            new([], Parsed.Quota(container.Config.Labels!["gpu-memory"]), "--gpus")
        );

    void Sweep(params string[] running) => _ledger.KeepOnly(running.Select(Id).ToHashSet(), _clock.GetTimestamp());

    [Test]
    public void Only_a_quota_that_fits_starts()
    {
        Assert.That(
            (Starts(Container("a")), Starts(Container("b")), Starts(Container("c", "1m"))),
            Is.EqualTo((true, true, false))
        );
        Assert.That(Starts(Container("d", "1", gpu: false)), "without a GPU it holds nothing");
    }

    [Test]
    public void Simultaneous_starts_never_exceed_the_GPU()
    {
        var started = 0;
        Parallel.For(
            0,
            100,
            i =>
            {
                if (Starts(Container($"c{i}", "0.1")))
                    Interlocked.Increment(ref started);
            }
        );
        Assert.That(started, Is.EqualTo(10));
    }

    [Test]
    public void A_failed_start_frees_its_place()
    {
        Starts(Container("a", "1"));
        _ledger.Failed(Id("a"));
        Assert.That(Starts(Container("b", "1")));
    }

    [Test]
    public void A_failed_second_start_keeps_the_place()
    {
        Starts(Container("a", "1"));
        Runs(Container("a", "1"));
        _ledger.Failed(Id("a"));
        Assert.That(Starts(Container("b", "0.1")), Is.False);
    }

    [Test]
    public void Starting_a_running_container_changes_nothing()
    {
        Starts(Container("a", "1"));
        _ledger.RunsAlready(Id("a"));
        Assert.That(Starts(Container("b", "0.1")), Is.False, "the first start is under way yet");
        Runs(Container("a", "1"));
        Starts(Container("a", "1"));
        Assert.That(_ledger.Reserved(), Has.Count.EqualTo(1), "its use is watched all the time");
        _ledger.RunsAlready(Id("a"));
        _ledger.Ended(Id("a"), restarts: false, _clock.GetUtcNow());
        Assert.That(Starts(Container("b", "1")), "its end is its end");
    }

    [Test]
    public void A_restart_that_the_engine_announces_keeps_the_place()
    {
        Starts(Container("a", "1", "no"));
        Runs(Container("a", "1", "no"));
        _ledger.Ended(Id("a"), restarts: true, _clock.GetUtcNow());
        Assert.That(Starts(Container("b", "1")), Is.False, "docker update --restart");
    }

    [Test]
    public void An_unfinished_start_holds_until_it_is_given_up()
    {
        Starts(Container("a", "1"));
        _clock.Advance(TimeSpan.FromSeconds(59));
        Assert.That(_ledger.Overdue(), Is.Empty);
        _ledger.GiveUp(Id("a"));
        _clock.Advance(TimeSpan.FromHours(1));
        Sweep();
        Assert.That(Starts(Container("b", "1")), Is.False, "no time ends it");
        Assert.That(_ledger.Overdue(), Is.EqualTo(new[] { (Id("a"), "a") }));
        _ledger.GiveUp(Id("a"));
        Assert.That(Starts(Container("b", "1")));
    }

    [Test]
    public void A_start_without_driver_holds_when_the_driver_answers()
    {
        var devices = _gpus.Devices;
        _gpus.Devices = [];
        Starts(Container("a", "1"));
        _gpus.Devices = devices;
        Assert.That(Starts(Container("b", "0.1")), Is.False);
    }

    [Test]
    public void A_container_that_ended_early_frees_its_place()
    {
        Starts(Container("a", "1"));
        _ledger.Started(Id("a"), Later());
        _ledger.Ended(Id("a"), restarts: false, Later());
        _ledger.Succeeded(Id("a"));
        Assert.That(Starts(Container("b", "1")));
    }

    [Test]
    public void The_end_of_the_previous_run_keeps_a_start()
    {
        var before = _clock.GetUtcNow();
        _clock.Advance(TimeSpan.FromMilliseconds(20));
        Starts(Container("a", "1"));
        _ledger.Started(Id("a"), before);
        _ledger.Ended(Id("a"), restarts: false, _clock.GetUtcNow());
        Assert.That(Starts(Container("b", "1")), Is.False);
    }

    [Test]
    public void One_failed_start_of_two_keeps_the_place()
    {
        Starts(Container("a", "1"));
        Starts(Container("a", "1"));
        _ledger.Failed(Id("a"));
        Assert.That(Starts(Container("b", "1")), Is.False);
        _ledger.Failed(Id("a"));
        Assert.That(Starts(Container("b", "1")), "that failed too");
    }

    DateTimeOffset Later()
    {
        _clock.Advance(TimeSpan.FromMilliseconds(20));
        return _clock.GetUtcNow();
    }

    /// <summary>Three restarts at once, which the engine does by two runs, and a fourth that fails.</summary>
    [Test]
    public void Many_restarts_at_once_keep_the_place()
    {
        var a = Container("a", "1");
        Runs(a);
        for (var i = 0; i < 3; i++)
            Starts(a);
        _ledger.Ended(Id("a"), restarts: null, Later());
        _ledger.Started(Id("a"), Later());
        Starts(a); // the fourth
        var died = Later();
        _ledger.Succeeded(Id("a"));
        _ledger.Failed(Id("a")); // while the container was down
        _ledger.Started(Id("a"), Later());
        _ledger.Ended(Id("a"), restarts: null, died);
        _ledger.Succeeded(Id("a"));
        _ledger.Succeeded(Id("a"));
        Assert.That(Starts(Container("b", "0.1")), Is.False, "it runs");
        _ledger.Ended(Id("a"), restarts: false, Later());
        Assert.That(Starts(Container("b", "1")), "and its end is its end");
    }

    [Test]
    public void A_successful_start_holds_before_its_event()
    {
        Starts(Container("a", "1"));
        Later();
        _ledger.Succeeded(Id("a"));
        Assert.That(Starts(Container("b", "0.1")), Is.False);
        _ledger.Started(Id("a"), Later());
        _ledger.Ended(Id("a"), restarts: false, Later());
        Assert.That(Starts(Container("b", "1")));
    }

    [Test]
    public void A_restart_before_the_starts_answer_keeps_the_place()
    {
        Starts(Container("a", "1", "always"));
        _ledger.Started(Id("a"), Later());
        _ledger.Ended(Id("a"), restarts: true, Later());
        _ledger.Succeeded(Id("a"));
        Assert.That(Starts(Container("b", "0.1")), Is.False);
    }

    [TestCase(false)]
    [TestCase(null)]
    public void A_late_end_event_keeps_the_next_run(bool? restarts)
    {
        Runs(Container("a", "1"));
        _ledger.Started(Id("a"), Later());
        var died = Later();
        Runs(Container("a", "1"));
        _ledger.Started(Id("a"), Later());
        _ledger.Ended(Id("a"), restarts, died);
        Assert.That(Starts(Container("b", "0.1")), Is.False);
        _ledger.Ended(Id("a"), restarts, Later());
        Assert.That(Starts(Container("b", "1")));
    }

    [Test]
    public void A_run_known_by_inspect_survives_an_earlier_end()
    {
        var died = _clock.GetUtcNow();
        _clock.Advance(TimeSpan.FromSeconds(1));
        Described(
            Container("a", "1") with
            {
                State = new() { Running = true, StartedAt = _clock.GetUtcNow().ToString("o") },
            }
        );
        _ledger.Ended(Id("a"), restarts: false, died);
        Assert.That(Starts(Container("b", "0.1")), Is.False);
    }

    [TestCase(64, 128, 1)]
    [TestCase(65, 128, 2)]
    [TestCase(64, 129, 2)]
    public void A_choice_of_too_many_GPUs_counts_on_all(int ids, int length, int gpus)
    {
        var container = Container("a", "1");
        container = container with
        {
            HostConfig = container.HostConfig with
            {
                DeviceRequests = [new() { DeviceIds = [.. Enumerable.Repeat("0".PadLeft(length, '0'), ids)] }],
            },
        };
        Starts(container);
        Sweep();
        Assert.That(_ledger.HeldByOthers("")!.ByUuid, Has.Count.EqualTo(gpus));
    }

    [Test]
    public void Kept_names_are_bounded()
    {
        Starts(Container("a") with { Name = "/" + new string('n', 60_000) });
        Sweep();
        Assert.That(_ledger.HeldByOthers("")!.Of("GPU-11111111-0000")[0].Container, Has.Length.EqualTo(129));
    }

    [TestCase(false)]
    [TestCase(null)]
    public void A_container_that_ended_frees_its_place(bool? restarts)
    {
        Starts(Container("a", "1"));
        Runs(Container("a", "1"));
        _ledger.Ended(Id("a"), restarts, _clock.GetUtcNow());
        Assert.That(Starts(Container("b", "1")));
    }

    [Test]
    public void A_container_with_a_restart_policy_keeps_its_place()
    {
        Starts(Container("a", "1", "always"));
        Runs(Container("a", "1", "always"));
        _ledger.Ended(Id("a"), restarts: null, _clock.GetUtcNow());
        Assert.That(Starts(Container("b", "1")), Is.False);
        _ledger.Ended(Id("a"), restarts: false, _clock.GetUtcNow());
        Assert.That(Starts(Container("b", "1")), "docker stop ended it for good");
    }

    [Test]
    public void A_restart_keeps_the_place_in_between()
    {
        Starts(Container("a", "1", "always"));
        Runs(Container("a", "1", "always"));
        Assert.That(Starts(Container("a", "1", "always")), "docker restart");
        _ledger.Ended(Id("a"), restarts: null, _clock.GetUtcNow());
        _ledger.Ended(Id("a"), restarts: false, _clock.GetUtcNow());
        Assert.That(Starts(Container("b", "1")), Is.False);
    }

    [Test]
    public void A_sweep_keeps_containers_that_began_meanwhile()
    {
        Runs(Container("gone", "0.5"));
        _clock.Advance(TimeSpan.FromSeconds(1));
        var asOf = _clock.GetTimestamp();
        _clock.Advance(TimeSpan.FromSeconds(1));
        Runs(Container("new", "0.5"));
        _ledger.KeepOnly(new HashSet<string>(), asOf);
        Assert.That((Starts(Container("b", "0.5")), Starts(Container("c", "0.1"))), Is.EqualTo((true, false)));
    }

    [Test]
    public void Capacity_is_known_after_the_first_sweep()
    {
        Assert.That(_ledger.Rebuilt.IsCompleted, Is.False);
        Assert.That(_ledger.HeldByOthersIfNew(Id("x")), Is.Null);
        Runs(Container("a"));
        Sweep("a");
        Assert.That(_ledger.Rebuilt.IsCompleted);
        Assert.That(_ledger.HeldByOthersIfNew(Id("a")), Is.Null, "it is counted already");
        Assert.That(
            _ledger.HeldByOthersIfNew(Id("x"))!.Of("GPU-11111111-0000").Select(h => h.Container),
            Is.EqualTo(new[] { "a" })
        );
    }

    [TestCase("alice")]
    [TestCase("alice ")]
    [TestCase(" ")]
    [TestCase("al\nice", Description = "a line of its own in the file, were it written as it is")]
    [TestCase("\u0000\u001b[2J%0a")]
    public void Any_user_name_owns_what_it_started(string user)
    {
        Starts(Container("a"), user);
        Assert.That((_ledger.UserOf(Id("a")), Open().UserOf(Id("a"))), Is.EqualTo((user, user)));
    }

    [Test]
    public void The_starter_of_a_container_outlives_the_plugin()
    {
        Starts(Container("a"), "alice");
        Starts(Container("b", "0.1"));
        _ledger = Open();
        Runs(Container("a"));
        Assert.That((_ledger.UserOf(Id("a")), _ledger.UserOf(Id("b"))), Is.EqualTo(("alice", (string?)null)));
        Sweep("a");
        Assert.That(Open().UserOf(Id("a")), Is.EqualTo("alice"));
        _clock.Advance(TimeSpan.FromMinutes(2));
        Sweep();
        Assert.That(Open().UserOf(Id("a")), Is.Null);
    }
}
