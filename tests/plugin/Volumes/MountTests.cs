// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

/// <summary>Real mounts, in a namespace that only the test sees.</summary>
sealed class MountTests
{
    static readonly string Id = new('a', 64),
        OtherId = new('b', 64);

    static void Test(Action<VolumesUnderTest> test) =>
        PrivateNamespace.Run(() =>
        {
            using var volumes = new VolumesUnderTest(shared: true);
            test(volumes);
        });

    [Test]
    public void An_activation_gets_shim_preload_and_ledger() =>
        Test(volumes =>
        {
            var path = volumes.Mount(Id);
            Assert.That(path, Is.EqualTo(Path.Combine(volumes.Settings.State, "mounts", Id)));
            Assert.That(File.ReadAllText(Path.Combine(path, "librunai.so")), Is.EqualTo(VolumesUnderTest.Shim));
            Assert.That(File.ReadAllText(Path.Combine(path, "ld.so.preload")), Is.EqualTo("/runai/librunai.so\n"));
            Assert.That(Directory.Exists(Path.Combine(path, "usage")));
            Assert.That(File.ReadAllText(Path.Combine(path, "quiet", "i686")), Is.EqualTo("nothing"));
            Assert.That(Directory.GetFileSystemEntries(path), Has.Length.EqualTo(4));
        });

    [Test]
    public void Only_the_ledger_can_be_changed() =>
        Test(volumes =>
        {
            var path = volumes.Mount(Id);
            volumes.Directories.WriteQuota(Id, new QuotaFile(new('c', 64)) { Limit = "0.5" });
            foreach (
                var command in new[]
                {
                    "echo x > {0}/quota",
                    "rm {0}/quota",
                    "echo x >> {0}/librunai.so",
                    "ln {0}/quota {0}/second",
                    "chmod 777 {0}",
                    "rmdir {0}/usage",
                }
            )
                Assert.That(
                    Sh.Run(string.Format(null, command, path)).Output,
                    Does.Contain("Read-only").Or.Contain("busy"),
                    command
                );
            Assert.That(
                Sh.Run($"echo charged > {path}/usage/ledger && cat {path}/usage/ledger"),
                Is.EqualTo((0, "charged"))
            );
            Assert.That(Sh.Run($"head -c 200000 /dev/zero > {path}/usage/big").Output, Does.Contain("No space left"));
        });

    [Test]
    public void The_flags_hold_for_a_container_that_binds_it() =>
        Test(volumes =>
        {
            using var container = new FakeContainer(volumes.Mount(Id), Path.Combine(volumes.Settings.State, "target"));
            var lines = File.ReadAllLines($"/proc/{container.Pid}/mountinfo")
                .Where(line => line.Contains("/target", StringComparison.Ordinal))
                .ToList();
            Assert.That(lines, Has.Count.EqualTo(2));
            Assert.That(lines[0].Split(' ')[5].Split(','), Is.SupersetOf(new[] { "ro", "nosuid", "nodev" }));
            Assert.That(lines[1].Split(' ')[5].Split(','), Is.SupersetOf(new[] { "rw", "nosuid", "nodev", "noexec" }));
            Assert.That(volumes.Directories.Find(MountEntry.Parse(lines[0])!), Is.EqualTo(Id));
        });

    [Test]
    public void The_hosts_side_is_read_only_and_removed_too() =>
        Test(volumes =>
        {
            using var host = Sh.Start("exec unshare -m --propagation slave sh -c 'echo ready && exec cat'");
            Assert.That(host.StandardOutput.ReadLine(), Is.EqualTo("ready"));
            volumes.Mount(Id);
            var seen = File.ReadAllLines($"/proc/{host.Id}/mountinfo")
                .Where(line => line.Contains($"/mounts/{Id}", StringComparison.Ordinal))
                .ToList();
            Assert.That(seen, Has.Count.EqualTo(2));
            Assert.That(seen[0].Split(' ')[5], Does.StartWith("ro,nosuid,nodev"));
            volumes.Unmount(Id);
            Assert.That(File.ReadAllText($"/proc/{host.Id}/mountinfo"), Does.Not.Contain(Id));
            host.StandardInput.Close();
            host.WaitForExit();
        });

