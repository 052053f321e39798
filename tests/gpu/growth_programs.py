# SPDX-License-Identifier: Apache-2.0
"""What takes GPU memory beside the allocation calls, straight to the driver, under a quota: graphs, modules, kernels
with local memory, streams; and captures, which the shim's own calls must leave whole. Prints one `key=value` a line.
`growth_programs.py LIMIT_MIB [PART...]`; each part is a process of its own."""

import ctypes
import subprocess
import sys

from driver_facts import (
    EMPTY,
    GLOBAL,
    MIB,
    AllocationProp,
    I,
    Location,
    P,
    PoolProps,
    S,
    U,
    V,
    arguments_of_deep,
    begin,
    call,
    captured_pieces,
    function,
    launch,
    launch_ex,
    load,
    made,
    must,
    name,
    with_global,
    with_local,
)

LIMIT = int(sys.argv[1])  # MiB


class AllocNode(ctypes.Structure):
    _fields_ = [("pool", PoolProps), ("access", V), ("accesses", S), ("size", S), ("pointer", P)]


def say(key, code):
    print(f"{key}={name(code) if isinstance(code, int) else code}", flush=True)


def in_use():
    free, total = S(), S()
    must("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return (total.value - free.value) // MIB


def end(stream):
    graph = V()
    return call("cuStreamEndCapture", stream, ctypes.byref(graph)), graph


def begin_capture(stream):
    must("cuStreamBeginCapture_v2", stream, I(GLOBAL))


def captures():
    begin()
    stream, other = made("cuStreamCreate", U(1)), made("cuStreamCreate", U(1))
    begin_capture(stream)
    pointer = P()
    must("cuMemAllocAsync", ctypes.byref(pointer), S(MIB), stream)
    must("cuMemFreeAsync", pointer, stream)
    say("capture.first", end(stream)[0])
    pool = V()
    must("cuDeviceGetDefaultMemPool", ctypes.byref(pool), I(0))
    must("cuMemPoolSetAttribute", pool, I(4), ctypes.byref(P(2**64 - 1)))
    pointers = [P() for _ in range(200)]
    for p in pointers:
        must("cuMemAllocAsync", ctypes.byref(p), S(MIB), stream)
    for p in pointers:
        must("cuMemFreeAsync", p, stream)
    must("cuStreamSynchronize", stream)
    begin_capture(stream)
    for _ in range(200):
        must("cuMemAllocAsync", ctypes.byref(pointer), S(MIB), stream)
        must("cuMemFreeAsync", pointer, stream)
    say("capture.warm", end(stream)[0])
    begin_capture(stream)
    in_use()
    say("capture.asked", end(stream)[0])
    begin_capture(stream)
    properties = AllocationProp(type=1, location=Location(1, 0))
    say(
        "capture.refusal",
        call("cuMemCreate", ctypes.byref(P()), S(2 * LIMIT * MIB), ctypes.byref(properties), ctypes.c_ulonglong(0)),
    )
    say("capture.refused", end(stream)[0])
    call("cuStreamDestroy_v2", other)


def instantiate(graph):
    executable = V()
    return call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0)), executable


def run(key, graph):
    code, executable = instantiate(graph)
    code = code or call("cuGraphLaunch", executable, None) or call("cuCtxSynchronize")
    say(key, code)


def with_nodes(count, mib):
    graph, node, last = made("cuGraphCreate", U(0)), V(), V()
    for _ in range(count):
        must(
            "cuGraphAddEmptyNode", ctypes.byref(node), graph, ctypes.byref(last) if last else None, S(1 if last else 0)
        )
        last = V(node.value)
    parameters = AllocNode(pool=PoolProps(type=1, location=Location(1, 0)), size=mib * MIB)
    must("cuGraphAddMemAllocNode", ctypes.byref(node), graph, None, S(0), ctypes.byref(parameters))
    must("cuGraphAddMemFreeNode", ctypes.byref(V()), graph, ctypes.byref(node), S(1), P(parameters.pointer))
    return graph


def within(child):
    parent, parameters = made("cuGraphCreate", U(0)), (ctypes.c_uint8 * 256)()
    for at, value in ((0, I(4)), (16, child), (24, I(1))):  # CUgraphNodeParams: a child graph, moved into the parent
        ctypes.memmove(ctypes.addressof(parameters) + at, ctypes.byref(value), ctypes.sizeof(value))
    return call("cuGraphAddNode_v2", ctypes.byref(V()), parent, None, None, S(0), parameters), parent


