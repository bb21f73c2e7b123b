/* The tree term (nn/ops/tree.c) and the kernels it stands on: against SciPy's tree and
 * PyTorch's gradient (tests/golden/make_pairs.py), Kruskal's algorithm in double, closed
 * forms, and the degenerate cases. */
#include <check.h>
#include <math.h>
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

typedef struct bench {
    nn_arena step, scratch;
    nn_tape tape;
    nn_node *x;
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

/* Length of the tree of x; the gradient of it is left in b->x->grad. */
static float length_of(bench *b, int n, int d, const float *x)
{
    nn_tape_reset(&b->tape);
    b->x = nn_input(&b->tape, nn_shape2(n, d), x, 1);
    nn_node *y = nn_tree(&b->tape, b->x);
    nn_backward(y);
    return nn_item(y);
}

static float *cloud(int n, int d, uint64_t seed)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_TEST, 0, 0);
    float *x = malloc(sizeof *x * (size_t)(n * d));
    for (int i = 0; i < n * d; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

/* A sum of k squares in float32 is off by at most k 2^-24 of itself, by about the root of
 * that in practice: under 2e-6 at the 260 columns of these cases, half of it in a
 * distance.  The cloud at 50 with a spread of 1e-3 has the same error: differences of
 * neighbouring floats are exact.  A wrong edge shows at 1e-3. */
static const double TOLERANCE = 4e-6;

enum { TREE_CASES = 7 };

START_TEST(length_and_gradient_match_scipy_and_pytorch)
{
    golden g = golden_open("pairs.gold");
    bench b;
    bench_open(&b);
    for (int i = 0; i < TREE_CASES; i++) {
        const golden_record *x = golden_at(&g, "tree/%d/x", i);
        const golden_record *want = golden_at(&g, "tree/%d/dx", i);
        float dy = golden_at(&g, "tree/%d/dy", i)->val[0];
        nn_tape_reset(&b.tape);
        nn_node *in = nn_input(&b.tape, x->shape, x->val, 1);
        nn_node *y = nn_pin(nn_tree(&b.tape, in));
        nn_backward(nn_scale(&b.tape, dy, y));
        golden_check(golden_at(&g, "tree/%d/y", i), y->val, TOLERANCE);
        golden_check(want, in->grad, TOLERANCE);
    }
    bench_close(&b);
    golden_free(&g);
}
END_TEST

/* --- Kruskal ----------------------------------------------------------------------- */

typedef struct edge { double r; int i, j; } edge;

static int shorter(const void *a, const void *b)
{
    double p = ((const edge *)a)->r, q = ((const edge *)b)->r;
    return (p > q) - (p < q);
}

static int root_of(int *up, int i)
{
    while (up[i] != i)
        i = up[i] = up[up[i]];
    return i;
}

static double kruskal(int n, int d, const float *x)
{
    edge *e = malloc(sizeof *e * (size_t)(n * n));
    int *up = malloc(sizeof *up * (size_t)n), count = 0;
    double sum = 0;
    for (int i = 0; i < n; i++) {
        up[i] = i;
        for (int j = 0; j < i; j++) {
            double q = 0;
            for (int k = 0; k < d; k++) {
                double t = (double)x[i * d + k] - (double)x[j * d + k];
                q += t * t;
            }
            e[count++] = (edge){ sqrt(q), i, j };
        }
    }
    qsort(e, (size_t)count, sizeof *e, shorter);
    for (int m = 0; m < count; m++) {
        int i = root_of(up, e[m].i), j = root_of(up, e[m].j);
        if (i != j) {
            sum += e[m].r;
            up[i] = j;
        }
    }
    free(e);
    free(up);
    return sum;
}

/* Near ties may be broken otherwise in float: by less than the rounding of a distance, so
 * the length still agrees. */
START_TEST(prim_equals_kruskal_on_200_random_sets)
{
    bench b;
    bench_open(&b);
    for (int t = 0; t < 200; t++) {
        int n = 1 + t * 7 % 60 + t % 3 * 60, d = 1 + t % 20;
        float *x = cloud(n, d, (uint64_t)t);
        for (int i = 0; i < n * d && t % 4 == 0; i++)   /* a grid: equal distances */
            x[i] = (float)(int)(2 * x[i]);
        double want = kruskal(n, d, x), got = (double)length_of(&b, n, d, x);
        ck_assert_msg(fabs(got - want) <= TOLERANCE * want,
                      "set %d, %d x %d: %.9g, Kruskal %.9g", t, n, d, got, want);
        free(x);
    }
    bench_close(&b);
}
END_TEST

/* --- closed forms (spec 5.3, 14.6) ------------------------------------------------- */

START_TEST(square_simplex_and_line_have_their_closed_form)
{
    enum { N = 40 };
    bench b;
    float square[8] = { 0, 0, 1, 0, 0, 1, 1, 1 }, line[N], simplex[N * N] = { 0 };
    bench_open(&b);
    ck_assert_float_eq(length_of(&b, 4, 2, square), 3);
    for (int i = 0; i < N; i++) {
        line[i] = (float)(i * 17 % N) / 4;
        simplex[i * N + i] = 3;
    }
    ck_assert_float_eq(length_of(&b, N, 1, line), (float)(N - 1) / 4);
    double side = 3 * sqrt(2);
    /* 39 roundings of the side, folded in double */
    ck_assert_double_eq_tol((double)length_of(&b, N, N, simplex), (N - 1) * side,
                            (N - 1) * side * 1e-7);
    bench_close(&b);
}
END_TEST

START_TEST(of_equal_distances_the_lowest_row_comes_first)
{
    /* four corners of a square and its centre, all 1 from the centre, which is row 4:
     * from row 0 (the centre's only equal) everything hangs on the centre */
    float x[10] = { 1, 0, 0, 1, -1, 0, 0, -1, 0, 0 };
    const float want[10] = { 1, 0, 0, 1, -1, 0, 0, -1, 0, 0 };
    bench b;
    bench_open(&b);
    ck_assert_float_eq(length_of(&b, 5, 2, x), 4);
    for (int i = 0; i < 10; i++)
        ck_assert_float_eq(b.x->grad[i], want[i]);
    /* a square of side 1: from corner 0 to 1, the lower of two equals; then 2 hangs on 0
     * and 3 on 1, who came before 2 */
    float s[8] = { 0, 0, 1, 0, 0, 1, 1, 1 };
    const float grad[8] = { -1, -1, 1, -1, 0, 1, 0, 1 };
    length_of(&b, 4, 2, s);
    for (int i = 0; i < 8; i++)
        ck_assert_float_eq(b.x->grad[i], grad[i]);
    bench_close(&b);
}
END_TEST

/* --- edges of the world ------------------------------------------------------------ */

START_TEST(one_row_has_no_length_and_no_gradient)
{
    float x[3] = { 1, 2, 3 };
    bench b;
    bench_open(&b);
    ck_assert_float_eq(length_of(&b, 1, 3, x), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(b.x->grad[i], 0);
    bench_close(&b);
}
END_TEST

START_TEST(duplicates_push_nothing_and_give_no_nan)
{
    enum { N = 20, D = 7 };
    float x[N * D], y[4 * 2] = { 0, 0, 0, 0, 3, 4, 3, 4 };
    bench b;
    bench_open(&b);
    for (int i = 0; i < N * D; i++)
        x[i] = 0.3f * (float)(i % D);
    ck_assert_float_eq(length_of(&b, N, D, x), 0);
    for (int i = 0; i < N * D; i++)
        ck_assert_float_eq(b.x->grad[i], 0);
    /* two points, twice each: one edge of length 5 carries all of the gradient */
    ck_assert_float_eq(length_of(&b, 4, 2, y), 5);
    ck_assert_float_eq(b.x->grad[0] + b.x->grad[2], -0.6f);
    ck_assert_float_eq(b.x->grad[5] + b.x->grad[7], 0.8f);
    bench_close(&b);
}
END_TEST

START_TEST(the_shortest_edges_push_nothing)
{
    float x[2] = { 0, 0.9e-8f }, y[2] = { 0, 1.1e-8f };     /* either side of 1e-8 */
    bench b;
    bench_open(&b);
    length_of(&b, 2, 1, x);
    ck_assert_float_eq(b.x->grad[0], 0);
    length_of(&b, 2, 1, y);
    ck_assert_double_eq_tol((double)b.x->grad[0], -1, 1e-6);
    bench_close(&b);
}
END_TEST

START_TEST(forces_cancel_and_are_as_strong_as_rows_have_edges)
{
    enum { N = 150, D = 30 };
    float *x = cloud(N, D, 5);
    bench b;
    bench_open(&b);
    length_of(&b, N, D, x);
    double along = 0, far = 0;
    for (int j = 0; j < D; j++) {
        double sum = 0;
        for (int i = 0; i < N; i++)
            sum += (double)b.x->grad[i * D + j];
        far = fmax(far, fabs(sum));
    }
    /* Euler: the length is homogeneous of degree one, so x . dx is the length */
    for (int i = 0; i < N * D; i++)
        along += (double)x[i] * (double)b.x->grad[i];
    ck_assert_double_lt(far, 1e-5);         /* 300 roundings of numbers below 1 */
    ck_assert_double_eq_tol(along, kruskal(N, D, x), along * 1e-5);
    bench_close(&b);
    free(x);
}
END_TEST

START_TEST(a_row_that_is_no_number_is_noticed_wherever_it_stands)
{
    enum { N = 40, D = 3 };
    const float odd[] = { NAN, INFINITY, -INFINITY, 3e38f };
    bench b;
    bench_open(&b);
    for (int i = 0; i < N; i += 13)
        for (size_t o = 0; o < NN_COUNT(odd); o++) {
            float *x = cloud(N, D, 9);
            x[i * D + 1] = odd[o];
            ck_assert_msg(!isfinite(length_of(&b, N, D, x)), "row %d = %g passes unseen",
                          i, (double)odd[o]);
            free(x);
        }
    float all[6] = { NAN, NAN, NAN, NAN, NAN, NAN };
    ck_assert(isnan(length_of(&b, 3, 2, all)));
    bench_close(&b);
}
END_TEST

/* --- the same everywhere ----------------------------------------------------------- */

START_TEST(a_team_of_any_size_gives_the_same_bytes)
{
    enum { N = 310, D = 70 };
    float *x = cloud(N, D, 3), first[N * D], length = 0;
    bench b;
    bench_open(&b);
    for (int team = 1; team <= 4; team++) {
        nn_par_set_threads(team);
        float l = length_of(&b, N, D, x);
        if (team == 1) {
            length = l;
            memcpy(first, b.x->grad, sizeof first);
        }
        ck_assert(memcmp(&length, &l, sizeof l) == 0);
        ck_assert_msg(memcmp(first, b.x->grad, sizeof first) == 0, "%d threads", team);
    }
    bench_close(&b);
    free(x);
}
END_TEST

START_TEST(every_table_gives_the_same_bytes)
{
    enum { N = 130, D = 270 };
    float *x = cloud(N, D, 4), first[N * D], length = 0;
    bench b;
    bench_open(&b);
    for (int t = 0; t < nn_kern_count(); t++) {
        nn_kern_now = nn_kern_at(t);
        float l = length_of(&b, N, D, x);
        if (t == 0) {
            length = l;
            memcpy(first, b.x->grad, sizeof first);
        }
        ck_assert(memcmp(&length, &l, sizeof l) == 0);
        ck_assert_msg(memcmp(first, b.x->grad, sizeof first) == 0, "table %s",
                      nn_kern_now->name);
    }
    bench_close(&b);
    free(x);
}
END_TEST

/* Beyond 8192 rows distances are made row by row.  On a line the tree is the line. */
START_TEST(many_rows_are_done_without_a_matrix)
{
    enum { N = 8200 };
    float *x = malloc(sizeof *x * N);
    bench b;
    bench_open(&b);
    for (int i = 0; i < N; i++)
        x[i] = (float)(i * 3331 % N);           /* 3331 and 8200 have no common factor */
    ck_assert_float_eq(length_of(&b, N, 1, x), N - 1);
    ck_assert_uint_lt(b.scratch.peak, (size_t)N * N);
    for (int i = 0; i < N; i++) {
        float want = x[i] == 0 ? -1.0f : x[i] == N - 1 ? 1.0f : 0.0f;
        if (b.x->grad[i] != want)
            ck_abort_msg("row %d: %g", i, (double)b.x->grad[i]);
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
    length_of(&b, 100, 20, x);
    length_of(&b, 100, 20, x);
    size_t grown = b.step.grown + b.scratch.grown;
    length_of(&b, 100, 20, x);
    ck_assert_uint_eq(b.step.grown + b.scratch.grown, grown);
    bench_close(&b);
    free(x);
}
END_TEST

Suite *suite_tree(void)
{
    Suite *s = suite_create("tree");
    TCase *t = tcase_create("tree");
    tcase_add_test(t, length_and_gradient_match_scipy_and_pytorch);
    tcase_add_test(t, prim_equals_kruskal_on_200_random_sets);
    tcase_add_test(t, square_simplex_and_line_have_their_closed_form);
    tcase_add_test(t, of_equal_distances_the_lowest_row_comes_first);
    tcase_add_test(t, one_row_has_no_length_and_no_gradient);
    tcase_add_test(t, duplicates_push_nothing_and_give_no_nan);
    tcase_add_test(t, the_shortest_edges_push_nothing);
    tcase_add_test(t, forces_cancel_and_are_as_strong_as_rows_have_edges);
    tcase_add_test(t, a_row_that_is_no_number_is_noticed_wherever_it_stands);
    tcase_add_test(t, a_team_of_any_size_gives_the_same_bytes);
    tcase_add_test(t, every_table_gives_the_same_bytes);
    tcase_add_test(t, many_rows_are_done_without_a_matrix);
    tcase_add_test(t, the_second_step_asks_for_no_memory);
    suite_add_tcase(s, t);
    return s;
}
