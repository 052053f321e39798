// SPDX-License-Identifier: Apache-2.0

// An ordinary session of go-dockerclient, which names no API version where none is asked for, and of a container with a
// quota. DOCKER_HOST names the engine, which has the image gpu-demo.
package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	docker "github.com/fsouza/go-dockerclient"
)

var engine *docker.Client

func create(name string, config docker.Config, host docker.HostConfig) (*docker.Container, error) {
	config.Image, host.NetworkMode = "gpu-demo", "none"
	return engine.CreateContainer(docker.CreateContainerOptions{Name: name, Config: &config, HostConfig: &host})
}

func remove(container *docker.Container) {
	check(engine.RemoveContainer(docker.RemoveContainerOptions{ID: container.ID, RemoveVolumes: true, Force: true}))
}

func output(container *docker.Container) string {
	var out bytes.Buffer
	check(engine.Logs(docker.LogsOptions{Container: container.ID, OutputStream: &out, ErrorStream: &out, Stdout: true,
		Stderr: true, Tail: "all"}))
	return out.String()
}

func images() {
	must(engine.ListImages(docker.ListImagesOptions{All: true}))
	must(engine.InspectImage("gpu-demo"))
	must(engine.ImageHistory("gpu-demo"))
	check(engine.TagImage("gpu-demo", docker.TagImageOptions{Repo: "other", Tag: "tag", Force: true}))
	var saved bytes.Buffer
	check(engine.ExportImage(docker.ExportImageOptions{Name: "other:tag", OutputStream: &saved}))
	check(engine.RemoveImage("other:tag"))
	check(engine.LoadImage(docker.LoadImageOptions{InputStream: &saved, OutputStream: io.Discard}))
	check(engine.RemoveImageExtended("other:tag", docker.RemoveImageOptions{Force: true}))
	check(engine.ImportImage(docker.ImportImageOptions{Repository: "imported", Tag: "1", Source: "-",
		InputStream: archive("file", "hello"), OutputStream: io.Discard}))
	check(engine.BuildImage(docker.BuildImageOptions{Name: "built:1", NetworkMode: "none",
		InputStream:  archive("Dockerfile", "FROM gpu-demo\nARG W\nRUN true\nLABEL built=$W\n"),
		OutputStream: io.Discard, BuildArgs: []docker.BuildArg{{Name: "W", Value: "z"}}, RmTmpContainer: true}))
	for _, name := range []string{"imported:1", "built:1"} {
		check(engine.RemoveImage(name))
	}
}

