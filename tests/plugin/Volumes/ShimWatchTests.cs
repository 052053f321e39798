// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

sealed class ShimWatchTests
{
    ShimWatch _watch = null!;
    string _folder = null!;

    [SetUp]
    public void SetUp()
    {
        _folder = Directory.CreateTempSubdirectory("watch").FullName;
        _watch = new(NullLogger<ShimWatch>.Instance);
        foreach (var name in (string[])["one", "two"])
        {
            Directory.CreateDirectory(Path.Combine(_folder, name));
            File.WriteAllText(Path.Combine(_folder, name, "librunai.so"), "the shim");
        }
    }

    [TearDown]
    public void TearDown() => Directory.Delete(_folder, recursive: true);

    [Test]
    public void Opening_the_shim_is_seen_under_any_mount() =>
        PrivateNamespace.Run(() =>
        {
            _watch.Add(Path.Combine(_folder, "one"));
            using var container = new FakeContainer(Path.Combine(_folder, "one"), Path.Combine(_folder, "target"));
            using var program = Sh.Start(
                $"exec nsenter --target {container.Pid} --mount cat {_folder}/target/librunai.so -"
            );
            Assert.That(_watch.Wait(), Is.EqualTo(new[] { new ShimOpening(program.Id, "one") }));
            program.StandardInput.Close();
            program.WaitForExit();
        });

    [Test]
    public void Unwatched_directories_are_silent()
    {
        var (one, two) = (Path.Combine(_folder, "one"), Path.Combine(_folder, "two"));
        _watch.Add(one);
        _watch.Remove(one);
        Sh.Run($"cat {one}/librunai.so {two}/librunai.so");
        _watch.Add(two);
        using var program = Sh.Start($"exec cat {two}/librunai.so -");
        Assert.That(
            _watch.Wait(),
            Is.EqualTo(new[] { new ShimOpening(program.Id, "two") }),
            "the first that is told is the last that opened"
        );
        program.StandardInput.Close();
        program.WaitForExit();
    }

    [Test]
    public void Simultaneous_openings_name_their_directories()
    {
        foreach (var name in (string[])["one", "two"])
            _watch.Add(Path.Combine(_folder, name));
        using var first = Sh.Start($"exec cat {_folder}/one/librunai.so -");
        using var second = Sh.Start($"exec cat {_folder}/two/librunai.so -");
        foreach (var program in (Process[])[first, second])
        {
            program.StandardInput.Close();
            program.WaitForExit();
        }
        var told = new List<ShimOpening>();
        while (told.Count < 2)
            told.AddRange(_watch.Wait()!);
        Assert.That(
            told,
            Is.EquivalentTo(new[] { new ShimOpening(first.Id, "one"), new ShimOpening(second.Id, "two") })
        );
    }

    /// <summary>The kernel keeps 16,384 events (fanotify(7)), and one of many that are alike.</summary>
    [Test]
    public void Waiting_openings_are_bounded()
    {
        const int Openings = 100_000,
            Kept = 16_384;
        foreach (var name in (string[])["one", "two"])
            _watch.Add(Path.Combine(_folder, name));
        var shim = Path.Combine(_folder, "one", "librunai.so");
        for (var n = 0; n < Openings; n++)
            File.OpenHandle(shim).Dispose();
        var told = _watch.Wait()!.Count;
        _watch.Remove(Path.Combine(_folder, "one"));
        Sh.Run($"cat {_folder}/two/librunai.so");
        while (_watch.Wait()! is var next && next.All(opening => opening.DirId != "two"))
            told += next.Count;
        Assert.That(told, Is.InRange(1, Kept));
    }

    [Test]
    public void An_older_kernel_names_the_process_alone()
    {
        var (one, old) = (
            Path.Combine(_folder, "one"),
            new ShimWatch(NullLogger<ShimWatch>.Instance) { AsksForDirectories = false }
        );
        old.Add(one);
        using var program = Sh.Start($"exec cat {one}/librunai.so -");
        Assert.That(old.Wait(), Is.EqualTo(new[] { new ShimOpening(program.Id, null) }));
        program.StandardInput.Close();
        program.WaitForExit();
    }

    [Test]
    public void A_directory_that_is_not_there_is_no_error() =>
        Assert.That(() => _watch.Add(Path.Combine(_folder, "gone")), Throws.Nothing);

    [TestCase("0::/docker/ID\n", "ID")]
    [TestCase("0::/system.slice/docker-ID.scope\n", "ID")]
    [TestCase("12:memory:/docker/ID\n11:cpu,cpuacct:/docker/ID\n0::/\n", "ID")]
    [TestCase("0::/../ID\n", "ID")]
    [TestCase("0::/user.slice/user-0.slice\n", "")]
    [TestCase("0::/docker/xID\n", "")]
    [TestCase("", "")]
    public void A_control_group_names_its_container(string text, string found)
    {
        var id = string.Concat(Enumerable.Repeat("0123456789abcdef", 4));
        Assert.That(
            string.Join(' ', ControlGroups.ContainersIn(text.Replace("ID", id, StringComparison.Ordinal))),
            Is.EqualTo(found.Replace("ID", id, StringComparison.Ordinal))
        );
    }
}
