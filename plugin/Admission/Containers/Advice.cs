// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Admission.Routing;
using Runai.GpuMemory.Common;
using Runai.GpuMemory.Engine;
using Runai.GpuMemory.Quotas;

namespace Runai.GpuMemory.Admission.Containers;

/// <summary>What to type instead, in the words of the caller's tool.</summary>
static class Advice
{
    /// <summary>Tells Compose and <c>docker stack</c> by the labels that they set.</summary>
    public static ClientTool ToolOf(IReadOnlyDictionary<string, string>? labels, bool isService = false)
    {
        if (labels is not null && OwnLabels.OfCompose.Any(labels.ContainsKey))
            return ClientTool.Compose;
        return isService ? ClientTool.Service : ClientTool.Run;
    }

    /// <summary>What to add to a container without the volume. Quotes names and paths.</summary>
    public static string Volume(ClientTool tool, string volume = "runai", string target = "/runai") =>
        tool switch
        {
            ClientTool.Compose =>
                $"add \"{Quoted.Text(volume)}:{Quoted.Text(target)}\" to the volumes of the service, and "
                    + $"\"{Quoted.Text(volume)}: {{ external: true }}\" to those of the file",
            ClientTool.Service => $"add --mount type=volume,src={Quoted.Text(volume)},dst={Quoted.Text(target)}",
            _ => $"add -v {Quoted.Text(volume)}:{Quoted.Text(target)}",
        };

    /// <summary>What to add to a container that has the volume and no quota.</summary>
    public static string Label(ClientTool tool, string quota) =>
        tool switch
        {
            ClientTool.Compose => $"add {GpuMemoryQuota.Name}: \"{quota}\" to the labels of the service",
            ClientTool.Service => $"add --container-label {GpuMemoryQuota.Name}={quota}",
            _ => $"add --label {GpuMemoryQuota.Name}={quota}",
        };

    /// <summary>Of a label of the service itself.</summary>
    public static string MisplacedLabel(ClientTool tool, string quota, bool isNew) =>
        $"{GpuMemoryQuota.Name}={quota} is a label of the service, which its containers do not have, so nothing "
        + "would limit them: "
        + (
            tool switch
            {
                ClientTool.Compose =>
                    $"write {GpuMemoryQuota.Name} under labels of the service in the file, not under labels of "
                        + "its deploy",
                _ when isNew => $"write --container-label {GpuMemoryQuota.Name}={quota} in place of --label",
                _ => $"write --label-rm {GpuMemoryQuota.Name} --container-label-add {GpuMemoryQuota.Name}={quota}",
            }
        );

    /// <summary>Both; just the volume where a quota need not be named.</summary>
    public static string VolumeAndLabel(ClientTool tool, string? quota)
    {
        if (quota is null)
            return Volume(tool);
        return tool == ClientTool.Compose
            ? $"{Volume(tool)}, and {Label(tool, quota)}"
            : Volume(tool) + Label(tool, quota)["add".Length..];
    }

    /// <summary>How a container loads the shim that cannot be given <c>/etc/ld.so.preload</c>: by a mount that every
    /// program finds, or by a variable that some programs do not pass on.</summary>
    /// <param name="tool">Of the caller.</param>
    /// <param name="directory">Its private directory.</param>
    /// <param name="knowsSubpath">See <see cref="EngineRoute.KnowsSubpath"/>: what the engine does not know is not
    /// named.</param>
    public static string Preload(ClientTool tool, QuotaMount directory, bool? knowsSubpath = null)
    {
        if (knowsSubpath == false)
            return PreloadVariable(tool, directory);
        var volume = Quoted.Text(directory.Volume);
        var shim = Quoted.Text(directory.Shim);
        return tool == ClientTool.Compose
            ? $"add {{ type: volume, source: {volume}, target: {QuotaMount.PreloadFile}, volume: {{ subpath: "
                + $"{QuotaMount.PreloadName} }} }} to the volumes of the service (Docker 26 and newer), or "
                + $"LD_PRELOAD: {shim} to its environment, which env -i and sudo take away"
            : $"add {PreloadMount(volume)} (Docker 26 and newer), or -e LD_PRELOAD={shim}, which env -i and sudo "
                + "take away";
    }

    /// <summary>How a container that did not start is started later.</summary>
    public static string NextTry(ClientTool tool, string container, bool isNew) =>
        tool == ClientTool.Compose
            ? "docker compose up tries again"
            : $"docker start {Quoted.Text(container)} tries "
                + $"again{(isNew ? ", and docker run with --rm leaves no container behind" : "")}";

    /// <summary>The variable alone: where a folder lies, no file can be mounted.</summary>
    public static string PreloadVariable(ClientTool tool, QuotaMount directory) =>
        tool == ClientTool.Compose
            ? $"add LD_PRELOAD: {Quoted.Text(directory.Shim)} to the environment of the service, which env -i and "
                + "sudo take away"
            : $"add -e LD_PRELOAD={Quoted.Text(directory.Shim)}, which env -i and sudo take away";

