# SPDX-License-Identifier: Apache-2.0
"""clients.py pynvml|nvtop PID NVTOP: what the client shows of a GPU of 10989 MiB under a quota of 0.3, of which the
process PID holds 1088 MiB."""
import os
import pty
import re
import select
import signal
import sys
import time

PID = int(sys.argv[2])


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"    {what}: {got}, not {wanted}")


def pynvml():
    import pynvml as nvml

    nvml.nvmlInit()
    device = nvml.nvmlDeviceGetHandleByIndex(0)
    one = nvml.nvmlDeviceGetMemoryInfo(device)
    two = nvml.nvmlDeviceGetMemoryInfo(device, version=nvml.nvmlMemory_v2)
    processes = nvml.nvmlDeviceGetComputeRunningProcesses(device)
    expect("total, used, free", [n >> 20 for n in (one.total, one.used, one.free)], [3296, 1088, 2208])
    expect(
        "total, reserved, used, free",
        [n >> 20 for n in (two.total, two.reserved, two.used, two.free)],
        [3296, 0, 1088, 2208],
    )
    expect("processes", [(p.pid, p.usedGpuMemory >> 20) for p in processes], [(PID, 1088)])
    nvml.nvmlShutdown()


def nvtop():
    """On a terminal of 150 columns, until it shows what is expected, or for 30 s; then the key that ends it."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm", COLUMNS="150", LINES="40")
        os.execv(sys.argv[3], ["nvtop", "-C"])
    shown, until = "", time.monotonic() + 30
    wanted = ["1.062Gi/3.219Gi", f"{PID} ", "1088MiB  33%"]
    while not all(text in shown for text in wanted) and time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            shown += re.sub(
                r"\x1b(\[[0-9;?]*[a-zA-Z]|\([0-9A-B])", "", os.read(terminal, 65536).decode(errors="replace")
            )
    os.write(terminal, b"q")
    while True:  # what it still says would keep it from ending
        try:
            if not os.read(terminal, 65536):
                break
        except OSError:
            break
    expect("exit status", os.waitpid(child, 0)[1], 0)
    missing = [text for text in wanted if text not in shown]
    expect("on the screen", missing, [])


signal.alarm(60)
{"pynvml": pynvml, "nvtop": nvtop}[sys.argv[1]]()
