/* What quantisers get wrong in the codes of others, one test for each trap (spec 1 to
 * 10), and the propositions that are exact or nearly so (spec 15.1: E1 to E8, without
 * E5, which belongs to the metrics). */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/base.h"
#include "nn/quant/book.h"
#include "nn/rng.h"
#include "tests/quants.h"
#include "tests/suites.h"

static nn_arena memory;                 /* the process of a test ends with it */

static float *copy(const float *x, size_t n)
{
    return memcpy(NN_NEW(&memory, float, n), x, sizeof *x * n);
}

static double length_of(const float *x, int d)
{
    double square = 0;
    for (int i = 0; i < d; i++)
        square += (double)x[i] * (double)x[i];
    return sqrt(square);
}

static double apart(const float *a, const float *b, int d)
{
    double square = 0;
    for (int i = 0; i < d; i++)
        square += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(square);
}

/* The row of x (n, d) that c is, to the bit; -1: none. */
static int row_of(const float *c, const float *x, int n, int d)
{
    for (int i = 0; i < n; i++)
        if (memcmp(c, x + i * d, sizeof *c * (size_t)d) == 0)
            return i;
    return -1;
}

/* The table of a quantiser of one part: trained codes, or the basis of simvq. */
static float *book_of(quants *u)
{
    return quants_param(u, "embedding.weight")->val;
}

/* Rows of code k. */
static int hits(const int *index, int n, int k)
{
    int c = 0;
    for (int i = 0; i < n; i++)
        c += index[i] == k;
    return c;
}

/* ---- gradients --------------------------------------------------------------------- */

/* Four stages that are straight-through one by one would give 4 w (spec 9). */
START_TEST(the_gradient_passes_four_stages_once)
{
    static const char *const lines[] = {
        "vq codes=16 stages=4 init=normal", "ema codes=16 stages=4 init=normal",
        "cvq codes=16 stages=4 init=normal", "simvq codes=16 stages=4",
        "lfq bits=8 stages=4", "vq codes=16 stages=4 share=1 init=normal groups=2"
    };
    char line[96];
    nn_node *x;
    quants u;
    snprintf(line, sizeof line, "%s weight=0", lines[_i]);
    quants_new(&u, line, 8);
    const float *w = quants_rows(&u, 40, 8, 2);
    nn_quantised found = quants_find_at(&u, quants_rows(&u, 40, 8, 1), 40, 0, &x);
    nn_backward(quants_loss(&u, &found, w));
    ck_assert_mem_eq(x->grad, w, sizeof *w * 320);
    quants_free(&u);
}
END_TEST

/* fsq's own gradient is that of one stage, however many there are. */
START_TEST(the_gradient_of_fsq_is_that_of_its_first_stage)
{
    nn_node *x;
    quants one, four;
    quants_new(&one, "fsq levels=8,6,5", 3);
    quants_new(&four, "fsq levels=8,6,5 stages=4", 3);
    const float *z = quants_rows(&one, 40, 3, 1), *w = quants_rows(&one, 40, 3, 2);
    nn_quantised found = quants_find_at(&one, z, 40, 0, &x);
    nn_backward(quants_loss(&one, &found, w));
    const float *want = copy(x->grad, 120);
    found = quants_find_at(&four, z, 40, 0, &x);
    nn_backward(quants_loss(&four, &found, w));
    ck_assert_mem_eq(x->grad, want, sizeof *want * 120);
    quants_free(&one);
    quants_free(&four);
}
END_TEST

/* Gradients of the loss at z, and at `name` unless that is NULL. */
static const float *gradients(quants *u, const float *z, int n, const char *name,
                              const float **dp)
{
    nn_node *x;
    nn_quantised found = quants_find_at(u, z, n, 0, &x);
    nn_backward(found.loss);
    if (name) {
        const nn_param *p = quants_param(u, name);
        *dp = copy(p->grad, nn_shape_count(&p->shape));
    }
    return copy(x->grad, (size_t)(n * u->d));
}

/* VQGAN's public code weighs the codebook by beta and the encoder by 1: with beta = 1/4,
 * a power of two, exactly four times and a quarter of what the paper's form gives. */
START_TEST(legacy_moves_beta_from_the_vectors_to_the_codes)
{
    static const char *const kinds[2][2] = { { "vq", "embedding.weight" },
                                             { "simvq", "embedding_proj.weight" } };
    const float *dz[2], *dp[2];
    quants u[2];
    for (int legacy = 0; legacy < 2; legacy++) {
        char line[96];
        snprintf(line, sizeof line, "%s codes=16 beta=0.25 legacy=%d", kinds[_i][0],
                 legacy);
        quants_new(&u[legacy], line, 8);
        dz[legacy] = gradients(&u[legacy], quants_rows(&u[legacy], 40, 8, 1), 40,
                               kinds[_i][1], &dp[legacy]);
    }
    for (int i = 0; i < 320; i++)
        ck_assert_float_eq(dz[1][i], 4 * dz[0][i]);
    for (int i = 0; i < 64; i++)
        ck_assert_float_eq(dp[1][i], dp[0][i] / 4);
    quants_free(&u[0]);
    quants_free(&u[1]);
}
END_TEST

START_TEST(rows_of_the_frozen_basis_have_no_gradient_at_all)
{
    quants frozen, trained;
    quants_new(&frozen, "simvq codes=16", 8);
    quants_new(&trained, "simvq codes=16 train_basis=1", 8);
    ck_assert_int_eq(quants_param(&frozen, "embedding.weight")->role, NN_BUFFER);
    ck_assert_ptr_null(quants_param(&frozen, "embedding.weight")->grad);
    ck_assert_int_eq(quants_param(&trained, "embedding.weight")->role, NN_PARAMETER);
    ck_assert_uint_eq(nn_store_count(&frozen.store), 8 * 8 + 8);
    quants_free(&frozen);
    quants_free(&trained);
}
END_TEST

/* ---- decoding ---------------------------------------------------------------------- */

/* A public code returns the raw row of the basis here (spec 1, test 1). */
START_TEST(simvq_decodes_with_its_projection)
{
    enum { K = 11, D = 5 };
    int index[K];
    float q[K * D];
    quants u;
    quants_new(&u, "simvq codes=11", D);
    const float *b = book_of(&u);
    const float *w = quants_param(&u, "embedding_proj.weight")->val;
    const float *bias = quants_param(&u, "embedding_proj.bias")->val;
    for (int k = 0; k < K; k++)
        index[k] = k;
    nn_quantiser_decode(u.it, index, K, q, &u.scratch);
    for (int k = 0; k < K; k++)
        for (int j = 0; j < D; j++) {
            double want = (double)bias[j];
            for (int i = 0; i < D; i++)
                want += (double)b[k * D + i] * (double)w[j * D + i];
            ck_assert_float_eq_tol(q[k * D + j], (float)want, 1e-6f);
            ck_assert_float_ne(q[k * D + j], b[k * D + j]);
        }
    quants_free(&u);
}
END_TEST

/* Every one of prod L codes: the point that it decodes to, sent back through tanh's
 * inverse, is that code again. */
