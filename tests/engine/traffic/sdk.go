// SPDX-License-Identifier: Apache-2.0

// An ordinary session of the Go SDK, and of a container with a quota. DOCKER_HOST names the engine, which has the image
// gpu-demo.
package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"
)

var (
	ctx    = context.Background()
	engine *client.Client
)

// drain reads a stream of the engine to its end.
func drain(stream io.ReadCloser) []byte {
	defer stream.Close()
	return must(io.ReadAll(stream))
}

// said reads what a program without a terminal printed.
func said(stream io.Reader) string {
	var out, failures bytes.Buffer
	must(stdcopy.StdCopy(&out, &failures, stream))
	return out.String() + failures.String()
}

func create(name string, config container.Config, host container.HostConfig) (string, error) {
	config.Image, host.NetworkMode = "gpu-demo", "none"
	created, err := engine.ContainerCreate(ctx, &config, &host, &network.NetworkingConfig{}, nil, name)
	return created.ID, err
}

// run waits for a container's end as `docker run` does: the wait is asked for before the start.
func run(id string) {
	ended, failed := engine.ContainerWait(ctx, id, container.WaitConditionNextExit)
	check(engine.ContainerStart(ctx, id, types.ContainerStartOptions{}))
	wait(ended, failed)
}

func wait(ended <-chan container.ContainerWaitOKBody, failed <-chan error) {
	select {
	case <-ended:
	case err := <-failed:
		check(err)
	}
}

func remove(id string) {
	check(engine.ContainerRemove(ctx, id, types.ContainerRemoveOptions{RemoveVolumes: true, Force: true}))
}

func images() {
	must(engine.ImageList(ctx, types.ImageListOptions{All: true,
		Filters: filters.NewArgs(filters.Arg("dangling", "false"))}))
	check(engine.ImageTag(ctx, "gpu-demo", "other:tag"))
	saved := drain(must(engine.ImageSave(ctx, []string{"other:tag"})))
	must(engine.ImageRemove(ctx, "other:tag", types.ImageRemoveOptions{PruneChildren: true}))
	drain(must(engine.ImageLoad(ctx, bytes.NewReader(saved), true)).Body)
	must(engine.ImageHistory(ctx, "other:tag"))
	must(engine.ImageRemove(ctx, "other:tag", types.ImageRemoveOptions{}))
	drain(must(engine.ImageImport(ctx, types.ImageImportSource{Source: archive("file", "hello"), SourceName: "-"},
		"imported:1", types.ImageImportOptions{Changes: []string{"LABEL l=m"}})))
	_, _, err := engine.ImageInspectWithRaw(ctx, "imported:1")
	check(err)
	built := must(engine.ImageBuild(ctx, archive("Dockerfile", "FROM gpu-demo\nARG W\nRUN true\nLABEL built=$W\n"),
		types.ImageBuildOptions{Tags: []string{"built:1"}, NetworkMode: "none",
			BuildArgs: map[string]*string{"W": new(string)}, Remove: true, ForceRemove: true}))
	if output := string(drain(built.Body)); !strings.Contains(output, "Successfully tagged") {
		panic(output)
	}
	for _, name := range []string{"imported:1", "built:1"} {
		must(engine.ImageRemove(ctx, name, types.ImageRemoveOptions{}))
	}
}

