#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/elem.h"
#include "nn/linalg.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "tests/golden.h"
#include "tests/suites.h"

static nn_arena scratch;

static double *copy(const double *a, size_t n)
{
    double *b = malloc(sizeof *b * n);
    memcpy(b, a, sizeof *b * n);
    return b;
}

static double *random_symmetric(int n)
{
    nn_rng r = nn_rng_at(1, NN_RNG_TEST, 0, (uint64_t)n);
    double *a = malloc(sizeof *a * (size_t)n * (size_t)n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            a[i * n + j] = a[j * n + i] = nn_rng_normal(&r);
    return a;
}

/* |A v - w v| and |V V' - I|, both as the largest entry; v are the rows of V */
static void quality(int n, const double *a, const double *v, const double *w,
                    double *residual, double *skew)
{
    *residual = *skew = 0;
    for (int k = 0; k < n; k++)
        for (int i = 0; i < n; i++) {
            double r = -w[k] * v[k * n + i], o = -(i == k);
            for (int j = 0; j < n; j++) {
                r += a[i * n + j] * v[k * n + j];
                o += v[i * n + j] * v[k * n + j];
            }
            *residual = fmax(*residual, fabs(r));
            *skew = fmax(*skew, fabs(o));
        }
}

/* Backward stable: values and residual are within n eps |A| for every matrix (LAPACK
 * promises p(n) eps |A|; the factor 4 is the room for p). */
static double room(int n, const double *w)
{
    return 4 * n * DBL_EPSILON * fmax(fabs(w[0]), fabs(w[n - 1])) + DBL_MIN;
}

static void check_pairs(int n, const double *a, const double *want)
{
    double *b = copy(a, (size_t)n * (size_t)n), *w = malloc(sizeof *w * (size_t)n);
    double *alone = malloc(sizeof *w * (size_t)n), residual, skew;

    ck_assert_int_eq(nn_eigen_sym(n, b, w, NN_VECTORS, &scratch), 0);
    quality(n, a, b, w, &residual, &skew);
    ck_assert_msg(residual <= room(n, w), "n = %d: residual %.2g", n, residual);
    ck_assert_msg(skew <= 4 * n * DBL_EPSILON, "n = %d: vectors skew by %.2g", n, skew);
    for (int i = 0; i + 1 < n; i++)
        ck_assert(w[i] >= w[i + 1]);
    for (int i = 0; want && i < n; i++)
        ck_assert_msg(fabs(w[i] - want[i]) <= room(n, w),
                      "value %d of %d: %.17g, not %.17g", i, n, w[i], want[i]);

    memcpy(b, a, sizeof *b * (size_t)n * (size_t)n);
    ck_assert_int_eq(nn_eigen_sym(n, b, alone, NN_VALUES, &scratch), 0);
    ck_assert_mem_eq(alone, w, sizeof *w * (size_t)n);
    free(b);
    free(w);
    free(alone);
}

START_TEST(closed_forms_of_small_matrices)
{
    double one[] = { -3 }, w[1];
    ck_assert_int_eq(nn_eigen_sym(1, one, w, NN_VECTORS, &scratch), 0);
    ck_assert(w[0] == -3 && fabs(one[0]) == 1);

    /* (a b; b c): (a + c)/2 +- sqrt((a - c)^2/4 + b^2) */
    double two[] = { 5, 2, 2, 2 }, twice[] = { 6, 1 };
    check_pairs(2, two, twice);
    double diagonal[] = { 3, 0, 0, 0, -7, 0, 0, 0, 5 }, sorted[] = { 5, 3, -7 };
    check_pairs(3, diagonal, sorted);
    double ones[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, single[] = { 3, 0, 0 };
    check_pairs(3, ones, single);
    double same[] = { 2, 0, 0, 0, 2, 0, 0, 0, 2 }, equal[] = { 2, 2, 2 };
    check_pairs(3, same, equal);
}
END_TEST

/* Toeplitz (b a b): a + 2 b cos(i pi / (n + 1)) */
START_TEST(eigenvalues_of_a_toeplitz_chain)
{
    static const int sizes[] = { 2, 3, 7, 64, 101 };
    for (int s = 0; s < 5; s++) {
        int n = sizes[s];
        double *a = calloc((size_t)n * (size_t)n, sizeof *a), want[101];
        for (int i = 0; i < n; i++) {
            a[i * n + i] = 2;
            if (i)
                a[i * n + i - 1] = a[(i - 1) * n + i] = -1;
            want[i] = 2 + 2 * cos((i + 1) * M_PI / (n + 1));
        }
        check_pairs(n, a, want);
        free(a);
    }
}
END_TEST

START_TEST(random_matrices_of_every_size)
{
    static const int sizes[] = { 1, 2, 3, 4, 5, 8, 13, 31, 63, 64, 65, 100, 129 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        double *a = random_symmetric(sizes[s]), trace = 0, sum = 0;
        int n = sizes[s];
        check_pairs(n, a, NULL);
        for (int i = 0; i < n; i++)
            trace += a[i * n + i];
        double *w = malloc(sizeof *w * (size_t)n);
        nn_eigen_sym(n, a, w, NN_VALUES, &scratch);
        for (int i = 0; i < n; i++)
            sum += w[i];
        ck_assert_double_le(fabs(sum - trace), n * room(n, w));
        free(a);
        free(w);
    }
}
END_TEST

/* The same judges for a few vectors: residual and right angles. */
static void check_top(int n, const double *a, int count)
{
    double *v = malloc(sizeof *v * (size_t)count * (size_t)n);
    double *w = malloc(sizeof *w * (size_t)n), *all = malloc(sizeof *all * (size_t)n);
    double *b = copy(a, (size_t)n * (size_t)n);

    ck_assert_int_eq(nn_eigen_top(n, a, w, count, v, &scratch), 0);
    ck_assert_mem_eq(a, b, sizeof *b * (size_t)n * (size_t)n);
    ck_assert_int_eq(nn_eigen_sym(n, b, all, NN_VALUES, &scratch), 0);
    ck_assert_mem_eq(all, w, sizeof *w * (size_t)n);
    for (int c = 0; c < count; c++) {
        const double *x = v + c * n;
        for (int i = 0; i < n; i++) {
            double r = -w[c] * x[i];
            for (int j = 0; j < n; j++)
                r += a[i * n + j] * x[j];
            ck_assert_msg(fabs(r) <= room(n, w), "vector %d of %d: residual %.2g", c, n,
                          r);
        }
        for (int k = 0; k <= c; k++) {
            double o = -(k == c);
            for (int i = 0; i < n; i++)
                o += x[i] * v[k * n + i];
            ck_assert_msg(fabs(o) <= 4 * n * DBL_EPSILON, "vectors %d, %d of %d skew: %g",
                          c, k, n, o);
        }
    }
    free(v);
    free(w);
    free(all);
    free(b);
}

START_TEST(a_few_vectors_are_as_good_as_all)
{
    static const int sizes[] = { 1, 2, 3, 7, 8, 9, 24, 64, 130 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int n = sizes[s];
        double *a = random_symmetric(n), *same = calloc((size_t)(n * n), sizeof *same);
        check_top(n, a, n < 3 ? n : 3);
        for (int i = 0; i < n; i++)             /* every eigenvalue the same */
            same[i * n + i] = 5;
        check_top(n, same, n < 3 ? n : 3);
        for (int i = 0; i + 1 < n; i += 2)      /* pairs 6 and 4, each many times */
            same[i * n + i + 1] = same[(i + 1) * n + i] = 1;
        check_top(n, same, n < 4 ? n : 4);
        memset(same, 0, sizeof *same * (size_t)(n * n));
        check_top(n, same, 1);
        for (int i = 0; i < n * n; i++)         /* rank one */
            same[i] = 1;
        check_top(n, same, n < 2 ? n : 2);
        free(a);
        free(same);
    }
}
END_TEST

static double *of_golden(const golden *g, const char *name, int *n)
{
    const golden_record *head = golden_at(g, "%s/head", name);
    const golden_record *tail = golden_at(g, "%s/tail", name);
    double *x = malloc(sizeof *x * head->n);
    for (size_t i = 0; i < head->n; i++)
        x[i] = (double)head->val[i] + tail->val[i];
    *n = (int)head->n;
    return x;
}

static const char *const lapack[] = {
    "dense24", "dense130", "rank5", "fourfold", "pairs", "graded",
};

START_TEST(eigenvalues_agree_with_lapack)
{
    golden g = golden_open("linalg.gold");
    char name[64];
    int n;

    snprintf(name, sizeof name, "%s/w", lapack[_i]);
    double *want = of_golden(&g, name, &n), *a = malloc(sizeof *a * (size_t)(n * n));
    const golden_record *lower = golden_at(&g, "%s/lower", lapack[_i]);
    ck_assert_uint_eq(lower->n, (size_t)(n * (n + 1) / 2));
    for (int i = 0, at = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            a[i * n + j] = a[j * n + i] = lower->val[at++];
    check_pairs(n, a, want);
    free(a);
    free(want);
    golden_free(&g);
}
END_TEST

START_TEST(only_the_lower_triangle_is_read)
{
    double *a = random_symmetric(20), *b = copy(a, 400), v[20], w[20];
    for (int i = 0; i < 20; i++)
        for (int j = i + 1; j < 20; j++)
            b[i * 20 + j] = NAN;
    ck_assert_int_eq(nn_eigen_sym(20, a, v, NN_VECTORS, &scratch), 0);
    ck_assert_int_eq(nn_eigen_sym(20, b, w, NN_VECTORS, &scratch), 0);
    ck_assert_mem_eq(v, w, sizeof v);
    ck_assert_mem_eq(a, b, 400 * sizeof *a);
    free(a);
    free(b);
}
END_TEST

/* Squares of such entries leave the range of a double. */
START_TEST(scale_changes_nothing_but_the_scale)
{
    static const double scales[] = { 0x1p-500, 0x1p+500, 0x1p-1000, 0x1p+1000 };
    double *a = random_symmetric(30), *b = copy(a, 900), v[30], w[30];

    ck_assert_int_eq(nn_eigen_sym(30, b, v, NN_VALUES, &scratch), 0);
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < 900; i++)
            b[i] = a[i] * scales[s];
        ck_assert_int_eq(nn_eigen_sym(30, b, w, NN_VALUES, &scratch), 0);
        for (int i = 0; i < 30; i++)
            ck_assert(w[i] == v[i] * scales[s]);
    }
    free(a);
    free(b);
}
END_TEST

/* Entries from 1 down to 1e-300 in one matrix: what is far below rounding must not turn
 * into NaN or keep QL from ending. */
START_TEST(tiny_entries_beside_large_ones_are_survived)
{
    enum { N = 12 };
    double a[N * N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            a[i * N + j] = pow(10, -25.0 * (i > j ? i : j));
    check_pairs(N, a, NULL);
    for (int i = 0; i < N * N; i++)
        a[i] = a[i] > 1e-40 ? 0 : a[i];         /* the rest alone */
    check_pairs(N, a, NULL);
    memset(a, 0, sizeof a);
    double zero[N] = {0};
    check_pairs(N, a, zero);
}
END_TEST

/* Beside an entry of 1, squares of 1e-160 are subnormal and have lost their digits: the
 * vectors must stay at right angles all the same, and a chain keeps its eigenvalues. */
START_TEST(tiny_blocks_beside_a_large_entry_are_survived)
{
    enum { N = 6 };
    double a[N * N] = {0}, chain[16] = {0}, w[4];

    a[0] = 1;
    for (int i = 1; i < N; i++)
        for (int j = 1; j < N; j++)
            a[i * N + j] = 1e-160 * (i * j % 7 + 1);
    check_pairs(N, a, NULL);

    chain[0] = 1;                               /* 1, and t (0 1 0; 1 0 1; 0 1 0) */
    chain[1 * 4 + 2] = chain[2 * 4 + 1] = chain[2 * 4 + 3] = chain[3 * 4 + 2] = 1e-160;
    check_pairs(4, chain, NULL);
    ck_assert_int_eq(nn_eigen_sym(4, chain, w, NN_VALUES, &scratch), 0);
    ck_assert_double_eq_tol(w[0], 1, 1e-15);
    ck_assert_double_eq_tol(w[1] * 1e160, sqrt(2), 1e-14);
    ck_assert_double_eq_tol(w[2] * 1e160, 0, 1e-14);
    ck_assert_double_eq_tol(w[3] * 1e160, -sqrt(2), 1e-14);
}
END_TEST

START_TEST(entries_that_are_not_finite_are_reported)
{
    static const double poison[] = { NAN, INFINITY, -INFINITY };
    for (int p = 0; p < 3; p++)
        for (int at = 0; at < 3; at++) {
            double a[9] = { 1, 2, 3, 2, 1, 2, 3, 2, 1 }, w[3];
            a[at * 3] = poison[p];
            ck_assert_int_eq(nn_eigen_sym(3, a, w, NN_VECTORS, &scratch), 1);
            for (int i = 0; i < 3; i++)
                ck_assert(isnan(w[i]));
        }
}
END_TEST

START_TEST(scratch_is_given_back)
{
    nn_arena s = {0};
    double *a = random_symmetric(80), w[80], mean[4], c[16];
    float x[4 * 300];
    for (int i = 0; i < 1200; i++)
        x[i] = (float)i;
    nn_arena_alloc(&s, 100);
    size_t at = s.at;
    nn_eigen_sym(80, a, w, NN_VECTORS, &s);
    nn_col_mean(300, 4, x, mean, &s);
    nn_gram(300, 4, x, mean, 1, c, &s);
    ck_assert_uint_eq(s.at, at);
    free(a);
    nn_arena_free(&s);
}
END_TEST

START_TEST(gram_and_means_agree_with_extended_precision)
{
    golden g = golden_open("linalg.gold");
    const golden_record *x = golden_at(&g, "gram/x");
    int d, dd, n;
    double *mean = of_golden(&g, "gram/mean", &d), *want = of_golden(&g, "gram/c", &dd);
    double *raw = of_golden(&g, "gram/raw", &dd), ours[7], c[49];

    n = (int)x->n / d;
    ck_assert_int_eq(d, 7);
    nn_col_mean(n, d, x->val, ours, &scratch);
    for (int j = 0; j < d; j++)                 /* the golden doubles keep 48 bits */
        ck_assert_double_le(fabs(ours[j] - mean[j]), 1e-14 * fabs(mean[j]));
    nn_gram(n, d, x->val, ours, n - 1, c, &scratch);
    for (int i = 0; i < d * d; i++)             /* sums of 700: sqrt(700) eps, and room */
        ck_assert_double_le(fabs(c[i] - want[i]), 1e-13 * 49);
    nn_gram(n, d, x->val, NULL, 1, c, &scratch);
    for (int i = 0; i < d * d; i++)
        ck_assert_double_le(fabs(c[i] - raw[i]), 1e-13 * raw[i]);
    free(mean);
    free(want);
    free(raw);
    golden_free(&g);
}
END_TEST

/* Whole numbers: every sum is exact, so a naive one has to agree to the bit. */
START_TEST(gram_is_exact_for_whole_numbers_of_every_shape)
{
    static const int shape[][2] = {
        { 1, 1 }, { 2, 3 }, { 255, 4 }, { 256, 5 }, { 257, 9 }, { 600, 17 }, { 3, 40 },
    };
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
        int n = shape[s][0], d = shape[s][1];
        nn_rng r = nn_rng_at(2, NN_RNG_TEST, 0, s);
        float *x = malloc(sizeof *x * (size_t)(n * d));
        double *c = malloc(sizeof *c * (size_t)(d * d));
        double *mean = malloc(sizeof *mean * (size_t)d);
        for (int i = 0; i < n * d; i++)
            x[i] = (float)nn_rng_below(&r, 2001) - 1000;
        nn_gram(n, d, x, NULL, 2, c, &scratch);
        nn_col_mean(n, d, x, mean, &scratch);
        for (int i = 0; i < d; i++) {
            double sum = 0;
            for (int k = 0; k < n; k++)
                sum += x[k * d + i];
            ck_assert(mean[i] == sum / n);
            for (int j = 0; j < d; j++) {
                double q = 0;
                for (int k = 0; k < n; k++)
                    q += (double)x[k * d + i] * x[k * d + j];
                ck_assert_msg(c[i * d + j] == q / 2, "%d x %d: element %d %d", n, d, i,
                              j);
            }
        }
        free(x);
        free(c);
        free(mean);
    }
}
END_TEST

START_TEST(any_number_of_threads_gives_the_same_bytes)
{
    enum { N = 150, ROWS = 700 };
    static float x[ROWS * N];
    static double first[3][N * N + N], now[3][N * N + N];
    nn_rng r = nn_rng_at(3, NN_RNG_TEST, 0, 0);

    for (int i = 0; i < ROWS * N; i++)
        x[i] = (float)nn_rng_normal(&r);
    for (int threads = 1; threads <= 5; threads++) {
        nn_par_set_threads(threads);
        memset(now, 0, sizeof now);
        nn_col_mean(ROWS, N, x, now[0], &scratch);
        nn_gram(ROWS, N, x, now[0], ROWS - 1, now[1], &scratch);
        memcpy(now[2], now[1], sizeof now[2]);
        ck_assert_int_eq(0, nn_eigen_sym(N, now[2], now[2] + N * N, NN_VECTORS,
                                         &scratch));
        if (threads == 1)
            memcpy(first, now, sizeof first);
        ck_assert_mem_eq(first, now, sizeof first);
    }
}
END_TEST

/* A = M M' + I of known X: L L' is A within n eps |A|, and the solution within the
 * condition number's share of that.  300 rows take two parts a column. */
START_TEST(cholesky_solves_what_was_multiplied)
{
    static const int sizes[] = { 1, 2, 3, 5, 17, 64, 300 };
    for (int t = 0; t < 7; t++) {
        int n = sizes[t], cols = t % 3 + 1;
        double *m = random_symmetric(n), *a = calloc((size_t)(n * n), sizeof *a);
        double *x = malloc(sizeof *x * (size_t)(n * cols)), most = 0;
        double *b = calloc((size_t)(n * cols), sizeof *b);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                for (int k = 0; k < n; k++)
                    a[i * n + j] += m[i * n + k] * m[j * n + k];
                a[i * n + j] += i == j;
                most = fmax(most, fabs(a[i * n + j]));
            }
        for (int i = 0; i < n * cols; i++)
            x[i] = i % 7 - 3;
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                for (int c = 0; c < cols; c++)
                    b[i * cols + c] += a[i * n + j] * x[j * cols + c];
        double *l = copy(a, (size_t)(n * n));
        ck_assert_int_eq(0, nn_cholesky(n, l));
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++) {
                double sum = -a[i * n + j];
                for (int k = 0; k <= (i < j ? i : j); k++)
                    sum += l[i * n + k] * l[j * n + k];
                ck_assert_double_le(fabs(sum), n * DBL_EPSILON * most);
                ck_assert(j <= i || l[i * n + j] == a[i * n + j]);
            }
        nn_cholesky_solve(n, l, cols, b);
        /* eigenvalues of A lie between 1 and 4 n + 1 (the semicircle's edge, squared) */
        for (int i = 0; i < n * cols; i++)
            ck_assert_double_le(fabs(b[i] - x[i]), 1e2 * n * (4 * n + 1) * DBL_EPSILON);
        free(m);
        free(a);
        free(x);
        free(b);
        free(l);
    }
}
END_TEST

