// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Status;
using Runai.GpuMemory.Status.Checks;
using Runai.GpuMemory.Tests.Admission;
using Runai.GpuMemory.Tests.Reconciliation;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Status;

/// <summary>The status over containers that a test makes, on a host with two GPUs.</summary>
abstract class StatusFixture
{
    private protected const string Gpu0 = "GPU-11111111-0000",
        Gpu1 = "GPU-22222222-0000";
    private protected const long Mib = 1 << 20;

    string _folder = null!;
    private protected ConcurrentQueue<string> Log = null!;
    private protected FakeTimeProvider Clock = null!;
    private protected FakeGpus Gpus = null!;
    private protected FakeMeter Driver = null!;
    private protected FakeMounts Processes = null!;
    private protected RunningContainers Running = null!;
    private protected FakeRules Rules = null!;
    private protected LostGpus Lost = null!;
    private protected FakeRefusals Refused = null!;
    private protected UseMeter Meter = null!;
    private protected OwnerStore Owners = null!;
    private protected GpuReservations Ledger = null!;
    private protected FakeChain Chain = null!;
    private protected DecisionCounts Decisions = null!;
    private protected StatusReports Reports = null!;
    private protected FakeEngine Engine = null!;

    /// <summary>Those that look at the host.</summary>
    private protected List<ICheck> Checks = null!;

    /// <summary>Those of the plugin.</summary>
    private protected List<QuotaVolume> Volumes = null!;

    [SetUp]
    public void SetUp()
    {
        _folder = Directory.CreateTempSubdirectory("status").FullName;
        Log = [];
        Clock = new(new(2026, 11, 30, 10, 0, 0, TimeSpan.Zero));
        Gpus = new();
        Driver = new();
        Processes = new(_folder);
        Running = new();
        Rules = new();
        Refused = new();
        Chain = new();
        Decisions = new();
        Volumes = [new("runai", null)];
        Engine = new();
        Checks = [];
        Lost = new(Running, Rules, new(), Clock, new ListLogger<LostGpus>(Log));
        Meter = new(Driver, Gpus, Processes, Running, Lost, Refused, Clock, new ListLogger<UseMeter>(Log));
        Owners = new(Path.Combine(_folder, "owners"));
        Ledger = new(Gpus, Owners, Clock);
        Make();
    }

    [TearDown]
    public void TearDown()
    {
        Lost.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <param name="policy">The policy file; null: none.</param>
    private protected void Make(string? policy = null)
    {
        var file = Path.Combine(_folder, "policy.json");
        if (policy is not null)
            File.WriteAllText(file, policy);
        var source = new PolicySource(file, file + ".good", NullLogger<PolicySource>.Instance, Clock);
        var volumes = new FewVolumes(Volumes);
        var checkup = new Checkup(Engine, Checks, Clock, new ListLogger<Checkup>(Log));
        Reports = new(
            Meter,
            new(Running, Owners, Lost),
            Gpus,
            Ledger,
            source,
            Chain,
            Decisions,
            [
                new HostProblems(Chain, source, Gpus, volumes),
                new MpsProblems(Meter, source),
                checkup,
                new ContainerProblems(),
            ],
            checkup,
            new(new ListLogger<ProblemLog>(Log)),
            new(new(new() { State = _folder })),
            volumes,
            Clock
        );
    }

    private protected static string Id(string name) =>
        Convert.ToHexStringLower(System.Text.Encoding.ASCII.GetBytes(name)).PadRight(64, '0');

    /// <summary>A container that runs with what <c>--gpus</c> names, as its start and reconciliation leave
    /// it.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="quota">Its label; null: none.</param>
    /// <param name="pid">Its first process.</param>
    /// <param name="gpus">Which; null: none.</param>
    /// <param name="user">Who started it.</param>
    /// <param name="directories">Its private directories.</param>
    private protected void Run(
        string name,
        string? quota,
        int pid,
        string[]? gpus = null,
        string user = "",
        string[]? directories = null
    )
    {
        var container = new ContainerInspect
        {
            Id = Id(name),
            Name = "/" + name,
            State = new()
            {
                Running = true,
                Pid = pid,
                StartedAt = "2026-11-30T09:59:00.123456789Z",
            },
        };
        var spec = new ContainerSpec { Gpu = gpus is null ? null : new("--gpus", new(gpus)) };
        var verdict = new Verdict([], Parsed.Quota(quota), "--gpus");
        Owners.Set(container.Id, user);
        Ledger.Running(container, spec, verdict);
        Ledger.KeepOnly(Running.Ids.Append(container.Id).ToHashSet(), 0);
        Running.Set(container, spec, verdict.Quota, directories ?? []);
        Processes.Groups[pid] = [container.Id];
    }

    private protected JsonElement Report(string? user = null) =>
        Read(Reports.ReportAsync(user, CancellationToken.None).GetAwaiter().GetResult());

    private protected JsonElement Summary(QuotaVolume? volume = null, bool measures = false) =>
        Read(
            Reports
                .SummaryAsync(volume ?? new("runai", null), measures, CancellationToken.None)
                .GetAwaiter()
                .GetResult()
        );

    static JsonElement Read(RawJson json)
    {
        using var document = json.Parse();
        return document.RootElement.Clone();
    }
}

/// <summary>A driver that counts what the test says.</summary>
sealed class FakeMeter : IGpuMeter
{
    public List<GpuReading> Readings { get; set; } = [];

