/* libopapi.so of a SIMULATED CANN: every aclnn operator is two entries that lead here.
 *
 * aclnnXGetWorkspaceSize(arguments..., &size, &executor) is read by the operator's signature into a
 * flat record of 64-bit words, after every argument was checked to be what the signature says: a
 * handle of the right kind or null, a bool that is 0 or 1, and the two last ones two addresses on
 * the caller's stack. So a wrong signature is an error with a sentence, and no memory is touched.
 * aclnnX(workspace, size, executor, stream) hands the record to the kernel in Python.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __aarch64__
#define REGISTERS 8
#else
#define REGISTERS 6
#endif
#define MAGIC 0x53434e4eu /* "SCNN" */
#define REFUSED 161002    /* ACLNN_ERR_PARAM_INVALID */
#define NO_KERNEL 561103  /* ACLNN_ERR_INNER_NULLPTR: what CANN answers when a kernel is not there */

typedef struct handle {
    uint32_t magic;
    int32_t kind; /* the letter of the signature: T S I B F L C */
    int32_t dtype;
    int32_t count; /* dimensions, values or items */
    int64_t offset;
    void *data;
    int64_t value[2];
    int64_t *numbers; /* a tensor's shape and strides, an array's values */
    struct handle **items;
} handle;

typedef struct {
    uint32_t magic;
    int32_t index;
    int64_t count;
    int64_t *words;
} executor;

/* what the entries in assembly leave: registers and the address of the arguments on the stack */
typedef struct {
    int64_t general[8];
    double floating[8];
    int64_t *stack;
} frame;

extern const char *const goemo_operator_names[];
extern const int goemo_operator_count;
void goemo_say(const char *text);                        /* in libascendcl.so */
void goemo_start(void);                                  /* in libascendcl.so */
int goemo_fails(const char *name, int asynchronous);     /* in libascendcl.so */

static const char **signatures;
static int (*kernel)(int index, int64_t *words, int64_t count);
static __thread char text[512];

void goemo_install(const char **letters, int (*run)(int, int64_t *, int64_t)) {
    signatures = letters;
    kernel = run;
}

/* ---- handles ------------------------------------------------------------------------------ */

static handle *new_handle(int kind) {
    handle *made = calloc(1, sizeof(handle));
    made->magic = MAGIC;
    made->kind = kind;
    return made;
}

static int drop(handle *it) {
    if (!it || it->magic != MAGIC) return 0;
    if (it->items)
        for (int i = 0; i < it->count; i++) drop(it->items[i]);
    free(it->items);
    free(it->numbers);
    it->magic = 0;
    free(it);
    return 0;
}

void *aclCreateTensor(const int64_t *shape, uint64_t n, int dtype, const int64_t *strides,
                      int64_t offset, int format, const int64_t *storage, uint64_t storage_n,
                      void *data) {
    handle *made = new_handle('T');
    made->dtype = dtype;
    made->count = (int)n;
    made->offset = offset;
    made->data = data;
    made->numbers = malloc((2 * n + 1) * sizeof(int64_t));
    for (uint64_t i = 0; i < n; i++) {
        made->numbers[i] = shape[i];
        made->numbers[n + i] = strides[i];
    }
    return made;
}

void *aclCreateScalar(void *value, int dtype) {
    static const int bytes[] = {4, 2, 1, 4, 1, 0, 2, 2, 4, 8, 8, 8, 1};
    handle *made = new_handle('S');
    int size = dtype == 16 ? 8 : dtype == 17 ? 16 : dtype == 27 ? 2 : dtype <= 12 ? bytes[dtype] : 8;
    made->dtype = dtype;
    memcpy(made->value, value, size);
    return made;
}

void *aclCreateIntArray(const int64_t *values, uint64_t n) {
    handle *made = new_handle('I');
    made->count = (int)n;
    made->numbers = malloc((n + 1) * sizeof(int64_t));
    if (n) memcpy(made->numbers, values, n * sizeof(int64_t));
    return made;
}

void *aclCreateBoolArray(const uint8_t *values, uint64_t n) {
    handle *made = new_handle('B');
    made->count = (int)n;
    made->numbers = malloc((n + 1) * sizeof(int64_t));
    for (uint64_t i = 0; i < n; i++) made->numbers[i] = values[i];
    return made;
}

