/* Gain-shape quantisation (spec 11): against PyTorch and brute force in float64
 * (golden/make_gain.py), against what its definition implies, and between tables and
 * teams; its int8 codes; and the seeds of k-means. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"
#include "nn/kern/kern.h"
#include "nn/ops.h"
#include "nn/par.h"
#include "nn/quant/book.h"
#include "nn/quant/compress.h"
#include "tests/bytes.h"
#include "tests/golden.h"
#include "tests/keys.h"
#include "tests/suites.h"

static const double unit = 0x1p-24;            /* half the distance of floats at 1 */
static const nn_quant_clock clock_ = { 0, 0, 100 };

static nn_arena step, scratch, memory;         /* the process of a test ends with it */
static nn_tape tape;

static float *normal(size_t n, uint64_t sample)
{
    nn_rng r = nn_rng_at(61, NN_RNG_TEST, 0, sample);
    float *x = NN_NEW(&memory, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

/* Lengths over four decades and an offset of every row's own. */
static float *vectors(size_t n, size_t d, uint64_t sample)
{
    float *x = normal(n * d, sample), *own = normal(2 * n, sample + 100);
    for (size_t i = 0; i < n * d; i++)
        x[i] = x[i] * expf(own[2 * (i / d)]) + own[2 * (i / d) + 1];
    return x;
}

static double dot(size_t d, const float *a, const float *b)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

static double mean_of(size_t d, const float *x)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += (double)x[j];
    return sum / (double)d;
}

/* sum_i y_i w_i: the loss whose gradient at y is w. */
static nn_node *weighted(nn_node *y, const float *w)
{
    nn_shape row = nn_shape2(1, (int)nn_count(y));
    nn_node *sum = nn_linear(&tape, nn_reshape(&tape, nn_pin(y), row),
                             nn_input(&tape, row, w, 0), NULL);
    return nn_reshape(&tape, sum, nn_shape1(1));
}

/* ---- a quantiser -------------------------------------------------------------------- */

typedef struct bench {
    nn_store store;
    nn_quantiser *u;
    nn_param *code;
} bench;

static bench open_bench(int d, const char *keys)
{
    const nn_quant *kind = nn_quant_find("gain_shape");
    void *config = NN_NEW0(&memory, char, kind->config_size);
    bench b = { .store = { .arena = &memory, .seed = 5 } };

    keys_set(kind->settings, config, keys);
    const nn_quant_plan plan = { kind, config };
    b.u = nn_quantiser_new(&b.store, "q", &plan, d);
    b.code = nn_store_find(&b.store, "q.embedding.weight");
    nn_tape_start(&tape, &step, &scratch);
    return b;
}

static nn_quantised run(bench *b, int n, int d, const float *v)
{
    nn_node *z = nn_input(&tape, nn_shape2(n, d), v, 1);
    return nn_quantise(&tape, b->u, nn_pin(z), &clock_);
}

static nn_gain_codes codes_for(size_t n)
{
    return (nn_gain_codes){ NN_NEW(&memory, int, n), NN_NEW(&memory, float, n),
                            NN_NEW(&memory, float, n) };
}

/* The shapes of a quantiser, by hand. */
static nn_gain_shapes shapes_of(bench *b, int bias, int two_sided)
{
    const size_t k = (size_t)b->code->shape.dim[0], d = (size_t)b->code->shape.dim[1];
    float *s = NN_NEW(&memory, float, k * d);
    memcpy(s, nn_quantiser_book(b->u, 0, &scratch), sizeof *s * k * d);
    return (nn_gain_shapes){ k, d, bias, two_sided, s };
}

/* Bias and sides in every combination. */
static const struct form { const char *keys; int bias, two_sided; } forms[] = {
    { "bias=1 signed=0", 1, 0 }, { "bias=1 signed=1", 1, 1 },
    { "bias=0 signed=0", 0, 0 }, { "bias=0 signed=1", 0, 1 },
};
enum { FORMS = 4 };

static bench bench_of(int form, int k, int d)
{
    char keys[80];
    snprintf(keys, sizeof keys, "codes=%d %s", k, forms[form].keys);
    return open_bench(d, keys);
}

/* ---- PyTorch ----------------------------------------------------------------------- */

/* In units of 2^-24 of the largest: a double rounded once and the golden value's own
 * rounding; for gain, the product's, too. */
START_TEST(centre_and_gain_match_pytorch)
{
    const char *name = _i % 2 ? "gain" : "centre";
    golden g = golden_open("gain.gold");
    const golden_record *x = golden_at(&g, "%s/%d/x", name, _i / 2);
    nn_tape_start(&tape, &step, &scratch);
    nn_node *in = nn_input(&tape, x->shape, x->val, 1);
    nn_node *y = _i % 2 ? nn_gain(&tape, in, golden_at(&g, "gain/%d/g", _i / 2)->val,
                                  golden_at(&g, "gain/%d/b", _i / 2)->val)
                        : nn_centre(&tape, in);
    golden_check(golden_at(&g, "%s/%d/y", name, _i / 2), y->val, 3 * unit);
    nn_backward(weighted(y, golden_at(&g, "%s/%d/dy", name, _i / 2)->val));
    golden_check(golden_at(&g, "%s/%d/dx", name, _i / 2), in->grad, 3 * unit);
    golden_free(&g);
}
END_TEST

static void put_codes(bench *b, const golden_record *e)
{
    memcpy(b->code->val, e->val, sizeof(float) * e->n);
}

/* Shapes are rounded at centring and at scaling, products of them again: 8 roundings for
 * values.  The gradient of a shape sums up to 200 rows that cancel in part and loses what
 * lies along the shape: 64. */
START_TEST(codes_losses_and_gradients_match_brute_force_and_pytorch)
{
    golden g = golden_open("gain.gold");
    const float *set = golden_at(&g, "quantise/%d/set", _i)->val;
    const golden_record *v = golden_at(&g, "quantise/%d/v", _i);
    const golden_record *e = golden_at(&g, "quantise/%d/e", _i);
    const float *index = golden_at(&g, "quantise/%d/index", _i)->val;
    const int n = v->shape.dim[0], d = v->shape.dim[1];
    char keys[120];
    snprintf(keys, sizeof keys, "codes=%d bias=%g signed=%g beta=%g", e->shape.dim[0],
             (double)set[0], (double)set[1], (double)set[2]);
    bench b = open_bench(d, keys);
    put_codes(&b, e);
    nn_quantised q = run(&b, n, d, v->val);
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(q.index[0][i], (int)index[i]);
    golden_check(golden_at(&g, "quantise/%d/q", _i), q.q->val, 8 * unit);
    golden_check(golden_at(&g, "quantise/%d/loss", _i), q.loss->val, 16 * unit);
    const nn_gain_shapes s = shapes_of(&b, set[0] > 0, set[1] > 0);
    const nn_gain_codes c = codes_for((size_t)n);
    ck_assert_uint_eq(nn_gain_shape_encode(&s, v->val, (size_t)n, c, &scratch), 0);
    golden_check(golden_at(&g, "quantise/%d/gain", _i), c.gain, 8 * unit);
    golden_check(golden_at(&g, "quantise/%d/offset", _i), c.offset, 2 * unit);
    nn_store_zero_grad(&b.store);
    nn_node *z = q.z[0];
    nn_backward(nn_add(&tape, q.loss,
                       weighted(q.q, golden_at(&g, "quantise/%d/dy", _i)->val)));
    golden_check(golden_at(&g, "quantise/%d/dv", _i), z->grad, 8 * unit);
    golden_check(golden_at(&g, "quantise/%d/de", _i), b.code->grad, 64 * unit);
    golden_free(&g);
}
END_TEST

/* The power method squeezes roundings of the shapes: what is left after 20 rounds is one
 * round's, 2^-24 over the gap of the eigenvalues. */
START_TEST(fit_matches_spherical_kmeans_in_float64)
{
    golden g = golden_open("gain.gold");
    const float *set = golden_at(&g, "fit/%d/set", _i)->val;
    const golden_record *v = golden_at(&g, "fit/%d/v", _i);
    const golden_record *e = golden_at(&g, "fit/%d/e", _i);
    const golden_record *want = golden_at(&g, "fit/%d/objective", _i);
    const nn_gain_shapes s = { (size_t)e->shape.dim[0], (size_t)e->shape.dim[1], set[0] > 0,
                               set[1] > 0, e->val };
    double objective[21];
    nn_gain_shape_fit(&s, v->val, (size_t)v->shape.dim[0], 20, objective, &scratch);
    for (int i = 0; i < 21; i++)
        ck_assert_double_eq_tol(objective[i], (double)want->val[i],
                                1e-6 * (double)want->val[i]);
    golden_check(golden_at(&g, "fit/%d/s", _i), s.shape, 1e-5);
    golden_free(&g);
}
END_TEST

/* ---- what the definition implies --------------------------------------------------- */

/* v^ is rounded twice and |S|^2 is 1 to 4 roundings: 8, of |v|^2. */
START_TEST(the_error_is_the_square_of_u_less_that_of_the_gain)
{
    enum { N = 500, D = 9, K = 40 };
    const float *v = vectors(N, D, 1);
    bench b = bench_of(_i, K, D);
    nn_quantised q = run(&b, N, D, v);
    const nn_gain_shapes s = shapes_of(&b, forms[_i].bias, forms[_i].two_sided);
    const nn_gain_codes c = codes_for(N);
    nn_gain_shape_encode(&s, v, N, c, &scratch);
    for (int i = 0; i < N; i++) {
        const float *vi = v + i * D;
        const double mean = forms[_i].bias ? mean_of(D, vi) : 0, size = dot(D, vi, vi);
        const double left = size - D * mean * mean - (double)c.gain[i] * (double)c.gain[i];
        double error = 0;
        for (int j = 0; j < D; j++) {
            const double off = (double)vi[j] - (double)q.q->val[i * D + j];
            error += off * off;
        }
        ck_assert_double_eq_tol(error, left, 8 * unit * size);
    }
}
END_TEST

START_TEST(shapes_have_length_one_and_with_bias_mean_zero)
{
    enum { K = 40, D = 9 };
    bench b = bench_of(_i, K, D);
    const nn_gain_shapes s = shapes_of(&b, 0, 0);
    for (size_t k = 0; k < K; k++) {    /* rounded per element */
        ck_assert_double_eq_tol(dot(D, s.shape + k * D, s.shape + k * D), 1, 4 * unit);
        if (forms[_i].bias)
            ck_assert_double_eq_tol(mean_of(D, s.shape + k * D), 0, 2 * unit);
    }
}
END_TEST

START_TEST(codes_decode_to_the_value_of_the_quantiser)
{
    enum { N = 3000, D = 9, K = 40 };
    const float *v = vectors(N, D, 2);
    float *back = NN_NEW(&memory, float, N * D);
    bench b = bench_of(_i, K, D);
    nn_quantised q = run(&b, N, D, v);
    const nn_gain_shapes s = shapes_of(&b, forms[_i].bias, forms[_i].two_sided);
    const nn_gain_codes c = codes_for(N);
    nn_gain_shape_encode(&s, v, N, c, &scratch);
    nn_gain_shape_decode(&s, c, N, back);
    ck_assert_mem_eq(c.index, q.index[0], sizeof(int) * N);
    ck_assert_mem_eq(back, q.q->val, sizeof(float) * N * D);
}
END_TEST

/* What a stage leaves over is at right angles to its shape, so the next cannot add to it. */
START_TEST(every_stage_leaves_less_over)
{
    enum { N = 200, D = 8 };
    const float *v = vectors(N, D, 5);
    double last = dot(N * D, v, v);
    for (int stages = 1; stages < 5; stages++) {
        char keys[80];
        snprintf(keys, sizeof keys, "codes=20 groups=2 stages=%d bias=%d", stages, _i);
        bench b = open_bench(D, keys);
        nn_quantised q = run(&b, N, D, v);
        double left = 0;
        for (int i = 0; i < N * D; i++) {
            const double off = (double)q.q->val[i] - (double)v[i];
            left += off * off;
        }
        ck_assert_double_lt(left, 0.9 * last);  /* 20 random shapes in 4 columns */
        last = left;
        nn_tape_free(&tape);
    }
}
END_TEST

START_TEST(an_index_alone_does_not_decode)
{
    const int index[2] = { 0, 1 };
    float q[6];
    bench b = open_bench(3, "codes=2");
    nn_quantiser_decode(b.u, index, 2, q, &scratch);
}
END_TEST

START_TEST(only_gain_shape_needs_more_than_an_index)
{
    bench b = open_bench(3, "codes=2");
    ck_assert_int_eq(nn_quantiser_decodes(b.u), 0);
    ck_assert_int_eq(nn_quantiser_has_book(b.u), 1);
    for (int i = 0; i < nn_quant_count(); i++)
        ck_assert_int_eq(nn_quant_at(i)->side_information,
                         strcmp(nn_quant_at(i)->name, "gain_shape") == 0);
}
END_TEST

START_TEST(signed_gains_do_with_half_the_book)
{
    enum { N = 700, D = 6, K = 12 };
    const float *v = vectors(N, D, 3), *half = normal(K * D, 4);
    float whole[2 * K * D], *got[2];
    for (int i = 0; i < K * D; i++) {
        whole[i] = half[i];
        whole[K * D + i] = -half[i];
    }
    int *index[2], turned = 0;
    for (int both = 0; both < 2; both++) {
        bench b = bench_of(2 * (_i != 0) + both, both ? K : 2 * K, D);
        memcpy(b.code->val, both ? half : whole, sizeof(float) * b.code->shape.dim[0] * D);
        nn_quantised q = run(&b, N, D, v);
        got[both] = NN_NEW(&memory, float, N * D);
        index[both] = NN_NEW(&memory, int, N);
        memcpy(got[both], q.q->val, sizeof(float) * N * D);
        memcpy(index[both], q.index[0], sizeof(int) * N);
        nn_tape_free(&tape);
    }
    ck_assert_mem_eq(got[0], got[1], sizeof(float) * N * D);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(index[0][i] % K, index[1][i]);
        turned += index[0][i] >= K;
    }
    ck_assert_int_gt(turned, N / 4);            /* about half */
}
END_TEST

