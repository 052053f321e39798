// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;

namespace Runai.GpuMemory.EngineTests;

/// <summary>Where things are in the checkout, and the engines that the tests run on.</summary>
[SetUpFixture]
sealed class Repository
{
    public static string Root { get; } = Find();
    public static string Build { get; } = Path.Combine(Root, "build");

    /// <summary>The wrapper as it is built.</summary>
    public static string Wrapper { get; } = Path.Combine(Build, "cli/runai-docker");

    public static string Script(string name) => Path.Combine(Root, "tests/engine", name);

    /// <summary>The tar of a small image made of this machine's programs.</summary>
    public static string Image { get; private set; } = "";

    [OneTimeSetUp]
    public void Prepare()
    {
        string[] needed = ["plugin/rootfs", "cli/runai-docker", "shim/librunai.so", "sim/libcuda.so.1", "sim/simgpu"];
        foreach (var built in needed)
        {
            if (!Path.Exists(Path.Combine(Build, built)))
                Assert.Fail($"build/{built} is missing: run the tests by `make test`, or `make all` first");
        }

        if (Environment.UserName != "root")
            Assert.Fail("the engine tests start Docker engines of their own: run them as root");
        Shell.Run(Script("private-engine.sh"), "get-engines", Path.Combine(Build, "engines")).Ok();
        Image = Path.Combine(Build, "image.tar");
        Shell.Run("sh", "-c", $"'{Script("image.sh")}' > '{Image}'").Ok();
    }

    static string Find()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "RunaiPlugin.sln")))
        {
            folder =
                Path.GetDirectoryName(folder)
                ?? throw new InvalidOperationException("the tests run from inside the checkout");
        }

        return folder;
    }
}
