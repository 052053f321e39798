// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Tests.Engine;

sealed class LocalVolumeTests
{
    static List<string> Paths(string type, string device, string o) =>
        LocalVolume.HostPaths(
            new Dictionary<string, string>
            {
                ["type"] = type,
                ["device"] = device,
                ["o"] = o,
            }
        );

    [TestCase("nfs", ":/etc", "addr=10.0.0.1,rw,nolock")]
    [TestCase("nfs4", "nas:/etc", "clientaddr=/x")]
    [TestCase("cifs", "//nas/share", "username=bob,password=a:/b/etc,credentials=/etc/passwd")]
    [TestCase("smb3", "//nas/share", "pass=/etc")]
    [TestCase("ceph", "10.0.0.1:6789,10.0.0.2:6789:/", "name=bob,secret=AQ/etc==")]
    [TestCase("9p", "10.0.0.1", "trans=rdma,version=9p2000.L")]
    [TestCase("cifs", "//files/share", "sec=krb5,uid=1000")]
    [TestCase("9p", "10.0.0.1", "trans=tcp,aname=/etc")]
    [TestCase("glusterfs", "nas:/volume", "log-file=/x")]
    [TestCase("lustre", "mgs@tcp:/fs", "")]
    [TestCase("tmpfs", "/etc", "size=1m,mode=1777")]
    [TestCase("", "", "")]
    public void A_remote_volume_shows_nothing_of_the_host(string type, string device, string o) =>
        Assert.That(Paths(type, device, o), Is.Empty);

    [Test]
    public void A_size_alone_is_a_volume_of_the_engines_own() =>
        Assert.That(LocalVolume.HostPaths(new Dictionary<string, string> { ["size"] = "1g" }), Is.Empty);

    [TestCase("none", "/home/bob", "bind", "/home/bob")]
    [TestCase("nfs", "etc", "rw,rbind", "/etc")]
    [TestCase("tmpfs", "/etc", "bind", "/etc")]
    [TestCase("ext4", "/dev/vdb", "noload,journal_path=/dev/vda,data=ordered", "/dev/vdb", "/dev/vda")]
    [TestCase("ext4", "/dev/vdb", "journal_dev=0x801", "/dev/vdb", "/0x801")]
    [TestCase("xfs", "dev/vdb", "logdev=dev/vda,rtdev=/dev/vdc", "/dev/vdb", "/dev/vda", "/dev/vdc")]
    [TestCase("btrfs", "/dev/vdb", "subvol=/data,device=/dev/vda", "/dev/vdb", "/dev/vda")]
    public void Paths_are_found(string type, string device, string o, params string[] paths) =>
        Assert.That(Paths(type, device, o), Is.EqualTo(paths));

    [TestCase("binfmt_misc", "/home/bob", "", "type=binfmt_misc", "/home/bob")]
    [TestCase("devtmpfs", "x", "", "type=devtmpfs", "/dev", "/x")]
    [TestCase("overlay", "x", "lowerdir=/etc:root,upperdir=a\\b", "type=overlay", "/x", "/etc", "/root", "/")]
    [TestCase("NFS", ":/x", "BIND", "type=NFS", "/:/x")]
    [TestCase("tmpfs ", "x", "", "type=tmpfs ", "/x")]
    [TestCase("fuse.sshfs", "x", "", "type=fuse.sshfs", "/x")]
    [TestCase("", "/x", "", "type=", "/x")]
    [TestCase("9p", "/run/docker.sock", "rw,trans=unix", "trans=unix")]
    [TestCase("9p", "x", "trans=tcp,trans=fd,rfdno=3", "trans=fd")]
    [TestCase("9p", "share", "trans=virtio,version=9p2000.L", "trans=virtio")]
    [TestCase("9p", "share", "trans=xen", "trans=xen")]
    [TestCase("cifs", "//files/share", "sec=krb5,cruid=1001", "cruid=1001")]
    [TestCase("{{.Service.Name}}", "x", "", "type={{…}}", "type={{.Service.Name}}", "/x")]
    [TestCase("cifs", "//x/y", "password=hush{{.Task.Slot}},{{print}}=hush", "o=password={{…}}", "o={{…}}")]
    public void Options_that_no_path_describes_are_refused(string type, string device, string o, params string[] shown)
    {
        Assert.That(Paths(type, device, o), Is.EqualTo(shown));
        Assert.That(Paths(type, device, o).Exists(path => !LocalVolume.IsPath(path)));
    }

    [TestCase(
        "error while mounting volume '/v/_data': failed to mount local volume: mount "
            + "//bob:hush@nas/x:/v/_data, data: username=bob,pass=hush: no such device",
        "error while mounting volume '/v/_data': failed to mount local volume: mount: no such device"
    )]
    [TestCase(
        "failed to mount local volume: mount x:/v, flags: 0x1000, data: secret=hush:",
        "failed to mount local volume: mount"
    )]
    [TestCase("no such volume: x", "no such volume: x")]
    public void The_engines_echo_of_options_is_left_out(string message, string told) =>
        Assert.That(LocalVolume.WithoutOptions(message), Is.EqualTo(told));
}
