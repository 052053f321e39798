#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the driver itself does, without the shim: what takes GPU memory beside the allocation calls, which call returns
out of memory, and which calls invalidate a capture. Prints a table for each part, in MiB by NVML's list of processes
(and, after a slash, by cuMemGetInfo).

    python3 tests/gpu/driver_facts.py [PART...]     all parts take less than 3 minutes

Needs the driver and nothing else, best an idle GPU. Each part runs in a process of its own with 60 seconds. If a part
cannot do something, it says so, and the next part follows. No kernel needs a compiler: the driver compiles their text
(PTX)."""

import ctypes
import os
import subprocess
import sys
import threading
import time

MIB = 1 << 20
I, U, P, S, V = ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p
LOCAL_SIZE_BYTES = 3
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2
HEADER = ".version 6.0\n.target sm_70\n.address_size 64\n"


class Process(ctypes.Structure):
    _fields_ = [("pid", U), ("used", ctypes.c_ulonglong), ("gpu", U), ("compute", U)]


class Location(ctypes.Structure):
    _fields_ = [("type", I), ("id", I)]


class PoolProps(ctypes.Structure):
    _fields_ = [
        ("type", I),
        ("handles", I),
        ("location", Location),
        ("security", V),
        ("maximum", S),
        ("reserved", ctypes.c_ubyte * 56),
    ]


class AllocationProp(ctypes.Structure):
    _fields_ = [("type", I), ("handles", I), ("location", Location), ("security", V), ("flags", ctypes.c_ubyte * 8)]


class ArrayDescriptor(ctypes.Structure):
    _fields_ = [("width", S), ("height", S), ("format", I), ("channels", U)]


class KernelNode(ctypes.Structure):  # CUDA_KERNEL_NODE_PARAMS_v2
    _fields_ = [
        ("function", V),
        ("grid", U * 3),
        ("block", U * 3),
        ("shared", U),
        ("parameters", V),
        ("extra", V),
        ("kernel", V),
        ("context", V),
    ]


class LaunchConfig(ctypes.Structure):
    _fields_ = [("grid", U * 3), ("block", U * 3), ("shared", U), ("stream", V), ("attributes", V), ("count", U)]


cuda = ctypes.CDLL("libcuda.so.1")
try:
    nvml = ctypes.CDLL("libnvidia-ml.so.1")
except OSError:
    nvml = None
handle, base = V(), [0, 0]


def call(function, *arguments):
    found = getattr(cuda, function, None)
    return found(*arguments) if found else "ABSENT"


def name(code):
    if not isinstance(code, int):
        return code
    text = ctypes.c_char_p()
    cuda.cuGetErrorName(code, ctypes.byref(text))
    return "ok" if code == 0 else (text.value or str(code).encode()).decode().removeprefix("CUDA_ERROR_")


def must(function, *arguments):
    code = call(function, *arguments)
    if code != 0:
        raise SystemExit(f"{function}: {name(code)}")


def made(function, *arguments):
    """A handle that the function's first argument points to."""
    out = V()
    must(function, ctypes.byref(out), *arguments)
    return out


def listed():
    """Bytes of this process in NVML's list; of the only process there where its number is another one's here."""
    processes, count = (Process * 256)(), U(256)
    if nvml is None or nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle, ctypes.byref(count), processes):
        return 0
    rows = {p.pid: p.used for p in processes[: count.value]}
    return rows.get(os.getpid(), next(iter(rows.values())) if len(rows) == 1 else 0)


def taken():
    free, total = S(), S()
    known = call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total)) == 0
    return [listed(), total.value - free.value if known else 0]


def mark():
    base[:] = taken()


def say(what, note=""):
    """A row: what was taken since `mark`."""
    now = taken()
    figures = " / ".join(f"{(n - b) / MIB:.2f}" for n, b in zip(now, base))
    print(f"| {what} | {figures} | {note} |", flush=True)


def init():
    must("cuInit", U(0))
    if nvml is not None and nvml.nvmlInit_v2() == 0:
        bus = ctypes.create_string_buffer(64)
        must("cuDeviceGetPCIBusId", bus, I(64), I(0))
        if nvml.nvmlDeviceGetHandleByPciBusId_v2(bus, ctypes.byref(handle)):
            nvml.nvmlDeviceGetHandleByIndex_v2(U(0), ctypes.byref(handle))


def begin():
    init()
    context = made("cuDevicePrimaryCtxRetain", I(0))
    must("cuCtxSetCurrent", context)
    mark()
    return context


def attribute(which):
    value = I()
    must("cuDeviceGetAttribute", ctypes.byref(value), I(which), I(0))
    return value.value


def threads():
    return attribute(16) * attribute(39)  # multiprocessors, threads of each


def with_local(size, entry="deep"):
    """A kernel that keeps `size` bytes in local memory, as many as its registers do not hold."""
    return (
        HEADER + f".visible .entry {entry}(.param .u64 out, .param .u32 at) {{\n.local .align 16 .b8 depot[{size}];\n"
        ".reg .b64 %p<5>;\n.reg .b32 %r<4>;\n.reg .pred %q;\n"
        "ld.param.u64 %p1, [out];\nld.param.u32 %r1, [at];\nmov.u64 %p2, depot;\n"
        "cvt.u64.u32 %p3, %r1;\nadd.u64 %p4, %p2, %p3;\nst.local.u32 [%p4], %r1;\nld.local.u32 %r2, [%p2+4];\n"
        "setp.eq.u64 %q, %p1, 0;\n@%q ret;\nst.global.u32 [%p1], %r2;\nret;\n}\n"
    )


