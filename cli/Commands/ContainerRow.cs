// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Cli.Status;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary>A container and one of its GPUs, as columns.</summary>
/// <param name="Container">Which one.</param>
/// <param name="Gpu">Null: it has none.</param>
sealed record ContainerRow(ContainerStatus Container, ContainerGpu? Gpu)
{
    const int IdLength = 12; // as docker's
    const int NameWidth = 40;
    const int TextWidth = 20; // as docker cuts commands

    /// <summary>A row for each GPU; one for a container without.</summary>
    public static IEnumerable<ContainerRow> Of(IEnumerable<ContainerStatus> containers) =>
        from container in containers
        from gpu in container.Gpus is { Count: > 0 } gpus ? gpus : [null!]
        select new ContainerRow(container, gpu);

    /// <summary>12 characters, or all 64.</summary>
    public string Id(bool isWhole) =>
        Printable.Text(!isWhole && Container.Id is { Length: > IdLength } id ? id[..IdLength] : Container.Id);

    /// <summary>Printable, and cut if it is not to be whole.</summary>
    public string Name(bool isWhole) => Text(Container.Name, isWhole, NameWidth);

    /// <summary>Printable, and cut if it is not to be whole.</summary>
    public string User(bool isWhole) => Text(Container.User, isWhole, TextWidth);

    /// <summary>Printable, and cut if it is not to be whole.</summary>
    public string Quota(bool isWhole) => Text(Container.Quota, isWhole, TextWidth);

    /// <summary>As NVML counts.</summary>
    public string GpuIndex => Gpu is null ? Printable.Unknown : $"{Gpu.Index}";

    /// <summary>Used and limit, as <c>docker stats</c> writes them.</summary>
    public string Use => $"{Figure.Size(Gpu?.UsedBytes)} / {Figure.Size(Gpu?.LimitBytes)}";

    /// <summary>What is used of the limit.</summary>
    public string Percent => Figure.Percent(Figure.Share(Gpu?.UsedBytes, Gpu?.LimitBytes));

    /// <summary>How many allocations.</summary>
    public string Refused => Gpu?.Refused is { } refused ? $"{refused}" : Printable.Unknown;

    /// <summary>How busy it keeps the GPU.</summary>
    public string GpuPercent => Figure.Percent(Gpu?.GpuPercent);

    /// <summary>The same for <c>--format json</c>.</summary>
    public PsRow Json(bool isWhole) =>
        new(
            Id(isWhole),
            Raw(Container.Name),
            Raw(Container.User),
            GpuIndex,
            Raw(Gpu?.Uuid),
            Raw(Container.Quota),
            Use,
            Percent,
            Refused,
            Raw(Container.State),
            GpuPercent,
            Gpu?.UsedBytes,
            Gpu?.LimitBytes,
            Gpu?.Refused,
            Gpu?.LastRefusedBytes,
            Gpu?.LastRefusedTime
        );

    static string Text(string? text, bool isWhole, int width) =>
        isWhole ? Printable.Text(text) : Printable.Cut(Printable.Text(text), width);

    /// <summary>For JSON, which escapes by itself.</summary>
    static string Raw(string? text) => text ?? Printable.Unknown;
}
