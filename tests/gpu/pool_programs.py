# SPDX-License-Identifier: Apache-2.0
"""Pools of a program's own, pools of managed memory, and graphs that allocate, straight to the driver, under a quota.
Prints one `key=value` a line. `pool_programs.py many|replaced|managed|graphs LIMIT_MIB`. Some values are followed by
what CUDA reports as in use then, in MiB.

Nothing here is freed after its pool was destroyed: the driver allows that and does not always survive it."""

import ctypes
import os
import sys

MIB = 1 << 20
LIMIT = int(sys.argv[2])  # MiB
PINNED, MANAGED = 1, 2
NOWHERE, ON_GPU, ON_HOST, ON_NODE = 0, 1, 2, 3
P, S, V = ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p


class Location(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class PoolProps(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("handles", ctypes.c_int),
        ("location", Location),
        ("security", V),
        ("maximum", S),
        ("reserved", ctypes.c_ubyte * 56),
    ]


class AllocNode(ctypes.Structure):
    _fields_ = [("pool", PoolProps), ("access", V), ("accesses", S), ("size", S), ("pointer", P)]


assert ctypes.sizeof(PoolProps) == 88 and ctypes.sizeof(AllocNode) == 120
cuda = ctypes.CDLL("libcuda.so.1")


def name(code):
    text = ctypes.c_char_p()
    cuda.cuGetErrorName(code, ctypes.byref(text))
    return (text.value or str(code).encode()).decode().removeprefix("CUDA_ERROR_")


def must(code, what="a call"):
    if code:
        raise SystemExit(f"{what}: {name(code)}")


def begin():
    context = V()
    must(cuda.cuInit(0), "cuInit")
    must(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), "cuDevicePrimaryCtxRetain")
    must(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")


def say(key, value=""):
    free, total = S(), S()
    must(cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)), "cuMemGetInfo")
    print(f"{key}={value} in_use={(total.value - free.value) // MIB}", flush=True)


def create(type=PINNED, place=ON_GPU):
    pool = V()
    code = cuda.cuMemPoolCreate(ctypes.byref(pool), ctypes.byref(PoolProps(type=type, location=Location(place, 0))))
    return code, pool


def from_pool(pool, mib):
    pointer = P()
    return cuda.cuMemAllocFromPoolAsync(ctypes.byref(pointer), S(mib * MIB), pool, None), pointer.value


def linear(mib):
    """Its result alone: what was got is freed again."""
    pointer = P()
    code = cuda.cuMemAlloc_v2(ctypes.byref(pointer), S(mib * MIB))
    if code == 0:
        must(cuda.cuMemFree_v2(pointer), "cuMemFree")
    return name(code)


def free(pointers):
    for pointer in pointers:
        must(cuda.cuMemFreeAsync(P(pointer), None), "cuMemFreeAsync")
    must(cuda.cuStreamSynchronize(None), "cuStreamSynchronize")


def destroy(pool):
    must(cuda.cuMemPoolDestroy(pool), "cuMemPoolDestroy")


