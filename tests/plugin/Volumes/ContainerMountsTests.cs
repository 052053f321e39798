// SPDX-License-Identifier: Apache-2.0
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;
using Runai.GpuMemory.Tests.Reconciliation;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

/// <summary>Real mount namespaces, entered as those of containers are.</summary>
sealed partial class ContainerMountsTests
{
    static readonly string Id = new('a', 64);

    /// <summary>A process with mounts of its own, where the directory of a volume is at <c>/target</c> below the state
    /// as runc leaves it: what happens on the host happens there.</summary>
    sealed class Follower : IDisposable
    {
        readonly Process _process;

        public Follower(VolumesUnderTest volumes, string source, string setup = "true", string user = "0")
        {
            Target = Path.Combine(volumes.Settings.State, "target");
            Directory.CreateDirectory(Target);
            _process = Sh.Start(
                $"exec unshare -m --propagation slave sh -c 'mount --rbind \"{source}\" \"{Target}\" && {setup} "
                    + $"&& echo ready && exec setpriv --reuid {user} cat'"
            );
            var line = _process.StandardOutput.ReadLine();
            if (line != "ready")
                throw new InvalidOperationException(line);
        }

        public int Pid => _process.Id;
        public string Target { get; }

        public MountEntry Mount => new ProcMountTable().OfProcess(Pid).Last(mount => mount.Target == Target);
        public bool HasLedger => new ProcMountTable().OfProcess(Pid).Any(mount => mount.Target == Target + "/usage");

        public void Dispose()
        {
            _process.StandardInput.Close();
            _process.WaitForExit();
            _process.Dispose();
        }
    }

    static void Test(Action<VolumesUnderTest, string> test) =>
        PrivateNamespace.Run(() =>
        {
            using var volumes = new VolumesUnderTest(shared: true);
            test(volumes, volumes.Mount(Id));
        });

    static string? MakePrivate(VolumesUnderTest volumes, int pid, MountEntry mount) =>
        new ContainerMounts(NullLogger<ContainerMounts>.Instance)
            .MakePrivateAsync(pid, mount, volumes.Layout.Directory(Id))
            .GetAwaiter()
            .GetResult();

    [Test]
    public void The_ledger_goes_with_the_plugins_mounts() =>
        Test(
            (volumes, source) =>
            {
                using var container = new Follower(volumes, source);
                Assert.That((container.HasLedger, container.Mount.IsPrivate), Is.EqualTo((true, false)));
                volumes.Directories.Detach(Id);
                Assert.That(container.HasLedger, Is.False, "what these tests are about");
            }
        );

    [TestCase("0")]
    [TestCase("1234")]
    public void The_ledger_stays_on_a_private_mount(string user) =>
        Test(
            (volumes, source) =>
            {
                using var container = new Follower(volumes, source, user: user);
                var own = File.ReadAllText("/proc/thread-self/mountinfo");
                Assert.That(MakePrivate(volumes, container.Pid, container.Mount), Is.Null);
                Assert.That(container.Mount.IsPrivate);
                Assert.That(File.ReadAllText("/proc/thread-self/mountinfo"), Is.EqualTo(own), "nothing changed here");
                volumes.Directories.Detach(Id);
                Assert.That(container.HasLedger);
            }
        );

    [Test]
    public void A_stopped_process_is_no_hindrance() =>
        Test(
            (volumes, source) =>
            {
                using var container = new Follower(volumes, source);
                Sh.Run($"kill -STOP {container.Pid}");
                Assert.That(MakePrivate(volumes, container.Pid, container.Mount), Is.Null);
                Sh.Run($"kill -CONT {container.Pid}");
                Assert.That(container.Mount.IsPrivate);
            }
        );

    [TestCase("mount -t tmpfs x $TARGET", "another mount is at", TestName = "Something mounted over it is left alone")]
    [TestCase(
        "mount --bind $TARGET/quiet $TARGET",
        "another mount is at",
        TestName = "A part of it mounted over it is left alone"
    )]
    [TestCase(
        "umount -R $TARGET; rmdir $TARGET; ln -s / $TARGET",
        "target:",
        TestName = "A link in its place is not followed"
    )]
    [TestCase("umount -R $TARGET", "another mount is at", TestName = "A place where it is no more is left alone")]
    public void Only_the_mount_itself_is_changed(string trick, string problem) =>
        Test(
            (volumes, source) =>
            {
                using var container = new Follower(volumes, source);
                var mount = container.Mount;
                Assert.That(
                    Sh.Run(
                        $"nsenter -t {container.Pid} -m sh -c "
                            + $"'{trick.Replace("$TARGET", container.Target, StringComparison.Ordinal)}'"
                    ).Code,
                    Is.Zero
                );
                var before = File.ReadAllText($"/proc/{container.Pid}/mountinfo");
                Assert.That(MakePrivate(volumes, container.Pid, mount), Does.Contain(problem));
                Assert.That(File.ReadAllText($"/proc/{container.Pid}/mountinfo"), Is.EqualTo(before));
            }
        );

