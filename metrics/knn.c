/* Weighted nearest neighbours: what a classifier that trains nothing gets out of features
 * ("Unsupervised Feature Learning via Non-Parametric Instance Discrimination", Wu et al.,
 * 2018; k = 200 and temperature 0.1 as in most CIFAR code, spec 11.1).
 *
 *   score(class) = sum over the k most similar bank rows of that class of exp(s / T)
 *
 * with s the cosine.  The largest s of a query is subtracted before exp: no class's order
 * changes and nothing overflows.  Read it beside the same figure for raw pixels and for
 * the untrained network; on easy data it hardly notices collapse. */
#include <math.h>

#include "metrics/met.h"
#include "nn/base.h"
#include "nn/elem.h"
#include "nn/kern/gemm.h"
#include "nn/par.h"

enum { TALL = 512, WIDE = 1024 };       /* queries and bank rows of a tile */

typedef struct near { float s; int at; } near;

typedef struct knn {
    const met_knn_settings *set;
    int k, held;                    /* held: neighbours that each query of the tile has */
    const float *s; int left, cols; /* (TALL, WIDE) similarities */
    near *heap;                     /* (TALL, k), the worst first */
    const uint8_t *bank_label, *query_label;
    int *right;                     /* (TALL) */
} knn;

static int worse(near a, near b)
{
    return a.s < b.s || (a.s == b.s && a.at > b.at);
}

/* Moves the item at `i` down until both below it are better. */
static void sink(near *heap, int n, int i)
{
    near item = heap[i];

    for (int below; (below = 2 * i + 1) < n; i = below) {
        if (below + 1 < n && worse(heap[below + 1], heap[below]))
            below++;
        if (!worse(heap[below], item))
            break;
        heap[i] = heap[below];
    }
    heap[i] = item;
}

/* Takes one tile's similarities of one query into its heap.  Bank rows come in order, so
 * one that is only as good as the worst held comes too late. */
static void take(void *ctx, size_t job, int worker)
{
    const knn *q = ctx;
    const float *s = q->s + job * WIDE;
    near *heap = q->heap + job * (size_t)q->k;
    int j = 0, held = q->held;
    (void)worker;

    for (; j < q->cols && held < q->k; j++) {
        heap[held++] = (near){ s[j], q->left + j };
        if (held == q->k)
            for (int i = q->k / 2; i-- > 0;)
                sink(heap, q->k, i);
    }
    for (; j < q->cols; j++)
        if (s[j] > heap[0].s) {
            heap[0] = (near){ s[j], q->left + j };
            sink(heap, q->k, 0);
        }
}

/* Sorts the heap, best first, adds up the weights in that order and takes a decision. */
static void decide(void *ctx, size_t job, int worker)
{
    const knn *q = ctx;
    near *heap = q->heap + job * (size_t)q->k;
    double score[256] = {0};
    int best = 0;
    (void)worker;

    for (int n = q->k - 1; n > 0; n--) {
        near first = heap[0];
        heap[0] = heap[n];
        heap[n] = first;
        sink(heap, n, 0);
    }
    for (int i = 0; i < q->k; i++)
        score[q->bank_label[heap[i].at]] +=
            nn_exp(((double)heap[i].s - heap[0].s) / q->set->temperature);
    for (int c = 1; c < q->set->classes; c++)
        if (score[c] > score[best])
            best = c;
    q->right[job] = best == q->query_label[job];
}

static void check_labels(const char *whose, const uint8_t *label, int n, int classes)
{
    for (int i = 0; i < n; i++)
        NN_NEED(label[i] < classes, "kNN: %s row %d has label %d of %d classes", whose, i,
                label[i], classes);
}

double met_knn(const met_knn_settings *s, int d, const float *bank,
               const uint8_t *bank_label, int bank_n, const float *query,
               const uint8_t *query_label, int query_n, nn_arena *scratch)
{
    NN_NEED(s->k > 0 && s->temperature > 0, "kNN: k %d, temperature %g", s->k,
            s->temperature);
    NN_NEED(s->classes > 0 && s->classes <= 256 && d > 0, "kNN: %d classes, %d features",
            s->classes, d);
    check_labels("bank", bank_label, bank_n, s->classes);
    check_labels("query", query_label, query_n, s->classes);
    if (bank_n < 1 || query_n < 1 || !met_finite(bank, (size_t)bank_n * d)
        || !met_finite(query, (size_t)query_n * d))
        return NAN;

    size_t mark = nn_arena_mark(scratch), width = (size_t)d;
    int tall = query_n < TALL ? query_n : TALL;
    knn q = { .set = s, .k = s->k < bank_n ? s->k : bank_n,
              .bank_label = bank_label, .right = NN_NEW(scratch, int, tall) };
    float *a = NN_NEW(scratch, float, (size_t)tall * width);
    float *b = NN_NEW(scratch, float, WIDE * width);
    float *sim = NN_NEW(scratch, float, (size_t)tall * WIDE);
    long right = 0;

    q.heap = NN_NEW(scratch, near, (size_t)tall * (size_t)q.k);
    q.s = sim;
    for (int top = 0; top < query_n; top += TALL) {
        int rows = query_n - top < TALL ? query_n - top : TALL;
        met_unit_rows(rows, d, query + (size_t)top * width, a);
        for (q.left = 0; q.left < bank_n; q.left += WIDE) {
            q.cols = bank_n - q.left < WIDE ? bank_n - q.left : WIDE;
            met_unit_rows(q.cols, d, bank + (size_t)q.left * width, b);
            nn_gemm((size_t)rows, (size_t)q.cols, width, (nn_mat){ a, width, 1 },
                    (nn_mat){ b, 1, width }, sim, WIDE, NULL, scratch);
            q.held = q.left < q.k ? q.left : q.k;
            nn_par_run((size_t)rows, take, &q);
        }
        q.query_label = query_label + top;
        nn_par_run((size_t)rows, decide, &q);
        for (int i = 0; i < rows; i++)
            right += q.right[i];
    }
    nn_arena_rewind(scratch, mark);
    return (double)right / query_n;
}