/* Multiples of 1/4, so that means are exact: zeros, equal elements, and lengths around the
 * least one. */
START_TEST(vectors_without_a_direction_are_their_offset)
{
    const float v[5][4] = { { 0 }, { 2.25f, 2.25f, 2.25f, 2.25f },
                            { 4e-9f, -4e-9f, 4e-9f, -4e-9f },           /* 8e-9 */
                            { 1e-8f, -1e-8f, 1e-8f, -1e-8f },           /* 2e-8 */
                            { -1e30f, -1e30f, -1e30f, -1e30f } };
    const int bias = forms[_i].bias;
    bench b = bench_of(_i, 3, 4);
    nn_quantised q = run(&b, 5, 4, v[0]);
    for (int j = 0; j < 4; j++) {
        ck_assert_float_eq(q.q->val[j], 0);
        ck_assert_float_eq(q.q->val[8 + j], 0);
        if (bias) {
            ck_assert_float_eq(q.q->val[4 + j], 2.25f);
            ck_assert_float_eq(q.q->val[16 + j], -1e30f);
        }
    }
    ck_assert_int_eq(q.index[0][0], 0);
    ck_assert(dot(4, q.q->val + 12, q.q->val + 12) > 0);
}
END_TEST

/* One shape, two columns: with bias (1, -1) / sqrt(2) is the only direction, and a row
 * comes back whole if it may turn round. */
