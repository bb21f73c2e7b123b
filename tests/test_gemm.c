/* Symmetric and batched products.
 *
 * The judge of both is nn_gemm, which test_kern.c holds to a sum in double and to the
 * plan written out: the bits must be the same.  One test of its own against sums in
 * double keeps the two from being wrong together. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "nn/kern/gemm.h"
#include "nn/kern/kern.h"
#include "nn/par.h"
#include "tests/suites.h"

static nn_arena scratch, held;          /* held: operands, until the test's process ends */
static unsigned state = 1;

static float *drawn(size_t n)
{
    float *x = NN_NEW(&held, float, n + 1);
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1;
    }
    return x;
}

static float *copy(const float *x, size_t n)
{
    float *y = NN_NEW(&held, float, n + 1);
    memcpy(y, x, n * sizeof *y);
    return y;
}

static nn_mat turned(nn_mat x)
{
    return (nn_mat){ x.p, x.cs, x.rs };
}

static nn_mat matrix(size_t rows, size_t cols, int turn)
{
    return turn ? (nn_mat){ drawn(rows * cols), 1, rows }
                : (nn_mat){ drawn(rows * cols), cols, 1 };
}

/* ---- symmetric products ---------------------------------------------------------- */

/* n and k: single tiles, ragged ones, several jobs, several blocks of columns; the last
 * is cut into slabs of k */
static const size_t sym[][2] = {
    { 1, 1 }, { 1, 300 }, { 5, 3 }, { 16, 16 }, { 17, 257 }, { 47, 40 }, { 48, 40 },
    { 49, 1025 }, { 97, 256 }, { 130, 33 }, { 333, 20 }, { 1100, 30 }, { 70, 61000 },
};
enum { SYM = sizeof sym / sizeof *sym };

START_TEST(a_symmetric_product_has_the_bits_of_the_plain_one)
{
    const size_t n = sym[_i / 4][0], k = sym[_i / 4][1], ldc = n + 3;
    const int turn = _i & 1, add = _i >> 1 & 1;
    nn_mat a = matrix(n, k, turn);
    float *start = drawn(n * ldc);
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            start[i * ldc + j] = start[j * ldc + i];
    float *c = copy(start, n * ldc), *d = copy(start, n * ldc);
    nn_syrk(n, k, a, c, ldc, add, &scratch);
    nn_gemm(n, n, k, a, turned(a), d, ldc, &(nn_epilogue){ .add = add }, &scratch);
    ck_assert_msg(memcmp(c, d, n * ldc * sizeof *c) == 0,
                  "n = %zu, k = %zu: other bytes than nn_gemm", n, k);
}
END_TEST

START_TEST(a_symmetric_product_reads_nothing_above_the_diagonal)
{
    enum { N = 70, K = 20 };
    nn_mat a = matrix(N, K, 0);
    float *c = drawn(N * N), *d = copy(c, N * N);
    size_t k = _i ? K : 0;              /* no terms: the lower triangle is all */
    for (size_t i = 0; i < N; i++)
        for (size_t j = i + 1; j < N; j++)
            d[i * N + j] = NAN;
    nn_syrk(N, k, a, c, N, 1, &scratch);
    nn_syrk(N, k, a, d, N, 1, &scratch);
    ck_assert(memcmp(c, d, N * N * sizeof *c) == 0);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < i; j++)
            if (c[i * N + j] != c[j * N + i])
                ck_abort_msg("%zu, %zu is not symmetric", i, j);
}
END_TEST

START_TEST(a_symmetric_product_is_near_its_sum_in_double)
{
    enum { N = 90, K = 300 };
    nn_mat a = matrix(N, K, _i);
    float *c = drawn(N * N);
    nn_syrk(N, K, a, c, N, 0, &scratch);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            double s = 0, mag = 0;
            for (size_t q = 0; q < K; q++) {
                double t = (double)a.p[i * a.rs + q * a.cs] * a.p[j * a.rs + q * a.cs];
                s += t;
                mag += fabs(t);
            }
            /* every product passes at most K + 2 roundings of 2^-24 */
            if (!(fabs(c[i * N + j] - s) <= (K + 2) * 0x1p-24 * mag * 1.001))
                ck_abort_msg("element %zu, %zu is %g, wanted %g", i, j,
                             (double)c[i * N + j], s);
        }
}
END_TEST

START_TEST(a_symmetric_product_is_the_same_for_every_team)
{
    static const size_t size[][2] = { { 330, 1100 }, { 1200, 40 } };
    for (int s = 0; s < 2; s++) {
        const size_t n = size[s][0], k = size[s][1];
        nn_mat a = matrix(n, k, _i);
        float *one = drawn(n * n), *c = drawn(n * n);
        nn_par_set_threads(1);
        nn_syrk(n, k, a, one, n, 0, &scratch);
        for (int team = 2; team <= 5; team++) {
            nn_par_set_threads(team);
            nn_syrk(n, k, a, c, n, 0, &scratch);
            ck_assert_msg(memcmp(one, c, n * n * sizeof *c) == 0, "%d threads differ",
                          team);
        }
    }
}
END_TEST

