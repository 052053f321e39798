// SPDX-License-Identifier: Apache-2.0
using System.Text;
using NUnit.Framework;
using Runai.GpuMemory.Cli.Exporter;
using Runai.GpuMemory.CliTests.Commands;

namespace Runai.GpuMemory.CliTests.Exporter;

sealed class MetricsTextTests
{
    const long Gib = 1L << 30;

    [Test]
    public void Each_figure_of_the_status_is_a_series()
    {
        var series = MetricSeries.Of(MetricsPage.Text(3));
        const string Second = "{gpu=\"1\",uuid=\"GPU-1\",container=\"02aaaaaaaaaa\",name=\"web-2\",user=\"日本\"}";
        Assert.That(series["gpu_memory_enforced"], Is.EqualTo(1));
        Assert.That(series["gpu_memory_plugin_info{version=\"0.2.0\"}"], Is.EqualTo(1));
        Assert.That(series["gpu_memory_last_look_timestamp_seconds"], Is.EqualTo(1_796_032_800.5));
        Assert.That(series["gpu_memory_quota_bytes" + Second], Is.EqualTo(3 * Gib));
        Assert.That(series["gpu_memory_used_bytes" + Second], Is.EqualTo(246_913_578));
        Assert.That(series["gpu_memory_refused_allocations_total" + Second], Is.EqualTo(0));
        Assert.That(series["gpu_memory_device_total_bytes{gpu=\"0\",uuid=\"GPU-0\"}"], Is.EqualTo(141 * Gib));
        Assert.That(series["gpu_memory_device_promised_bytes{gpu=\"0\",uuid=\"GPU-0\"}"], Is.EqualTo(70 * Gib));
        Assert.That(
            series["gpu_memory_device_used_bytes{gpu=\"0\",uuid=\"GPU-0\"}"],
            Is.EqualTo(12 * Gib + 300_000_000)
        );
        Assert.That(series["gpu_memory_decisions_total{verdict=\"denied\",rule=\"bind-mount\"}"], Is.EqualTo(3));
        Assert.That(series["gpu_memory_decisions_total{verdict=\"allowed\",rule=\"\"}"], Is.EqualTo(12));
        Assert.That(series["gpu_memory_lost_gpu_containers"], Is.EqualTo(1));
        Assert.That(series["gpu_memory_unlimited_containers"], Is.EqualTo(0));
    }

    /// <summary>The fourth container has no limit, the sixth an unknown use, the second GPU unknown sums.</summary>
    [Test]
    public void What_is_not_known_has_no_series()
    {
        var names = MetricSeries.Of(MetricsPage.Text(6)).Keys;
        Assert.That(names, Has.None.StartsWith("gpu_memory_quota_bytes").And.Contains("web-3"));
        Assert.That(names, Has.Some.StartsWith("gpu_memory_used_bytes").And.Contains("web-3"));
        Assert.That(names, Has.None.StartsWith("gpu_memory_used_bytes").And.Contains("web-5"));
        Assert.That(names, Has.None.StartsWith("gpu_memory_device_used_bytes{gpu=\"1\""));
        Assert.That(names, Has.None.StartsWith("gpu_memory_device_promised_bytes{gpu=\"1\""));
    }

    [Test]
    public void A_caller_who_sees_the_sums_serves_the_sums()
    {
        var answer = MetricsPage.Answer(1);
        answer = answer[..answer.IndexOf(",\"Containers\":[", StringComparison.Ordinal)] + "} }]";
        var names = MetricSeries.Of(MetricsPage.Text(answer)).Keys;
        Assert.That(names, Has.Some.StartsWith("gpu_memory_device_used_bytes"));
        Assert.That(names, Has.None.Contains("containers").And.None.Contains("name="));
    }

    [TestCase("\"Enforced\":false,")]
    [TestCase("\"Enforced\":null,")]
    public void Where_the_engine_does_not_ask_nothing_is_enforced(string more)
    {
        var series = MetricSeries.Of(MetricsPage.Text(ShownStatus.Answer(1, more)));
        Assert.That(series["gpu_memory_enforced"], Is.EqualTo(0));
        Assert.That(series.Keys, Has.Some.StartsWith("gpu_memory_used_bytes"));
    }

    [Test]
    public void Without_an_answer_nothing_is_known() =>
        Assert.That(
            MetricSeries.Of(Encoding.UTF8.GetString(MetricsText.Of(null))),
            Is.EqualTo(new Dictionary<string, double> { ["gpu_memory_enforced"] = 0 })
        );

    /// <summary>A container with one GPU, and a GPU.</summary>
    [Test]
    public void Series_are_few_for_each_container_and_GPU()
    {
        var (none, one) = (MetricSeries.Of(MetricsPage.Text(0)), MetricSeries.Of(MetricsPage.Text(1)));
        Assert.That(one, Has.Count.EqualTo(none.Count + 3));
        Assert.That(one.Keys.Count(name => name.Contains("{gpu=\"0\",uuid=\"GPU-0\"}")), Is.EqualTo(3));
    }

    /// <summary>As a TLS name may have them. What is not printable is escaped as in the tables.</summary>
    [Test]
    public void Labels_hold_what_users_wrote_and_nothing_more()
    {
        var user = "a\\\"b\\\\c\\n} 1\\n# TYPE x gauge\\u0000\\u001b[31m" + new string('x', 9999);
        var answer = MetricsPage.Answer(1).Replace("\"alice\"", $"\"{user}\"", StringComparison.Ordinal);
        var text = MetricsPage.Text(answer);
        Assert.That(
            text,
            Does.Contain("user=\"a\\\"b\\\\c\\\\u000a} 1\\\\u000a# TYPE x gauge\\\\u0000\\\\u001b[31mxxx")
        );
        Assert.That(text.Split('\n').Max(line => line.Length), Is.LessThan(400));
        Assert.That(text.Where(char.IsControl).Distinct(), Is.EqualTo("\n"));
        Assert.That(MetricSeries.Of(text), Has.Count.EqualTo(MetricSeries.Of(MetricsPage.Text(1)).Count));
    }

    [Test]
    public void Rows_are_bounded()
    {
        var text = MetricsPage.Text(10_500);
        Assert.That(MetricSeries.Of(text).Keys.Count(name => name.Contains("name=")), Is.InRange(20_000, 30_000));
    }
}
