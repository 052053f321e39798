// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Status.Checks;
using Runai.GpuMemory.Tests.Admission;

namespace Runai.GpuMemory.Tests.Status.Checks;

sealed class DriverCheckTests : HostRoot
{
    FakeGpus _gpus = null!;

    [SetUp]
    public void Forget() => _gpus = new();

    [TestCase("440.118.02", true)]
    [TestCase("390.157", true)]
    [TestCase("450.36.06", false)]
    [TestCase("580.159.04", false)]
    [TestCase("unknown", false)]
    [TestCase(null, false)]
    public void A_driver_before_450_is_a_problem(string? version, bool isProblem)
    {
        _gpus.DriverVersion = version;
        Assert.That(
            Find(new DriverCheck(_gpus, Policy(null))),
            isProblem ? Is.EqualTo(new[] { $"driver : the shim does not work with driver {version}" }) : Is.Empty
        );
    }

    [Test]
    public void A_divided_GPU_is_a_problem_where_quotas_are_counted()
    {
        Assert.That(Find(new DriverCheck(_gpus, Policy("{}"))), Is.Empty);
        _gpus.Devices = [_gpus.Devices[0], _gpus.Devices[1] with { IsDivided = true }];
        Assert.That(Find(new DriverCheck(_gpus, Policy("{}"))), Has.One.StartsWith("mig : GPU 1 in MIG mode: "));
        File.Delete(Settings.Policy);
        Assert.That(Find(new DriverCheck(_gpus, Policy(null))), Is.Empty);
    }
}
