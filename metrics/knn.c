/* Weighted nearest neighbours: what a classifier that trains nothing gets out of features
 * ("Unsupervised Feature Learning via Non-Parametric Instance Discrimination", Wu et al.,
 * 2018; k = 200 and temperature 0.1 as in most CIFAR code, spec 11.1).
 *
 *   score(class) = sum over the k nearest bank rows of that class of their weights
 *   weight       = exp(s / T)        s the cosine, or less the distance
 *
 * The largest s of a query is subtracted before exp: no class's order changes and nothing
 * overflows.  Other codes measure Euclidean distances r, and weigh by 1 / (r + 1e-5)
 * (solo-learn, while training) or not at all (INTL: the majority of 5); met.h has the
 * choices.  Read it beside the same figure for raw pixels and for the untrained network;
 * on easy data it hardly notices collapse. */
#include <float.h>
#include <math.h>

#include "metrics/best.h"
#include "metrics/met.h"
#include "nn/base.h"
#include "nn/elem.h"
#include "nn/kern/gemm.h"
#include "nn/kern/kern.h"
#include "nn/par.h"

/* Queries and bank rows of a tile, keys that all queries of a tile may hold, and queries
 * of a job. */
enum { TALL = 2048, WIDE = 1024, KEYS = 1 << 22, QUERIES = 16 };

typedef struct knn {
    const met_knn_settings *set;
    float *s;                       /* (TALL, WIDE) cosines, or less squared distances */
    const float *a, *b;             /* the rows of a tile of distances */
    int d, rows, left, cols;
    met_best *best;                 /* (TALL) */
    const uint16_t *bank_label, *query_label;
    int *right;                     /* (TALL) */
} knn;

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Distances to the rows first .. end - 1 of a tile; what a float cannot hold is as far as
 * can be, so that the bank's rows are always enough. */
static void measure(const knn *q, int first, int end)
{
    size_t d = (size_t)q->d;

    for (int j = 0; j < q->cols; j++)
        for (int i = first; i < end; i++) {
            float r2 = nn_kern_now->dist2(d, q->a + (size_t)i * d, q->b + (size_t)j * d);
            q->s[(size_t)i * WIDE + j] = r2 < FLT_MAX ? -r2 : -FLT_MAX;
        }
}

/* Takes one tile's similarities. */
static void take(void *ctx, size_t job, int worker)
{
    const knn *q = ctx;
    int first = (int)job * QUERIES, end = least(first + QUERIES, q->rows);
    (void)worker;

    if (q->set->distance == MET_EUCLIDEAN)
        measure(q, first, end);
    for (int i = first; i < end; i++)
        met_best_take(q->best + i, q->s + (size_t)i * WIDE, q->cols, q->left);
}

/* The weight of a bank row that is as near as `s` says where the nearest has `top`. */
static double weight(const met_knn_settings *set, double s, double top)
{
    int plane = set->distance == MET_EUCLIDEAN;

    if (set->vote == MET_VOTE_COUNT)
        return 1;
    if (set->vote == MET_VOTE_EXP)
        return nn_exp((plane ? sqrt(-top) - sqrt(-s) : s - top) / set->temperature);
    double r2 = plane ? -s : 2 - 2 * s;                 /* rounding may leave s above 1 */
    return 1 / ((r2 > 0 ? sqrt(r2) : 0) + 1e-5);
}

/* Adds up the weights, best first, and takes a decision. */
static void decide(void *ctx, size_t job, int worker)
{
    const knn *q = ctx;
    met_best *near = q->best + job;
    double score[MET_MOST_CLASSES] = {0};
    int best = 0;
    (void)worker;

    met_best_sort(near);
    float top = met_best_value(near->key[0]);
    for (int i = 0; i < near->held; i++)
        score[q->bank_label[met_best_place(near->key[i])]] +=
            weight(q->set, met_best_value(near->key[i]), top);
    for (int c = 1; c < q->set->classes; c++)
        if (score[c] > score[best])
            best = c;
    q->right[job] = best == q->query_label[job];
}

double met_knn(const met_knn_settings *s, int d, const float *bank,
               const uint16_t *bank_label, int bank_n, const float *query,
               const uint16_t *query_label, int query_n, nn_arena *scratch)
{
    NN_NEED(s->k > 0 && (s->temperature > 0 || s->vote != MET_VOTE_EXP),
            "kNN: k %d, temperature %g", s->k, s->temperature);
    NN_NEED(s->classes > 0 && s->classes <= MET_MOST_CLASSES && d > 0, "kNN: %d classes, %d features",
            s->classes, d);
    met_check_labels("kNN: bank", bank_label, bank_n, s->classes);
    met_check_labels("kNN: query", query_label, query_n, s->classes);
    if (bank_n < 1 || query_n < 1 || !met_finite(bank, (size_t)bank_n * d)
        || !met_finite(query, (size_t)query_n * d))
        return NAN;

    size_t mark = nn_arena_mark(scratch), width = (size_t)d;
    int k = least(s->k, bank_n), tall = least(query_n, TALL);
    if (tall > KEYS / (2 * k))
        tall = KEYS / (2 * k) > 16 ? KEYS / (2 * k) : least(query_n, 16);
    knn q = { .set = s, .d = d, .bank_label = bank_label,
              .right = NN_NEW(scratch, int, tall),
              .best = NN_NEW(scratch, met_best, tall) };
    int plane = s->distance == MET_EUCLIDEAN;
    float *a = plane ? NULL : NN_NEW(scratch, float, (size_t)tall * width);
    float *b = plane ? NULL : NN_NEW(scratch, float, WIDE * width);
    uint64_t *key = NN_NEW(scratch, uint64_t, (size_t)tall * 2 * (size_t)k);
    long right = 0;

    q.s = NN_NEW(scratch, float, (size_t)tall * WIDE);
    for (int top = 0; top < query_n; top += tall) {
        int rows = q.rows = least(tall, query_n - top);
        q.a = query + (size_t)top * width;
        if (!plane)
            met_unit_rows(rows, d, q.a, a);
        for (int i = 0; i < rows; i++)
            q.best[i] = (met_best){ k, 0, -INFINITY, key + (size_t)i * 2 * (size_t)k };
        for (q.left = 0; q.left < bank_n; q.left += WIDE) {
            q.cols = least(WIDE, bank_n - q.left);
            q.b = bank + (size_t)q.left * width;
            if (!plane) {
                met_unit_rows(q.cols, d, q.b, b);
                nn_gemm((size_t)rows, (size_t)q.cols, width, (nn_mat){ a, width, 1 },
                        (nn_mat){ b, 1, width }, q.s, WIDE, NULL, scratch);
            }
            nn_par_run(((size_t)rows + QUERIES - 1) / QUERIES, take, &q);
        }
        q.query_label = query_label + top;
        nn_par_run((size_t)rows, decide, &q);
        for (int i = 0; i < rows; i++)
            right += q.right[i];
    }
    nn_arena_rewind(scratch, mark);
    return (double)right / query_n;
}
