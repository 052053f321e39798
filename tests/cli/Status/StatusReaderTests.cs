// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Status;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Status;

sealed class StatusReaderTests : ScriptFixture
{
    const string Denied = "Error response from daemon: authorization denied by plugin runai/gpu-memory:latest: ";

    StatusReader Reader(string script) => new(new QuestionChannel(new(Word.Of(Docker(script)))));

    [TestCase(Denied + "for admins: docker volume inspect runai", "runai")]
    [TestCase(Denied + "for admins: docker volume inspect runai-status.bob\n", "runai-status.bob")]
    [TestCase(Denied + "for admins: docker volume inspect runai-status.b.x-c3.", "runai-status.b.x-c3.")]
    [TestCase(Denied + "for admins: docker volume inspect other", null)]
    [TestCase(Denied + "for admins", null)]
    [TestCase("Error: no such volume: docker volume inspect runai", null)]
    public void The_volume_to_read_instead_is_found_in_a_refusal(string refusal, string? volume) =>
        Assert.That(StatusReader.NamedBy(refusal), Is.EqualTo(volume));

    [Test]
    public void What_was_refused_once_is_not_asked_for_again()
    {
        var calls = Path.Combine(Folder, "calls");
        var reader = Reader(
            $$"""
            echo "$3" >>{{calls}}
            [ "$3" = runai-status ] && echo "{{Denied}}no: docker volume inspect runai-status.bob" >&2 && exit 1
            echo '[{"Name":"x","Status":{"Version":1,"Containers":[]} }]'
            """
        );
        Assert.That(reader.Read().Containers, Is.Empty);
        Assert.That(reader.Read().Containers, Is.Empty);
        Assert.That(File.ReadAllLines(calls), Is.EqualTo(["runai-status", "runai-status.bob", "runai-status.bob"]));
    }

    [TestCase("""{"Version": 2}""", "the status of the plugin has version 2, and this program reads version 1")]
    [TestCase("""{"Version": "1"}""", "printed no status that can be read")]
    [TestCase("""{"Version": 1, "Gpus": {}}""", "printed no status that can be read")]
    [TestCase("{}", "has version 0")]
    public void A_status_of_another_version_is_not_shown(string status, string why) =>
        Assert.That(
            () => Reader($$"""echo '[{"Name":"x","Status":{{status}}}]'""").Read(),
            Throws.TypeOf<UserException>().With.Message.Contains(why)
        );

    [Test]
    public void A_refusal_that_goes_in_circles_ends() =>
        Assert.That(
            () => Reader($"echo '{Denied}no: docker volume inspect runai' >&2; exit 1").Read(),
            Throws.TypeOf<UserException>().With.Message.Contains("docker volume inspect runai failed")
        );

    [Test]
    public void Stopped_containers_are_those_that_docker_lists()
    {
        var script = """
            printf '%s\n' "$*" >&2
            printf '%s\n' '["ab12","web","0.5\n","exited"]' '["cd34","db","3g","created"]'
            """;
        Assert.That(
            StoppedContainers
                .Read(new(Word.Of(Docker(script))))
                .Select(one => $"{one.Id} {one.Name} {one.Quota} {one.State}"),
            Is.EqualTo(["cd34 db 3g created", "ab12 web 0.5\n exited"])
        );
    }

    [TestCase("echo no >&2; exit 1", "docker ps failed: no")]
    [TestCase("echo '{'", "not a container")]
    [TestCase("echo '[1]'", "not a container")]
    public void Where_docker_lists_none_the_user_reads_why(string script, string why) =>
        Assert.That(
            () => StoppedContainers.Read(new(Word.Of(Docker(script)))),
            Throws.TypeOf<UserException>().With.Message.Contains(why)
        );
}
