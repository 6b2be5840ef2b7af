/* A libnvidia-ml.so.1 without a GPU: the part of NVML that joulebench's exporter calls, for tests.
 *
 * What the boards truly use is read from device files (joulebench_api.contracts.device_file), one a board, `*.device` in
 * the folder that $JOULEBENCH_NVML_STUB names. How the boards show it (tick, phase, delay, jitter, drift), what fails and
 * how long a call takes is read from `control` in the same folder, which also counts the calls (see __init__.py, which
 * has the same structures). Both are mapped into memory, so that a test changes them while the library is in use.
 *
 * Functions, numbers and structures as in NVML's public header, nvml.h. The energy counter moves in ticks:
 *
 *     tick k is at  phase + k x period x (1 + drift) + jitter x u(k),   u(k) in [-1, 1] by a hash of k
 *     and shows     E(that time - delay) - what a reset has taken off
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, DRIVER_NOT_LOADED = 9,
    UNKNOWN = 999,
    MAX_DEVICES = 16, MAX_INSTANCES = 7, MAX_ACCOUNTS = 16,
    FIELD_TOTAL_ENERGY = 83, FIELD_POWER_AVERAGE = 185, FIELD_POWER_INSTANT = 186, FIELD_ENERGY = 191,
    SCOPE_GPU = 0, SCOPE_MODULE = 1,
    VALUE_UINT = 1, VALUE_UNSIGNED_LONG_LONG = 3,
    RING = 4096, FILE_BYTES = 4096 + RING * 16
};
#define AVERAGE_NS 1000000000ull
#define INSTANT_NS 25000000ull /* an H100's instant power covers 25 ms (arXiv 2312.02741) */

/* ---- shared memory ---- */

struct point { uint64_t time_ns, energy_uj; };

struct device_file { /* the layout of joulebench_api.contracts.device_file */
    char magic[8];
    uint32_t version, points_at, points_count, pad0;
    uint64_t memory_bytes, power_limit_mw;
    char pad1[64 - 40];
    char name[96], uuid[64], bus_id[32];
    uint64_t sequence, time_ns, energy_mj, power_mw, resting_power_mw, memory_used;
    uint32_t utilisation, memory_utilisation;
    int32_t temperature;
    uint32_t clock_mhz, memory_clock_mhz, pad2;
    uint64_t clock_reasons, written;
    char pad3[4096 - 344];
    struct point points[RING];
};

struct board_control {
    uint64_t tick_period_ns, phase_ns, delay_ns, jitter_ns;
    int64_t drift_ppb;
    uint64_t latency_ns;
    uint32_t latency_sleeps;   /* 1: a call sleeps that long; 0: it spins, as a driver does */
    int32_t error;             /* every call on this board returns it */
    int32_t energy_error;      /* only the energy counter's fields */
    int32_t power_error;       /* only power */
    int32_t diagnostics_error; /* utilisation, memory, temperature, clocks, fan, limit */
    uint32_t module_scope;     /* 1: energy is to be had for the module only, as on Grace Hopper */
    uint32_t instances;        /* MIG instances; 0: MIG is off */
    uint32_t fan_percent;
    uint32_t unhealthy, pad;   /* not for this library: a device plugin says so to the kubelet */
    uint64_t taken_off_uj;     /* by a reset */
    uint64_t calls, energy_calls;
};

struct control {
    char magic[8];
    uint32_t boards_bytes, generation; /* size of board_control; a new generation is a driver that was restarted */
    int32_t init_error, pad;           /* what nvmlInit answers */
    char driver_version[64];
    uint64_t calls, inits;
    struct board_control boards[MAX_DEVICES];
    struct account { /* of one process, so that it can be told apart from the others on the same boards */
        uint32_t process, pad;
        uint64_t calls, cpu_ns; /* CPU time of the calling threads from the begin of a call to its end, for all of them */
    } accounts[MAX_ACCOUNTS];
};

struct board { const struct device_file *file; struct board_control *control; int index; };
struct instance { struct board *parent; int index; };

