# SPDX-License-Identifier: Apache-2.0
"""What torch_check.py, torch_programs.py and pair_programs.py share."""

import time

import torch

PIECE = 64 << 20  # elements of float32: 256 MiB


def mebibytes(n):
    return n // (1 << 20)


def fill(device="cuda", of=""):
    """Takes pieces until torch.OutOfMemoryError, says how many MiB that were, and returns them."""
    kept = []
    try:
        while True:
            kept.append(torch.ones(PIECE, device=device))
    except torch.OutOfMemoryError as error:
        print(f"error{of}={type(error).__name__}")
    print(f"allocated{of}={256 * len(kept)}")
    return kept


def give_back_and_go_on(kept):
    kept.pop()
    print(f"sum_after={int(torch.ones(PIECE, device='cuda').sum().item())}")


def training(samples, seed=7, wrapped=lambda model: model):
    """A small network and its data, the same in each run. Returns what does one step and returns the loss before it."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    model = torch.nn.Sequential(torch.nn.Linear(512, 2048), torch.nn.GELU(), torch.nn.Linear(2048, 512)).cuda()
    model = wrapped(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = torch.randn(samples, 512, device="cuda")
    target = data.roll(1, dims=1)

    def step():
        loss = torch.nn.functional.mse_loss(model(data), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def timed(step, blocks, steps, report):
    """Runs blocks of steps, reports each block's number and last loss, and returns the microseconds of a step in the
    best."""
    times = []
    for block in range(blocks + 1):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(steps):
            loss = step()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) / steps)
        report(block, loss)
    return 1e6 * min(times[1:])  # the first block warms up; a busy host only ever adds
