#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An ordinary session of the Python SDK, in which nothing needs a GPU. DOCKER_HOST names the engine, which has the
image gpu-demo."""
import io
import tarfile

import docker

client = docker.from_env()
client.ping()
client.version()
client.info()
client.df()
client.images.list()
image = client.images.get("gpu-demo")
image.tag("other", "tag")
client.images.remove("other:tag")
volume = client.volumes.create("data", driver="local", labels={"a": "b"})
network = client.networks.create("inner", internal=True)

assert client.containers.run("gpu-demo", "echo fine", remove=True, network_mode="none") == b"fine\n"
container = client.containers.run(
    "gpu-demo",
    ["sleep", "300"],
    detach=True,
    name="full",
    hostname="host",
    network_mode="none",
    user="1000",
    working_dir="/tmp",
    environment={"A": "b"},
    labels={"c": "d"},
    mem_limit="64m",
    cpu_shares=100,
    pids_limit=50,
    tmpfs={"/scratch": "size=1m"},
    volumes={"data": {"bind": "/data", "mode": "rw"}, "/usr/share": {"bind": "/share", "mode": "ro"}},
    cap_add=["NET_ADMIN"],
    cap_drop=["CHOWN"],
    mounts=[docker.types.Mount("/mounted", "data"), docker.types.Mount("/tm", None, type="tmpfs", tmpfs_size=1 << 20)],
    ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)],
    restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
    security_opt=["no-new-privileges"],
    devices=["/dev/null:/dev/nothing:rwm"],
    shm_size="8m",
    stop_signal="KILL",
    init=False,
    ipc_mode="private",
    extra_hosts={"a": "10.0.0.2"},
    dns=["10.0.0.1"],
    group_add=["1"],
    log_config=docker.types.LogConfig(type="json-file", config={"max-size": "1m"}),
    healthcheck={"test": ["CMD", "true"], "interval": 30 * 10**9},
    runtime="runc",
    device_requests=[],
    privileged=False,
    read_only=False,
)
container.reload()
assert container.status == "running"
code, output = container.exec_run(["sh", "-c", "echo $X"], environment={"X": "y"}, user="0")
assert (code, output) == (0, b"y\n")
container.top()
container.logs()
container.stats(stream=False)
container.diff()
container.update(mem_limit="80m", memswap_limit="160m")
container.rename("fuller")
container.pause()
container.unpause()
container.restart(timeout=0)
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as tar:
    entry = tarfile.TarInfo("file")
    entry.size = 5
    tar.addfile(entry, io.BytesIO(b"hello"))
assert container.put_archive("/tmp", packed.getvalue())
assert b"hello" in b"".join(container.get_archive("/tmp/file")[0])
container.commit("made", "1", changes="ENV X=y", conf={"Labels": {"l": "m"}})
assert client.containers.run("made:1", ["sh", "-c", "echo $X"], remove=True, network_mode="none") == b"y\n"
container.kill()
container.wait()
container.start()
container.stop(timeout=0)
container.remove(v=True)

created = client.api.create_container(
    "gpu-demo",
    ["true"],
    volumes=["/anonymous"],
    host_config=client.api.create_host_config(network_mode="none", binds=["data:/d"]),
)
client.api.start(created["Id"])
assert client.api.wait(created["Id"])["StatusCode"] == 0
client.api.remove_container(created["Id"], v=True)

context = io.BytesIO(b"FROM gpu-demo\nLABEL built=yes\nRUN true\n")
client.images.build(fileobj=context, tag="built", network_mode="none")
for name in ("built", "made:1"):
    client.images.remove(name)
network.remove()
volume.remove()
client.containers.prune()
client.volumes.prune()
client.images.prune()
client.networks.prune()
print("nothing was refused")
