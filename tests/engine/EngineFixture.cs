// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;

namespace Runai.GpuMemory.EngineTests;

/// <summary>One engine for all tests of a fixture. Containers are removed after each test.</summary>
[NonParallelizable]
abstract class EngineFixture(string version)
{
    protected TestEngine Engine { get; private set; } = null!;

    protected virtual TestEngine Create(string version) => new(version);

    [OneTimeSetUp]
    public void StartEngine() => Engine = Create(version);

    [TearDown]
    public void RemoveContainers()
    {
        var containers = Engine.Docker("ps", "-aq").Ok();
        if (containers.Length > 0)
            Engine.Docker(["rm", "-f", .. containers.Split('\n')]).Ok();
    }

    [OneTimeTearDown]
    public void EndEngine() => Engine?.Dispose();
}
