/* Operators of vector quantisers: against PyTorch (golden/make_quantops.py), against
 * their definitions in plain loops, and between tables and teams.  The gradients of most
 * are estimators, which no difference of values can check. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/ops.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "tests/bytes.h"
#include "tests/golden.h"
#include "tests/suites.h"

#define EXPECT(cond, ...)                                                                \
    do {                                                                                 \
        if (!(cond))                                                                     \
            ck_abort_msg(__VA_ARGS__);                                                   \
    } while (0)

static nn_arena step, scratch, memory;         /* the process of a test ends with it */
static nn_tape tape;

static void start(void)
{
    nn_tape_start(&tape, &step, &scratch);
}

static float *normal(size_t n, uint64_t sample)
{
    nn_rng r = nn_rng_at(51, NN_RNG_TEST, 0, sample);
    float *x = NN_NEW(&memory, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

static nn_node *input(int n, int d, const float *x)
{
    return nn_input(&tape, nn_shape2(n, d), x, 1);
}

/* sum_i y_i w_i: the loss whose gradient at y is w. */
static nn_node *weighted(nn_node *y, const float *w)
{
    nn_shape row = nn_shape2(1, (int)nn_count(y));
    return nn_linear(&tape, nn_reshape(&tape, nn_pin(y), row),
                     nn_input(&tape, row, w, 0), NULL);
}

/* Integers held as floats. */
static int *integers(size_t n, const float *x)
{
    int *i = NN_NEW(&memory, int, n);
    for (size_t k = 0; k < n; k++)
        i[k] = (int)x[k];
    return i;
}

/* ---- PyTorch ----------------------------------------------------------------------- */

/* in[1] is NULL for operators of one input; `n` counts the settings. */
typedef nn_node *build(nn_node *const *in, size_t n, const float *set);

static nn_node *gather(nn_node *const *in, size_t n, const float *set)
{
    return nn_gather(&tape, in[0], integers(n, set), (int)n);
}
static nn_node *straight(nn_node *const *in, size_t n, const float *set)
{
    (void)n, (void)set;
    return nn_straight(&tape, in[0], in[1]);
}
static nn_node *rotation(nn_node *const *in, size_t n, const float *set)
{
    (void)n, (void)set;
    return nn_rotation(&tape, in[0], in[1]);
}
static nn_node *commit(nn_node *const *in, size_t n, const float *set)
{
    (void)n;
    return nn_commit(&tape, in[0], in[1], set[0], set[1]);
}
static nn_node *fsq(nn_node *const *in, size_t n, const float *set)
{
    return nn_fsq(&tape, in[0], integers(n, set));
}
static nn_node *sign(nn_node *const *in, size_t n, const float *set)
{
    (void)n;
    return nn_sign(&tape, in[0], set[0]);
}
static nn_node *bit_entropy(nn_node *const *in, size_t n, const float *set)
{
    (void)n;
    return nn_bit_entropy(&tape, in[0], set[0], set[1], set[2], (int)set[3]);
}

/* Tolerances relative to the largest element, in units of 2^-24: one for the golden
 * value, one for ours where a double is rounded once; two more for a factor in float32;
 * sums of squares have 16 lanes of up to 256 terms, whose roundings mostly cancel. */
static const double unit = 0x1p-24;
static const struct subject {
    const char *name, *in[2];
    build *of;
    double value, slope;
    int same;                           /* the value is q, to the bit */
    float set[NN_FSQ_MOST];             /* for tests that need some setting */
} subjects[] = {
    { "gather", { "table" }, gather, 0, 2, 0, { 0 } },
    { "straight", { "z", "q" }, straight, 0, 0, 1, { 0 } },
    { "rotation", { "z", "q" }, rotation, 0, 2, 1, { 0 } },
    { "commit", { "z", "q" }, commit, 16, 6, 0, { 0.25f, 1 } },
    { "fsq", { "z" }, fsq, 0, 4, 0,
      { 8, 5, 3, 255, 6, 7, 8, 4, 31, 8, 8, 8, 5, 5, 5, 16 } },
    { "sign", { "z" }, sign, 0, 0, 0, { 0.5f } },
    { "bit_entropy", { "z" }, bit_entropy, 2, 2, 0, { 0.5f, 3, 0.75f, 5 } },
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

/* A record d<input> says that there is a gradient; without it there is none at all. */
static void check_gradient(const golden *g, const struct subject *s, int i, int k,
                           const nn_node *in)
{
    char name[80];
    snprintf(name, sizeof name, "%s/%d/d%s", s->name, i, s->in[k]);
    const golden_record *want = golden_find(g, name);
    ck_assert_msg(!want == !in->grad, "%s: a gradient too few or too many", name);
    if (want)
        golden_check(want, in->grad, s->slope * unit);
}

START_TEST(operators_and_their_gradients_match_pytorch)
{
    const struct subject *s = &subjects[_i];
    golden g = golden_open("quantops.gold");
    char name[80];
    int i;
    start();
    for (i = 0;; i++) {
        nn_node *in[2] = { NULL, NULL };
        const golden_record *r = NULL;
        snprintf(name, sizeof name, "%s/%d/y", s->name, i);
        const golden_record *y = golden_find(&g, name);
        if (!y)
            break;
        for (int k = 0; k < 2 && s->in[k]; k++) {
            r = golden_at(&g, "%s/%d/%s", s->name, i, s->in[k]);
            in[k] = nn_input(&tape, r->shape, r->val, 1);
        }
        snprintf(name, sizeof name, "%s/%d/set", s->name, i);
        const golden_record *set = golden_find(&g, name);
        nn_node *got = s->of(in, set ? set->n : 0, set ? set->val : NULL);
        if (s->same)
            ck_assert_mem_eq(got->val, r->val, sizeof(float) * r->n);
        else
            golden_check(y, got->val, s->value * unit);
        nn_backward(weighted(got, golden_at(&g, "%s/%d/dy", s->name, i)->val));
        for (int k = 0; k < 2 && in[k]; k++)
            check_gradient(&g, s, i, k, in[k]);
        nn_tape_reset(&tape);
    }
    ck_assert_int_ge(i, 5);
    golden_free(&g);
}
END_TEST

/* ---- gather ------------------------------------------------------------------------ */

/* n, d: one of everything; odd; beyond what wakes a team */
static const int sizes[][2] = { { 1, 1 }, { 7, 3 }, { 33, 64 }, { 300, 16 }, { 3000, 1 },
                                { 2500, 17 }, { 700, 70 } };
enum { SIZES = sizeof sizes / sizeof *sizes, CODES = 150 };

/* Two thirds of the rows ask for one code, every third code is never asked for. */
static int *indices(int n)
{
    nn_rng r = nn_rng_at(52, NN_RNG_TEST, 0, 0);
    int *index = NN_NEW(&memory, int, n);
    for (int i = 0; i < n; i++)
        index[i] = i % 3 ? 100 : 3 * (int)nn_rng_below(&r, CODES / 3) + i % 2;
    return index;
}

/* The sum of code j's rows of dy in order, in double, rounded once. */
static float sum_of(int n, int d, const int *index, const float *dy, int j, int c)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += index[i] == j ? (double)dy[i * d + c] : 0;
    return (float)sum;
}

START_TEST(gather_copies_rows_and_sums_their_gradients)
{
    const int n = sizes[_i][0], d = sizes[_i][1], *index = indices(n);
    const size_t all = (size_t)n * (size_t)d;
    const float *dy = normal(all, 2), *x = normal((size_t)(CODES * d), 1);
    start();
    nn_node *table = input(CODES, d, x), *y = nn_gather(&tape, table, index, n);
    nn_backward(weighted(y, dy));
    for (int i = 0; i < n; i++)
        ck_assert_mem_eq(y->val + i * d, x + index[i] * d, sizeof(float) * (size_t)d);
    for (int j = 0; j < CODES; j++)
        for (int c = 0; c < d; c++) {
            const float want = sum_of(n, d, index, dy, j, c);
            EXPECT(table->grad[j * d + c] == want, "code %d, column %d: %g, wanted %g", j,
                   c, (double)table->grad[j * d + c], (double)want);
        }
}
END_TEST

/* A codebook's gradient lies beside it from step to step and is added to. */
START_TEST(gather_adds_to_a_parameter_and_leaves_codes_without_rows_alone)
{
    enum { N = 200, D = 5 };
    const int *index = indices(N);
    const float *dy = normal(N * D, 2), *before = normal(CODES * D, 4);
    nn_param p = { .name = "codebook", .shape = nn_shape2(CODES, D),
                   .val = normal(CODES * D, 1), .grad = normal(CODES * D, 4) };
    start();
    nn_backward(weighted(nn_gather(&tape, nn_leaf(&tape, &p), index, N), dy));
    for (int j = 0; j < CODES; j++)
        for (int c = 0; c < D; c++) {
            const float sum = sum_of(N, D, index, dy, j, c), was = before[j * D + c];
            ck_assert_float_eq(p.grad[j * D + c], was + sum);
            EXPECT(j % 3 < 2 || p.grad[j * D + c] == was, "code %d moved", j);
        }
}
END_TEST

START_TEST(gather_refuses_a_row_that_is_not_there)
{
    const int index[3] = { 0, _i ? 4 : -1, 1 };
    start();
    nn_gather(&tape, input(4, 2, normal(8, 1)), index, 3);
}
END_TEST

/* ---- straight and rotation --------------------------------------------------------- */

typedef struct passed { float *z, *q, *dy, *dz; } passed;

static passed pass(nn_node *(*op)(nn_tape *, nn_node *, nn_node *), int n, int d,
                   passed p)
{
    const size_t all = (size_t)n * (size_t)d;
    start();
    nn_node *z = input(n, d, p.z), *q = input(n, d, p.q), *y = op(&tape, z, q);
    nn_backward(weighted(y, p.dy));
    ck_assert_mem_eq(y->val, p.q, sizeof(float) * all);
    ck_assert(q->grad == NULL);
    p.dz = NN_NEW(&memory, float, all);
    memcpy(p.dz, z->grad, sizeof(float) * all);
    nn_tape_free(&tape);
    return p;
}

static double dot(int d, const float *a, const float *b)
{
    double sum = 0;
    for (int j = 0; j < d; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

START_TEST(straight_gives_the_codes_and_passes_the_gradient_to_the_bit)
{
    const int n = sizes[_i][0], d = sizes[_i][1];
    const size_t all = (size_t)n * (size_t)d;
    passed p = pass(nn_straight, n, d,
                    (passed){ normal(all, 1), normal(all, 2), normal(all, 3), NULL });
    ck_assert_mem_eq(p.dz, p.dy, sizeof(float) * all);
}
END_TEST

/* The value is a view of the codes: who keeps it keeps them. */
START_TEST(pinning_the_value_keeps_the_codes)
{
    static const int index[3] = { 2, 0, 2 };
    const float *table = normal(12, 1), *z = normal(12, 2);
    start();
    nn_node *q = nn_gather(&tape, input(3, 4, table), index, 3);
    nn_node *x = nn_scale(&tape, 2, input(3, 4, z));
    nn_node *y = nn_pin(_i ? nn_rotation(&tape, x, q) : nn_straight(&tape, x, q));
    nn_backward(nn_mean(&tape, y));
    ck_assert_ptr_eq(y->val, q->val);
    for (int i = 0; i < 3; i++)
        ck_assert_mem_eq(y->val + 4 * i, table + 4 * index[i], 4 * sizeof *table);
}
END_TEST

/* dz = s R' dy: |dz| = s |dy|, and dz.z = dy.(s R z) = dy.q, so that the angle of dz with
 * z is that of dy with q.  The 1e-5 of the specification; a float32 is off by 6e-8. */
START_TEST(rotation_keeps_angles_and_stretches_by_the_ratio_of_lengths)
{
    const int n = sizes[_i][0], d = sizes[_i][1];
    const size_t all = (size_t)n * (size_t)d;
    if (d == 1)
        return;                         /* see the test on one column */
    passed p = pass(nn_rotation, n, d,
                    (passed){ normal(all, 1), normal(all, 2), normal(all, 3), NULL });
    for (int i = 0; i < n; i++) {
        const float *z = p.z + i * d, *q = p.q + i * d, *g = p.dy + i * d;
        const float *dz = p.dz + i * d;
        const double lz = sqrt(dot(d, z, z)), lq = sqrt(dot(d, q, q));
        const double lg = sqrt(dot(d, g, g)), ldz = sqrt(dot(d, dz, dz));
        EXPECT(fabs(ldz - lq / lz * lg) < 1e-5 * ldz, "row %d: length %g, wanted %g", i,
               ldz, lq / lz * lg);
        EXPECT(fabs(dot(d, dz, z) / (ldz * lz) - dot(d, g, q) / (lg * lq)) < 1e-5,
               "row %d: cosine %g, wanted %g", i, dot(d, dz, z) / (ldz * lz),
               dot(d, g, q) / (lg * lq));
    }
}
END_TEST

/* Row j of the gradients of d equal rows, with the unit vectors for dy, is s R' e_j, and
 * its product with z is (s R z)_j. */
START_TEST(rotation_maps_vectors_to_their_codes)
{
    static const int dims[] = { 2, 3, 16, 70 };
    const int d = dims[_i];
    const size_t all = (size_t)(d * d);
    const float *z = normal((size_t)d, 5), *q = normal((size_t)d, 6);
    passed p = { NN_NEW(&memory, float, all), NN_NEW(&memory, float, all),
                 NN_NEW0(&memory, float, all), NULL };
    for (int j = 0; j < d; j++) {
        memcpy(p.z + j * d, z, sizeof(float) * (size_t)d);
        memcpy(p.q + j * d, q, sizeof(float) * (size_t)d);
        p.dy[j * d + j] = 1;
    }
    p = pass(nn_rotation, d, d, p);
    for (int j = 0; j < d; j++)
        ck_assert_double_eq_tol(dot(d, p.dz + j * d, z), (double)q[j],
                                1e-5 * sqrt(dot(d, q, q)));
}
END_TEST

/* Powers of two, so that no length is rounded: z and q point apart exactly. */
START_TEST(rotation_goes_straight_where_there_is_none)
{
    enum { N = 40 };
    const int d = _i ? 1 : 4;
    passed p = { NN_NEW(&memory, float, N * 4), NN_NEW(&memory, float, N * 4),
                 normal(N * 4, 3), NULL };
    for (int i = 0; i < N * d; i++) {
        p.z[i] = ldexpf(i % 3 ? 1 : -1, i / d % 5);
        p.q[i] = _i ? 3 * p.z[i] : -2 * p.z[i];
    }
    p = pass(nn_rotation, N, d, p);
    ck_assert_mem_eq(p.dz, p.dy, sizeof(float) * (size_t)(N * d));
}
END_TEST

/* |z| counts as 1e-6: s = |q| 1e6, e = 0, so R' dy = dy - 2 u (u.dy); the other way round
 * s = 1e-6 / |z| and R' dy = dy - 2 e (e.dy); both zero: straight. */
START_TEST(rotation_bounds_lengths_below)
{
    passed p = { (float[]){ 0, 0, 0, 2, 0, 0 }, (float[]){ 3, 0, 0, 0, 0, 0 },
                 (float[]){ 1, 5, 1, 5, 1, 5 }, NULL };
    const double want[6] = { -3e6, 15e6, 0.5e-6, -2.5e-6, 1, 5 };
    p = pass(nn_rotation, 3, 2, p);
    for (int i = 0; i < 6; i++)         /* rounded once, and 1e6 is no power of two */
        ck_assert_double_eq_tol((double)p.dz[i], want[i], 2e-7 * fabs(want[i]));
}
END_TEST

/* ---- commit ------------------------------------------------------------------------ */

/* With one weight 1 and the other 0 it is the squared error to a constant, to the bit. */
START_TEST(each_side_of_commit_is_a_squared_error_to_a_constant)
{
    const int n = sizes[_i][0], d = sizes[_i][1];
    const size_t all = (size_t)n * (size_t)d;
    const float *a = normal(all, 1), *b = normal(all, 2);
    start();
    for (int of_q = 0; of_q < 2; of_q++) {
        nn_node *z = input(n, d, a), *q = input(n, d, b), *x = input(n, d, of_q ? b : a);
        nn_node *other = nn_input(&tape, nn_shape2(n, d), of_q ? a : b, 0);
        nn_node *c = nn_commit(&tape, z, q, (float)!of_q, (float)of_q);
        nn_node *m = nn_mse(&tape, x, other);
        ck_assert_float_eq(nn_item(c), nn_item(m));
        nn_backward(nn_axpy(&tape, 1, c, m));
        ck_assert((of_q ? z : q)->grad == NULL);
        ck_assert_mem_eq((of_q ? q : z)->grad, x->grad, sizeof(float) * all);
        nn_tape_reset(&tape);
    }
}
END_TEST

/* The value is both losses, each side's gradient is that of its own: in proportion of the
 * weights, and opposite.  Powers of two scale without rounding. */
START_TEST(commit_weighs_its_sides)
{
    enum { N = 30, D = 7 };
    const float *a = normal(N * D, 1), *b = normal(N * D, 2);
    start();
    nn_node *z = input(N, D, a), *q = input(N, D, b);
    nn_node *c = nn_commit(&tape, z, q, 0.25f, 2);
    double want = 0;
    for (int i = 0; i < N * D; i++)
        want += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]) / (N * D);
    ck_assert_double_eq_tol((double)nn_item(c), 2.25 * want, 1e-6 * want);  /* float32 */
    nn_backward(c);
    for (int i = 0; i < N * D; i++)
        ck_assert_float_eq(q->grad[i], -8 * z->grad[i]);
}
END_TEST

START_TEST(commit_refuses_a_weight_below_zero)
{
    start();
    nn_commit(&tape, input(2, 2, normal(4, 1)), input(2, 2, normal(4, 2)),
              _i ? 1 : -1, _i ? -1 : 1);
}
END_TEST

/* ---- fsq --------------------------------------------------------------------------- */

/* z from one end to the other in steps much narrower than a level, 1/127 at the least. */
START_TEST(fsq_gives_every_level_and_no_other)
{
    enum { N = 9001 };
    float *z = NN_NEW(&memory, float, N);
    start();
    for (int i = 0; i < N; i++)
        z[i] = 0.002f * (float)(i - N / 2);
    for (int levels = 3; levels <= NN_FSQ_LEVELS; levels++) {
        const int half = levels / 2;
        int seen[NN_FSQ_LEVELS] = {0};
        nn_node *y = nn_fsq(&tape, input(N, 1, z), &levels);
        for (int i = 0; i < N; i++) {
            const int u = (int)rint((double)y->val[i] * half);
            const float want = (float)u / (float)half;          /* 0, never -0 */
            EXPECT(u >= -half && u < levels - half, "level %d of %d", u, levels);
            EXPECT(memcmp(&want, y->val + i, sizeof want) == 0
                       && (i == 0 || y->val[i] >= y->val[i - 1]),
                   "z = %g of %d levels: %g", (double)z[i], levels, (double)y->val[i]);
            seen[u + half]++;
        }
        for (int u = 0; u < levels; u++)
            EXPECT(seen[u], "level %d of %d never comes up", u - half, levels);
        ck_assert_float_eq(y->val[N / 2], 0);
        nn_tape_reset(&tape);
    }
}
END_TEST

START_TEST(fsq_of_eight_and_of_five_levels_is_that_of_the_paper)
{
    static const int levels[2] = { 8, 5 };
    static const float z[] = { -50, -50, -0.9f, -0.9f, 0, 0, 0.9f, 0.9f, 50, 50 };
    /* 3.5035 tanh(z + 0.14369) - 0.5: -2.7, 0, 2.2; 2.002 tanh(z): -1.43, 0, 1.43 */
    static const int u[] = { -4, -2, -3, -1, 0, 0, 2, 1, 3, 2 };
    start();
    nn_node *y = nn_fsq(&tape, input(5, 2, z), levels);
    for (int i = 0; i < 10; i++)
        ck_assert_float_eq(y->val[i] * (i % 2 ? 2 : 4), (float)u[i]);
}
END_TEST

START_TEST(fsq_refuses_what_it_cannot_do)
{
    int levels[17];
    start();
    for (int j = 0; j < 17; j++)
        levels[j] = 5;
    levels[1] = _i == 0 ? 2 : _i == 1 ? 256 : 5;
    nn_fsq(&tape, input(2, _i == 2 ? 17 : 3, normal(34, 1)), levels);
}
END_TEST

START_TEST(a_number_that_is_none_passes_fsq_and_sign)
{
    static const int levels[2] = { 8, 5 };
    const float z[4] = { NAN, 1, INFINITY, NAN };
    start();
    nn_node *x = input(2, 2, z), *y = nn_fsq(&tape, x, levels);
    nn_node *b = nn_sign(&tape, x, 1);
    ck_assert(isnan(y->val[0]) && isnan(y->val[3]) && isnan(b->val[0]));
    ck_assert_float_eq(y->val[2], 0.75f);
    ck_assert_float_eq(b->val[2], 1);
    ck_assert(isnan(nn_item(nn_bit_entropy(&tape, x, 1, 1, 1, 2))));
}
END_TEST

/* ---- sign and bit_entropy ---------------------------------------------------------- */

START_TEST(sign_puts_zero_below)
{
    const float z[6] = { 0, -0.0f, 1e-40f, -1e-40f, 3, -3 }, dy[6] = { 1, 2, 3, 4, 5, 6 };
    start();
    nn_node *x = input(2, 3, z), *y = nn_sign(&tape, x, 0.25f);
    nn_backward(weighted(y, dy));
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(y->val[i], z[i] > 0 ? 0.25f : -0.25f);
    ck_assert_mem_eq(x->grad, dy, sizeof dy);
}
END_TEST

/* p of corner c among those of columns from .. to - 1, by the definition. */
static double corner_share(const float *z, int from, int to, int c, double s, double tau)
{
    double all = 0, mine = 0;
    for (int k = 0; k < 1 << (to - from); k++) {
        double score = 0;
        for (int b = 0; b < to - from; b++)
            score += 2 * tau * (double)z[from + b] * (k >> b & 1 ? s : -s);
        all += exp(score);
        mine += k == c ? exp(score) : 0;
    }
    return mine / all;
}

static double plogp(double p)
{
    return p > 0 ? p * log(p) : 0;
}

static double by_corners(const float *z, int n, int d, int group, double gamma)
{
    const int groups = (d + group - 1) / group;
    double sure = 0, spread = 0;
    for (int g = 0; g < groups; g++) {
        const int from = g * d / groups, to = (g + 1) * d / groups;
        for (int c = 0; c < 1 << (to - from); c++) {
            double mean = 0;
            for (int i = 0; i < n; i++) {
                const double p = corner_share(z + i * d, from, to, c, 0.5, 1.5);
                sure -= plogp(p) / n;
                mean += p / n;
            }
            spread -= plogp(mean);
        }
    }
    return sure - gamma * spread;
}

/* n, d, group; three columns are the eight corners at once */
START_TEST(bit_entropy_is_that_of_the_corners)
{
    static const int of[][3] = { { 1, 3, 3 }, { 50, 3, 3 }, { 2000, 3, 12 }, { 65, 1, 1 },
                                 { 64, 7, 3 }, { 20, 70, 4 }, { 12, 8, 8 } };
    const int n = of[_i][0], d = of[_i][1], group = of[_i][2];
    const float *z = normal((size_t)(n * d), 7);
    start();
    nn_node *x = input(n, d, z), *e = nn_bit_entropy(&tape, x, 0.5f, 1.5f, 0.75f, group);
    const double want = by_corners(z, n, d, group, 0.75);
    /* of the two entropies, at most d ln 2, what is left is rounded to float32 */
    ck_assert_double_eq_tol((double)nn_item(e), want, 1e-7 * fabs(want) + 1e-12 * d);
}
END_TEST

/* All corners used once and for sure: 0 - gamma d ln 2.  One corner alone: 0.  Undecided:
 * d ln 2 - gamma d ln 2.  None has a gradient but that by rounding. */
START_TEST(bit_entropy_knows_its_extremes)
{
    float z[8 * 3];
    static const double want[3] = { -0.75, 0, 0.25 };
    start();
    for (int i = 0; i < 24; i++)
        z[i] = _i == 2 ? 0 : _i == 1 || i / 3 >> i % 3 & 1 ? 100 : -100;
    nn_node *x = input(8, 3, z), *e = nn_bit_entropy(&tape, x, 1, 10, 0.75f, 3);
    ck_assert_double_eq_tol((double)nn_item(e), want[_i] * 3 * log(2), 2e-7);
    nn_backward(e);
    for (int i = 0; i < 24; i++)
        ck_assert_double_eq_tol((double)x->grad[i], 0, 1e-14);
}
END_TEST

/* A bit with x = 4 tau s z is 1 but for t = exp(-x), which 1 + t cannot hold (x = 50) or
 * only in part (x = 33): h = t + x t, h' = -x t, to within t itself.  Rounded to float32
 * once. */
START_TEST(the_entropy_of_a_bit_that_is_sure_keeps_its_digits)
{
    const float z[1] = { _i ? 3.3f : 5 };
    const double x = 10 * (double)z[0], t = exp(-x);
    start();
    nn_node *in = input(1, 1, z), *e = nn_bit_entropy(&tape, in, 0.25f, 10, 0, 1);
    ck_assert_double_eq_tol((double)nn_item(e), (1 + x) * t, 1e-7 * x * t);
    nn_backward(e);
    ck_assert_double_eq_tol((double)in->grad[0], -10 * x * t, 1e-6 * x * t);
}
END_TEST

START_TEST(bit_entropy_refuses_what_it_cannot_do)
{
    static const float set[][4] = { { 0, 1, 1, 3 }, { 1, 0, 1, 3 }, { 1, 1, -1, 3 },
                                    { 1, 1, 1, 0 }, { 1, 1, 1, 13 } };
    const float *s = set[_i];
    start();
    nn_bit_entropy(&tape, input(2, 3, normal(6, 1)), s[0], s[1], s[2], (int)s[3]);
}
END_TEST

/* ---- tables and teams -------------------------------------------------------------- */

/* Some setting of a subject; rows of gather come again, and some never. */
static const float *setting_of(const struct subject *s, int n)
{
    if (s->of != gather)
        return s->set;
    float *index = NN_NEW(&memory, float, n);
    for (int i = 0; i < n; i++)
        index[i] = (float)(i % 7 * 3 % n);
    return index;
}

/* The sum of what an operator makes of two batches, weighted; fsq takes few columns. */
static nn_node *loss_of(const struct subject *s, nn_node *const *in)
{
    const int n = nn_rows(in[0]), d = nn_cols(in[0]);
    if (s->of == fsq && d > NN_FSQ_MOST)
        return NULL;
    nn_node *y = s->of(in, (size_t)(s->of == gather ? n : d), setting_of(s, n));
    return weighted(y, normal(nn_count(y), 6));
}

/* Value and gradients of every operator. */
static outcome outcome_of(int shape)
{
    const int n = sizes[shape][0], d = sizes[shape][1];
    const size_t all = (size_t)n * (size_t)d;
    outcome o = { SUBJECTS * (2 * all + 1), NULL };
    float *at = o.at = NN_NEW0(&memory, float, o.n);
    start();
    for (int s = 0; s < SUBJECTS; s++, at += 2 * all + 1) {
        nn_node *in[2] = { input(n, d, normal(all, 5)), input(n, d, normal(all, 7)) };
        nn_node *loss = loss_of(&subjects[s], in);
        if (loss) {
            nn_backward(loss);
            at[2 * all] = nn_item(loss);
        }
        for (int k = 0; k < 2; k++)
            if (in[k]->grad)
                memcpy(at + (size_t)k * all, in[k]->grad, sizeof(float) * all);
        nn_tape_reset(&tape);
    }
    nn_tape_free(&tape);
    return o;
}

START_TEST(every_table_gives_the_same_bytes)
{
    bytes_of_every_table(outcome_of, _i);
}
END_TEST

START_TEST(every_team_gives_the_same_bytes)
{
    bytes_of_every_team(outcome_of, _i);
}
END_TEST

START_TEST(the_second_step_asks_for_no_memory)
{
    const float *x = normal(300 * 10, 7), *q = normal(300 * 10, 8);
    size_t grown = 0;
    start();
    for (int turn = 0; turn < 3; turn++) {
        nn_backward(loss_of(&subjects[_i], (nn_node *[]){ input(300, 10, x),
                                                          input(300, 10, q) }));
        nn_tape_reset(&tape);
        if (turn == 1)
            grown = step.grown + scratch.grown;
    }
    ck_assert_uint_eq(step.grown + scratch.grown, grown);
}
END_TEST

Suite *suite_quantops(void)
{
    Suite *s = suite_create("quantops");
    TCase *tc = tcase_create("quantops");
    tcase_add_loop_test(tc, operators_and_their_gradients_match_pytorch, 0, SUBJECTS);
    tcase_add_loop_test(tc, every_team_gives_the_same_bytes, 0, SIZES);
    tcase_add_loop_test(tc, the_second_step_asks_for_no_memory, 0, SUBJECTS);
    suite_add_tcase(s, tc);
    tc = tcase_create("gather");
    tcase_add_loop_test(tc, gather_copies_rows_and_sums_their_gradients, 0, SIZES);
    tcase_add_test(tc, gather_adds_to_a_parameter_and_leaves_codes_without_rows_alone);
    tcase_add_loop_test_raise_signal(tc, gather_refuses_a_row_that_is_not_there, SIGABRT,
                                     0, 2);
    suite_add_tcase(s, tc);
    tc = tcase_create("past the quantiser");
    tcase_add_loop_test(tc,
                        straight_gives_the_codes_and_passes_the_gradient_to_the_bit, 0,
                        SIZES);
    tcase_add_loop_test(tc,
                        rotation_keeps_angles_and_stretches_by_the_ratio_of_lengths, 0,
                        SIZES);
    tcase_add_loop_test(tc, pinning_the_value_keeps_the_codes, 0, 2);
    tcase_add_loop_test(tc, rotation_maps_vectors_to_their_codes, 0, 4);
    tcase_add_loop_test(tc, rotation_goes_straight_where_there_is_none, 0, 2);
    tcase_add_test(tc, rotation_bounds_lengths_below);
    tcase_add_loop_test(tc, each_side_of_commit_is_a_squared_error_to_a_constant, 0,
                        SIZES);
    tcase_add_test(tc, commit_weighs_its_sides);
    tcase_add_loop_test_raise_signal(tc, commit_refuses_a_weight_below_zero, SIGABRT, 0,
                                     2);
    suite_add_tcase(s, tc);
    tc = tcase_create("without a codebook");
    tcase_add_test(tc, fsq_gives_every_level_and_no_other);
    tcase_add_test(tc, fsq_of_eight_and_of_five_levels_is_that_of_the_paper);
    tcase_add_loop_test_raise_signal(tc, fsq_refuses_what_it_cannot_do, SIGABRT, 0, 3);
    tcase_add_test(tc, a_number_that_is_none_passes_fsq_and_sign);
    tcase_add_test(tc, sign_puts_zero_below);
    tcase_add_loop_test(tc, bit_entropy_is_that_of_the_corners, 0, 7);
    tcase_add_loop_test(tc, bit_entropy_knows_its_extremes, 0, 3);
    tcase_add_loop_test(tc, the_entropy_of_a_bit_that_is_sure_keeps_its_digits, 0, 2);
    tcase_add_loop_test_raise_signal(tc, bit_entropy_refuses_what_it_cannot_do, SIGABRT,
                                     0, 5);
    suite_add_tcase(s, tc);
    tc = tcase_create("tables");
    tcase_add_loop_test(tc, every_table_gives_the_same_bytes, 0, SIZES);
    suite_add_tcase(s, tc);
    return s;
}
