// SPDX-License-Identifier: Apache-2.0
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text.Json;
using System.Text.Json.Serialization;
using Runai.GpuMemory.Cli.Tables;

namespace Runai.GpuMemory.Cli.Commands;

/// <summary>The option <c>--format</c>, and what it prints in JSON: one object a line.</summary>
static class Formats
{
    /// <summary>The default.</summary>
    public const string Table = "table";

    /// <summary>One object a line.</summary>
    public const string Json = "json";

    const int MaxShown = 60;

    /// <summary>The option, of which each command needs its own.</summary>
    public static Option<string> Option()
    {
        var option = new Option<string>("--format")
        {
            HelpName = "FORMAT",
            Description = "Print a 'table' (default), or 'json': one object a line",
            DefaultValueFactory = _ => Table,
            CompletionSources = { Table, Json },
        };
        option.Validators.Add(Check);
        return option;
    }

    static void Check(OptionResult result)
    {
        foreach (var token in result.Tokens)
        {
            if (token.Value is not (Table or Json))
                result.AddError(
                    $"invalid value '{Printable.Cut(Printable.Text(token.Value), MaxShown)}' of --format: "
                        + $"type {Table} or {Json}"
                );
        }
    }

    /// <summary>A row as JSON, without a line feed.</summary>
    public static string Line(PsRow row) => JsonSerializer.Serialize(row, RowJson.Default.PsRow);

    /// <summary>A row as JSON, without a line feed.</summary>
    public static string Line(GpuRow row) => JsonSerializer.Serialize(row, RowJson.Default.GpuRow);

    /// <summary>A row as JSON, without a line feed.</summary>
    public static string Line(FindingRow row) => JsonSerializer.Serialize(row, RowJson.Default.FindingRow);

    /// <summary>The versions as JSON, without a line feed.</summary>
    public static string Line(Versions versions) => JsonSerializer.Serialize(versions, RowJson.Default.Versions);
}

/// <summary>A line of <c>ps</c> and <c>stats --format json</c>. Columns are texts, as docker's; sizes in bytes, counts
/// and the time (RFC 3339) of the last refusal are null where not known.</summary>
sealed record PsRow(
    string ID,
    string Name,
    string User,
    [property: JsonPropertyName("GPU")] string Gpu,
    [property: JsonPropertyName("UUID")] string Uuid,
    string Quota,
    [property: JsonPropertyName("GPUMemUsage")] string Usage,
    [property: JsonPropertyName("GPUMemPerc")] string Percent,
    string Refused,
    string State,
    [property: JsonPropertyName("GPUPerc")] string GpuPercent,
    long? UsedBytes,
    long? LimitBytes,
    long? RefusedCount,
    long? LastRefusedBytes,
    string? LastRefusedTime
);

/// <summary>A line of <c>gpus --format json</c>.</summary>
sealed record GpuRow(
    [property: JsonPropertyName("GPU")] string Gpu,
    [property: JsonPropertyName("UUID")] string Uuid,
    string Name,
    string Total,
    string Promised,
    string Used,
    string FreeToPromise,
    string Containers,
    string State,
    long? TotalBytes,
    long? PromisedBytes,
    long? UsedBytes,
    long? FreeToPromiseBytes
);

/// <summary>A line of <c>doctor --format json</c>. Container: null for the host. Remedy: empty if there is
/// none.</summary>
sealed record FindingRow(string Check, string By, string State, string? Container, string Message, string Remedy);

[JsonSerializable(typeof(PsRow))]
[JsonSerializable(typeof(GpuRow))]
[JsonSerializable(typeof(FindingRow))]
[JsonSerializable(typeof(Versions))]
sealed partial class RowJson : JsonSerializerContext;
