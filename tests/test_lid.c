/* Nearest neighbours (nn/kern/pairs.h) and the local dimension (nn/ops/lid.c): against
 * PyTorch in float64 (tests/golden/make_pairs.py), plain search, the arithmetic of the
 * specification, and the degenerate cases. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/kern/pairs.h"
#include "nn/op.h"
#include "nn/ops.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "tests/golden.h"
#include "tests/suites.h"

static const nn_lid_estimator all[] = { NN_LID_MOM, NN_LID_MOM_PAPER, NN_LID_MLE,
                                        NN_LID_HILL, NN_LID_UNBIASED };

typedef struct bench {
    nn_arena step, scratch;
    nn_tape tape;
    nn_node *x, *y;
} bench;

static void bench_open(bench *b)
{
    memset(b, 0, sizeof *b);
    nn_tape_start(&b->tape, &b->step, &b->scratch);
}

static void bench_close(bench *b)
{
    nn_tape_free(&b->tape);
    nn_arena_free(&b->step);
    nn_arena_free(&b->scratch);
}

/* ln LID of every row is in b->y, the gradient of their mean in b->x. */
static void measure(bench *b, int n, int d, const float *x, nn_lid_settings s)
{
    nn_tape_reset(&b->tape);
    b->x = nn_input(&b->tape, nn_shape2(n, d), x, 1);
    b->y = nn_pin(nn_lid(&b->tape, b->x, NULL, s));
    nn_backward(nn_mean(&b->tape, b->y));
}

static float *cloud(int n, int d, uint64_t seed)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_TEST, 0, 0);
    float *x = malloc(sizeof *x * (size_t)(n * d));
    for (int i = 0; i < n * d; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

static int all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return 0;
    return 1;
}

/* --- kernels ----------------------------------------------------------------------- */

extern const nn_kern nn_kern_avx512_emulated __attribute__((weak));

enum { TABLES = 4 };

/* Every table that can run here, AVX-512 through SIMDe where the processor lacks it. */
static const nn_kern *table(int i)
{
    if (i < nn_kern_count())
        return nn_kern_at(i);
    if (i == nn_kern_count() && &nn_kern_avx512_emulated)
        return &nn_kern_avx512_emulated;
    return NULL;
}

START_TEST(tiles_of_distances_follow_the_plan_to_the_bit)
{
    enum { K = 19 };
    const nn_kern *t = table(_i);
    if (!t) {
        printf("skipped: there is no kernel table %d here\n", _i);
        return;
    }
    const size_t mr = (size_t)t->mr, nr = (size_t)t->nr, ldc = nr + 3;
    float *a = cloud(K, t->mr, 1), *b = cloud(K, t->nr, 2);
    float *c = malloc(sizeof *c * mr * ldc);
    for (int rows = 1; rows <= t->mr; rows++)
        for (int cols = 1; cols <= t->nr; cols++) {
            nn_tile tile = { c, ldc, rows, cols, (rows + cols) % 2 };
            for (size_t i = 0; i < mr * ldc; i++)
                c[i] = 7;
            t->tile_dist(K, a, b, &tile);
            for (size_t i = 0; i < mr; i++)
                for (size_t j = 0; j < ldc; j++) {
                    float want = 0, d;
                    for (size_t k = 0; k < K; k++) {
                        d = a[k * mr + i] - b[k * nr + j % nr];
                        want = fmaf(d, d, want);
                    }
                    want = tile.add ? 7 + want : want;
                    if ((int)i >= rows || (int)j >= cols)
                        want = 7;
                    if (c[i * ldc + j] != want)
                        ck_abort_msg("%s: %d x %d, element %zu, %zu", t->name, rows, cols,
                                     i, j);
                }
        }
    free(a);
    free(b);
    free(c);
}
END_TEST