    [Test]
    public void The_shim_is_one_file_for_all() =>
        Test(volumes =>
        {
            var inodes = Sh.Run(
                    $"stat -c %i {volumes.Mount(Id)}/librunai.so {volumes.Mount(OtherId)}/librunai.so "
                        + $"{volumes.Layout.Mount(Id)}/quiet/i686 {volumes.Layout.Mount(OtherId)}/quiet/i686"
                )
                .Output.Split('\n');
            Assert.That((inodes[0], inodes[2]), Is.EqualTo((inodes[1], inodes[3])));
        });

    [Test]
    public void A_new_shim_leaves_running_containers_the_old_one() =>
        Test(volumes =>
        {
            var old = volumes.Mount(Id);
            File.WriteAllText(volumes.Settings.Shim, "a newer shim");
            volumes.Restart();
            var fresh = volumes.Mount(OtherId);
            Assert.That(File.ReadAllText($"{old}/librunai.so"), Is.EqualTo(VolumesUnderTest.Shim));
            Assert.That(File.ReadAllText($"{fresh}/librunai.so"), Is.EqualTo("a newer shim"));
            Assert.That(Directory.GetDirectories(volumes.Layout.Shims), Has.Length.EqualTo(1));
        });

    [Test]
    public void A_plugin_without_quiet_libraries_delivers_the_shim() =>
        Test(volumes =>
        {
            Directory.Delete(volumes.Layout.Quiet, recursive: true);
            volumes.Restart();
            var path = volumes.Mount(Id);
            Assert.That(File.ReadAllText($"{path}/librunai.so"), Is.EqualTo(VolumesUnderTest.Shim));
            Assert.That(Directory.GetFiles($"{path}/quiet"), Is.Empty);
        });

    [Test]
    public void Quiet_libraries_that_change_without_the_shim_are_new_files() =>
        Test(volumes =>
        {
            var old = volumes.Mount(Id);
            File.WriteAllText($"{volumes.Layout.Quiet}/i686", "still nothing");
            volumes.Restart();
            var fresh = volumes.Mount(OtherId);
            Assert.That(File.ReadAllText($"{old}/quiet/i686"), Is.EqualTo("nothing"));
            Assert.That(File.ReadAllText($"{fresh}/quiet/i686"), Is.EqualTo("still nothing"));
        });

    [Test]
    public void Every_activation_has_a_directory_of_its_own() =>
        Test(volumes =>
        {
            var (one, other) = (volumes.Mount(Id), volumes.Mount(OtherId));
            volumes.Directories.WriteQuota(Id, new QuotaFile(new('c', 64)) { Limit = "0.5" });
            Assert.That(one, Is.Not.EqualTo(other));
            Assert.That(File.Exists($"{one}/quota"));
            Assert.That(File.Exists($"{other}/quota"), Is.False);
            Sh.Run($"echo mine > {one}/usage/ledger");
            Assert.That(Directory.GetFiles($"{other}/usage"), Is.Empty);
        });

    [Test]
    public void The_guard_refuses_new_mounts_only() =>
        Test(volumes =>
        {
            volumes.Guard.Refusal = "nobody asks";
            Assert.That(() => volumes.Mount(Id), Throws.InvalidOperationException.With.Message.EqualTo("nobody asks"));
            Assert.That(volumes.References.Find(Id), Is.Null);
            volumes.Guard.Refusal = null;
            var target = Path.Combine(volumes.Settings.State, "target");
            using (var container = new FakeContainer(volumes.Mount(Id), target))
            {
                volumes.Activations.Claim(Id, "c1", container.Pid);
                volumes.Guard.Refusal = "nobody asks";
                Assert.That(volumes.Mount(Id), Does.EndWith(Id), "docker cp on a running container");
                Assert.That(() => volumes.Mount(OtherId), Throws.InvalidOperationException);
            }
            Assert.That(
                () => volumes.Mount(Id),
                Throws.InvalidOperationException,
                "an engine that was killed begins with the old ID again"
            );
        });

    [Test]
    public void A_directory_goes_with_its_last_reference() =>
        Test(volumes =>
        {
            var path = volumes.Mount(Id);
            Assert.That(volumes.Mount(Id), Is.EqualTo(path), "docker cp on a running container mounts its ID again");
            Assert.That(volumes.Unmount(Id), Is.Null);
            Assert.That(File.Exists($"{path}/librunai.so"));
            Assert.That(volumes.Unmount(Id), Is.Null);
            Assert.That(Directory.Exists(path), Is.False);
            Assert.That(volumes.Activations.Idle.TryRead(out _), "the collector is woken");
            Assert.That(volumes.Collect(TimeSpan.FromHours(1)), Is.EqualTo(new[] { Id }));
            Assert.That(volumes.Directories.List(), Is.Empty);
            Assert.That(volumes.Directories.MountedOnes(), Is.Empty);
            Assert.That(Directory.GetFiles(volumes.Layout.References), Is.Empty);
            Assert.That(Directory.GetFileSystemEntries(volumes.Settings.Stage), Is.Empty);
        });

