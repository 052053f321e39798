// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Reconciliation;

namespace Runai.GpuMemory.Tests.Reconciliation;

sealed class DeviceRulesTests
{
    [TestCase("c 195:0 rwm", true)]
    [TestCase("c 195:* rw", true)]
    [TestCase("c 1:3 rwm\nc 195:255 rwm\nc 136:* rwm", true)]
    [TestCase("a *:* rwm", true)]
    [TestCase("c *:* rw", true)]
    [TestCase("c *:* m", false, Description = "every container may make nodes")]
    [TestCase("b *:* rwm", false)]
    [TestCase("b 195:0 rwm", false)]
    [TestCase("c 195:0 r", false)]
    [TestCase("c 1950:0 rwm", false)]
    [TestCase("c 1:195 rwm", false)]
    [TestCase("", false)]
    [TestCase("garbage", false)]
    public void What_is_not_in_the_list_is_denied(string list, bool isAllowed) =>
        Assert.That(DeviceRules.AllowsGpus(list.Split('\n')), Is.EqualTo(isAllowed));

    [TestCase("12:cpu,cpuacct:/x\n5:devices:/docker/0123\n0::/y\n", "devices", "/docker/0123")]
    [TestCase("0::/y\n5:blkio,devices:/docker/a:b\n", "blkio,devices", "/docker/a:b")]
    [TestCase("5:devices:/\n", "devices", "")]
    [TestCase("0::/docker/0123\n", "", "/docker/0123")]
    [TestCase("1:name=systemd:/x\n0::/docker/0123\n", "", "/docker/0123")]
    public void The_group_is_that_of_the_devices(string groups, string controllers, string path) =>
        Assert.That(DeviceRules.GroupIn(groups), Is.EqualTo((controllers, path)));

    [TestCase("5:devices:/../docker/0123\n")]
    [TestCase("5:devices:/docker/../..\n")]
    [TestCase("0::/..\n")]
    [TestCase("")]
    public void A_path_that_leads_out_is_refused(string groups) => Assert.That(DeviceRules.GroupIn(groups), Is.Null);

    [Test]
    public void A_process_is_judged_by_its_groups_list()
    {
        var root = Directory.CreateTempSubdirectory("rules").FullName;
        try
        {
            var rules = new DeviceRules(_ => root);
            Assert.That(new DeviceRules(_ => null).AllowGpus(Environment.ProcessId), Is.Null);
            Assert.That(rules.AllowGpus(int.MaxValue), Is.Null, "no process");
            if (DeviceRules.GroupIn(File.ReadAllText("/proc/self/cgroup")) is not ({ Length: > 0 }, var own))
                return; // a host with version 2
            Assert.That(rules.AllowGpus(Environment.ProcessId), Is.Null, "no list");
            Directory.CreateDirectory(root + own);
            File.WriteAllText($"{root}{own}/devices.list", "c 195:0 rwm\n");
            Assert.That(rules.AllowGpus(Environment.ProcessId), Is.True);
            File.WriteAllText($"{root}{own}/devices.list", "c 1:3 rwm\n");
            Assert.That(rules.AllowGpus(Environment.ProcessId), Is.False);
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }
}