START_TEST(counts_reach_and_pull_follow_their_words)
{
    const nn_kern *t = table(_i);
    if (!t)
        return;
    for (int n = 1; n < 140; n += n < 40 ? 1 : 17) {
        float *x = cloud(n, 9, (uint64_t)n), *y = x + n, best[140], via[140], d[140];
        x[n / 2] = n % 3 ? x[n / 2] : NAN;
        size_t less = 0, least = (size_t)n;
        for (int i = 0; i < n; i++)
            less += x[i] < 0.2f;
        ck_assert_uint_eq(t->count_less((size_t)n, x, 0.2f), less);

        /* rows 1, 4, 7 ... are in the tree; 3 and 6 are equally near */
        for (int i = 0; i < n; i++) {
            y[i] = fabsf(y[i]) + 0.5f;
            best[i] = i % 3 == 1 ? -1 : i % 2 ? 1 : INFINITY;
            via[i] = 5;
        }
        y[n > 6 ? 3 : 0] = y[n > 6 ? 6 : 0] = 0.25f;
        float was[140];
        memcpy(was, best, sizeof was);
        size_t got = t->tree_reach((size_t)n, y, 9, best, via);
        for (int i = 0; i < n; i++) {
            float want = was[i] > y[i] ? y[i] : was[i];
            ck_assert(best[i] == want && via[i] == (was[i] > y[i] ? 9 : 5));
            if (want >= 0 && (least == (size_t)n || want < best[least]))
                least = (size_t)i;
        }
        ck_assert_uint_eq(got, least);
        for (int i = 0; i < n; i++)
            best[i] = i % 2 ? -1 : INFINITY;
        y[0] = NAN;
        for (int i = 1; i < n; i++)
            y[i] = INFINITY;
        ck_assert_uint_eq(t->tree_reach((size_t)n, y, 9, best, via), (size_t)n);

        /* three of six rows, one of them twice, in this order */
        const int from[] = { 4, 0, 5, 4 };
        const float weight[] = { 0.3f, -2, 0.7f, 1.1f };
        nn_pulls p = { 4, from, weight, x + 3 * n, (size_t)n };
        memcpy(d, x + 2 * n, sizeof *d * (size_t)n);
        t->pull((size_t)n, x + 2 * n, &p, d);
        for (int i = 0; i < n; i++) {
            float want = x[2 * n + i];
            for (int m = 0; m < 4; m++)
                want = fmaf(weight[m], x[2 * n + i] - x[(3 + from[m]) * n + i], want);
            ck_assert_msg(d[i] == want, "%s: pull %d of %d", t->name, i, n);
        }
        free(x);
    }
}
END_TEST

/* --- neighbours -------------------------------------------------------------------- */

static double dist2(int d, const float *x, const float *y)
{
    double q = 0;
    for (int k = 0; k < d; k++) {
        double t = (double)x[k] - (double)y[k];
        q += t * t;
    }
    return q;
}

/* Small integers: distances are exact and full of ties. */
static void on_a_grid(float *x, int count)
{
    for (int i = 0; i < count; i++)
        x[i] = (float)(int)(1.5f * x[i]);
}

/* The plain way: repeatedly the nearest of those left, the first of equals. */
static void check_neighbours(int n, int d, const float *x, int k, int i, const int *from,
                             const float *r2)
{
    char *taken = calloc((size_t)n, 1);
    taken[i] = 1;
    for (int m = 0; m < k; m++) {
        int best = -1;
        double least = 0;
        for (int j = 0; j < n; j++) {
            double q = taken[j] ? 0 : dist2(d, x + i * d, x + j * d);
            if (!taken[j] && (best < 0 || q < least)) {
                best = j;
                least = q;
            }
        }
        if (from[m] != best || (double)r2[m] != least)
            ck_abort_msg("%d x %d, k = %d, row %d: neighbour %d is %d at %g, "
                         "wanted %d at %g",
                         n, d, k, i, m, from[m], (double)r2[m], best, least);
        taken[best] = 1;
    }
    free(taken);
}