START_TEST(two_columns_with_bias_lose_nothing)
{
    const float *v = normal(60, 6);
    bench b = open_bench(2, _i ? "codes=1 signed=1" : "codes=1");
    nn_quantised q = run(&b, 30, 2, v);
    for (int i = 0; i < 60; i++)                /* |v| of a few, three roundings */
        ck_assert_float_eq_tol(q.q->val[i], v[i], 1e-6f);
}
END_TEST

/* Two columns, a shape whose elements are equal: centred it has no direction. */
START_TEST(a_shape_without_direction_loses_to_all_others)
{
    const float code[6] = { 3, 3, 1, -1, -2, -2 }, v[4] = { -1, 5, 5, 1 };
    bench b = open_bench(2, "codes=3");
    memcpy(b.code->val, code, sizeof code);
    nn_quantised q = run(&b, 2, 2, v);
    ck_assert_int_eq(q.index[0][0], 1);
    ck_assert_int_eq(q.index[0][1], 1);
    for (int i = 0; i < 6; i++)
        b.code->val[i] = 1;
    q = run(&b, 2, 2, v);
    ck_assert_float_eq(q.q->val[0], 2);         /* no shape at all: the mean */
    nn_store_zero_grad(&b.store);
    nn_backward(q.loss);
    for (int i = 0; i < 6; i++)
        ck_assert_float_eq(b.code->grad[i], 0);
}
END_TEST