def with_global(size, initialised=False):
    value = " = {1}" if initialised else ""
    return (
        HEADER
        + f".visible .global .align 16 .b8 big[{size}]{value};\n"
        ".visible .entry touch() {\n.reg .b64 %p<2>;\n.reg .b32 %r<2>;\n"
        "mov.u64 %p1, big;\nmov.u32 %r1, 7;\nst.global.u32 [%p1], %r1;\nret;\n}\n"
    )


EMPTY = HEADER + ".visible .entry empty() { ret; }\n"


def load(text):
    return made("cuModuleLoadData", text.encode())


def function(module, entry):
    return made("cuModuleGetFunction", module, entry.encode())


def arguments_of_deep():
    out, at = P(0), U(0)
    pointers = (V * 2)(ctypes.cast(ctypes.byref(out), V), ctypes.cast(ctypes.byref(at), V))
    pointers.kept = (out, at)
    return pointers


def launch(kernel, stream=None, parameters=None, which="cuLaunchKernel"):
    last = () if "Cooperative" in which else (None,)
    return call(which, kernel, *[U(1)] * 6, U(0), stream, parameters, *last)


def launch_ex(kernel, parameters=None):
    one = (U * 3)(1, 1, 1)
    return call("cuLaunchKernelEx", ctypes.byref(LaunchConfig(grid=one, block=one)), kernel, parameters, None)


def local_size(kernel):
    value = I(-1)
    code = call("cuFuncGetAttribute", ctypes.byref(value), I(LOCAL_SIZE_BYTES), kernel)
    return value.value if code == 0 else name(code)