void *aclCreateFloatArray(const float *values, uint64_t n) {
    handle *made = new_handle('F');
    made->count = (int)n;
    made->numbers = malloc((n + 1) * sizeof(int64_t));
    for (uint64_t i = 0; i < n; i++) {
        double wide = values[i];
        memcpy(&made->numbers[i], &wide, sizeof wide);
    }
    return made;
}

static void *list_of(int kind, handle *const *items, uint64_t n) {
    handle *made = new_handle(kind);
    made->count = (int)n;
    made->items = malloc((n + 1) * sizeof(handle *));
    if (n) memcpy(made->items, items, n * sizeof(handle *));
    return made;
}

void *aclCreateTensorList(handle *const *items, uint64_t n) { return list_of('L', items, n); }
void *aclCreateScalarList(handle *const *items, uint64_t n) { return list_of('C', items, n); }
int aclDestroyTensor(handle *it) { return drop(it); }
int aclDestroyScalar(handle *it) { return drop(it); }
int aclDestroyIntArray(handle *it) { return drop(it); }
int aclDestroyBoolArray(handle *it) { return drop(it); }
int aclDestroyFloatArray(handle *it) { return drop(it); }
int aclDestroyTensorList(handle *it) { return drop(it); }
int aclDestroyScalarList(handle *it) { return drop(it); }

int aclGetViewShape(handle *it, int64_t **shape, uint64_t *n) {
    *n = it->count;
    *shape = malloc((it->count + 1) * sizeof(int64_t));
    memcpy(*shape, it->numbers, it->count * sizeof(int64_t));
    return 0;
}

/* the shape of an output that a kernel has decided, dense */
void goemo_reshape(handle *it, int n, const int64_t *shape) {
    if (!it || it->magic != MAGIC || it->kind != 'T') return;
    free(it->numbers);
    it->numbers = malloc((2 * n + 1) * sizeof(int64_t));
    it->count = n;
    int64_t step = 1;
    for (int i = n - 1; i >= 0; i--) {
        it->numbers[i] = shape[i];
        it->numbers[n + i] = step;
        step *= shape[i];
    }
}

static int drop_executor(executor *it) {
    if (!it || it->magic != MAGIC) return 0;
    it->magic = 0;
    free(it->words);
    free(it);
    return 0;
}

int aclDestroyAclOpExecutor(executor *it) { return drop_executor(it); }

/* ---- a call read by its signature ----------------------------------------------------------- */

typedef struct {
    int64_t *words;
    int64_t count, room;
} record;

static void put(record *to, int64_t word) {
    if (to->count == to->room) {
        to->room = to->room ? 2 * to->room : 64;
        to->words = realloc(to->words, to->room * sizeof(int64_t));
    }
    to->words[to->count++] = word;
}

static void put_handle(record *to, const handle *it) {
    put(to, it != NULL);
    if (!it) return;
    if (it->kind == 'T') {
        put(to, it->dtype);
        put(to, it->count);
        put(to, it->offset);
        put(to, (int64_t)it->data);
        for (int i = 0; i < 2 * it->count; i++) put(to, it->numbers[i]);
    } else if (it->kind == 'S') {
        put(to, it->dtype);
        put(to, it->value[0]);
        put(to, it->value[1]);
    } else {
        put(to, it->count);
        for (int i = 0; i < it->count; i++) {
            if (it->items) put_handle(to, it->items[i]);
            else put(to, it->numbers[i]);
        }
    }
}

#define NEXT (general < REGISTERS ? at->general[general++] : at->stack[on++])

static int is_handle(int64_t word, int kind) {
    if (word == 0) return 1;
    if (word < 4096 || (word & 7)) return 0;
    const handle *it = (const handle *)word;
    return it->magic == MAGIC && it->kind == kind;
}

static int on_stack(int64_t word, const frame *at) {
    int64_t low = (int64_t)at->stack - 4096, high = (int64_t)at->stack + (1 << 20);
    return word > low && word < high && (word & 7) == 0;
}

/* what a call is seen to hand over, without a signature: handles by their letter, 0 for null, i for
 * anything else, to the two addresses on the stack; floating registers cannot be told */