START_TEST(a_number_that_is_none_shows_in_its_row_or_in_all)
{
    enum { N = 20, D = 5 };
    float *v = normal(N * D, 7);
    bench b = bench_of(_i, 6, D);
    v[7 * D + 2] = NAN;
    v[9 * D] = INFINITY;
    nn_quantised q = run(&b, N, D, v);
    for (int i = 0; i < N * D; i++)
        ck_assert_int_eq(!isnan(q.q->val[i]), i / D != 7 && i / D != 9);
    ck_assert(isnan(nn_item(q.loss)));
    v[7 * D + 2] = v[9 * D] = 0;
    b.code->val[5 * D] = NAN;
    nn_tape_reset(&tape);
    q = run(&b, N, D, v);
    for (int i = 0; i < N * D; i++)
        ck_assert(isnan(q.q->val[i]));
}
END_TEST

START_TEST(shapes_without_vectors_get_no_gradient_and_others_turn_only)
{
    enum { N = 30, D = 5, K = 50 };
    bench b = bench_of(_i, K, D);
    nn_quantised q = run(&b, N, D, vectors(N, D, 8));
    int hits[K] = { 0 };
    for (int i = 0; i < N; i++)
        hits[q.index[0][i]]++;
    nn_store_zero_grad(&b.store);
    nn_backward(q.loss);
    for (int k = 0; k < K; k++) {
        const float *de = b.code->grad + k * D, *e = b.code->val + k * D;
        const double size = sqrt(dot(D, de, de) * dot(D, e, e));
        ck_assert(hits[k] ? size > 0 : size == 0);
        if (!forms[_i].bias)            /* float32 sums of D terms */
            ck_assert_double_le(fabs(dot(D, de, e)), 16 * unit * size);
        ck_assert_double_le(forms[_i].bias ? fabs(mean_of(D, de)) : 0,
                            4 * unit * sqrt(dot(D, de, de)));
    }
}
END_TEST

START_TEST(the_second_step_asks_for_no_memory)
{
    enum { N = 300, D = 10 };
    const float *v = vectors(N, D, 9);
    bench b = bench_of(_i, 20, D);
    size_t grown = 0;
    for (int turn = 0; turn < 3; turn++) {
        nn_quantised q = run(&b, N, D, v);
        nn_backward(nn_add(&tape, q.loss, weighted(q.q, v)));
        nn_tape_reset(&tape);
        nn_arena_reset(&step);
        if (turn == 1)
            grown = step.grown + scratch.grown + memory.grown;
    }
    ck_assert_uint_eq(step.grown + scratch.grown + memory.grown, grown);
}
END_TEST

/* ---- start ------------------------------------------------------------------------- */

enum { TRUE_SHAPES = 8, OF_EACH = 25, WIDE = 8 };

/* Vectors that 8 shapes express exactly but for roundings: rows of a Hadamard matrix and
 * their opposites, with gains 1 .. 4 and offsets; rows 0 and 1 would not be centred. */
static float *exact(uint64_t sample)
{
    const size_t n = TRUE_SHAPES * OF_EACH;
    nn_rng r = nn_rng_at(62, NN_RNG_TEST, 0, sample);
    float *v = NN_NEW(&memory, float, n * WIDE);
    for (size_t i = 0; i < n; i++) {
        const double gain = nn_rng_range(&r, 1, 4), offset = nn_rng_range(&r, -2, 2);
        const unsigned row = 1 + i % TRUE_SHAPES % 4;
        for (unsigned j = 0; j < WIDE; j++) {
            const int odd = __builtin_popcount(row & j) & 1;
            v[i * WIDE + j] = (float)(((odd != 0) ^ (i % TRUE_SHAPES > 3) ? -gain : gain)
                                      + offset);
        }
    }
    return v;
}

static double energy(const float *v, size_t n, size_t d)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += dot(d, v + i * d, v + i * d)
            - (double)d * mean_of(d, v + i * d) * mean_of(d, v + i * d);
    return sum;
}

/* One-sided with 8 shapes and two-sided with 4, which takes mirrored seeds. */
START_TEST(seeds_find_every_direction)
{
    enum { N = TRUE_SHAPES * OF_EACH };
    const int two_sided = _i % 2;
    const float *v = exact((uint64_t)_i);
    float shape[TRUE_SHAPES * WIDE];
    const nn_gain_shapes s = { two_sided ? 4 : 8, WIDE, 1, two_sided, shape };
    nn_rng r = nn_rng_at((uint64_t)_i, NN_RNG_TEST, 0, 0);
    double objective[2];
    nn_gain_shape_seed(&s, v, N, &r, &scratch);
    nn_gain_shape_fit(&s, v, N, 1, objective, &scratch);
    for (int i = 0; i < 2; i++)                 /* all of it, to float32's roundings */
        ck_assert_double_eq_tol(objective[i], energy(v, N, WIDE),
                                1e-6 * energy(v, N, WIDE));
}
END_TEST

/* Two directions that matter, among a hundred of vectors a thousandth as long: together
 * these have a chance of about 1e-4 to become a seed. */
