"""Prints, a hundred times a second, the MiB that the driver's process list counts on GPU 0, over all processes, until it is ended."""

import ctypes
import time


class Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong), ("gpu", ctypes.c_uint), ("compute", ctypes.c_uint)]


nvml = ctypes.CDLL("libnvidia-ml.so.1")
device, processes = ctypes.c_void_p(), (Process * 256)()
assert nvml.nvmlInit_v2() == 0
assert nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device)) == 0
while True:
    count = ctypes.c_uint(len(processes))
    if nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), processes) == 0:
        print(-(-sum(p.used for p in processes[: count.value]) // (1 << 20)), flush=True)
    time.sleep(0.01)
