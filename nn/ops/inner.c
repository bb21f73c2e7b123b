#include "nn/ops/inner.h"

void nn_grad_pass(nn_node *x, float a, const float *dy)
{
    int add;
    float *dx = nn_grad_into(x, &add);
    size_t n = nn_count(x);

    if (!dx)
        return;
#pragma omp parallel for schedule(static) if (n > NN_WORTH_A_TEAM)
    for (size_t i = 0; i < n; i++)
        dx[i] = add ? dx[i] + a * dy[i] : a * dy[i];
}

size_t nn_chunks(size_t rows)
{
    return (rows + NN_ROWS - 1) / NN_ROWS;
}

size_t nn_chunk_rows(size_t rows, size_t chunk)
{
    size_t left = rows - chunk * NN_ROWS;
    return left < NN_ROWS ? left : NN_ROWS;
}

double nn_tree_sum(double *part, size_t n)
{
    nn_fold_double(part, n, 1);
    return n ? part[0] : 0;
}

typedef struct columns {
    size_t rows, cols;
    const float *x;
    float *sum;                         /* cols per worker */
    double *part;                       /* cols per chunk */
} columns;

static void columns_chunk(void *ctx, size_t chunk, int worker)
{
    columns *c = ctx;
    float *sum = c->sum + (size_t)worker * c->cols;
    double *part = c->part + chunk * c->cols;

    nn_kern_now->col_sum(nn_chunk_rows(c->rows, chunk), c->cols,
                         c->x + chunk * NN_ROWS * c->cols, sum);
    for (size_t j = 0; j < c->cols; j++)
        part[j] = sum[j];
}

void nn_grad_columns(float *s, size_t rows, size_t cols, const float *x,
                     nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), chunks = nn_chunks(rows);
    columns c = { rows, cols, x,
                  NN_NEW(scratch, float, cols * (size_t)nn_par_threads()),
                  NN_NEW(scratch, double, cols * chunks) };

    nn_par_run(chunks, columns_chunk, &c);
    nn_fold_double(c.part, chunks, cols);
    for (size_t j = 0; chunks && j < cols; j++)
        s[j] += (float)c.part[j];
    nn_arena_rewind(scratch, mark);
}
