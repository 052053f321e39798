# SPDX-License-Identifier: Apache-2.0
"""What people do with PyTorch on two GPUs, under a quota; prints one `key=value` a line.
`pair_programs.py fill|rate|copies|handed|ranks|ddp`."""

import os
import sys
import time

import torch
from torch_common import PIECE, fill, mebibytes, timed, training


def free(gpu):
    return mebibytes(torch.cuda.mem_get_info(gpu)[0])


def fill_both():
    """The first GPU up to its limit, then the second; work goes on on both."""
    free(0)
    before = free(1)
    first = fill("cuda:0", of=0)
    print(f"lost={before - free(1)}")
    second = fill("cuda:1", of=1)
    first.pop(), second.pop()
    print(f"sum_after={sum(int(torch.ones(PIECE, device=gpu).sum().item()) for gpu in ('cuda:0', 'cuda:1'))}")


def rate():
    """GB/s of the best of 20 copies from the first GPU to the second."""
    source = torch.rand(PIECE, device="cuda:0")
    target = source.to("cuda:1")
    best = float("inf")
    for _ in range(20):
        torch.cuda.synchronize(0), torch.cuda.synchronize(1)
        begin = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize(0), torch.cuda.synchronize(1)
        best = min(best, time.perf_counter() - begin)
    print(f"gb_s={source.numel() * 4 / best / 1e9:.0f}")


def copies():
    """There and back, at the limit of the other GPU, and after it."""
    print(f"peers={torch.cuda.can_device_access_peer(0, 1)}")
    x = torch.rand(PIECE, device="cuda:0")
    y = x.to("cuda:1")
    print("there=" + ("same" if torch.equal(x.cpu(), y.cpu()) else "different"))
    print("back=" + ("same" if torch.equal(x, (y + 0).to("cuda:0")) else "different"))
    rate()
    del y
    torch.cuda.empty_cache()
    kept = fill("cuda:1")
    try:
        kept.append(x.to("cuda:1"))
        print("copy_error=none")
    except torch.OutOfMemoryError as error:
        print(f"copy_error={type(error).__name__}")
    kept.pop()
    print("after=" + ("same" if torch.equal(x.cpu(), x.to("cuda:1").cpu()) else "different"))


def worker(tensor, seen, done):
    copy = tensor.to("cuda:1")
    tensor += 1
    torch.cuda.synchronize(0)
    seen.put(int(copy.sum().item()))
    done.wait()


def handed():
    spawning = torch.multiprocessing.get_context("spawn")
    tensor = torch.ones(4 * PIECE, device="cuda:0")
    before = free(0) + 1024
    seen, done = spawning.Queue(), spawning.Event()
    child = spawning.Process(target=worker, args=(tensor, seen, done))
    child.start()
    summed = seen.get(timeout=60)
    print(f"free_lost={before - free(0)}")
    done.set()
    child.join()
    print(f"sum={summed + int(tensor.double().sum().item())}")
    print(f"expected={3 * tensor.numel()}")


def join(rank):
    torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "nccl", init_method="tcp://127.0.0.1:29471", rank=rank, world_size=2, device_id=torch.device("cuda", rank)
    )


def at_limit(rank):
    join(rank)
    x = torch.full((1024,), rank + 1.0, device="cuda")
    torch.distributed.all_reduce(x)  # 3, and NCCL has what it needs
    kept = fill(of=rank)
    torch.distributed.all_reduce(x)
    print(f"there{rank}={int(x[0].item())}")
    kept.clear()
    y = torch.ones(PIECE, device="cuda")
    torch.distributed.all_reduce(y)
    print(f"after{rank}={int(y.double().sum().item())}")
    torch.distributed.destroy_process_group()


def train(rank, blocks=4, steps=200):
    join(rank)
    parallel = torch.nn.parallel.DistributedDataParallel
    step = training(samples=4096, seed=7 + rank, wrapped=lambda model: parallel(model, device_ids=[rank]))

    def report(block, loss):
        losses = [torch.zeros_like(loss) for _ in range(2)]
        torch.distributed.all_gather(losses, loss.detach())
        if rank == 0:
            print(f"loss[{block}]={losses[0].item():.17g} {losses[1].item():.17g}")

    best = timed(step, blocks, steps, report)
    if rank == 0:
        print(f"step_us={best:.1f}")
    torch.distributed.destroy_process_group()


def ranks(program):
    # The ranks meet over the loopback. No multicast of the switch, which machines may not have.
    os.environ.update(
        NCCL_SOCKET_IFNAME="lo", NCCL_NVLS_ENABLE="0", TORCH_SYMM_MEM_DISABLE_MULTICAST="1", NVSHMEM_DISABLE_NVLS="1"
    )
    torch.multiprocessing.spawn(program, nprocs=2)


if __name__ == "__main__":
    programs = {
        "fill": fill_both,
        "rate": rate,
        "copies": copies,
        "handed": handed,
        "ranks": lambda: ranks(at_limit),
        "ddp": lambda: ranks(train),
    }
    programs[sys.argv[1]]()
