// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using NUnit.Framework;
using Runai.GpuMemory.Hosting;
using Runai.GpuMemory.Tests.Reconciliation;

namespace Runai.GpuMemory.Tests.Hosting;

sealed class LoopTests
{
    readonly ConcurrentQueue<string> _log = [];
    readonly CancellationTokenSource _stop = new();

    [OneTimeTearDown]
    public void End() => _stop.Dispose();

    Task RunAsync(params Func<CancellationToken, Task>[] steps) =>
        Loop.RunAsync(new ListLogger<LoopTests>(_log), _stop.Token, steps);

    /// <summary>Three failures, a good turn, and another failure.</summary>
    [Test]
    public async Task A_loop_outlives_failures_and_reports_them_once()
    {
        var (turns, waits) = (0, 0);
        await RunAsync(
            stop =>
                ++turns switch
                {
                    1 => throw new InsufficientMemoryException(),
                    2 => Task.FromException(new OperationCanceledException("somebody else's")),
                    3 or 5 => throw new InvalidOperationException(),
                    6 => _stop.CancelAsync(),
                    _ => Task.CompletedTask,
                },
            stop =>
            {
                waits++;
                return Task.CompletedTask;
            }
        );
        Assert.That((turns, waits), Is.EqualTo((6, 6)));
        Assert.That(
            _log,
            Is.EqualTo(
                new[]
                {
                    "Error 110 a turn of this loop failed, and the next one follows",
                    "Error 110 a turn of this loop failed, and the next one follows",
                }
            )
        );
    }

    [Test]
    public void A_thread_outlives_failures()
    {
        var (turns, log) = (0, new ConcurrentQueue<string>());
        Loop.Run(
            () => ++turns < 3 ? throw new InsufficientMemoryException() : turns < 5,
            new ListLogger<LoopTests>(log)
        );
        Assert.That((turns, log.Count), Is.EqualTo((5, 1)));
    }
}