START_TEST(cholesky_refuses_what_has_no_root)
{
    static const double bad[][4] = {
        { 0, 0, 0, 1 }, { -1, 0, 0, 1 }, { 1, 0, 2, 4 }, { 1, 0, 2, 3 },
        { NAN, 0, 0, 1 }, { 1, 0, NAN, 1 }, { INFINITY, 0, 0, 1 }, { 1, 0, INFINITY, 1 },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double a[4];
        memcpy(a, bad[i], sizeof a);
        ck_assert_int_eq(1, nn_cholesky(2, a));
    }
    double good[4] = { 4, NAN, 2, 2 }, b[2] = { 8, 6 };     /* the NaN is not read */
    ck_assert_int_eq(0, nn_cholesky(2, good));
    ck_assert(good[0] == 2 && good[2] == 1 && good[3] == 1);
    nn_cholesky_solve(2, good, 1, b);
    ck_assert(b[0] == 1 && b[1] == 2);
}
END_TEST

Suite *suite_linalg(void)
{
    Suite *s = suite_create("linalg");
    TCase *tc = tcase_create("linalg");

    tcase_add_test(tc, closed_forms_of_small_matrices);
    tcase_add_test(tc, eigenvalues_of_a_toeplitz_chain);
    tcase_add_test(tc, random_matrices_of_every_size);
    tcase_add_test(tc, a_few_vectors_are_as_good_as_all);
    tcase_add_loop_test(tc, eigenvalues_agree_with_lapack, 0,
                        sizeof lapack / sizeof *lapack);
    tcase_add_test(tc, only_the_lower_triangle_is_read);
    tcase_add_test(tc, scale_changes_nothing_but_the_scale);
    tcase_add_test(tc, tiny_entries_beside_large_ones_are_survived);
    tcase_add_test(tc, tiny_blocks_beside_a_large_entry_are_survived);
    tcase_add_test(tc, entries_that_are_not_finite_are_reported);
    tcase_add_test(tc, scratch_is_given_back);
    tcase_add_test(tc, gram_and_means_agree_with_extended_precision);
    tcase_add_test(tc, gram_is_exact_for_whole_numbers_of_every_shape);
    tcase_add_test(tc, cholesky_solves_what_was_multiplied);
    tcase_add_test(tc, cholesky_refuses_what_has_no_root);
    tcase_add_test(tc, any_number_of_threads_gives_the_same_bytes);
    suite_add_tcase(s, tc);
    return s;
}
