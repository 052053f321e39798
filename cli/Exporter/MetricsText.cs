// SPDX-License-Identifier: Apache-2.0
using Prometheus;
using Runai.GpuMemory.Cli.Status;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Exporter;

/// <summary>The status as Prometheus reads it. Each text is of one status, so that nothing of an earlier one is in it.
/// What the plugin does not know is left out.</summary>
sealed class MetricsText
{
    const int MaxRows = 10_000; // as many as the plugin lists containers
    const int MaxDecisions = 500;
    const int MaxLabel = 128; // columns of a terminal

    static readonly string[] OfGpu = ["gpu", "uuid"];
    static readonly string[] OfContainer = ["gpu", "uuid", "container", "name", "user"];

    readonly CollectorRegistry _registry = Metrics.NewCustomRegistry();
    readonly MetricFactory _factory;

    MetricsText() => _factory = Metrics.WithCustomRegistry(_registry);

    /// <summary>The text format of Prometheus, version 0.0.4, in UTF-8.</summary>
    /// <param name="report">Null: the plugin did not answer.</param>
    public static byte[] Of(StatusReport? report)
    {
        var text = new MetricsText();
        text.Add(
            "gpu_memory_enforced",
            "Whether the engine asks the plugin about API calls (1), or does not or gives no answer (0).",
            report?.Enforced == true ? 1 : 0
        );
        if (report is not null)
            text.Add(report);
        using var bytes = new MemoryStream();
        text._registry.CollectAndExportAsTextAsync(bytes).GetAwaiter().GetResult(); // to memory: it never waits
        return bytes.ToArray();
    }

    void Add(StatusReport report)
    {
        _factory
            .CreateGauge("gpu_memory_plugin_info", "The version of the plugin, as a label of the value 1.", "version")
            .WithLabels(Label(report.Plugin))
            .Set(1);
        Add(
            "gpu_memory_last_look_timestamp_seconds",
            "When the measurement began that the figures of use come from, in seconds since 1970.",
            report.Time?.ToUnixTimeMilliseconds() / 1000.0
        );
        AddGpus(report.Gpus ?? []);
        AddDecisions(report.Decisions ?? []);
        if (report.Containers is { } containers)
            AddContainers(containers);
    }

    void AddGpus(IReadOnlyList<GpuStatus> gpus)
    {
        var total = Gauge("gpu_memory_device_total_bytes", "Memory of the GPU, as NVML counts.", OfGpu);
        var promised = Gauge("gpu_memory_device_promised_bytes", "Quotas of the containers on the GPU.", OfGpu);
        var used = Gauge("gpu_memory_device_used_bytes", "What the driver counts as used on the GPU.", OfGpu);
        foreach (var gpu in gpus.Take(MaxRows))
        {
            string[] labels = [$"{gpu.Index}", Label(gpu.Uuid)];
            Set(total, labels, gpu.TotalBytes);
            Set(promised, labels, gpu.PromisedBytes);
            Set(used, labels, gpu.UsedBytes);
        }
    }

    void AddContainers(IReadOnlyList<ContainerStatus> containers)
    {
        Add(
            "gpu_memory_unlimited_containers",
            "Running containers with a GPU and without a quota.",
            containers.Count(container => container.State == "unlimited")
        );
        Add(
            "gpu_memory_lost_gpu_containers",
            "Running containers that lost their GPU.",
            containers.Count(container => container.State == "no-gpu")
        );
        var quota = Gauge("gpu_memory_quota_bytes", "What the container may allocate on the GPU.", OfContainer);
        var used = Gauge(
            "gpu_memory_used_bytes",
            "What the container uses of the GPU, by the driver's count.",
            OfContainer
        );
        var refused = _factory.CreateCounter(
            "gpu_memory_refused_allocations_total",
            "Allocations that the shim refused since the container started, as reported by the container.",
            OfContainer
        );
        var rows =
            from container in containers
            from gpu in container.Gpus ?? []
            select (Labels: LabelsOf(container, gpu), Gpu: gpu);
        foreach (var (labels, gpu) in rows.Take(MaxRows))
        {
            Set(quota, labels, gpu.LimitBytes);
            Set(used, labels, gpu.UsedBytes);
            if (gpu.Refused is { } count)
                refused.WithLabels(labels).IncTo(count);
        }
    }

    void AddDecisions(IReadOnlyList<StatusDecision> decisions)
    {
        var counter = _factory.CreateCounter(
            "gpu_memory_decisions_total",
            "Decisions about containers, and all refusals, since the plugin started.",
            "verdict",
            "rule"
        );
        foreach (var decision in decisions.Take(MaxDecisions))
            counter.WithLabels(Label(decision.Verdict), Label(decision.Rule)).IncTo(decision.Count);
    }

    static string[] LabelsOf(ContainerStatus container, ContainerGpu gpu) =>
        [
            $"{gpu.Index}",
            Label(gpu.Uuid),
            Label(container.Id is { Length: > IdLength } id ? id[..IdLength] : container.Id),
            Label(container.Name),
            Label(container.User),
        ];

    const int IdLength = 12; // as docker's tables have it

    /// <summary>What users wrote, of bounded length, without what moves the cursor of a terminal.</summary>
    static string Label(string? text) =>
        string.IsNullOrEmpty(text) ? "" : Printable.Cut(Printable.Text(text), MaxLabel);

    Gauge Gauge(string name, string help, string[] labels) => _factory.CreateGauge(name, help, labels);

    void Add(string name, string help, double? value)
    {
        if (value is { } known)
            _factory.CreateGauge(name, help).Set(known);
    }

    static void Set(Gauge gauge, string[] labels, long? bytes)
    {
        if (bytes is { } known)
            gauge.WithLabels(labels).Set(known);
    }
}
