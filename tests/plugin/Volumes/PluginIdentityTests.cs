// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Tests.Volumes;

sealed class PluginIdentityTests
{
    static readonly string Id = new('1', 64);

    static PluginIdentity At(string root)
    {
        var settings = new PluginSettings();
        return new PluginIdentity(
            new StateLayout(settings),
            settings,
            new Mounts(new MountEntry("8:1", root, settings.State))
        );
    }

    [Test]
    public void The_propagated_mount_names_the_plugin()
    {
        var identity = At($"/docker/plugins/{Id}/propagated-mount");
        Assert.That(identity.Id, Is.EqualTo(Id));
        Assert.That(identity.Name, Is.Null, "until the engine says it");
        Assert.That(identity.IsThisPlugin("runai/gpu-memory"));
        identity.Name = "example.org:5000/lab/gpu:v2";
        Assert.That(identity.IsThisPlugin("runai/gpu-memory"), Is.False);
        Assert.That(identity.IsThisPlugin("example.org:5000/lab/gpu:v2"));
        Assert.That(identity.IsThisPlugin("example.org:5000/lab/gpu"), Is.False);
    }

    [TestCase("/var/lib/docker/plugins/short/propagated-mount")]
    [TestCase("/")]
    [TestCase("/propagated-mount")]
    public void Elsewhere_it_is_a_plain_socket(string root) =>
        Assert.That((At(root).Id, At(root).Name), Is.EqualTo(((string?)null, "gpu")));

    [TestCase("runai/gpu-memory", true)]
    [TestCase("runai/gpu-memory:latest", true)]
    [TestCase("docker.io/runai/gpu-memory", true)]
    [TestCase("docker.io/runai/gpu-memory:latest", true)]
    [TestCase("index.docker.io/runai/gpu-memory", true)]
    [TestCase("11111111", true)]
    [TestCase("2", false)]
    [TestCase("library/runai/gpu-memory", false)]
    [TestCase("runai/gpu-memory:1.0", false)]
    [TestCase("evil/runai/gpu-memory", false)]
    [TestCase("runai/gpu-memory-2", false)]
    [TestCase("local", false)]
    public void The_tag_latest_and_Dockers_registry_are_implied(string driver, bool me)
    {
        var identity = At($"/docker/plugins/{Id}/propagated-mount");
        identity.Name = "runai/gpu-memory:latest";
        Assert.That(identity.IsThisPlugin(driver), Is.EqualTo(me));
    }

    /// <summary>As <c>docker plugin install --alias runai</c> names it.</summary>
    [TestCase("runai", true)]
    [TestCase("runai:latest", true)]
    [TestCase("library/runai", true)]
    [TestCase("docker.io/library/runai:latest", true)]
    [TestCase("docker.io/runai", true)]
    [TestCase("runai/gpu-memory", false)]
    [TestCase("localhost:5000/library/runai", false)]
    public void An_alias_is_a_name_in_every_spelling(string driver, bool me)
    {
        var identity = At($"/docker/plugins/{Id}/propagated-mount");
        identity.Name = "runai:latest";
        Assert.That((identity.IsThisPlugin(driver), identity.DisplayName), Is.EqualTo((me, "runai")));
    }

    sealed class Mounts(MountEntry state) : IMountTable
    {
        public IEnumerable<MountEntry> Own() => [state];

        public IReadOnlyList<MountEntry> OfProcess(int pid) => [];

        public IEnumerable<MountEntry> OneByOne(int pid) => OfProcess(pid);

        public IEnumerable<(int Pid, IEnumerable<MountEntry> Mounts)> All() => [];
    }
}
