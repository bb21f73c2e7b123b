#include "nn/ops/columns.h"

#include <string.h>

typedef struct stripes {
    size_t rows, cols;
    const float *x, *m, *w;
    int add;
    float *y;
    float *sum;                         /* cols per worker */
    double *part;                       /* cols per stripe */
} stripes;

static size_t count(size_t rows)
{
    return (rows + NN_STRIPE - 1) / NN_STRIPE;
}

static size_t rows_of(const stripes *s, size_t stripe)
{
    size_t left = s->rows - stripe * NN_STRIPE;
    return left < NN_STRIPE ? left : NN_STRIPE;
}

static void store(const stripes *s, size_t stripe, const float *sum)
{
    double *part = s->part + stripe * s->cols;
    for (size_t j = 0; j < s->cols; j++)
        part[j] = (double)sum[j];
}

static void sum_stripe(void *ctx, size_t stripe, int worker)
{
    const stripes *s = ctx;
    float *sum = s->sum + (size_t)worker * s->cols;
    nn_kern_now->col_sum(rows_of(s, stripe), s->cols, s->x + stripe * NN_STRIPE * s->cols,
                         sum);
    store(s, stripe, sum);
}

static void square_stripe(void *ctx, size_t stripe, int worker)
{
    const stripes *s = ctx;
    float *sum = s->sum + (size_t)worker * s->cols;
    nn_kern_now->col_sq(rows_of(s, stripe), s->cols, s->x + stripe * NN_STRIPE * s->cols,
                        s->m, sum);
    store(s, stripe, sum);
}

static void dot_stripe(void *ctx, size_t stripe, int worker)
{
    const stripes *s = ctx;
    const size_t at = stripe * NN_STRIPE * s->cols;
    float *sum = s->sum + (size_t)worker * s->cols;
    nn_kern_now->col_dot(rows_of(s, stripe), s->cols, s->x + at, s->w + at, sum);
    store(s, stripe, sum);
}

/* The sums of a pass in s->part[0 .. cols - 1]. */
static void fold(stripes *s, nn_job *pass)
{
    nn_par_run(count(s->rows), pass, s);
    nn_fold_double(s->part, count(s->rows), s->cols);
}

static void reserve(stripes *s, nn_arena *scratch)
{
    s->sum = NN_NEW(scratch, float, s->cols * (size_t)nn_par_threads());
    s->part = NN_NEW(scratch, double, s->cols * count(s->rows));
}

void nn_column_moments(size_t rows, size_t cols, const float *x, float *mean,
                       double *square, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    stripes s = { .rows = rows, .cols = cols, .x = x, .m = mean };
    reserve(&s, scratch);
    fold(&s, sum_stripe);
    for (size_t j = 0; j < cols; j++)
        mean[j] = (float)(s.part[j] / (double)rows);
    if (square) {
        fold(&s, square_stripe);
        memcpy(square, s.part, cols * sizeof *square);
    }
    nn_arena_rewind(scratch, mark);
}

void nn_column_dots(size_t rows, size_t cols, const float *a, const float *b, double *sum,
                    nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    stripes s = { .rows = rows, .cols = cols, .x = a, .w = b };
    reserve(&s, scratch);
    fold(&s, dot_stripe);
    memcpy(sum, s.part, cols * sizeof *sum);
    nn_arena_rewind(scratch, mark);
}

static void lean_stripe(void *ctx, size_t stripe, int worker)
{
    const stripes *s = ctx;
    const size_t at = stripe * NN_STRIPE * s->cols;
    (void)worker;
    nn_kern_now->lean(rows_of(s, stripe), s->cols, s->x + at, s->m, s->w, s->add,
                      s->y + at);
}

static const float *filled(const float *given, float otherwise, size_t n,
                           nn_arena *scratch)
{
    if (given)
        return given;
    float *all = NN_NEW(scratch, float, n);
    for (size_t j = 0; j < n; j++)
        all[j] = otherwise;
    return all;
}

void nn_column_lean(size_t rows, size_t cols, const float *x, const float *m,
                    const float *w, int add, float *y, nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    stripes s = { .rows = rows, .cols = cols, .x = x, .add = add, .y = y,
                  .m = filled(m, 0, cols, scratch), .w = filled(w, 1, cols, scratch) };
    nn_par_run(count(rows), lean_stripe, &s);
    nn_arena_rewind(scratch, mark);
}

double nn_matrix_dot(size_t rows, size_t cols, const float *a, const float *b,
                     nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    double *part = NN_NEW(scratch, double, rows);
#pragma omp parallel for schedule(static) if (rows * cols > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < rows; i++)
        part[i] = (double)nn_kern_now->dot(cols, a + i * cols, b + i * cols);
    double sum = nn_tree_sum(part, rows);
    nn_arena_rewind(scratch, mark);
    return sum;
}

void nn_matrix_scale(size_t n, float f, float *x)
{
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        x[i] *= f;
}