START_TEST(seeds_are_directions_of_long_vectors)
{
    enum { N = 110 };
    float *v = normal(N * 3, 45), shape[6];
    const nn_gain_shapes s = { 2, 3, 0, 1, shape };
    nn_rng r = nn_rng_at((uint64_t)_i, NN_RNG_TEST, 0, 5);
    for (int i = 0; i < N * 3; i++)
        v[i] = i < 30 ? (float)(i % 3 == i / 3 % 2) * 2 : v[i] * 1e-3f;
    nn_gain_shape_seed(&s, v, N, &r, &scratch);
    for (int i = 0; i < 2; i++)
        ck_assert_float_eq(fabsf(shape[i] + shape[3 + i]), 1);
}
END_TEST

START_TEST(a_quantiser_starts_on_its_vectors)
{
    static const char *const words[] = { "data", "kmeans", "kmeans++" };
    enum { N = TRUE_SHAPES * OF_EACH };
    const float *cloud = vectors(N, WIDE, 46), *clusters = exact(1);
    double error[3];
    for (int w = 0; w < 3; w++) {
        const float *v = w < 2 ? cloud : clusters;
        char keys[80];
        snprintf(keys, sizeof keys, "codes=8 init=%s beta=0", words[w]);
        bench b = open_bench(WIDE, keys);
        ck_assert_uint_eq(nn_quantiser_rows(b.u, N), N);
        nn_quantiser_start(b.u, v, N, N, &clock_, &scratch);
        error[w] = (double)nn_item(run(&b, N, WIDE, v).loss);
        for (int k = 0; k < 8; k++)
            ck_assert_double_eq_tol(dot(WIDE, b.code->val + k * WIDE,
                                        b.code->val + k * WIDE), 1, 4 * unit);
        nn_tape_free(&tape);
    }
    ck_assert_double_lt(error[1], 0.9 * error[0]);      /* from the same vectors */
    ck_assert_double_le(error[2], 1e-12);       /* the squares of float32's roundings */
}
END_TEST

/* ---- fit --------------------------------------------------------------------------- */

/* Shapes are rounded to float32 after every round: the sum can lose 2^-23 of itself. */
START_TEST(the_objective_never_falls)
{
    enum { N = 2000, D = 12, K = 30, ROUNDS = 20 };
    const struct form *f = &forms[_i % FORMS];
    const float *v = vectors(N, D, 10 + (uint64_t)_i);
    double objective[ROUNDS + 1];
    float *shape = normal(K * D, 30 + (uint64_t)_i);
    const nn_gain_shapes s = { K, D, f->bias, f->two_sided, shape };
    nn_gain_shape_fit(&s, v, N, ROUNDS, objective, &scratch);
    for (int i = 0; i < ROUNDS; i++)
        ck_assert_double_ge(objective[i + 1], objective[i] * (1 - 2 * unit));
    ck_assert_double_gt(objective[ROUNDS], 1.01 * objective[0]);
    ck_assert_double_le(objective[ROUNDS], f->bias ? energy(v, N, D) : dot(N * D, v, v));
}
END_TEST

/* Half the vectors face away from the only shape, which is then that of the others. */
START_TEST(one_sided_shapes_do_not_learn_from_what_faces_away)
{
    const float v[4][3] = { { 1, 0, 0 }, { 1, 1, 0 }, { -5, 0.25f, 0 }, { -5, -1, 0 } };
    float shape[3] = { 2, 0, 0 };
    double objective[2];
    const nn_gain_shapes s = { 1, 3, 0, 0, shape };
    nn_gain_shape_fit(&s, v[0], 4, 1, objective, &scratch);
    ck_assert_double_eq_tol(objective[0], 2, 1e-6);     /* 1 + 1; float32 */
    ck_assert_float_eq_tol(shape[0], 2 / sqrtf(5), 1e-6f);      /* (1, 0) + (1, 1) */
    ck_assert_float_eq_tol(shape[1], 1 / sqrtf(5), 1e-6f);
    ck_assert_double_eq_tol(objective[1], 0.8 + 1.8, 1e-6);
}
END_TEST

START_TEST(fit_survives_vectors_without_direction)
{
    float v[6 * 4], shape[2][4] = { { 1, 2, 3, 4 }, { 7, 7, 7, 7 } };
    double objective[4];
    const nn_gain_shapes s = { 2, 4, 1, _i, shape[0] };
    for (int i = 0; i < 24; i++)
        v[i] = (float)(i / 4 % 3);              /* equal elements, some of them zero */
    nn_gain_shape_fit(&s, v, 6, 3, objective, &scratch);
    for (int i = 0; i < 4; i++)
        ck_assert_double_eq(objective[i], 0);
    ck_assert_double_eq_tol(dot(4, shape[0], shape[0]), 1, 4 * unit);   /* stays */
    ck_assert_double_eq(dot(4, shape[1], shape[1]), 0);
    v[5] = NAN;
    nn_gain_shape_fit(&s, v, 6, 3, objective, &scratch);
    for (int i = 0; i < 4; i++)
        ck_assert(isnan(objective[i]));
}
END_TEST

/* ---- int8 and storage -------------------------------------------------------------- */

enum { NUMBERS = 5000 };

/* Half a step; float32 rounds the step and the result. */
START_TEST(linear_int8_is_off_by_half_a_step_at_most)
{
    float *x = normal(NUMBERS, 40), y[NUMBERS];
    int8_t q[NUMBERS];
    x[17] = -9;
    x[18] = 0;
    const nn_int8 s = nn_int8_linear(x, NUMBERS);
    nn_int8_encode(&s, x, NUMBERS, q);
    nn_int8_decode(&s, q, NUMBERS, y);
    ck_assert_double_eq_tol((double)s.step, 9 / 127.0, unit);
    ck_assert_int_eq(q[17], -127);
    ck_assert_float_eq(y[18], 0);
    double worst = 0;
    for (int i = 0; i < NUMBERS; i++) {         /* no fmax: gcc 12 for aarch64 breaks on it */
        const double off = fabs((double)y[i] - (double)x[i]);
        worst = off > worst ? off : worst;
    }
    ck_assert_double_le(worst, (double)s.step / 2 + 9 * 2 * unit);
    ck_assert_double_ge(worst, 0.99 * (double)s.step / 2);      /* 5000 numbers come near */
}
END_TEST

