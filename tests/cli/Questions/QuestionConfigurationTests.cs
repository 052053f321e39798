// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Questions;

namespace Runai.GpuMemory.CliTests.Questions;

sealed class QuestionConfigurationTests : ScriptFixture
{
    string Write(string? own)
    {
        var user = Directory.CreateDirectory(Path.Combine(Folder, Guid.NewGuid().ToString())).FullName;
        if (own is not null)
            File.WriteAllText(Path.Combine(user, "config.json"), own);
        Directory.CreateDirectory(Path.Combine(user, "contexts"));
        File.WriteAllText(Path.Combine(user, "contexts/meta"), "M");
        return user;
    }

    [TestCase(null)]
    [TestCase("")]
    [TestCase("{}")]
    [TestCase("{ }\n")]
    [TestCase("{\"auths\": {}, \"currentContext\": \"far\"}")]
    [TestCase("\n{\n\t\"psFormat\": \"a:b\"\n}")]
    public void The_users_own_configuration_stays_beside_the_headers(string? own)
    {
        using var configuration = new QuestionConfiguration(Write(own));
        configuration.Write(new QuestionHeaders("bob", "{}"u8.ToArray()).Json("call"));
        using var json = JsonDocument.Parse(File.ReadAllText(Path.Combine(configuration.Folder, "config.json")));
        var members = json.RootElement.EnumerateObject().ToArray();
        Assert.That(
            members[0].Value.ToString(),
            Is.EqualTo(
                """{"X-Gpu-Memory-Ask":"call","X-Gpu-Memory-Ask-User":"Ym9i","X-Gpu-Memory-Ask-Policy":"e30="}"""
            )
        );
        using var before = JsonDocument.Parse(string.IsNullOrEmpty(own) ? "{}" : own);
        Assert.That(
            members.Skip(1).Select(member => member.ToString()),
            Is.EqualTo(before.RootElement.EnumerateObject().Select(member => member.ToString()))
        );
    }

    [Test]
    public void Contexts_and_certificates_are_linked_and_nothing_is_left()
    {
        string folder;
        using (var configuration = new QuestionConfiguration(Write("{}")))
        {
            folder = configuration.Folder;
            Assert.That(Directory.GetFileSystemEntries(folder).Select(Path.GetFileName), Is.EqualTo(["contexts"]));
            Assert.That(File.ReadAllText(Path.Combine(folder, "contexts/meta")), Is.EqualTo("M"));
            Assert.That(
                File.GetUnixFileMode(folder),
                Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute)
            );
        }

        Assert.That(folder, Does.Not.Exist);
    }

    [Test]
    public void A_user_without_a_configuration_can_ask()
    {
        using var configuration = new QuestionConfiguration("/no/where");
        configuration.Write(new QuestionHeaders().Json("policy"));
        Assert.That(
            File.ReadAllText(Path.Combine(configuration.Folder, "config.json")),
            Is.EqualTo("{\"HttpHeaders\":{\"X-Gpu-Memory-Ask\":\"policy\"}\n}")
        );
    }
}