START_TEST(neighbours_are_those_of_a_plain_search)
{
    /* n, d, k, rows asked for; beyond 4096 it goes in slabs of 96 rows */
    static const int size[][4] = { { 2, 1, 1, 2 }, { 7, 3, 6, 7 }, { 97, 2, 5, 97 },
                                   { 200, 9, 64, 200 }, { 300, 270, 299, 300 },
                                   { 4150, 3, 7, 4150 }, { 7, 3, 6, 1 },
                                   { 200, 9, 64, 96 }, { 300, 5, 20, 97 },
                                   { 300, 5, 20, 250 }, { 4150, 3, 7, 200 } };
    for (size_t s = 0; s < NN_COUNT(size); s++) {
        const int n = size[s][0], d = size[s][1], k = size[s][2], asked = size[s][3];
        const size_t pairs = (size_t)asked * (size_t)k;
        float *x = cloud(n, d, s), *r2 = malloc(sizeof *r2 * pairs);
        int *from = malloc(sizeof *from * pairs), step = n > 1000 ? 37 : 1;
        nn_arena scratch = {0};
        on_a_grid(x, n * d);
        nn_neighbours((size_t)n, (size_t)d, x, (size_t)asked, (size_t)k, from, r2,
                      &scratch);
        for (int i = 0; i < asked; i += step)
            check_neighbours(n, d, x, k, i, from + i * k, r2 + i * k);
        ck_assert_uint_eq(nn_arena_mark(&scratch), 0);
        nn_arena_free(&scratch);
        free(x);
        free(r2);
        free(from);
    }
}
END_TEST

START_TEST(distances_stay_good_where_rows_nearly_coincide)
{
    enum { N = 100, D = 300 };
    float *x = cloud(N, D, 3), *c;
    nn_arena scratch = {0};
    for (int i = 0; i < N * D; i++)             /* far out, a millionth apart */
        x[i] = 1000 + 1e-3f * x[i];
    const size_t stride = nn_dist2_stride(N);
    c = malloc(sizeof *c * N * stride);
    nn_dist2(N, D, x, c, &scratch);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double want = dist2(D, x + i * D, x + j * D);
            double got = (double)c[(size_t)i * stride + (size_t)j];
            /* differences are exact; 256 + 2 roundings of a sum of positive terms */
            if (!(fabs(got - want) <= 258 * 0x1p-24 * want))
                ck_abort_msg("%d, %d: %g, wanted %g", i, j, got, want);
        }
    nn_arena_free(&scratch);
    free(c);
    free(x);
}
END_TEST

START_TEST(a_row_of_nan_is_nobodys_neighbour_while_there_are_others)
{
    enum { N = 20, K = 4 };
    float *x = cloud(N, 2, 1), r2[N * (N - 1)];
    int from[N * (N - 1)];
    nn_arena scratch = {0};
    x[6] = NAN;                                                 /* row 3 */
    nn_neighbours(N, 2, x, N, K, from, r2, &scratch);
    for (int i = 0; i < N; i++)
        for (int m = 0; m < K; m++) {
            const int j = from[i * K + m];
            ck_assert(j >= 0 && j < N && j != i && (i == 3 || j != 3));
            ck_assert_int_eq(isnan(r2[i * K + m]) != 0, i == 3);
        }
    nn_neighbours(N, 2, x, N, N - 1, from, r2, &scratch);
    ck_assert_int_eq(from[N - 2], 3);                   /* all others: it comes last */
    ck_assert(isnan(r2[N - 2]));
    nn_arena_free(&scratch);
    free(x);
}
END_TEST

/* --- the operator ------------------------------------------------------------------ */

/* A distance is good to 1e-6 (tests/test_tree.c).  The logarithm of a dimension of 10
 * hangs on w - mu = w / 11, which makes it 1e-5; ratios near 1 do the same to q. */
static const double TOLERANCE = 2e-5;

enum { LID_CASES = 5, REFERENCE_CASES = 6 };