def graphs():
    begin()
    run("graph.5000_nodes", with_nodes(5000, LIMIT))
    run("graph.5000_nodes_that_fit", with_nodes(5000, 1024))
    must("cuDeviceGraphMemTrim", I(0))
    graph = with_nodes(1, LIMIT)
    for _ in range(6):
        code, graph = within(graph)
        if code:
            break
    say("graph.within", "the driver has none" if code else run("graph.within_six", graph) or "ok")
    graph, _ = captured_pieces(2000, 8, False)  # 16 GB in all, 8 MiB at a time
    run("graph.one_after_another", graph)
    graph, _ = captured_pieces(LIMIT // 2, 3, True)
    run("graph.together", graph)
    must("cuDeviceGraphMemTrim", I(0))
    print(f"graph.in_use_after={in_use()}")


def link(text):
    state, cubin, length = V(), V(), S()
    must("cuLinkCreate_v2", U(0), None, None, ctypes.byref(state))
    must("cuLinkAddData_v2", state, I(1), text, S(len(text) + 1), b"big", U(0), None, None)
    must("cuLinkComplete", state, ctypes.byref(cubin), ctypes.byref(length))
    return ctypes.string_at(cubin, length.value)


def library_of(image):
    return made("cuLibraryLoadData", image, None, None, U(0), None, None, U(0))


def modules():
    begin()
    large, fits = (with_global(mib * MIB).encode() for mib in (LIMIT, 1024))
    for kind, make in (("ptx", lambda text: text), ("cubin", link)):
        out = V()
        say(f"module.{kind}", call("cuModuleLoadData", ctypes.byref(out), make(large)))
        say(f"module.{kind}_that_fits", call("cuModuleLoadData", ctypes.byref(out), make(fits)))
        must("cuModuleUnload", out)
        library, kernel = library_of(make(large)), V()
        must("cuLibraryGetKernel", ctypes.byref(kernel), library, b"touch")
        say(f"library.{kind}_launched", launch(kernel))
        say(f"library.{kind}_function", call("cuKernelGetFunction", ctypes.byref(out), kernel))
        say(f"library.{kind}_global", call("cuLibraryGetGlobal", ctypes.byref(P()), ctypes.byref(S()), library, b"big"))
        must("cuLibraryUnload", library)
        library = library_of(make(fits))
        must("cuLibraryGetKernel", ctypes.byref(kernel), library, b"touch")
        say(f"library.{kind}_that_fits", launch(kernel) or call("cuCtxSynchronize"))
        must("cuLibraryUnload", library)


def local_memory():
    begin()
    parameters = arguments_of_deep()
    deep, fits = (function(load(with_local(size)), "deep") for size in (65536, 8192))  # 16.6 and 1.9 GB on an H200
    say("local.launch", launch(deep, None, parameters))
    say("local.launch_ex", launch_ex(deep, parameters))
    say("local.cooperative", launch(deep, None, parameters, "cuLaunchCooperativeKernel"))
    kernel = V()
    must("cuLibraryGetKernel", ctypes.byref(kernel), library_of(with_local(65536).encode()), b"deep")
    say("local.library", launch(kernel, None, parameters))
    stream = made("cuStreamCreate", U(1))
    begin_capture(stream)
    launched = launch(deep, stream, parameters)
    code, graph = end(stream)
    say("local.graph", launched or code or instantiate(graph)[0])
    for _ in range(3):
        code = launch(fits, None, parameters) or call("cuCtxSynchronize")
    say("local.that_fits", code)
    say("local.others", launch(function(load(EMPTY), "empty")) or call("cuCtxSynchronize"))
    must("cuCtxSetLimit", I(0), S(1024))
    print(f"local.in_use_after={in_use()}")


def streams():
    begin()
    kept, code, out = [], 0, V()
    filler = P()
    must("cuMemAlloc_v2", ctypes.byref(filler), S((LIMIT - 518 - 600) * MIB))  # the rest is for some 1100 streams
    while len(kept) < 5000:
        code = call("cuStreamCreate", ctypes.byref(out), U(1))
        if code:
            break
        kept.append(V(out.value))
    say("streams", code)
    print(f"streams.made={len(kept)}", flush=True)
    for _ in range(2):
        for stream in kept:
            must("cuStreamDestroy_v2", stream)
        kept = [made("cuStreamCreate", U(1)) for _ in kept]
    say("streams.again", 0)


PARTS = {"captures": captures, "graphs": graphs, "modules": modules, "local": local_memory, "streams": streams}
if len(sys.argv) == 3 and sys.argv[2] in PARTS:
    PARTS[sys.argv[2]]()
else:
    for part in sys.argv[2:] or PARTS:
        code = subprocess.run([sys.executable, __file__, sys.argv[1], part], timeout=60, check=False).returncode
        print(f"ended.{part}={code}", flush=True)
