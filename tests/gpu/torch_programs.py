# SPDX-License-Identifier: Apache-2.0
"""What people do with PyTorch, under a quota; prints one `key=value` a line.
`torch_programs.py fill|beside|graphs|compile|loader|share|train`."""

import subprocess
import sys
import time

import torch
from torch_common import PIECE, fill, give_back_and_go_on, mebibytes, timed, training


def fill_and_more():
    """At the limit, one piece is given back and work goes on; then a larger piece than any before."""
    kept = fill()
    give_back_and_go_on(kept)
    kept.clear()
    torch.cuda.empty_cache()
    large = torch.ones(12 * PIECE, device="cuda")  # 3 GiB in one piece
    torch.cuda.synchronize()
    print(f"large={mebibytes(large.numel() * 4)}")


def beside():
    """Another process, when this one has filled the GPU, and when it has given some back."""
    kept = fill()
    another = [sys.executable, "-c", "import torch; print(int(torch.ones(1 << 20, device='cuda').sum().item()))"]
    full = subprocess.run(another, capture_output=True, text=True)
    print("beside=" + ("out of memory" if "out of memory" in full.stderr else full.stdout + full.stderr))
    give_back_and_go_on(kept)
    del kept[-8:]
    torch.cuda.empty_cache()
    print(f"beside_after={subprocess.run(another, capture_output=True, text=True).stdout.strip()}")


def compiled():
    """What the compiler makes of it, with its kernels and graphs."""
    model = torch.nn.Sequential(
        torch.nn.Linear(1024, 4096), torch.nn.GELU(), torch.nn.LayerNorm(4096), torch.nn.Linear(4096, 1024)
    ).cuda()
    x = torch.randn(512, 1024, device="cuda")
    fast = torch.compile(model, mode="reduce-overhead")
    with torch.no_grad():
        expected = model(x)
        for _ in range(5):
            result = fast(x).clone()
    print("compiled=" + ("same" if torch.allclose(result, expected, atol=1e-3) else "different"))
    kept = fill()
    with torch.no_grad():
        result = fast(x).clone()
    print("at_limit=" + ("same" if torch.allclose(result, expected, atol=1e-3) else "different"))
    give_back_and_go_on(kept)


def work(x):
    y = torch.empty_like(x).copy_(x)
    return (y @ y.t()).relu().sum(dim=1) + torch.ones(x.shape[0], device="cuda")


def capture(x):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work(x)
    graph.replay()
    return result.clone()  # outlives the graph


def trained(graphed):
    torch.manual_seed(7)
    model = torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 256)).cuda()
    data = torch.randn(512, 256, device="cuda")
    forward = torch.cuda.make_graphed_callables(model, (torch.randn(512, 256, device="cuda"),)) if graphed else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(forward(data), data.roll(1, dims=1))
        loss.backward()
        optimizer.step()
    return f"{loss.item():.5f}"


def graphs():
    x = torch.randn(2048, 2048, device="cuda")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries initialise outside of a capture
        expected = work(x)
    side.synchronize()
    print("graph=" + ("same" if torch.allclose(capture(x), expected, rtol=1e-3) else "different"))
    print(f"eager_loss={trained(False)}")
    print(f"graphed_loss={trained(True)}")
    print(f"capture_error={capture_too_much()}")
    torch.cuda.empty_cache()
    print("capture_after=" + ("same" if torch.allclose(capture(x), expected, rtol=1e-3) else "different"))


def capture_too_much():
    """16 GiB at once in a graph: PyTorch's own pool refuses at capture, the driver's when the graph starts."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            held = [torch.ones(PIECE, device="cuda") for _ in range(64)]
            held.clear()
        graph.replay()
        torch.cuda.synchronize()
    except RuntimeError as error:
        while error and "out of memory" not in str(error):  # the end of the capture may complain as well
            error = error.__context__
        return "OutOfMemoryError" if error else "another"
    return "none"


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 4096

    def __getitem__(self, index):
        return torch.full((4096,), float(index % 7))


def loader():
    batches = torch.utils.data.DataLoader(Numbers(), batch_size=64, num_workers=4, pin_memory=True)
    held, total, samples = torch.zeros(1, device="cuda", dtype=torch.float64), 0.0, 0
    for batch in batches:
        held += batch.cuda(non_blocking=True).sum(dtype=torch.float64)
        samples += len(batch)
    print(f"samples={samples}")
    print(f"sum={int(held.item())}")
    print(f"expected={4096 * sum(i % 7 for i in range(4096))}")


def writer(number, tensor, done):
    tensor[number] += number + 1
    torch.cuda.synchronize()
    done.wait()


def share():
    spawning = torch.multiprocessing.get_context("spawn")
    tensor = torch.zeros(256 << 20, device="cuda")  # 1 GiB
    before = torch.cuda.mem_get_info()[0] + tensor.numel() * 4
    done = spawning.Barrier(4)
    children = [spawning.Process(target=writer, args=(i, tensor, done)) for i in range(3)]
    for child in children:
        child.start()
    while done.n_waiting < 3 and all(child.exitcode is None for child in children):
        time.sleep(0.05)
    free = torch.cuda.mem_get_info()[0]
    done.wait(10)
    for child in children:
        child.join()
    print(f"free_lost={mebibytes(before - free)}")
    print(f"sum={int(tensor[:3].sum().item())}")
    print("expected=6")


def train(blocks=7, steps=500):
    """A network so small that the time is that of the calls."""
    best = timed(training(samples=256), blocks, steps, lambda block, loss: print(f"loss[{block}]={loss.item():.17g}"))
    print(f"step_us={best:.1f}")


if __name__ == "__main__":
    {
        "fill": fill_and_more,
        "beside": beside,
        "graphs": graphs,
        "compile": compiled,
        "loader": loader,
        "share": share,
        "train": train,
    }[sys.argv[1]]()
