# SPDX-License-Identifier: Apache-2.0
"""A Triton kernel under a quota, compiled, and launched once more by a process that finds it compiled.
Prints one `key=value` a line."""

import subprocess
import sys

import torch
import triton
import triton.language as tl


@triton.jit
def add(x, y, out, count, block: tl.constexpr):
    at = tl.program_id(0) * block + tl.arange(0, block)
    mask = at < count
    tl.store(out + at, tl.load(x + at, mask=mask) + tl.load(y + at, mask=mask), mask=mask)


x, y = torch.rand(10_000_000, device="cuda"), torch.rand(10_000_000, device="cuda")
out = torch.empty_like(x)
add[(triton.cdiv(x.numel(), 1024),)](x, y, out, x.numel(), block=1024)
key = "again" if len(sys.argv) > 1 else "result"
print(f"{key}=" + ("same" if torch.equal(out, x + y) else "different"), flush=True)
if len(sys.argv) == 1:
    subprocess.run([sys.executable, __file__, "again"], check=True)