static const char *seen(const frame *at) {
    static __thread char letters[64];
    int general = 0, on = 0, count = 0;
    while (count < 60) {
        int64_t word = NEXT;
        if (general + on > 1 && on_stack(word, at)) break;
        char letter = word ? 'i' : '0';
        for (const char *kind = "TSIBFLC"; word && *kind; kind++)
            if (is_handle(word, *kind)) letter = *kind;
        letters[count++] = letter;
    }
    letters[count] = 0;
    return letters;
}

static int refuse(const frame *at, const char *name, int place, char letter) {
    snprintf(text, sizeof text,
             "EZ1001: SIMULATED CANN: argument %d of %s is not the '%c' of its signature (seen: %s): "
             "the signature of this operator is wrong for this torch_npu.",
             place, name, letter, seen(at));
    goemo_say(text);
    return REFUSED;
}

static int plan(int operator, frame *at) {
    const char *name = goemo_operator_names[operator];
    goemo_start();
    const char *letters = signatures ? signatures[operator] : NULL;
    if (!letters) {
        if (kernel) kernel(-1 - operator, NULL, 0); /* kept in the list of those that were missed */
        snprintf(text, sizeof text,
                 "EZ9999: Inner Error! SIMULATED CANN has no kernel for the operator %s (seen: %s).",
                 name, seen(at));
        goemo_say(text);
        return NO_KERNEL;
    }
    record made = {0};
    int general = 0, floating = 0, on = 0, place = 0;
    for (const char *letter = letters; *letter; letter++, place++) {
        if (*letter == 'd' || *letter == 'f') {
            double value;
            if (floating == 8) { free(made.words); return refuse(at, name, place, *letter); }
            value = at->floating[floating++];
            if (*letter == 'f') {
                float narrow;
                memcpy(&narrow, &value, sizeof narrow);
                value = narrow;
            }
            int64_t word;
            memcpy(&word, &value, sizeof word);
            put(&made, word);
            continue;
        }
        int64_t word = NEXT;
        if (*letter == 'O') { /* an output whose shape the kernel decides */
            if (!word || !is_handle(word, 'T')) { free(made.words); return refuse(at, name, place, *letter); }
            put(&made, word);
            put_handle(&made, (const handle *)word);
        } else if (strchr("TSIBFLC", *letter)) {
            if (!is_handle(word, *letter)) { free(made.words); return refuse(at, name, place, *letter); }
            put_handle(&made, (const handle *)word);
        } else if (*letter == 'b') {
            if ((word & 0xff) > 1) { free(made.words); return refuse(at, name, place, *letter); }
            put(&made, word & 1);
        } else if (*letter == 'y') {
            put(&made, (int8_t)word);
        } else if (*letter == 'e') {
            put(&made, (int32_t)word);
        } else if (*letter == 's') {
            const char *string = (const char *)word;
            int64_t length = string ? (int64_t)strlen(string) : 0;
            put(&made, length);
            for (int64_t i = 0; i < length; i++) put(&made, (unsigned char)string[i]);
        } else {
            put(&made, word);
        }
    }
    int64_t size = NEXT, made_to = NEXT;
    if (!on_stack(size, at) || !on_stack(made_to, at) || size == made_to) {
        free(made.words);
        return refuse(at, name, place, '.');
    }
    executor *it = calloc(1, sizeof(executor));
    it->magic = MAGIC;
    it->index = operator;
    it->count = made.count;
    it->words = made.words;
    *(uint64_t *)size = 0;
    *(executor **)made_to = it;
    return 0;
}

static int run(int operator, frame *at) {
    executor *it = (executor *)at->general[2];
    const char *name = goemo_operator_names[operator];
    if (!it || it->magic != MAGIC || it->index != operator) {
        snprintf(text, sizeof text, "EZ1001: SIMULATED CANN: %s was given no executor of its own.",
                 name);
        goemo_say(text);
        return REFUSED;
    }
    int code = goemo_fails(name, 0);
    if (!code) code = kernel(operator, it->words, it->count);
    drop_executor(it);
    return code;
}

/* the entries in assembly come here: two an operator, first the plan, then the run */
int goemo_call(int index, frame *at) {
    return index % 2 ? run(index / 2, at) : plan(index / 2, at);
}
