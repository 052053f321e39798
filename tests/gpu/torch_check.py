# SPDX-License-Identifier: Apache-2.0
"""What PyTorch sees and gets under a GPU memory quota; prints one `key=value` a line.

`train` alone prints the losses of a small training run, for comparing a run with a quota to one without, and the
time it took.
`limit` fills the GPU in 256 MiB tensors until torch.OutOfMemoryError, frees one, and goes on working.
`hold SIZE_MIB SECONDS` takes that much and keeps it.
"""

import sys
import time

import torch
from torch_common import fill, give_back_and_go_on, mebibytes, training


def train(steps=200):
    step = training(samples=4096)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for number in range(steps):
        loss = step()
        if number % 50 == 0:
            print(f"loss[{number}]={loss.item():.17g}")
    print(f"loss={loss.item():.17g}")
    print(f"train_ms={1000 * (time.perf_counter() - begin):.1f}", file=sys.stderr)


def limit():
    free, total = torch.cuda.mem_get_info()
    print(f"total={mebibytes(total)}")
    print(f"free={mebibytes(free)}")
    kept = fill()
    print(f"free_at_limit={mebibytes(torch.cuda.mem_get_info()[0])}")
    give_back_and_go_on(kept)


def hold(size, seconds):
    kept = torch.empty(size << 20, dtype=torch.uint8, device="cuda")
    print(f"held={mebibytes(kept.numel())}", flush=True)
    time.sleep(seconds)


{"train": train, "limit": limit, "hold": lambda: hold(int(sys.argv[2]), float(sys.argv[3]))}[sys.argv[1]]()