/* Half a step in the logarithm.  126 steps of a rounded step are off by 126 2^-25 / 2. */
START_TEST(logarithmic_int8_is_off_by_half_a_step_at_most)
{
    float *x = normal(NUMBERS, 41), y[NUMBERS];
    int8_t q[NUMBERS];
    for (int i = 0; i < NUMBERS; i++)
        x[i] = (i % 2 ? 1 : -1) * expf(x[i] / 2);
    x[3] = 0;
    x[4] = 1e-9f;
    const nn_int8 s = nn_int8_log(x, NUMBERS);
    nn_int8_encode(&s, x, NUMBERS, q);
    nn_int8_decode(&s, q, NUMBERS, y);
    double worst = 0, low = INFINITY, top = 0;
    for (int i = 0; i < NUMBERS; i++) {
        const double a = fabs((double)x[i]);
        if (a < 1e-6)
            continue;
        low = fmin(low, a);
        top = fmax(top, a);
        ck_assert_int_eq(y[i] < 0, x[i] < 0);
        worst = fmax(worst, fabs(log((double)y[i] / (double)x[i])));
    }
    ck_assert_double_eq_tol((double)s.step, log(top / low) / 126, 2 * unit);
    ck_assert_float_eq(s.top, (float)top);
    ck_assert_double_le(worst, (double)s.step / 2 + 1e-6);
    ck_assert_double_ge(worst, 0.99 * (double)s.step / 2);
    ck_assert_float_eq(y[3], 0);
    ck_assert_float_eq(y[4], 0);
    ck_assert_int_eq(q[4], 0);
}
END_TEST

/* 4096 is the range; below it the nearer of 0 and the least code. */
START_TEST(small_gains_go_to_zero_or_to_the_least_code)
{
    const float x[6] = { 4096, 1, 0.75f, 0.5f, 0.25f, -0.75f };
    const float want[6] = { 4096, 1, 1, 1, 0, -1 };
    int8_t q[6];
    float y[6];
    const nn_int8 s = nn_int8_log(x, 6);
    nn_int8_encode(&s, x, 6, q);
    nn_int8_decode(&s, q, 6, y);
    for (int i = 0; i < 6; i++)                 /* 126 steps of a rounded step */
        if (i != 3)                             /* a tie, but for that rounding */
            ck_assert_float_le(fabsf(y[i] - want[i]), 1e-5f * want[i] * want[i]);
}
END_TEST

START_TEST(int8_knows_its_extremes)
{
    const float equal[3] = { 2.5f, 2.5f, -2.5f }, zero[3] = { 0 };
    const float none[3] = { 1, NAN, 2 }, endless[3] = { 1, 0, INFINITY };
    nn_int8 (*of)(const float *, size_t) = _i ? nn_int8_log : nn_int8_linear;
    int8_t q[3];
    float y[3];
    nn_int8 s = of(equal, 3);
    nn_int8_encode(&s, equal, 3, q);
    nn_int8_decode(&s, q, 3, y);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq_tol(y[i], equal[i], 1e-6f);  /* 127 steps of a rounded step */
    s = of(zero, 3);
    nn_int8_encode(&s, zero, 3, q);
    nn_int8_decode(&s, q, 3, y);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq(y[i], 0);
    for (int bad = 0; bad < 2; bad++) {
        const float *x = bad ? endless : none;
        s = of(x, 3);
        nn_int8_encode(&s, x, 3, q);
        nn_int8_decode(&s, q, 3, y);
        for (int i = 0; i < 3; i++)
            ck_assert(isnan(y[i]));
    }
}
END_TEST

START_TEST(a_vector_takes_log2_k_and_sixteen_bits)
{
    const nn_gain_shapes s = { 512, 10, 1, 0, NULL };
    nn_gain_storage bits = nn_gain_shape_storage(&s, 1000);
    ck_assert_double_eq(bits.plain, 320000);
    ck_assert_double_eq(bits.codes, 25000);             /* 9 + 8 + 8 */
    ck_assert_double_eq(bits.once, 512 * 320 + 96);
    const nn_gain_shapes t = { 513, 10, 0, 0, NULL };   /* 10 whole bits */
    bits = nn_gain_shape_storage(&t, 1000);
    ck_assert_double_eq(bits.codes, 18000);
    const nn_gain_shapes one = { 1, 10, 0, 0, NULL };
    ck_assert_double_eq(nn_gain_shape_storage(&one, 1).codes, 8);
}
END_TEST

/* ---- seeds of k-means -------------------------------------------------------------- */

enum { CLUSTERS = 30, MEMBERS = 20, DIMS = 3 };

/* Clusters of width 0.01 on a grid of width 10: chances of two in one are 1e-5. */
static float *clustered(void)
{
    float *z = normal(CLUSTERS * MEMBERS * DIMS, 50);
    for (int i = 0; i < CLUSTERS * MEMBERS; i++) {
        const int c = i % CLUSTERS;
        z[i * DIMS] = 0.01f * z[i * DIMS] + 10 * (float)(c % 4);
        z[i * DIMS + 1] = 0.01f * z[i * DIMS + 1] + 10 * (float)(c / 4 % 4);
        z[i * DIMS + 2] = 0.01f * z[i * DIMS + 2] + 10 * (float)(c / 16);
    }
    return z;
}

