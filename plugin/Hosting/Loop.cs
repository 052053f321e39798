// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Hosting;

/// <summary>Work that is done again and again for as long as the plugin runs. Whatever goes wrong in it, a lack of
/// memory too, ends neither the loop nor the host: it is said once, and the next turn follows.</summary>
static partial class Loop
{
    /// <summary>After a step that failed.</summary>
    static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <summary>One turn whenever so much time has passed.</summary>
    public static async Task EveryAsync(
        TimeSpan pause,
        TimeProvider time,
        Func<CancellationToken, Task> turn,
        ILogger log,
        CancellationToken cancel
    )
    {
        using var timer = new PeriodicTimer(pause, time);
        await RunAsync(log, cancel, token => timer.WaitForNextTickAsync(token).AsTask(), turn);
    }

    /// <summary>Runs the steps in turn until it is cancelled, and pauses only after a failure. Never throws.</summary>
    /// <param name="log">Gets the first failure after a turn without one.</param>
    /// <param name="cancel">Ends the loop.</param>
    /// <param name="steps">Of a turn, in their order: one of them waits. What fails keeps none of the others from being
    /// done.</param>
    public static async Task RunAsync(
        ILogger log,
        CancellationToken cancel,
        params Func<CancellationToken, Task>[] steps
    )
    {
        for (var isSaid = false; !cancel.IsCancellationRequested; )
        {
            var failures = 0;
            foreach (var step in steps)
                if (!await TryAsync(step, isSaid ? null : log, cancel))
                {
                    isSaid = true;
                    failures++;
                }
            if (failures == 0)
                isSaid = false;
        }
    }

    static async Task<bool> TryAsync(Func<CancellationToken, Task> step, ILogger? log, CancellationToken cancel)
    {
        try
        {
            await step(cancel);
            return true;
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            return true;
        }
        catch (Exception e)
        {
            Say(log, e);
        }
        try
        {
            await Task.Delay(Pause, CancellationToken.None);
        }
        catch (Exception)
        {
#pragma warning disable RS0030 // There is no memory for a timer.
            Thread.Sleep(Pause);
#pragma warning restore RS0030
        }
        return false;
    }

    /// <summary>The same on a thread of its own.</summary>
    /// <param name="turn">False where there is no more to do.</param>
    /// <param name="log">As above.</param>
    public static void Run(Func<bool> turn, ILogger log)
    {
        for (var isSaid = false; ; )
        {
            try
            {
                if (!turn())
                    return;
                isSaid = false;
            }
            catch (Exception e)
            {
                Say(isSaid ? null : log, e);
                isSaid = true;
#pragma warning disable RS0030 // in a thread of its own
                Thread.Sleep(Pause);
#pragma warning restore RS0030
            }
        }
    }

    static void Say(ILogger? log, Exception e)
    {
        try
        {
            if (log is not null)
                LogFailed(log, e);
        }
        catch (Exception)
        {
            // there is no memory for a line
        }
    }

    [LoggerMessage(110, LogLevel.Error, "a turn of this loop failed, and the next one follows")]
    static partial void LogFailed(ILogger logger, Exception e);
}