START_TEST(dimension_and_gradient_match_pytorch)
{
    golden g = golden_open("pairs.gold");
    bench b;
    bench_open(&b);
    for (int i = 0; i < LID_CASES; i++)
        for (int both = 0; both < 2; both++) {
            char at[32];
            snprintf(at, sizeof at, "lid/%d/%d/%d", i, _i, both);
            const golden_record *x = golden_at(&g, "%s/x", at);
            const golden_record *dy = golden_at(&g, "%s/dy", at);
            nn_lid_settings s = { (int)golden_at(&g, "lid/%d/set", i)->val[0], all[_i],
                                  both ? NN_LID_BOTH : NN_LID_DETACHED };
            nn_tape_reset(&b.tape);
            nn_node *in = nn_input(&b.tape, x->shape, x->val, 1);
            nn_node *y = nn_pin(nn_lid(&b.tape, in, NULL, s));
            nn_shape row = nn_shape2(1, x->shape.dim[0]);
            nn_backward(nn_linear(&b.tape, nn_reshape(&b.tape, y, row),
                                  nn_input(&b.tape, row, dy->val, 0), NULL));
            golden_check(golden_at(&g, "%s/y", at), y->val, TOLERANCE);
            golden_check(golden_at(&g, "%s/dx", at), in->grad, TOLERANCE);
        }
    bench_close(&b);
    golden_free(&g);
}
END_TEST

/* The same with a reference: neighbours among the other rows of x and all rows of z. */
START_TEST(dimension_against_a_reference_matches_pytorch)
{
    golden g = golden_open("pairs.gold");
    bench b;
    bench_open(&b);
    for (int i = 0; i < REFERENCE_CASES; i++)
        for (int both = 0; both < 2; both++) {
            char at[32];
            snprintf(at, sizeof at, "lidref/%d/%d/%d", i, _i, both);
            const golden_record *x = golden_at(&g, "%s/x", at);
            const golden_record *z = golden_at(&g, "%s/z", at);
            const golden_record *dy = golden_at(&g, "%s/dy", at);
            nn_lid_settings s = { (int)golden_at(&g, "lidref/%d/set", i)->val[0], all[_i],
                                  both ? NN_LID_BOTH : NN_LID_DETACHED };
            nn_tape_reset(&b.tape);
            nn_node *in = nn_input(&b.tape, x->shape, x->val, 1);
            nn_node *still = nn_input(&b.tape, z->shape, z->val, 1);
            nn_node *y = nn_pin(nn_lid(&b.tape, in, still, s));
            nn_shape row = nn_shape2(1, x->shape.dim[0]);
            nn_backward(nn_linear(&b.tape, nn_reshape(&b.tape, y, row),
                                  nn_input(&b.tape, row, dy->val, 0), NULL));
            golden_check(golden_at(&g, "%s/y", at), y->val, TOLERANCE);
            golden_check(golden_at(&g, "%s/dx", at), in->grad, TOLERANCE);
            ck_assert_msg(!still->grad, "%s: the reference moves", at);
        }
    bench_close(&b);
    golden_free(&g);
}
END_TEST

/* Some rows of a batch, with the others for reference, have the neighbours and so the
 * dimension that they have in the whole batch, to the bit; detached, the pull, too. */
START_TEST(rows_taken_out_of_their_batch_keep_their_dimension)
{
    enum { N = 210, D = 40, K = 20 };
    static const int some[] = { 1, 96, 97, 209 };
    float *x = cloud(N, D, 12), ones[N], grad[N * D], y[N];
    const nn_lid_settings s = { K, all[_i], NN_LID_DETACHED };
    bench b;
    for (int i = 0; i < N; i++)
        ones[i] = 1;
    bench_open(&b);
    for (int t = -1; t < (int)NN_COUNT(some); t++) {
        const int n = t < 0 ? N : some[t];
        nn_tape_reset(&b.tape);
        nn_node *in = nn_input(&b.tape, nn_shape2(n, D), x, 1), *rest = NULL;
        if (n < N)
            rest = nn_input(&b.tape, nn_shape2(N - n, D), x + n * D, 0);
        nn_node *lid = nn_pin(nn_lid(&b.tape, in, rest, s));
        nn_shape row = nn_shape2(1, n);
        nn_backward(nn_linear(&b.tape, nn_reshape(&b.tape, lid, row),
                              nn_input(&b.tape, row, ones, 0), NULL));
        if (t < 0) {
            memcpy(y, lid->val, sizeof y);
            memcpy(grad, in->grad, sizeof grad);
        }
        ck_assert_msg(memcmp(y, lid->val, sizeof *y * (size_t)n) == 0, "%d rows", n);
        ck_assert_msg(memcmp(grad, in->grad, sizeof *grad * (size_t)(n * D)) == 0,
                      "%d rows: the pull differs", n);
    }
    bench_close(&b);
    free(x);
}
END_TEST