static struct control own_control, *control = &own_control;
static struct board boards[MAX_DEVICES];
static struct instance instances[MAX_DEVICES][MAX_INSTANCES];
static struct account nobodys_account, *account = &nobodys_account;
static int board_count, references;
static uint32_t generation;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *mapped(const char *folder, const char *name, size_t size, int writable) {
    char path[4096];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, writable ? O_RDWR : O_RDONLY);
    if (file < 0) return NULL;
    void *memory = MAP_FAILED;
    if (fstat(file, &status) == 0 && (size_t)status.st_size >= size)
        memory = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? NULL : memory;
}

static int is_device(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return length > 7 && strcmp(entry->d_name + length - 7, ".device") == 0;
}

static void use_defaults(struct control *fresh) {
    memset(fresh, 0, sizeof *fresh);
    strcpy(fresh->driver_version, "0.0-stub");
    for (int i = 0; i < MAX_DEVICES; i++) fresh->boards[i].tick_period_ns = 100000000;
}

/* Maps what lies in the folder now. Old maps stay: a handle may still be used by another thread. */
int stub_open(const char *folder) {
    struct dirent **names;
    board_count = 0;
    control = folder ? mapped(folder, "control", sizeof *control, 1) : NULL;
    if (control && (memcmp(control->magic, "JBNVMLST", 8) || control->boards_bytes != sizeof(struct board_control)))
        return -1;
    if (!control) use_defaults(control = &own_control);
    int found = folder ? scandir(folder, &names, is_device, alphasort) : 0;
    for (int i = 0; i < found; i++) {
        const struct device_file *file = mapped(folder, names[i]->d_name, FILE_BYTES, 0);
        free(names[i]);
        if (!file || memcmp(file->magic, "JBDEVICE", 8) || board_count == MAX_DEVICES) continue;
        struct board *board = &boards[board_count];
        *board = (struct board){file, &control->boards[board_count], board_count};
        for (int j = 0; j < MAX_INSTANCES; j++) instances[board_count][j] = (struct instance){board, j};
        board_count++;
    }
    if (found > 0) free(names);
    return board_count;
}

/* ---- the truth, and what a counter shows of it ---- */

static uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static uint64_t energy_once(const struct device_file *file, uint64_t time_ns) {
    uint64_t written = file->written;
    if (written == 0) return 0;
    uint64_t oldest = written > RING ? written - RING : 0;
    const struct point *newest = &file->points[(written - 1) % RING];
    if (time_ns >= newest->time_ns)
        return newest->energy_uj + (unsigned __int128)(time_ns - newest->time_ns) * file->resting_power_mw / 1000000;
    if (time_ns < file->points[oldest % RING].time_ns) return file->points[oldest % RING].energy_uj;
    uint64_t low = oldest, high = written - 1;
    while (high - low > 1) {
        uint64_t middle = (low + high) / 2;
        if (file->points[middle % RING].time_ns <= time_ns) low = middle; else high = middle;
    }
    const struct point *from = &file->points[low % RING], *to = &file->points[high % RING];
    return from->energy_uj + (unsigned __int128)(to->energy_uj - from->energy_uj) * (time_ns - from->time_ns)
                                 / (to->time_ns - from->time_ns);
}

/* E(time), in microjoules: read until the writer changed nothing meanwhile. False if the writer was stopped in the
 * middle of a change; one that only waits for a processor is waited for. */
static int read_energy_uj(const struct device_file *file, uint64_t time_ns, uint64_t *energy_uj) {
    struct timespec pause = {0, 100000};
    for (int attempt = 0; attempt < 5000; attempt++) {
        uint64_t before = __atomic_load_n(&file->sequence, __ATOMIC_ACQUIRE);
        if (before % 2 == 0) {
            *energy_uj = energy_once(file, time_ns);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__atomic_load_n(&file->sequence, __ATOMIC_RELAXED) == before) return 1;
        }
        if (attempt >= 1000) nanosleep(&pause, NULL);
    }
    return 0;
}

static uint64_t energy_uj_at(const struct device_file *file, uint64_t time_ns) {
    uint64_t energy_uj = 0;
    return read_energy_uj(file, time_ns, &energy_uj) ? energy_uj : 0;
}

static double spread(uint64_t number) { /* splitmix64, to [-1, 1] */
    uint64_t z = number + 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    z ^= z >> 31;
    return (double)(z >> 11) / (double)(1ull << 52) - 1.0;
}

