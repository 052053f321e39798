/* SPDX-License-Identifier: Apache-2.0 */
/* nvidia-container-runtime-hook for simulated devices. dockerd adds it to containers with --gpus as an OCI prestart
   hook: it runs in the host's namespaces before the container changes its root, with the container's state (bundle,
   pid) on stdin. It mounts what NVIDIA's toolkit would: the visible devices, the driver's libraries, nvidia-smi, and
   gpu-alloc. It is linked statically and changes nothing in the container's files but for empty ones to mount over.

   Where things are: `simgpu.conf` beside the hook with lines lib=FOLDER and dir=FOLDER, or SIMGPU_LIB and SIMGPU_DIR;
   otherwise the libraries are beside the hook and the devices in /run/simgpu. */
#include "../state/device.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif

#define MOUNTS (SIM_GPUS + 16)

/* A file of the host, to be mounted at `target` below the container's root. */
struct mount {
    int tree;
    char target[4096];
};
static struct mount mounts[MOUNTS];
static unsigned mount_count;

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "nvidia-container-runtime-hook (simulated): ");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* A member of an object as text. */
static const char *text(json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    if (!value)
        fail("no %s", key);
    return value;
}

static void set(char out[4096], const char *value) {
    if (!value || !*value)
        return;
    if (strlen(value) >= 4096)
        fail("too long: %s", value);
    strcpy(out, value);
}

static void configure(char lib[4096], char dir[4096]) {
    ssize_t n = readlink("/proc/self/exe", lib, 4095);
    if (n <= 0)
        fail("/proc/self/exe: %s", strerror(errno));
    lib[n] = 0;
    *strrchr(lib, '/') = 0;
    strcpy(dir, SIM_DEFAULT_DIR);
    char path[4096 + 16], line[4096 + 16];
    snprintf(path, sizeof path, "%s/simgpu.conf", lib);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "lib=", 4) == 0)
            set(lib, line + 4);
        if (strncmp(line, "dir=", 4) == 0)
            set(dir, line + 4);
    }
    if (file)
        fclose(file);
    set(lib, getenv("SIMGPU_LIB"));
    set(dir, getenv("SIMGPU_DIR"));
}

static bool plan(const char *source, const char *target) {
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | O_CLOEXEC);
    if (tree < 0)
        return false;
    if (mount_count == MOUNTS)
        fail("too many mounts");
    mounts[mount_count].tree = tree;
    snprintf(mounts[mount_count].target, sizeof mounts->target, "%s", target);
    mount_count++;
    return true;
}

/* The devices of a comma-separated list of indexes, UUIDs or `all`; an unknown one is refused. */
static void plan_devices(const char *dir, const char *list) {
    struct sim_gpu gpus[SIM_GPUS];
    unsigned found = sim_open_all(dir, gpus, SIM_GPUS);
    bool wanted[SIM_GPUS] = {false};
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", list);
    for (char *word = strtok(copy, ","); word; word = strtok(NULL, ",")) {
        bool known = false;
        for (unsigned i = 0; i < found; i++) {
            char uuid[SIM_UUID_TEXT], *end;
            sim_uuid_text(&gpus[i].state->config, uuid);
            unsigned long index = strtoul(word, &end, 10);
            if (strcmp(word, "all") != 0 && strcasecmp(word, uuid) != 0 &&
                (*end || index != gpus[i].state->config.index))
                continue;
            known = wanted[i] = true;
        }
        if (!known)
            fail("no simulated device %s in %s", word, dir);
    }
    for (unsigned i = 0; i < found; i++) {
        char source[4096 + 16], target[64];
        if (!wanted[i])
            continue;
        snprintf(source, sizeof source, "%s/gpu%u", dir, gpus[i].state->config.index);
        snprintf(target, sizeof target, SIM_DEFAULT_DIR "/gpu%u", gpus[i].state->config.index);
        if (!plan(source, target))
            fail("%s: %s", source, strerror(errno));
    }
}