/* Points of a line at 0, 1, 3, 6 and far ones on the other side: from the origin the
 * distances are 1, 2, 3, 4 (spec 14.5). */
START_TEST(distances_one_to_four_read_as_the_specification_says)
{
    static const float x[] = { 0, 1, -2, 3, -4, 100 };
    static const double want[] = { 1, 5.0 / 3, 1.690, 0, 0 };
    const double sum = log(4) + log(2) + log(4.0 / 3);          /* of ln(w / r_j) */
    bench b;
    bench_open(&b);
    for (int e = 0; e < (int)NN_COUNT(all); e++) {
        measure(&b, 6, 1, x, (nn_lid_settings){ 4, all[e], NN_LID_DETACHED });
        double lid = exp((double)b.y->val[0]);
        double hope = all[e] == NN_LID_HILL ? 4 / sum
                      : all[e] == NN_LID_UNBIASED ? 2 / sum : want[e];
        ck_assert_double_eq_tol(lid, hope, all[e] == NN_LID_MLE ? 5e-4 : 1e-6);
    }
    bench_close(&b);
}
END_TEST

START_TEST(paper_and_code_are_related_exactly)
{
    enum { N = 60, D = 6, K = 12 };
    float *x = cloud(N, D, 2), code[N];
    bench b;
    bench_open(&b);
    measure(&b, N, D, x, (nn_lid_settings){ K, NN_LID_MOM, NN_LID_DETACHED });
    memcpy(code, b.y->val, sizeof code);
    measure(&b, N, D, x, (nn_lid_settings){ K, NN_LID_MOM_PAPER, NN_LID_DETACHED });
    for (int i = 0; i < N; i++) {
        double c = exp((double)code[i]), p = exp((double)b.y->val[i]);
        /* the logarithms are floats of about 2: 1e-7 each */
        ck_assert_double_eq_tol(p, c + (1 + c) / (K - 1), 1e-6 * p);
    }
    bench_close(&b);
    free(x);
}
END_TEST

START_TEST(scaling_all_features_changes_no_dimension)
{
    enum { N = 80, D = 12, K = 10 };
    float *x = cloud(N, D, 8), y[N], g[N * D];
    bench b;
    bench_open(&b);
    nn_lid_settings s = { K, all[_i], NN_LID_BOTH };
    measure(&b, N, D, x, s);
    memcpy(y, b.y->val, sizeof y);
    memcpy(g, b.x->grad, sizeof g);
    for (int i = 0; i < N * D; i++)
        x[i] *= 1024;                           /* a power of two: exact but for LEAST */
    measure(&b, N, D, x, s);
    for (int i = 0; i < N; i++)
        ck_assert_double_eq_tol((double)b.y->val[i], (double)y[i], 1e-6);
    for (int i = 0; i < N * D; i++)
        ck_assert_double_eq_tol(1024 * (double)b.x->grad[i], (double)g[i], 1e-6);
    bench_close(&b);
    free(x);
}
END_TEST

/* --- edges of the world ------------------------------------------------------------ */