static int cluster_of(const float *c)
{
    return (int)(c[0] / 10 + 0.5f) + 4 * (int)(c[1] / 10 + 0.5f)
        + 16 * (int)(c[2] / 10 + 0.5f);
}

static void check_found(const float *code)
{
    int found[CLUSTERS] = { 0 };
    for (int j = 0; j < CLUSTERS; j++)
        found[cluster_of(code + j * DIMS)]++;
    for (int c = 0; c < CLUSTERS; c++)
        ck_assert_int_eq(found[c], 1);
}

START_TEST(seeds_of_kmeans_find_every_cluster)
{
    enum { N = CLUSTERS * MEMBERS };
    const float *z = clustered();
    float code[CLUSTERS * DIMS];
    nn_rng r = nn_rng_at((uint64_t)_i, NN_RNG_TEST, 0, 0), same = r, book = r;
    nn_kmeans_plusplus(CLUSTERS, DIMS, code, z, N, &r, &scratch);
    check_found(code);
    const double left = nn_kmeans_fit(CLUSTERS, DIMS, code, z, N, 10, &same, &scratch);
    check_found(code);
    double want = 0;                            /* around the means of the clusters */
    for (int c = 0; c < CLUSTERS; c++)
        for (int j = 0; j < DIMS; j++) {
            double sum = 0, square = 0;
            for (int i = c; i < N; i += CLUSTERS)
                sum += (double)z[i * DIMS + j];
            for (int i = c; i < N; i += CLUSTERS) {
                const double off = (double)z[i * DIMS + j] - sum / MEMBERS;
                square += off * off;
            }
            want += square;
        }
    ck_assert_double_eq_tol(left, want, 1e-5 * want);   /* means of 10 to 30 in float32 */
    float other[CLUSTERS * DIMS];
    nn_book_fill(NN_BOOK_PLUSPLUS, CLUSTERS, DIMS, other, z, N, &book, &scratch);
    ck_assert_mem_eq(code, other, sizeof code);
}
END_TEST

/* The pair of 0, 1 and 3: P{0,1} = (1/10 + 1/5) / 3, P{0,3} = (9/10 + 9/13) / 3,
 * P{1,3} = (4/5 + 4/13) / 3.  0.03 is four standard deviations of 4000 draws. */
START_TEST(chances_of_seeds_go_with_squared_distances)
{
    enum { DRAWS = 4000 };
    const float z[3] = { 0, 1, 3 };
    double share[5] = { 0 };
    for (uint64_t i = 0; i < DRAWS; i++) {
        float code[2];
        nn_rng r = nn_rng_at(i, NN_RNG_TEST, 0, 1);
        nn_kmeans_plusplus(2, 1, code, z, 3, &r, &scratch);
        share[(int)(code[0] + code[1])] += 1.0 / DRAWS;
    }
    ck_assert_double_eq_tol(share[1], 0.1, 0.03);
    ck_assert_double_eq_tol(share[3], (0.9 + 9 / 13.0) / 3, 0.03);
    ck_assert_double_eq_tol(share[4], (0.8 + 4 / 13.0) / 3, 0.03);
}
END_TEST

START_TEST(seeds_repeat_rows_only_when_there_are_no_others)
{
    const float z[6] = { 1, 1, NAN, 4, 4, INFINITY };
    float code[5];
    int seen[5] = { 0 };
    nn_rng r = nn_rng_at((uint64_t)_i, NN_RNG_TEST, 0, 2);
    nn_kmeans_plusplus(5, 1, code, z, 6, &r, &scratch);
    ck_assert_float_eq(code[0] + code[1], 5);
    for (int j = 0; j < 5; j++) {
        ck_assert(code[j] == 1 || code[j] == 4);
        seen[(int)code[j]] = 1;
    }
    ck_assert(seen[1] && seen[4]);
}
END_TEST

START_TEST(seeds_keep_away_from_opposites_and_from_rows_of_no_weight)
{
    const float z[4] = { -2, 2, 7, 1 }, weight[4] = { 1, 1, 0, 1 };
    const nn_seeds s = { .k = 2, .d = 1, .n = 4, .z = z, .weight = weight, .mirrored = 1 };
    float code[2];
    nn_rng r = nn_rng_at((uint64_t)_i, NN_RNG_TEST, 0, 3);
    nn_seeds_draw(&s, code, &r, &scratch);
    ck_assert_float_eq(fabsf(code[0]) + fabsf(code[1]), 3);
}
END_TEST

/* ---- tables and teams -------------------------------------------------------------- */

