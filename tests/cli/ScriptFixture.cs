// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;

namespace Runai.GpuMemory.CliTests;

/// <summary>A folder for stand-ins of docker and what they need.</summary>
abstract class ScriptFixture
{
    protected string Folder { get; private set; } = "";

    [OneTimeSetUp]
    public void MakeFolder() => Folder = Directory.CreateTempSubdirectory("runai-cli-").FullName;

    [OneTimeTearDown]
    public void RemoveFolder() => Directory.Delete(Folder, recursive: true);

    protected string Docker(string script) => Built.Script(Folder, script);
}
