/* Modules, libraries and lazily loaded kernels: code, constants and globals on the device, which only the driver can
   count. After each call that may load or unload one they are measured before figures are shown, and before the next
   allocation if that is close to the limit. Left alone on purpose: launches (a first launch may load a kernel or grow
   local memory; the next measurement sees it), cuLibraryLoad* (which take nothing until a kernel is used), and the
   linker, which works on the host. */
#include "device.h"
#include "hooks.h"
#include "measure.h"

static CUresult changed(CUresult result) {
    struct device *device = result == CUDA_SUCCESS && !inside_driver ? device_current() : NULL;
    if (device)
        measure_soon(device);
    return result;
}

CUresult cuModuleLoad(CUmodule *module, const char *file) {
    return changed(INSIDE(CUDA->cuModuleLoad(module, file)));
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    return changed(INSIDE(CUDA->cuModuleLoadData(module, image)));
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, int *options, void **values) {
    return changed(INSIDE(CUDA->cuModuleLoadDataEx(module, image, count, options, values)));
}

CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image) {
    return changed(INSIDE(CUDA->cuModuleLoadFatBinary(module, image)));
}

CUresult cuModuleUnload(CUmodule module) {
    return changed(INSIDE(CUDA->cuModuleUnload(module)));
}

CUresult cuModuleGetFunction(void **function, CUmodule module, const char *name) {
    return changed(INSIDE(CUDA->cuModuleGetFunction(function, module, name)));
}

CUresult cuModuleGetGlobal(CUdeviceptr_v1 *pointer, unsigned *size, CUmodule module, const char *name) {
    return changed(INSIDE(CUDA->cuModuleGetGlobal(pointer, size, module, name)));
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr *pointer, size_t *size, CUmodule module, const char *name) {
    return changed(INSIDE(CUDA->cuModuleGetGlobal_v2(pointer, size, module, name)));
}

CUresult cuLibraryGetGlobal(CUdeviceptr *pointer, size_t *size, void *library, const char *name) {
    return changed(INSIDE(CUDA->cuLibraryGetGlobal(pointer, size, library, name)));
}

CUresult cuLibraryGetManaged(CUdeviceptr *pointer, size_t *size, void *library, const char *name) {
    return changed(INSIDE(CUDA->cuLibraryGetManaged(pointer, size, library, name)));
}

CUresult cuLibraryUnload(void *library) {
    return changed(INSIDE(CUDA->cuLibraryUnload(library)));
}

CUresult cuLibraryGetModule(CUmodule *module, void *library) {
    return changed(INSIDE(CUDA->cuLibraryGetModule(module, library)));
}

CUresult cuKernelGetFunction(void **function, void *kernel) {
    return changed(INSIDE(CUDA->cuKernelGetFunction(function, kernel)));
}

CUresult cuFuncLoad(void *function) {
    return changed(INSIDE(CUDA->cuFuncLoad(function)));
}
