/* Metrics beside PyTorch's: effective rank and the kNN evaluation; and what all collapse
 * metrics of an epoch take. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "metrics/met.h"

typedef struct work {
    int n, d, queries;
    float *x, *query;
    uint16_t *label, *query_label;
    met_knn_settings knn;
    const met_metric *metric; /* NULL: all of them */
    nn_arena arena;
    double value;
} work;

static work *work_new(int n, int d)
{
    work *w = calloc(1, sizeof *w);
    NN_NEED(w, "bench: out of memory");
    w->n = n, w->d = d;
    w->x = bench_new((size_t)n * (size_t)d, 1);
    return w;
}

static double value(void *state)
{
    const work *w = state;
    return w->value;
}

static void drop(void *state)
{
    work *w = state;
    free(w->x);
    free(w->query);
    free(w->label);
    free(w->query_label);
    nn_arena_free(&w->arena);
    free(w);
}

/* N D HOW; HOW is the other side's */
static void *erank_make(int words, char *const *word, char *why)
{
    int n, d;
    (void)why;
    if (words != 3 || !bench_int(word[0], 2, 1 << 24, &n)
        || !bench_int(word[1], 1, 1 << 14, &d))
        return NULL;
    work *w = work_new(n, d);
    w->metric = met_metric_find("collapse/erank");
    return w;
}

static void metric_run(void *state)
{
    work *w = state;
    enum { NEIGHBOURS = 20 }; /* for LID: the run's default */
    size_t mark = nn_arena_mark(&w->arena);
    met_view v = met_view_of(&w->arena, w->x, w->n, w->d, NEIGHBOURS);

    if (w->metric)
        w->value = w->metric->value(&v);
    for (int i = 0; !w->metric && i < met_metric_count(); i++)
        w->value = met_metric_at(i)->value(&v);
    nn_arena_rewind(&w->arena, mark);
}

const bench_item bench_item_erank = { "erank", erank_make, metric_run, value, drop };

/* N D */
static void *all_make(int words, char *const *word, char *why)
{
    int n, d;
    (void)why;
    if (words != 2 || !bench_int(word[0], 2, 1 << 24, &n)
        || !bench_int(word[1], 1, 1 << 14, &d))
        return NULL;
    return work_new(n, d);
}

const bench_item bench_item_metrics = { "metrics", all_make, metric_run, NULL, drop };

static uint16_t *labels(int n, int classes)
{
    uint16_t *label = calloc((size_t)n, sizeof *label);
    NN_NEED(label, "bench: out of memory");
    for (int i = 0; i < n; i++)
        label[i] = (uint16_t)(i % classes);
    return label;
}

/* BANK D QUERIES K CLASSES */
static void *knn_make(int words, char *const *word, char *why)
{
    int n, d, queries, k, classes;
    (void)why;
    if (words != 5 || !bench_int(word[0], 1, 1 << 24, &n)
        || !bench_int(word[1], 1, 1 << 14, &d)
        || !bench_int(word[2], 1, 1 << 24, &queries) || !bench_int(word[3], 1, n, &k)
        || !bench_int(word[4], 1, 255, &classes))
        return NULL;
    work *w = work_new(n, d);
    w->queries = queries;
    w->query = bench_new((size_t)queries * (size_t)d, 2);
    w->label = labels(n, classes);
    w->query_label = labels(queries, classes);
    w->knn = (met_knn_settings){ .k = k, .temperature = 0.07, .classes = classes };
    return w;
}

static void knn_run(void *state)
{
    work *w = state;
    w->value = met_knn(&w->knn, w->d, w->x, w->label, w->n, w->query, w->query_label,
                       w->queries, &w->arena);
}

const bench_item bench_item_knn = { "knn", knn_make, knn_run, value, drop };

static int rows(int quick, bench_row *row, int most)
{
    /* Ours sums in double, theirs in float32 or double: the effective rank agrees to
     * 1e-4; of 10,000 queries a few fall to another class when two scores nearly tie. */
    static const struct {
        bench_row row;
        int quick;
    } list[] = {
        { { "erank", "effective rank, 10000 x 512 (eigenvalues)", "erank 10000 512 eig",
            0, 1e-4 },
          1 },
        { { "erank svd", "the same (singular values)", "erank 10000 512 svd", 0, 1e-4 },
          1 },
        { { "others", "effective rank, 4096 x 2048 (eigenvalues)", "erank 4096 2048 eig",
            0, 1e-4 },
          0 },
        { { "knn", "kNN 200, bank 50000 x 512, 10000 queries",
            "knn 50000 512 10000 200 10", 0, 1e-3 },
          0 },
        { { "all", "all collapse metrics, 2048 x 256", "metrics 2048 256", 0, 0 }, 1 },
        { { "all", "all collapse metrics, 2048 x 2048", "metrics 2048 2048", 0, 0 }, 0 },
    };
    int n = 0;

    for (size_t i = 0; i < NN_COUNT(list) && n < most; i++)
        if (!quick || list[i].quick)
            row[n++] = list[i].row;
    return n;
}

static const bench_goal goals[] = {
    { "erank", "effective rank 10000x512", NULL, 1.2, 2, 0 },
    { "erank svd", "the same against singular values", NULL, 0, 0, 0 },
    { "knn", "kNN-200 evaluation", NULL, 1.6, 2.3, 0 },
    { NULL, NULL, NULL, 0, 0, 0 }
};

const bench_kind bench_kind_metrics = {
    .name = "metrics",
    .about = "metrics beside PyTorch's (milliseconds)",
    .partner = { "ours", "torch" },
    .rows = rows,
    .goals = goals,
    .seconds = 0.2,
    .rounds = 9,
};