    [Test]
    public void A_repeated_mount_does_not_mount_twice() =>
        Test(volumes =>
        {
            volumes.Mount(Id);
            volumes.Mount(Id);
            Assert.That(
                File.ReadLines("/proc/thread-self/mountinfo")
                    .Count(line => line.Contains($"/mounts/{Id} ", StringComparison.Ordinal)),
                Is.EqualTo(1)
            );
        });

    [Test]
    public void Unmounting_what_is_not_known_succeeds() =>
        Test(volumes =>
        {
            foreach (var id in new[] { Id, "", "../..", new string('x', 5000) })
                Assert.That(volumes.Unmount(id), Is.Null);
        });

    [Test]
    public void Any_id_stays_inside_the_folder() =>
        Test(volumes =>
        {
            foreach (var id in new[] { "../../etc", "/", ".", "a b\n\\", "ABC", "abc", "ü", new string('A', 64) })
                Assert.That(Path.GetDirectoryName(volumes.Mount(id)), Is.EqualTo(volumes.Layout.Mounts), id);
            Assert.That(volumes.Directories.MountedOnes(), Has.Count.EqualTo(8));
            Assert.That(
                volumes.Driver.MountAsync("runai", new string('x', 100), default).Result.Error,
                Does.Contain("longer than 99 bytes")
            );
            Assert.That(volumes.Driver.MountAsync("runai", "", default).Result.Error, Is.Not.Null);
        });

    [Test]
    public void A_volume_that_is_not_there_is_not_mounted() =>
        Test(volumes =>
            Assert.That(
                volumes.Driver.MountAsync("other", Id, default).Result,
                Is.EqualTo(MountResult.Failed("no volume other: make it with docker volume create"))
            )
        );

    [TestCase("rm {shim}", "shim.so")]
    [TestCase("touch {state}/mounts/{id}", "mounts")]
    [TestCase("rm -rf {stage} && touch {stage}", "stage")]
    [TestCase("mkdir -p {stage}/{id}/usage && mount -t tmpfs -o ro x {stage}", "stage")]
    public void A_failed_mount_leaves_nothing_behind(string obstacle, string said) =>
        Test(volumes =>
        {
            var command = obstacle
                .Replace("{shim}", volumes.Settings.Shim)
                .Replace("{state}", volumes.Settings.State)
                .Replace("{stage}", volumes.Settings.Stage)
                .Replace("{id}", Id);
            if (obstacle.Contains("-o ro", StringComparison.Ordinal))
                volumes.Mount(OtherId);
            Assert.That(Sh.Run(command), Is.EqualTo((0, "")));
            var result = volumes.Driver.MountAsync("runai", Id, default).Result;
            Assert.That(result.Error, Does.Contain(said));
            Assert.That(Directory.Exists(volumes.Layout.Directory(Id)), Is.False);
            Assert.That(File.Exists(volumes.Layout.Reference(Id)), Is.False);
            Assert.That(volumes.Directories.MountedOnes(), Does.Not.Contain(Id));
            Assert.That(volumes.References.Find(Id), Is.Null);
        });

    [Test]
    public void A_plugin_that_was_killed_knows_its_mounts_again() =>
        Test(volumes =>
        {
            var path = volumes.Mount(Id);
            volumes.Mount(Id);
            volumes.Directories.WriteQuota(Id, new QuotaFile(new('c', 64)) { Limit = "0.5" });
            volumes.Restart();
            Assert.That(volumes.References.Find(Id)!.Count, Is.EqualTo(2));
            Assert.That(volumes.Directories.MountedOnes(), Is.EqualTo(new[] { Id }));
            Assert.That(volumes.Mount(Id), Is.EqualTo(path));
            for (var left = 3; left > 0; left--)
            {
                Assert.That(File.Exists($"{path}/quota"), $"{left} references left");
                volumes.Unmount(Id);
            }
            Assert.That(Directory.Exists(path), Is.False);
        });