static int64_t tick_ns(const struct board *board, int64_t k) {
    const struct board_control *c = board->control;
    int64_t exact = (int64_t)c->phase_ns + k * (int64_t)c->tick_period_ns;
    exact += (__int128)k * (int64_t)c->tick_period_ns * c->drift_ppb / 1000000000;
    return exact + (int64_t)(spread((uint64_t)k * MAX_DEVICES + board->index) * (double)c->jitter_ns);
}

static int64_t latest_tick(const struct board *board, int64_t now_ns) {
    const struct board_control *c = board->control;
    double period = (double)c->tick_period_ns * (1.0 + (double)c->drift_ppb / 1e9);
    int64_t k = (int64_t)((double)(now_ns - (int64_t)c->phase_ns) / period) + 2;
    while (tick_ns(board, k) > now_ns) k--;
    return k;
}

static int read_counter_uj(const struct board *board, int64_t shown_ns, uint64_t *count_uj) {
    uint64_t energy, off = board->control->taken_off_uj;
    if (!read_energy_uj(board->file, shown_ns > 0 ? (uint64_t)shown_ns : 0, &energy)) return 0;
    *count_uj = energy > off ? energy - off : 0;
    return 1;
}

static int64_t shown_ns(const struct board *board) {
    if (board->control->tick_period_ns == 0) return (int64_t)(monotonic_ns() - board->control->delay_ns);
    int64_t k = latest_tick(board, (int64_t)monotonic_ns());
    return tick_ns(board, k) - (int64_t)board->control->delay_ns;
}

static uint32_t mean_mw(const struct board *board, uint64_t over_ns) {
    uint64_t end = (uint64_t)shown_ns(board);
    uint64_t used = energy_uj_at(board->file, end) - energy_uj_at(board->file, end - over_ns);
    return (uint32_t)(used * 1000000ull / over_ns);
}

/* The stub's own log: when tick k of a board is, and what it shows. Returns the latest k that is over at `now_ns`. */
int64_t stub_latest_tick(int index, int64_t now_ns) { return latest_tick(&boards[index], now_ns); }
int64_t stub_tick_ns(int index, int64_t k) { return tick_ns(&boards[index], k); }
uint64_t stub_tick_mj(int index, int64_t k) {
    const struct board *board = &boards[index];
    uint64_t count_uj = 0;
    return read_counter_uj(board, tick_ns(board, k) - (int64_t)board->control->delay_ns, &count_uj) ? count_uj / 1000 : 0;
}

/* ---- every call ---- */

/* Ours in `control`, taken if it was nobody's. Where all are taken, our calls are in no account. */
static struct account *own_account(void) {
    uint32_t process = (uint32_t)getpid();
    for (int i = 0; i < MAX_ACCOUNTS; i++) {
        uint32_t *owner = &control->accounts[i].process, nobody = 0;
        if (__atomic_compare_exchange_n(owner, &nobody, process, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
            || nobody == process) return &control->accounts[i];
    }
    return &nobodys_account;
}

static int enter(struct board *board) {
    __atomic_add_fetch(&control->calls, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&account->calls, 1, __ATOMIC_RELAXED);
    if (references == 0 || generation != control->generation) return UNINITIALIZED;
    if (!board) return SUCCESS;
    if (board < boards || board >= boards + board_count) return INVALID_ARGUMENT;
    struct board_control *c = board->control;
    __atomic_add_fetch(&c->calls, 1, __ATOMIC_RELAXED);
    if (c->latency_ns && c->latency_sleeps) {
        struct timespec pause = {c->latency_ns / 1000000000, c->latency_ns % 1000000000};
        nanosleep(&pause, NULL);
    } else if (c->latency_ns) {
        for (uint64_t end = monotonic_ns() + c->latency_ns; monotonic_ns() < end;) {}
    }
    return c->error;
}

/* Of this thread. A wall clock would go on while others have the processor, and be too good to whoever calls. */
static uint64_t cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void leave(const uint64_t *began_ns) {
    __atomic_add_fetch(&account->cpu_ns, cpu_ns() - *began_ns, __ATOMIC_RELAXED);
}

#define ENTER(board) \
    uint64_t began_ns __attribute__((cleanup(leave))) = cpu_ns(); \
    do { int failed = enter(board); if (failed) return failed; } while (0)
#define ENTER_DIAGNOSTICS(board) \
    ENTER(board); \
    do { int failed = (board)->control->diagnostics_error; if (failed) return failed; } while (0)

static struct instance *as_instance(void *handle) {
    struct instance *instance = handle;
    int ours = instance >= &instances[0][0] && instance < &instances[MAX_DEVICES - 1][MAX_INSTANCES];
    return ours ? instance : NULL;
}

/* ---- NVML ---- */

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    int found = references++ == 0 || generation != control->generation ? stub_open(getenv("JOULEBENCH_NVML_STUB")) : 0;
    __atomic_add_fetch(&control->inits, 1, __ATOMIC_RELAXED);
    int result = found < 0 ? UNKNOWN : control->init_error;
    generation = control->generation;
    account = own_account();
    if (result) references--;
    pthread_mutex_unlock(&lock);
    return result;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    pthread_mutex_lock(&lock);
    int result = references > 0 ? SUCCESS : UNINITIALIZED;
    if (references > 0) references--;
    pthread_mutex_unlock(&lock);
    return result;
}

