// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;
using Runai.GpuMemory.Admission.Starts;
using Runai.GpuMemory.Reconciliation;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Reconciliation;

sealed class EarlyDeliveryTests
{
    ConcurrentQueue<string> _log = null!;
    AllowedStarts _starts = null!;
    string _folder = null!;
    FakeMounts _mounts = null!;
    NotedWatch _watch = null!;
    EarlyDelivery _delivery = null!;

    sealed class NotedWatch : IShimWatch
    {
        public List<string> Told { get; } = [];

        public void Add(string directory) => Told.Add($"watch {Path.GetFileName(directory)}");

        public void Remove(string directory) => Told.Add($"leave {Path.GetFileName(directory)}");

        public IReadOnlyList<ShimOpening>? Wait() => null;
    }

    [SetUp]
    public void SetUp()
    {
        _folder = Directory.CreateTempSubdirectory("early").FullName;
        var layout = new StateLayout(new PluginSettings { State = _folder });
        (_mounts, _watch, _log, _starts) = (new(_folder), new(), new(), new(TimeProvider.System));
        var directories = new PrivateDirectories(layout, new ShimStore(layout), _mounts, _watch);
        var activations = new Activations(
            directories,
            new ReferenceTable(layout),
            _mounts,
            _mounts,
            new NoHost(),
            TimeProvider.System,
            NullLogger<Activations>.Instance
        );
        activations.Restore();
        _delivery = new(
            _watch,
            _starts,
            _mounts,
            _mounts,
            directories,
            activations,
            new ListLogger<EarlyDelivery>(_log)
        );
        foreach (var name in (string[])["a", "b"])
            Directory.CreateDirectory(Path.Combine(_folder, "state", name));
    }

    [TearDown]
    public void TearDown() => Directory.Delete(_folder, recursive: true);

    static string Id(int n) => n.ToString("x64", null);

    void Allow(int n, string? quota) => _starts.Note(new(Id(n), $"/c{n}", new([], Parsed.Quota(quota), "--gpus")));

    string? Quota(string directory) =>
        Path.Combine(_folder, "state", directory, "quota") is var path && File.Exists(path)
            ? File.ReadAllText(path)
            : null;

    [Test]
    public void The_quota_is_there_when_the_shim_opens()
    {
        Allow(1, "0.5");
        Allow(2, "3g");
        _mounts.Set(50, "b");
        _mounts.Groups[50] = [Id(2)];
        _delivery.Opened(new(50, null));
        Assert.That(Quota("b"), Is.EqualTo($"version=1\ncontainer={Id(2)}\nlimit=3g\n"));
        Assert.That(Quota("a"), Is.Null);
        Assert.That(_watch.Told, Is.EqualTo(new[] { "leave b" }));
        Assert.That(_log, Has.Exactly(1).Contains($"quota container={Id(2)} name=/c2 directory=b limit=3g"));
    }

    [Test]
    public void A_directory_that_the_kernel_names_needs_no_mounts()
    {
        Allow(1, "0.5");
        _mounts.Set(50, "b");
        _mounts.Groups[50] = [Id(1)];
        _delivery.Opened(new(50, "a"));
        Assert.That(
            (Quota("a"), Quota("b")),
            Is.EqualTo(($"version=1\ncontainer={Id(1)}\nlimit=0.5\n", (string?)null))
        );
    }

    [Test]
    public void An_unjudged_container_waits_for_the_engine()
    {
        _mounts.Set(50, "a");
        _mounts.Groups[50] = [Id(1)];
        _delivery.Opened(new(50, null));
        Assert.That(Quota("a"), Is.Null);
        Assert.That(_watch.Told, Is.EqualTo(new[] { "leave a" }));
    }

    [Test]
    public void A_process_of_the_host_gets_nothing()
    {
        Allow(1, "0.5");
        _mounts.Set(50, "a", "b");
        _delivery.Opened(new(50, null));
        Assert.That((Quota("a"), Quota("b"), _watch.Told.Count), Is.EqualTo(((string?)null, (string?)null, 0)));
    }

    [Test]
    public void A_neighbours_directory_stays_the_neighbours()
    {
        Allow(1, "0.5");
        Allow(2, "1");
        foreach (var (pid, n) in ((int, int)[])[(50, 1), (60, 2)])
        {
            _mounts.Set(pid, "a");
            _mounts.Groups[pid] = [Id(n)];
            _delivery.Opened(new(pid, null));
        }
        Assert.That(Quota("a"), Does.Contain("limit=0.5"));
    }

    [Test]
    public void A_container_in_anothers_control_group_has_its_quota()
    {
        Allow(1, "1");
        Allow(2, "0.1");
        _mounts.Set(50, "a");
        _mounts.Groups[50] = [Id(1), Id(2)];
        _delivery.Opened(new(50, null));
        Assert.That(Quota("a"), Is.EqualTo($"version=1\ncontainer={Id(2)}\nlimit=0.1\n"));
        _mounts.Set(60, "b");
        _mounts.Groups[60] = [Id(1), Id(3)];
        _delivery.Opened(new(60, null));
        Assert.That(Quota("b"), Is.Null, "it was not judged");
    }

    [Test]
    public void A_process_that_is_gone_already_is_no_error()
    {
        Allow(1, "0.5");
        _mounts.Groups[50] = [Id(1)];
        Assert.That(() => _delivery.Opened(new(50, null)), Throws.Nothing);
        Assert.That(_log, Is.Empty);
    }

    [Test]
    public void A_directory_that_is_removed_meanwhile_is_no_error()
    {
        Allow(1, "0.5");
        _mounts.Set(50, "gone");
        _mounts.Groups[50] = [Id(1)];
        _delivery.Opened(new(50, null));
        Assert.That(_log, Has.Exactly(1).Contains("process 50"));
    }

    [Test]
    public void A_start_is_forgotten_after_a_while()
    {
        var time = new FakeTimeProvider();
        var starts = new AllowedStarts(time);
        starts.Note(new(Id(1), "/c1", new([], Parsed.Quota("0.5"), null)));
        Assert.That(starts.Find(Id(1))?.Name, Is.EqualTo("/c1"));
        time.Advance(TimeSpan.FromMinutes(2));
        Assert.That(starts.Find(Id(1)), Is.Null);
    }
}
