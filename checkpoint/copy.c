#include "checkpoint/copy.h"
#include "checkpoint/chunks.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define THREADS     4 // two saturate the memory of a desktop, four that of a server's socket
#define ALIGNMENT   ((size_t)64)
#define SPARE_BYTES ((size_t)1 << 20) // the run file and the state may grow

static const char fix_memory[] = "free some memory, or use more ranks";

// One run of bytes to copy. Tensors are cut at the threads' borders, so runs are even.
typedef struct {
    unsigned char       *to;
    const unsigned char *from;
    size_t               bytes;
} run;

typedef struct {
    const run *runs;
    int        count;
    size_t     first, last; // bytes of all runs, end to end
} share;

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// Every shape was checked by copy_bytes before.
static size_t tensor_bytes(const th_tensor *tensor)
{
    int64_t elements = 0;

    (void)th_shape_elements(tensor->dimensions, tensor->shape, &elements);
    return (size_t)elements * sizeof(float);
}

// *out_all is what a copy takes with all moments, *out_now with those that are there.
static th_code copy_bytes(const th_snapshot *snapshot, size_t *out_all, size_t *out_now,
                          th_err *err)
{
    th_code rc = TH_OK;
    size_t  bytes = SPARE_BYTES + 2 * strlen(snapshot->config), absent = 0;

    for (int i = 0; i < snapshot->parameter_count; i++) {
        const th_saved_parameter *p = &snapshot->parameters[i];
        const th_tensor          *tensor = &p->model;
        int64_t                   elements;
        TH_CHECK(th_shape_elements(tensor->dimensions, tensor->shape, &elements), TH_EUSAGE,
                 "use 0 to 4 dimensions, each at least 1",
                 "parameter \"%s\" has a shape that cannot be stored", tensor->name);
        size_t data = aligned((size_t)elements * sizeof(float));
        bytes += 3 * data + aligned(sizeof(th_saved_parameter)) + aligned(strlen(tensor->name) + 1);
        absent += (size_t)((p->exp_avg == NULL) + (p->exp_avg_sq == NULL)) * data;
    }
    *out_all = bytes;
    *out_now = bytes - absent;
out:
    return rc;
}

th_code th_copy_open(th_copy *copy, const th_snapshot *snapshot, th_err *err)
{
    th_code rc = TH_OK;
    size_t  bytes;

    *copy = (th_copy){ 0 };
    TH_TRY(copy_bytes(snapshot, &bytes, &copy->first_bytes, err));
    TH_TRY(th_arena_open(&copy->arena, bytes, err));
    (void)madvise(copy->arena.base, copy->arena.reserved_bytes, MADV_HUGEPAGE); // a hint
out:
    return rc;
}

void th_copy_close(th_copy *copy)
{
    th_arena_close(&copy->arena);
}

void th_copy_touch(th_copy *copy)
{
    volatile unsigned char *page = copy->arena.base;

    for (size_t at = 0; at < copy->first_bytes; at += 4096)
        page[at] = 0;
}

static void *copy_share(void *context)
{
    const share *s = context;
    size_t       before = 0;

    for (int i = 0; i < s->count && before < s->last; before += s->runs[i++].bytes) {
        const run *r = &s->runs[i];
        size_t     from = s->first > before ? s->first - before : 0;
        size_t     to = s->last - before < r->bytes ? s->last - before : r->bytes;
        if (from < to)
            memcpy(r->to + from, r->from + from, to - from);
    }
    return NULL;
}

static int usable_cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static void copy_runs(const run *runs, int count)
{
    size_t    total = 0;
    pthread_t threads[THREADS];
    share     shares[THREADS];
    bool      started[THREADS] = { false };
    int       parts = usable_cores() < THREADS ? usable_cores() : THREADS;

    for (int i = 0; i < count; i++)
        total += runs[i].bytes;
    for (int t = 0; t < parts; t++)
        shares[t] = (share){ runs, count, total / (size_t)parts * (size_t)t,
                             t == parts - 1 ? total : total / (size_t)parts * (size_t)(t + 1) };
    for (int t = 1; t < parts; t++)
        started[t] = pthread_create(&threads[t], NULL, copy_share, &shares[t]) == 0;
    // What no thread could be had for is copied here.
    for (int t = 0; t < parts; t++)
        if (!started[t])
            (void)copy_share(&shares[t]);
    for (int t = 1; t < parts; t++)
        if (started[t])
            (void)pthread_join(threads[t], NULL); // fails only for a thread that is not ours
}

// Gives `from` a place of its own in the arena and notes what to copy; NULL when it is full.
static float *place(th_copy *copy, const float *from, size_t bytes, run *runs, int *count)
{
    float *to = th_arena_take(&copy->arena, bytes, 1);

    if (to)
        runs[(*count)++] = (run){ (unsigned char *)to, (const unsigned char *)from, bytes };
    return to;
}

static bool place_parameter(th_copy *copy, const th_saved_parameter *from, th_saved_parameter *to,
                            run *runs, int *count)
{
    size_t bytes = tensor_bytes(&from->model);

    *to = *from;
    to->model.name = th_arena_text(&copy->arena, from->model.name);
    to->model.data = place(copy, from->model.data, bytes, runs, count);
    if (from->exp_avg)
        to->exp_avg = place(copy, from->exp_avg, bytes, runs, count);
    if (from->exp_avg_sq)
        to->exp_avg_sq = place(copy, from->exp_avg_sq, bytes, runs, count);
    return to->model.name && to->model.data && (!from->exp_avg || to->exp_avg) &&
           (!from->exp_avg_sq || to->exp_avg_sq);
}

th_code th_copy_take(th_copy *copy, const th_snapshot *snapshot, th_err *err)
{
    th_code rc = TH_OK;
    run    *runs = NULL;
    int     count = 0, parameters = snapshot->parameter_count;
    size_t  bytes, now;

    TH_TRY(copy_bytes(snapshot, &bytes, &now, err));
    if (bytes > copy->arena.reserved_bytes) {
        th_copy_close(copy);
        TH_TRY(th_copy_open(copy, snapshot, err));
    }
    TH_TRY(th_alloc((size_t)parameters, 3 * sizeof *runs, "a checkpoint", (void **)&runs, err));
    th_arena_rewind(&copy->arena, 0);
    copy->snapshot = *snapshot;
    copy->snapshot.config = th_arena_text(&copy->arena, snapshot->config);
    copy->snapshot.parameters =
        th_arena_take(&copy->arena, (size_t)parameters, sizeof *copy->snapshot.parameters);
    TH_CHECK(copy->snapshot.config && copy->snapshot.parameters, TH_EIO, fix_memory,
             "could not copy a checkpoint: out of memory");
    for (int i = 0; i < parameters; i++)
        TH_CHECK(place_parameter(copy, &snapshot->parameters[i], &copy->snapshot.parameters[i],
                                 runs, &count),
                 TH_EIO, fix_memory, "could not copy \"%s\": out of memory",
                 snapshot->parameters[i].model.name);
    copy_runs(runs, count);
out:
    free(runs);
    return rc;
}
