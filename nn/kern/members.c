/* The way back from indices to codes.  The vectors of a code are found by a counting
 * sort, so its sum has one order, whoever makes it. */
#include "nn/kern/members.h"

#include <string.h>

#include "nn/base.h"
#include "nn/par.h"

enum { SPAN = 64 };                     /* codes in a job of nn_code_sums */

/* Counting sort: how many, where each code's begin, then one place after another. */
nn_members nn_code_members(size_t n, size_t k, const int *index, nn_arena *a)
{
    nn_members m = { k, NN_NEW0(a, size_t, k + 2), NN_NEW(a, int, n) };
    size_t *next = m.first + 1;
    for (size_t i = 0; i < n; i++) {
        NN_NEED(index[i] >= 0 && (size_t)index[i] < k, "code %d of %zu", index[i], k);
        next[index[i] + 1]++;
    }
    for (size_t j = 0; j < k; j++)
        next[j + 1] += next[j];
    for (size_t i = 0; i < n; i++)
        m.row[next[index[i]]++] = (int)i;
    return m;
}

typedef struct sums {
    const nn_members *m;
    size_t d;
    const float *x;
    int add;
    float *sum;
    double *total;                      /* d per worker */
} sums;

static void sums_job(void *ctx, size_t job, int worker)
{
    const sums *p = ctx;
    const size_t d = p->d, *first = p->m->first;
    const size_t last = (job + 1) * SPAN, end = last < p->m->k ? last : p->m->k;
    double *total = p->total + (size_t)worker * d;

    for (size_t j = job * SPAN; j < end; j++) {
        float *sum = p->sum + j * d;
        if (p->add && first[j] == first[j + 1])
            continue;
        memset(total, 0, d * sizeof *total);
        for (size_t r = first[j]; r < first[j + 1]; r++) {
            const float *x = p->x + (size_t)p->m->row[r] * d;
            for (size_t i = 0; i < d; i++)
                total[i] += (double)x[i];
        }
        for (size_t i = 0; i < d; i++)
            sum[i] = p->add ? sum[i] + (float)total[i] : (float)total[i];
    }
}

void nn_code_sums(const nn_members *m, size_t d, const float *x, int add, float *sum,
                  nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    sums p = { m, d, x, add, sum, NN_NEW(scratch, double, d * (size_t)nn_par_threads()) };
    nn_par_run((m->k + SPAN - 1) / SPAN, sums_job, &p);
    nn_arena_rewind(scratch, mark);
}
