"""What PyTorch sees and gets under a GPU memory quota; prints one `key=value` a line.

`train` alone prints the losses of a small training run, for comparing a run with a quota to one without, and the time it took.
`limit` fills the GPU in 256 MiB tensors until torch.OutOfMemoryError, frees one, and goes on working.
`hold SIZE_MIB SECONDS` takes that much and keeps it.
"""

import sys
import time

import torch


def mebibytes(n):
    return n // (1 << 20)


def train(steps=200):
    torch.manual_seed(7)
    torch.use_deterministic_algorithms(True)
    model = torch.nn.Sequential(torch.nn.Linear(512, 2048), torch.nn.GELU(), torch.nn.Linear(2048, 512)).cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    data = torch.randn(4096, 512, device="cuda")
    target = data.roll(1, dims=1)
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for step in range(steps):
        loss = torch.nn.functional.mse_loss(model(data), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"loss[{step}]={loss.item():.17g}")
    print(f"loss={loss.item():.17g}")
    print(f"train_ms={1000 * (time.perf_counter() - begin):.1f}", file=sys.stderr)


def limit():
    free, total = torch.cuda.mem_get_info()
    print(f"total={mebibytes(total)}")
    print(f"free={mebibytes(free)}")
    kept = []
    try:
        while True:
            kept.append(torch.ones(64 << 20, device="cuda"))  # 256 MiB of float32
    except torch.OutOfMemoryError as error:
        print(f"error={type(error).__name__}")
    print(f"allocated={256 * len(kept)}")
    print(f"free_at_limit={mebibytes(torch.cuda.mem_get_info()[0])}")
    kept.pop()
    again = torch.ones(64 << 20, device="cuda")
    print(f"sum_after={int(again.sum().item())}")


def hold(size, seconds):
    kept = torch.empty(size << 20, dtype=torch.uint8, device="cuda")
    print(f"held={mebibytes(kept.numel())}", flush=True)
    time.sleep(seconds)


{"train": train, "limit": limit, "hold": lambda: hold(int(sys.argv[2]), float(sys.argv[3]))}[sys.argv[1]]()