START_TEST(every_index_of_fsq_comes_back)
{
    static const char *const lists[] = { "8,6,5", "5,3", "3", "8,5,5,5", "7,5,5,5,5",
                                         "4,4,4", "255,3", "16,15" };
    int level[16], d = 0, codes = 1;
    char line[64];
    quants u;
    for (const char *p = lists[_i]; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] != 0))
        codes *= level[d++] = (int)strtol(p, NULL, 10);
    snprintf(line, sizeof line, "fsq levels=%s", lists[_i]);
    quants_new(&u, line, d);
    ck_assert_int_eq(nn_quantiser_codes(u.it), codes);

    int *index = NN_NEW(&memory, int, codes);
    float *q = NN_NEW(&memory, float, codes * d), *z = NN_NEW(&memory, float, codes * d);
    for (int i = 0; i < codes; i++)
        index[i] = i;
    nn_quantiser_decode(u.it, index, (size_t)codes, q, &u.scratch);
    for (int i = 0; i < codes; i++)
        for (int j = 0, rest = i; j < d; rest /= level[j++]) {
            const double h = (level[j] - 1) * (1 + 1e-3) / 2, o = level[j] % 2 ? 0 : 0.5;
            const int half = level[j] / 2, u_j = rest % level[j] - half;
            ck_assert_float_eq(q[i * d + j], (float)u_j / (float)half);
            z[i * d + j] = (float)(atanh((u_j + o) / h) - atanh(o / h));
        }
    nn_quantised found = quants_find(&u, z, codes);
    ck_assert_mem_eq(found.index[0], index, sizeof *index * (size_t)codes);
    ck_assert_mem_eq(found.q->val, q, sizeof *q * (size_t)(codes * d));
    quants_free(&u);
}
END_TEST

START_TEST(the_first_column_of_lfq_is_the_highest_bit)
{
    const float z[] = { 1, -1, -1,  -1, -1, 1,  1, 1, -1,  0, 0.1f, 0 };
    const int want[] = { 4, 1, 6, 2 };              /* 0 counts as minus */
    quants u;
    quants_new(&u, "lfq bits=3 scale=0.5", 3);
    nn_quantised found = quants_find(&u, z, 4);
    ck_assert_mem_eq(found.index[0], want, sizeof want);
    ck_assert_float_eq(found.q->val[0], 0.5f);
    ck_assert_float_eq(found.q->val[9], -0.5f);
    quants_free(&u);
}
END_TEST

START_TEST(codes_of_spherical_lfq_have_length_1)
{
    quants u;
    quants_new(&u, "lfq bits=7 spherical=1", 7);
    nn_quantised found = quants_find(&u, quants_rows(&u, 30, 7, 1), 30);
    for (int i = 0; i < 30; i++)
        ck_assert_double_eq_tol(length_of(found.q->val + i * 7, 7), 1, 1e-6);
    quants_free(&u);
}
END_TEST

/* ---- odd inputs -------------------------------------------------------------------- */

static const char *const every[] = {
    "vq codes=16 init=normal", "ema codes=16 init=normal", "cvq codes=16 init=normal",
    "simvq codes=16", "fsq levels=8,6,5", "lfq bits=8", "vq codes=16 metric=cosine",
    "vq codes=16 metric=unit", "vq codes=16 stages=3 init=normal"
};
enum { EVERY = sizeof every / sizeof *every };

/* A NaN takes code 0 in a table's search, so q alone would not show it (spec 16.3).
 * fsq has no loss: NaN shows in its q, and infinity is as good as large. */
START_TEST(a_row_that_is_no_number_makes_the_loss_none)
{
    const float bad[] = { NAN, INFINITY };
    quants u;
    for (int i = 0; i < 2; i++) {
        quants_new(&u, every[_i], 8);
        float *z = quants_rows(&u, 40, 8, 1);
        nn_quantised well = quants_find(&u, z, 40);
        const float *q = copy(well.q->val, 320);
        z[17 * 8 + 3] = bad[i];
        nn_quantised found = quants_find(&u, z, 40);
        if (found.loss)
            ck_assert_msg(!isfinite(nn_item(found.loss)), "%s", every[_i]);
        else if (i == 0)
            ck_assert(isnan(found.q->val[17 * 8]));
        for (int r = 0; r < 320; r++)               /* and harms no other row */
            if (r / 8 != 17)
                ck_assert_float_eq(found.q->val[r], q[r]);
    }
    quants_free(&u);
}
END_TEST

START_TEST(of_equal_codes_the_first_wins)
{
    enum { K = 40, D = 4 };
    static const char *const lines[] = { "vq codes=40", "vq codes=40 metric=cosine",
                                         "vq codes=40 metric=unit" };
    quants u;
    quants_new(&u, lines[_i], D);
    float *c = book_of(&u), *z = quants_rows(&u, 30, D, 1);
    memcpy(c, z, sizeof *c * 20 * D);               /* codes 0 .. 19, and once more */
    memcpy(c + 20 * D, z, sizeof *c * 20 * D);
    nn_quantised found = quants_find(&u, z, 30);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(found.index[0][i], i);
    for (int i = 20; i < 30; i++)
        ck_assert_int_lt(found.index[0][i], 20);
    quants_free(&u);
}
END_TEST

/* Equal rows, all zeros, one code, one column, more codes than rows: finite losses and
 * gradients, and state that stays finite. */
START_TEST(small_and_equal_inputs_are_no_special_case)
{
    static const struct odd { const char *line; int n, d; float value; } odd[] = {
        { "vq codes=1", 7, 3, 0.5f }, { "vq codes=9", 1, 1, 2 },
        { "vq codes=9", 5, 1, 0 },
        { "ema codes=30 init=kmeans", 6, 2, 1 }, { "ema codes=1 init=data", 1, 1, 0 },
        { "vq codes=30 init=kmeans metric=unit", 6, 2, 0 },
        { "ema codes=30 metric=unit restart=1", 6, 2, 0 },
        { "cvq codes=30", 6, 2, 0 }, { "cvq codes=30 metric=cosine", 6, 2, 0 },
        { "cvq codes=30 anchor=random", 6, 2, 1 },
        { "cvq codes=1 anchor=random", 6, 2, 1 },
        { "cvq codes=30 anchor=probrandom metric=cosine", 6, 2, 0 },
        { "simvq codes=1", 3, 1, 1 }, { "simvq codes=99 metric=unit", 1, 1, 0 },
        { "lfq bits=1", 1, 1, 0 }, { "lfq bits=4 spherical=1 beta=1", 3, 4, 0 },
        { "fsq levels=3", 1, 1, 0 }, { "vq codes=5 transport=rotation", 4, 2, 0 },
    };
    const struct odd *o = &odd[_i];
    nn_node *x;
    quants u;
    quants_new(&u, o->line, o->d);
    float *z = NN_NEW(&memory, float, o->n * o->d);
    for (int i = 0; i < o->n * o->d; i++)
        z[i] = o->value;
    quants_start(&u, z, o->n);
    for (int step = 0; step < 5; step++)
        quants_train(&u, z, o->n, (nn_quant_clock){ 0, step, 100 }, 0.1f);
    nn_quantised found = quants_find_at(&u, z, o->n, 5, &x);
    for (int i = 1; i < o->n; i++)
        ck_assert_int_eq(found.index[0][i], found.index[0][0]);
    const float *q = quants_decoded(&u, &found, o->n);
    ck_assert_mem_eq(q, found.q->val, sizeof *q * (size_t)(o->n * o->d));
    nn_backward(quants_loss(&u, &found, z));
    ck_assert_uint_eq(nn_bad_among(x->grad, (size_t)(o->n * o->d)).nans, 0);
    for (int j = 0; j < u.store.count; j++) {
        const nn_param *p = u.store.list[j];
        const nn_bad bad = nn_bad_among(p->val, nn_shape_count(&p->shape));
        ck_assert_msg(bad.nans + bad.infs == 0, "%s: %s", o->line, p->name);
    }
    quants_free(&u);
}
END_TEST
enum { ODD = 18 };

