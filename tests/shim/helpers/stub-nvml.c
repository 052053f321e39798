/* The same of NVML. */
#define HOOK(library, name, ...) STUB_##library(name)
#define CALL(library, name, ...) STUB_##library(name)
#define STUB_nvml(name)                                                                                                \
    int name(void);                                                                                                    \
    __attribute__((visibility("default"))) int name(void) {                                                            \
        return 9; /* NVML_ERROR_DRIVER_NOT_LOADED */                                                                   \
    }
#define STUB_cuda(name)
#include "../../../shim/hooks.def"
