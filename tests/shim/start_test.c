/* What the shim does at the start of a program that uses the GPU, where that costs. */
#include "gpu.h"

#include <pthread.h>
#include <stdio.h>

static void *stay(void *running) {
    while (*(volatile bool *)running)
        pause_ms(1);
    return NULL;
}

/* Places in this process's table of descriptors. */
static unsigned descriptors(void) {
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    unsigned size = 0;
    EXPECT(status != NULL);
    while (fgets(line, sizeof line, status))
        sscanf(line, "FDSize: %u", &size);
    fclose(status);
    EXPECT(size > 0);
    return size;
}

/* The kernel lets a process with threads wait some 10 ms for a larger one. */
SCENARIO(Joining_leaves_the_table_of_descriptors_as_large_as_it_was, .limit = "1g") {
    static bool running = true;
    pthread_t thread;
    EXPECT_EQUAL(pthread_create(&thread, NULL, stay, &running), 0);
    unsigned before = descriptors();
    gpu_begin(0);
    EXPECT_EQUAL(descriptors(), before);
    gpu_allocate(100 * MIB);
    nvml_memory(0);
    EXPECT_EQUAL(descriptors(), before);
    *(volatile bool *)&running = false;
    pthread_join(thread, NULL);
}
