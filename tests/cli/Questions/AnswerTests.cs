// SPDX-License-Identifier: Apache-2.0
using NUnit.Framework;
using Runai.GpuMemory.Cli.Questions;

namespace Runai.GpuMemory.CliTests.Questions;

sealed class AnswerTests
{
    const string Denied =
        "docker: Error response from daemon: authorization denied by plugin runai/gpu-memory:latest: ";

    [TestCase("would be allowed\n  quota 0.5", 0)]
    [TestCase("would be refused\n  refused  by max-quota", 1)]
    [TestCase("a policy\n  mode enforce", 0)]
    [TestCase("no policy file: all else is allowed", 0)]
    [TestCase("refused\n  line 1", 1)]
    [TestCase("refused: the file on disk", 1)]
    [TestCase("cannot be answered: no admin", 2)]
    public void An_answer_is_found_behind_the_engines_words(string answer, int code)
    {
        var found = Answer.FindIn(
            $"Unable to find image\n{Denied}{answer}\nnothing was done: this was a question.\nSee help."
        );
        Assert.That(found?.Text, Is.EqualTo($"{answer}\nnothing was done: this was a question"));
        Assert.That(found?.ExitCode, Is.EqualTo(code));
    }

    [TestCase("")]
    [TestCase("Error response from daemon: No such container: runai-policy-question")]
    [TestCase("it would be allowed")]
    public void What_no_plugin_said_is_no_answer(string printed) => Assert.That(Answer.FindIn(printed), Is.Null);

    [Test]
    public void An_answer_without_its_last_line_is_taken_whole() =>
        Assert.That(Answer.FindIn("a policy\n  mode enforce\n\n")?.Text, Is.EqualTo("a policy\n  mode enforce"));

    [TestCase("refused", true)]
    [TestCase("cannot be answered", true)]
    [TestCase("refused: the file on disk", false)]
    [TestCase("a policy", false)]
    public void By_what_is_no_policy_nothing_is_judged(string text, bool isNone) =>
        Assert.That(new Answer(text).IsNoPolicy, Is.EqualTo(isNone));
}
