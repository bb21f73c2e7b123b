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
    size_t n, all, d;                   /* rows of X, of X and the reference, columns */
    const float *x, *reference;
    float *strips;                      /* columns j0 .. j0 + COLS at all * j0 */
    float *dx;
    int add;
    size_t *at;
    int *from;
    float *weight;
} field;

/* The part of `rows` rows that belongs to one job. */
typedef struct part { size_t i0, i1, j0, cols; float *strip; } part;

static size_t down(size_t rows)
{
    return (rows + ROWS - 1) / ROWS;            /* jobs from top to bottom */
}

static size_t jobs_of(const field *f, size_t rows)
{
    return down(rows) * ((f->d + COLS - 1) / COLS);
}

static part part_of(const field *f, size_t rows, size_t job)
{
    const size_t i0 = job % down(rows) * ROWS, j0 = job / down(rows) * COLS;
    return (part){ i0, i0 + ROWS < rows ? i0 + ROWS : rows, j0,
                   j0 + COLS < f->d ? COLS : f->d - j0, f->strips + f->all * j0 };
}

static const float *row_of(const field *f, size_t i)
{
    return i < f->n ? f->x + i * f->d : f->reference + (i - f->n) * f->d;
}

static void cut_job(void *ctx, size_t job, int worker)
{
    const field *f = ctx;
    const part p = part_of(f, f->all, job);
    (void)worker;
    for (size_t i = p.i0; i < p.i1; i++)
        memcpy(p.strip + i * p.cols, row_of(f, i) + p.j0, p.cols * sizeof *f->x);
}

static void pull_job(void *ctx, size_t job, int worker)
{
    const field *f = ctx;
    const part p = part_of(f, f->n, job);
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

void nn_pull_all(nn_node *x, const nn_node *reference, size_t count, const nn_pull *list,
                 nn_arena *scratch)
{
    field f = { .n = (size_t)nn_rows(x), .d = (size_t)nn_cols(x), .x = x->val };
    f.all = f.n + (reference ? (size_t)nn_rows(reference) : 0);
    f.reference = reference ? reference->val : NULL;

    f.dx = nn_grad_into(x, &f.add);
    if (!f.dx)
        return;
    sort_by_row(&f, count, list, scratch);
    f.strips = NN_NEW(scratch, float, f.all * f.d);
    nn_par_run(jobs_of(&f, f.all), cut_job, &f);
    nn_par_run(jobs_of(&f, f.n), pull_job, &f);
}
