// SPDX-License-Identifier: Apache-2.0
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using NUnit.Framework;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

/// <summary>What a container can do to a file that it may only read: a lease makes others wait who open it, a lock
/// makes some fail.</summary>
sealed partial class ServedFileTests
{
    const int SetSignal = 10,
        IgnoredSignal = 23,
        SetLease = 1024,
        WriteLease = 1,
        Exclusive = 2;
    static readonly QuotaFile Quota = new(new('c', 64)) { Limit = "0.5" };

    [Test]
    public void No_container_gets_a_lease_on_shared_files()
    {
        using var volumes = new VolumesUnderTest();
        var shims = new ShimStore(volumes.Layout);
        var files = shims.Current();
        foreach (var name in files.Names)
        {
            using var file = ServedFile.TryOpen(Path.Combine(files.Folder, name))!;
            Assert.That(Lease(file), Is.EqualTo(-1), name);
        }
        GC.KeepAlive(shims);
    }

    [TestCase(true)]
    [TestCase(false)]
    public void A_starting_plugin_replaces_a_leased_shim(bool leased)
    {
        using var volumes = new VolumesUnderTest();
        var files = new ShimStore(volumes.Layout).Current();
        var shim = Path.Combine(files.Folder, StateLayout.ShimName);
        // One that this process has not open.
        File.Copy(shim, shim + "~");
        File.Move(shim + "~", shim, overwrite: true);
        using var container = ServedFile.TryOpen(shim)!;
        Assert.That(leased ? Lease(container) : Lock(container, Exclusive), Is.Zero);
        var next = new ShimStore(volumes.Layout);
        Assert.That(next.Current().Names, Is.EqualTo(files.Names));
        var (links, _) = Sh.Run($"test '{shim}' -ef /proc/{Environment.ProcessId}/fd/{container.DangerousGetHandle()}");
        Assert.That(links == 0, Is.EqualTo(!leased), "the same file");
        using var now = ServedFile.TryOpen(shim)!;
        Assert.That((ServedFile.Read(now), Lease(now)), Is.EqualTo((File.ReadAllBytes(volumes.Settings.Shim), -1)));
        GC.KeepAlive(next);
    }

    [TestCase(true)]
    [TestCase(false)]
    public void A_leased_quota_file_is_replaced(bool leased)
    {
        using var volumes = new VolumesUnderTest();
        Directory.CreateDirectory(volumes.Layout.Directory("x"));
        Assert.That(volumes.Directories.WriteQuota("x", Quota));
        using var container = ServedFile.TryOpen(Path.Combine(volumes.Layout.Directory("x"), StateLayout.QuotaName))!;
        Assert.That(leased ? Lease(container) : Lock(container, Exclusive), Is.Zero);
        Assert.That(volumes.Directories.WriteQuota("x", Quota), Is.EqualTo(leased), "it cannot be read");
        Assert.That(volumes.Directories.HasQuota("x", Quota));
    }

    [Test]
    public void A_file_that_is_not_there_is_none()
    {
        Assert.That(ServedFile.TryRead("/nothing/there"), Is.Null);
        Assert.That(ServedFile.TryRead("/dev/null"), Is.Empty);
    }

    /// <summary>Who has one is told by a signal that somebody opens the file; SIGIO would end this process, SIGURG does
    /// not.</summary>
    static int Lease(SafeFileHandle file) =>
        Control(file, SetSignal, IgnoredSignal) == 0 ? Control(file, SetLease, WriteLease) : -2;

    [LibraryImport("libc", EntryPoint = "fcntl")]
    private static partial int Control(SafeFileHandle file, int command, int argument);

    [LibraryImport("libc", EntryPoint = "flock")]
    private static partial int Lock(SafeFileHandle file, int operation);
}
