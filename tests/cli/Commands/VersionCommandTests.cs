// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Common;

namespace Runai.GpuMemory.CliTests.Commands;

/// <summary>version, with a docker that answers the summary of the status.</summary>
sealed class VersionCommandTests : ScriptFixture
{
    static readonly string Ours = ProgramVersion.Text;

    string Answering(string status) =>
        Docker($"[ \"$*\" = 'volume inspect runai' ] || exit 9; echo '[{{\"Name\":\"runai\",\"Status\":{status}}}]'");

    [Test]
    public void Client_plugin_and_shim_are_sections() =>
        Assert.That(
            ShownStatus.Run(Answering("""{"Version":1,"Plugin":"0.3.1","Shim":"143360-ab12"}"""), "version"),
            Is.EqualTo(
                (
                    0,
                    $"""
                    Client:
                     Version:  {Ours}
                     OS/Arch:  linux/{ProgramVersion.Processor}

                    Plugin:
                     Version:  0.3.1

                    Shim:
                     Build:    143360-ab12

                    """,
                    ""
                )
            )
        );

    [TestCase("""{"Version":99,"Plugin":"3.0.0","Shim":null}""", "3.0.0")]
    [TestCase("""{"Version":1,"Plugin":17}""", null)]
    public void A_plugin_of_any_version_is_named(string status, string? version)
    {
        var (code, output, _) = ShownStatus.Run(Answering(status), "version --format json");
        using var json = JsonDocument.Parse(output);
        Assert.That(code, Is.Zero);
        Assert.That(json.RootElement.GetProperty("Client").GetProperty("Version").GetString(), Is.EqualTo(Ours));
        Assert.That(json.RootElement.GetProperty("Plugin").GetProperty("Version").GetString(), Is.EqualTo(version));
        Assert.That(json.RootElement.GetProperty("Shim").GetProperty("Build").GetString(), Is.Null);
    }

    [Test]
    public void What_a_plugin_says_cannot_move_the_cursor() =>
        Assert.That(
            ShownStatus.Run(Answering("""{"Plugin":"\\u001b[31m"}"""), "version").Out,
            Does.Contain(@"Version:  \u001b[31m")
        );

    /// <summary>As <c>docker version</c> without an engine.</summary>
    [TestCase("version", "Client:\n Version:  ", " OS/Arch:  linux/")]
    [TestCase("version --format json", "{\"Client\":{", "\"Plugin\":null,\"Shim\":null}")]
    public void Without_the_plugin_its_own_version_is_printed(string words, string begin, string part)
    {
        var docker = Docker("echo 'Error: no such volume: runai' >&2; exit 1");
        var output = new StringWriter();
        Assert.That(
            () => ShownStatus.Run(docker, words, output: output),
            Throws
                .TypeOf<UserException>()
                .With.Message.Contains("is the plugin enabled?")
                .And.Property(nameof(UserException.ExitCode))
                .EqualTo(2)
        );
        Assert.That(output.ToString(), Does.StartWith(begin).And.Contain(part).And.Not.Contain("Plugin:"));
    }
}