    [Test]
    public void A_lost_mount_is_made_again_from_disk() =>
        Test(volumes =>
        {
            var path = volumes.Mount(Id);
            volumes.Directories.WriteQuota(Id, new QuotaFile(new('c', 64)) { Limit = "0.5" });
            Assert.That(
                Sh.Run($"umount -R {path}"),
                Is.EqualTo((0, "")),
                "as the engine does when the plugin is disabled"
            );
            volumes.Restart();
            Assert.That(volumes.Mount(Id), Is.EqualTo(path));
            Assert.That(File.ReadAllText($"{path}/quota"), Does.Contain("limit=0.5"));
            Assert.That(Directory.Exists($"{path}/usage"));
        });

    [Test]
    public void After_a_reboot_the_old_directories_are_collected() =>
        Test(volumes =>
        {
            volumes.Mount(Id);
            volumes.Directories.WriteQuota(Id, new QuotaFile(new('c', 64)) { Limit = "0.5" });
            Assert.That(
                Sh.Run(
                    $"umount -R {volumes.Layout.Mount(Id)} && sed -i "
                        + $"'s/\"Boot\":\"[^\"]*\"/\"Boot\":\"another\"/' {volumes.Layout.Reference(Id)}"
                ),
                Is.EqualTo((0, ""))
            );
            volumes.Restart();
            Assert.That(
                File.Exists(Path.Combine(volumes.Layout.Directory(Id), "quota")),
                Is.False,
                "after a power cut it may be anything"
            );
            Assert.That(volumes.Collect(TimeSpan.FromHours(1)), Is.EqualTo(new[] { Id }));
            Assert.That(volumes.Directories.List(), Is.Empty);
            Assert.That(Directory.GetFileSystemEntries(volumes.Layout.Mounts), Is.Empty);
        });

    [Test]
    public void A_mounted_directory_is_never_removed() =>
        Test(volumes =>
        {
            var path = volumes.Mount(Id);
            using (var container = new FakeContainer(path, Path.Combine(volumes.Settings.State, "target")))
            {
                Assert.That(volumes.Activations.Claim(Id, new('c', 64), container.Pid));
                volumes.Unmount(Id);
                volumes.Unmount(Id);
                Assert.That(volumes.Collect(TimeSpan.Zero), Is.Empty);
                Assert.That(File.Exists($"{path}/librunai.so"));
                File.Delete(volumes.Layout.Reference(Id));
                volumes.Restart();
                Assert.That(volumes.Collect(TimeSpan.Zero), Is.Empty, "with nothing but the kernel to tell");
            }
            Assert.That(volumes.Collect(TimeSpan.Zero), Is.EqualTo(new[] { Id }));
            Assert.That(Directory.Exists(path), Is.False);
        });

    /// <summary>Of the one the kernel shows no list of mounts, of the other an empty one.</summary>
    [TestCase(FakeContainer.Zombie)]
    [TestCase(FakeContainer.Chrooted)]
    public void Mounts_are_known_without_first_thread_or_root(string program) =>
        Test(volumes =>
        {
            var path = volumes.Mount(Id);
            var target = Path.Combine(volumes.Settings.State, "target");
            using (var container = new FakeContainer(path, target, program))
            {
                Assert.That(() => Lines(container.Pid), Is.Zero.After(10_000, 10), "what this is about");
                Assert.That(
                    new ProcMountTable().OfProcess(container.Pid).Select(mount => mount.Target),
                    Is.SupersetOf(new[] { "/", target, target + "/usage" })
                );
                foreach (var claims in (bool[])[false, true])
                {
                    if (claims)
                        Assert.That(volumes.Activations.Claim(Id, new('c', 64), container.Pid));
                    volumes.Unmount(Id);
                    Assert.That(volumes.Collect(TimeSpan.Zero), Is.Empty);
                }
                Assert.That(volumes.Activations.IsInUse(Id));
                var mounted = new ProcMountTable().OfProcess(container.Pid).Last(mount => mount.Target == target);
                var mounts = new ContainerMounts(
                    Microsoft.Extensions.Logging.Abstractions.NullLogger<ContainerMounts>.Instance
                );
                Assert.That(
                    mounts
                        .MakePrivateAsync(container.Pid, mounted, volumes.Layout.Directory(Id))
                        .GetAwaiter()
                        .GetResult(),
                    Is.Null
                );
            }
            Assert.That(volumes.Collect(TimeSpan.Zero), Is.EqualTo(new[] { Id }));
        });

