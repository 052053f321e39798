// SPDX-License-Identifier: Apache-2.0
using System.Text.Json;
using Runai.GpuMemory.Admission;
using Runai.GpuMemory.Admission.Capacity;
using Runai.GpuMemory.Admission.Policies;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Protocol;
using Runai.GpuMemory.Status.Checks;
using Runai.GpuMemory.Volumes;

namespace Runai.GpuMemory.Status;

/// <summary>Puts the status together, of what the plugin knows anyway and of the last measurement.</summary>
sealed class StatusReports(
    UseMeter meter,
    ContainerRows rows,
    IGpuInventory gpus,
    GpuReservations ledger,
    PolicySource policy,
    IChainState chain,
    DecisionCounts decisions,
    IEnumerable<IProblemSource> problems,
    Checkup checkup,
    ProblemLog problemLog,
    ShimStore shims,
    IVolumeCatalog volumes,
    TimeProvider time
) : IStatusSource
{
    static readonly TimeSpan MaxSummaryAge = TimeSpan.FromSeconds(1);

    /// <summary>A measurement takes some milliseconds where the driver is well.</summary>
    public static readonly TimeSpan MaxSummaryWait = TimeSpan.FromMilliseconds(200);

    sealed record KeptSummary(StatusSummary Summary, MeasuredUse? Use, long At);

    volatile KeptSummary? _summary;

    public async Task<RawJson> ReportAsync(string? user, CancellationToken cancel)
    {
        var asked = chain.FindOutAsync(cancel);
        var use = await MeasureAsync(cancel);
        var isAsked = await asked;
        var all = rows.All(gpus.Known, use);
        var shown = user is null
            ? all
            : [.. all.Where(row => row.User is { } name && StatusVolume.Spell(name) == user)];
        var found = Problems(all);
        problemLog.Note([.. found.Take(StatusContract.MaxProblems)]);
        var names = user is null ? null : shown.Select(row => row.Name).ToHashSet(StringComparer.Ordinal);
        return Json(
            new StatusReport
            {
                Plugin = PluginVersion.Text,
                Shim = shims.CurrentVersion,
                Time = TimeOf(use),
                Enforced = isAsked,
                Policy = PolicyNow(),
                Gpus = GpusNow(use, all),
                Containers = [.. shown.Take(StatusContract.MaxContainers)],
                Cut = shown.Count > StatusContract.MaxContainers,
                Decisions =
                [
                    .. decisions
                        .All()
                        .Select(one => new DecisionStatus(
                            one.Decision.IsAllowed ? "allowed" : "denied",
                            one.Decision.Rule,
                            one.Count
                        )),
                ],
                Checks = Problem.AllChecks,
                Problems =
                [
                    .. found
                        .Where(problem => problem.Container is not { } name || names?.Contains(name) != false)
                        .Take(StatusContract.MaxProblems),
                ],
            }
        );
    }

    public async Task<RawJson> SummaryAsync(QuotaVolume volume, bool measures, CancellationToken cancel)
    {
        var summary = measures ? await MeasuredSummaryAsync(cancel) : SummaryOfNow();
        return new(
            JsonSerializer.SerializeToUtf8Bytes(
                summary with
                {
                    GpuMemory = volume.GpuMemory,
                    Problem = volume.IsDamaged ? QuotaVolume.Damage(volume.Name, volumes.DriverName) : null,
                },
                StatusJson.Default.StatusSummary
            )
        );
    }

    /// <summary>What is there in time: while one asks, the engine lets the next one who needs the volume wait, and that
    /// may be a <c>docker run</c>.</summary>
    async Task<StatusSummary> MeasuredSummaryAsync(CancellationToken cancel)
    {
        var asked = chain.FindOutAsync(cancel);
        var measured = MeasureAsync(cancel);
        await Task.WhenAny(Task.WhenAll(asked, measured), Task.Delay(MaxSummaryWait, time, cancel));
        var summary = Summarize(measured.IsCompletedSuccessfully ? await measured : meter.Recent);
        return asked.IsCompletedSuccessfully ? summary with { Enforced = await asked } : summary;
    }

    async Task<MeasuredUse?> MeasureAsync(CancellationToken cancel)
    {
        var looked = checkup.LookAsync(cancel);
        var use = await meter.MeasureAsync(cancel);
        await looked;
        return use;
    }

    /// <summary>The engine asks several times in a <c>docker run</c>.</summary>
    StatusSummary SummaryOfNow()
    {
        var use = meter.Recent;
        if (_summary is { } last && ReferenceEquals(last.Use, use) && time.GetElapsedTime(last.At) < MaxSummaryAge)
            return last.Summary;
        var summary = Summarize(use);
        _summary = new(summary, use, time.GetTimestamp());
        return summary;
    }

    StatusSummary Summarize(MeasuredUse? use)
    {
        var all = rows.All(gpus.Known, use);
        return new()
        {
            Plugin = PluginVersion.Text,
            Shim = shims.CurrentVersion,
            Time = TimeOf(use),
            Enforced = chain.IsAsked,
            Policy = PolicyNow(),
            Gpus = GpusNow(use, all),
            ContainerCount = all.Count,
            ProblemCount = Math.Min(Problems(all).Count, StatusContract.MaxProblems),
        };
    }

    static RawJson Json(StatusReport report) =>
        new(JsonSerializer.SerializeToUtf8Bytes(report, StatusJson.Default.StatusReport));

    static string? TimeOf(MeasuredUse? use) => use is null ? null : StatusContract.Text(use.Time);

    IReadOnlyList<Problem> Problems(IReadOnlyList<ContainerStatus> all) =>
        [.. problems.SelectMany(source => source.Find(all))];

    IReadOnlyList<GpuStatus> GpusNow(MeasuredUse? use, IReadOnlyList<ContainerStatus> all) =>
        GpuRows.All(gpus.Known, use, ledger.Held(), policy.Current.Overcommit, all);

    PolicyStatus PolicyNow()
    {
        var (settings, _, refused) = policy.State;
        return new(
            refused.Count > 0 ? "invalid"
                : settings.IsBuiltIn ? "none"
                : "loaded",
            settings.IsAudit ? "audit" : "enforce",
            refused.Count > 0 ? refused[0].ToString() : null,
            settings.Limits.RequireQuota == true
        );
    }
}
