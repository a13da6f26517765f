/* libascendcl.so of a SIMULATED CANN: device memory is host memory and is counted, streams are done
 * when they are asked, events carry the host's clock. Names and signatures: the headers acl/acl_rt.h,
 * acl/acl_base_rt.h, acl/acl_op_compiler.h and acl/acl_mdl.h in the include folder of torch_npu.
 * What torch_npu may call and is not here answers 0 (generated beside this file), or is absent where
 * an answer would be read.
 *
 * GOEMO_CANN_DEVICES  how many devices there are (1)
 * GOEMO_CANN_MEMORY   bytes of memory a device has (64 GiB)
 * GOEMO_CANN_FAIL     NAME:N=CODE[@later], comma-separated: the Nth call of NAME fails with CODE, at
 *                     once, or when the device is next waited for
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEVICES 16
#define OUT_OF_MEMORY 207001  /* ACL_ERROR_RT_MEMORY_ALLOCATION */
#define BAD_DEVICE 107001     /* ACL_ERROR_RT_INVALID_DEVICEID */
#define NO_ACLOP 500002       /* ACL_ERROR_GE_FAILURE: what an operator without a kernel ends in */

const char *goemo_simulated_cann(void) { return "SIMULATED CANN"; }

/* ---- messages and failures on request --------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char message[1024];

void goemo_say(const char *text) {
    pthread_mutex_lock(&lock);
    snprintf(message, sizeof message, "%s", text);
    pthread_mutex_unlock(&lock);
}

const char *aclGetRecentErrMsg(void) {
    static __thread char copy[1024];
    pthread_mutex_lock(&lock);
    memcpy(copy, message, sizeof copy);
    message[0] = 0;
    pthread_mutex_unlock(&lock);
    return copy;
}

typedef struct {
    char name[128];
    long at, seen;
    int code, later;
} failure;

static failure failures[16];
static int failure_count = -1, pending, last_error;

static void read_failures(void) {
    const char *from = getenv("GOEMO_CANN_FAIL");
    failure_count = 0;
    while (from && *from && failure_count < 16) {
        failure *one = &failures[failure_count];
        char rest[32] = "";
        int fields = sscanf(from, "%127[A-Za-z0-9_]:%ld=%d%31[@a-z]", one->name, &one->at, &one->code, rest);
        one->later = strcmp(rest, "@later") == 0;
        if (fields >= 3) failure_count++;
        from = strchr(from, ',');
        if (from) from++;
    }
}

static void tell_failure(const char *name, int code) {
    char text[256];
    snprintf(text, sizeof text, "EE9999: Inner Error! SIMULATED CANN: %s failed with %d, as was asked of it.", name, code);
    goemo_say(text);
}

/* the code that this call of `name` fails with, or 0 */
int goemo_fails(const char *name, int waits) {
    int code = 0;
    pthread_mutex_lock(&lock);
    if (failure_count < 0) read_failures();
    for (int i = 0; i < failure_count; i++) {
        failure *one = &failures[i];
        if (strcmp(one->name, name) || ++one->seen != one->at) continue;
        if (one->later) pending = one->code;
        else code = one->code;
    }
    if (waits && pending) {
        code = pending;
        pending = 0;
    }
    if (code) last_error = code;
    pthread_mutex_unlock(&lock);
    if (code) tell_failure(name, code);
    return code;
}

int aclrtPeekAtLastError(int level) { return last_error; }
int aclrtGetLastError(int level) {
    int code = last_error;
    last_error = 0;
    return code;
}

/* ---- the kernels in Python come with the first use ---------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void) {
    int (*ensure)(void) = dlsym(RTLD_DEFAULT, "PyGILState_Ensure");
    void (*release)(int) = dlsym(RTLD_DEFAULT, "PyGILState_Release");
    int (*run)(const char *, void *) = dlsym(RTLD_DEFAULT, "PyRun_SimpleStringFlags");
    if (!ensure || !release || !run) return;
    int state = ensure();
    run("import os, sys\n"
        "sys.path += [p for p in [os.environ.get('GOEMO_CANN_PACKAGE')] if p and p not in sys.path]\n"
        "import goemo_utils.cann.calls as _goemo_cann_calls\n"
        "_goemo_cann_calls.install()\n", NULL);
    release(state);
}

void goemo_start(void) { pthread_once(&once, start); }

/* ---- devices ------------------------------------------------------------------------------------ */

static __thread int device;
static int context[DEVICES];

static int real_count(void) {
    const char *asked = getenv("GOEMO_CANN_DEVICES");
    int n = asked ? atoi(asked) : 1;
    return n < 1 ? 1 : n > DEVICES ? DEVICES : n;
}

/* ASCEND_RT_VISIBLE_DEVICES: digits and commas, ascending; the reading stops at anything else */
static int device_count(void) {
    const char *from = getenv("ASCEND_RT_VISIBLE_DEVICES");
    int all = real_count(), count = 0, before = -1;
    if (!from) return all;
    while (*from >= '0' && *from <= '9') {
        char *end;
        int one = (int)strtol(from, &end, 10);
        if (one >= all) break;
        if (one <= before) return 0;
        before = one;
        count++;
        from = *end == ',' ? end + 1 : end;
    }
    return count;
}

