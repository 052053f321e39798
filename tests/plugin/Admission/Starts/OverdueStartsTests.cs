// SPDX-License-Identifier: Apache-2.0
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Admission.Starts;

/// <summary>Three halves of a GPU, the first of which starts slowly.</summary>
sealed class OverdueStartsTests
{
    const string Slow = "0000";
    readonly FakeTimeProvider _clock = new();
    readonly FakeEngine _engine = new();
    readonly ContainerSpecMapper _specs = new(new FakeVolumes(), new FakeNodes());
    readonly FakeGpus _gpus = new();
    readonly PolicySettings _policy = PolicyReader.Read("{}"u8).Policy!;
    string _folder = null!;
    GpuReservations _ledger = null!;
    StartCalls _starts = null!;
    OverdueStarts _overdue = null!;

    [SetUp]
    public void Start()
    {
        _folder = Directory.CreateTempSubdirectory("overdue").FullName;
        _ledger = new(_gpus, new(Path.Combine(_folder, "owners")), _clock);
        _starts = new(_clock);
        _overdue = new(_engine, _ledger, _starts, _clock, NullLogger<OverdueStarts>.Instance);
        Assert.That(Starts(Slow));
        _starts.Allowed(
            new()
            {
                RequestMethod = "POST",
                RequestUri = $"/containers/{Slow}/start",
                User = "eve",
            },
            Slow,
            Slow
        );
        _clock.Advance(TimeSpan.FromMinutes(2));
    }

    [TearDown]
    public void Stop()
    {
        _overdue.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    static ContainerInspect Container(string id) =>
        new()
        {
            Id = id,
            Name = "/" + id,
            State = new() { Status = "created" },
            Config = new() { Labels = new Dictionary<string, string> { ["gpu-memory"] = "0.5" } },
            HostConfig = new() { DeviceRequests = [new() { Count = 1 }] },
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

    bool Starts(string id)
    {
        var (container, spec) = (Container(id), _specs.FromInspect(Container(id), "runc"));
        return _ledger
            .Decide(
                container,
                spec,
                "eve",
                holdings =>
                    PolicyRules.Evaluate(spec, _policy.RequesterOfRecord("eve"), _gpus.Devices, _policy, holdings)
            )
            .IsAllowed;
    }

    string? Caller => _starts.FindCallerOfUnjudged(Slow, _clock.GetUtcNow().ToString("o"));

    [Test]
    public async Task A_start_holds_while_the_engine_works_on_it()
    {
        _engine.Failure = new("no answer within 5 s");
        await _overdue.LookAsync(default);
        Assert.That((Starts("second"), Starts("third")), Is.EqualTo((true, false)));
        Assert.That(Caller, Is.Null, "it was judged");
    }

    [TestCase(true)]
    [TestCase(false, Description = "it was removed")]
    public async Task A_given_up_start_is_judged_again(bool isThere)
    {
        if (isThere)
            _engine.Containers[Slow] = Container(Slow);
        await _overdue.LookAsync(default);
        Assert.That((Starts("second"), Starts("third")), Is.EqualTo((true, true)));
        Assert.That(Caller, Is.EqualTo("eve"));
        Assert.That(_ledger.HeldByOthersIfNew(Slow), Is.Null, "before the first sweep nobody knows");
        _ledger.KeepOnly(new HashSet<string>(["second", "third"]), 0);
        var spec = _specs.FromInspect(Container(Slow), "runc");
        Assert.That(
            PolicyRules
                .Evaluate(
                    spec,
                    _policy.RequesterOfRecord("eve"),
                    _gpus.Devices,
                    _policy,
                    _ledger.HeldByOthersIfNew(Slow)
                )
                .Reasons.Select(r => r.Rule),
            Is.EqualTo(new[] { "capacity" })
        );
    }

    [Test]
    public async Task A_running_container_keeps_its_place()
    {
        _engine.Containers[Slow] = Container(Slow) with
        {
            State = new() { Status = "restarting", Running = true },
        };
        await _overdue.LookAsync(default);
        Assert.That((Starts("second"), Starts("third")), Is.EqualTo((true, false)));
    }
}