/* ---- refusals ---------------------------------------------------------------------- */

START_TEST(what_makes_no_sense_is_refused_with_a_reason)
{
    static const struct { const char *line; int d; const char *part; } no[] = {
        { "vq metric=unit stages=2", 8, "one stage" },
        { "simvq metric=unit stages=4", 8, "one stage" },
        { "lfq bits=8 spherical=1 stages=2", 8, "one stage" },
        { "vq groups=3", 8, "3 groups" },
        { "vq groups=8 stages=8", 8, "more than 32" },
        { "vq transport=rotation groups=8", 8, "2 columns" },
        { "fsq transport=rotation", 3, "own gradient" },
        { "fsq dim=4", 8, "wants 3" },
        { "fsq levels=8,2", 2, "levels" }, { "fsq levels=256", 1, "levels" },
        { "fsq levels=8,x", 2, "levels" }, { "fsq levels=,", 2, "levels" },
        { "fsq levels=255,255,255,255", 4, "levels" },
        { "lfq bits=5 dim=6", 8, "wants 5" },
    };
    unsigned char config[256];
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        char why[256];
        const nn_quant_plan p = quants_plan(no[i].line, config);
        const char *text = nn_quant_refuses(&p, no[i].d, why, sizeof why);
        ck_assert_msg(text && strstr(text, no[i].part), "%s: %s", no[i].line,
                      text ? text : "not refused");
    }
}
END_TEST

START_TEST(a_refused_plan_is_a_bug_to_build)
{
    quants u;
    quants_new(&u, "vq metric=unit stages=2", 8);
    quants_free(&u);
}
END_TEST

/* ---- stage dropout ----------------------------------------------------------------- */

START_TEST(stages_are_dropped_in_training_alone)
{
    enum { STAGES = 4, STEPS = 400 };
    int last[STAGES] = { 0 };
    quants u;
    quants_new(&u, "vq codes=16 stages=4 stage_dropout=0.5 init=normal", 4);
    const float *z = quants_rows(&u, 10, 4, 1);
    nn_node *x;
    for (int step = 0; step < STEPS; step++) {
        nn_quantised found = quants_find_at(&u, z, 10, step, &x);
        int now = 0;
        while (now < STAGES && found.index[now])
            now++;
        for (int s = now; s < STAGES; s++)
            ck_assert(!found.index[s]);
        last[now - 1]++;
        const float *q = quants_decoded(&u, &found, 10);
        ck_assert_mem_eq(q, found.q->val, sizeof *q * 40);
    }
    /* 1, 2, 3 stages with 1/8 each, 50 of 400: four standard deviations are 26 */
    for (int s = 0; s < STAGES - 1; s++)
        ck_assert_int_le(abs(last[s] - STEPS / 8), 26);
    u.tape.mode = NN_EVAL;
    for (int step = 0; step < 50; step++)
        ck_assert(quants_find_at(&u, z, 10, step, &x).index[STAGES - 1] != NULL);
    u.tape.mode = NN_TRAIN;
    u.tape.record = 0;
    for (int step = 0; step < 50; step++)
        ck_assert(quants_find_at(&u, z, 10, step, &x).index[STAGES - 1] != NULL);
    quants_free(&u);
}
END_TEST

START_TEST(which_stages_are_dropped_follows_step_and_seed)
{
    quants a, b;
    int same = 0;
    quants_new(&a, "vq codes=16 stages=8 stage_dropout=1", 4);
    quants_new(&b, "vq codes=16 stages=8 stage_dropout=1", 4);
    const float *z = quants_rows(&a, 3, 4, 1);
    nn_node *x;
    for (int step = 0; step < 60; step++) {
        nn_quantised p = quants_find_at(&a, z, 3, step, &x);
        nn_quantised q = quants_find_at(&b, z, 3, step, &x);
        nn_quantised next = quants_find_at(&b, z, 3, step + 1, &x);
        for (int s = 0; s < 8; s++)
            ck_assert_int_eq(!p.index[s], !q.index[s]);
        int equal = 1;
        for (int s = 0; s < 8; s++)
            equal &= !q.index[s] == !next.index[s];
        same += equal;
    }
    ck_assert_int_lt(same, 25);                     /* one in eight by chance */
    quants_free(&a);
    quants_free(&b);
}
END_TEST

/* Rows of a batch: the second code lies far away and is restarted in every step. */
START_TEST(a_shared_code_restarts_anywhere_whether_stages_are_dropped_or_not)
{
    enum { N = 64, STEPS = 200 };
    int dropped = 0, late = 0;
    quants u;
    quants_new(&u, "vq codes=2 stages=2 share=1 stage_dropout=0.5 restart=1 decay=0", 2);
    const float *z = quants_rows(&u, N, 2, 1);
    float *code = quants_param(&u, "embedding.weight")->val;
    nn_node *x;
    for (long step = 0; step < STEPS; step++) {
        const nn_quant_clock clock = { .step = step, .steps = 100 * STEPS };
        code[0] = code[1] = 0;
        code[2] = code[3] = 1000;
        nn_quantised found = quants_find_at(&u, z, N, step, &x);
        const int restarts =
            nn_quantiser_settle(u.it, &found, &clock, NULL, NULL, &u.scratch);
        ck_assert_int_eq(restarts, 1);
        if (found.index[1])
            continue;
        dropped++;
        for (int i = N / 2; i < N; i++)
            late += code[2] == z[2 * i] && code[3] == z[2 * i + 1];
    }
    ck_assert_int_gt(dropped, 20);                  /* 50 expected, deviation 6 */
    /* half of them; four deviations of a fair coin: 2 sqrt(dropped) */
    ck_assert_msg(fabs(late - dropped / 2.0) <= 2 * sqrt(dropped),
                  "%d of %d restarts in the second half of the batch", late, dropped);
    quants_free(&u);
}
END_TEST

/* ---- moving averages --------------------------------------------------------------- */

/* Two codes: all rows sit on the first. */
static void far_codes(quants *u, const char *line, int d)
{
    quants_new(u, line, d);
    float *c = quants_param(u, "embedding.weight")->val;
    for (int i = 0; i < d; i++) {
        c[i] = 0;
        c[d + i] = 10 + (float)i;
    }
}

/* By smoothed counts alone the code would be at half its place after 1146 steps (spec
 * 4e). */
START_TEST(a_code_nobody_uses_stays_for_3000_steps)
{
    enum { D = 4, N = 20 };
    quants u;
    far_codes(&u, "ema codes=2 decay=0.99", D);
    const float *z = quants_rows(&u, N, D, 1), *c = book_of(&u);
    const double was = length_of(c + D, D);
    quants_start(&u, z, N);
    for (int step = 0; step < 3000; step++)
        quants_train(&u, z, N, (nn_quant_clock){ 0, step, 10000 }, 0);
    ck_assert_double_eq_tol(length_of(c + D, D), was, 1e-4 * was);
    ck_assert_float_lt(quants_param(&u, "cluster_size")->val[1], 1e-10f);
    quants_free(&u);
}
END_TEST

/* And comes back to its rows when it is found again: N = 0.01 hits, M = 0.01 their
 * sum. */
