// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Volumes;

/// <summary>Whether the engine asks this plugin about API calls.</summary>
interface IChainState
{
    /// <summary>As it was found last; null while that is not known.</summary>
    bool? IsAsked { get; }

    /// <summary>Why nothing is mounted, as it was found last; null where all is well or not known.</summary>
    string? LastProblem { get; }

    /// <summary>Looks now, for a second at most.</summary>
    /// <returns>As <see cref="IsAsked"/>.</returns>
    Task<bool?> FindOutAsync(CancellationToken cancel);
}
