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

    /// <summary>Again until none is left: the engine may be removing a <c>--rm</c> container by itself, and refuses to
    /// do it twice.</summary>
    [TearDown]
    public void RemoveContainers()
    {
        Output? removed = null;
        TestEngine.Eventually(
            () =>
            {
                var containers = Engine.Docker("ps", "-aq").Ok();
                if (containers.Length > 0)
                    removed = Engine.Docker(["rm", "-f", .. containers.Split('\n')]);
                return containers.Length == 0;
            },
            () => $"no container is left: {removed?.Error}"
        );
    }

    [OneTimeTearDown]
    public void EndEngine() => Engine?.Dispose();
}
