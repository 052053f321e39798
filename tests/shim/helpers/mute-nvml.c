/* An NVML that is there but does not start, and says how often it was asked to. */
int nvmlInit_v2(void);
int mute_nvml_asked(void);

static int asked;

__attribute__((visibility("default"))) int nvmlInit_v2(void) {
    __atomic_add_fetch(&asked, 1, __ATOMIC_SEQ_CST);
    return 999; /* NVML_ERROR_UNKNOWN */
}

__attribute__((visibility("default"))) int mute_nvml_asked(void) {
    return __atomic_load_n(&asked, __ATOMIC_SEQ_CST);
}