const char *nvmlErrorString(int result) {
    switch (result) {
    case 0: return "Success";
    case 1: return "Uninitialized";
    case 3: return "Not Supported";
    case 4: return "Insufficient Permissions";
    case 9: return "Driver Not Loaded";
    case 15: return "GPU is lost";
    case 16: return "GPU requires reset";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *text, unsigned int length) {
    ENTER(NULL);
    snprintf(text, length, "%s", control->driver_version);
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    ENTER(NULL);
    *count = board_count;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
    ENTER(NULL);
    if ((int)index >= board_count) return INVALID_ARGUMENT;
    *handle = &boards[index];
    return boards[index].control->error;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    ENTER(NULL);
    for (int i = 0; i < board_count; i++)
        if (strcmp(boards[i].file->uuid, uuid) == 0) return nvmlDeviceGetHandleByIndex_v2(i, handle);
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned int length) {
    struct instance *instance = as_instance(handle);
    if (instance) {
        ENTER(instance->parent);
        /* The board's UUID with the instance's number in its last digits, under the prefix of instances. */
        snprintf(text, length, "MIG-%.30s%06d", instance->parent->file->uuid + 4, instance->index + 1);
        return SUCCESS;
    }
    ENTER((struct board *)handle);
    snprintf(text, length, "%s", ((struct board *)handle)->file->uuid);
    return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned int length) {
    struct instance *instance = as_instance(handle);
    struct board *board = instance ? instance->parent : handle;
    ENTER(board);
    snprintf(text, length, instance ? "%s MIG 1g.10gb" : "%s", board->file->name);
    return SUCCESS;
}

int nvmlDeviceGetMinorNumber(void *handle, unsigned int *minor) {
    struct board *board = handle;
    ENTER(board);
    *minor = board->index;
    return SUCCESS;
}

struct pci_info { char legacy[16]; unsigned int domain, bus, device, id, subsystem; char bus_id[32]; };

int nvmlDeviceGetPciInfo_v3(void *handle, struct pci_info *info) {
    struct board *board = handle;
    ENTER(board);
    memset(info, 0, sizeof *info);
    snprintf(info->bus_id, sizeof info->bus_id, "%.31s", board->file->bus_id);
    return SUCCESS;
}

static int energy_mj(struct board *board, int module, unsigned long long *mj) {
    struct board_control *c = board->control;
    __atomic_add_fetch(&c->energy_calls, 1, __ATOMIC_RELAXED);
    if (c->energy_error) return c->energy_error;
    if (module != (int)c->module_scope) return NOT_SUPPORTED;
    uint64_t count_uj;
    if (!read_counter_uj(board, shown_ns(board), &count_uj)) return UNKNOWN;
    *mj = count_uj / 1000;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *mj) {
    ENTER((struct board *)handle);
    return energy_mj(handle, 0, mj);
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned int *mw) {
    struct board *board = handle;
    ENTER(board);
    if (board->control->power_error) return board->control->power_error;
    *mw = mean_mw(board, AVERAGE_NS);
    return SUCCESS;
}

struct field_value {
    unsigned int id, scope;
    long long timestamp_us, latency_us;
    unsigned int type, result;
    union { unsigned int ui; unsigned long long ull; double d; } value;
};

static int field(struct board *board, struct field_value *value) {
    switch (value->id) {
    case FIELD_TOTAL_ENERGY:
        value->type = VALUE_UNSIGNED_LONG_LONG;
        return energy_mj(board, 0, &value->value.ull);
    case FIELD_ENERGY:
        value->type = VALUE_UNSIGNED_LONG_LONG;
        return energy_mj(board, value->scope == SCOPE_MODULE, &value->value.ull);
    case FIELD_POWER_INSTANT:
    case FIELD_POWER_AVERAGE:
        value->type = VALUE_UINT;
        value->value.ull = 0;
        if (board->control->power_error) return board->control->power_error;
        value->value.ui = mean_mw(board, value->id == FIELD_POWER_INSTANT ? INSTANT_NS : AVERAGE_NS);
        return SUCCESS;
    default: return NOT_SUPPORTED;
    }
}

int nvmlDeviceGetFieldValues(void *handle, int count, struct field_value *values) {
    struct board *board = handle;
    ENTER(board);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < count; i++) {
        values[i].timestamp_us = now.tv_sec * 1000000ll + now.tv_nsec / 1000;
        values[i].latency_us = 0;
        values[i].result = field(board, &values[i]);
    }
    return SUCCESS;
}

