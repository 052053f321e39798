// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Status;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary>The status as commands show it, and what its reader must know beside it.</summary>
/// <param name="Gpus">All of the host.</param>
/// <param name="Containers">Null: this caller sees the GPUs' sums only.</param>
/// <param name="Warnings">A line each.</param>
sealed record StatusView(
    IReadOnlyList<GpuStatus> Gpus,
    IReadOnlyList<ContainerStatus>? Containers,
    IReadOnlyList<string> Warnings
)
{
    /// <summary>Said where a caller without a TLS name may not see the containers.</summary>
    public const string SumsOnly =
        "the policy (\"status\": \"own\") shows you the GPUs' sums only: "
        + "you have no TLS name, so no container is yours";

    const string Unasked =
        "the engine does not ask the plugin about API calls, so quotas are not enforced: "
        + "add \"authorization-plugins\": [\"runai/gpu-memory\"] to its daemon.json and reload it";

    const string More = "there are more containers than the plugin lists";

    /// <summary>Reads it, and writes the warnings.</summary>
    public static StatusView Read(StatusReader reader, TextWriter error)
    {
        var view = Read(reader);
        view.WriteWarnings(error);
        return view;
    }

    /// <summary>Writes them to standard error.</summary>
    public void WriteWarnings(TextWriter error)
    {
        foreach (var warning in Warnings)
            error.WriteLine(warning);
    }

    /// <summary>Reads it, for a caller who shows the warnings himself.</summary>
    public static StatusView Read(StatusReader reader)
    {
        var report = reader.Read();
        return new(report.Gpus ?? [], report.Containers, [.. Warn(report).Select(text => $"WARNING: {text}")]);
    }

    static IEnumerable<string> Warn(StatusReport report)
    {
        if (report.Enforced == false)
            yield return report.Problems?.FirstOrDefault(problem => problem.Check == "chain") is { } chain
                ? string.Join(
                    ": ",
                    ((string?[])[chain.Message, chain.Remedy])
                        .Where(text => text is not (null or ""))
                        .Select(Printable.Text)
                )
                : Unasked;
        if (report.Cut)
            yield return More;
    }
}