static void check_harmless(int n, int d, const float *x, int k, const char *what)
{
    bench b;
    bench_open(&b);
    for (size_t e = 0; e < NN_COUNT(all); e++)
        for (int both = 0; both < 2; both++) {
            measure(&b, n, d, x, (nn_lid_settings){ k, all[e],
                                 both ? NN_LID_BOTH : NN_LID_DETACHED });
            ck_assert_msg(all_finite(b.y->val, (size_t)n)
                              && all_finite(b.x->grad, (size_t)(n * d)),
                          "%s: estimator %zu gives no number", what, e);
        }
    bench_close(&b);
}

START_TEST(degenerate_batches_give_numbers)
{
    enum { N = 24, D = 24 };
    float same[N * D], pairs[N * D], corners[N * D] = { 0 }, *x = cloud(N, D, 4);
    for (int i = 0; i < N * D; i++) {
        same[i] = 0.1f * (float)(i % D);
        pairs[i] = x[i / D / 2 * D + i % D];
        corners[i] = i / D == i % D;
    }
    check_harmless(N, D, same, 8, "all rows equal");
    check_harmless(N, D, pairs, 8, "each row twice");
    check_harmless(N, D, pairs, 2, "each row twice, two neighbours");
    check_harmless(N, D, corners, 8, "a simplex");
    check_harmless(N, D, x, 1000, "more neighbours than rows");
    for (int n = 1; n < 6; n++)
        check_harmless(n, D, x, 64, "a handful of rows");
    free(x);
}
END_TEST

START_TEST(a_collapsed_batch_reads_as_one_and_is_left_alone)
{
    enum { N = 12, D = 5 };
    float x[N * D];
    bench b;
    bench_open(&b);
    for (int i = 0; i < N * D; i++)
        x[i] = 3;
    measure(&b, N, D, x, (nn_lid_settings){ 4, all[_i], NN_LID_BOTH });
    for (int i = 0; i < N; i++)
        ck_assert_float_eq(b.y->val[i], 0);
    for (int i = 0; i < N * D; i++)
        ck_assert_float_eq(b.x->grad[i], 0);
    bench_close(&b);
}
END_TEST

START_TEST(equidistant_rows_are_counted_and_read_as_ten_thousand)
{
    enum { N = 16, K = 6 };
    const nn_lid_settings s = { K, NN_LID_MOM, NN_LID_BOTH };
    float x[N * N] = { 0 };
    bench b;
    bench_open(&b);
    for (int i = 0; i < N; i++)
        x[i * N + i] = 2;
    nn_tape_reset(&b.tape);
    nn_node *in = nn_input(&b.tape, nn_shape2(N, N), x, 1);
    nn_node *y = nn_lid(&b.tape, in, NULL, s);
    ck_assert_int_eq(nn_lid_floored(y), N);
    /* mu / (1e-4 w), mu = w */
    for (int i = 0; i < N; i++)
        ck_assert_double_eq_tol(exp((double)y->val[i]), 1e4, 1e-2);
    float *cloudy = cloud(N, N, 1);
    in = nn_input(&b.tape, nn_shape2(N, N), cloudy, 1);
    y = nn_lid(&b.tape, in, NULL, s);
    ck_assert_int_eq(nn_lid_floored(y), 0);
    bench_close(&b);
    free(cloudy);
}
END_TEST

START_TEST(a_row_that_is_no_number_makes_its_dimension_none)
{
    enum { N = 30, D = 3 };
    float *x = cloud(N, D, 9);
    bench b;
    bench_open(&b);
    x[5 * D] = NAN;
    measure(&b, N, D, x, (nn_lid_settings){ 8, all[_i], NN_LID_BOTH });
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(isnan(b.y->val[i]) != 0, i == 5);
    bench_close(&b);
    free(x);
}
END_TEST

START_TEST(a_reference_that_is_no_number_is_not_lost)
{
    enum { N = 30, M = 20, D = 3 };
    float *x = cloud(N, D, 9), *z = cloud(M, D, 10);
    bench b;
    bench_open(&b);
    z[7 * D] = NAN;
    nn_node *y = nn_lid(&b.tape, nn_input(&b.tape, nn_shape2(N, D), x, 1),
                        nn_input(&b.tape, nn_shape2(M, D), z, 0),
                        (nn_lid_settings){ 4, all[_i], NN_LID_DETACHED });
    for (int i = 0; i < N; i++)
        ck_assert(isnan(y->val[i]));
    bench_close(&b);
    free(x);
    free(z);
}
END_TEST

