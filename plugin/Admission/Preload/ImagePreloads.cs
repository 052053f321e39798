// SPDX-License-Identifier: Apache-2.0
using System.Collections.Concurrent;
using System.Globalization;
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;

namespace Runai.GpuMemory.Admission.Preload;

/// <summary>What new containers of an image have of what the loader reads, so that it need not be read of each. It
/// saves reading, never writing: if it were wrong, a line of the image would be lost, the shim's never.</summary>
sealed class ImagePreloads(SelfCalls own, TimeProvider time)
{
    const int MaxKnown = 1000;

    /// <summary>Of a key and what is known by it, and of all of them, in characters.</summary>
    const int MaxText = 4096,
        MaxAll = 1 << 20;
    readonly ConcurrentDictionary<string, ImagePreload> _known = new(StringComparer.Ordinal);
    int _all;

    /// <summary>When a call last wrote files into a container. What was before this plugin ran is unknown.</summary>
    long _written = time.GetUtcNow().UtcTicks;

    /// <summary>A call writes files into a container: those that are there already may differ from their images
    /// now.</summary>
    public void InvalidateOlderContainers() => Volatile.Write(ref _written, time.GetUtcNow().UtcTicks);

    /// <summary>Names the image and all that is mounted over it; null where the container may have been written to, or
    /// a mount may hide what the image has there.</summary>
    public string? KeyOf(ContainerInspect container, ContainerSpec spec)
    {
        string[] targets =
        [
            .. spec.QuotaMounts.Select(m => m.Target).Concat(spec.OtherTargets).Order(StringComparer.Ordinal),
        ];
        var isNew =
            own.IsAuthorizing
            && container.State.Status == "created"
            && DateTimeOffset.TryParse(container.Created, CultureInfo.InvariantCulture, out var created)
            && created.UtcTicks > Volatile.Read(ref _written);
        return
            isNew
            && ImageOf(container) is { } image
            && !Array.Exists(targets, t => UnixPath.IsWithin(QuotaMount.PreloadFile, t))
            && !AreNested(targets)
            ? string.Join('\n', targets.Prepend(image))
            : null;
    }

    /// <summary>Null if the image has not been read, or was dropped.</summary>
    public ImagePreload? Find(string key) => _known.GetValueOrDefault(key);

    /// <summary>Skips an entry that is too long. Drops all others when there are too many.</summary>
    public void Remember(string key, ImagePreload image)
    {
        var length = key.Length + image.Text.Length + (image.NixText?.Length ?? 0) + (image.Closed?.Path.Length ?? 0);
        if (length > MaxText)
            return;
        if (_known.Count >= MaxKnown || Interlocked.Add(ref _all, length) > MaxAll)
        {
            _known.Clear();
            Volatile.Write(ref _all, length);
        }
        _known[key] = image;
    }

    /// <summary>Where containerd keeps the images, an ID can stand for one image of each platform. These drivers are
    /// never containerd's.</summary>
    static string? ImageOf(ContainerInspect container)
    {
        if (container.ImageManifestDescriptor is { Digest: { Length: > 0 } digest })
            return digest;
        return container.Image.Length > 0 && container.Driver is "overlay2" or "vfs" ? container.Image : null;
    }

    /// <summary>What is mounted inside another mount is reached by what that one holds.</summary>
    static bool AreNested(string[] targets) =>
        Array.Exists(targets, t => Array.Exists(targets, other => other != t && UnixPath.IsWithin(t, other)));
}