int aclInit(const char *path) {
    goemo_start(); /* before anything can ask for the device's name */
    return goemo_fails("aclInit", 0);
}
int aclFinalize(void) { return 0; }
int aclrtGetDeviceCount(uint32_t *count) { *count = device_count(); return 0; }
int aclrtSetDevice(int id) {
    int code = goemo_fails("aclrtSetDevice", 0);
    if (code) return code;
    if (id < 0 || id >= device_count()) return BAD_DEVICE;
    device = id;
    return 0;
}
int aclrtGetDevice(int *id) { *id = device; return 0; }
int aclrtResetDevice(int id) { return 0; }
int aclrtGetCurrentContext(void **it) { *it = &context[device]; return 0; }
int aclrtSetCurrentContext(void *it) {
    if ((int *)it >= context && (int *)it < context + DEVICES) device = (int)((int *)it - context);
    return 0;
}
int aclrtGetPrimaryCtxState(int id, uint32_t *flags, int *active) {
    if (flags) *flags = 0;
    *active = 1;
    return 0;
}
/* torch_npu looks the chip up in its table, at several moments, and knows no other name: so the device
 * of goemo adds to its own name that it is simulated (forward/device.py), and this one stays as it is. */
const char *aclrtGetSocName(void) { return "Ascend910B3"; }
int aclrtDeviceGetBareTgid(int32_t *pid) { *pid = 1; return 0; }
int aclrtDeviceCanAccessPeer(int *can, int a, int b) { *can = 1; return 0; }
int aclGetDeviceCapability(uint32_t id, int what, int64_t *value) { *value = 0; return 0; }
int aclrtGetDeviceInfo(uint32_t id, int what, int64_t *value) { *value = 20; return 0; }
int aclrtGetSysParamOpt(int option, int64_t *value) { *value = 0; return 0; }
int aclrtGetDeviceUtilizationRate(int id, int32_t *rates) { memset(rates, 0, 4 * sizeof(int32_t)); return 0; }
/* infinities and NaN are kept, bfloat16 is known, binaries need no compilation: as on an A2 card */
static const int attributes[] = {0, 1, 2}; /* ACL_CANN_ATTR_INF_NAN, BF16, JIT_COMPILE */
int aclGetCannAttribute(int what, int *value) { *value = 1; return 0; }
int aclGetCannAttributeList(const int **list, size_t *n) {
    *list = attributes;
    *n = 3;
    return 0;
}
size_t aclGetCompileoptSize(int option) { return 256; }
int aclGetCompileopt(int option, char *value, size_t n) { if (n) value[0] = 0; return 0; }
int aclrtGetStreamOverflowSwitch(void *stream, uint32_t *on) { *on = 0; return 0; }

/* ---- memory ------------------------------------------------------------------------------------- */

typedef struct block {
    struct block *next;
    void *at;
    size_t bytes;
    int device;
} block;

static block *blocks;
static size_t used[DEVICES];

static size_t memory_limit(void) {
    const char *asked = getenv("GOEMO_CANN_MEMORY");
    return asked ? strtoull(asked, NULL, 10) : 64ull << 30;
}

int aclrtMalloc(void **to, size_t n, int policy) {
    int code = goemo_fails("aclrtMalloc", 0);
    if (code) return code;
    size_t bytes = (n + 511) / 512 * 512;
    pthread_mutex_lock(&lock);
    int fits = used[device] + bytes <= memory_limit();
    void *made = fits ? aligned_alloc(512, bytes ? bytes : 512) : NULL;
    if (made) {
        block *one = malloc(sizeof(block));
        *one = (block){blocks, made, bytes, device};
        blocks = one;
        used[device] += bytes;
    }
    pthread_mutex_unlock(&lock);
    *to = made;
    return made ? 0 : OUT_OF_MEMORY;
}

int aclrtMallocAlign32(void **to, size_t n, int policy) { return aclrtMalloc(to, n, policy); }

int aclrtFree(void *at) {
    pthread_mutex_lock(&lock);
    for (block **link = &blocks; *link; link = &(*link)->next) {
        if ((*link)->at != at) continue;
        block *one = *link;
        *link = one->next;
        used[one->device] -= one->bytes;
        free(one);
        break;
    }
    pthread_mutex_unlock(&lock);
    free(at);
    return 0;
}

