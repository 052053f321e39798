#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records `make demo` as an asciinema cast (version 2), from a real run of demo.sh on what `make all` built.

    tests/engine/record-demo.py docs/img/demo.cast

The checkout's path becomes /src/gpu-memory. After each command and each checked figure the recording pauses, so that it
can be read."""

import json
import os
import pty
import re
import subprocess
import sys
import time

WIDTH, HEIGHT = 112, 32
READ_COMMAND, READ_FIGURE = 1.0, 2.0  # seconds
TITLE = "make demo: GPU memory as a Docker resource"


def main(target):
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    terminal, child_side = pty.openpty()
    demo = subprocess.Popen(["tests/engine/demo.sh"], stdin=subprocess.DEVNULL, stdout=child_side, stderr=child_side)
    os.close(child_side)
    events = [[0.5, "o", "$ make demo\r\n"]]
    start, pauses = time.monotonic() - 1, 0.0
    # By lines, so that a path comes whole.
    with open(terminal, "rb", buffering=0) as output:
        rest = b""
        while chunk := read(output):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                events.append([round(time.monotonic() - start + pauses, 3), "o", neutral(line.decode()) + "\n"])
                pauses += READ_COMMAND if line.startswith(b"$ ") else READ_FIGURE if b"  ok: " in line else 0
    if demo.wait() != 0:
        sys.exit("demo.sh failed; nothing was recorded")
    with open(target, "w") as cast:
        header = {"version": 2, "width": WIDTH, "height": HEIGHT, "idle_time_limit": 2, "title": TITLE}
        for line in [header, *events]:
            cast.write(json.dumps(line, ensure_ascii=False) + "\n")


def read(output):
    try:
        return output.read(65536)
    except OSError:  # the child's side of the terminal is closed
        return b""


def neutral(line):
    line = line.replace(os.getcwd(), "/src/gpu-memory")
    return re.sub(r"/var/tmp/gpu-demo\.\w+", "/var/tmp/gpu-demo", line)


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
