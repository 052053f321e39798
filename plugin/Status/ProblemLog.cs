// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Status.Checks;

namespace Runai.GpuMemory.Status;

/// <summary>Puts each problem of the status into the log once, when it appears, and again only after it was
/// gone.</summary>
sealed partial class ProblemLog(ILogger<ProblemLog> log)
{
    readonly Lock _lock = new();
    HashSet<Problem> _known = [];

    /// <summary>To be called with all that there are, of the host and of all containers.</summary>
    public void Note(IReadOnlyList<Problem> problems)
    {
        Problem[] added;
        lock (_lock)
        {
            added = [.. problems.Where(problem => !_known.Contains(problem))];
            _known = [.. problems];
        }
        foreach (var problem in added)
            LogProblem(log, problem.Check, problem.Container ?? "", problem.Message, problem.Remedy);
    }

    [LoggerMessage(701, LogLevel.Warning, "problem check={Check} container={Container}: {Message}. Remedy: {Remedy}")]
    static partial void LogProblem(ILogger logger, string check, string container, string message, string remedy);
}