    static int Lines(int pid)
    {
        try
        {
            return File.ReadAllLines($"/proc/{pid}/mountinfo").Length;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    [Test]
    public void A_directory_that_may_be_mounted_stays() =>
        Test(volumes =>
        {
            using (var container = new FakeContainer(volumes.Mount(Id), Path.Combine(volumes.Settings.State, "target")))
            {
                volumes.Hidden.Pids.Add(container.Pid);
                volumes.Unmount(Id);
                Assert.That(volumes.Collect(TimeSpan.Zero), Is.Empty, "whose it is nobody knows");
                Assert.That(volumes.Activations.Claim(Id, new('c', 64), container.Pid));
                Assert.That(volumes.Collect(TimeSpan.Zero), Is.Empty);
                Assert.That(
                    volumes.Activations.Claim(Id, new('d', 64), Environment.ProcessId),
                    Is.False,
                    "a neighbour does not get it"
                );
            }
            volumes.Hidden.Pids.Clear();
            Assert.That(volumes.Collect(TimeSpan.Zero), Is.EqualTo(new[] { Id }));
        });

    [Test]
    public void A_running_containers_directory_stays() =>
        Test(volumes =>
        {
            var container = new string('c', 64);
            volumes.Running.Add(container);
            volumes.Mount(Id);
            Assert.That(volumes.Activations.Claim(Id, container, Environment.ProcessId));
            volumes.Unmount(Id);
            volumes.Time.Advance(TimeSpan.FromHours(1));
            Assert.That(volumes.Collect(TimeSpan.FromMinutes(10)), Is.Empty);
            volumes.Mount(OtherId);
            Assert.That(volumes.Activations.Claim(OtherId, container, Environment.ProcessId + 1));
            Assert.That(volumes.Collect(TimeSpan.FromMinutes(10)), Is.EqualTo(new[] { Id }));
            volumes.Running.Clear();
            volumes.Unmount(OtherId);
            Assert.That(volumes.Collect(TimeSpan.FromMinutes(10)), Is.EqualTo(new[] { OtherId }));
        });

    [Test]
    public void An_extra_reference_keeps_a_directory_briefly() =>
        Test(volumes =>
        {
            volumes.Mount(Id);
            volumes.Time.Advance(TimeSpan.FromMinutes(9));
            Assert.That(volumes.Collect(TimeSpan.FromMinutes(10)), Is.Empty);
            volumes.Time.Advance(TimeSpan.FromMinutes(1));
            Assert.That(volumes.Collect(TimeSpan.FromMinutes(10)), Is.EqualTo(new[] { Id }));
        });

    [Test]
    public void A_returning_mount_finds_its_quota() =>
        Test(volumes =>
        {
            var path = volumes.Mount(Id);
            volumes.Directories.WriteQuota(Id, new QuotaFile(new('c', 64)) { Limit = "0.5" });
            volumes.Unmount(Id);
            volumes.Mount(Id);
            Assert.That(volumes.Collect(TimeSpan.FromHours(1)), Is.Empty);
            Assert.That(File.ReadAllText($"{path}/quota"), Does.Contain("0.5"));
        });

    [Test]
    public void Docker_cp_takes_nothing_from_the_container() =>
        Test(volumes =>
        {
            // What 20.10 does after live-restore: it mounts the volume under a new ID on the container's root file
            // system, which propagates to below the container's own mount.
            var root = Path.Combine(volumes.Settings.State, "rootfs");
            Assert.That(
                Sh.Run($"mkdir -p {root}/runai && mount --bind {root} {root} && mount --make-shared {root}"),
                Is.EqualTo((0, ""))
            );
            var own = volumes.Mount(Id);
            volumes.Directories.WriteQuota(Id, new QuotaFile(new('c', 64)) { Limit = "0.5" });
            using var container = Sh.Start(
                $"exec unshare -m --propagation slave sh -c 'mount --rbind {own} {root}/runai && echo ready && "
                    + "exec cat'"
            );
            Assert.That(container.StandardOutput.ReadLine(), Is.EqualTo("ready"));
            var seen = $"/proc/{container.Id}/root{root}/runai";

            var other = volumes.Mount(OtherId);
            Assert.That(
                Sh.Run(
                    $"mount --rbind {other} {root}/runai && mount --make-rprivate {root}/runai && umount -l "
                        + $"{root}/runai"
                ),
                Is.EqualTo((0, ""))
            );
            volumes.Unmount(OtherId);
            volumes.Collect(TimeSpan.Zero);

            Assert.That(File.ReadAllText($"{seen}/quota"), Does.Contain("limit=0.5"));
            Assert.That(Sh.Run($"echo charged > {seen}/usage/ledger"), Is.EqualTo((0, "")));
            Assert.That(volumes.Collect(TimeSpan.Zero), Is.Empty);
            container.StandardInput.Close();
            container.WaitForExit();
            volumes.Unmount(Id);
            Assert.That(volumes.Collect(TimeSpan.Zero), Is.SubsetOf(new[] { Id, OtherId }).And.Contains(Id));
        });

    [Test]
    public void A_directory_is_one_containers_only() =>
        Test(volumes =>
        {
            var path = volumes.Mount(Id);
            using (var owner = new FakeContainer(path, Path.Combine(volumes.Settings.State, "target")))
            {
                Assert.That(volumes.Activations.Claim(Id, new('c', 64), owner.Pid));
                Assert.That(volumes.Activations.Claim(Id, new('c', 64), owner.Pid));
                Assert.That(volumes.Activations.Claim(Id, new('d', 64), Environment.ProcessId), Is.False);
            }
            Assert.That(volumes.Activations.Claim(Id, new('d', 64), Environment.ProcessId), "its owner is gone");
        });

    [Test]
    public void A_mount_that_the_engine_cannot_see_is_refused() =>
        PrivateNamespace.Run(() =>
        {
            using var volumes = new VolumesUnderTest(shared: true, managed: true);
            using (var engine = Sh.Start("exec unshare -m --propagation unchanged sh -c 'echo ready && exec cat'"))
            {
                Assert.That(engine.StandardOutput.ReadLine(), Is.EqualTo("ready"));
                volumes.Mount(Id);
                volumes.Mount(Id);
                Assert.That(volumes.Host.Restarts, Is.Zero);
                Assert.That(volumes.Host.Propagates());
                Assert.That(
                    Sh.Run($"nsenter -t {engine.Id} -m umount -l {volumes.Settings.State}"),
                    Is.EqualTo((0, "")),
                    "as 28.5 does when it starts"
                );
                Assert.That(volumes.Host.Propagates(), Is.False);

                Assert.That(
                    volumes.Driver.MountAsync("runai", OtherId, default).Result.Error,
                    Does.Contain("does not see")
                );
                Assert.That(volumes.Host.Restarts, Is.EqualTo(1));
                Assert.That(volumes.References.Find(OtherId), Is.Null);
                Assert.That(Directory.Exists(volumes.Layout.Directory(OtherId)), Is.False);
                Assert.That(
                    volumes.Driver.MountAsync("runai", Id, default).Result.Error,
                    Does.Contain("does not see"),
                    "nor one that it saw before"
                );
                Assert.That(volumes.References.Find(Id)!.Count, Is.EqualTo(2), "the engine will ask again");
                engine.StandardInput.Close();
                engine.WaitForExit();
            }
        });

    [Test]
    public void Fifty_at_once_do_not_hinder_each_other() =>
        Test(volumes =>
        {
            var ids = Enumerable.Range(0, 50).Select(n => n.ToString("x64", null)).ToList();
            var failures = new List<Exception>();
            // Threads of this thread: a pool's thread would be in the machine's namespace.
            var threads = Enumerable
                .Range(0, 5)
                .Select(part => new Thread(() =>
                {
                    try
                    {
                        foreach (var id in ids.Where((_, n) => n % 5 == part))
                            volumes.Mount(id);
                        foreach (var id in ids.Where((_, n) => n % 5 == part && n >= 25))
                            volumes.Unmount(id);
                    }
                    catch (Exception e)
                    {
                        lock (failures)
                            failures.Add(e);
                    }
                }))
                .ToList();
            threads.ForEach(thread => thread.Start());
            threads.ForEach(thread => thread.Join());
            Assert.That(failures, Is.Empty);
            Assert.That(volumes.Directories.MountedOnes(), Is.EquivalentTo(ids.Take(25)));
            Assert.That(Directory.GetFileSystemEntries(volumes.Settings.Stage), Is.Empty);
        });
}