    /// <summary>For the first program of a task; the file, which comes a little later, is for those whose environment
    /// is taken away.</summary>
    public static string ServicePreload(ClientTool tool, QuotaMount directory) =>
        tool == ClientTool.Compose
            ? $"add LD_PRELOAD: {Quoted.Text(directory.Shim)} to the environment of the service"
            : $"add --env LD_PRELOAD={Quoted.Text(directory.Shim)} (docker service update: --env-add)";

    /// <summary>For a mount of the whole volume where the file belongs.</summary>
    public static string Subpath(ClientTool tool, string volume) =>
        tool == ClientTool.Compose
            ? $"add volume: {{ subpath: {QuotaMount.PreloadName} }} to it"
            : $"add ,volume-subpath={QuotaMount.PreloadName} to it, as in {PreloadMount(Quoted.Text(volume))}";

    /// <summary>The option that mounts <c>ld.so.preload</c> of a volume, for Docker 26 and newer. Does not quote the
    /// name.</summary>
    public static string PreloadMount(string volume) =>
        $"--mount type=volume,src={volume},dst={QuotaMount.PreloadFile},volume-subpath={QuotaMount.PreloadName}";

    /// <summary>What is mounted where a volume of this plugin would be, and what to write in its place; null where
    /// nothing is.</summary>
    public static (string What, string Remedy)? InPlaceOfQuota(ContainerSpec spec)
    {
        var found = spec.Mistaken.FirstOrDefault(m =>
            m.Target == ConfiguredMounts.UsualTarget
            || (spec.Tool == ClientTool.Compose && ConfiguredMounts.IsOfProject(m.Source))
        );
        if (found is null && !spec.OtherTargets.Contains(ConfiguredMounts.UsualTarget))
            return null;
        var inPlace = $"{VolumeAndLabel(spec.Tool, "0.5")} in its place, or mount it elsewhere";
        return found?.Source switch
        {
            null or { Length: 64 } => (
                $"an anonymous volume or a tmpfs is at {ConfiguredMounts.UsualTarget}, the place of this "
                    + "plugin's volumes",
                inPlace
            ),
            ['/', ..] path => (
                $"the host's {Quoted.Text(path)} is at {ConfiguredMounts.UsualTarget}, the place of this "
                    + "plugin's volumes",
                inPlace
            ),
            { } volume when spec.Tool == ClientTool.Compose => (
                $"{Quoted.Text(volume)} at {Quoted.Text(found.Target)} is a volume that Compose makes for this "
                    + "project, not one of this plugin",
                "write { external: true } for it under the file's volumes, or mount it elsewhere"
            ),
            { } volume => (
                $"{Quoted.Text(volume)} at {ConfiguredMounts.UsualTarget} is not a volume of this plugin",
                $"see docker volume ls for the name, or {inPlace}"
            ),
        };
    }

    /// <summary>The rest of "… needs the runai volume": what is in its place, and how to have the right one
    /// there.</summary>
    public static string InPlaceOfVolume(ContainerSpec spec)
    {
        if (spec.Mistaken.OrderByDescending(m => m.IsNamesake).FirstOrDefault() is not { } found)
            return $": {Volume(spec.Tool)}";
        var source = Quoted.Text(found.Source);
        var target = Quoted.Text(found.Target);
        return found switch
        {
            { IsNamesake: true, IsAsked: true } =>
                $", and {source} is asked for with the driver {Quoted.Text(found.Driver)}: leave the driver out",
            { IsNamesake: true, Driver: "" } =>
                $", and the engine keeps {source} for a volume driver that is not there (this plugin under "
                    + $"another name?), which docker volume rm cannot end: docker volume create -d {spec.Plugin} gpu, "
                    + $"and write gpu in place of {source}",
            { IsNamesake: true } =>
                $", and {source} is a volume of the driver {Quoted.Text(found.Driver)}, made before this plugin was "
                    + $"there: docker volume rm {source}{WriteExternal(spec.Tool, source)}, and try again "
                    + $"(docker ps -a --filter volume={source} shows the containers to remove first)",
            _ when found.Source.StartsWith('/') =>
                $", and the host's {source} is at {target}: {Volume(spec.Tool, target: found.Target)} in its place",
            _ when spec.Tool == ClientTool.Compose =>
                $", and {source} at {target} is a volume that Compose makes for this project: write \"runai: {{ "
                    + "external: true }\" under the file's volumes",
            _ => $", and {source} at {target} is not a volume of this plugin: "
                + $"{Volume(spec.Tool, target: found.Target)} in its place",
        };
    }

    static string WriteExternal(ClientTool tool, string source) =>
        tool == ClientTool.Compose ? $", write \"{source}: {{ external: true }}\" under the file's volumes" : "";
}
