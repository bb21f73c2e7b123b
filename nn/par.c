#include "nn/par.h"

#include <omp.h>
#include <stdatomic.h>

#include "nn/base.h"

/* The jobs of a loop are handed out one at a time by an integer counter.  Who runs a job
 * depends on timing; what the job writes does not. */
typedef struct queue {
    nn_job *run;
    void *ctx;
    size_t jobs;
    atomic_size_t next;
} queue;

/* Mutable state of the whole process: the team's size and the loop posted for later.
 * Both are set by the one thread that drives the run. */
static int team;
static queue ahead;

int nn_par_threads(void)
{
    return team ? team : omp_get_max_threads();
}

void nn_par_set_threads(int threads)
{
    NN_NEED(threads > 0, "threads: wanted 1 or more, got %d", threads);
    team = threads;
    omp_set_num_threads(threads);
}

static int run_one(queue *q, int worker)
{
    if (atomic_load_explicit(&q->next, memory_order_relaxed) >= q->jobs)
        return 0;
    size_t job = atomic_fetch_add_explicit(&q->next, 1, memory_order_relaxed);
    if (job >= q->jobs)
        return 0;
    q->run(q->ctx, job, worker);
    return 1;
}

void nn_par_run(size_t jobs, nn_job *run, void *ctx)
{
    int threads = nn_par_threads();
    queue now = { run, ctx, jobs, 0 };

    if (threads == 1 || jobs <= 1 || omp_in_parallel()) {
        for (size_t j = 0; j < jobs; j++)
            run(ctx, j, 0);
        return;
    }
    atomic_int busy = threads;
#pragma omp parallel num_threads(threads)
    {
        int worker = omp_get_thread_num();
        while (run_one(&now, worker))
            ;
        atomic_fetch_sub(&busy, 1);
        while (atomic_load(&busy) > 0 && run_one(&ahead, worker))
            ;
    }
}

void nn_par_ahead(size_t jobs, nn_job *run, void *ctx)
{
    NN_NEED(atomic_load(&ahead.next) >= ahead.jobs, "par: a loop ahead is still open");
    ahead.run = run;
    ahead.ctx = ctx;
    ahead.jobs = jobs;
    atomic_store(&ahead.next, 0);
}

void nn_par_finish(void)
{
    if (atomic_load(&ahead.next) < ahead.jobs) {
        int threads = nn_par_threads();
#pragma omp parallel num_threads(threads) if (threads > 1)
        while (run_one(&ahead, omp_get_thread_num()))
            ;
    }
}

/* Columns are folded in strips, each by one job: a strip's tree does not know of the
 * others.  Loops of less than WORTH numbers cost less than waking a team. */
enum { STRIP = 1024, WORTH = 65536 };

typedef struct fold {
    void *part;
    size_t parts, n;
} fold;

#define FOLD(name, strip, type)                                                          \
    static void strip(void *ctx, size_t job, int worker)                                 \
    {                                                                                    \
        const fold *f = ctx;                                                             \
        size_t from = job * STRIP, to = from + STRIP < f->n ? from + STRIP : f->n;       \
        (void)worker;                                                                    \
        for (size_t gap = 1; gap < f->parts; gap *= 2)                                   \
            for (size_t i = 0; i + gap < f->parts; i += 2 * gap) {                       \
                type *left = (type *)f->part + i * f->n;                                 \
                const type *right = left + gap * f->n;                                   \
                for (size_t j = from; j < to; j++)                                       \
                    left[j] += right[j];                                                 \
            }                                                                            \
    }                                                                                    \
                                                                                         \
    void name(type *part, size_t parts, size_t n)                                        \
    {                                                                                    \
        fold f = { part, parts, n };                                                     \
        size_t strips = (n + STRIP - 1) / STRIP;                                         \
        if (parts * n >= WORTH)                                                          \
            nn_par_run(strips, strip, &f);                                               \
        else                                                                             \
            for (size_t i = 0; i < strips; i++)                                          \
                strip(&f, i, 0);                                                         \
    }

FOLD(nn_fold_float, float_strip, float)
FOLD(nn_fold_double, double_strip, double)
