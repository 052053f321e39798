# SPDX-License-Identifier: Apache-2.0
"""watch.py [GPU]: prints, a hundred times a second, the MiB that the driver's process list counts on that GPU (0) for
all processes of the container that has most there, until it is ended."""

import collections
import ctypes
import functools
import sys
import time


class Process(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu", ctypes.c_uint),
        ("compute", ctypes.c_uint),
    ]


@functools.cache
def container(pid):
    """Names the container of a process. Kept, because a process is gone before the driver has all of its memory back,
    and counts until then."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            return file.read()
    except OSError:
        return "ended"


nvml = ctypes.CDLL("libnvidia-ml.so.1")
device, processes = ctypes.c_void_p(), (Process * 256)()
assert nvml.nvmlInit_v2() == 0
assert nvml.nvmlDeviceGetHandleByIndex_v2(int(sys.argv[1]) if len(sys.argv) > 1 else 0, ctypes.byref(device)) == 0
while True:
    count = ctypes.c_uint(len(processes))
    if nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), processes) == 0:
        used = collections.Counter()
        for process in processes[: count.value]:
            used[container(process.pid)] += process.used
        print(-(-max(used.values(), default=0) // (1 << 20)), flush=True)
    time.sleep(0.01)