struct utilisation { unsigned int gpu, memory; };

int nvmlDeviceGetUtilizationRates(void *handle, struct utilisation *rates) {
    struct board *board = handle;
    ENTER_DIAGNOSTICS(board);
    if (board->control->instances) return NOT_SUPPORTED;
    *rates = (struct utilisation){board->file->utilisation, board->file->memory_utilisation};
    return SUCCESS;
}

struct memory { unsigned long long total, free, used; };

int nvmlDeviceGetMemoryInfo(void *handle, struct memory *memory) {
    struct board *board = handle;
    ENTER_DIAGNOSTICS(board);
    uint64_t total = board->file->memory_bytes, used = board->file->memory_used;
    *memory = (struct memory){total, total - used, used};
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *handle, unsigned int sensor, unsigned int *celsius) {
    struct board *board = handle;
    ENTER_DIAGNOSTICS(board);
    if (sensor) return INVALID_ARGUMENT;
    *celsius = (unsigned int)board->file->temperature;
    return SUCCESS;
}

int nvmlDeviceGetClockInfo(void *handle, unsigned int type, unsigned int *mhz) {
    struct board *board = handle;
    ENTER_DIAGNOSTICS(board);
    *mhz = type == 2 ? board->file->memory_clock_mhz : board->file->clock_mhz;
    return SUCCESS;
}

int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *reasons) {
    struct board *board = handle;
    ENTER_DIAGNOSTICS(board);
    *reasons = board->file->clock_reasons;
    return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned int *mw) {
    struct board *board = handle;
    ENTER_DIAGNOSTICS(board);
    *mw = (unsigned int)board->file->power_limit_mw;
    return SUCCESS;
}

int nvmlDeviceGetFanSpeed(void *handle, unsigned int *percent) {
    struct board *board = handle;
    ENTER_DIAGNOSTICS(board);
    if (board->control->fan_percent == 0) return NOT_SUPPORTED; /* as boards without a fan of their own */
    *percent = board->control->fan_percent;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(void *handle, unsigned int *current, unsigned int *pending) {
    struct board *board = handle;
    ENTER(board);
    *current = *pending = board->control->instances > 0;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned int *count) {
    ENTER((struct board *)handle);
    *count = MAX_INSTANCES;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned int index, void **instance) {
    struct board *board = handle;
    ENTER(board);
    if (index >= board->control->instances) return NOT_FOUND;
    *instance = &instances[board->index][index];
    return SUCCESS;
}

int nvmlDeviceGetGpuInstanceId(void *handle, unsigned int *number) {
    struct instance *instance = as_instance(handle);
    if (!instance) return INVALID_ARGUMENT;
    ENTER(instance->parent);
    *number = instance->index + 1;
    return SUCCESS;
}

int nvmlDeviceGetComputeInstanceId(void *handle, unsigned int *number) {
    struct instance *instance = as_instance(handle);
    if (!instance) return INVALID_ARGUMENT;
    ENTER(instance->parent);
    *number = 0;
    return SUCCESS;
}