START_TEST(a_code_that_is_found_again_moves_to_its_rows)
{
    enum { D = 2, N = 8 };
    quants u;
    far_codes(&u, "ema codes=2 decay=0.99", D);
    const float *c = book_of(&u);
    float z[N * D] = { 0 };
    quants_start(&u, z, N);
    for (int step = 0; step < 2500; step++)
        quants_train(&u, z, N, (nn_quant_clock){ 0, step, 10000 }, 0);
    for (int i = 0; i < 3 * D; i++)
        z[i] = 9;
    quants_train(&u, z, N, (nn_quant_clock){ 0, 2500, 10000 }, 0);
    /* eps / N = 1e-5 / 0.03 */
    ck_assert_float_eq_tol(c[D], 9, 9 * 1e-3f);
    ck_assert_float_eq_tol(c[D + 1], 9, 9 * 1e-3f);
    quants_free(&u);
}
END_TEST

/* A count of 3e-4 would put the code a thirtieth short of its rows: it waits. */
START_TEST(a_code_waits_until_its_count_is_well_above_eps)
{
    enum { D = 2, N = 8 };
    quants u;
    far_codes(&u, "ema codes=2 decay=0.9999", D);
    const float *c = book_of(&u);
    float z[N * D] = { 0 };
    quants_start(&u, z, N);
    quants_param(&u, "cluster_size")->val[1] = 0;
    memset(quants_param(&u, "embed_avg")->val + D, 0, sizeof(float) * D);
    for (int i = 0; i < 3 * D; i++)
        z[i] = 9;
    for (int step = 0; step < 4; step++) {
        ck_assert_float_eq(c[D], 10);
        quants_train(&u, z, N, (nn_quant_clock){ 0, step, 100 }, 0);
    }
    ck_assert_float_eq_tol(c[D], 9, 9 * 1e-2f);     /* eps / N = 1e-5 / 1.2e-3 */
    quants_free(&u);
}
END_TEST

START_TEST(a_stage_that_was_dropped_keeps_its_state)
{
    enum { N = 20, D = 4 };
    int kept = 0;
    quants u;
    quants_new(&u, "ema codes=8 stages=2 stage_dropout=1 init=normal", D);
    const float *z = quants_rows(&u, N, D, 1);
    const nn_param *second = nn_store_find(&u.store, "q.1.embed_avg");
    quants_start(&u, z, N);
    for (int step = 0; step < 20; step++) {
        nn_node *x;
        const int dropped = !quants_find_at(&u, z, N, step, &x).index[1];
        const float *was = copy(second->val, 8 * D);
        quants_train(&u, z, N, (nn_quant_clock){ 0, step, 100 }, 0);
        ck_assert_int_eq(memcmp(second->val, was, sizeof *was * 8 * D) == 0, dropped);
        kept += dropped;
    }
    ck_assert(kept > 2 && kept < 18);
    quants_free(&u);
}
END_TEST

/* A public code overwrites the counts by the smoothed ones (spec 4c). */
START_TEST(stored_counts_are_not_the_smoothed_ones)
{
    enum { K = 5, D = 3, N = 12 };
    quants u;
    quants_new(&u, "ema codes=5 eps=0.5 decay=0.75 init=normal", D);
    const float *z = quants_rows(&u, N, D, 1), *n = quants_param(&u, "cluster_size")->val;
    double want[K];
    quants_start(&u, z, N);
    for (int k = 0; k < K; k++)
        want[k] = (double)N / K;
    for (int step = 0; step < 6; step++) {
        nn_quantised found = quants_find(&u, z, N);
        for (int k = 0; k < K; k++)
            want[k] = 0.75 * want[k] + 0.25 * hits(found.index[0], N, k);
        quants_train(&u, z, N, (nn_quant_clock){ 0, step, 100 }, 0);
        for (int k = 0; k < K; k++)
            ck_assert_float_eq_tol(n[k], (float)want[k], 1e-5f);
    }
    quants_free(&u);
}
END_TEST

/* ---- restarts ---------------------------------------------------------------------- */

/* tau = 2 vectors, as public codes have it, would restart all of 1024 codes in every step
 * of 64 rows.  From n/K on, 0.1 n/K is reached after ln 0.1 / ln 0.99 = 229.1 steps. */
START_TEST(codes_with_less_than_a_row_each_are_not_dead_at_once)
{
    static const char *const lines[] = { "vq codes=1024 restart=0.1",
                                         "ema codes=1024 restart=0.1",
                                         "ema codes=1024 restart=0.1 stages=2 share=1" };
    enum { N = 64, D = 2 };
    int restarts = 0;
    quants u;
    quants_new(&u, lines[_i], D);
    const float *z = quants_rows(&u, N, D, 1);
    quants_start(&u, z, N);
    for (int step = 0; step < 229; step++)
        restarts += quants_train(&u, z, N, (nn_quant_clock){ 0, step, 1000 }, 0);
    ck_assert_int_eq(restarts, 0);
    restarts = quants_train(&u, z, N, (nn_quant_clock){ 0, 229, 1000 }, 0);
    ck_assert_int_gt(restarts, 900);
    quants_free(&u);
}
END_TEST

START_TEST(nothing_is_restarted_in_the_last_tenth)
{
    static const char *const kinds[] = { "vq", "ema" };
    enum { N = 20, D = 2 };
    char line[64];
    quants u;
    snprintf(line, sizeof line, "%s codes=64 restart=1 decay=0.5", kinds[_i]);
    quants_new(&u, line, D);
    const float *z = quants_rows(&u, N, D, 1);
    quants_start(&u, z, N);
    for (int step = 0; step < 100; step++) {
        const int restarts = quants_train(&u, z, N, (nn_quant_clock){ 0, step, 100 }, 0);
        ck_assert_int_eq(restarts > 0, step < 90);
    }
    quants_free(&u);
}
END_TEST

typedef struct report { int rows, row[64]; nn_param *param; } report;

static void note(void *ctx, const nn_quant_moved *m)
{
    report *r = ctx;
    r->param = m->param;
    for (int i = 0; i < m->rows; i++)
        r->row[r->rows++] = m->row[i];
}

/* An optimiser has to forget the momentum of these rows, or it drags the fresh code
 * away. */
START_TEST(restarts_report_the_rows_they_overwrite)
{
    enum { N = 20, D = 2, K = 64 };
    const nn_quant_clock clock = { 0, 5, 100 };
    report r = { 0 };
    quants u;
    quants_new(&u, "vq codes=64 restart=1 decay=0.5", D);
    nn_param *code = quants_param(&u, "embedding.weight");
    const float *z = quants_rows(&u, N, D, 1), *was = copy(code->val, K * D);
    quants_start(&u, z, N);
    nn_quantised found = quants_find(&u, z, N);
    const int restarts = nn_quantiser_settle(u.it, &found, &clock, note, &r, &u.scratch);
    ck_assert_int_eq(r.rows, restarts);
    ck_assert_int_gt(restarts, K / 2);
    ck_assert_ptr_eq(r.param, code);
    for (int k = 0, i = 0; k < K; k++)
        if (i < r.rows && r.row[i] == k) {
            ck_assert_int_ge(row_of(code->val + k * D, z, N, D), 0);
            ck_assert_int_eq(hits(found.index[0], N, k), 0);
            /* and starts at tau = n/K */
            ck_assert_float_eq(quants_param(&u, "cluster_size")->val[k], (float)N / K);
            i++;
        } else {
            ck_assert_mem_eq(code->val + k * D, was + k * D, sizeof *was * D);
        }
    quants_free(&u);
}
END_TEST