int aclrtGetMemInfo(int kind, size_t *left, size_t *all) {
    *all = memory_limit();
    *left = *all - used[device];
    return 0;
}
int aclrtMallocHost(void **to, size_t n) {
    *to = aligned_alloc(512, (n + 511) / 512 * 512 + 512);
    return *to ? 0 : OUT_OF_MEMORY;
}
int aclrtMallocHostWithCfg(void **to, uint64_t n, void *how) { return aclrtMallocHost(to, n); }
int aclrtFreeHost(void *at) { free(at); return 0; }
int aclrtMemcpy(void *to, size_t room, const void *from, size_t n, int kind) {
    int code = goemo_fails("aclrtMemcpy", 0);
    if (!code) memmove(to, from, n);
    return code;
}
int aclrtMemcpyAsync(void *to, size_t room, const void *from, size_t n, int kind, void *stream) {
    int code = goemo_fails("aclrtMemcpyAsync", 0);
    if (!code) memmove(to, from, n);
    return code;
}
int aclrtMemcpyAsyncWithCondition(void *to, size_t room, const void *from, size_t n, int kind, void *stream) {
    memmove(to, from, n);
    return 0;
}
int aclrtMemset(void *at, size_t room, int value, size_t n) { memset(at, value, n); return 0; }
int aclrtMemsetAsync(void *at, size_t room, int value, size_t n, void *stream) { memset(at, value, n); return 0; }

/* ---- streams and events -------------------------------------------------------------------------- */

static int streams;

int aclrtCreateStream(void **stream) {
    int *made = malloc(64);
    *made = streams++;
    *stream = made;
    return 0;
}
int aclrtCreateStreamWithConfig(void **stream, uint32_t priority, uint32_t flag) { return aclrtCreateStream(stream); }
int aclrtDestroyStream(void *stream) { free(stream); return 0; }
int aclrtDestroyStreamForce(void *stream) { free(stream); return 0; }
int aclrtStreamGetId(void *stream, int32_t *id) { *id = stream ? *(int *)stream : 0; return 0; }
int aclrtStreamQuery(void *stream, int *status) { *status = 0; return 0; } /* ACL_STREAM_STATUS_COMPLETE */
int aclrtSynchronizeStream(void *stream) { return goemo_fails("aclrtSynchronizeStream", 1); }
int aclrtSynchronizeStreamWithTimeout(void *stream, int ms) { return goemo_fails("aclrtSynchronizeStream", 1); }
int aclrtSynchronizeDevice(void) { return goemo_fails("aclrtSynchronizeDevice", 1); }
int aclrtSynchronizeDeviceWithTimeout(int ms) { return goemo_fails("aclrtSynchronizeDevice", 1); }

int aclrtCreateEventExWithFlag(void **event, uint32_t flag) { *event = calloc(1, 64); return 0; }
int aclrtCreateEventWithFlag(void **event, uint32_t flag) { *event = calloc(1, 64); return 0; }
int aclrtDestroyEvent(void *event) { free(event); return 0; }
int aclrtRecordEvent(void *event, void *stream) {
    clock_gettime(CLOCK_MONOTONIC, (struct timespec *)event);
    return 0;
}
int aclrtEventElapsedTime(float *ms, void *from, void *to) {
    struct timespec *a = from, *b = to;
    *ms = (float)((b->tv_sec - a->tv_sec) * 1e3 + (b->tv_nsec - a->tv_nsec) / 1e6);
    return 0;
}
int aclQueryEventRecordedStatus(void *event, int *status) { *status = 1; return 0; }
int aclrtQueryEventStatus(void *event, int *status) { *status = 1; return 0; }
int aclQueryEventWaitStatus(void *event, int *status) { *status = 1; return 0; }
int aclrtQueryEventWaitStatus(void *event, int *status) { *status = 1; return 0; }
int aclrtLaunchHostFunc(void *stream, void (*function)(void *), void *argument) { function(argument); return 0; }
int aclrtLaunchCallback(void (*function)(void *), void *argument, int blocking, void *stream) { function(argument); return 0; }

/* ---- operators of the older kind (aclop): there is none ------------------------------------------- */

static int no_aclop(const char *name) {
    char text[256];
    snprintf(text, sizeof text, "EZ9999: Inner Error! SIMULATED CANN has no aclop kernel for the operator %s.", name);
    goemo_say(text);
    return NO_ACLOP;
}
int aclopCompileAndExecute(const char *name) { return no_aclop(name); }
int aclopCompileAndExecuteV2(const char *name) { return no_aclop(name); }

typedef struct {
    int dtype, format, count;
    int64_t shape[16];
} description;

void *aclCreateTensorDesc(int dtype, int n, const int64_t *shape, int format) {
    description *made = calloc(1, sizeof(description));
    made->dtype = dtype;
    made->format = format;
    made->count = n;
    for (int i = 0; i < n && i < 16; i++) made->shape[i] = shape[i];
    return made;
}
void aclDestroyTensorDesc(const void *it) { free((void *)it); }
int aclGetTensorDescType(const description *it) { return it->dtype; }
int aclGetTensorDescFormat(const description *it) { return it->format; }
size_t aclGetTensorDescNumDims(const description *it) { return it->count; }
int aclGetTensorDescDimV2(const description *it, size_t i, int64_t *size) { *size = it->shape[i]; return 0; }
void *aclCreateDataBuffer(void *data, size_t n) { return malloc(16); }
int aclDestroyDataBuffer(const void *it) { free((void *)it); return 0; }
void *aclopCreateAttr(void) { return malloc(16); }
void aclopDestroyAttr(const void *it) { free((void *)it); }