    /// <summary>For what each reading waits.</summary>
    public ManualResetEventSlim? Gate { get; set; }
    public Exception? Failure { get; set; }
    public int Reads;
    public int AtOnce;
    public int MostAtOnce;

    public IReadOnlyList<GpuReading> ReadAll()
    {
        MostAtOnce = Math.Max(MostAtOnce, Interlocked.Increment(ref AtOnce));
        Interlocked.Increment(ref Reads);
        Gate?.Wait();
        Interlocked.Decrement(ref AtOnce);
        return Failure is null ? [.. Readings] : throw Failure;
    }

    public void Use(
        string uuid,
        long? used,
        Dictionary<int, int>? percents,
        params (int Pid, long Bytes)[] processes
    ) =>
        Readings.Add(new(uuid, used, [.. processes.Select(one => new GpuProcess(one.Pid, uuid, one.Bytes))], percents));
}

/// <summary>By first process.</summary>
sealed class FakeRules : IDeviceRules
{
    public ConcurrentDictionary<int, bool?> Allowed { get; } = [];

    public bool? AllowGpus(int pid) => Allowed.GetValueOrDefault(pid);
}

/// <summary>By private directory.</summary>
sealed class FakeRefusals : IRefusals
{
    public Dictionary<string, IReadOnlyDictionary<string, Refusals>> Files { get; } = [];

    public HashSet<string> Unread { get; } = [];

    public IReadOnlyDictionary<string, Refusals>? Read(string directory) =>
        Unread.Contains(directory) ? null : Files.GetValueOrDefault(directory) ?? new Dictionary<string, Refusals>();
}

sealed class FewVolumes(IReadOnlyList<QuotaVolume> volumes) : IVolumeCatalog
{
    public QuotaVolume? Find(string name) => volumes.FirstOrDefault(volume => volume.Name == name);

    public IReadOnlyList<QuotaVolume> List() => volumes;

    public bool Owns(MountPoint mount) => throw new NotSupportedException();

    public string DriverName => "runai/gpu-memory";

    public bool IsThisDriver(string driver) => throw new NotSupportedException();
}

sealed class FakeChain : IChainState
{
    public bool? IsAsked { get; set; } = true;
    public string? LastProblem { get; set; }

    public Task<bool?> FindOutAsync(CancellationToken cancel) => Task.FromResult(IsAsked);
}
