// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Exporter;
using Runai.GpuMemory.Cli.Questions;
using Runai.GpuMemory.Cli.Words;
using Runai.GpuMemory.CliTests.Commands;

namespace Runai.GpuMemory.CliTests.Exporter;

sealed class StatusSourceTests : ScriptFixture
{
    readonly List<string> _said = [];

    [SetUp]
    public void Forget() => _said.Clear();

    StatusSource Source(string script, TimeSpan? limit = null) =>
        new(new(new QuestionChannel(new(Word.Of(Docker(script)), limit: limit))), _said.Add);

    static string Read(StatusSource source) => Encoding.UTF8.GetString(source.Read());

    /// <summary>A docker that answers what is in a file.</summary>
    (StatusSource Source, string File) Answering()
    {
        var file = Path.Combine(Folder, Guid.NewGuid().ToString());
        return (Source($"exec cat {file}"), file);
    }

    [Test]
    public void Series_of_ended_containers_disappear()
    {
        var (source, file) = Answering();
        File.WriteAllText(file, MetricsPage.Answer(3));
        Assert.That(Read(source), Does.Contain("web-0").And.Contain("web-2"));
        File.WriteAllText(file, MetricsPage.Answer(1));
        Assert.That(Read(source), Does.Contain("web-0").And.Not.Contain("web-2"));
    }

    [Test]
    public void Without_an_answer_no_earlier_row_stays()
    {
        var (source, file) = Answering();
        File.WriteAllText(file, MetricsPage.Answer(3));
        Assert.That(Read(source), Does.Contain("web-0"));
        File.Delete(file);
        Assert.That(MetricSeries.Of(Read(source)).Keys, Is.EqualTo(["gpu_memory_enforced"]));
    }

    [Test]
    public void Each_change_is_said_once()
    {
        var (source, file) = Answering();
        foreach (var answer in (string?[])[null, null, MetricsPage.Answer(1), MetricsPage.Answer(2), null])
        {
            File.Delete(file);
            if (answer is not null)
                File.WriteAllText(file, answer);
            source.Read();
        }

        Assert.That(_said, Has.Count.EqualTo(3));
        Assert.That(_said[0], Does.StartWith("no answer: cat: "));
        Assert.That(_said[1], Is.EqualTo("the plugin answers"));
        Assert.That(_said[2], Is.EqualTo(_said[0]));
    }

    [Test]
    public void An_engine_that_does_not_ask_is_said()
    {
        var answer = ShownStatus.Answer(1, "\"Enforced\":false,");
        Assert.That(Read(Source($"cat <<'END'\n{answer}\nEND")), Does.Contain("\ngpu_memory_enforced 0\n"));
        Assert.That(_said.Single(), Does.Contain("does not ask it about API calls"));
    }

    [TestCase(
        "printf '[{\"Name\":\"x\",\"Status\":{\"Version\":1,\"Plugin\":\"\\377\"} }]'",
        "no status that can be read"
    )]
    [TestCase("echo '[{'", "has no Status")]
    [TestCase("echo 'a\u001b[2Jb' >&2; exit 1", "a\\u001b[2Jb")]
    [TestCase("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "no answer: xxx")]
    public void What_cannot_be_read_is_no_answer(string script, string why)
    {
        Assert.That(MetricSeries.Of(Read(Source(script))).Keys, Is.EqualTo(["gpu_memory_enforced"]));
        Assert.That(_said.Single(), Does.Contain(why).And.Length.LessThan(600).And.Not.Contain('\e'));
    }

    [Test]
    public void A_docker_that_hangs_is_ended()
    {
        var source = Source("exec sleep 600", TimeSpan.FromMilliseconds(50));
        Assert.That(MetricSeries.Of(Read(source)).Keys, Is.EqualTo(["gpu_memory_enforced"]));
        Assert.That(_said.Single(), Does.Contain("docker gave no answer within 0.05 s"));
    }
}
