#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes the pictures of docs/monitoring.md, from a real run of what `make all` built: an engine 28.5 with two
simulated GPUs, containers with quotas that come and go, the exporter, and Debian's Prometheus with the files of
examples/monitoring. It fails if Prometheus does not find what it has to find.

    tools/need promtool chromium && tests/engine/record-monitoring.py docs/img     # five minutes, as root

It writes stats.svg (docker runai stats, its last frame) and prometheus.png (Prometheus' own graph page)."""

import contextlib
import fcntl
import html
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.parse
import urllib.request

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
BUILD = f"{ROOT}/build"
ENGINES = f"{BUILD}/engines/28.5"
PROMETHEUS = "http://127.0.0.1:9090"
MINUTES = 4
COLUMNS, LINES = 100, 14
PLUGIN = "runai/gpu-memory"
QUERY = "sum by (name, gpu) (gpu_memory_used_bytes) / 2^30"
NO_BREAK = "\N{NO-BREAK SPACE}"  # a blank that every program draws
COLOURS = {"31": "#f47067", "33": "#daaa3f"}


def main(target):
    folder = tempfile.mkdtemp(prefix="gpu-monitoring.", dir="/var/tmp")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        docker = start_engine(folder, stack)
        start(stack, f"{folder}/exporter.log", docker.environment, f"{BUILD}/cli/runai-docker", "exporter")
        start_prometheus(folder, stack)
        work(docker)
        check()
        print(open(f"{folder}/exporter.log").read(), end="")
        frame = last_frame(docker)
        screenshot(f"{target}/prometheus.png", folder)
        with open(f"{target}/stats.svg", "w") as picture:
            picture.write(svg("docker runai stats", frame))


class Docker:
    """The docker of the engine, and what it is called with."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{folder}/engine/run/docker.sock",
            "DOCKER_CONFIG": f"{folder}/cli",
            "SIMGPU_DIR": f"{folder}/engine/run/simgpu",
            "SIMGPU_LIB": f"{BUILD}/sim",
            "RUNAI_DOCKER": f"{ENGINES}/docker",
        }

    def run(self, *words, program=f"{ENGINES}/docker", **more):
        return subprocess.run([program, *words], env=self.environment, check=True, capture_output=True, **more).stdout

    def hold(self, name, gpu, quota, script):
        """A container in the background; its quota is None or a value of gpu-memory."""
        limit = [] if quota is None else ["-v", "runai:/runai", "--label", f"gpu-memory={quota}"]
        words = ["run", "-d", "--network", "none", "--name", name, "--gpus", f"device={gpu}", *limit]
        self.run(*words, "gpu-demo", "sh", "-c", f"{script}; exec sleep 900")

    def remove(self, name):
        self.run("rm", "-f", name)


def start_engine(folder, stack):
    docker = Docker(folder)
    engine, control = f"{folder}/engine", f"{ROOT}/tests/engine/private-engine.sh"
    os.makedirs(f"{engine}/run")
    os.makedirs(f"{folder}/cli/cli-plugins")
    os.symlink(f"{BUILD}/cli/runai-docker", f"{folder}/cli/cli-plugins/docker-runai")
    docker.run("create", f"{engine}/run/simgpu", "--gpus", "2", "--total", "81920m", program=f"{BUILD}/sim/simgpu")
    configuration = f"{engine}/daemon.json"
    write(configuration, "{}")
    stack.callback(docker.run, "down", engine, program=control)
    up = ["up", engine, "--path", f"{BUILD}/sim", "--bin", ENGINES, "--", "--config-file", configuration]
    subprocess.run([control, *up], env=docker.environment, check=True)
    docker.run("plugin", "create", PLUGIN, f"{BUILD}/plugin")
    sources = [f"run.source={engine}/run", f"driver.source={BUILD}/sim", "NVML_LIBRARY=/host/usr/libnvidia-ml.so.1"]
    docker.run("plugin", "set", PLUGIN, *sources)
    docker.run("plugin", "enable", PLUGIN)
    write(configuration, json.dumps({"authorization-plugins": [PLUGIN]}))
    docker.run("reload", engine, program=control)
    image = subprocess.run(["sh", f"{ROOT}/tests/engine/image.sh"], check=True, capture_output=True).stdout
    docker.run("import", "-", "gpu-demo", input=image)
    docker.run("set", f"{engine}/run/simgpu", "--busy", "18", program=f"{BUILD}/sim/simgpu")
    return docker


def start_prometheus(folder, stack):
    """With the files of examples/monitoring; only the intervals are shorter, for a picture of minutes."""
    for name in ["prometheus.yml", "gpu-memory.rules.yml"]:
        text = open(f"{ROOT}/examples/monitoring/{name}").read()
        write(f"{folder}/{name}", text.replace("_interval: 15s", "_interval: 5s"))
    words = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    start(stack, f"{folder}/prometheus.log", None, "prometheus", *words, "--web.listen-address=127.0.0.1:9090")
    eventually(lambda: series("up == 1"), "Prometheus reaches the exporter")


def work(docker):
    """Containers that come and go, with figures that move."""
    grow = "for n in 6 11 16 9 13; do gpu-alloc --hold 40 ${n}000m; done"
    docker.hold("train", 0, "0.5", f"while :; do {grow}; done")
    docker.hold("notebook", 0, "16g", "gpu-alloc --hold 900 4000m & while sleep 5; do gpu-alloc 4000m 9000m; done")
    end = time.monotonic() + MINUTES * 60
    for turn in range(100):
        docker.hold(f"job-{turn}", 1, "0.25", "for n in 3 7 12; do gpu-alloc --hold 12 ${n}000m; done")
        if turn == 2:
            docker.hold("infer", 1, "24g", "gpu-alloc --hold 900 9000m & gpu-alloc --hold 900 8000m")
        if turn == 3:
            docker.hold("old", 1, None, "gpu-alloc --hold 900 2000m")
        time.sleep(38)
        if time.monotonic() > end:
            return
        docker.remove(f"job-{turn}")


def check():
    """What Prometheus has is what this script made."""
    names = {row["metric"]["name"] for row in series("gpu_memory_used_bytes")}
    ended = {row["metric"]["name"] for row in series("max_over_time(gpu_memory_used_bytes[10m])")} - names
    expect("rows of containers that run", {"train", "notebook", "infer", "old"} <= names)
    expect("no rows of those that ended", {"job-0", "job-1"} <= ended)
    expect("enforced", value("gpu_memory_enforced") == 1)
    expect("one container without a quota", value("gpu_memory_unlimited_containers") == 1)
    expect("refusals are counted", value('gpu_memory_refused_allocations_total{name="notebook"}') > 5)
    expect("quota of a size", value('gpu_memory_quota_bytes{name="infer"}') == 24 << 30)
    expect("total", value('gpu_memory_device_total_bytes{gpu="1"}') == 81920 << 20)
    expect("within the quota", not series("gpu_memory_used_bytes > gpu_memory_quota_bytes"))
    expect("an alert fires", series('ALERTS{alertname="GpuMemoryRefused",alertstate="firing"}'))
    expect("no other alert", not series('ALERTS{alertname!~"GpuMemoryRefused|GpuMemoryUnlimited"}'))


def last_frame(docker):
    """What the terminal shows after some redraws, as lines with colours."""
    terminal, child_side = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    stats = subprocess.Popen(
        [f"{ENGINES}/docker", "runai", "stats"],
        env={**docker.environment, "TERM": "xterm"},
        stdin=child_side,
        stdout=child_side,
        stderr=child_side,
        start_new_session=True,
    )
    os.close(child_side)
    time.sleep(5)
    os.killpg(stats.pid, signal.SIGINT)
    text = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 65536):
            text += chunk
    stats.wait()
    frame = text.decode().split("\x1b[H")[-1].split("\x1b[J")[0]
    return [line for line in frame.replace("\x1b[K", "").replace("\r", "").split("\n") if line]


def svg(command, frame):
    """A terminal as a picture: the command, and what it shows."""
    width, height, step = 8.4, 18, 14
    lines = [f"$ {command}", *frame]
    columns = max(len(re.sub(r"\x1b\[\d+m", "", line)) for line in lines)
    rows = []
    for n, line in enumerate(lines):
        x, y = 14.0, 30 + n * height
        for colour, text in re.findall(r"(?:\x1b\[(\d+)m)?([^\x1b]+)", line):
            fill = f' fill="{COLOURS[colour]}"' if colour in COLOURS else ""
            size = f'textLength="{len(text) * width:.1f}"'
            rows.append(f'  <text x="{x:.1f}" y="{y}" {size}{fill}>{html.escape(text).replace(" ", NO_BREAK)}</text>')
            x += len(text) * width
    body = "\n".join(rows)
    box = f"0 0 {columns * width + 28:.0f} {len(lines) * height + 30}"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">
  <title>{command}</title>
  <desc>A table: each row a container and a GPU, with what it uses, its limit, and how busy it keeps the GPU.</desc>
  <rect width="100%" height="100%" rx="8" fill="#1c2128"/>
  <g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{step}" fill="#cdd9e5">
{body}
  </g>
</svg>
"""


def screenshot(target, folder):
    range_input = f"{MINUTES + 1}m"
    query = urllib.parse.urlencode({"g0.expr": QUERY, "g0.tab": "0", "g0.range_input": range_input, "g0.stacked": "0"})
    page = f"{PROMETHEUS}/graph?{query}"
    subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1100,980",
            f"--user-data-dir={folder}/chromium",
            "--virtual-time-budget=15000",
            f"--screenshot={target}",
            page,
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    print(f"{target}: {os.path.getsize(target)} bytes")


def start(stack, log, environment, *words):
    process = subprocess.Popen(words, env=environment, stdout=open(log, "wb"), stderr=subprocess.STDOUT)
    stack.callback(end, process)


def end(process):
    process.send_signal(signal.SIGTERM)
    process.wait(20)


def series(query):
    address = f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)["data"]["result"]
    return []


def value(query):
    found = series(query)
    return float(found[0]["value"][1]) if len(found) == 1 else None


def eventually(condition, what):
    for _ in range(100):
        if condition():
            return
        time.sleep(0.2)
    sys.exit(f"not within 20 s: {what}")


def expect(what, holds):
    print(f"  {'ok' if holds else 'FAILED'}: {what}")
    if not holds:
        sys.exit("nothing was recorded")


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