def leave(mib):
    """Takes all of the GPU but that; the pointers."""
    kept = []
    for piece in (1 << 34, 1 << 32, 1 << 30, 1 << 28, 1 << 26, 1 << 24, 1 << 22, 1 << 21):
        while True:
            free, total, pointer = S(), S(), P()
            must("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
            if free.value < mib * MIB + piece or call("cuMemAlloc_v2", ctypes.byref(pointer), S(piece)) != 0:
                break
            kept.append(pointer)
    return kept


# The parts.


def contexts():
    """Contexts"""
    init()
    mark()
    primary = made("cuDevicePrimaryCtxRetain", I(0))
    must("cuCtxSetCurrent", primary)
    base[1] = taken()[1] - (taken()[0] - base[0])
    say("primary context")
    mark()
    context = V()
    code = call("cuCtxCreate_v2", ctypes.byref(context), U(0), I(0))
    say("a second one", name(code))
    if code == 0:
        must("cuCtxDestroy_v2", context)
        must("cuCtxSetCurrent", primary)
        say("destroyed")
    mark()
    launch(function(load(EMPTY), "empty"))
    must("cuCtxSynchronize")
    say("first module and launch")


def streams():
    """Streams"""
    begin()
    kept, steps = [], []
    before = listed()
    for _ in range(64):
        kept.append(made("cuStreamCreate", U(1)))
        now = listed()
        steps.append(f"{(now - before) / MIB:g}")
        before = now
    print("each of the first 64, by the list, takes MiB: " + " ".join(steps))
    say("64 streams")
    for stream in kept:
        call("cuMemsetD8Async", P(0), 0, S(0), stream)
        must("cuStreamSynchronize", stream)
    say("each synchronised")
    kernel = function(load(EMPTY), "empty")
    for stream in kept:
        launch(kernel, stream)
    must("cuCtxSynchronize")
    say("an empty kernel in each (and its module)")
    largest = 0
    for _ in range(1000 - 64):
        before = listed()
        kept.append(made("cuStreamCreateWithPriority", U(1), I(0)))
        largest = max(largest, listed() - before)
    say("1000 streams", f"largest step {largest / MIB:g}")
    for stream in kept:
        must("cuStreamDestroy_v2", stream)
    say("all destroyed")
    kept = [made("cuStreamCreate", U(0)) for _ in range(1000)]
    say("1000 again, blocking ones")
    must("cuCtxSynchronize")
    for stream in kept:
        must("cuStreamDestroy_v2", stream)
    say("all destroyed")
    mark()
    kept = leave(3)
    say("all but 3 MiB taken, and then")
    got, out = 0, V()
    while got < 200:
        code = call("cuStreamCreate", ctypes.byref(out), U(1))
        if code:
            break
        got += 1
    say(f"streams in what is left: {got}", name(code))


def many(title, count, make, then=None):
    mark()
    kept = []
    for _ in range(count):
        out = V()
        code = make(out)
        if code:
            say(f"{title}: {len(kept)} made, then", name(code))
            return
        kept.append(out)
    say(f"{count} {title}")
    if then:
        then(kept)
        say(f"{count} {title}, used")


def small():
    """Events, textures, surfaces, graphs' executables, profiler, cooperative launches, callbacks"""
    begin()
    kernel = function(load(EMPTY), "empty")
    launch(kernel)
    must("cuCtxSynchronize")
    stream = made("cuStreamCreate", U(1))
    many(
        "events",
        10000,
        lambda out: call("cuEventCreate", ctypes.byref(out), U(0)),
        lambda kept: [call("cuEventRecord", e, stream) for e in kept],
    )
    many(
        "events between processes",
        1000,
        lambda out: call("cuEventCreate", ctypes.byref(out), U(2 | 4)),
        lambda kept: [call("cuEventRecord", e, stream) for e in kept],
    )
    pointer, array = P(), V()
    must("cuMemAlloc_v2", ctypes.byref(pointer), S(MIB))
    must("cuArrayCreate_v2", ctypes.byref(array), ctypes.byref(ArrayDescriptor(64, 64, 0x20, 4)))
    resource = (ctypes.c_uint8 * 144)()
    ctypes.memmove(ctypes.addressof(resource), ctypes.byref(I(2)), 4)  # CUDA_RESOURCE_DESC: linear
    ctypes.memmove(ctypes.addressof(resource) + 8, ctypes.byref(pointer), 8)
    ctypes.memmove(ctypes.addressof(resource) + 16, ctypes.byref(I(0x20)), 4)
    ctypes.memmove(ctypes.addressof(resource) + 20, ctypes.byref(U(1)), 4)
    ctypes.memmove(ctypes.addressof(resource) + 24, ctypes.byref(S(MIB)), 8)
    texture = (ctypes.c_uint8 * 128)()
    many("textures", 10000, lambda out: call("cuTexObjectCreate", ctypes.byref(out), resource, texture, None))
    surface = (ctypes.c_uint8 * 144)()
    ctypes.memmove(ctypes.addressof(surface) + 8, ctypes.byref(array), 8)  # type 0: array
    many("surfaces", 10000, lambda out: call("cuSurfObjectCreate", ctypes.byref(out), surface))
    mark()
    code = call("cuProfilerStart")
    say("cuProfilerStart", name(code))
    say("cuProfilerStop", name(call("cuProfilerStop")))
    code = launch(kernel, None, None, "cuLaunchCooperativeKernel")
    must("cuCtxSynchronize")
    say("cooperative launch", name(code))
    callback = ctypes.CFUNCTYPE(None, V)(lambda _: None)
    code = call("cuLaunchHostFunc", stream, callback, None)
    must("cuStreamSynchronize", stream)
    say("cuLaunchHostFunc", name(code))
    say("cuCtxResetPersistingL2Cache", name(call("cuCtxResetPersistingL2Cache")))
    graph = made("cuGraphCreate", U(0))
    node = KernelNode(function=kernel, grid=(U * 3)(1, 1, 1), block=(U * 3)(1, 1, 1))
    last = None
    for _ in range(1000):
        out = V()
        must(
            "cuGraphAddKernelNode_v2",
            ctypes.byref(out),
            graph,
            ctypes.byref(last) if last else None,
            S(1 if last else 0),
            ctypes.byref(node),
        )
        last = out
    mark()
    say("a graph of 1000 kernel nodes")
    executables = [made("cuGraphInstantiateWithFlags", graph, ctypes.c_ulonglong(0)) for _ in range(20)]
    say("20 executables of it")
    for executable in executables:
        must("cuGraphUpload", executable, stream)
    must("cuStreamSynchronize", stream)
    say("uploaded")
    for executable in executables:
        must("cuGraphLaunch", executable, stream)
    must("cuStreamSynchronize", stream)
    say("launched")
    for executable in executables:
        must("cuGraphExecDestroy", executable)
    say("destroyed")
    wide = made("cuGraphCreate", U(0))
    for _ in range(1000):
        must("cuGraphAddKernelNode_v2", ctypes.byref(V()), wide, None, S(0), ctypes.byref(node))
    mark()
    executable = made("cuGraphInstantiateWithFlags", wide, ctypes.c_ulonglong(0))
    say("an executable of 1000 nodes side by side")
    must("cuGraphLaunch", executable, stream)
    must("cuStreamSynchronize", stream)
    say("launched")
    mark()
    code = call("cuMemHostAlloc", ctypes.byref(V()), S(256 * MIB), U(2))
    say("cuMemHostAlloc of 256 MiB", name(code))
    code = call("cuMemAddressReserve", ctypes.byref(P()), S(1 << 36), S(0), P(0), ctypes.c_ulonglong(0))
    say("cuMemAddressReserve of 64 GiB", name(code))


def limits():
    """cuCtxSetLimit"""
    begin()
    kernel = function(load(EMPTY), "empty")
    launch(kernel)
    must("cuCtxSynchronize")
    print(f"threads that can be resident: {threads()}")
    names = {
        0: "stack",
        1: "printf",
        2: "heap",
        3: "sync depth",
        4: "pending launches",
        5: "L2 fetch granularity",
        6: "persisting L2",
    }
    values = {
        0: (2048, 8192, 1024),
        1: (16 * MIB, 64 * MIB),
        2: (64 * MIB, 512 * MIB, 8 * MIB),
        3: (8,),
        4: (16384,),
        5: (128,),
        6: (16 * MIB,),
    }
    for which, wanted in values.items():
        was = S()
        call("cuCtxGetLimit", ctypes.byref(was), I(which))
        mark()
        for value in wanted:
            code = call("cuCtxSetLimit", I(which), S(value))
            say(f"{names[which]} {was.value} to {value}", name(code))
            launch(kernel)
            must("cuCtxSynchronize")
            say("an empty kernel launched")


def locals_():
    """Local memory"""
    context = begin()
    n = threads()
    print(f"threads that can be resident: {n}; growth is given in bytes of each as well")
    empty = function(load(EMPTY), "empty")
    launch(empty)
    must("cuCtxSynchronize")
    mark()

    def step(what, note=""):
        grown = listed() - base[0]
        say(what, f"{note} {grown / n:.1f} bytes a thread".strip())

    for size in (256, 512, 1024, 1536, 2048, 4096, 16384, 65536, 4096, 16384):
        kernel = function(load(with_local(size)), "deep")
        step(f"function with {size} got", f"attribute {local_size(kernel)},")
        code = launch(kernel, None, arguments_of_deep())
        step(f"launched with {size}", name(code) + ",")
        must("cuCtxSynchronize")
    step("synchronised")
    code = call("cuCtxSetLimit", I(0), S(2048))
    step("stack limit 2048 after it", name(code) + ",")
    launch(empty)
    must("cuCtxSynchronize")
    code = launch(kernel, None, arguments_of_deep())
    must("cuCtxSynchronize")
    step("launched with 16384 again", name(code) + ",")
    call("cuCtxSetLimit", I(0), S(32768))
    step("stack limit 32768 after it")
    code = launch(kernel, None, arguments_of_deep())
    must("cuCtxSynchronize")
    step("launched with 16384 again", name(code) + ",")


def locals_by_other_ways():
    """Local memory: by a library's kernel, cuLaunchKernelEx, a cooperative launch, a graph, beside a limit"""
    ways = ["library", "ex", "cooperative", "graph", "captured", "second", "refused", "after stack 4096"]
    for way in ways:
        subprocess.run([sys.executable, __file__, "--local", way], timeout=60, check=False)


def local_by(way):
    begin()
    launch(function(load(EMPTY), "empty"))
    must("cuCtxSynchronize")
    text, parameters = with_local(16384), arguments_of_deep()
    mark()
    if way == "library":
        library = made("cuLibraryLoadData", text.encode(), None, None, U(0), None, None, U(0))
        say("cuLibraryLoadData")
        kernel = made("cuLibraryGetKernel", library, b"deep")
        say("cuLibraryGetKernel")
        value, start = I(-1), time.perf_counter()
        code = call("cuKernelGetAttribute", ctypes.byref(value), I(LOCAL_SIZE_BYTES), kernel, I(0))
        say(
            "cuKernelGetAttribute(LOCAL_SIZE_BYTES)",
            f"{name(code)} {value.value}, {1e6 * (time.perf_counter() - start):.0f} us",
        )
        value, start = I(-1), time.perf_counter()
        call("cuKernelGetAttribute", ctypes.byref(value), I(LOCAL_SIZE_BYTES), kernel, I(0))
        say("the same again", f"{1e6 * (time.perf_counter() - start):.1f} us")
        value = I(-1)
        code = call("cuFuncGetAttribute", ctypes.byref(value), I(LOCAL_SIZE_BYTES), kernel)
        say("cuFuncGetAttribute of a CUkernel", f"{name(code)} {value.value}")
        code = launch(kernel, None, parameters)
        must("cuCtxSynchronize")
        say("cuLaunchKernel of a CUkernel", name(code))
        return
    kernel = function(load(text), "deep")
    start = time.perf_counter()
    size = local_size(kernel)
    print(f"cuFuncGetAttribute, first time: {size}, {1e6 * (time.perf_counter() - start):.1f} us")
    start = time.perf_counter()
    for _ in range(1000):
        local_size(kernel)
    print(f"and then {1e3 * (time.perf_counter() - start):.2f} us each (with Python's part)")
    if way == "ex":
        code = launch_ex(kernel, parameters)
        say("cuLaunchKernelEx", name(code))
    elif way == "cooperative":
        code = launch(kernel, None, parameters, "cuLaunchCooperativeKernel")
        say("cuLaunchCooperativeKernel", name(code))
    elif way in ("graph", "captured"):
        if way == "graph":
            graph = made("cuGraphCreate", U(0))
            one = (U * 3)(1, 1, 1)
            node = KernelNode(function=kernel, grid=one, block=one, parameters=ctypes.cast(parameters, V))
            must("cuGraphAddKernelNode_v2", ctypes.byref(V()), graph, None, S(0), ctypes.byref(node))
        else:
            stream, graph = made("cuStreamCreate", U(1)), V()
            must("cuStreamBeginCapture_v2", stream, I(0))
            say("launched in a capture", name(launch(kernel, stream, parameters)))
            must("cuStreamEndCapture", stream, ctypes.byref(graph))
        say(f"graph, {way}")
        executable = made("cuGraphInstantiateWithFlags", graph, ctypes.c_ulonglong(0))
        say("instantiated")
        must("cuGraphUpload", executable, None)
        must("cuCtxSynchronize")
        say("uploaded")
        code = call("cuGraphLaunch", executable, None)
        must("cuCtxSynchronize")
        say("launched", name(code))
    elif way == "second":
        launch(kernel, None, parameters)
        must("cuCtxSynchronize")
        say("launched in the primary context")
        mark()
        must("cuCtxCreate_v2", ctypes.byref(V()), U(0), I(0))
        say("a second context")
        kernel = function(load(text), "deep")
        mark()
        code = launch(kernel, None, parameters)
        must("cuCtxSynchronize")
        say("launched in the second", name(code))
    elif way == "refused":
        kept = leave(1024)
        mark()
        for what in (launch, launch_ex):
            code = what(kernel, None, parameters) if what is launch else what(kernel, parameters)
            say(f"{what.__name__}, 1 GiB left", name(code))
        say("and synchronised", name(call("cuCtxSynchronize")))
        graph = made("cuGraphCreate", U(0))
        one = (U * 3)(1, 1, 1)
        node = KernelNode(function=kernel, grid=one, block=one, parameters=ctypes.cast(parameters, V))
        must("cuGraphAddKernelNode_v2", ctypes.byref(V()), graph, None, S(0), ctypes.byref(node))
        executable = V()
        code = call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        say("a graph with it instantiated", name(code))
        if code == 0:
            say("uploaded", name(call("cuGraphUpload", executable, None)))
            say("launched", name(call("cuGraphLaunch", executable, None)))
        say("cuCtxSetLimit(stack, 16384)", name(call("cuCtxSetLimit", I(0), S(16384))))
        for pointer in kept:
            call("cuMemFree_v2", pointer)
        mark()
        code = launch(kernel, None, parameters)
        say("launched when there is room", name(code))
        say("and synchronised", name(call("cuCtxSynchronize")))
    else:
        must("cuCtxSetLimit", I(0), S(4096))
        say("stack limit 4096")
        code = launch(kernel, None, parameters)
        must("cuCtxSynchronize")
        say("launched with 16384", name(code))


def module_by(way):
    """A large global: loaded, used, unloaded; and where 256 MiB are left, refused."""
    begin()
    size = 1024 * MIB
    for room in (None, 256):
        kept = leave(room) if room else []
        mark()
        print("room for it:" if room is None else f"{room} MiB left:")
        text = (
            with_global(1 << 16, True).replace(f"big[{1 << 16}]", f"big[{size}]")
            if way == "initialised"
            else with_global(size)
        )
        image = text.encode()
        if way == "cubin":
            state, cubin, length = V(), V(), S()
            must("cuLinkCreate_v2", U(0), None, None, ctypes.byref(state))
            must("cuLinkAddData_v2", state, I(1), image, S(len(image) + 1), b"big", U(0), None, None)
            must("cuLinkComplete", state, ctypes.byref(cubin), ctypes.byref(length))
            image = ctypes.string_at(cubin, length.value)
            say("linked", f"{length.value} bytes, begins {image[:4]!r}")
        steps(way, image)
        for pointer in kept:
            call("cuMemFree_v2", pointer)


def steps(way, image):
    out, pointer, length, kernel = V(), P(), S(), V()
    if way == "library":
        code = call("cuLibraryLoadData", ctypes.byref(out), image, None, None, U(0), None, None, U(0))
        say("cuLibraryLoadData", name(code))
        if code:
            return
        code = call("cuLibraryGetKernel", ctypes.byref(kernel), out, b"touch")
        say("cuLibraryGetKernel", name(code))
        value = I()
        say(
            "cuKernelGetAttribute",
            name(call("cuKernelGetAttribute", ctypes.byref(value), I(LOCAL_SIZE_BYTES), kernel, I(0))),
        )
        one = V()
        code = call("cuKernelGetFunction", ctypes.byref(one), kernel)
        say("cuKernelGetFunction", name(code))
        code = call("cuLibraryGetGlobal", ctypes.byref(pointer), ctypes.byref(length), out, b"big")
        say("cuLibraryGetGlobal", f"{name(code)} {length.value}")
        module = V()
        say("cuLibraryGetModule", name(call("cuLibraryGetModule", ctypes.byref(module), out)))
        code = launch(kernel)
        say("cuLaunchKernel of the CUkernel", name(code))
        say("synchronised", name(call("cuCtxSynchronize")))
        say("cuLibraryUnload", name(call("cuLibraryUnload", out)))
        return
    if way == "library, launched at once":
        code = call("cuLibraryLoadData", ctypes.byref(out), image, None, None, U(0), None, None, U(0))
        say("cuLibraryLoadData", name(code))
        if code == 0:
            code = call("cuLibraryGetKernel", ctypes.byref(kernel), out, b"touch")
            say("cuLibraryGetKernel", name(code))
            code = launch(kernel) if code == 0 else code
            say("cuLaunchKernel of the CUkernel", name(code))
            say("synchronised", name(call("cuCtxSynchronize")))
            say("cuLibraryUnload", name(call("cuLibraryUnload", out)))
        return
    code = call("cuModuleLoadData", ctypes.byref(out), image)
    say("cuModuleLoadData", name(code))
    if code:
        return
    code = call("cuModuleGetFunction", ctypes.byref(kernel), out, b"touch")
    say("cuModuleGetFunction", name(code))
    code = call("cuModuleGetGlobal_v2", ctypes.byref(pointer), ctypes.byref(length), out, b"big")
    say("cuModuleGetGlobal", f"{name(code)} {length.value}")
    if kernel:
        say("launched", name(launch(kernel)))
    say("synchronised", name(call("cuCtxSynchronize")))
    say("cuModuleUnload", name(call("cuModuleUnload", out)))


def modules():
    """Modules with a global of 1 GiB"""
    for loading in "LAZY", "EAGER":
        for way in "module", "cubin", "library", "library, launched at once":
            print(f"{way}, CUDA_MODULE_LOADING={loading}")
            subprocess.run(
                [sys.executable, __file__, "--module", way],
                env={**os.environ, "CUDA_MODULE_LOADING": loading},
                timeout=60,
                check=False,
            )


def capture_once(mode, other, relaxed, action):
    """The call's own result, and whether the capture that was under way beside it survived."""
    stream, graph = made("cuStreamCreate", U(1)), V()
    must("cuStreamBeginCapture_v2", stream, I(mode))
    result = []

    def act():
        exchanged = I(RELAXED)
        if other:
            call("cuCtxSetCurrent", act.context)
        if relaxed:
            call("cuThreadExchangeStreamCaptureMode", ctypes.byref(exchanged))
        result.append(action(stream))
        if relaxed:
            call("cuThreadExchangeStreamCaptureMode", ctypes.byref(exchanged))

    act.context = V()
    call("cuCtxGetCurrent", ctypes.byref(act.context))
    if other:
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()
    else:
        act()
    end = call("cuStreamEndCapture", stream, ctypes.byref(graph))
    if end == 0 and graph:
        call("cuGraphDestroy", graph)
    call("cuStreamDestroy_v2", stream)
    return f"{name(result[0])}{'' if end == 0 else ', INVALIDATED' if end == 901 else ', end: ' + name(end)}"


def captures():
    """What calls do to a capture: the call's result in a capture of mode global by this thread, of another thread,
    thread-local, relaxed; in mode global with the thread's own mode relaxed for the call"""
    context = begin()
    pool, props = V(), PoolProps(type=1, location=Location(1, 0))
    must("cuDeviceGetDefaultMemPool", ctypes.byref(pool), I(0))
    other = made("cuStreamCreate", U(1))
    event = made("cuEventCreate", U(0))
    kernel_module = load(EMPTY)
    kernel = function(kernel_module, "empty")
    launch(kernel)
    library, library_kernel = V(), V()
    if call("cuLibraryLoadData", ctypes.byref(library), EMPTY.encode(), None, None, U(0), None, None, U(0)) == 0:
        call("cuLibraryGetKernel", ctypes.byref(library_kernel), library, b"empty")
    vmm = AllocationProp(type=1, location=Location(1, 0))
    plain = made("cuGraphCreate", U(0))
    node = V()
    must("cuGraphAddEmptyNode", ctypes.byref(node), plain, None, S(0))
    executable = made("cuGraphInstantiateWithFlags", plain, ctypes.c_ulonglong(0))
    must("cuCtxSynchronize")
    kept = [P() for _ in range(40)]
    for pointer in kept:
        must("cuMemAlloc_v2", ctypes.byref(pointer), S(MIB))
    pooled = [P() for _ in range(40)]
    for pointer in pooled:
        must("cuMemAllocAsync", ctypes.byref(pointer), S(MIB), other)
    must("cuStreamSynchronize", other)
    spare = [made("cuStreamCreate", U(1)) for _ in range(20)]
    modules = [load(EMPTY) for _ in range(20)]
    handles = [made("cuMemCreate", S(2 * MIB), ctypes.byref(vmm), ctypes.c_ulonglong(0)) for _ in range(20)]
    pools = [made("cuMemPoolCreate", ctypes.byref(props)) for _ in range(20)]
    executables = [made("cuGraphInstantiateWithFlags", plain, ctypes.c_ulonglong(0)) for _ in range(20)]
    contexts = []
    number, big, text = I(), P(), ctypes.create_string_buffer(256)
    out = V()
    actions = {
        "cuMemGetInfo": lambda s: call("cuMemGetInfo_v2", ctypes.byref(S()), ctypes.byref(S())),
        "cuMemAlloc": lambda s: call("cuMemAlloc_v2", ctypes.byref(P()), S(MIB)),
        "cuMemFree": lambda s: call("cuMemFree_v2", kept.pop()),
        "cuMemFree(of the pool)": lambda s: call("cuMemFree_v2", pooled.pop()),
        "cuMemAllocManaged": lambda s: call("cuMemAllocManaged", ctypes.byref(P()), S(MIB), U(1)),
        "cuMemHostAlloc": lambda s: call("cuMemHostAlloc", ctypes.byref(V()), S(4096), U(0)),
        "cuMemCreate": lambda s: call(
            "cuMemCreate", ctypes.byref(P()), S(2 * MIB), ctypes.byref(vmm), ctypes.c_ulonglong(0)
        ),
        "cuMemCreate(too large)": lambda s: call(
            "cuMemCreate", ctypes.byref(P()), S(1 << 40), ctypes.byref(vmm), ctypes.c_ulonglong(0)
        ),
        "cuMemRelease": lambda s: call("cuMemRelease", handles.pop()),
        "cuMemAddressReserve": lambda s: call(
            "cuMemAddressReserve", ctypes.byref(P()), S(2 * MIB), S(0), P(0), ctypes.c_ulonglong(0)
        ),
        "cuMemAllocAsync(captured)": lambda s: call("cuMemAllocAsync", ctypes.byref(P()), S(MIB), s),
        "cuMemAllocAsync(other stream)": lambda s: call("cuMemAllocAsync", ctypes.byref(P()), S(MIB), other),
        "cuMemAllocAsync(NULL stream)": lambda s: call("cuMemAllocAsync", ctypes.byref(P()), S(MIB), None),
        "cuMemFreeAsync(captured)": lambda s: call("cuMemFreeAsync", pooled.pop(), s),
        "cuMemFreeAsync(other stream)": lambda s: call("cuMemFreeAsync", pooled.pop(), other),
        "cuMemPoolGetAttribute": lambda s: call("cuMemPoolGetAttribute", pool, I(5), ctypes.byref(P())),
        "cuMemPoolSetAttribute": lambda s: call("cuMemPoolSetAttribute", pool, I(4), ctypes.byref(P(0))),
        "cuMemPoolTrimTo": lambda s: call("cuMemPoolTrimTo", pool, S(1 << 30)),
        "cuMemPoolCreate": lambda s: call("cuMemPoolCreate", ctypes.byref(V()), ctypes.byref(props)),
        "cuMemPoolDestroy": lambda s: call("cuMemPoolDestroy", pools.pop()),
        "cuDeviceGetMemPool": lambda s: call("cuDeviceGetMemPool", ctypes.byref(out), I(0)),
        "cuDeviceGetDefaultMemPool": lambda s: call("cuDeviceGetDefaultMemPool", ctypes.byref(out), I(0)),
        "cuDeviceSetMemPool": lambda s: call("cuDeviceSetMemPool", I(0), pool),
        "cuDeviceGetGraphMemAttribute": lambda s: call("cuDeviceGetGraphMemAttribute", I(0), I(2), ctypes.byref(P())),
        "cuDeviceGraphMemTrim": lambda s: call("cuDeviceGraphMemTrim", I(0)),
        "cuDeviceGetCount": lambda s: call("cuDeviceGetCount", ctypes.byref(number)),
        "cuDeviceGetAttribute": lambda s: call("cuDeviceGetAttribute", ctypes.byref(number), I(16), I(0)),
        "cuDeviceGetUuid": lambda s: call("cuDeviceGetUuid_v2", text, I(0)),
        "cuDeviceTotalMem": lambda s: call("cuDeviceTotalMem_v2", ctypes.byref(S()), I(0)),
        "cuDevicePrimaryCtxGetState": lambda s: call(
            "cuDevicePrimaryCtxGetState", I(0), ctypes.byref(U()), ctypes.byref(number)
        ),
        "cuDevicePrimaryCtxRetain": lambda s: call("cuDevicePrimaryCtxRetain", ctypes.byref(out), I(0)),
        "cuDevicePrimaryCtxRelease": lambda s: call("cuDevicePrimaryCtxRelease_v2", I(0)),
        "cuCtxGetCurrent": lambda s: call("cuCtxGetCurrent", ctypes.byref(out)),
        "cuCtxGetDevice": lambda s: call("cuCtxGetDevice", ctypes.byref(number)),
        "cuCtxPushCurrent+Pop": lambda s: call("cuCtxPushCurrent_v2", context)
        or call("cuCtxPopCurrent_v2", ctypes.byref(out)),
        "cuCtxGetLimit": lambda s: call("cuCtxGetLimit", ctypes.byref(S()), I(0)),
        "cuCtxSetLimit": lambda s: call("cuCtxSetLimit", I(0), S(1024)),
        "cuCtxSynchronize": lambda s: call("cuCtxSynchronize"),
        "cuStreamSynchronize(other)": lambda s: call("cuStreamSynchronize", other),
        "cuStreamQuery(other)": lambda s: call("cuStreamQuery", other),
        "cuEventSynchronize": lambda s: call("cuEventSynchronize", event),
        "cuEventQuery": lambda s: call("cuEventQuery", event),
        "cuEventCreate": lambda s: call("cuEventCreate", ctypes.byref(V()), U(0)),
        "cuStreamCreate": lambda s: call("cuStreamCreate", ctypes.byref(V()), U(1)),
        "cuStreamDestroy(other)": lambda s: call("cuStreamDestroy_v2", spare.pop()),
        "cuStreamGetCtx": lambda s: call("cuStreamGetCtx", other, ctypes.byref(out)),
        "cuStreamIsCapturing": lambda s: call("cuStreamIsCapturing", s, ctypes.byref(number)),
        "cuStreamIsCapturing(NULL)": lambda s: call("cuStreamIsCapturing", None, ctypes.byref(number)),
        "cuModuleLoadData": lambda s: call("cuModuleLoadData", ctypes.byref(V()), EMPTY.encode()),
        "cuModuleUnload": lambda s: call("cuModuleUnload", modules.pop()),
        "cuModuleGetFunction": lambda s: call("cuModuleGetFunction", ctypes.byref(out), kernel_module, b"empty"),
        "cuLibraryLoadData": lambda s: call(
            "cuLibraryLoadData", ctypes.byref(V()), EMPTY.encode(), None, None, U(0), None, None, U(0)
        ),
        "cuKernelGetFunction": lambda s: call("cuKernelGetFunction", ctypes.byref(out), library_kernel),
        "cuFuncGetAttribute": lambda s: call("cuFuncGetAttribute", ctypes.byref(number), I(LOCAL_SIZE_BYTES), kernel),
        "cuKernelGetAttribute": lambda s: call(
            "cuKernelGetAttribute", ctypes.byref(number), I(LOCAL_SIZE_BYTES), library_kernel, I(0)
        ),
        "cuGraphGetNodes": lambda s: call("cuGraphGetNodes", plain, None, ctypes.byref(S())),
        "cuGraphNodeGetType": lambda s: call("cuGraphNodeGetType", node, ctypes.byref(number)),
        "cuGraphInstantiate": lambda s: call(
            "cuGraphInstantiateWithFlags", ctypes.byref(V()), plain, ctypes.c_ulonglong(0)
        ),
        "cuGraphUpload(other)": lambda s: call("cuGraphUpload", executable, other),
        "cuGraphLaunch(other)": lambda s: call("cuGraphLaunch", executable, other),
        "cuGraphExecDestroy": lambda s: call("cuGraphExecDestroy", executables.pop()),
        "cuArrayCreate": lambda s: call(
            "cuArrayCreate_v2", ctypes.byref(V()), ctypes.byref(ArrayDescriptor(64, 64, 0x20, 4))
        ),
        "cuLaunchKernel(other)": lambda s: launch(kernel, other),
        "cuMemcpyDtoH": lambda s: call("cuMemcpyDtoH_v2", text, kept[0], S(16)),
    }
    print(
        "| call | global | of another thread | thread-local | thread-local, of another thread | relaxed "
        "| global, own mode relaxed |"
    )
    columns = [
        (GLOBAL, False, False),
        (GLOBAL, True, False),
        (THREAD_LOCAL, False, False),
        (THREAD_LOCAL, True, False),
        (RELAXED, False, False),
        (GLOBAL, False, True),
    ]
    for title, action in actions.items():
        cells = []
        for mode, other_thread, relaxed in columns:
            try:
                cells.append(capture_once(mode, other_thread, relaxed, action))
            except (IndexError, SystemExit) as error:
                cells.append(f"({error})")
        print(f"| {title} | " + " | ".join(cells) + " |", flush=True)
    del contexts, big


def captured_pieces(count, mib, together):
    """A graph of so many allocations, each freed before the next or all at the end, and the addresses that they got."""
    stream, graph, pointers = made("cuStreamCreate", U(1)), V(), []
    must("cuStreamBeginCapture_v2", stream, I(RELAXED))
    for _ in range(count):
        pointer = P()
        must("cuMemAllocAsync", ctypes.byref(pointer), S(mib * MIB), stream)
        pointers.append(pointer.value)
        if not together:
            must("cuMemFreeAsync", pointer, stream)
    for pointer in pointers if together else []:
        must("cuMemFreeAsync", P(pointer), stream)
    must("cuStreamEndCapture", stream, ctypes.byref(graph))
    return graph, pointers


def graph_memory():
    """Graphs that allocate: 700 pieces of 2 MiB, one after another or together; 40 of 3 MiB; inside a child graph"""
    begin()

    def run(title, graph, pointers):
        executable = V()
        code = call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        say(
            f"{title}: {len(set(pointers))} addresses, {(max(pointers) - min(pointers)) // MIB} MiB apart; "
            "instantiated",
            name(code),
        )
        if code == 0:
            code = call("cuGraphLaunch", executable, None)
            must("cuCtxSynchronize")
            say("launched", name(code))
            must("cuGraphExecDestroy", executable)
        values = [P(), P()]
        for which, value in zip((0, 2), values):
            must("cuDeviceGetGraphMemAttribute", I(0), I(which), ctypes.byref(value))
        say("executable destroyed", f"used {values[0].value // MIB}, reserved {values[1].value // MIB}")
        must("cuDeviceGraphMemTrim", I(0))
        say("trimmed")

    run("one after another", *captured_pieces(700, 2, False))
    run("together", *captured_pieces(700, 2, True))
    run("40 of 3 MiB together", *captured_pieces(40, 3, True))
    child, pointers = captured_pieces(40, 3, True)
    parent, node = made("cuGraphCreate", U(0)), V()
    code = call("cuGraphAddChildGraphNode", ctypes.byref(node), parent, None, S(0), child)
    say("as a child graph", name(code))
    if code == 0:
        run("a parent of it", parent, pointers)
    parameters = (ctypes.c_uint8 * 256)()
    ctypes.memmove(parameters, ctypes.byref(I(4)), 4)  # CUgraphNodeParams: a child graph, moved into the parent
    ctypes.memmove(ctypes.addressof(parameters) + 16, ctypes.byref(child), 8)
    ctypes.memmove(ctypes.addressof(parameters) + 24, ctypes.byref(I(1)), 4)
    code = call("cuGraphAddNode_v2", ctypes.byref(node), parent, None, None, S(0), parameters)
    say("as a child graph, moved", name(code))
    if code == 0:
        run("a parent of it", parent, pointers)


PARTS = {
    "contexts": contexts,
    "streams": streams,
    "small": small,
    "limits": limits,
    "local": locals_,
    "local_ways": locals_by_other_ways,
    "modules": modules,
    "graph_memory": graph_memory,
    "captures": captures,
}


def run_part(part):
    title = PARTS[part].__doc__.replace("\n    ", " ")
    print(f"\n## {part}: {title}\n", flush=True)
    try:
        code = subprocess.run(
            [sys.executable, __file__, "--part", part], timeout=170 if part == "modules" else 60, check=False
        ).returncode
        if code:
            print(f"(ended with {code})", flush=True)
    except subprocess.TimeoutExpired:
        print("(took more than 60 seconds)", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--part"]:
        PARTS[sys.argv[2]]()
    elif sys.argv[1:2] == ["--local"]:
        print(f"{sys.argv[2]}:", flush=True)
        local_by(sys.argv[2])
    elif sys.argv[1:2] == ["--module"]:
        module_by(sys.argv[2])
    else:
        for chosen in sys.argv[1:] or PARTS:
            run_part(chosen)