/* Codes, sums and counts of a moving average agree after a restart: C = M / N. */
START_TEST(a_restarted_average_stands_on_its_row)
{
    enum { N = 20, D = 2, K = 64 };
    report r = { 0 };
    int jumped = 0;
    quants u;
    quants_new(&u, "ema codes=64 restart=1 decay=0.5", D);
    const float *c = book_of(&u);
    const float *m = quants_param(&u, "embed_avg")->val;
    const float *n = quants_param(&u, "cluster_size")->val, *z = quants_rows(&u, N, D, 1);
    quants_start(&u, z, N);
    nn_quantised found = quants_find(&u, z, N);
    const int restarts = nn_quantiser_settle(u.it, &found, &(nn_quant_clock){ 0, 0, 100 },
                                             note, &r, &u.scratch);
    ck_assert_int_eq(r.rows, 0);                    /* a buffer has no momentum */
    for (int k = 0; k < K; k++)
        if (row_of(c + k * D, z, N, D) >= 0) {
            jumped++;
            for (int i = k * D; i < (k + 1) * D; i++)
                ck_assert_float_eq_tol(m[i], n[k] * c[i], 1e-6f);
        }
    ck_assert_int_ge(jumped, restarts);
    ck_assert_int_gt(restarts, K / 2);
    quants_free(&u);
}
END_TEST

/* ---- starts ------------------------------------------------------------------------ */

START_TEST(codes_start_on_rows_without_a_double_or_with_doubles_if_rows_are_few)
{
    static const char *const lines[] = {
        "vq codes=16 init=data", "ema codes=16 init=data", "cvq codes=16 init=data"
    };
    enum { K = 16, D = 3 };
    static const int rows[] = { 5, 16, 40 };
    for (int j = 0; j < 3; j++) {
        const int n = rows[j];
        int seen[40] = { 0 }, different = 0;
        quants u;
        quants_new(&u, lines[_i], D);
        const float *z = quants_rows(&u, n, D, 1);
        const float *c = book_of(&u);
        ck_assert_uint_eq(nn_quantiser_rows(u.it, (size_t)n), n > K ? (size_t)n : K);
        quants_start(&u, z, n);
        for (int k = 0; k < K; k++) {
            const int at = row_of(c + k * D, z, n, D);
            ck_assert_int_ge(at, 0);
            different += !seen[at]++;
        }
        ck_assert_int_eq(different, n < K ? n : K);
    }
}
END_TEST

/* Ten rounds in plain loops and in double, from the rows that init=data draws: the same
 * draw.  A cluster without rows keeps its place. */
START_TEST(clusters_are_ten_rounds_of_lloyd_from_the_same_rows)
{
    enum { K = 12, D = 2 };
    const int n = _i ? 9 : 100;
    double c[K * D];
    quants data, kmeans;
    quants_new(&data, "vq codes=12 init=data", D);
    quants_new(&kmeans, "vq codes=12 init=kmeans", D);
    const float *z = quants_rows(&data, n, D, 1);
    quants_start(&data, z, n);
    quants_start(&kmeans, z, n);
    for (int i = 0; i < K * D; i++)
        c[i] = (double)book_of(&data)[i];
    for (int round = 0; round < 10; round++) {
        double sum[K * D] = { 0 };
        int count[K] = { 0 };
        for (int i = 0; i < n; i++) {
            double best = INFINITY;
            int at = 0;
            for (int k = 0; k < K; k++) {
                const double x = (double)z[i * D] - c[k * D];
                const double y = (double)z[i * D + 1] - c[k * D + 1];
                if (x * x + y * y < best) {
                    best = x * x + y * y;
                    at = k;
                }
            }
            count[at]++;
            sum[at * D] += (double)z[i * D];
            sum[at * D + 1] += (double)z[i * D + 1];
        }
        for (int i = 0; i < K * D; i++)
            if (count[i / D])
                c[i] = sum[i] / count[i / D];
    }
    for (int i = 0; i < K * D; i++)
        ck_assert_float_eq_tol(book_of(&kmeans)[i], (float)c[i], 1e-5f);
    quants_free(&data);
    quants_free(&kmeans);
}
END_TEST

/* The second stage starts on what the first leaves over, not on rows. */
/* Two heaps of rows, 30 and 10, of which a step brings half: counts of 15 and 5, and sums
 * that are the rows' own, halved. */
START_TEST(a_moving_average_starts_with_the_sizes_of_its_clusters)
{
    enum { D = 2, ALL = 40, FEW = 10 };
    float z[ALL * D];
    for (int i = 0; i < ALL; i++) {
        z[i * D] = i < FEW ? 5 : -3;
        z[i * D + 1] = (float)(i & 1) * 0.5f;
    }
    quants u;
    quants_new(&u, "ema codes=2 init=kmeans++", D);
    const nn_quant_clock clock = { 0, 0, 100 };
    nn_quantiser_start(u.it, z, ALL, ALL / 2, &clock, &u.scratch);
    const float *count = quants_param(&u, "cluster_size")->val,
                *sum = quants_param(&u, "embed_avg")->val;
    const int few = count[0] < count[1] ? 0 : 1;
    ck_assert_float_eq(count[few], FEW / 2);
    ck_assert_float_eq(count[1 - few], (ALL - FEW) / 2);
    ck_assert_float_eq(sum[few * D], 5 * FEW / 2);
    ck_assert_float_eq(sum[(1 - few) * D], -3 * (ALL - FEW) / 2);
    quants_free(&u);
}
END_TEST

START_TEST(each_stage_starts_on_what_is_left_over)
{
    enum { K = 16, D = 3, N = 60 };
    quants u;
    quants_new(&u, "vq codes=16 stages=2 init=data", D);
    const float *z = quants_rows(&u, N, D, 1);
    quants_start(&u, z, N);
    nn_quantised found = quants_find(&u, z, N);
    const float *c = nn_store_find(&u.store, "q.1.embedding.weight")->val;
    for (int k = 0; k < K; k++)
        ck_assert_int_ge(row_of(c + k * D, found.z[1]->val, N, D), 0);
    quants_free(&u);
}
END_TEST

/* ---- cvq --------------------------------------------------------------------------- */

/* How many dead codes there are, and how many different rows they went to: each is within
 * 0.1 % of its anchor. */
static int places(const char *line, int *dead)
{
    enum { K = 400, D = 8, N = 100 };
    int seen[N] = { 0 }, different = 0;
    quants u;
    quants_new(&u, line, D);
    const float *z = quants_rows(&u, N, D, 1), *c = book_of(&u);
    nn_quantised found = quants_find(&u, z, N);
    nn_quantiser_settle(u.it, &found, &(nn_quant_clock){ 0, 0, 100 }, NULL, NULL,
                        &u.scratch);
    *dead = 0;
    for (int k = 0; k < K; k++) {
        int at = 0;
        if (hits(found.index[0], N, k))
            continue;
        for (int i = 1; i < N; i++)
            if (apart(c + k * D, z + i * D, D) < apart(c + k * D, z + at * D, D))
                at = i;
        ck_assert_double_lt(apart(c + k * D, z + at * D, D),
                            2e-3 * length_of(z + at * D, D));
        different += !seen[at]++;
        ++*dead;
    }
    quants_free(&u);
    return different;
}

START_TEST(closest_rows_by_distance_are_one_row_and_by_angle_are_many)
{
    int dead;
    ck_assert_int_eq(places("cvq codes=400", &dead), 1);
    ck_assert_int_gt(dead, 300);
    ck_assert_int_gt(places("cvq codes=400 metric=cosine", &dead), 80);
    ck_assert_int_gt(dead, 300);
}
END_TEST

