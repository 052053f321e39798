// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Common;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Words;

namespace Runai.GpuMemory.CliTests.Questions;

/// <summary>Questions to dockers that answer as the engine does. tests/cli/check.sh has those of `policy`.</summary>
sealed class QuestionChannelTests : ScriptFixture
{
    QuestionChannel Channel(string script, params string[] globals) =>
        new(new(Word.Of(Docker(script)), GlobalOptions.Read([.. globals.Select(Word.Of)])));

    [Test]
    public void The_status_of_a_volume_is_read()
    {
        var channel = Channel("""echo '[{"Name": "runai-status", "Status": {"Version": 1, "Asked": "'"$*"'"}}]'""");
        var status = channel.ReadStatus("runai-status");
        Assert.That(status.GetProperty("Version").GetInt32(), Is.EqualTo(1));
        Assert.That(status.GetProperty("Asked").GetString(), Is.EqualTo("volume inspect runai-status"));
    }

    [TestCase(
        """echo '[]'; echo 'Error: no such volume: runai-status' >&2; exit 1""",
        "docker said: Error: no such volume"
    )]
    [TestCase("""echo '[{"Name": "runai-status"}]'""", "has no Status: is it a volume of the plugin?")]
    [TestCase("""echo '[{"Name": "runai-status", "Status": null}]'""", "has no Status")]
    [TestCase("""echo '[]'""", "has no Status")]
    [TestCase("""echo '{'""", "has no Status")]
    [TestCase(":", "has no Status")]
    public void Without_a_status_the_user_reads_why(string script, string why) =>
        Assert.That(
            () => Channel(script).ReadStatus("runai-status"),
            Throws.TypeOf<UserException>().With.Message.Contains(why)
        );

    [TestCase("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?")]
    [TestCase("context \"far\": context not found")]
    [TestCase("failed to connect to the docker API at unix:///x: dial unix /x: connect: no such file or directory")]
    public void Without_an_engine_docker_itself_says_why(string error)
    {
        var channel = Channel($"echo '{error}' >&2; exit 1");
        Assert.That(
            () => channel.ReadStatus("runai-status"),
            Throws.TypeOf<UserException>().With.Message.EqualTo(error)
        );
        Assert.That(() => channel.AskPolicy(new()), Throws.TypeOf<UserException>().With.Message.EqualTo(error));
    }

    [Test]
    public void A_question_without_an_answer_leads_to_the_doctor() =>
        Assert.That(
            () =>
                Channel("echo 'Error response from daemon: No such container: runai-policy-question' >&2; exit 1")
                    .AskPolicy(new()),
            Throws
                .TypeOf<UserException>()
                .With.Message.EndsWith("authorization-plugins? Run docker runai doctor")
                .And.Message.Not.Contain("No such container")
        );

    [Test]
    public void Global_options_lead_to_the_engine_that_is_asked()
    {
        var config = Directory.CreateDirectory(Path.Combine(Folder, "config")).FullName;
        File.WriteAllText(Path.Combine(config, "config.json"), """{"own": "kept"}""");
        var channel = Channel(
            "echo \"a policy $* $(cat $DOCKER_CONFIG/config.json)\"",
            "--context",
            "far",
            "--config",
            config
        );
        Assert.That(
            channel.AskPolicy(new()).Text,
            Is.EqualTo(
                "a policy --context far wait runai-policy-question "
                    + "{\"HttpHeaders\":{\"X-Gpu-Memory-Ask\":\"policy\"},\n\"own\": \"kept\"}"
            )
        );
    }

    [Test]
    public void The_words_of_a_question_reach_docker_unchanged()
    {
        var record = Path.Combine(Folder, "record");
        var channel = Channel($"[ \"$1\" = wait ] || printf '%s\\0' \"$@\" >{record}; echo would be allowed");
        byte[] word = [0xff, (byte)'\n', 0xc3];
        Assert.That(channel.AskCommand(new(), ["run"u8.ToArray(), word]).ExitCode, Is.Zero);
        Assert.That(RawArguments.Split(File.ReadAllBytes(record))[1], Is.EqualTo(word));
    }
}
