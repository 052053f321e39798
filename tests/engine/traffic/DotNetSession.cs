// SPDX-License-Identifier: Apache-2.0
using System.Formats.Tar;
using System.Text;
using Docker.DotNet;
using Docker.DotNet.Models;
using NUnit.Framework;

namespace Runai.GpuMemory.EngineTests.Traffic;

/// <summary>An ordinary session of Docker.DotNet, in which nothing needs a GPU. The engine has the image
/// gpu-demo.</summary>
static class DotNetSession
{
    const string Image = TestEngine.Image;

    sealed class Ignored<T> : IProgress<T>
    {
        public void Report(T value) { }
    }

    /// <summary>Fails with what the engine said where a call is refused.</summary>
    public static async Task ForwardAsync(DockerClient docker)
    {
        await LookAsync(docker);
        await docker.Volumes.CreateAsync(
            new()
            {
                Name = "data",
                Driver = "local",
                Labels = new Dictionary<string, string> { ["a"] = "b" },
            }
        );
        var network = await docker.Networks.CreateNetworkAsync(new() { Name = "inner", Internal = true });
        var full = await docker.Containers.CreateContainerAsync(Full());
        await docker.Containers.StartContainerAsync(full.ID);
        await UseAsync(docker, full.ID);
        await CopyAsync(docker, full.ID);
        await EndAsync(docker, full.ID);
        await BuildAsync(docker);
        await docker.Networks.DeleteNetworkAsync(network.ID);
        await docker.Volumes.RemoveAsync("data");
        await docker.Containers.PruneContainersAsync();
        await docker.Volumes.PruneAsync();
        await docker.Images.PruneImagesAsync();
        await docker.Networks.PruneNetworksAsync();
    }

    static async Task LookAsync(DockerClient docker)
    {
        await docker.System.PingAsync();
        await docker.System.GetVersionAsync();
        await docker.System.GetSystemInfoAsync();
        await docker.System.GetDataUsageInfoAsync();
        await docker.System.MonitorEventsAsync(new() { Since = "0", Until = "1" }, new Ignored<Message>());
        await docker.Images.ListImagesAsync(new());
        await docker.Images.InspectImageAsync(Image);
        await docker.Images.GetImageHistoryAsync(Image);
        await docker.Images.TagImageAsync(Image, new() { RepositoryName = "other", Tag = "tag" });
        await docker.Images.DeleteImageAsync("other:tag", new());
        await docker.Plugin.ListPluginsAsync();
        await docker.Volumes.ListAsync(default(CancellationToken));
        await docker.Networks.ListNetworksAsync();
    }

    static CreateContainerParameters Full() =>
        new()
        {
            Name = "full",
            Image = Image,
            Cmd = ["sleep", "300"],
            Hostname = "host",
            User = "1000",
            WorkingDir = "/tmp",
            Env = ["A=b"],
            StopSignal = "KILL",
            Labels = new Dictionary<string, string> { ["c"] = "d" },
            Healthcheck = new() { Test = ["CMD", "true"], Interval = TimeSpan.FromSeconds(30) },
            HostConfig = new()
            {
                NetworkMode = "none",
                Memory = 64 << 20,
                CPUShares = 100,
                PidsLimit = 50,
                ShmSize = 8 << 20,
                Init = false,
                IpcMode = "private",
                Runtime = "runc",
                Binds = ["data:/data", "/usr/share:/share:ro"],
                Tmpfs = new Dictionary<string, string> { ["/scratch"] = "size=1m" },
                Mounts =
                [
                    new()
                    {
                        Type = "volume",
                        Source = "data",
                        Target = "/mounted",
                    },
                    new() { Type = "tmpfs", Target = "/tm" },
                ],
                CapAdd = ["NET_ADMIN"],
                CapDrop = ["CHOWN"],
                SecurityOpt = ["no-new-privileges"],
                GroupAdd = ["1"],
                ExtraHosts = ["a:10.0.0.2"],
                DNS = ["10.0.0.1"],
                Devices =
                [
                    new()
                    {
                        PathOnHost = "/dev/null",
                        PathInContainer = "/dev/nothing",
                        CgroupPermissions = "rwm",
                    },
                ],
                Ulimits =
                [
                    new()
                    {
                        Name = "nofile",
                        Soft = 100,
                        Hard = 200,
                    },
                ],
                RestartPolicy = new() { Name = RestartPolicyKind.OnFailure, MaximumRetryCount = 2 },
                LogConfig = new()
                {
                    Type = "json-file",
                    Config = new Dictionary<string, string> { ["max-size"] = "1m" },
                },
            },
        };