/* alpha = exp(-1000 s - 1e-3), s the share of a fair one; one hit of n: exp(-10 K/n). */
START_TEST(a_code_with_a_fraction_of_its_share_is_half_an_anchor)
{
    enum { D = 2, N = 50 };
    const double s = 6.9e-4;
    quants u;
    far_codes(&u, "cvq codes=2", D);
    float z[N * D];
    for (int i = 0; i < N * D; i++)
        z[i] = 1;
    float *c = book_of(&u);
    const float was = c[D];
    quants_param(&u, "embed_prob")->val[0] = 0.5f;
    quants_param(&u, "embed_prob")->val[1] = (float)(s / 2 / 0.99); /* decays to s/K */
    quants_train(&u, z, N, (nn_quant_clock){ 0, 3, 100 }, 0);
    const double alpha = exp(-1000 * s - 1e-3);
    ck_assert_double_eq_tol(alpha, 0.5, 2e-3);
    ck_assert_float_eq_tol(c[D], (float)((1 - alpha) * was + alpha), 1e-4f);
    /* the first code has all hits and lies where it lay */
    ck_assert_float_eq(c[0], 0);
    quants_free(&u);
}
END_TEST

/* K > n: rows fill the pool in order, over several batches; nothing moves before it is
 * full. Then each batch overwrites as many places as it has rows, or fewer if two
 * meet. */
START_TEST(a_pool_that_is_larger_than_a_batch_fills_up_first)
{
    enum { K = 25, D = 2, N = 10 };
    quants u;
    quants_new(&u, "cvq codes=25 anchor=random", D);
    const float *pool = quants_param(&u, "pool")->val;
    const float *c = book_of(&u), *was = copy(c, K * D);
    const float *z[4];
    for (int step = 0; step < 4; step++)
        z[step] = quants_rows(&u, N, D, 1 + (uint64_t)step);
    for (int step = 0; step < 2; step++)
        quants_train(&u, z[step], N, (nn_quant_clock){ 0, step, 100 }, 0);
    ck_assert_mem_eq(c, was, sizeof *c * K * D);
    quants_train(&u, z[2], N, (nn_quant_clock){ 0, 2, 100 }, 0);
    for (int k = 0; k < K; k++)
        ck_assert_int_eq(row_of(pool + k * D, z[k / N], N, D), k % N);
    ck_assert_mem_ne(c, was, sizeof *c * K * D);

    const float *full = copy(pool, K * D);
    int fresh = 0;
    quants_train(&u, z[3], N, (nn_quant_clock){ 0, 3, 100 }, 0);
    for (int k = 0; k < K; k++)
        if (memcmp(pool + k * D, full + k * D, sizeof *pool * D) != 0) {
            ck_assert_int_ge(row_of(pool + k * D, z[3], N, D), 0);
            fresh++;
        }
    ck_assert(fresh >= N / 2 && fresh <= N);
    quants_free(&u);
}
END_TEST

/* K < n: a batch replaces the whole pool, row by row drawn with replacement; and code
 * k goes to row k of it. */
START_TEST(a_pool_that_is_smaller_than_a_batch_is_drawn_anew)
{
    enum { K = 30, D = 2, N = 40 };
    quants u;
    quants_new(&u, "cvq codes=30 anchor=random", D);
    const float *pool = quants_param(&u, "pool")->val;
    const float *c = book_of(&u);
    const float *a = quants_rows(&u, N, D, 1), *b = quants_rows(&u, N, D, 2);
    quants_train(&u, a, N, (nn_quant_clock){ 0, 0, 100 }, 0);
    for (int k = 0; k < K; k++)
        ck_assert_int_eq(row_of(pool + k * D, a, N, D), k);
    int seen[N] = { 0 }, different = 0;
    quants_train(&u, b, N, (nn_quant_clock){ 0, 1, 100 }, 0);
    for (int k = 0; k < K; k++) {
        const int at = row_of(pool + k * D, b, N, D);
        ck_assert_int_ge(at, 0);
        different += !seen[at]++;
    }
    ck_assert(different > K / 2 && different < K);  /* 21 of 30 on average */
    const float *u_k = quants_param(&u, "embed_prob")->val;
    for (int k = 0; k < K; k++)
        if (u_k[k] == 0)        /* never hit: (1 - 0.999) of where it was */
            ck_assert_double_lt(apart(c + k * D, pool + k * D, D), 0.02);
    quants_free(&u);
}
END_TEST

/* 4000 equal codes and three rows: each row is drawn as often as its softmax says. */
START_TEST(random_rows_are_drawn_by_the_softmax_of_their_similarity)
{
    static const char *const lines[] = {
        "cvq codes=4000 anchor=probrandom",
        "cvq codes=4000 anchor=probrandom metric=cosine"
    };
    enum { K = 4000, D = 2, N = 3 };
    const float z[N * D] = { 1, 0, 0, 1.5f, -0.5f, 0.5f };
    double p[N], all = 0;
    int count[N] = { 0 };
    quants u;
    quants_new(&u, lines[_i], D);
    float *c = book_of(&u);
    for (int k = 0; k < K; k++) {
        c[k * D] = 0.5f;
        c[k * D + 1] = 0.25f;
    }
    for (int i = 0; i < N; i++) {
        const float *x = z + i * D;
        const double dot = 0.5 * (double)x[0] + 0.25 * (double)x[1];
        const double far = apart(x, c, D);
        all += p[i] = exp(_i ? dot / (length_of(x, D) * length_of(c, D)) : -far * far);
    }
    quants_train(&u, z, N, (nn_quant_clock){ 0, 0, 100 }, 0);
    for (int k = 1; k < K; k++) {                   /* code 0 has all hits */
        int at = 0;
        for (int i = 1; i < N; i++)
            if (apart(c + k * D, z + i * D, D) < apart(c + k * D, z + at * D, D))
                at = i;
        count[at]++;
    }
    for (int i = 0; i < N; i++) {                   /* within four standard deviations */
        const double want = p[i] / all;
        ck_assert_double_eq_tol((double)count[i] / (K - 1), want,
                                4 * sqrt(want * (1 - want) / K));
    }
    quants_free(&u);
}
END_TEST

/* ---- E1 to E8 (spec 15.1) ---------------------------------------------------------- */

START_TEST(e1_codes_without_rows_do_not_move_in_vq_and_all_move_in_simvq)
{
    static const char *const lines[] = { "vq codes=40 init=normal", "vq codes=40",
                                         "simvq codes=40", "simvq codes=40 bias=0" };
    enum { K = 40, D = 6, N = 30 };
    int idle = 0;
    quants u;
    quants_new(&u, lines[_i], D);
    const float *z = quants_rows(&u, N, D, 1);
    const float *book = nn_quantiser_book(u.it, 0, &u.scratch);
    const float *was = copy(book, K * D), *dp;
    if (_i < 2) {
        nn_quantised found = quants_find(&u, z, N);
        int count[K];
        for (int k = 0; k < K; k++)
            count[k] = hits(found.index[0], N, k);
        gradients(&u, z, N, "embedding.weight", &dp);
        quants_train(&u, z, N, (nn_quant_clock){ 0, 0, 100 }, 1);
        const float *c = book_of(&u);
        for (int k = 0; k < K; k++) {
            for (int i = 0; i < D && count[k] == 0; i++)
                ck_assert(dp[k * D + i] == 0);
            ck_assert_int_eq(memcmp(c + k * D, was + k * D, sizeof *c * D) == 0,
                             count[k] == 0);
            idle += count[k] == 0;
        }
        ck_assert_int_gt(idle, K / 3);
        return;
    }
    quants_train(&u, z, N, (nn_quant_clock){ 0, 0, 100 }, 1);
    book = nn_quantiser_book(u.it, 0, &u.scratch);
    for (int k = 0; k < K; k++)
        ck_assert_double_gt(apart(book + k * D, was + k * D, D), 1e-3);
    quants_free(&u);
}
END_TEST

