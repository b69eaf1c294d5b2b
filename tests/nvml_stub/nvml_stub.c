/* A libnvidia-ml.so.1 for tests. Reads $NVML_STUB_STATE on every call, so that a test can move the VRAM while the
   conductor runs. One line per device:  NAME UUID TOTAL_MIB USED_MIB|NA STATE [PID:MIB|PID:NA|+PID:MIB ...]
   STATE may end in @DEGREES: how hot it is; without that it does not tell.
   STATE: ok, lost, unlisted (it lists no processes, as under WSL), mig (it is divided: the lines that follow with the
   state «slice» are its slices, at every second index, as where some were taken away).  +PID:MIB is listed, and added to USED_MIB, only as long as the process lives.
   A first line «driver: lost» or «driver: absent» makes every call fail. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, NO_DRIVER = 9, LOST = 15, UNKNOWN = 999 };
typedef struct { char name[96], uuid[96], used[32], state[16], processes[1024]; unsigned long long total; int degrees; } Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu, compute; } Process;
static _Thread_local Device devices[64];  /* a node asks from two threads */

static int load(unsigned *count) {
    FILE *file = fopen(getenv("NVML_STUB_STATE"), "r");
    char line[2048];
    *count = 0;
    if (!file) return NO_DRIVER;
    while (*count < 64 && fgets(line, sizeof line, file)) {
        Device *d = &devices[*count];
        if (!strncmp(line, "driver: ", 8)) { fclose(file); return strstr(line, "absent") ? NO_DRIVER : UNKNOWN; }
        d->processes[0] = 0;
        if (sscanf(line, "%95s %95s %llu %31s %15s %1023[^\n]", d->name, d->uuid, &d->total, d->used, d->state, d->processes) >= 5) {
            char *at = strchr(d->state, '@');
            d->degrees = at ? atoi(at + 1) : -1;
            if (at) *at = 0;
            ++*count;
        }
    }
    fclose(file);
    return OK;
}
static int is_alive(int pid) {
    char path[64], text[512], *end;
    FILE *file;
    size_t size;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!(file = fopen(path, "r"))) return 0;
    size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = 0;
    end = strrchr(text, ')');
    return end && end[2] != 'Z' && end[2] != 'X';
}
static unsigned long long taken(const char *processes) {
    unsigned long long sum = 0;
    const char *at = processes;
    for (; (at = strchr(at, '+')); at++) {
        const char *colon = strchr(at, ':');
        if (colon && is_alive(atoi(at + 1))) sum += strtoull(colon + 1, 0, 10);
    }
    return sum;
}
static int is_slice(unsigned line) { return !strcmp(devices[line].state, "slice"); }
/* A handle is the number of the device's line plus one. */
static int find(void *handle, Device **device) {
    unsigned count, index = (unsigned)(size_t)handle - 1;
    int code = load(&count);
    if (code) return code;
    if (index >= count || !strcmp(devices[index].state, "lost")) return LOST;
    *device = &devices[index];
    return OK;
}
int nvmlInitWithFlags(unsigned flags) { unsigned count; return load(&count); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return "stub error"; }
int nvmlDeviceGetCount_v2(unsigned *count) {
    unsigned lines, i; int code = load(&lines);
    for (*count = i = 0; !code && i < lines; i++) *count += !is_slice(i);
    return code;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    unsigned lines, i; Device *d; int code = load(&lines);
    if (code) return code;
    for (i = 0; i < lines; i++)
        if (!is_slice(i) && !index--) { *handle = (void *)(size_t)(i + 1); return find(*handle, &d); }
    return NOT_FOUND;
}
int nvmlDeviceGetMigMode(void *h, unsigned *current, unsigned *pending) {
    Device *d; int code = find(h, &d);
    if (code) return code;
    if (strcmp(d->state, "mig")) return NOT_SUPPORTED;
    *current = *pending = 1;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *count) { *count = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned index, void **slice) {
    unsigned lines, at = (unsigned)(size_t)h + index / 2; int code = load(&lines);
    if (code) return code;
    if (index % 2 || at >= lines) return NOT_FOUND;
    for (unsigned i = (unsigned)(size_t)h; i <= at; i++) if (!is_slice(i)) return NOT_FOUND;
    *slice = (void *)(size_t)(at + 1);
    return OK;
}
int nvmlDeviceGetName(void *h, char *out, unsigned size) {
    Device *d; int code = find(h, &d); if (!code) snprintf(out, size, "%s", d->name); return code;
}
int nvmlDeviceGetUUID(void *h, char *out, unsigned size) {
    Device *d; int code = find(h, &d); if (!code) snprintf(out, size, "%s", d->uuid); return code;
}
int nvmlDeviceGetMemoryInfo(void *h, Memory *m) {
    Device *d; int code = find(h, &d);
    if (code) return code;
    if (!strcmp(d->used, "NA") || !strcmp(d->state, "mig")) return NOT_SUPPORTED;
    m->total = d->total << 20; m->used = (strtoull(d->used, 0, 10) + taken(d->processes)) << 20; m->free = m->total - m->used;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *count, Process *out) {
    Device *d; char copy[1024], *word, *rest, *used; unsigned n = 0; int code = find(h, &d);
    if (code) return code;
    if (!strcmp(d->state, "unlisted")) return NOT_SUPPORTED;
    strcpy(copy, d->processes);
    for (word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest), n++) {
        if (*word == '+' && !is_alive(atoi(++word))) { n--; continue; }
        if (!out || n >= *count || !(used = strchr(word, ':'))) continue;
        out[n] = (Process){(unsigned)atoi(word), strcmp(used + 1, "NA") ? strtoull(used + 1, 0, 10) << 20 : ~0ULL, ~0u, ~0u};
    }
    code = n > *count || (n && !out) ? INSUFFICIENT_SIZE : OK;
    *count = n;
    return code;
}
int nvmlDeviceGetTemperature(void *h, int sensor, unsigned *degrees) {
    Device *d; int code = find(h, &d);
    if (code) return code;
    if (d->degrees < 0) return NOT_SUPPORTED;
    *degrees = (unsigned)d->degrees;
    return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, unsigned *count, Process *out) { *count = 0; return OK; }
