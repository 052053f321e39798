// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Formats.Tar;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Preload;

/// <summary>Keeps <c>/etc/ld.so.preload</c> of quota containers naming the shim, and what Nix's loader reads in its
/// place. Who asks for a container that is being served waits for that.</summary>
sealed partial class PreloadInjector(
    IEngineClient engine,
    ImagePreloads images,
    TimeProvider time,
    ILogger<PreloadInjector> log
) : IPreloadInjector
{
    const int MaxLinks = 8;
    const int MaxServed = 10_000;
    const int MaxShim = 1024;

    /// <summary>Where every 32-bit program of x86 looks for its loader.</summary>
    const string Loader32 = "/lib/ld-linux.so.2";
    const string EtcFolder = "/etc";
    const UnixFileMode Readable = UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>Of the work, which goes on when whoever began it waits no longer: who asks next has what is done of
    /// it.</summary>
    static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    const string Late =
        $"{QuotaMount.PreloadFile} is not in the container yet, since the engine is slow to take files now: try again";

    /// <summary>Containers served in this run of the plugin and not written to since, with the shim's path.</summary>
    readonly ConcurrentDictionary<string, string> _served = new(StringComparer.Ordinal);
    readonly ConcurrentDictionary<(string Id, string Shim, int Writes), Lazy<Task<string?>>> _running = new();

    /// <summary>How often a call wrote files into a container. What was read before the last time does not
    /// count.</summary>
    int _writes;

    /// <summary>A call writes files into a container: which one, only the engine knows for sure.</summary>
    public void InvalidateAll()
    {
        Interlocked.Increment(ref _writes);
        images.InvalidateOlderContainers();
        _served.Clear();
    }

    public async Task<string?> EnsureAsync(ContainerInspect container, ContainerSpec spec, CancellationToken cancel)
    {
        if (spec.Directory?.Shim is not { } shim)
            return null;
        // What has run as root may have changed any file, so only a container that never ran is taken on trust.
        if (container.State.Status == "created" && _served.TryGetValue(container.Id, out var served) && served == shim)
            return null;
        while (true)
        {
            var job = (container.Id, shim, Volatile.Read(ref _writes));
            var mine = new Lazy<Task<string?>>(() => InjectPreloadAsync(job, container, spec));
            var work = _running.GetOrAdd(job, mine);
            try
            {
                var problem = await work.Value.WaitAsync(cancel);
                // Another caller began it, and its time ran out before this caller's.
                if (problem != Late || work == mine)
                    return problem;
            }
            catch (OperationCanceledException)
            {
                return Late;
            }
        }
    }

    async Task<string?> InjectPreloadAsync(
        (string Id, string Shim, int Writes) job,
        ContainerInspect container,
        ContainerSpec spec
    )
    {
        await Task.Yield();
        using var deadline = new CancellationTokenSource(Deadline, time);
        try
        {
            if (await ReadAndWriteAsync(container, spec, deadline.Token) is { } problem)
                return $"{QuotaMount.PreloadFile} of the container {problem}";
            Remember(job);
            return null;
        }
        catch (OperationCanceledException)
        {
            return Late;
        }
        // Its environment loads the shim; the file would be the better way.
        catch (EngineException e) when (e.StatusCode is not null && !spec.NeedsPreloadFile)
        {
            LogNotPut(log, job.Id, e.Message);
            return null;
        }
        catch (EngineException e)
        {
            // Engines with the mend of GHSA-vp62-88p7-qqf5 and without its follow-up refuse every archive call where a
            // mount's target leads through a link, as /var/run/x does.
            return $"{QuotaMount.PreloadFile} could not be put into the container: "
                + $"{Quoted.Text(e.Message, 200)}{Way(e, spec)}";
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException or FormatException)
        {
            return $"{QuotaMount.PreloadFile} of the container cannot be read";
        }
        finally
        {
            _running.TryRemove(job, out _);
        }
    }

    static string Way(EngineException e, ContainerSpec spec)
    {
        if (e.StatusCode is null)
            return "";
        if (DiskFull.Hint(e.Message) is { Length: > 0 } full)
            return full;
        // The mount of the volume fails, for each call about the container's files and for its start: what the engines
        // say of that in turn.
        if (
            e.Message.Contains("not a directory", StringComparison.Ordinal)
            || e.Message.Contains("file exists", StringComparison.Ordinal)
        )
            return $"; the image seems to have a file at {Quoted.Text(spec.Directory!.Target)}, where the volume "
                + $"belongs: mount it elsewhere, {Advice.Volume(spec.Tool, spec.Directory.Volume, "/opt/runai")} in "
                + "its place";
        var first = e.Message.Contains("escapes from parent", StringComparison.Ordinal)
            ? "the target of a mount leads through a link of the image: mount it where none does, or "
            : "";
        return $"; {first}{Advice.Preload(spec.Tool, spec.Directory!)}";
    }

    void Remember((string Id, string Shim, int Writes) job)
    {
        if (_served.Count >= MaxServed)
            _served.Clear();
        if (job.Shim.Length <= MaxShim)
            _served[job.Id] = job.Shim;
        if (Volatile.Read(ref _writes) != job.Writes)
            _served.TryRemove(job.Id, out _);
    }

    /// <summary>One of the files that loaders read.</summary>
    /// <param name="Text">What it says; empty without one.</param>
    /// <param name="IsLink">Whether a link leads to it. It is replaced by a file of the same text: where it leads may
    /// be a volume that others write.</param>
    /// <param name="IsOpen">Whether every user can read it.</param>
    sealed record Found(string Text, bool IsLink, bool IsOpen = true)
    {
        /// <summary>Whether it may stay as it is if its text is right.</summary>
        public bool CanStay => !IsLink && IsOpen;
    }

    async Task<string?> ReadAndWriteAsync(ContainerInspect container, ContainerSpec spec, CancellationToken cancel)
    {
        var id = container.Id;
        var directory = spec.Directory!;
        var shim = directory.Shim;
        if (!spec.NeedsInjection)
            return Unreachable(await FindClosedAsync(id, spec, cancel), spec);
        var key = images.KeyOf(container, spec);
        if (key is not null && images.Find(key) is { } image)
        {
            if (Unreachable(image.Closed, spec) is { } closed)
                return closed;
            await WriteAsync(id, shim, Wanted(image, shim, isOld: false, isNixOld: false), cancel);
            return null;
        }
        var (found, problem) = await ReadAsync(id, QuotaMount.PreloadFile, cancel);
        if (found is null)
            return await UnusableAsync(id, problem!, spec, cancel);
        Found? nix = null;
        if (
            spec.OtherTargets.Any(t => UnixPath.IsWithin(t, QuotaMount.NixFolder))
            || await engine.StatAsync(id, QuotaMount.NixStore, cancel) is not null
        )
        {
            (nix, problem) = await ReadAsync(id, QuotaMount.NixPreloadFile, cancel);
            if (nix is null)
                return await UnusableAsync(id, problem!, spec, cancel);
        }
        var has32Bit = shim == PreloadFile.QuietShim && await engine.StatAsync(id, Loader32, cancel) is not null;
        image = new(found.Text, has32Bit, nix?.Text, await FindClosedAsync(id, spec, cancel));
        if (
            key is not null
            && !found.IsLink
            && nix is not { IsLink: true }
            && await IsOfImageAsync(id, spec, cancel)
            && images.KeyOf(container, spec) == key
        )
            images.Remember(key, image);
        if (Unreachable(image.Closed, spec) is { } unreachable)
            return unreachable;
        if (Wanted(image, shim, found.CanStay, nix is { CanStay: true }) is { Count: > 0 } files)
            await WriteAsync(id, shim, files, cancel);
        return null;
    }

    async Task<string?> UnusableAsync(string id, string problem, ContainerSpec spec, CancellationToken cancel) =>
        spec.NeedsPreloadFile
            ? $"{problem}: remove it, or {Advice.PreloadVariable(spec.Tool, spec.Directory!)}"
            : Unreachable(await FindClosedAsync(id, spec, cancel), spec);

    /// <param name="image">What is there.</param>
    /// <param name="shim">The shim's path in the container.</param>
    /// <param name="isOld">Whether a file that is as it should be is left as it is.</param>
    /// <param name="isNixOld">The same for the loader of Nix.</param>
    static List<(string Name, string Text)> Wanted(ImagePreload image, string shim, bool isOld, bool isNixOld)
    {
        var files = new List<(string Name, string Text)>();
        if ((PreloadFile.WithShim(image.Text, shim, image.Has32Bit) ?? (isOld ? null : image.Text)) is { } text)
            files.Add((QuotaMount.PreloadName, text));
        if (image.NixText is { } nix && (PreloadFile.WithShim(nix, shim) ?? (isNixOld ? null : nix)) is { } nixText)
            files.Add((QuotaMount.NixPreloadName, nixText));
        return files;
    }

    /// <summary>The first folder, on the loader's way to the shim or to its file, that some users cannot enter: what
    /// they run would have no limit.</summary>
    async Task<ClosedFolder?> FindClosedAsync(string id, ContainerSpec spec, CancellationToken cancel)
    {
        if (await FirstClosedAsync(id, spec.Directory!.Target, isMount: true, MaxLinks, cancel) is { } aboveShim)
            return new(aboveShim, HidesShim: true);
        return
            (spec.NeedsInjection || spec.PreloadsByMount)
            && await FirstClosedAsync(id, EtcFolder, isMount: false, MaxLinks, cancel) is { } aboveFile
            ? new(aboveFile, HidesShim: false)
            : null;
    }

    /// <param name="id">The container.</param>
    /// <param name="path">A folder in it; a link leads on.</param>
    /// <param name="isMount">Whether ours is mounted there, so that its own mode is of no matter.</param>
    /// <param name="links">How many links may follow.</param>
    /// <param name="cancel">Ends the work.</param>
    async Task<string?> FirstClosedAsync(string id, string path, bool isMount, int links, CancellationToken cancel)
    {
        for (var end = path.IndexOf('/', 1); ; end = path.IndexOf('/', end + 1))
        {
            var folder = end < 0 ? path : path[..end];
            var stat = await engine.StatAsync(id, folder, cancel);
            if (stat is { IsLink: true, LinkTarget.Length: > 0 } link && links > 0)
                return await FirstClosedAsync(
                    id,
                    UnixPath.Clean(link.LinkTarget + path[folder.Length..]),
                    isMount,
                    links - 1,
                    cancel
                );
            if (stat is { IsClosed: true } && !(end < 0 && isMount))
                return folder;
            if (end < 0)
                return null;
        }
    }

    static string? Unreachable(ClosedFolder? closed, ContainerSpec spec)
    {
        if (closed is null || (!closed.HidesShim && spec.PreloadsByEnvironment))
            return null;
        var directory = spec.Directory!;
        var remedy = closed.HidesShim
            ? $"{Advice.Volume(spec.Tool, directory.Volume, OtherTarget(directory))} in its place"
            : $"RUN chmod a+x {Quoted.Text(closed.Path)} in the image, or "
                + $"{Advice.PreloadVariable(spec.Tool, directory)}";
        return $"would not reach the programs of every user, since {Quoted.Text(closed.Path)} is closed to its "
            + $"owner, its group or others: {remedy}";
    }

    static string OtherTarget(QuotaMount directory) => directory.Target == "/runai" ? "/opt/runai" : "/runai";

    async Task WriteAsync(
        string id,
        string shim,
        IReadOnlyList<(string Name, string Text)> files,
        CancellationToken cancel
    )
    {
        try
        {
            await engine.PutArchiveAsync(id, EtcFolder, PreloadFile.Write(files, null, time.GetUtcNow()), cancel);
        }
        catch (EngineException e) when (e.StatusCode == 404)
        {
            await engine.PutArchiveAsync(id, "/", PreloadFile.Write(files, "etc", time.GetUtcNow()), cancel);
        }
        LogInjected(log, id, shim);
    }

    /// <summary>Whether no mount can be what was read: neither does <c>/etc</c> lead to one, nor does a link of the
    /// image make one land there.</summary>
    async Task<bool> IsOfImageAsync(string id, ContainerSpec spec, CancellationToken cancel)
    {
        if (spec.OtherTargets.Count == 0)
            return true;
        if (await engine.StatAsync(id, EtcFolder, cancel) is { IsDirectory: false })
            return false;
        var seen = new HashSet<string>(StringComparer.Ordinal);
        foreach (var target in spec.OtherTargets)
            for (var end = target.IndexOf('/', 1); ; end = target.IndexOf('/', end + 1))
            {
                var path = end < 0 ? target : target[..end];
                if (seen.Add(path) && await engine.StatAsync(id, path, cancel) is { IsLink: true })
                    return false;
                if (end < 0)
                    break;
            }
        return true;
    }

    /// <summary>One of both.</summary>
    async Task<(Found? Found, string? Problem)> ReadAsync(string id, string path, CancellationToken cancel)
    {
        for (var links = 0; links <= MaxLinks; links++)
        {
            byte[]? tar;
            try
            {
                tar = await engine.GetArchiveAsync(id, path, PreloadFile.MaxBytes, cancel);
            }
            catch (EngineException e) when (e.IsTooLong)
            {
                return (null, $"is larger than {PreloadFile.MaxBytes >> 10} KiB");
            }
            if (tar is null)
                return (new("", links > 0), null);
            var (type, text, link, mode) = PreloadFile.Read(tar);
            if (type is TarEntryType.RegularFile or TarEntryType.V7RegularFile)
                return (new(text, links > 0, (mode & Readable) == Readable), null);
            if (type != TarEntryType.SymbolicLink)
                return (null, "is no file");
            path = UnixPath.Clean(link.StartsWith('/') ? link : path[..path.LastIndexOf('/')] + "/" + link);
        }
        return (null, "is a link to a link, and so on");
    }

    [LoggerMessage(610, LogLevel.Debug, "Put {Shim} into /etc/ld.so.preload of {Container}")]
    static partial void LogInjected(ILogger logger, string container, string shim);

    [LoggerMessage(
        611,
        LogLevel.Information,
        "{Container} loads the shim by LD_PRELOAD only, which env -i and sudo remove: /etc/ld.so.preload "
            + "could not be put into it: {Problem}"
    )]
    static partial void LogNotPut(ILogger logger, string container, string problem);
}