func containers() {
	container := must(create("full", docker.Config{
		Hostname: "host", User: "1000", Cmd: []string{"sleep", "300"}, Env: []string{"A=b"}, WorkingDir: "/tmp",
		Labels: map[string]string{"c": "d"}, StopSignal: "KILL",
		ExposedPorts: map[docker.Port]struct{}{"80/tcp": {}}, Volumes: map[string]struct{}{"/anonymous": {}},
	}, docker.HostConfig{
		Binds:  []string{"data:/data", "/usr/share:/share:ro"},
		Mounts: []docker.HostMount{{Type: "volume", Source: "data", Target: "/mounted", ReadOnly: true}},
		Tmpfs:  map[string]string{"/scratch": "size=1m"},
		CapAdd: []string{"NET_ADMIN"}, Memory: 64 << 20, CPUShares: 100,
		PortBindings:  map[docker.Port][]docker.PortBinding{"80/tcp": {{HostPort: "0"}}},
		RestartPolicy: docker.RestartOnFailure(2),
		Devices:       []docker.Device{{PathOnHost: "/dev/null", PathInContainer: "/dev/nothing", CgroupPermissions: "rwm"}},
		LogConfig:     docker.LogConfig{Type: "json-file"},
	}))
	id := container.ID
	check(engine.StartContainer(id, nil))
	must(engine.ListContainers(docker.ListContainersOptions{All: true, Filters: map[string][]string{"label": {"c=d"}}}))
	must(engine.InspectContainerWithOptions(docker.InspectContainerOptions{ID: id, Size: true}))
	exec := must(engine.CreateExec(docker.CreateExecOptions{Container: id, Cmd: []string{"sh", "-c", "echo $X"},
		Env: []string{"X=y"}, User: "0", AttachStdout: true, AttachStderr: true}))
	var out bytes.Buffer
	check(engine.StartExec(exec.ID, docker.StartExecOptions{OutputStream: &out, ErrorStream: &out}))
	same(out.String(), "y\n")
	must(engine.InspectExec(exec.ID))
	must(engine.TopContainer(id, ""))
	output(container)
	figures := make(chan *docker.Stats, 2)
	check(engine.Stats(docker.StatsOptions{ID: id, Stats: figures}))
	must(engine.ContainerChanges(id))
	check(engine.UpdateContainer(id, docker.UpdateContainerOptions{Memory: 80 << 20, MemorySwap: 160 << 20}))
	check(engine.RenameContainer(docker.RenameContainerOptions{ID: id, Name: "fuller"}))
	check(engine.PauseContainer(id))
	check(engine.UnpauseContainer(id))
	check(engine.RestartContainer(id, 0))
	check(engine.UploadToContainer(id, docker.UploadToContainerOptions{Path: "/tmp",
		InputStream: archive("file", "hello")}))
	var back bytes.Buffer
	check(engine.DownloadFromContainer(id, docker.DownloadFromContainerOptions{Path: "/tmp/file", OutputStream: &back}))
	must(engine.CommitContainer(docker.CommitContainerOptions{Container: id, Repository: "made", Tag: "1",
		Run: &docker.Config{Labels: map[string]string{"l": "m"}}}))
	check(engine.RemoveImage("made:1"))
	check(engine.ExportContainer(docker.ExportContainerOptions{ID: id, OutputStream: io.Discard}))
	check(engine.KillContainer(docker.KillContainerOptions{ID: id, Signal: docker.SIGKILL}))
	must(engine.WaitContainer(id))
	check(engine.StartContainer(id, nil))
	check(engine.StopContainer(id, 0))
	remove(container)

	container = must(create("", docker.Config{Cmd: []string{"cat"}, OpenStdin: true, StdinOnce: true},
		docker.HostConfig{}))
	ready, out := make(chan struct{}), bytes.Buffer{}
	go func() {
		<-ready
		ready <- struct{}{}
		check(engine.StartContainer(container.ID, nil))
	}()
	check(engine.AttachToContainer(docker.AttachToContainerOptions{Container: container.ID,
		InputStream: strings.NewReader("in"), OutputStream: &out, ErrorStream: &out, Stdin: true, Stdout: true, Stream: true,
		Success: ready}))
	same(out.String(), "in")
	remove(container)
}

// A container with a quota sees it; without the volume the client's error says what to add.
func quota() {
	config := docker.Config{Cmd: []string{"nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"},
		Labels: map[string]string{"gpu-memory": "0.1"}}
	gpu := []docker.DeviceRequest{{Count: 1, Capabilities: [][]string{{"gpu"}}}}
	container := must(create("limited", config, docker.HostConfig{Binds: []string{"runai:/runai"}, DeviceRequests: gpu}))
	check(engine.StartContainer(container.ID, nil))
	must(engine.WaitContainer(container.ID))
	same(output(container), "1098\n")
	remove(container)
	_, err := create("", config, docker.HostConfig{DeviceRequests: gpu})
	if err == nil || !strings.Contains(err.Error(), "add -v runai:/runai") {
		panic(fmt.Sprintf("no remedy in %v", err))
	}
}

func main() {
	engine = must(docker.NewClientFromEnv())
	events := make(chan *docker.APIEvents, 1000)
	check(engine.AddEventListener(events))
	check(engine.Ping())
	must(engine.Version())
	must(engine.Info())
	must(engine.DiskUsage(docker.DiskUsageOptions{}))
	images()
	must(engine.CreateVolume(docker.CreateVolumeOptions{Name: "data", Driver: "local",
		Labels: map[string]string{"a": "b"}}))
	must(engine.InspectVolume("data"))
	must(engine.ListVolumes(docker.ListVolumesOptions{}))
	inner := must(engine.CreateNetwork(docker.CreateNetworkOptions{Name: "inner", Internal: true, CheckDuplicate: true}))
	must(engine.NetworkInfo(inner.ID))
	must(engine.ListNetworks())
	containers()
	quota()
	check(engine.RemoveNetwork(inner.ID))
	check(engine.RemoveVolume("data"))
	must(engine.PruneContainers(docker.PruneContainersOptions{}))
	must(engine.PruneVolumes(docker.PruneVolumesOptions{}))
	must(engine.PruneImages(docker.PruneImagesOptions{}))
	must(engine.PruneNetworks(docker.PruneNetworksOptions{}))
	if first := <-events; first.Action == "" {
		panic("no event")
	}
	fmt.Println("nothing was refused")
}
