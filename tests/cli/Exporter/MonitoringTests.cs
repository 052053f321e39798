// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NUnit.Framework;

namespace Runai.GpuMemory.CliTests.Exporter;

/// <summary>The files of examples/monitoring, and the page that describes them.</summary>
sealed partial class MonitoringTests : ScriptFixture
{
    const string Dashboard = "grafana/gpu-memory.json";
    static readonly string Examples = Path.Combine(Built.Root, "examples/monitoring");
    static readonly string Page = Path.Combine(Built.Root, "docs/monitoring.md");
    static readonly JsonNode Json = JsonNode.Parse(File.ReadAllText(Path.Combine(Examples, Dashboard)))!;

    [TestCase("check", "config", "prometheus.yml")]
    [TestCase("check", "rules", "--lint-fatal", "gpu-memory.rules.yml")]
    [TestCase("test", "rules", "gpu-memory.rules.test.yml")]
    public void Promtool_takes(params string[] words)
    {
        var said = Tool.Run(Examples, "promtool", words);
        Assert.That(said.Code, Is.Zero, said.Text);
    }

    [GeneratedRegex(@"\bgpu_memory_\w+")]
    private static partial Regex Metric();

    static IEnumerable<string> Named(string text) => Metric().Matches(text).Select(match => match.Value).Distinct();

    [TestCase(Dashboard)]
    [TestCase("gpu-memory.rules.yml")]
    [TestCase("gpu-memory.rules.test.yml")]
    public void Each_metric_that_is_named_exists(string file) =>
        Assert.That(
            Named(File.ReadAllText(Path.Combine(Examples, file))),
            Is.Not.Empty.And.SubsetOf(MetricsPage.Names)
        );

    [Test]
    public void The_page_has_a_row_for_each_metric()
    {
        var rows = File.ReadLines(Page).Where(line => line.StartsWith("| `gpu_memory_", StringComparison.Ordinal));
        Assert.That(rows.SelectMany(Named).Order(), Is.EqualTo(MetricsPage.Names));
        Assert.That(Named(File.ReadAllText(Page)), Is.SubsetOf(MetricsPage.Names));
    }

    static JsonArray Panels => Json["panels"]!.AsArray();

    [Test]
    public void Grafana_finds_the_fields_that_it_needs()
    {
        Assert.That($"{Json["title"]} {Json["uid"]}", Is.EqualTo("GPU memory of containers gpu-memory"));
        Assert.That((int)Json["schemaVersion"]!, Is.GreaterThan(30));
        Assert.That(Panels.Select(panel => (int)panel!["id"]!), Is.Unique);
        var variables = Json["templating"]!["list"]!.AsArray().Select(one => (string)one!["name"]!).ToArray();
        foreach (var panel in Panels)
        {
            Assert.That((string)panel!["title"]!, Is.Not.Empty);
            Assert.That((string)panel["type"]!, Is.AnyOf("stat", "bargauge", "timeseries", "table"));
            Assert.That((int)panel["gridPos"]!["x"]! + (int)panel["gridPos"]!["w"]!, Is.InRange(1, 24));
            var targets = panel["targets"]!.AsArray();
            Assert.That(targets.Select(target => (string)target!["refId"]!), Is.Unique.And.Not.Empty);
            Assert.That((string)panel["datasource"]!["uid"]!, Is.EqualTo("${datasource}"));
            foreach (Match used in Variable().Matches(panel.ToJsonString()))
                Assert.That(variables, Does.Contain(used.Groups[1].Value));
        }
    }

    [GeneratedRegex(@"\$\{?([a-z]\w*)")]
    private static partial Regex Variable();

    /// <summary>As a recording rule each, with a value for each variable: Prometheus' parser reads them.</summary>
    [Test]
    public void Prometheus_reads_each_query_of_the_dashboard()
    {
        var queries = Panels
            .SelectMany(panel => panel!["targets"]!.AsArray())
            .Select(target => (string)target!["expr"]!)
            .Select(query => query.Replace("$__rate_interval", "1m", StringComparison.Ordinal))
            .ToArray();
        Assert.That(queries, Has.Length.EqualTo(14));
        Assert.That(queries, Has.All.Contains("gpu_memory_"));
        var rules = queries.Select(
            (query, n) => $"  - record: r{n}\n    expr: {JsonValue.Create(query)!.ToJsonString()}\n"
        );
        File.WriteAllText(Path.Combine(Folder, "rules.yml"), $"groups:\n- name: a\n  rules:\n{string.Concat(rules)}");
        var said = Tool.Run(Folder, "promtool", "check", "rules", "rules.yml");
        Assert.That(said.Code, Is.Zero, said.Text);
    }

    [TestCase("docs/img/stats.svg", 10_000)]
    [TestCase("docs/img/prometheus.png", 150_000)]
    public void Pictures_are_small(string path, int bytes) =>
        Assert.That(new FileInfo(Path.Combine(Built.Root, path)).Length, Is.InRange(1000, bytes));

    [Test]
    public void Systemd_takes_the_unit_of_the_exporter()
    {
        const string Unit = "gpu-memory-exporter.service";
        var text = File.ReadAllText(Path.Combine(Examples, Unit));
        Assert.That(text, Does.Contain("ExecStart=/usr/local/bin/runai-docker exporter --listen 127.0.0.1:9401\n"));
        text = text.Replace("/usr/local/bin/runai-docker", Built.Program, StringComparison.Ordinal);
        // Of the host's services there may be none.
        text = string.Join(
            '\n',
            text.Split('\n').Where(line => !line.EndsWith("=docker.service", StringComparison.Ordinal))
        );
        File.WriteAllText(Path.Combine(Folder, Unit), text);
        var said = Tool.Run(Folder, "systemd-analyze", "verify", "--man=no", Path.Combine(Folder, Unit));
        Assert.That((said.Code, said.Text), Is.EqualTo((0, "")));
    }
}