def fill(pools, pieces, mib=64):
    """Written pieces from the pools in turn until one is refused: the refusal, and how many there are."""
    while True:
        for pool in pools:
            code, pointer = from_pool(pool, mib)
            if code:
                return f"{name(code)} pieces={len(pieces)}"
            must(cuda.cuMemsetD32Async(P(pointer), 7, S(mib * MIB // 4), None), "cuMemsetD32Async")
            pieces.append((pool, pointer))


def whole(pieces, mib=64):
    """Do all of the pieces hold what was written?"""
    must(cuda.cuStreamSynchronize(None), "cuStreamSynchronize")
    back = (ctypes.c_uint32 * (MIB // 4))()
    for _, pointer in pieces:
        must(cuda.cuMemcpyDtoH_v2(back, P(pointer + (mib - 1) * MIB), S(MIB)), "cuMemcpyDtoH")
        if back[0] != 7 or back[MIB // 4 - 1] != 7:
            return False
    return True


def many():
    """As many pools as can be had, and as much of them."""
    begin()
    pools, pieces = [], []
    while True:
        code, pool = create()
        if code:
            break
        pools.append(pool)
        must(from_pool(pool, 1)[0], "cuMemAllocFromPoolAsync")
    say("create", f"{name(code)} pools={len(pools)}")
    say("filled", fill(pools, pieces))
    say("linear", linear(64))
    say("default_pool", name(cuda.cuMemAllocAsync(ctypes.byref(P()), S(64 * MIB), None)))
    print(f"whole={whole(pieces)}")
    free(pointer for _, pointer in pieces[:16])
    say("sixteen_freed")
    again = []
    say("filled_again", fill(pools, again))
    print(f"whole_again={whole(pieces[16:] + again)}")


def replaced():
    """Half of the pools are destroyed, and others made; then many one after another."""
    begin()
    pools, pieces = [create()[1] for _ in range(40)], []
    say("filled", fill(pools, pieces))
    gone, kept = pools[:20], pools[20:]
    free(pointer for pool, pointer in pieces if pool in gone)
    for pool in gone:
        destroy(pool)
    pieces = [p for p in pieces if p[0] in kept]
    say("twenty_destroyed", f"pieces={len(pieces)}")
    new, more = [], []
    while len(new) < 100:
        code, pool = create()
        if code:
            break
        new.append(pool)
    say("new_pools", f"{name(code)} pools={len(new)}")
    say("filled_again", fill(new, more))
    print(f"whole={whole(pieces + more)}")
    free(pointer for _, pointer in pieces + more)
    for pool in new + kept:
        destroy(pool)
    for _ in range(300):  # more than there are places for
        code, pool = create()
        must(code, "cuMemPoolCreate")
        code, pointer = from_pool(pool, 64)
        must(code, "cuMemAllocFromPoolAsync")
        free([pointer])
        destroy(pool)
    say("300_made_and_destroyed")
    say("nearly_all", linear(LIMIT - 700))


def managed_pool(way, place):
    if way == "made":
        return create(MANAGED, place)
    pool, location = V(), Location(place, 0)
    return getattr(cuda, way)(ctypes.byref(pool), ctypes.byref(location), MANAGED), pool


def managed_one(way, place):
    begin()
    of = f".{way},{place}"
    code, pool = managed_pool(way, place)
    print(f"pool{of}={name(code)}", flush=True)
    if code:
        return
    pieces = []
    refusal = fill([pool], pieces, 256)
    say("filled" + of, refusal)
    say("linear" + of, linear(1024))
    code, own = create()
    must(code, "cuMemPoolCreate")
    say("own_pool" + of, name(from_pool(own, 1024)[0]))
    free(pointer for _, pointer in pieces)
    cuda.cuMemPoolTrimTo(pool, S(0))
    say("linear_after_free" + of, linear(1024))
    half = len(pieces) * 128  # in two of another size
    codes = [from_pool(pool, half), from_pool(pool, half)]
    say("taken_again" + of, " ".join(name(code) for code, _ in codes))
    free(pointer for code, pointer in codes if code == 0)
    if way == "made":
        destroy(pool)
        say("linear_after_destruction" + of, linear(LIMIT - 2048))


def managed():
    """Each kind of pool of managed memory in a process of its own: what a default pool once held it keeps."""
    for way in "made", "cuMemGetDefaultMemPool", "cuMemGetMemPool":
        for place in NOWHERE, ON_GPU, ON_HOST, ON_NODE:
            child = os.fork()
            if child == 0:
                try:
                    managed_one(way, place)
                except BaseException as error:
                    print(f"wrong.{way},{place}={error}", flush=True)
                os._exit(0)
            os.waitpid(child, 0)
    begin()
    say("linear_after_all", linear(LIMIT - 2048))


def instantiate(graph):
    executable = V()
    return cuda.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, ctypes.c_ulonglong(0)), executable


def with_node(type, place, mib):
    """A graph that takes and frees; the result of making it."""
    graph, node, end = V(), V(), V()
    must(cuda.cuGraphCreate(ctypes.byref(graph), 0), "cuGraphCreate")
    parameters = AllocNode(pool=PoolProps(type=type, location=Location(place, 0)), size=mib * MIB)
    code = cuda.cuGraphAddMemAllocNode(ctypes.byref(node), graph, None, S(0), ctypes.byref(parameters))
    if code == 0:
        must(
            cuda.cuGraphAddMemFreeNode(ctypes.byref(end), graph, ctypes.byref(node), S(1), P(parameters.pointer)),
            "cuGraphAddMemFreeNode",
        )
    return code, graph


def captured(pool, mib):
    """The same from a stream."""
    stream, graph, pointer = V(), V(), P()
    must(cuda.cuStreamCreate(ctypes.byref(stream), 1), "cuStreamCreate")
    must(cuda.cuStreamBeginCapture_v2(stream, 0), "cuStreamBeginCapture")
    code = cuda.cuMemAllocFromPoolAsync(ctypes.byref(pointer), S(mib * MIB), pool, stream)
    if code == 0:
        must(cuda.cuMemFreeAsync(pointer, stream), "cuMemFreeAsync")
    return cuda.cuStreamEndCapture(stream, ctypes.byref(graph)) or code, graph


def run(title, code, graph):
    """Says how far it gets: made, instantiated, launched."""
    executable = None
    if code == 0:
        code, executable = instantiate(graph)
    say(f"instantiated.{title}", name(code))
    if code == 0:
        say(f"launched.{title}", name(cuda.cuGraphLaunch(executable, None)))
        must(cuda.cuStreamSynchronize(None), "cuStreamSynchronize")


def graphs():
    begin()
    for place in ON_GPU, NOWHERE, ON_HOST:
        code, graph = with_node(MANAGED, place, 512)
        print(f"node.managed,{place}={name(code)}")
        if code == 0:
            run(f"managed,{place}", code, graph)
    code, pool = create(MANAGED)
    print(f"pool.managed={name(code)}")
    if code == 0:
        run("captured", *captured(pool, 512))
        run("captured,too_large", *captured(pool, LIMIT))
    run("pinned", *with_node(PINNED, ON_GPU, 512))
    run("pinned,too_large", *with_node(PINNED, ON_GPU, LIMIT))
    must(cuda.cuDeviceGraphMemTrim(0), "cuDeviceGraphMemTrim")
    say("nearly_all", linear(LIMIT - 700))


{"many": many, "replaced": replaced, "managed": managed, "graphs": graphs}[sys.argv[1]]()
print("ended=well")