    static async Task UseAsync(DockerClient docker, string id)
    {
        Assert.That((await docker.Containers.InspectContainerAsync(id)).State!.Running);
        Assert.That(await docker.Containers.ListContainersAsync(new() { All = true }), Has.Count.EqualTo(1));
        var exec = await docker.Exec.CreateContainerExecAsync(
            id,
            new()
            {
                Cmd = ["sh", "-c", "echo $X"],
                Env = ["X=y"],
                User = "0",
                AttachStdout = true,
                AttachStderr = true,
            }
        );
        using (var output = await docker.Exec.StartContainerExecAsync(exec.ID, new()))
            Assert.That((await output.ReadOutputToEndAsync(default)).stdout, Is.EqualTo("y\n"));
        Assert.That((await docker.Exec.InspectContainerExecAsync(exec.ID)).ExitCode, Is.Zero);
        await docker.Containers.ListProcessesAsync(id, new());
        using (
            var logs = await docker.Containers.GetContainerLogsAsync(
                id,
                new ContainerLogsParameters { ShowStdout = true, ShowStderr = true }
            )
        )
            await logs.ReadOutputToEndAsync(default);
        await docker.Containers.GetContainerStatsAsync(
            id,
            new() { Stream = false },
            new Ignored<ContainerStatsResponse>()
        );
        await docker.Containers.InspectChangesAsync(id);
        await docker.Containers.UpdateContainerAsync(id, new() { Memory = 80 << 20, MemorySwap = 160 << 20 });
        await docker.Containers.RenameContainerAsync(id, new() { NewName = "fuller" });
        await docker.Containers.PauseContainerAsync(id);
        await docker.Containers.UnpauseContainerAsync(id);
        await docker.Containers.RestartContainerAsync(id, new() { WaitBeforeKillSeconds = 1 });
    }

    static async Task CopyAsync(DockerClient docker, string id)
    {
        using var packed = Tar(("file", "hello"));
        await docker.Containers.ExtractArchiveToContainerAsync(id, new() { Path = "/tmp" }, packed);
        var archive = await docker.Containers.GetArchiveFromContainerAsync(
            id,
            new() { Path = "/tmp/file" },
            statOnly: false
        );
        using (var text = new StreamReader(archive.Stream!, Encoding.UTF8))
            Assert.That(await text.ReadToEndAsync(), Does.Contain("hello"));
        await docker.Images.CommitContainerChangesAsync(
            new()
            {
                ContainerID = id,
                RepositoryName = "made",
                Tag = "1",
                Changes = ["ENV X=y"],
            }
        );
        await docker.Images.DeleteImageAsync("made:1", new());
    }

    static async Task EndAsync(DockerClient docker, string id)
    {
        await docker.Containers.KillContainerAsync(id, new());
        await docker.Containers.WaitContainerAsync(id);
        await docker.Containers.StartContainerAsync(id);
        await docker.Containers.StopContainerAsync(id, new() { WaitBeforeKillSeconds = 1 });
        await docker.Containers.RemoveContainerAsync(id, new() { RemoveVolumes = true });
    }

    static async Task BuildAsync(DockerClient docker)
    {
        using var context = Tar(("Dockerfile", $"FROM {Image}\nLABEL built=yes\nRUN true\n"));
        await docker.Images.BuildImageFromDockerfileAsync(
            new() { Tags = ["built"], NetworkMode = "none" },
            context,
            null,
            null,
            new Ignored<JSONMessage>()
        );
        await docker.Images.DeleteImageAsync("built", new());
    }

    static MemoryStream Tar(params (string Name, string Text)[] files)
    {
        var packed = new MemoryStream();
        using (var tar = new TarWriter(packed, leaveOpen: true))
            foreach (var (name, text) in files)
                tar.WriteEntry(
                    new PaxTarEntry(TarEntryType.RegularFile, name)
                    {
                        DataStream = new MemoryStream(Encoding.UTF8.GetBytes(text)),
                    }
                );
        packed.Position = 0;
        return packed;
    }
}