START_TEST(a_symmetric_product_keeps_nan)
{
    enum { N = 60 };
    nn_mat a = matrix(N, 3, 0);
    float *c = drawn(N * N);
    ((float *)a.p)[41 * 3 + 1] = NAN;
    nn_syrk(N, 3, a, c, N, 0, &scratch);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++)
            ck_assert_int_eq(!!isnan(c[i * N + j]), i == 41 || j == 41);
}
END_TEST

/* ---- batches --------------------------------------------------------------------- */

/* count, m, n, k: one to a thread, one after another, and nothing at all */
static const size_t groups[][4] = {
    { 7, 33, 47, 600 }, { 5, 1, 1, 1 }, { 6, 64, 10, 0 }, { 3, 40, 30, 20 },
    { 4, 170, 170, 160 }, { 0, 4, 4, 4 }, { 9, 0, 3, 3 }, { 40, 16, 16, 64 },
};
enum { GROUPS = sizeof groups / sizeof *groups };

START_TEST(a_batch_has_the_bits_of_its_products_one_by_one)
{
    const size_t *g = groups[_i], count = g[0], m = g[1], n = g[2], k = g[3];
    for (int form = 0; form < 8; form++) {
        /* items lie a little apart; form 4 uses the same B for all */
        const size_t a_step = m * k + 5, b_step = form & 4 ? 0 : k * n + 3;
        const size_t ldc = n + 1, c_step = m * ldc + 2;
        nn_mat a = matrix(count * a_step + 1, 1, 0);
        nn_mat b = matrix(count * b_step + k * n, 1, 0);
        a.rs = form & 1 ? 1 : k;
        a.cs = form & 1 ? m : 1;
        b.rs = form & 2 ? 1 : n;
        b.cs = form & 2 ? k : 1;
        float *bias = drawn(n), *c = drawn(count * c_step), *d = copy(c, count * c_step);
        nn_epilogue e = { form & 1, form >> 1 & 1, form & 4 ? bias : NULL };
        nn_gemm_batch(count, m, n, k, a, a_step, b, b_step, c, ldc, c_step, &e, &scratch);
        for (size_t i = 0; i < count; i++)
            nn_gemm(m, n, k, (nn_mat){ a.p + i * a_step, a.rs, a.cs },
                    (nn_mat){ b.p + i * b_step, b.rs, b.cs }, d + i * c_step, ldc, &e,
                    &scratch);
        ck_assert_msg(memcmp(c, d, count * c_step * sizeof *c) == 0,
                      "%zu of %zu x %zu x %zu, form %d", count, m, n, k, form);
    }
}
END_TEST

START_TEST(symmetric_and_batched_products_give_the_same_bytes_in_every_table)
{
    enum { N = 50, K = 530, COUNT = 5 };
    nn_mat a = matrix(N * COUNT, K, 0);
    float *want = NULL;
    for (int t = 0; t < nn_kern_count(); t++) {
        float *c = drawn(N * N * (COUNT + 1));
        ck_assert_int_eq(nn_kern_choose(nn_kern_at(t)->name), 1);
        nn_syrk(N, K, a, c, N, 0, &scratch);
        nn_gemm_batch(COUNT, N, N, K, a, N * K, turned(a), 0, c + N * N, N, N * N, NULL,
                      &scratch);
        if (want)
            ck_assert_msg(memcmp(want, c, N * N * (COUNT + 1) * sizeof *c) == 0,
                          "%s differs from %s", nn_kern_at(t)->name, nn_kern_at(0)->name);
        else
            want = c;
    }
}
END_TEST

START_TEST(scratch_of_symmetric_and_batched_products_is_given_back)
{
    nn_arena own = {0};
    nn_mat a = matrix(100, 40, 0);
    float *c = drawn(100 * 100);
    nn_syrk(100, 40, a, c, 100, 0, &own);
    nn_gemm_batch(10, 10, 10, 40, a, 400, turned(a), 400, c, 10, 100, NULL, &own);
    ck_assert_uint_eq(nn_arena_mark(&own), 0);
}
END_TEST

Suite *suite_gemm(void)
{
    Suite *s = suite_create("gemm");
    TCase *t = tcase_create("symmetric");
    tcase_add_loop_test(t, a_symmetric_product_has_the_bits_of_the_plain_one, 0, 4 * SYM);
    tcase_add_loop_test(t, a_symmetric_product_reads_nothing_above_the_diagonal, 0, 2);
    tcase_add_loop_test(t, a_symmetric_product_is_near_its_sum_in_double, 0, 2);
    tcase_add_loop_test(t, a_symmetric_product_is_the_same_for_every_team, 0, 2);
    tcase_add_test(t, a_symmetric_product_keeps_nan);
    suite_add_tcase(s, t);

    t = tcase_create("batches");
    tcase_add_loop_test(t, a_batch_has_the_bits_of_its_products_one_by_one, 0, GROUPS);
    tcase_add_test(t, symmetric_and_batched_products_give_the_same_bytes_in_every_table);
    tcase_add_test(t, scratch_of_symmetric_and_batched_products_is_given_back);
    suite_add_tcase(s, t);
    return s;
}
