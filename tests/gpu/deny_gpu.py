# SPDX-License-Identifier: Apache-2.0
"""deny_gpu.py PID: takes NVIDIA's device nodes (major number 195) from the control group of that process, as a
`systemctl daemon-reload` does: a device program that denies them is attached beside those that are there, and a node
is allowed where all programs allow it. Control groups of version 2; prints the group.

By bpf(2): BPF_PROG_LOAD (5) and BPF_PROG_ATTACH (8), of linux/bpf.h.
"""

import ctypes
import os
import struct
import sys

MAJOR = 195
PROGRAM_LOAD, PROGRAM_ATTACH = 5, 8
TYPE_CGROUP_DEVICE, CGROUP_DEVICE, ALLOW_MULTI = 15, 6, 2
LOAD_WORD, JUMP_UNLESS_EQUAL, SET, EXIT = 0x61, 0x55, 0xB7, 0x95

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, arguments):
    buffer = ctypes.create_string_buffer(arguments, len(arguments))
    result = libc.syscall(321, command, buffer, len(arguments))
    if result < 0:
        sys.exit(f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return result


def instruction(code, target=0, source=0, offset=0, number=0):
    return struct.pack("<BBhi", code, source << 4 | target, offset, number)


code = (
    instruction(LOAD_WORD, target=2, source=1, offset=4)  # the node's major number
    + instruction(SET, target=0, number=1)
    + instruction(JUMP_UNLESS_EQUAL, target=2, offset=1, number=MAJOR)
    + instruction(SET, target=0, number=0)
    + instruction(EXIT)
)
kept, license_name = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"Apache-2.0")
program = bpf(
    PROGRAM_LOAD,
    struct.pack(
        "<IIQQIIQII16sI4x",
        TYPE_CGROUP_DEVICE,
        len(code) // 8,
        ctypes.addressof(kept),
        ctypes.addressof(license_name),
        0,
        0,
        0,
        0,
        0,
        b"deny_gpu",
        0,
    ),
)
with open(f"/proc/{sys.argv[1]}/cgroup") as file:
    group = "/sys/fs/cgroup" + file.read().strip().removeprefix("0::")
bpf(PROGRAM_ATTACH, struct.pack("<IIIII", os.open(group, os.O_RDONLY), program, CGROUP_DEVICE, ALLOW_MULTI, 0))
print(group)
