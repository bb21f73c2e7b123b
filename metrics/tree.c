/* The length of the minimum spanning tree of the unit rows u_i = z_i / |z_i|.
 *
 *   mst   E / n / sqrt(2 (n - 1) / n)     E the sum of the tree's n - 1 edges      (M18)
 *
 * The divisor is what the corners of a regular simplex have, the most there can be for
 * n <= d + 1: rows that are as far from each other as possible read 1, a point 0.  It is
 * what "T-REGS: Minimum Spanning Tree Regularization for Self-Supervised Learning" (2025)
 * makes long, and it falls with both kinds of collapse.  It depends on n like
 * n^(-1 / dimension): compare at equal n only.
 *
 * Prim's algorithm in the order of nn/ops/tree.c: from row 0, always the row nearest to
 * the tree.  Distances are direct differences. */
#include <math.h>

#include "metrics/met.h"
#include "nn/elem.h"
#include "nn/kern/kern.h"
#include "nn/kern/pairs.h"
#include "nn/par.h"

enum {
    MATRIX = 8192,          /* rows up to which all distances are held: 256 MiB */
    SOME = 128              /* distances of a job, where they are made row by row */
};

/* Squared distances of row `from` to all. */
typedef struct reach { size_t n, d, from; const float *u; float *row; } reach;

static void some(void *ctx, size_t job, int worker)
{
    const reach *r = ctx;
    const float *u = r->u + r->from * r->d;
    (void)worker;

    for (size_t j = job * SOME; j < job * SOME + SOME && j < r->n; j++)
        r->row[j] = nn_kern_now->dist2(r->d, u, r->u + j * r->d);
}

static double tree_length(size_t n, size_t d, const float *u, nn_arena *scratch)
{
    size_t mark = nn_arena_mark(scratch), stride = nn_dist2_stride(n), at = 0;
    float *best = NN_NEW(scratch, float, n), *via = NN_NEW(scratch, float, n);
    float *all = NN_NEW(scratch, float, n <= MATRIX ? n * stride : n);
    reach r = { n, d, 0, u, all };
    double sum = 0;

    if (n <= MATRIX)
        nn_dist2(n, d, u, all, scratch);
    for (size_t j = 0; j < n; j++)
        best[j] = INFINITY;
    best[0] = -1;                               /* in the tree */
    for (size_t edge = 1; edge < n; edge++) {
        r.from = at;
        if (n > MATRIX)
            nn_par_run((n + SOME - 1) / SOME, some, &r);
        at = nn_kern_now->tree_reach(n, n <= MATRIX ? all + at * stride : all, 0, best,
                                     via);
        sum += sqrt(best[at]);
        best[at] = -1;
    }
    nn_arena_rewind(scratch, mark);
    return sum;
}

static double simplex(double n)
{
    return sqrt(2 * (n - 1) / n);
}

static double value(met_view *v)
{
    if (!v->usable)
        return NAN;
    double length = tree_length((size_t)v->n, (size_t)v->d, met_unit(v), v->arena);
    return length / v->n / simplex(v->n);
}

/* No formula is known for uniform points on the sphere.  These are means over samples,
 * from SciPy (tests/golden/make_mst.py): rows n = 64, 128 ... 4096, columns d as below.
 * Lengths go with powers of n, so logarithms are interpolated, over logarithms. */
static const int dims[] = { 2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048 };
static const double table[][12] = {
    { .06491, .20155, .30791, .52805, .68104, .77679,
      .84657, .89028, .92131, .94279, .95734, .96750 },
    { .03326, .14284, .24466, .47794, .64482, .75561,
      .83057, .88137, .91566, .94014, .95703, .96849 },
    { .01698, .10078, .19392, .42846, .60784, .73126,
      .81468, .87110, .90992, .93639, .95471, .96762 },
    { .00856, .07107, .15471, .38782, .57417, .70943,
      .79986, .86126, .90323, .93227, .95206, .96607 },
    { .00431, .05062, .12193, .34698, .54473, .68827,
      .78481, .85157, .89643, .92749, .94906, .96402 },
    { .00216, .03583, .09791, .31496, .51880, .66707,
      .77170, .84196, .89029, .92326, .94612, .96214 },
    { .00108, .02535, .07763, .28414, .49220, .64855,
      .75778, .83243, .88363, .91887, .94318, .96008 },
};
enum { DIMS = sizeof dims / sizeof *dims, SIZES = sizeof table / sizeof *table };

static double between(double a, double b, double share)
{
    return nn_log(a) + share * (nn_log(b) - nn_log(a));
}

static double ideal(int n, int d, int k)
{
    int size = 0, dim = 0;
    (void)k;

    if (n < 64 || n > 64 << (SIZES - 1) || d < dims[0] || d > dims[DIMS - 1])
        return NAN;
    while (size < SIZES - 2 && n >= 64 << (size + 1))
        size++;
    while (dim < DIMS - 2 && d >= dims[dim + 1])
        dim++;
    double share = between(1, n / (double)(64 << size), 1) / between(1, 2, 1);
    double low = between(table[size][dim], table[size + 1][dim], share);
    double high = between(table[size][dim + 1], table[size + 1][dim + 1], share);
    double across = between(1, d / (double)dims[dim], 1)
                    / between(1, dims[dim + 1] / (double)dims[dim], 1);
    return nn_exp(low + across * (high - low));
}

const met_metric met_mst = {
    .name = "collapse/mst",
    .about = "length of the minimum spanning tree of unit rows, a simplex = 1",
    .reference = "uniform on the sphere",
    .value = value, .ideal = ideal,
};
