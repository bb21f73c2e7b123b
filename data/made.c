#include "data/made.h"

#include <math.h>
#include <stdio.h>

#include "nn/par.h"

enum { JOB = 256 };                     /* rows */

typedef struct part {
    const data_made *m;
    uint64_t seed, first;
    int n;
    float *value, *factor;
    uint16_t *label;
} part;

static void make_some(void *ctx, size_t job, int worker)
{
    const part *p = ctx;
    int begin = (int)job * JOB, end = p->n - begin < JOB ? p->n : begin + JOB;
    (void)worker;

    for (int i = begin; i < end; i++) {
        uint64_t number = p->first + (uint64_t)i;
        nn_rng r = nn_rng_at(p->seed, NN_RNG_GENERATE, 0, number);
        p->m->row(p->m->ctx, number, &r, p->value + (size_t)i * (size_t)p->m->columns,
                  p->label + i, p->factor + (size_t)i * (size_t)p->m->factors);
    }
}

static void make_part(part p, nn_arena *a, data_images *d)
{
    const data_made *m = p.m;

    p.value = NN_NEW(a, float, (size_t)p.n * (size_t)m->columns);
    p.label = NN_NEW(a, uint16_t, p.n);
    p.factor = NN_NEW(a, float, (size_t)p.n * (size_t)m->factors);
    nn_par_run(((size_t)p.n + JOB - 1) / JOB, make_some, &p);
    *d = (data_images){
        .n = p.n, .h = 1, .w = 1, .c = m->columns, .classes = m->classes,
        .value = p.value, .label = p.label, .factor = p.factor, .factors = m->factors,
        .names = m->names, .factor_names = m->factor_names, .std = { (float)m->std }
    };
}

static int at_most(int n, int limit)
{
    return limit && limit < n ? limit : n;
}

int data_made_train(const data_settings *s)
{
    return at_most(s->size, s->limit);
}

int data_made_test(const data_settings *s, int least)
{
    int tests = s->size / 5;
    return at_most(tests > least ? tests : least, s->test_limit);
}

void data_make(const data_made *m, const data_settings *s, uint64_t seed, nn_arena *a,
               data_images *train, data_images *test)
{
    make_part((part){ .m = m, .seed = seed, .n = data_made_train(s) }, a, train);
    make_part((part){ .m = m, .seed = seed, .first = DATA_FIRST_TEST,
                      .n = data_made_test(s, m->classes) }, a, test);
}

nn_rng data_made_shared(uint64_t seed)
{
    return nn_rng_at(seed, NN_RNG_GENERATE, 1, 0);
}

static double column_dot(const double *q, int rows, int cols, int i, int j)
{
    double sum = 0;
    for (int k = 0; k < rows; k++)
        sum += q[k * cols + i] * q[k * cols + j];
    return sum;
}

void data_made_frame(nn_rng *r, int rows, int cols, double *q)
{
    for (int k = 0; k < rows * cols; k++)
        q[k] = nn_rng_normal(r);
    for (int j = 0; j < cols; j++) {
        for (int i = 0; i < 2 * j; i++) {
            double along = column_dot(q, rows, cols, i % j, j);
            for (int k = 0; k < rows; k++)
                q[k * cols + j] -= along * q[k * cols + i % j];
        }
        double length = sqrt(column_dot(q, rows, cols, j, j));
        for (int k = 0; k < rows; k++)
            q[k * cols + j] /= length;
    }
}

const char *const *data_made_names(nn_arena *a, const char *word, int n)
{
    const char **names = NN_NEW0(a, const char *, n + 1);
    char text[64];

    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%.40s%d", word, i + 1);
        names[i] = nn_arena_copy(a, text);
    }
    return names;
}

int data_made_present(const data_settings *s, char *where, size_t size)
{
    (void)s;
    snprintf(where, size, "built in");
    return 1;
}
