# SPDX-License-Identifier: Apache-2.0
"""CuPy under a quota, with its own pool (`default`) or the driver's (`async`): out of memory, and work after it.
Prints one `key=value` a line."""

import sys

import cupy

if sys.argv[1] == "async":
    cupy.cuda.set_allocator(cupy.cuda.MemoryAsyncPool().malloc)
kept = []
try:
    while True:
        kept.append(cupy.ones(64 << 20, dtype=cupy.float32))  # 256 MiB
        cupy.cuda.get_current_stream().synchronize()
except cupy.cuda.memory.OutOfMemoryError as error:
    print(f"error={type(error).__name__}")
except cupy.cuda.runtime.CUDARuntimeError as error:
    print("error=" + ("OutOfMemoryError" if error.status == 2 else str(error)))
print(f"allocated={256 * len(kept)}")
kept.pop()
kept.pop()
print(f"sum_after={int(cupy.ones(64 << 20, dtype=cupy.int32).sum())}")
kept.clear()
cupy.get_default_memory_pool().free_all_blocks()
print(f"free_after={cupy.cuda.runtime.memGetInfo()[0] >> 20}")
