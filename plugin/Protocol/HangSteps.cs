// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Protocol;

/// <summary>Counts for how long one call was not answered, in steps that whoever counts made himself: 10 s of them are
/// too long.</summary>
sealed class HangSteps
{
    /// <summary>How long the watchdog sleeps before it looks again.</summary>
    public static readonly TimeSpan Step = TimeSpan.FromMilliseconds(250);
    const int TooMany = 40;

    long _call;
    int _steps;

    /// <summary>A step is over.</summary>
    /// <param name="asked">The number of the last call.</param>
    /// <param name="answered">That of the last one with an answer.</param>
    public bool IsTooLong(long asked, long answered)
    {
        if (asked == answered || asked != _call)
        {
            _call = asked;
            _steps = 0;
        }
        else
            _steps++;
        return _steps >= TooMany;
    }
}
