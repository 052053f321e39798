// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Reconciliation;

/// <summary>What several classes of this folder log alike. Every other message is a private method of the class that
/// logs it.</summary>
static partial class ReconciliationLog
{
    /// <summary>All tries failed. The container keeps its quota until the next sweep.</summary>
    [LoggerMessage(506, LogLevel.Warning, "container={Container} is not reconciled yet: {Problem}")]
    public static partial void LogNotReconciled(ILogger logger, string container, string problem);

    /// <summary>An unexpected exception. Work goes on with the next container.</summary>
    [LoggerMessage(508, LogLevel.Error, "a bug, please report it")]
    public static partial void LogBug(ILogger logger, Exception e);
}