/* R_k: the gradient that each code would have as a parameter of its own. */
static double *forces(quants *u, const float *z, int n, int k, int d)
{
    double *r = NN_NEW0(&memory, double, k * d);
    nn_quantised found = quants_find(u, z, n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++)
            r[found.index[0][i] * d + j] +=
                2.0 / (n * d) * ((double)found.q->val[i * d + j] - (double)z[i * d + j]);
    return r;
}

/* out_i += sum_j (x_i . x_j + one) r_j, x (k, wide), r and out (k, d). */
static void add_kernel(const float *x, int wide, const double *r, int k, int d,
                       double one, double *out)
{
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            double s = one;
            for (int c = 0; c < wide; c++)
                s += (double)x[i * wide + c] * (double)x[j * wide + c];
            for (int c = 0; c < d; c++)
                out[i * d + c] += s * r[j * d + c];
        }
}

/* One step of W moves the book by -eta (B B' + 1 1') R. */
START_TEST(e2_simvq_moves_its_book_by_the_kernel_of_the_basis)
{
    static const char *const lines[] = { "simvq codes=20", "simvq codes=20 bias=0",
                                         "simvq codes=20 basis_dim=3" };
    enum { K = 20, D = 6, N = 50 };
    const float lr = 100;               /* as far as the book is long, to be seen well */
    double want[K * D] = { 0 }, size = 0, worst = 0;
    quants u;
    quants_new(&u, lines[_i], D);
    const float *z = quants_rows(&u, N, D, 1);
    const double *r = forces(&u, z, N, K, D);
    const float *was = copy(nn_quantiser_book(u.it, 0, &u.scratch), K * D);
    const nn_param *basis = quants_param(&u, "embedding.weight");
    add_kernel(basis->val, basis->shape.dim[1], r, K, D, _i == 1 ? 0 : 1, want);
    quants_train(&u, z, N, (nn_quant_clock){ 0, 0, 100 }, lr);
    const float *now = nn_quantiser_book(u.it, 0, &u.scratch);
    for (int i = 0; i < K * D; i++) {
        const double moved = (double)now[i] - (double)was[i];
        const double step = fabs((double)lr * want[i]);
        const double off = fabs(moved + (double)lr * want[i]);
        size = step > size ? step : size;       /* fmax: gcc 12 for aarch64 breaks on it */
        worst = off > worst ? off : worst;
    }
    ck_assert_double_gt(size, 0.5);
    ck_assert_double_le(worst, 1e-5 * size);
    quants_free(&u);
}
END_TEST

/* out = B'B - W W' of simvq with a trained basis; W as we store it is W' (out, in). */
static void balance(quants *u, int d, double *out, double *size)
{
    const nn_param *b = quants_param(u, "embedding.weight");
    const float *w = quants_param(u, "embedding_proj.weight")->val;
    const int k = b->shape.dim[0];
    *size = 0;
    for (int i = 0; i < d; i++)
        for (int j = 0; j < d; j++) {
            double bb = 0, ww = 0;
            for (int c = 0; c < k; c++)
                bb += (double)b->val[c * d + i] * (double)b->val[c * d + j];
            for (int c = 0; c < d; c++)
                ww += (double)w[c * d + i] * (double)w[c * d + j];
            out[i * d + j] = bb - ww;
            *size += bb * bb;
        }
    *size = sqrt(*size);
}

START_TEST(e3_training_basis_and_projection_conserves_their_balance)
{
    enum { K = 16, D = 4, N = 60 };
    double was[D * D], now[D * D], size, end, change = 0;
    quants u;
    quants_new(&u, "simvq codes=16 bias=0 train_basis=1 weight=40", D);
    const float *z = quants_rows(&u, N, D, 1);
    const nn_param *b = quants_param(&u, "embedding.weight");
    const float *start = copy(b->val, K * D);
    balance(&u, D, was, &size);
    for (int step = 0; step < 200; step++)
        quants_train(&u, z, N, (nn_quant_clock){ 0, step, 200 }, 1e-3f);
    balance(&u, D, now, &end);
    for (int i = 0; i < D * D; i++)
        change += (now[i] - was[i]) * (now[i] - was[i]);
    ck_assert_double_lt(sqrt(change), 1e-3 * size);
    /* while both factors went a long way */
    ck_assert_double_gt(apart(b->val, start, K * D), 0.1 * length_of(start, K * D));
    quants_free(&u);
}
END_TEST

START_TEST(e4_a_moving_average_without_memory_is_a_round_of_lloyd)
{
    enum { K = 16, D = 3, N = 90 };
    quants u;
    quants_new(&u, "ema codes=16 decay=0 init=normal", D);
    const float *z = quants_rows(&u, N, D, 1), *c = book_of(&u);
    quants_start(&u, z, N);
    float *lloyd = copy(c, K * D);
    nn_kmeans(K, D, lloyd, z, N, 1, &u.scratch);
    quants_train(&u, z, N, (nn_quant_clock){ 0, 0, 100 }, 0);
    for (int i = 0; i < K * D; i++)     /* eps over the smallest count of rows, 1 */
        ck_assert_float_eq_tol(c[i], lloyd[i], 2e-5f * fmaxf(fabsf(lloyd[i]), 1));
    quants_free(&u);
}
END_TEST

/* z = atanh(U(-1, 1)) - s: the rarest code has probability prod 0.5 / (L - 1), so that
 * 10 2^d prod L rows find every code with a miss of less than 1 in 100. */
START_TEST(e6_fsq_uses_every_code_of_evenly_spread_rows)
{
    static const struct { const char *line; int d, level[4]; } cases[] = {
        { "fsq levels=8,6,5", 3, { 8, 6, 5 } }, { "fsq levels=5,5,5", 3, { 5, 5, 5 } },
        { "fsq levels=8,8", 2, { 8, 8 } }, { "fsq levels=8,5,5,5", 4, { 8, 5, 5, 5 } },
    };
    const int d = cases[_i].d, *level = cases[_i].level;
    int n = 10 << d, codes = 1, used = 0;
    nn_rng r = nn_rng_at(63, NN_RNG_TEST, 0, 0);
    quants u;
    quants_new(&u, cases[_i].line, d);
    for (int j = 0; j < d; j++)
        codes *= level[j];
    n *= codes;
    float *z = NN_NEW(&memory, float, n * d);
    int *seen = NN_NEW0(&memory, int, codes);
    for (int i = 0; i < n * d; i++) {
        const int l = level[i % d];
        const double s = atanh((l % 2 ? 0 : 0.5) / ((l - 1) * (1 + 1e-3) / 2));
        z[i] = (float)(atanh(nn_rng_range(&r, -1, 1)) - s);
    }
    nn_quantised found = quants_find(&u, z, n);
    for (int i = 0; i < n; i++)
        used += !seen[found.index[0][i]]++;
    ck_assert_int_eq(used, codes);
    quants_free(&u);
}
END_TEST

START_TEST(e7_more_stages_are_never_worse_if_each_has_a_zero)
{
    static const char *const lines[] = { "vq codes=16 stages=8 init=normal",
                                         "ema codes=16 stages=8 init=data",
                                         "vq codes=16 stages=8 share=1 init=data" };
    enum { D = 5, N = 80, STAGES = 8 };
    quants u;
    quants_new(&u, lines[_i], D);
    const float *z = quants_rows(&u, N, D, 1);
    quants_start(&u, z, N);
    for (int j = 0; j < u.store.count; j++)
        if (strstr(u.store.list[j]->name, "embedding.weight"))
            memset(u.store.list[j]->val, 0, sizeof(float) * D);
    nn_quantised found = quants_find(&u, z, N);
    double first = 0, last = 0;
    for (int i = 0; i < N; i++)
        for (int s = 0; s < STAGES; s++) {
            const float *rest = found.z[s]->val + i * D, *q = found.code[s]->val + i * D;
            const double before = length_of(rest, D), after = apart(rest, q, D);
            ck_assert_double_le(after, before + 1e-6);
            first += s == 0 ? after : 0;
            last += s == STAGES - 1 ? after : 0;
        }
    ck_assert_double_lt(last, 0.9 * first);
    quants_free(&u);
}
END_TEST