/* n, d, K: small; odd; beyond what wakes a team */
static const int sizes[][3] = { { 1, 2, 1 }, { 37, 5, 7 }, { 300, 16, 70 },
                                { 1000, 17, 33 }, { 2100, 8, 60 } };
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Values, gradients, fitted shapes, objectives, int8 codes. */
static outcome outcome_of(int shape)
{
    const int n = sizes[shape][0], d = sizes[shape][1], k = sizes[shape][2];
    const size_t vs = (size_t)(n * d), es = (size_t)(k * d), rows = (size_t)n;
    const float *v = vectors(rows, (size_t)d, 60);
    outcome o = { FORMS * (2 * vs + 2 * es + 2 * rows + 1), NULL };
    float *at = o.at = NN_NEW0(&memory, float, o.n);
    for (int f = 0; f < FORMS; f++) {
        bench b = bench_of(f, k, d);
        nn_store_zero_grad(&b.store);
        nn_quantised q = run(&b, n, d, v);
        memcpy(at, q.q->val, sizeof(float) * vs);
        nn_node *z = q.z[0];
        nn_backward(nn_add(&tape, q.loss, weighted(q.q, v)));
        memcpy(at + vs, z->grad, sizeof(float) * vs);
        memcpy(at + 2 * vs, b.code->grad, sizeof(float) * es);
        at += 2 * vs + es;
        double objective[4];
        const nn_gain_shapes s = { (size_t)k, (size_t)d, forms[f].bias, forms[f].two_sided,
                                   at };
        nn_rng r = nn_rng_at(3, NN_RNG_TEST, 0, 4);
        nn_gain_shape_seed(&s, v, rows, &r, &scratch);
        nn_gain_shape_fit(&s, v, rows, 3, objective, &scratch);
        at[es] = (float)objective[3];
        at += es + 1;
        const nn_gain_codes c = codes_for(rows);
        int8_t *byte = NN_NEW(&memory, int8_t, rows);
        nn_gain_shape_encode(&s, v, rows, c, &scratch);
        for (int log = 0; log < 2; log++, at += rows) {
            const nn_int8 i8 = log ? nn_int8_log(c.gain, rows)
                : nn_int8_linear(c.offset, rows);
            nn_int8_encode(&i8, log ? c.gain : c.offset, rows, byte);
            nn_int8_decode(&i8, byte, rows, at);
        }
        nn_tape_free(&tape);
    }
    return o;
}

/* Teams of one: the emulated table is slow enough without waiting for others. */
START_TEST(every_table_gives_the_same_bytes)
{
    nn_par_set_threads(1);
    bytes_of_every_table(outcome_of, _i);
}
END_TEST

START_TEST(every_team_gives_the_same_bytes)
{
    bytes_of_every_team(outcome_of, _i);
}
END_TEST

Suite *suite_gain(void)
{
    Suite *s = suite_create("gain");
    TCase *tc = tcase_create("float64");
    tcase_add_loop_test(tc, centre_and_gain_match_pytorch, 0, 12);
    tcase_add_loop_test(tc, codes_losses_and_gradients_match_brute_force_and_pytorch, 0, 9);
    tcase_add_loop_test(tc, fit_matches_spherical_kmeans_in_float64, 0, 5);
    suite_add_tcase(s, tc);
    tc = tcase_create("quantiser");
    tcase_add_loop_test(tc, the_error_is_the_square_of_u_less_that_of_the_gain, 0, FORMS);
    tcase_add_loop_test(tc, shapes_have_length_one_and_with_bias_mean_zero, 0, FORMS);
    tcase_add_loop_test(tc, codes_decode_to_the_value_of_the_quantiser, 0, FORMS);
    tcase_add_loop_test(tc, every_stage_leaves_less_over, 0, 2);
    tcase_add_test_raise_signal(tc, an_index_alone_does_not_decode, SIGABRT);
    tcase_add_test(tc, only_gain_shape_needs_more_than_an_index);
    tcase_add_loop_test(tc, signed_gains_do_with_half_the_book, 0, 2);
    tcase_add_loop_test(tc, vectors_without_a_direction_are_their_offset, 0, FORMS);
    tcase_add_loop_test(tc, two_columns_with_bias_lose_nothing, 0, 2);
    tcase_add_test(tc, a_shape_without_direction_loses_to_all_others);
    tcase_add_loop_test(tc, a_number_that_is_none_shows_in_its_row_or_in_all, 0, FORMS);
    tcase_add_loop_test(tc, shapes_without_vectors_get_no_gradient_and_others_turn_only, 0,
                        FORMS);
    tcase_add_loop_test(tc, the_second_step_asks_for_no_memory, 0, FORMS);
    suite_add_tcase(s, tc);
    tc = tcase_create("fit");
    tcase_add_loop_test(tc, seeds_find_every_direction, 0, 40);
    tcase_add_loop_test(tc, seeds_are_directions_of_long_vectors, 0, 20);
    tcase_add_test(tc, a_quantiser_starts_on_its_vectors);
    tcase_add_loop_test(tc, the_objective_never_falls, 0, 2 * FORMS);
    tcase_add_test(tc, one_sided_shapes_do_not_learn_from_what_faces_away);
    tcase_add_loop_test(tc, fit_survives_vectors_without_direction, 0, 2);
    suite_add_tcase(s, tc);
    tc = tcase_create("int8");
    tcase_add_test(tc, linear_int8_is_off_by_half_a_step_at_most);
    tcase_add_test(tc, logarithmic_int8_is_off_by_half_a_step_at_most);
    tcase_add_test(tc, small_gains_go_to_zero_or_to_the_least_code);
    tcase_add_loop_test(tc, int8_knows_its_extremes, 0, 2);
    tcase_add_test(tc, a_vector_takes_log2_k_and_sixteen_bits);
    suite_add_tcase(s, tc);
    tc = tcase_create("seeds");
    tcase_add_loop_test(tc, seeds_of_kmeans_find_every_cluster, 0, 20);
    tcase_add_test(tc, chances_of_seeds_go_with_squared_distances);
    tcase_add_loop_test(tc, seeds_repeat_rows_only_when_there_are_no_others, 0, 20);
    tcase_add_loop_test(tc, seeds_keep_away_from_opposites_and_from_rows_of_no_weight, 0,
                        20);
    suite_add_tcase(s, tc);
    tc = tcase_create("tables");
    tcase_set_timeout(tc, 20);
    tcase_add_loop_test(tc, every_table_gives_the_same_bytes, 0, SIZES);
    tcase_add_loop_test(tc, every_team_gives_the_same_bytes, 0, SIZES);
    suite_add_tcase(s, tc);
    return s;
}
