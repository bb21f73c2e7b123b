/* tree: the length of the Euclidean minimum spanning tree of the rows of X (n x d), as in
 * "T-REGS: Minimum Spanning Tree Regularization for Self-Supervised Learning" (2025).
 *
 *   forward    E = sum over the n - 1 edges (i, j) of r_ij = |x_i - x_j|
 *   backward   dx_i += dE sum over the tree's neighbours j of i of (x_i - x_j) / r_ij
 *
 * Every edge pushes its two ends apart with the same force, however short it is.  The
 * tree is constant between the points where two distances are equal; there, any minimum
 * tree gives a subgradient.  Edges shorter than 1e-8 have no direction and push nothing
 * (duplicates; spec 5.4).
 *
 * Prim's algorithm: from row 0, always take the row nearest to the tree, the lowest index
 * first among equals; it hangs on the row that came within that distance first.
 * Distances are direct differences.  All of them, worked out in tiles, cost less than the
 * rows one after the other, each of which would read the whole of X; so n x n floats are
 * held up to MATRIX rows.  A row with a NaN or an infinity is reached last and makes the
 * length one, so that it is noticed. */
#include <math.h>

#include "nn/base.h"
#include "nn/kern/pairs.h"
#include "nn/ops/pairs.h"

enum {
    MATRIX = 8192,          /* rows up to which all distances are held: 256 MiB */
    SOME = 128              /* distances of a job, where they are made row by row */
};

static const float NO_DIRECTION = 1e-8f;

/* What is kept of each edge: the row that was in the tree, the row that came, length. */
typedef struct edges { int *from, *to; float *length; size_t count; } edges;

static edges edges_of(const nn_node *y)
{
    const size_t n = (size_t)nn_rows(y->in[0]) - 1;
    int *ends = (int *)y->keep;
    return (edges){ ends, ends + n, y->keep + 2 * n, n };
}

static void shape(nn_node *y)
{
    NN_NEED(y->in[0]->shape.rank == 2 && nn_rows(y->in[0]) > 0
                && nn_rows(y->in[0]) < 1 << 24,
            "tree: wanted rows of embeddings, at most 2^24");
    y->shape = nn_shape1(1);
    y->kept = 3 * (size_t)(nn_rows(y->in[0]) - 1);
}

/* Distances of one row to all, made when they are asked for. */
typedef struct distances {
    size_t n, d, from;
    const float *x;
    float *all, *row;                   /* all: NULL when too many */
} distances;

static void some(void *ctx, size_t job, int worker)
{
    const distances *c = ctx;
    const float *x = c->x + c->from * c->d;
    (void)worker;
    for (size_t j = job * SOME; j < job * SOME + SOME && j < c->n; j++)
        c->row[j] = nn_kern_now->dist2(c->d, x, c->x + j * c->d);
}

static const float *distances_of(distances *c, size_t i)
{
    if (c->all)
        return c->all + i * nn_dist2_stride(c->n);
    c->from = i;
    nn_par_run((c->n + SOME - 1) / SOME, some, c);
    return c->row;
}

static void prim(distances *c, const edges *e, nn_arena *scratch)
{
    float *best = NN_NEW(scratch, float, c->n), *via = NN_NEW0(scratch, float, c->n);
    size_t i = 0, first = 0;            /* all rows before `first` are in the tree */

    for (size_t j = 0; j < c->n; j++)
        best[j] = INFINITY;
    best[0] = -1;
    for (size_t t = 0; t < e->count; t++) {
        i = nn_kern_now->tree_reach(c->n, distances_of(c, i), (float)i, best, via);
        while (best[first] == -1)
            first++;
        if (i == c->n)                  /* the rest is nowhere: hang it on row 0 */
            i = first;
        e->from[t] = (int)via[i];
        e->to[t] = (int)i;
        best[i] = -1;
    }
}

static void forward(nn_node *y, nn_arena *scratch)
{
    const edges e = edges_of(y);
    distances c = { .n = e.count + 1, .d = (size_t)nn_cols(y->in[0]),
                    .x = y->in[0]->val };
    double *part = NN_NEW(scratch, double, c.n);

    if (c.n <= MATRIX) {
        c.all = NN_NEW(scratch, float, c.n * nn_dist2_stride(c.n));
        nn_dist2(c.n, c.d, c.x, c.all, scratch);
    } else {
        c.row = NN_NEW(scratch, float, c.n);
    }
    prim(&c, &e, scratch);
    for (size_t t = 0; t < e.count; t++) {
        const float *a = c.x + (size_t)e.from[t] * c.d, *b = c.x + (size_t)e.to[t] * c.d;
        part[t] = e.length[t] = sqrtf(nn_kern_now->dist2(c.d, a, b));
    }
    y->val[0] = (float)nn_tree_sum(part, e.count);
}

static void backward(nn_node *y, nn_arena *scratch)
{
    const edges e = edges_of(y);
    nn_pull *list = NN_NEW(scratch, nn_pull, 2 * e.count);

    for (size_t t = 0; t < e.count; t++) {
        float push = e.length[t] < NO_DIRECTION ? 0 : y->grad[0] / e.length[t];
        list[2 * t] = (nn_pull){ e.from[t], e.to[t], push };
        list[2 * t + 1] = (nn_pull){ e.to[t], e.from[t], push };
    }
    nn_pull_all(y->in[0], NULL, 2 * e.count, list, scratch);
}

nn_node *nn_tree(nn_tape *t, nn_node *x)
{
    return nn_record(t, &nn_op_tree, &x, 1, NULL, 0);
}

static nn_node *example(nn_tape *t, nn_node *const *in)
{
    return nn_tree(t, in[0]);
}

const nn_op nn_op_tree = { "tree", shape, forward, backward,
    { 1, { { 2, { 7, 5 } } }, example }, 0, NULL };
