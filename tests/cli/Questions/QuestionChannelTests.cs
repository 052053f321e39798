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
