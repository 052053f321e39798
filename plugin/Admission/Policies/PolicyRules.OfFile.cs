// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Containers;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Gpu;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>The rules of the policy file: each null, or why the container may not run.</summary>
static partial class PolicyRules
{
    static string? RequireQuota(RuleInput c) =>
        c.Limits.RequireQuota == true && c.Spec.Gpu is { } gpu && !c.HasQuota
            ? $"a container with a GPU ({gpu.Via}) needs a quota on this machine: "
                + Advice.VolumeAndLabel(c.Spec.Tool, LabelNeeded(c.Limits))
            : null;

    /// <summary>A quota to propose; null where the container gets one without a label.</summary>
    static string? LabelNeeded(QuotaLimits limits) =>
        limits.DefaultQuota is null ? limits.MaxQuota?.Text ?? "0.5" : null;

    static string? MaxQuota(RuleInput c)
    {
        if (
            c.Limits.MaxQuota is not { } max
            || c.Quota is not { } quota
            || !Exceeds(c, quota, max, out var uncertain)
            || IsTotalLess(c, quota, max)
        )
            return null;
        return uncertain
            ? $"{GpuMemoryQuota.Name}={quota} cannot be compared with your limit of {max}, for the GPUs' sizes "
                + $"are not known: write {(max.SizeBytes is null ? "a fraction" : "a size")} of at most {max}"
            : $"{GpuMemoryQuota.Name}={quota} is more than you may have on one GPU, {max}: write "
                + $"{GpuMemoryQuota.Name}={max} or less";
    }

    /// <summary>Whether <see cref="TotalQuota"/> refuses with a smaller number: two would leave the user to find out
    /// which to write.</summary>
    static bool IsTotalLess(RuleInput c, GpuMemoryQuota quota, GpuMemoryQuota max) =>
        c.Limits.TotalQuota is { } total
        && c is { Spec.Gpu: not null, Holdings: not null, Requester.Name.Length: > 0 }
        && PossibleGpus(c)
            .Any(g =>
                total.Of(g.AllocatableBytes) < max.Of(g.AllocatableBytes)
                && quota.Of(g.AllocatableBytes) > total.Of(g.AllocatableBytes)
            );

    /// <summary>Whether <see cref="MaxQuota"/> refuses with a number that is no larger.</summary>
    static bool IsMaxLess(RuleInput c, GpuDevice gpu, GpuMemoryQuota quota, GpuMemoryQuota total) =>
        c.Limits.MaxQuota is { } max
        && max.Of(gpu.AllocatableBytes) <= total.Of(gpu.AllocatableBytes)
        && quota.Of(gpu.AllocatableBytes) > max.Of(gpu.AllocatableBytes)
        && MaxQuota(c) is not null;

    /// <summary>Like is compared with like; a size with a fraction on each GPU that it may see.</summary>
    static bool Exceeds(RuleInput c, GpuMemoryQuota quota, GpuMemoryQuota max, out bool uncertain)
    {
        uncertain = false;
        if (quota.SizeBytes is null == max.SizeBytes is null)
            return quota.Of(long.MaxValue) > max.Of(long.MaxValue);
        uncertain = c.Gpus.Count == 0;
        return uncertain || PossibleGpus(c).Any(g => quota.Of(g.AllocatableBytes) > max.Of(g.AllocatableBytes));
    }

    /// <summary>Those that it will see; all of them where that is unknown.</summary>
    static IReadOnlyList<GpuDevice> PossibleGpus(RuleInput c) =>
        c.Spec.Gpu is { } access ? VisibleGpus.Of(access.Selection, c.Gpus) ?? c.Gpus : c.Gpus;

    /// <summary>The shim limits CUDA; what Vulkan, OpenGL, OpenCL and the video engines take is counted
    /// alone.</summary>
    static string? DriverCapability(RuleInput c)
    {
        if (
            c.Settings.DriverCapabilities is not { } allowed
            || !c.HasQuota
            || c.Spec.Gpu is not { } gpu
            || gpu.Driver.Names.Where(name => !allowed.Contains(name)).ToArray() is not { Length: > 0 } refused
        )
            return null;
        var list = string.Join(',', allowed);
        var remedy = gpu.Driver.Source switch
        {
            CapabilitySource.Request => $"write --gpus 'all,\"capabilities={list}\"'",
            CapabilitySource.Environment => $"add -e NVIDIA_DRIVER_CAPABILITIES={list}",
            _ => $"{gpu.Via} brings all of it, so ask for the GPU by --gpus",
        };
        return $"a container with a quota may have of the NVIDIA driver {list} on this machine, and not "
            + $"{Quoted.Text(string.Join(',', refused))}, which no quota limits: {remedy}";
    }

    static string? TotalQuota(RuleInput c)
    {
        if (
            c.Limits.TotalQuota is not { } total
            || c.Quota is not { } quota
            || c.Spec.Gpu is null
            || c.Holdings is not { } holdings
            || c.Requester.Name.Length == 0
        )
            return null;
        foreach (var gpu in PossibleGpus(c))
        {
            var held = holdings.OfUser(gpu.Uuid, c.Requester.Name);
            var max = total.Of(gpu.AllocatableBytes);
            var wanted = quota.Of(gpu.AllocatableBytes);
            if (wanted > max && IsMaxLess(c, gpu, quota, total))
                continue;
            if (wanted > max)
                return $"{GpuMemoryQuota.Name}={quota} ({ByteSize.Text(wanted)}) is more than all that you may have on "
                    + $"{Name(gpu)}, {total} ({ByteSize.Text(max)}): write {GpuMemoryQuota.Name}={total} or less";
            if (held.Sum(h => (decimal)h.Bytes) + wanted > max)
                return $"{GpuMemoryQuota.Name}={quota} ({ByteSize.Text(wanted)}) is more than is left of your {total} "
                    + $"({ByteSize.Text(max)}) on {Name(gpu)}: {Holders(held)}";
        }
        return null;
    }

