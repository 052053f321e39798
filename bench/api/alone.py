#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the plugin's program costs by itself, without an engine: its start, and the processor time of a call.

    bench/api/alone.py build/plugin/rootfs/usr/lib/runai/plugin/runai-gpu-memory...

Unlike the figures of run.sh, processor time says something on a machine that others use as well. Needs root.
"""
import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

STARTS, CALLS, WARM = 15, 4000, 200
TICK = 1e6 / os.sysconf("SC_CLK_TCK")
CALL = {
    "ping": ("GET", "/_ping", ""),
    "a create that is refused": (
        "POST",
        "/v1.41/containers/create",
        json.dumps({"Image": "x", "Labels": {"gpu-memory": "2x"}, "HostConfig": {"Binds": ["runai:/runai"]}}),
    ),
}


def environment(folder):
    """That of config.json, with all paths in a folder of our own."""
    with open(os.path.join(os.path.dirname(__file__), "../../config.json"), encoding="utf-8") as file:
        managed = {entry["name"]: entry["value"] for entry in json.load(file)["env"]}
    return dict(os.environ, **managed, SOCKET=folder + "/gpu.sock", STATE=folder, STAGE=folder + "/stage") | {
        "DOCKER_HOST": f"unix://{folder}/docker.sock",
        "POLICY": folder + "/policy.json",
        "WATCH_USE": "0",
    }


def start(program, folder):
    """The process, a connection to its socket, and the milliseconds from its begin to that."""
    begin = time.time()
    process = subprocess.Popen(
        ["unshare", "--mount", program], env=environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while True:
        connection = socket.socket(socket.AF_UNIX)
        if connection.connect_ex(folder + "/gpu.sock") == 0:
            return process, connection, (time.time() - begin) * 1e3
        connection.close()
        if process.poll() is not None:
            sys.exit(f"{program} ended with {process.returncode}")
        time.sleep(0.002)


def processor(process):
    """Microseconds: fields 14 and 15 of stat."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        return sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13])) * TICK


def call(connection, request):
    connection.sendall(request)
    answer = b""
    while b'"Err"' not in answer:
        answer += connection.recv(1 << 16)


def request(method, uri, body):
    text = json.dumps(
        {
            "RequestMethod": method,
            "RequestUri": uri,
            "RequestHeaders": {"Content-Type": "application/json"},
            "RequestBody": base64.b64encode(body.encode()).decode(),
        }
    ).encode()
    return b"POST /AuthZPlugin.AuthZReq HTTP/1.1\r\nHost: plugin\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


def load(process, connection):
    for name, parts in CALL.items():
        line = request(*parts)
        for _ in range(WARM):
            call(connection, line)
        before = processor(process)
        for _ in range(CALLS):
            call(connection, line)
        print(f"  {name}: processor time {(processor(process) - before) / CALLS:.0f} us, of {CALLS}")


for program in sys.argv[1:]:
    print(program)
    ready, used = [], []
    for left in reversed(range(STARTS)):
        with tempfile.TemporaryDirectory(prefix="alone.") as folder:
            process, connection, wall = start(program, folder)
            ready.append(wall)
            used.append(processor(process) / 1e3)
            if left == 0:
                print(
                    f"  begin to its socket: median {statistics.median(ready):.0f} ms, "
                    f"processor time {statistics.mean(used):.0f} ms, of {STARTS}"
                )
                load(process, connection)
            process.kill()
            process.wait()
