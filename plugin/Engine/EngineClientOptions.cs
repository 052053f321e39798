// SPDX-License-Identifier: Apache-2.0
namespace Runai.GpuMemory.Engine;

/// <summary>Bounds of the engine client: how long each kind of call may take, how much an answer may hold.</summary>
/// <param name="Socket">Path of the engine's unix socket, as the plugin sees it.</param>
sealed record EngineClientOptions(string Socket)
{
    /// <summary>Deadline of a call about one object, and of the beginning of the event stream.</summary>
    public TimeSpan CallDeadline { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>All labels of all containers come with it.</summary>
    public TimeSpan ListDeadline { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>Deadline of a call about a container's files: the engine may have to mount its file system
    /// first.</summary>
    public TimeSpan ArchiveDeadline { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>The engine waits for the container before it kills it.</summary>
    public TimeSpan StopDeadline { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How far the event stream reaches back.</summary>
    public TimeSpan EventOverlap { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Bound of an answer that is kept whole; a longer one is an <see cref="EngineException"/>.</summary>
    public long MaxAnswerBytes { get; init; } = 8 << 20;

    /// <summary>Of an answer that is kept in part, the whole.</summary>
    public long MaxSkimmedBytes { get; init; } = 256 << 20;

    /// <summary>An event carries all labels of its container. Of a longer one, what comes before them counts.</summary>
    public int MaxEventBytes { get; init; } = 4 << 20;
}