/* --- the same everywhere ----------------------------------------------------------- */

START_TEST(teams_and_tables_give_the_same_bytes)
{
    enum { N = 210, D = 270, K = 20 };
    float *x = cloud(N, D, 3), y[N], g[N * D];
    const nn_lid_settings s = { K, NN_LID_MLE, NN_LID_BOTH };
    bench b;
    bench_open(&b);
    nn_par_set_threads(1);
    measure(&b, N, D, x, s);
    memcpy(y, b.y->val, sizeof y);
    memcpy(g, b.x->grad, sizeof g);
    for (int t = 0; t < nn_kern_count(); t++)
        for (int team = 1; team <= 3; team += 2) {
            nn_kern_now = nn_kern_at(t);
            nn_par_set_threads(team);
            measure(&b, N, D, x, s);
            ck_assert_msg(memcmp(y, b.y->val, sizeof y) == 0
                              && memcmp(g, b.x->grad, sizeof g) == 0,
                          "table %s, %d threads", nn_kern_now->name, team);
        }
    bench_close(&b);
    free(x);
}
END_TEST

START_TEST(the_second_step_asks_for_no_memory)
{
    float *x = cloud(100, 20, 6);
    bench b;
    bench_open(&b);
    nn_lid_settings s = { 8, NN_LID_MOM, NN_LID_BOTH };
    measure(&b, 100, 20, x, s);
    measure(&b, 100, 20, x, s);
    size_t grown = b.step.grown + b.scratch.grown;
    measure(&b, 100, 20, x, s);
    ck_assert_uint_eq(b.step.grown + b.scratch.grown, grown);
    bench_close(&b);
    free(x);
}
END_TEST

Suite *suite_lid(void)
{
    const int estimators = (int)NN_COUNT(all);
    Suite *s = suite_create("lid");
    TCase *t = tcase_create("lid");
    tcase_add_loop_test(t, tiles_of_distances_follow_the_plan_to_the_bit, 0, TABLES);
    tcase_add_loop_test(t, counts_reach_and_pull_follow_their_words, 0, TABLES);
    tcase_add_test(t, neighbours_are_those_of_a_plain_search);
    tcase_add_test(t, distances_stay_good_where_rows_nearly_coincide);
    tcase_add_test(t, a_row_of_nan_is_nobodys_neighbour_while_there_are_others);
    tcase_add_loop_test(t, dimension_and_gradient_match_pytorch, 0, estimators);
    tcase_add_loop_test(t, dimension_against_a_reference_matches_pytorch, 0, estimators);
    tcase_add_loop_test(t, rows_taken_out_of_their_batch_keep_their_dimension, 0,
                        estimators);
    tcase_add_test(t, distances_one_to_four_read_as_the_specification_says);
    tcase_add_test(t, paper_and_code_are_related_exactly);
    tcase_add_loop_test(t, scaling_all_features_changes_no_dimension, 0, estimators);
    tcase_add_test(t, degenerate_batches_give_numbers);
    tcase_add_loop_test(t, a_collapsed_batch_reads_as_one_and_is_left_alone, 0,
                        estimators);
    tcase_add_test(t, equidistant_rows_are_counted_and_read_as_ten_thousand);
    tcase_add_loop_test(t, a_row_that_is_no_number_makes_its_dimension_none, 0,
                        estimators);
    tcase_add_loop_test(t, a_reference_that_is_no_number_is_not_lost, 0, estimators);
    tcase_add_test(t, teams_and_tables_give_the_same_bytes);
    tcase_add_test(t, the_second_step_asks_for_no_memory);
    suite_add_tcase(s, t);
    return s;
}
