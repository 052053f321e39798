// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Status;

/// <summary>The <c>Status</c> of <c>runai-status</c>, version 1: a contract with its readers, described in
/// docs/status.md. Null means not known; all times are RFC 3339 in UTC with milliseconds, all sizes bytes.</summary>
sealed record StatusReport
{
    public int Version { get; init; } = StatusContract.Version;

    /// <summary>The plugin's version.</summary>
    public required string Plugin { get; init; }

    /// <summary>Which shim new containers get: its length and a hash.</summary>
    public required string? Shim { get; init; }

    /// <summary>When use was measured.</summary>
    public required string? Time { get; init; }

    /// <summary>Whether the engine asks the plugin about API calls.</summary>
    public required bool? Enforced { get; init; }

    /// <summary>The policy in force.</summary>
    public required PolicyStatus Policy { get; init; }

    /// <summary>All GPUs of the host; empty if NVML finds none.</summary>
    public required IReadOnlyList<GpuStatus> Gpus { get; init; }

    /// <summary>Those that run and have a quota or a GPU, by name.</summary>
    public required IReadOnlyList<ContainerStatus> Containers { get; init; }

    /// <summary>Whether there are more than are listed.</summary>
    public required bool Cut { get; init; }

    /// <summary>Counts of decisions since the plugin's process began.</summary>
    public required IReadOnlyList<DecisionStatus> Decisions { get; init; }

    /// <summary>The names of the checks whose findings are in <see cref="Problems"/>.</summary>
    public required IReadOnlyList<string> Checks { get; init; }

    /// <summary>What an admin should look at; empty if nothing is wrong.</summary>
    public required IReadOnlyList<Problem> Problems { get; init; }
}

/// <summary>The <c>Status</c> of <c>runai</c> and of volumes with a quota.</summary>
sealed record StatusSummary
{
    public int Version { get; init; } = StatusContract.Version;

    /// <summary>See <see cref="StatusReport.Plugin"/>.</summary>
    public required string Plugin { get; init; }

    /// <summary>See <see cref="StatusReport.Shim"/>.</summary>
    public required string? Shim { get; init; }

    /// <summary>See <see cref="StatusReport.Time"/>.</summary>
    public required string? Time { get; init; }

    /// <summary>See <see cref="StatusReport.Enforced"/>.</summary>
    public required bool? Enforced { get; init; }

    /// <summary>The policy in force.</summary>
    public required PolicyStatus Policy { get; init; }

    /// <summary>All GPUs of the host; empty if NVML finds none.</summary>
    public required IReadOnlyList<GpuStatus> Gpus { get; init; }

    /// <summary>How many rows <see cref="StatusReport.Containers"/> would have.</summary>
    public required int ContainerCount { get; init; }

    /// <summary>How many entries <see cref="StatusReport.Problems"/> would have.</summary>
    public required int ProblemCount { get; init; }

    /// <summary>The volume's option.</summary>
    [JsonPropertyName("gpu-memory")]
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? GpuMemory { get; init; }

    /// <summary>Of a damaged volume.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Problem { get; init; }
}

/// <summary>The policy file, and whether it is in force.</summary>
/// <param name="State"><c>none</c>, <c>loaded</c>, <c>invalid</c>.</param>
/// <param name="Mode"><c>enforce</c> or <c>audit</c>.</param>
/// <param name="Problem">The first of an invalid file.</param>
/// <param name="RequireQuota">Whether a container with a GPU needs a quota, unless its user is excepted.</param>
sealed record PolicyStatus(string State, string Mode, string? Problem, bool RequireQuota);

/// <summary>One GPU of the host.</summary>
/// <param name="Index">As NVML counts.</param>
/// <param name="Uuid">The GPU.</param>
/// <param name="Name">As NVML has it.</param>
/// <param name="TotalBytes">NVML's total.</param>
/// <param name="AllocatableBytes">Of it, what can be allocated.</param>
/// <param name="PromisedBytes">To containers with a quota; null while that is not known.</param>
/// <param name="UsedBytes">By everybody on the host, by the driver's count.</param>
/// <param name="FreeToPromiseBytes">What is left for quotas, <c>overcommit</c> in it.</param>
/// <param name="Containers">How many of the listed ones see it.</param>
/// <param name="State"><c>idle</c>, <c>shared</c>, <c>full</c>.</param>
sealed record GpuStatus(
    int Index,
    string Uuid,
    string Name,
    long TotalBytes,
    long AllocatableBytes,
    long? PromisedBytes,
    long? UsedBytes,
    long? FreeToPromiseBytes,
    int Containers,
    string State
);

/// <summary>One container that runs.</summary>
/// <param name="Id">64 hexadecimal digits.</param>
/// <param name="Name">Without a slash.</param>
/// <param name="User">The TLS name of who started it; null: a caller without a name.</param>
/// <param name="Quota">As written.</param>
/// <param name="State"><c>no-gpu</c>, <c>over</c>, <c>unlimited</c>, <c>ok</c>: the first that holds.</param>
/// <param name="StartedAt">By the engine's word.</param>
/// <param name="Gpus">Those that it sees or uses.</param>
sealed record ContainerStatus(
    string Id,
    string Name,
    string? User,
    string? Quota,
    string State,
    string? StartedAt,
    IReadOnlyList<ContainerGpuStatus> Gpus
);

/// <summary>What a container may have and has of one GPU.</summary>
/// <param name="Uuid">The GPU.</param>
/// <param name="Index">As NVML counts.</param>
/// <param name="LimitBytes">Null without a quota.</param>
/// <param name="UsedBytes">By the container's processes, by the driver's count.</param>
/// <param name="GpuPercent">Of the last seconds, by the driver's word.</param>
/// <param name="Refused">Allocations that the shim refused; null where the plugin cannot read their
/// count.</param>
/// <param name="LastRefusedBytes">The size of the last one.</param>
/// <param name="LastRefusedTime">When that was, by the container's word.</param>
sealed record ContainerGpuStatus(
    string Uuid,
    int Index,
    long? LimitBytes,
    long? UsedBytes,
    int? GpuPercent,
    long? Refused,
    long? LastRefusedBytes,
    string? LastRefusedTime
);

/// <summary>How often a rule decided.</summary>
/// <param name="Verdict"><c>allowed</c> or <c>denied</c>.</param>
/// <param name="Rule">The first that decided.</param>
/// <param name="Count">Since the plugin's process began.</param>
sealed record DecisionStatus(string Verdict, string Rule, long Count);

/// <summary>The records of the status. No null is left out.</summary>
[JsonSerializable(typeof(StatusReport))]
[JsonSerializable(typeof(StatusSummary))]
sealed partial class StatusJson : JsonSerializerContext;
