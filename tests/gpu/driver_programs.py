# SPDX-License-Identifier: Apache-2.0
"""Python programs that call the driver themselves, under a quota: out of memory, and work after it.
Prints one `key=value` a line. `driver_programs.py numba|bindings` (Numba's arrays, NVIDIA's cuda-bindings)."""

import sys

PIECE = 64 << 20  # elements of float32: 256 MiB


def with_numba():
    import numba.cuda
    import numpy

    def ones():
        array = numba.cuda.device_array(PIECE, dtype=numpy.float32)
        array.copy_to_device(host)
        return array

    host = numpy.ones(PIECE, dtype=numpy.float32)
    kept = []
    try:
        while True:
            kept.append(ones())
    except Exception as error:  # of another class in each version
        print("error=" + ("OUT_OF_MEMORY" if "OUT_OF_MEMORY" in str(error) else repr(error)))
    print(f"allocated={256 * len(kept)}")
    kept.pop()
    print(f"sum_after={int(ones().copy_to_host().sum(dtype=numpy.float64))}")


def with_bindings():
    from cuda.bindings import driver

    def must(result):
        if result[0] != driver.CUresult.CUDA_SUCCESS:
            raise RuntimeError(result[0].name)
        return result[1] if len(result) > 1 else None

    def piece():
        pointer = must(driver.cuMemAlloc(4 * PIECE))
        must(driver.cuMemsetD32(pointer, 1, PIECE))
        return pointer

    must(driver.cuInit(0))
    must(driver.cuCtxSetCurrent(must(driver.cuDevicePrimaryCtxRetain(must(driver.cuDeviceGet(0))))))
    kept = []
    try:
        while True:
            kept.append(piece())
    except RuntimeError as error:
        print("error=" + str(error).removeprefix("CUDA_ERROR_"))
    print(f"allocated={256 * len(kept)}")
    must(driver.cuMemFree(kept.pop()))
    back = bytearray(4 * PIECE)
    must(driver.cuMemcpyDtoH(back, piece(), len(back)))
    print(f"sum_after={back.count(1)}")


{"numba": with_numba, "bindings": with_bindings}[sys.argv[1]]()