func containers() {
	yes, swappiness, pids := true, int64(10), int64(50)
	id := must(create("full", container.Config{
		Hostname: "host", User: "1000", Cmd: []string{"sleep", "300"}, Env: []string{"A=b"}, WorkingDir: "/tmp",
		Labels: map[string]string{"c": "d"}, StopSignal: "KILL",
		ExposedPorts: nat.PortSet{"80/tcp": {}}, Volumes: map[string]struct{}{"/anonymous": {}},
		Healthcheck: &container.HealthConfig{Test: []string{"CMD", "true"}, Interval: 30 * time.Second},
	}, container.HostConfig{
		Binds: []string{"data:/data", "/usr/share:/share:ro"}, Tmpfs: map[string]string{"/scratch": "size=1m"},
		CapAdd: []string{"NET_ADMIN"}, CapDrop: []string{"CHOWN"}, Init: new(bool),
		Mounts: []mount.Mount{{Type: mount.TypeVolume, Source: "data", Target: "/mounted", ReadOnly: true},
			{Type: mount.TypeTmpfs, Target: "/other", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 1 << 20}}},
		PortBindings:  nat.PortMap{"80/tcp": {{HostPort: "0"}}},
		LogConfig:     container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "1m"}},
		SecurityOpt:   []string{"no-new-privileges"},
		RestartPolicy: container.RestartPolicy{Name: "on-failure", MaximumRetryCount: 2}, ExtraHosts: []string{"a:10.0.0.2"},
		DNS: []string{"10.0.0.1"}, IpcMode: "private", ShmSize: 8 << 20, Runtime: "runc",
		Resources: container.Resources{
			Memory: 64 << 20, MemorySwappiness: &swappiness, CPUShares: 100, NanoCPUs: 500000000, PidsLimit: &pids,
			OomKillDisable: &yes, Ulimits: []*units.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}},
			Devices: []container.DeviceMapping{{PathOnHost: "/dev/null", PathInContainer: "/dev/nothing",
				CgroupPermissions: "rwm"}},
		},
	}))
	check(engine.ContainerStart(ctx, id, types.ContainerStartOptions{}))
	must(engine.ContainerList(ctx, types.ContainerListOptions{All: true, Size: true,
		Filters: filters.NewArgs(filters.Arg("label", "c=d"))}))
	must(engine.ContainerInspect(ctx, id))
	exec := must(engine.ContainerExecCreate(ctx, id, types.ExecConfig{Cmd: []string{"sh", "-c", "echo $X"},
		Env: []string{"X=y"}, User: "0", AttachStdout: true, AttachStderr: true}))
	attached := must(engine.ContainerExecAttach(ctx, exec.ID, types.ExecStartCheck{}))
	same(said(attached.Reader), "y\n")
	attached.Close()
	must(engine.ContainerExecInspect(ctx, exec.ID))
	must(engine.ContainerTop(ctx, id, []string{"-ef"}))
	drain(must(engine.ContainerLogs(ctx, id,
		types.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Tail: "10"})))
	drain(must(engine.ContainerStatsOneShot(ctx, id)).Body)
	must(engine.ContainerDiff(ctx, id))
	must(engine.ContainerUpdate(ctx, id, container.UpdateConfig{
		Resources:     container.Resources{Memory: 80 << 20, MemorySwap: 160 << 20},
		RestartPolicy: container.RestartPolicy{Name: "no"}}))
	check(engine.ContainerRename(ctx, id, "fuller"))
	check(engine.ContainerPause(ctx, id))
	check(engine.ContainerUnpause(ctx, id))
	now := time.Duration(0)
	check(engine.ContainerRestart(ctx, id, &now))
	check(engine.CopyToContainer(ctx, id, "/tmp", archive("file", "hello"),
		types.CopyToContainerOptions{AllowOverwriteDirWithFile: true}))
	must(engine.ContainerStatPath(ctx, id, "/tmp/file"))
	back, _, err := engine.CopyFromContainer(ctx, id, "/tmp/file")
	check(err)
	reader := tar.NewReader(back)
	must(reader.Next())
	same(string(must(io.ReadAll(reader))), "hello")
	check(back.Close())
	must(engine.ContainerCommit(ctx, id, types.ContainerCommitOptions{Reference: "made:1", Comment: "words",
		Changes: []string{"ENV X=y"}, Pause: true, Config: &container.Config{Labels: map[string]string{"l": "m"}}}))
	must(engine.ImageRemove(ctx, "made:1", types.ImageRemoveOptions{}))
	drain(must(engine.ContainerExport(ctx, id)))
	check(engine.ContainerKill(ctx, id, "KILL"))
	wait(engine.ContainerWait(ctx, id, container.WaitConditionNotRunning))
	check(engine.ContainerStart(ctx, id, types.ContainerStartOptions{}))
	check(engine.ContainerStop(ctx, id, &now))
	remove(id)

	id = must(create("", container.Config{Cmd: []string{"cat"}, OpenStdin: true, StdinOnce: true,
		AttachStdin: true, AttachStdout: true}, container.HostConfig{}))
	streams := must(engine.ContainerAttach(ctx, id, types.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true}))
	check(engine.ContainerStart(ctx, id, types.ContainerStartOptions{}))
	must(streams.Conn.Write([]byte("in")))
	check(streams.CloseWrite())
	same(said(streams.Reader), "in")
	remove(id)
}

// A container with a quota sees it; without the volume the SDK's error says what to add.
func quota() {
	config := container.Config{Cmd: []string{"nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"},
		Labels: map[string]string{"gpu-memory": "0.1"}}
	gpu := container.Resources{DeviceRequests: []container.DeviceRequest{{Count: 1, Capabilities: [][]string{{"gpu"}}}}}
	id := must(create("limited", config, container.HostConfig{Binds: []string{"runai:/runai"}, Resources: gpu}))
	run(id)
	same(said(must(engine.ContainerLogs(ctx, id, types.ContainerLogsOptions{ShowStdout: true, ShowStderr: true}))),
		"1098\n")
	remove(id)
	_, err := create("", config, container.HostConfig{Resources: gpu})
	if err == nil || !strings.Contains(err.Error(), "add -v runai:/runai") {
		panic(fmt.Sprintf("no remedy in %v", err))
	}
}

func main() {
	engine = must(client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation()))
	begun := time.Now()
	must(engine.Ping(ctx))
	must(engine.ServerVersion(ctx))
	must(engine.Info(ctx))
	must(engine.DiskUsage(ctx))
	images()
	must(engine.VolumeCreate(ctx, volume.VolumeCreateBody{Name: "data", Driver: "local",
		Labels: map[string]string{"a": "b"}}))
	must(engine.VolumeInspect(ctx, "data"))
	must(engine.VolumeList(ctx, filters.NewArgs()))
	must(engine.NetworkCreate(ctx, "inner", types.NetworkCreate{CheckDuplicate: true, Internal: true}))
	must(engine.NetworkInspect(ctx, "inner", types.NetworkInspectOptions{}))
	must(engine.NetworkList(ctx, types.NetworkListOptions{}))
	containers()
	quota()
	check(engine.NetworkRemove(ctx, "inner"))
	check(engine.VolumeRemove(ctx, "data", true))
	must(engine.ContainersPrune(ctx, filters.NewArgs()))
	must(engine.VolumesPrune(ctx, filters.NewArgs()))
	must(engine.ImagesPrune(ctx, filters.NewArgs()))
	must(engine.NetworksPrune(ctx, filters.NewArgs()))
	must(engine.BuildCachePrune(ctx, types.BuildCachePruneOptions{}))
	messages, failed := engine.Events(ctx, types.EventsOptions{Since: fmt.Sprint(begun.Unix()),
		Until: fmt.Sprint(time.Now().Unix())})
	for seen := 0; ; {
		select {
		case <-messages:
			seen++
			continue
		case err := <-failed:
			if err != io.EOF || seen == 0 {
				fmt.Println(seen, "events, then", err)
				os.Exit(1)
			}
		}
		break
	}
	fmt.Println("nothing was refused")
}
