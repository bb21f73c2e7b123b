#include "nn/ops/pairs.h"

#include <string.h>

enum {
    COLS = 32,              /* columns of a job: 4096 rows of them fill 512 KiB */
    ROWS = 128              /* rows of a job */
};

/* The list in order of `to`: pulls at[i] .. at[i + 1] are those at row i.  X is cut into
 * strips of COLS columns, each in one piece: rows that lie a power of two apart would
 * meet in a few sets of the cache. */
typedef struct field {
    size_t n, d, down;                  /* jobs from top to bottom */
    const float *x;
    float *strips;                      /* columns j0 .. j0 + COLS at n * j0 */
    float *dx;
    int add;
    size_t *at;
    int *from;
    float *weight;
} field;

/* The part of X that belongs to one job. */
typedef struct part { size_t i0, i1, j0, cols; float *strip; } part;

static part part_of(const field *f, size_t job)
{
    const size_t i0 = job % f->down * ROWS, j0 = job / f->down * COLS;
    return (part){ i0, i0 + ROWS < f->n ? i0 + ROWS : f->n, j0,
                   j0 + COLS < f->d ? COLS : f->d - j0, f->strips + f->n * j0 };
}

static void cut_job(void *ctx, size_t job, int worker)
{
    const field *f = ctx;
    const part p = part_of(f, job);
    (void)worker;
    for (size_t i = p.i0; i < p.i1; i++)
        memcpy(p.strip + i * p.cols, f->x + i * f->d + p.j0, p.cols * sizeof *f->x);
}

static void pull_job(void *ctx, size_t job, int worker)
{
    const field *f = ctx;
    const part p = part_of(f, job);
    (void)worker;
    for (size_t i = p.i0; i < p.i1; i++) {
        const size_t at = f->at[i];
        float *dx = f->dx + i * f->d + p.j0;
        nn_pulls pulls = { f->at[i + 1] - at, f->from + at, f->weight + at, p.strip,
                           p.cols };
        if (!f->add)
            memset(dx, 0, p.cols * sizeof *dx);
        nn_kern_now->pull(p.cols, p.strip + i * p.cols, &pulls, dx);
    }
}

static void sort_by_row(field *f, size_t count, const nn_pull *list, nn_arena *scratch)
{
    f->at = NN_NEW0(scratch, size_t, f->n + 2);
    f->from = NN_NEW(scratch, int, count);
    f->weight = NN_NEW(scratch, float, count);
    size_t *next = f->at + 1;       /* where row i goes on, later where i + 1 begins */
    for (size_t p = 0; p < count; p++)
        next[list[p].to + 1]++;
    for (size_t i = 0; i < f->n; i++)
        next[i + 1] += next[i];
    for (size_t p = 0; p < count; p++) {
        size_t place = next[list[p].to]++;
        f->from[place] = list[p].from;
        f->weight[place] = list[p].weight;
    }
}

void nn_pull_all(nn_node *x, size_t count, const nn_pull *list, nn_arena *scratch)
{
    field f = { .n = (size_t)nn_rows(x), .d = (size_t)nn_cols(x), .x = x->val };

    f.dx = nn_grad_into(x, &f.add);
    if (!f.dx)
        return;
    sort_by_row(&f, count, list, scratch);
    f.strips = NN_NEW(scratch, float, f.n * f.d);
    f.down = (f.n + ROWS - 1) / ROWS;
    const size_t jobs = f.down * ((f.d + COLS - 1) / COLS);
    nn_par_run(jobs, cut_job, &f);
    nn_par_run(jobs, pull_job, &f);
}