static void plan_files(const char *lib, const char *rootfs) {
    static const char *const libraries[] = {"libcuda.so.1", "libnvidia-ml.so.1"};
    static const char *const programs[] = {"nvidia-smi", "gpu-alloc", "gpu-alloc-direct"};
    /* The first that exists: Debian's, the other distributions', and what every loader searches. */
    static const char *const folders[] = {"/usr/lib/x86_64-linux-gnu",
                                          "/usr/lib/aarch64-linux-gnu",
                                          "/lib/x86_64-linux-gnu",
                                          "/lib/aarch64-linux-gnu",
                                          "/usr/lib64",
                                          "/lib64"};
    const char *folder = "/usr/lib";
    char source[4096 + 64], target[4096];
    struct stat status;
    for (size_t i = sizeof folders / sizeof *folders; i-- > 0;) {
        snprintf(source, sizeof source, "%s%s", rootfs, folders[i]);
        if (lstat(source, &status) == 0 && S_ISDIR(status.st_mode))
            folder = folders[i];
    }
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        snprintf(source, sizeof source, "%s/%s", lib, libraries[i]);
        snprintf(target, sizeof target, "%s/%s", folder, libraries[i]);
        if (!plan(source, target))
            fail("%s: %s", source, strerror(errno));
    }
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        snprintf(source, sizeof source, "%s/%s", lib, programs[i]);
        snprintf(target, sizeof target, "/usr/bin/%s", programs[i]);
        plan(source, target);
    }
}

/* Opens a path below the root without leaving it: no component may be a symbolic link. Makes what is missing. */
static int open_below(int root, const char *path) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    int at = dup(root);
    char *save, *word = strtok_r(copy, "/", &save);
    while (word && at >= 0) {
        char *next = strtok_r(NULL, "/", &save);
        int found = openat(at, word, O_PATH | O_NOFOLLOW | O_CLOEXEC | (next ? O_DIRECTORY : 0));
        if (found < 0 && errno == ENOENT) {
            int made = next ? mkdirat(at, word, 0755) : openat(at, word, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
            if (!next && made >= 0)
                close(made);
            found = openat(at, word, O_PATH | O_NOFOLLOW | O_CLOEXEC | (next ? O_DIRECTORY : 0));
        }
        close(at);
        at = found;
        word = next;
    }
    return at;
}

static void enter_mount_namespace(long pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/ns/mnt", pid);
    int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0 || setns(ns, CLONE_NEWNS) != 0)
        fail("%s: %s", path, strerror(errno));
    close(ns);
}

/* The last value of a variable of the container's environment. */
static const char *variable_of(json_t *config, const char *name) {
    const char *value = NULL;
    size_t length = strlen(name);
    json_t *entry;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(config, "process"), "env"), i, entry) {
        const char *variable = json_string_value(entry);
        if (variable && strncmp(variable, name, length) == 0 && variable[length] == '=')
            value = variable + length + 1;
    }
    return value;
}

/* As the toolkit does where its settings have swarm-resource = "DOCKER_RESOURCE_GPU": that variable goes first. */
static const char *visible_devices_of(json_t *config) {
    const char *resource = variable_of(config, "DOCKER_RESOURCE_GPU");
    return resource ? resource : variable_of(config, "NVIDIA_VISIBLE_DEVICES");
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "prestart") != 0 && strcmp(argv[1], "createRuntime") != 0)
        return 0;
    json_error_t error;
    json_t *state = json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);
    if (!state)
        fail("state: %s", error.text);
    const char *bundle = text(state, "bundle");
    long pid = (long)json_integer_value(json_object_get(state, "pid"));
    char path[4096], rootfs[4096], lib[4096], dir[4096];
    snprintf(path, sizeof path, "%s/config.json", bundle);
    json_t *config = json_load_file(path, 0, &error);
    if (!config)
        fail("%s: %s", path, error.text);
    const char *visible = visible_devices_of(config);
    if (!visible || !*visible || strcmp(visible, "void") == 0)
        return 0;
    const char *root = text(json_object_get(config, "root"), "path");
    snprintf(rootfs, sizeof rootfs, "%s%s%s", *root == '/' ? "" : bundle, *root == '/' ? "" : "/", root);

    configure(lib, dir);
    if (strcmp(visible, "none") != 0)
        plan_devices(dir, visible);
    plan_files(lib, rootfs);

    enter_mount_namespace(pid);
    int below = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (below < 0)
        fail("%s: %s", rootfs, strerror(errno));
    for (unsigned i = 0; i < mount_count; i++) {
        int target = open_below(below, mounts[i].target);
        if (target < 0)
            fail("%s: %s", mounts[i].target, strerror(errno));
        if (syscall(SYS_move_mount, mounts[i].tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | 0x40) != 0)
            fail("mount on %s: %s", mounts[i].target, strerror(errno));
        close(target);
    }
    return 0;
}