/* ---- the toy of spec 7.3 ----------------------------------------------------------- */

/* K = 100 codes in the plane, W = 1, two targets on a circle, noise 0.05, 500 steps of
 * SGD at 0.05 on the mean squared distance (weight 2: ours is a mean over columns,
 * too). */
typedef struct toy_end { double moved, dw; } toy_end;   /* share of codes; |W - 1| */

static toy_end toy(const char *line, int seed)
{
    enum { K = 100, T = 2 };
    nn_rng r = nn_rng_at(64, NN_RNG_TEST, 0, (uint64_t)seed);
    toy_end end = { 0, 0 };
    quants u;
    quants_new(&u, line, 2);
    float *b = book_of(&u);
    nn_param *w = nn_store_find(&u.store, "q.embedding_proj.weight");
    for (int i = 0; i < 2 * K; i++)
        b[i] = (float)nn_rng_normal(&r);
    for (int i = 0; w && i < 4; i++)
        w->val[i] = i % 3 == 0;
    const float *was = copy(nn_quantiser_book(u.it, 0, &u.scratch), 2 * K);
    for (int step = 0; step < 500; step++) {
        float z[2 * T];
        for (int i = 0; i < 2 * T; i++) {
            const double angle = 2 * 3.14159265358979 * (i / 2 + 0.15) / T;
            z[i] = (float)(3 * (i % 2 ? sin(angle) : cos(angle))
                           + 0.05 * nn_rng_normal(&r));
        }
        quants_train(&u, z, T, (nn_quant_clock){ 0, step, 500 }, 0.05f);
    }
    const float *now = nn_quantiser_book(u.it, 0, &u.scratch);
    for (int k = 0; k < K; k++)
        end.moved += (apart(now + 2 * k, was + 2 * k, 2) > 0.05) / (double)K;
    for (int i = 0; w && i < 4; i++)
        end.dw += pow((double)w->val[i] - (i % 3 == 0), 2);
    end.dw = sqrt(end.dw);
    quants_free(&u);
    return end;
}

START_TEST(e8_a_book_of_its_own_moves_few_codes_and_a_projection_moves_all)
{
    const toy_end q = toy("vq codes=100 weight=2", _i);
    const toy_end w = toy("simvq codes=100 weight=2 bias=0", _i);
    const toy_end both = toy("simvq codes=100 weight=2 bias=0 train_basis=1", _i);
    ck_assert_double_le(q.moved, 0.03);             /* T + 1 of 100 */
    ck_assert_double_ge(w.moved, 0.9);
    ck_assert_double_lt(both.dw, 0.8 * w.dw);
    ck_assert_double_gt(w.dw, 0.1);
}
END_TEST

Suite *suite_quant_traps(void)
{
    Suite *s = suite_create("quant_traps");
    TCase *c = tcase_create("path");
    tcase_add_loop_test(c, the_gradient_passes_four_stages_once, 0, 6);
    tcase_add_test(c, the_gradient_of_fsq_is_that_of_its_first_stage);
    tcase_add_loop_test(c, legacy_moves_beta_from_the_vectors_to_the_codes, 0, 2);
    tcase_add_test(c, rows_of_the_frozen_basis_have_no_gradient_at_all);
    tcase_add_test(c, simvq_decodes_with_its_projection);
    tcase_add_loop_test(c, every_index_of_fsq_comes_back, 0, 8);
    tcase_add_test(c, the_first_column_of_lfq_is_the_highest_bit);
    tcase_add_test(c, codes_of_spherical_lfq_have_length_1);
    tcase_add_loop_test(c, a_row_that_is_no_number_makes_the_loss_none, 0, EVERY);
    tcase_add_loop_test(c, of_equal_codes_the_first_wins, 0, 3);
    tcase_add_loop_test(c, small_and_equal_inputs_are_no_special_case, 0, ODD);
    tcase_add_test(c, what_makes_no_sense_is_refused_with_a_reason);
    tcase_add_test_raise_signal(c, a_refused_plan_is_a_bug_to_build, SIGABRT);
    tcase_add_test(c, stages_are_dropped_in_training_alone);
    tcase_add_test(c, which_stages_are_dropped_follows_step_and_seed);
    tcase_add_test(c, a_shared_code_restarts_anywhere_whether_stages_are_dropped_or_not);
    suite_add_tcase(s, c);

    c = tcase_create("state");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_code_nobody_uses_stays_for_3000_steps);
    tcase_add_test(c, a_code_that_is_found_again_moves_to_its_rows);
    tcase_add_test(c, a_code_waits_until_its_count_is_well_above_eps);
    tcase_add_test(c, a_stage_that_was_dropped_keeps_its_state);
    tcase_add_test(c, stored_counts_are_not_the_smoothed_ones);
    tcase_add_loop_test(c, codes_with_less_than_a_row_each_are_not_dead_at_once, 0, 3);
    tcase_add_loop_test(c, nothing_is_restarted_in_the_last_tenth, 0, 2);
    tcase_add_test(c, restarts_report_the_rows_they_overwrite);
    tcase_add_test(c, a_restarted_average_stands_on_its_row);
    tcase_add_loop_test(
        c, codes_start_on_rows_without_a_double_or_with_doubles_if_rows_are_few, 0, 3);
    tcase_add_loop_test(c, clusters_are_ten_rounds_of_lloyd_from_the_same_rows, 0, 2);
    tcase_add_test(c, a_moving_average_starts_with_the_sizes_of_its_clusters);
    tcase_add_test(c, each_stage_starts_on_what_is_left_over);
    tcase_add_test(c, closest_rows_by_distance_are_one_row_and_by_angle_are_many);
    tcase_add_test(c, a_code_with_a_fraction_of_its_share_is_half_an_anchor);
    tcase_add_test(c, a_pool_that_is_larger_than_a_batch_fills_up_first);
    tcase_add_test(c, a_pool_that_is_smaller_than_a_batch_is_drawn_anew);
    tcase_add_loop_test(c, random_rows_are_drawn_by_the_softmax_of_their_similarity, 0,
                        2);
    suite_add_tcase(s, c);

    c = tcase_create("propositions");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(
        c, e1_codes_without_rows_do_not_move_in_vq_and_all_move_in_simvq, 0, 4);
    tcase_add_loop_test(c, e2_simvq_moves_its_book_by_the_kernel_of_the_basis, 0, 3);
    tcase_add_test(c, e3_training_basis_and_projection_conserves_their_balance);
    tcase_add_test(c, e4_a_moving_average_without_memory_is_a_round_of_lloyd);
    tcase_add_loop_test(c, e6_fsq_uses_every_code_of_evenly_spread_rows, 0, 4);
    tcase_add_loop_test(c, e7_more_stages_are_never_worse_if_each_has_a_zero, 0, 3);
    tcase_add_loop_test(
        c, e8_a_book_of_its_own_moves_few_codes_and_a_projection_moves_all, 0, 5);
    suite_add_tcase(s, c);
    return s;
}
