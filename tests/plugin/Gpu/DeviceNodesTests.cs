// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Tests.Volumes;

namespace Runai.GpuMemory.Tests.Gpu;

/// <summary>Real device nodes, in a folder that stands for the host's /dev.</summary>
sealed class DeviceNodesTests
{
    string _dev = null!;
    DeviceNodes _nodes = null!;

    [SetUp]
    public void SetUp()
    {
        _dev = Directory.CreateTempSubdirectory("dev").FullName;
        _nodes = new DeviceNodes(new PluginSettings { Devices = _dev });
        Assert.That(
            Sh.Run(
                $"""
                cd {_dev} && mkdir char dri shm empty snd && mknod nvidia0 c 195 0 && mknod nvidiactl c 195 255 && mknod dri/card0 c 226 0 && mknod null c 1 3 &&
                mknod innocent c 195 1 && mknod nvidia9 c 1 5 && mknod sda b 195 0 && mknod snd/timer c 116 1 &&
                ln -s ../nvidia0 char/195:0 && ln -s ../null char/1:3 && ln -s /dev/nvidia0 absolute && ln -s char/../absolute twice && ln -s loop loop &&
                mknod mem c 1 1 && mknod fuse c 10 229 && mkdir mixed && mknod mixed/null c 1 3 && mknod mixed/sdb b 8 16 && ln -s ../null shm/later && ln -s shm/later way &&
                ln -s /etc/passwd out && ln -s /dev folder && ln -s nothing dangling
                """
            ),
            Is.EqualTo((0, "")),
            "device nodes can be made by root only"
        );
    }

    [TearDown]
    public void TearDown() => Directory.Delete(_dev, recursive: true);

    [TestCase("/dev/nvidia0", "/dev/nvidia0")]
    [TestCase("/dev/nvidiactl", "/dev/nvidiactl")]
    [TestCase("/dev/dri/card0", "/dev/dri/card0")]
    [TestCase("/dev/dri", "/dev/dri/card0")]
    [TestCase("/dev/innocent", "/dev/innocent")]
    [TestCase("/dev/char/195:0", "/dev/nvidia0")]
    [TestCase("/dev/absolute", "/dev/nvidia0")]
    [TestCase("/dev/twice", "/dev/nvidia0")]
    [TestCase("/dev/folder/nvidia0", "/dev/nvidia0")]
    [TestCase("/dev/./shm/../nvidia0", "/dev/nvidia0")]
    [TestCase("//dev//nvidia0", "/dev/nvidia0")]
    [TestCase("/dev/../dev/nvidia0", "/dev/nvidia0")]
    public void A_gpu_is_known_by_its_device(string path, string node) =>
        Assert.That(_nodes.Classify(path), Is.EqualTo(new DevicePath(DevicePathKind.Gpu, node)));

    [TestCase("/dev")]
    [TestCase("/dev/")]
    [TestCase("/dev/folder")]
    [TestCase("/dev/shm/..")]
    public void A_folder_is_searched(string path) =>
        Assert.That(_nodes.Classify(path).Kind, Is.EqualTo(DevicePathKind.Gpu));

    [TestCase("/dev/null")]
    [TestCase("/dev/nvidia9")]
    [TestCase("/dev/sda")]
    [TestCase("/dev/char/1:3")]
    [TestCase("/dev/empty")]
    [TestCase("/dev/snd")]
    [TestCase("/dev/missing")]
    [TestCase("/dev/dangling")]
    [TestCase("/dev/null/nvidia0")]
    public void Other_nodes_and_nothing_are_no_gpu(string path) =>
        Assert.That(_nodes.Classify(path), Is.EqualTo(new DevicePath(DevicePathKind.NotGpu)));

    [TestCase("/")]
    [TestCase("/dev/..")]
    [TestCase("/home/user/link")]
    [TestCase("/devices/nvidia0")]
    [TestCase("/dev/out")]
    [TestCase("/dev/loop")]
    [TestCase("/dev/shm/later")]
    [TestCase("/dev/shm/not/yet")]
    [TestCase("/dev/way")]
    [TestCase("dev/nvidia0")]
    [TestCase("")]
    [TestCase("/dev/a\0b")]
    public void An_invisible_path_is_unknown(string path) =>
        Assert.That(_nodes.Classify(path), Is.EqualTo(new DevicePath(DevicePathKind.Unknown)));

    [TestCase("/dev/nvidia0", true)]
    [TestCase("/dev/twice", true)]
    [TestCase("/dev/dri", true)]
    [TestCase("/dev/snd", true)]
    [TestCase("/dev/null", true)]
    [TestCase("/dev/fuse", true)]
    [TestCase("dev/fuse", true)]
    [TestCase("/dev/empty", true)]
    [TestCase("/dev/sda", false)]
    [TestCase("dev/sda", false)]
    [TestCase("/dev/mem", false)]
    [TestCase("/dev/mixed", false)]
    [TestCase("/dev", false)]
    [TestCase("/dev/missing", false)]
    [TestCase("/dev/way", false)]
    [TestCase("/dev/out", false)]
    [TestCase("/home/user/link", false)]
    [TestCase("", false)]
    public void Disks_and_the_hosts_memory_are_not_harmless(string path, bool harmless) =>
        Assert.That(_nodes.IsHarmless(path), Is.EqualTo(harmless));
}
