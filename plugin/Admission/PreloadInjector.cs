using System.Collections.Concurrent;
using System.Formats.Tar;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission;

/// <summary>Keeps <c>/etc/ld.so.preload</c> of quota containers naming the shim, and what Nix's loader reads in its place. Who asks for a container that is being served waits for that.</summary>
sealed partial class PreloadInjector(IEngineClient engine, ContainerSpecs specs, EngineDefaults defaults, ImagePreloads images, TimeProvider time, ILogger<PreloadInjector> log) : IPreloadInjector
{
    const int MaxLinks = 8;
    const int MaxServed = 10_000;
    /// <summary>Where every 32-bit program of x86 looks for its loader.</summary>
    const string Loader32 = "/lib/ld-linux.so.2";
    const string EtcFolder = "/etc";
    static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);
    /// <summary>Containers served in this run of the plugin and not written to since, with the shim's path.</summary>
    readonly ConcurrentDictionary<string, string> _served = new(StringComparer.Ordinal);
    readonly ConcurrentDictionary<(string Id, string Shim, int Writes), Lazy<Task<string?>>> _running = new();
    /// <summary>How often somebody wrote files into a container. What was read before the last time does not count.</summary>
    int _writes;

    /// <summary>Somebody writes files into a container: which one, only the engine knows for sure.</summary>
    public void ForgetAll()
    {
        Interlocked.Increment(ref _writes);
        images.Written();
        _served.Clear();
    }

    public async Task<string?> EnsureAsync(ContainerInspect container, CancellationToken cancel)
    {
        var spec = specs.FromInspect(container, defaults.Runtime);
        if (!spec.NeedsInjection)
            return null;
        var shim = spec.Directory!.Shim;
        // What has run as root may have changed any file, so only a container that never ran is taken on trust.
        if (container.State.Status == "created" && _served.TryGetValue(container.Id, out var served) && served == shim)
            return null;
        var job = (container.Id, shim, Volatile.Read(ref _writes));
        return await _running.GetOrAdd(job, _ => new(() => ServeAsync(job, container, spec))).Value.WaitAsync(cancel);
    }

    async Task<string?> ServeAsync((string Id, string Shim, int Writes) job, ContainerInspect container, ContainerSpec spec)
    {
        await Task.Yield();
        using var deadline = new CancellationTokenSource(Deadline, time);
        try
        {
            if (await PutAsync(container, spec, deadline.Token) is { } problem)
                return $"{QuotaMount.PreloadFile} of the container {problem}";
            Remember(job);
            return null;
        }
        catch (OperationCanceledException)
        {
            return $"{QuotaMount.PreloadFile} could not be put into the container: the engine does not answer";
        }
        catch (EngineException failure)
        {
            // Engines with the mend of GHSA-vp62-88p7-qqf5 and without its follow-up refuse every archive call where a mount's target leads through a link, as /var/run/x does.
            return $"{QuotaMount.PreloadFile} could not be put into the container: {Quoted.Text(failure.Message, 200)}{Way(failure, spec)}";
        }
        catch (Exception failure) when (failure is InvalidDataException or EndOfStreamException or FormatException)
        {
            return $"{QuotaMount.PreloadFile} of the container cannot be read";
        }
        finally
        {
            _running.TryRemove(job, out _);
        }
    }

    static string Way(EngineException failure, ContainerSpec spec) =>
        failure.StatusCode is null ? ""
        : DiskFull.Hint(failure.Message) is { Length: > 0 } full ? full
        // The mount of the volume fails, for each call about the container's files and for its start: what the engines say of that in turn.
        : failure.Message.Contains("not a directory", StringComparison.Ordinal) || failure.Message.Contains("file exists", StringComparison.Ordinal)
        ? $"; the image seems to have a file at {Quoted.Text(spec.Directory!.Target)}, where the volume belongs: mount it elsewhere, {Advice.Volume(spec.Tool, spec.Directory.Volume, "/opt/runai")} in its place"
        : $"; {Advice.Preload(spec.Tool, spec.Directory!)}";

    void Remember((string Id, string Shim, int Writes) job)
    {
        if (_served.Count >= MaxServed)
            _served.Clear();
        _served[job.Id] = job.Shim;
        if (Volatile.Read(ref _writes) != job.Writes)
            _served.TryRemove(job.Id, out _);
    }

    /// <summary>One of the files that loaders read.</summary>
    /// <param name="Text">What it says; empty without one.</param>
    /// <param name="IsLink">Whether a link leads to it. It is replaced by a file of the same text: where it leads may be a volume that others write.</param>
    sealed record Found(string Text, bool IsLink);

    async Task<string?> PutAsync(ContainerInspect container, ContainerSpec spec, CancellationToken cancel)
    {
        var (id, directory, shim) = (container.Id, spec.Directory!, spec.Directory!.Shim);
        var key = images.KeyOf(container, spec);
        if (key is not null && images.Find(key) is { } image)
        {
            if (image.Closed is null)
                await WriteAsync(id, shim, Wanted(image, shim, isOld: false, isNixOld: false), cancel);
            return Unreachable(image.Closed, directory);
        }
        var (found, problem) = await ReadAsync(id, QuotaMount.PreloadFile, cancel);
        if (found is null)
            return Unusable(problem!, spec);
        Found? nix = null;
        if (spec.OtherTargets.Any(t => ContainerPath.IsWithin(t, QuotaMount.NixFolder)) || await engine.StatAsync(id, QuotaMount.NixStore, cancel) is not null)
        {
            (nix, problem) = await ReadAsync(id, QuotaMount.NixPreloadFile, cancel);
            if (nix is null)
                return Unusable(problem!, spec);
        }
        var has32Bit = shim == PreloadFile.QuietShim && await engine.StatAsync(id, Loader32, cancel) is not null;
        image = new(found.Text, has32Bit, nix?.Text, await FindClosedAsync(id, directory, cancel));
        if (key is not null && !found.IsLink && nix is not { IsLink: true } && await IsOfImageAsync(id, spec, cancel) && images.KeyOf(container, spec) == key)
            images.Remember(key, image);
        if (image.Closed is null && Wanted(image, shim, !found.IsLink, nix is { IsLink: false }) is { Count: > 0 } files)
            await WriteAsync(id, shim, files, cancel);
        return Unreachable(image.Closed, directory);
    }

    static string Unusable(string problem, ContainerSpec spec) => $"{problem}: remove it, or {Advice.PreloadVariable(spec.Tool, spec.Directory!)}";

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

    /// <summary>The first folder, on the loader's way to its file or to the shim, that users other than root cannot enter: what they run would have no limit.</summary>
    async Task<string?> FindClosedAsync(string id, QuotaMount directory, CancellationToken cancel)
    {
        for (var end = directory.Target.IndexOf('/', 1); end > 0; end = directory.Target.IndexOf('/', end + 1))
            if (await engine.StatAsync(id, directory.Target[..end], cancel) is { IsClosed: true })
                return directory.Target[..end];
        return await engine.StatAsync(id, EtcFolder, cancel) is { IsClosed: true } ? EtcFolder : null;
    }

    static string? Unreachable(string? closed, QuotaMount directory) =>
        closed is null ? null
        : $"would not reach programs that do not run as root, for {Quoted.Text(closed)} is closed to other users: " +
            (closed == EtcFolder ? $"chmod o+x {closed} in the image, or add -e LD_PRELOAD={Quoted.Text(directory.Shim)}" : $"mount {Quoted.Text(directory.Volume)} at /runai");

    async Task WriteAsync(string id, string shim, IReadOnlyList<(string Name, string Text)> files, CancellationToken cancel)
    {
        try
        {
            await engine.PutArchiveAsync(id, EtcFolder, PreloadFile.Write(files, null, time.GetUtcNow()), cancel);
        }
        catch (EngineException failure) when (failure.StatusCode == 404)
        {
            await engine.PutArchiveAsync(id, "/", PreloadFile.Write(files, "etc", time.GetUtcNow()), cancel);
        }
        LogInjected(log, id, shim);
    }

    /// <summary>Whether no mount can be what was read: neither does <c>/etc</c> lead to one, nor does a link of the image make one land there.</summary>
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
            if (await engine.GetArchiveAsync(id, path, PreloadFile.MaxBytes, cancel) is not { } tar)
                return (new("", links > 0), null);
            var (type, text, link) = PreloadFile.Read(tar);
            if (type is TarEntryType.RegularFile or TarEntryType.V7RegularFile)
                return (new(text, links > 0), null);
            if (type != TarEntryType.SymbolicLink)
                return (null, "is no file");
            path = ContainerPath.Clean(link.StartsWith('/') ? link : path[..path.LastIndexOf('/')] + "/" + link);
        }
        return (null, "is a link to a link, and so on");
    }

    [LoggerMessage(610, LogLevel.Debug, "Put {Shim} into /etc/ld.so.preload of {Container}")]
    static partial void LogInjected(ILogger logger, string container, string shim);
}