    [Test]
    public void A_mount_of_something_else_is_not_changed() =>
        Test(
            (volumes, source) =>
            {
                using var container = new Follower(volumes, "/usr");
                Assert.That(
                    MakePrivate(volumes, container.Pid, container.Mount),
                    Does.StartWith("something else is mounted at")
                );
            }
        );

    [Test]
    public void A_process_that_is_gone_is_an_answer() =>
        Test(
            (volumes, source) =>
            {
                var container = new Follower(volumes, source);
                var (pid, mount) = (container.Pid, container.Mount);
                container.Dispose();
                Assert.That(MakePrivate(volumes, pid, mount), Does.Contain("No such"));
            }
        );

    [Test]
    public void Thousands_of_mounts_are_no_hindrance() =>
        Test(
            (volumes, source) =>
            {
                using var container = new Follower(
                    volumes,
                    source,
                    "mount -t tmpfs x /mnt && mkdir /mnt/1 /mnt/2 && mount -t tmpfs x /mnt/1 && for n in $(seq "
                        + "11); do mount --rbind /mnt /mnt/2; done"
                );
                Assert.That(new ProcMountTable().OneByOne(container.Pid).Count(), Is.GreaterThan(1000));
                Assert.That(MakePrivate(volumes, container.Pid, container.Mount), Is.Null);
                Assert.That(container.Mount.IsPrivate);
            }
        );

    [Test]
    public void A_hanging_file_system_is_not_waited_for_long() =>
        Test(
            (volumes, source) =>
            {
                using var container = new Follower(volumes, source);
                var impatient = new ContainerMounts(NullLogger<ContainerMounts>.Instance)
                {
                    MountTimeout = TimeSpan.Zero,
                };
                Assert.That(
                    impatient
                        .MakePrivateAsync(container.Pid, container.Mount, volumes.Layout.Directory(Id))
                        .GetAwaiter()
                        .GetResult(),
                    Is.EqualTo($"the way to {container.Target} does not answer").Or.Null
                );
            }
        );

    [Test]
    public void Without_the_capability_it_says_so_once() =>
        Test(
            (volumes, source) =>
            {
                using var container = new Follower(volumes, source, user: "1234");
                var log = new System.Collections.Concurrent.ConcurrentQueue<string>();
                var mounts = new ContainerMounts(new ListLogger<ContainerMounts>(log));
                var (mount, folder) = (container.Mount, volumes.Layout.Directory(Id));
                var answers = new List<string?>();
                // Capabilities are a thread's too, and those that it makes have the same.
                var thread = new Thread(() =>
                {
                    DropSysPtrace();
                    for (var n = 0; n < 3; n++)
                        answers.Add(mounts.MakePrivateAsync(container.Pid, mount, folder).GetAwaiter().GetResult());
                });
                thread.Start();
                thread.Join();
                Assert.That(answers, Has.Exactly(3).Contains("Permission denied"));
                Assert.That(
                    log,
                    Has.Exactly(1).Items.And.All.Contains("Warning 213").And.All.Contains("CAP_SYS_PTRACE")
                );
            }
        );

    static unsafe void DropSysPtrace()
    {
        const uint Version3 = 0x20080522;
        const uint SysPtrace = 1 << 19;
        var header = stackalloc uint[2] { Version3, 0 };
        var sets = stackalloc uint[6];
        if (CapGet(header, sets) != 0)
            throw new InvalidOperationException("capget");
        sets[0] &= ~SysPtrace;
        if (CapSet(header, sets) != 0)
            throw new InvalidOperationException("capset");
    }

    [LibraryImport("libc", EntryPoint = "capget")]
    private static unsafe partial int CapGet(uint* header, uint* sets);

    [LibraryImport("libc", EntryPoint = "capset")]
    private static unsafe partial int CapSet(uint* header, uint* sets);
}