    static string? Capacity(RuleInput c)
    {
        if (
            c.Settings.Overcommit is not { } factor
            || c.Quota is not { } quota
            || c.Spec.Gpu is null
            || c.Holdings is not { } holdings
        )
            return null;
        foreach (var gpu in PossibleGpus(c))
        {
            var held = holdings.Of(gpu.Uuid);
            var whole = Math.Floor(gpu.AllocatableBytes * factor);
            var wanted = quota.Of(gpu.AllocatableBytes);
            if (wanted > whole)
                return $"{GpuMemoryQuota.Name}={quota} ({wanted} bytes) is more than all that {Name(gpu)} has for "
                    + $"quotas, {whole} bytes ({ByteSize.Text((long)whole)}): write "
                    + $"{GpuMemoryQuota.Name}={ByteSize.Text((long)whole)} or less";
            var free = whole - held.Sum(h => (decimal)h.Bytes);
            if (wanted > free)
                return $"{Name(gpu)} has {ByteSize.Text((long)Math.Max(free, 0))} left for "
                    + $"{GpuMemoryQuota.Name}={quota} "
                    + $"({ByteSize.Text(wanted)}): {HoldersFor(c, held)}";
        }
        return null;
    }

    static string Name(GpuDevice gpu) => $"GPU {gpu.Index} ({Quoted.Text(gpu.Name).Trim('"')})";

    /// <summary>With <c>"status": "own"</c>, the containers of others are not named to who is no admin.</summary>
    static string HoldersFor(RuleInput c, IReadOnlyList<Holding> held)
    {
        if (!c.Settings.IsStatusOwn || c.Requester.IsAdmin)
            return Holders(held);
        bool IsOwn(Holding h) => h.User.Length > 0 && h.User == c.Requester.Name;
        var own = held.Where(IsOwn).ToArray();
        var others = held.Where(h => !IsOwn(h)).Sum(h => (decimal)h.Bytes);
        var rest = $"containers of others hold {ByteSize.Text((long)Math.Min(others, long.MaxValue))}";
        return others == 0 ? Holders(held)
            : own.Length == 0 ? rest
            : $"{Holders(own)}, {rest}";
    }

    static string Holders(IReadOnlyList<Holding> held)
    {
        if (held.Count == 0)
            return "no container holds any";
        var holders = string.Join(
            ", ",
            held.OrderByDescending(h => h.Bytes)
                .Take(5)
                .Select(h => $"{Quoted.Text(h.Container)} holds {h.Quota} ({ByteSize.Text(h.Bytes)})")
        );
        return held.Count > 5 ? $"{holders} and {held.Count - 5} more" : holders;
    }

    static string? Privileged(RuleInput c) =>
        !c.Settings.AllowPrivileged && c.Spec.Privileges is [var first, ..]
            ? $"{first} is not allowed on this machine: leave it out, or ask an admin to exempt you"
            : null;

    static string? HostNamespace(RuleInput c) =>
        !c.Settings.AllowHostNamespaces && c.Spec.HostNamespaces is [var first, ..]
            ? $"{first} is not allowed on this machine: leave it out, or ask an admin to exempt you"
            : null;

    static string? BindMount(RuleInput c) => FindHostPath(c.Spec.HostPaths, c.Settings, "a mount");

    /// <summary>Null if <c>allowBindMounts</c> allows every path; otherwise a message about the first that it does
    /// not.</summary>
    /// <param name="paths">See <see cref="Engine.LocalVolume.HostPaths"/>.</param>
    /// <param name="settings">The policy file.</param>
    /// <param name="what">What shows them: <c>a mount</c>.</param>
    internal static string? FindHostPath(IEnumerable<string> paths, PolicySettings settings, string what)
    {
        if (paths.FirstOrDefault(path => !settings.AllowsBind(path)) is not { } path)
            return null;
        if (Engine.LocalVolume.IsPath(path))
            return $"{what} of the host's {Quoted.Text(path)} is not allowed on this machine: "
                + $"{WhatToMount(settings.AllowBindMounts, path)}use a volume";
        var remedy = path.Contains("{{", StringComparison.Ordinal)
            ? "swarm would fill it in later, so write it out"
            : $"use {Engine.LocalVolume.AllowedTypes}";
        return $"a local volume with {Quoted.Text(path)} is not allowed on this machine: {remedy}";
    }

    static string WhatToMount(IReadOnlyList<string>? allowed, string path) =>
        allowed is { Count: > 0 }
            ? $"mount {Bounded.List([.. Instead(allowed, path).Select(a => Quoted.Text(a))], " or ")} as a whole, or "
            : "";

    /// <summary>What is above the path, where some of it is allowed; all that is, where none is.</summary>
    static IReadOnlyList<string> Instead(IReadOnlyList<string> allowed, string path) =>
        allowed.Select(pattern => BindPattern.FolderAbove(pattern, path)).OfType<string>().Distinct().ToArray()
            is { Length: > 0 } above
            ? above
            : allowed;
}
