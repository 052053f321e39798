// SPDX-License-Identifier: Apache-2.0
using System.Text.Json.Serialization;

namespace Runai.GpuMemory.Cli.Status;

/// <summary>What this program reads of the plugin's status (docs/status.md). Null is not known.</summary>
/// <param name="Version">Of the contract.</param>
/// <param name="Plugin">The version of the plugin.</param>
/// <param name="Shim">Which one new containers get.</param>
/// <param name="Time">When the measurement of use began.</param>
/// <param name="Enforced">Whether the engine asks the plugin about API calls.</param>
/// <param name="Policy">The policy in force.</param>
/// <param name="Gpus">All of the host.</param>
/// <param name="Containers">Null: this caller sees the sums only.</param>
/// <param name="Cut">Whether there are more containers.</param>
/// <param name="Decisions">Since the plugin started; null in the sums.</param>
/// <param name="Checks">The names of the plugin's checks; null: it does not say.</param>
/// <param name="Problems">What is wrong; null in the sums.</param>
sealed record StatusReport(
    int Version,
    string? Plugin,
    string? Shim,
    DateTimeOffset? Time,
    bool? Enforced,
    StatusPolicy? Policy,
    IReadOnlyList<GpuStatus>? Gpus,
    IReadOnlyList<ContainerStatus>? Containers,
    bool Cut,
    IReadOnlyList<StatusDecision>? Decisions,
    IReadOnlyList<string>? Checks,
    IReadOnlyList<StatusProblem>? Problems
)
{
    /// <summary>The contract that this program reads.</summary>
    public const int KnownVersion = 1;
}

/// <summary>Of the policy in force. RequireQuota: whether a container with a GPU needs a quota; null: not
/// known.</summary>
sealed record StatusPolicy(bool? RequireQuota);

/// <summary>One GPU of the host. Sizes are bytes.</summary>
sealed record GpuStatus(
    int Index,
    string? Uuid,
    string? Name,
    long? TotalBytes,
    long? PromisedBytes,
    long? UsedBytes,
    long? FreeToPromiseBytes,
    long Containers,
    string? State
);

/// <summary>One container. Name, user and quota are what users wrote.</summary>
/// <param name="Id">64 hexadecimal digits.</param>
/// <param name="Name">Without a slash.</param>
/// <param name="User">The TLS name of who started it.</param>
/// <param name="Quota">As written.</param>
/// <param name="State">ok, over, no-gpu, unlimited; of a stopped one docker's word.</param>
/// <param name="Gpus">Those that it sees or uses.</param>
sealed record ContainerStatus(
    string? Id,
    string? Name,
    string? User,
    string? Quota,
    string? State,
    IReadOnlyList<ContainerGpu>? Gpus
);

/// <summary>What a container may have and has of one GPU. Sizes are bytes.</summary>
/// <param name="Uuid">Which one.</param>
/// <param name="Index">Which one.</param>
/// <param name="LimitBytes">Null without a quota.</param>
/// <param name="UsedBytes">By the driver's count.</param>
/// <param name="GpuPercent">Of the last 2 seconds.</param>
/// <param name="Refused">Allocations, as the container reports; null: not known.</param>
/// <param name="LastRefusedBytes">What the last one requested; null: none, or not known.</param>
/// <param name="LastRefusedTime">When that was, RFC 3339; null: none, or not known.</param>
sealed record ContainerGpu(
    string? Uuid,
    int Index,
    long? LimitBytes,
    long? UsedBytes,
    int? GpuPercent,
    long? Refused,
    long? LastRefusedBytes,
    string? LastRefusedTime
);

/// <summary>How often the plugin decided so.</summary>
/// <param name="Verdict">allowed or denied.</param>
/// <param name="Rule">Of several the first; empty: none.</param>
/// <param name="Count">Decisions.</param>
sealed record StatusDecision(string? Verdict, string? Rule, long Count);

/// <summary>What is wrong, and how to fix it. Container: its name; null: the host.</summary>
sealed record StatusProblem(string? Check, string? Container, string? Message, string? Remedy);

/// <summary>What docker and the plugin say in JSON.</summary>
[JsonSerializable(typeof(StatusReport))]
[JsonSerializable(typeof(string[]))]
sealed partial class StatusJson : JsonSerializerContext;
