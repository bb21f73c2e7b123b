/* Codebooks and reconstructions: against NumPy and SciPy (golden/make_codes.py), closed
 * forms, and lives made by hand. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/code.h"
#include "metrics/image.h"
#include "nn/rng.h"
#include "tests/bytes.h"
#include "tests/golden.h"
#include "tests/suites.h"

static nn_arena arena;                  /* the process of a test ends with it */

/* Golden values are floats, off by 6e-8; ours are doubles. */
static const double golden_digits = 1e-7;

static void near(const char *what, double got, double want, double tolerance)
{
    ck_assert_msg(fabs(got - want) <= tolerance, "%s is %.16g, not %.16g +- %.2g", what,
                  got, want, tolerance);
}

static void like(const char *what, double got, double want)
{
    near(what, got, want, golden_digits * fabs(want));
}

static float *normal(size_t n, uint64_t sample)
{
    nn_rng r = nn_rng_at(12, NN_RNG_TEST, 0, sample);
    float *x = NN_NEW(&arena, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

/* ---- usage ------------------------------------------------------------------------- */

static const char *const usages[] = { "uniform", "skewed", "few", "huge" };

START_TEST(usage_and_perplexity_agree_with_numpy)
{
    golden g = golden_open("codes.gold");
    const golden_record *count = golden_at(&g, "usage/%s/count", usages[_i]);
    const float *want = golden_at(&g, "usage/%s/want", usages[_i])->val;
    const float *bin = golden_at(&g, "usage/%s/bins", usages[_i])->val;
    met_usage u = met_code_usage(count->n, count->val);
    double bins[MET_CODE_BINS], all = 0;

    ck_assert(u.k == (double)count->n);
    like("n", u.n, want[0]);
    like("used", u.used, want[1]);
    like("usage", u.usage, want[2]);
    like("usage_eps", u.usage_eps, want[3]);
    like("perplexity", u.perplexity, want[4]);
    like("perplexity_corrected", u.perplexity_corrected, want[5]);
    met_code_histogram(count->n, count->val, bins);
    for (int b = 0; b < MET_CODE_BINS; b++) {
        near("share of a bin", bins[b], bin[b], golden_digits);
        all += bins[b];
    }
    near("all bins", all, 1, 1e-14);
    golden_free(&g);
}
END_TEST

/* Counts whose sum is n; only k and n enter. */
static double usage_max(size_t k, double n)
{
    float *count = calloc(k, sizeof *count);
    count[k / 2] = (float)n;
    double u = met_code_usage(k, count).usage_max;
    free(count);
    return u;
}

START_TEST(what_chance_reaches_is_exact)
{
    golden g = golden_open("codes.gold");
    const golden_record *r = golden_at(&g, "chance");
    for (int i = 0; i < r->shape.dim[0]; i++) {
        const float *row = r->val + 4 * i;
        double want = (double)row[2] + row[3];
        /* two floats hold 48 bits, 4e-15; exp and log are within 2 ulp each, and exp
         * turns the absolute error of its argument, at most 37 before U is 1, to a
         * relative one */
        near("usage_max", usage_max((size_t)row[0], row[1]), want, 1e-14 * want);
    }
    golden_free(&g);
}
END_TEST

/* Section 14 of the specification gives three digits. */
START_TEST(what_chance_reaches_is_as_the_specification_says)
{
    near("n = K", usage_max(65536, 65536), 0.632, 5e-4);
    near("n = 3 K", usage_max(65536, 3 * 65536), 0.950, 5e-4);
    near("n = 4.6 K", usage_max(65536, 301466), 0.990, 5e-4);
    ck_assert_double_le(usage_max(65536, 12544), 0.1745);
    near("12544 of 65536", usage_max(65536, 12544), 0.174, 5e-4);
}
END_TEST

/* E5 of the specification, with its own bound of sigma. */
START_TEST(uniform_indices_reach_what_chance_promises)
{
    enum { K = 4096 };
    static const double rounds[] = { 0.2, 1, 3, 4.6 };
    for (int t = 0; t < 4; t++) {
        static float count[K];
        size_t n = (size_t)(rounds[t] * K);
        nn_rng r = nn_rng_at(5, NN_RNG_TEST, 0, (uint64_t)t);
        memset(count, 0, sizeof count);
        for (size_t i = 0; i < n; i++)
            count[nn_rng_below(&r, K)]++;
        met_usage u = met_code_usage(K, count);
        double missed = exp(-u.n / K), sigma = sqrt(missed * (1 - missed) / K);
        near("usage", u.usage, u.usage_max, 3 * sigma);
    }
}
END_TEST

/* 65536 terms in sums of 256 twice over, at worst 512 eps ln K off: 1.3e-12, and their
 * rounding errors hardly all have one sign. */
START_TEST(perplexity_counts_codes_that_are_hit_alike)
{
    enum { K = 65536 };
    static float count[K];

    for (int k = 0; k < K; k++)
        count[k] = 7;
    met_usage u = met_code_usage(K, count);
    near("perplexity of all", u.perplexity, K, 1e-12 * K);
    ck_assert(u.used == K && u.usage == 1 && u.usage_eps == 1);

    for (int k = 0; k < K; k++)
        count[k] = k % 2 ? 3 : 1;
    double h = log(2 * K) - 0.75 * log(3);
    near("perplexity of two levels", met_code_usage(K, count).perplexity, exp(h),
         1e-12 * K);

    memset(count, 0, sizeof count);
    count[99] = 1000;
    u = met_code_usage(K, count);
    ck_assert(u.perplexity == 1 && u.perplexity_corrected == 1);
    ck_assert(u.used == 1 && u.usage == 1.0 / K);
}
END_TEST

/* 1/10 of a fair share of 1000 on 10 codes is 10 hits, and U_eps wants more. */
START_TEST(a_tenth_of_a_fair_share_is_not_use)
{
    static const float count[10] = { 10, 11, 0, 1, 978, 0, 0, 0, 0, 0 };
    met_usage u = met_code_usage(10, count);
    ck_assert(u.n == 1000 && u.usage == 0.4 && u.usage_eps == 0.2);
}
END_TEST

/* K = 8 and n = 80: a fair share is 10, and bins part at its multiples of sqrt(2). */
START_TEST(bins_are_centred_on_powers_of_two)
{
    static const float count[8] = { 14, 15, 20, 28, 0, 0, 2, 1 };
    static const float one[1] = { 3 };
    double b[MET_CODE_BINS];

    met_code_histogram(8, count, b);
    ck_assert(b[0] == 0.25);                                /* none */
    ck_assert(b[MET_CODE_FAIR] == 0.125);                   /* 1.4 */
    ck_assert(b[MET_CODE_FAIR + 1] == 0.375);               /* 1.5, 2, 2.8 */
    ck_assert(b[MET_CODE_FAIR - 2] == 0.125);               /* .2 */
    ck_assert(b[MET_CODE_FAIR - 3] == 0.125);               /* .1 */
    met_code_histogram(1, one, b);
    ck_assert(b[MET_CODE_FAIR] == 1);

    static float only[8192], rare[2] = { 1, 1 << 24 };      /* beyond both ends */
    only[5] = 3;
    met_code_histogram(8192, only, b);
    ck_assert(b[MET_CODE_BINS - 1] == 1.0 / 8192);
    met_code_histogram(2, rare, b);
    ck_assert(b[1] == 0.5 && b[MET_CODE_FAIR + 1] == 0.5);
}
END_TEST

START_TEST(without_a_vector_nothing_is_said)
{
    static const float none[4];
    met_usage u = met_code_usage(4, none);
    met_judged j = met_judge_codes(&u);
    double b[MET_CODE_BINS];

    ck_assert(u.n == 0 && u.used == 0 && isnan(u.usage) && isnan(u.usage_max));
    ck_assert(isnan(u.usage_eps) && isnan(u.perplexity) && isnan(u.perplexity_corrected));
    ck_assert_int_eq(j.verdict, MET_HEALTHY);
    ck_assert_str_eq(j.why, "no vector was quantised");
    met_code_histogram(4, none, b);
    ck_assert(b[0] == 1);
    ck_assert(isnan(met_code_churn(0, NULL, NULL)));
}
END_TEST

static met_judged judged(size_t k, size_t used, float hits)
{
    float *count = calloc(k, sizeof *count);
    for (size_t i = 0; i < used; i++)
        count[i] = hits;
    met_usage u = met_code_usage(k, count);
    free(count);
    return met_judge_codes(&u);
}

START_TEST(a_codebook_dies_below_half_of_chance)
{
    met_judged j = judged(512, 12, 40000);
    ck_assert_int_eq(j.verdict, MET_CODEBOOK);
    ck_assert_str_eq(met_verdict_word(j.verdict), "codebook dying");
    ck_assert_str_eq(j.why, "12 of 512 codes used, chance would reach 512");

    /* chance reaches all but exp(-n/K) of them, here less than the last bit */
    ck_assert_int_eq(judged(512, 255, 1000).verdict, MET_CODEBOOK);
    ck_assert_int_eq(judged(512, 256, 1000).verdict, MET_HEALTHY);
    ck_assert_int_eq(judged(1, 1, 1).verdict, MET_HEALTHY);

    /* 100 vectors on 100 codes of 65536 are as many as there can be; on 40 they are not */
    ck_assert_int_eq(judged(65536, 100, 1).verdict, MET_HEALTHY);
    j = judged(65536, 40, 2.5f * 1);
    ck_assert_int_eq(j.verdict, MET_CODEBOOK);
    ck_assert_str_eq(j.why, "40 of 65536 codes used, chance would reach 100");
}
END_TEST

/* ---- codes ------------------------------------------------------------------------- */

static const char *const ranked[] = { "tall", "dead", "wide" };

START_TEST(ranks_of_the_codebook_agree_with_numpy)
{
    golden g = golden_open("codes.gold");
    const golden_record *code = golden_at(&g, "rank/%s/code", ranked[_i]);
    const float *count = golden_at(&g, "rank/%s/count", ranked[_i])->val;
    const float *want = golden_at(&g, "rank/%s/want", ranked[_i])->val;
    size_t k = (size_t)code->shape.dim[0], d = (size_t)code->shape.dim[1];
    met_rank all = met_code_rank(k, d, code->val, NULL, &arena);
    met_rank used = met_code_rank(k, d, code->val, count, &arena);

    /* a codebook with fewer codes than dimensions is rounded once more, after centring */
    double relative = k < d ? 4 * golden_digits : golden_digits;
    near("erank of all", all.erank, want[0], relative * want[0]);
    near("participation of all", all.participation, want[1], relative * want[1]);
    near("erank of used", used.erank, want[2], relative * want[2]);
    near("participation of used", used.participation, want[3], relative * want[3]);
    golden_free(&g);
}
END_TEST

/* Codes at +-a_j along axis j: singular values a_j sqrt(2). */
START_TEST(ranks_of_two_levels_have_their_closed_form)
{
    enum { D = 6 };
    float code[2 * D * D] = {0}, count[2 * D];
    double s = 0, s2 = 0, s4 = 0, h = 0;

    for (int j = 0; j < D; j++) {
        double a = j < 2 ? 3 : 1;
        code[(size_t)(2 * j) * D + j] = (float)a;
        code[(size_t)(2 * j + 1) * D + j] = (float)-a;
        count[2 * j] = count[2 * j + 1] = j < 2;
        s += a;
        s2 += a * a;
        s4 += a * a * a * a;
    }
    for (int j = 0; j < D; j++)
        h -= (j < 2 ? 3 : 1) / s * log((j < 2 ? 3 : 1) / s);
    met_rank all = met_code_rank(2 * D, D, code, NULL, &arena);
    met_rank used = met_code_rank(2 * D, D, code, count, &arena);
    near("erank", all.erank, exp(h), 1e-13);
    near("participation", all.participation, s2 * s2 / s4, 1e-13);
    near("erank of two", used.erank, 2, 1e-13);
    near("participation of two", used.participation, 2, 1e-13);
}
END_TEST

START_TEST(ranks_at_the_bottom_are_one_or_none)
{
    static float code[4 * 3] = { .1f, .2f, .3f, .1f, .2f, .3f, 5, 6, 7, 5, 6, 8 };
    static const float equal[4] = { 1, 1, 0, 0 }, single[4] = { 0, 0, 9, 0 }, none[4];

    ck_assert(met_code_rank(4, 3, code, equal, &arena).erank == 1);
    ck_assert(met_code_rank(4, 3, code, equal, &arena).participation == 1);
    ck_assert(met_code_rank(4, 3, code, single, &arena).erank == 1);
    ck_assert(isnan(met_code_rank(4, 3, code, none, &arena).erank));
    code[11] = NAN;
    ck_assert(isnan(met_code_rank(4, 3, code, NULL, &arena).participation));
    ck_assert(met_code_rank(4, 3, code, equal, &arena).erank == 1);     /* not looked at */
}
END_TEST

START_TEST(codes_that_moved_are_those_that_numpy_counts)
{
    static const char *const name[] = { "some", "even" };
    golden g = golden_open("codes.gold");
    for (int i = 0; i < 2; i++) {
        const golden_record *before = golden_at(&g, "moved/%s/before", name[i]);
        like("moved", met_code_moved((size_t)before->shape.dim[0],
                                     (size_t)before->shape.dim[1], before->val,
                                     golden_at(&g, "moved/%s/now", name[i])->val, &arena),
             golden_at(&g, "moved/%s/want", name[i])->val[0]);
    }
    golden_free(&g);
}
END_TEST

/* Lengths 1, 2 and 100: the median is 2, and the limit .02. */
START_TEST(movement_is_measured_by_the_median_length)
{
    static const float before[3] = { 1, 100, -2 }, zero[3], grown[3] = { 1.03f, 300, -200 };
    static const float far[3] = { 1.03f, 100.03f, -2.03f }, close[3] = { 1.01f, 100, -2 };

    ck_assert(met_code_moved(3, 1, before, far, &arena) == 1);
    ck_assert(met_code_moved(3, 1, before, grown, &arena) == 1);
    ck_assert(met_code_moved(3, 1, before, close, &arena) == 0);
    ck_assert(met_code_moved(3, 1, before, before, &arena) == 0);
    ck_assert(met_code_moved(3, 1, zero, zero, &arena) == 0);
    ck_assert(met_code_moved(3, 1, zero, before, &arena) == 1);
    static const float bad[3] = { 1, INFINITY, 0 };
    ck_assert(isnan(met_code_moved(3, 1, before, bad, &arena)));
}
END_TEST

START_TEST(twins_are_codes_closer_than_a_millionth)
{
    static const char *const name[] = { "apart", "twins" };
    golden g = golden_open("codes.gold");
    for (int i = 0; i < 2; i++) {
        const golden_record *dist = golden_at(&g, "near/%s/dist", name[i]);
        const float *want = golden_at(&g, "near/%s/want", name[i])->val;
        met_near r = met_code_near(dist->n, dist->val, &arena);
        like("min", r.min, want[0]);
        like("median", r.median, want[1]);
        ck_assert(r.twins == want[2] && r.twins == (i ? 5 : 0));
    }
    golden_free(&g);

    static const float edge[4] = { 1.1e-6f, 0.9e-6f, 1, 3 }, bad[2] = { 0, NAN };
    met_near r = met_code_near(4, edge, &arena);
    ck_assert(r.twins == 1 && r.min == edge[1] && r.median == (1.0 + edge[0]) / 2);
    ck_assert(isnan(met_code_near(2, bad, &arena).twins));
    ck_assert(isnan(met_code_near(1, edge, &arena).min));
}
END_TEST

START_TEST(churn_is_the_share_that_changed)
{
    static const int before[5] = { 1, 2, 3, 4, 5 }, now[5] = { 1, 3, 2, 4, 0 };
    ck_assert(met_code_churn(5, before, now) == 0.6);
    ck_assert(met_code_churn(5, now, now) == 0);
}
END_TEST

/* ---- lives ------------------------------------------------------------------------- */

START_TEST(lives_agree_with_the_list_of_hits)
{
    enum { K = 40, EPOCH = 150 };
    golden g = golden_open("codes.gold");
    const golden_record *index = golden_at(&g, "life/index");
    const golden_record *want = golden_at(&g, "life/want");
    float last[K] = {0}, born[K] = {0}, tally[2] = {0};
    met_life l = { K, last, born, tally };
    int steps = index->shape.dim[0], n = index->shape.dim[1];

    for (int s = 1; s <= steps; s++) {
        int of_step[8];
        for (int i = 0; i < n; i++)
            of_step[i] = (int)index->val[(s - 1) * n + i];
        met_life_step(&l, of_step, (size_t)n, (size_t)s);
        if (s % EPOCH)
            continue;
        const float *w = want->val + 6 * (s / EPOCH - 1);
        met_lives r = met_life_epoch(&l, EPOCH, (size_t)s, &arena);
        like("dead", r.dead, w[0]);
        like("dead of the epoch", r.dead_epoch, w[1]);
        like("births", r.births, w[2]);
        like("deaths", r.deaths, w[3]);
        like("median life", r.p50, w[4]);
        like("90 % life", r.p90, w[5]);
    }
    golden_free(&g);
}
END_TEST

/* Code 0 every step; 1 at steps 1 and 101, 99 idle steps; 2 at 1 and 102, 100 idle ones;
 * 3 at 5 only; 4 never. */
START_TEST(a_hundred_idle_steps_are_a_death)
{
    enum { K = 5 };
    float last[K] = {0}, born[K] = {0}, tally[2] = {0};
    met_life l = { K, last, born, tally };
    met_lives r = {0};

    for (int s = 1; s <= 200; s++) {
        int hit[4] = { 0 }, n = 1;
        if (s == 1 || s == 101)
            hit[n++] = 1;
        if (s == 1 || s == 102)
            hit[n++] = 2;
        if (s == 5)
            hit[n++] = 3;
        met_life_step(&l, hit, (size_t)n, (size_t)s);
        if (s == 99) {
            r = met_life_epoch(&l, 99, 99, &arena);
            ck_assert(r.births == 4 && r.deaths == 0 && r.dead == 0);
            ck_assert(r.dead_epoch == 1);           /* 4 was not seen in 99 steps */
        } else if (s == 100) {
            r = met_life_epoch(&l, 1, 100, &arena);
            ck_assert(r.births == 0 && r.deaths == 0);
            ck_assert(r.dead == 1 && r.dead_epoch == 4);
        }
    }
    r = met_life_epoch(&l, 99, 200, &arena);
    /* 2 was born again at 102, having died at 101; 3 died at 105, and only then; 1, last
     * hit at 101, would die at 201 */
    ck_assert(r.births == 1 && r.deaths == 2);
    ck_assert(r.dead == 2 && r.dead_epoch == 3);    /* 3, 4; and 1 beside them */
    ck_assert(r.p50 == 51);                         /* of 1, 1, 101, 200 */
    near("90 % life", r.p90, 101 + 0.7 * 99, 1e-12);
    ck_assert(tally[0] == 0 && tally[1] == 0);
}
END_TEST

START_TEST(a_book_that_was_never_used_has_no_lives)
{
    float last[3] = {0}, born[3] = {0}, tally[2] = {0};
    met_life l = { 3, last, born, tally };
    met_lives r = met_life_epoch(&l, 10, 10, &arena);
    ck_assert(r.dead == 0 && r.dead_epoch == 3 && r.births == 0 && r.deaths == 0);
    ck_assert(isnan(r.p50) && isnan(r.p90));
}
END_TEST

/* The last step that a float counts: 2^24 - 1 and 2^24 are told apart. */
START_TEST(steps_are_exact_to_the_end)
{
    enum { END = 1 << 24 };
    float last[2] = { END - 100, END - 99 }, born[2] = { 1, 1 }, tally[2] = {0};
    met_life l = { 2, last, born, tally };
    met_life_step(&l, NULL, 0, END);
    met_lives r = met_life_epoch(&l, 100, END, &arena);
    ck_assert(r.deaths == 1 && r.dead == 1);
    ck_assert(r.p50 == END - 99.5);
}
END_TEST

/* ---- quantisation error ------------------------------------------------------------ */

static met_code_loss loss_of(int d, size_t n, const float *z, const float *q,
                             size_t batch)
{
    met_code_sum s = met_code_sum_of(d, &arena);
    for (size_t i = 0; i < n; i += batch)
        met_code_add(&s, i + batch < n ? batch : n - i, z + i * (size_t)d,
                     q + i * (size_t)d, &arena);
    return met_code_loss_of(&s);
}

START_TEST(quantisation_error_agrees_with_numpy_in_any_batches)
{
    static const char *const name[] = { "plain", "far" };
    static const size_t batches[] = { 700, 256, 100, 1 };
    golden g = golden_open("codes.gold");
    const golden_record *z = golden_at(&g, "error/%s/z", name[_i]);
    const golden_record *q = golden_at(&g, "error/%s/q", name[_i]);
    const float *want = golden_at(&g, "error/%s/want", name[_i])->val;

    for (int b = 0; b < 4; b++) {
        met_code_loss e = loss_of(z->shape.dim[1], (size_t)z->shape.dim[0], z->val,
                                  q->val, batches[b]);
        like("error", e.error, want[0]);
        like("error of an element", e.per_element, want[1]);
        like("relative error", e.relative, want[2]);
        like("rms of z", e.z_rms, want[3]);
    }
    golden_free(&g);
}
END_TEST

/* Powers of two change exponents only: the relative error keeps its bits. */
START_TEST(shrinking_vectors_lower_the_error_and_not_the_relative_one)
{
    enum { N = 300, D = 9 };
    float *z = normal(N * D, 1), *q = normal(N * D, 2);
    met_code_loss whole = loss_of(D, N, z, q, 64);

    for (int i = 0; i < N * D; i++) {
        z[i] *= 0x1p-10f;
        q[i] *= 0x1p-10f;
    }
    met_code_loss small = loss_of(D, N, z, q, 64);
    ck_assert(small.error == whole.error * 0x1p-20);
    ck_assert(small.relative == whole.relative);
    ck_assert(small.z_rms == whole.z_rms * 0x1p-10);
}
END_TEST

START_TEST(relative_error_is_one_at_the_mean_and_none_of_a_constant)
{
    static const float z[4] = { 1, 3, 5, 7 }, mean[4] = { 4, 4, 4, 4 };
    met_code_loss e = loss_of(1, 4, z, mean, 4);
    ck_assert(e.relative == 1 && e.error == 5 && e.z_rms == sqrt(21));
    ck_assert(loss_of(1, 4, z, z, 3).relative == 0);

    float *same = NN_NEW(&arena, float, 3000), *other = normal(3000, 1);
    for (int i = 0; i < 3000; i++)
        same[i] = i % 3 + .1f;
    e = loss_of(3, 1000, same, other, 99);
    ck_assert(isnan(e.relative) && e.error > 0);
    ck_assert(isnan(loss_of(1, 0, z, z, 1).error));
}
END_TEST

/* ---- reconstructions --------------------------------------------------------------- */

static const char *const pictures[] = { "grey", "colour", "least" };

static met_image_size size_of(const golden_record *r)
{
    return (met_image_size){ r->shape.dim[1], r->shape.dim[2], r->shape.dim[3] };
}

START_TEST(reconstructions_agree_with_scipy)
{
    golden g = golden_open("codes.gold");
    const golden_record *x = golden_at(&g, "image/%s/x", pictures[_i]);
    const float *y = golden_at(&g, "image/%s/y", pictures[_i])->val;
    const float *each = golden_at(&g, "image/%s/each", pictures[_i])->val;
    const float *mean = golden_at(&g, "image/%s/mean", pictures[_i])->val;
    size_t n = (size_t)x->shape.dim[0];
    met_image got[3];
    met_image_sum s = { .size = size_of(x) };

    met_image_each(s.size, n, x->val, y, got, &arena);
    for (size_t i = 0; i < n; i++) {
        like("mse", got[i].mse, each[3 * i]);
        like("psnr", got[i].psnr, each[3 * i + 1]);
        like("ssim", got[i].ssim, each[3 * i + 2]);
    }
    met_image_add(&s, n, x->val, y, &arena);
    met_images m = met_image_of(&s);
    ck_assert(m.n == (double)n);
    like("mean mse", m.mse, mean[0]);
    like("nmse", m.nmse, mean[1]);
    like("mean psnr", m.psnr, mean[2]);
    like("mean ssim", m.ssim, mean[3]);
    golden_free(&g);
}
END_TEST

static float *flat(size_t n, float value)
{
    float *x = NN_NEW(&arena, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = value;
    return x;
}

static float *noise(size_t n, uint64_t sample)
{
    nn_rng r = nn_rng_at(13, NN_RNG_TEST, 0, sample);
    float *x = NN_NEW(&arena, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = nn_rng_float(&r);
    return x;
}

START_TEST(a_perfect_image_has_a_hundred_decibels_and_likeness_one)
{
    met_image_size s = { 13, 14, 3 };
    float *x = noise(13 * 14 * 3, 1);
    met_image e;

    met_image_each(s, 1, x, x, &e, &arena);
    ck_assert(e.mse == 0 && e.ssim == 1);
    near("psnr", e.psnr, 100, 1e-12);
    near("psnr at the limit", met_psnr(1e-10), 100, 1e-12);
    near("psnr above it", met_psnr(1e-9), 90, 1e-12);
    ck_assert(met_psnr(1) == 0 && isnan(met_psnr(NAN)));
}
END_TEST

/* Without any variance, s = C2 / C2 and only the means count.  Weights sum to one within
 * 1e-15, and what that leaves of a variance is held against C2 = 9e-4. */
START_TEST(likeness_of_grey_pages_is_that_of_their_means)
{
    enum { N = 20 * 17 * 2 };
    met_image_size s = { 20, 17, 2 };
    double a = 0.25, b = 0.625;
    met_image e;

    met_image_each(s, 1, flat(N, 0.25f), flat(N, 0.625f), &e, &arena);
    near("ssim", e.ssim, (2 * a * b + 1e-4) / (a * a + b * b + 1e-4), 1e-11);
    near("mse", e.mse, (a - b) * (a - b), 1e-15);
    near("psnr", e.psnr, 20 * log10(1 / (b - a)), 1e-12);
}
END_TEST

/* One pixel differs, far from all edges but one: a window that ends too soon misses it. */
START_TEST(the_last_valid_position_reaches_the_last_pixel)
{
    enum { H = 12, W = 15, C = 2 };
    met_image_size s = { H, W, C };
    float *x = flat(H * W * C, 0.5f), *y = flat(H * W * C, 0.5f);
    met_image e;

    y[H * W * C - 1] = 1;
    met_image_each(s, 1, x, y, &e, &arena);
    ck_assert_double_lt(e.ssim, 1 - 1e-9);
    y[H * W * C - 1] = 0.5f;
    y[0] = 1;
    met_image other;
    met_image_each(s, 1, x, y, &other, &arena);
    near("ssim from the other corner", other.ssim, e.ssim, 1e-12);
}
END_TEST

START_TEST(small_images_have_no_likeness)
{
    static const met_image_size small[] = { { 10, 28, 1 }, { 28, 10, 1 }, { 1, 1, 3 } };
    float *x = noise(280, 1), *y = noise(280, 2);
    for (int i = 0; i < 3; i++) {
        met_image e;
        met_image_each(small[i], 1, x, y, &e, &arena);
        ck_assert(isnan(e.ssim) && e.mse > 0 && isfinite(e.psnr));
    }
}
END_TEST

/* mse .01 and .0001: 20 and 40 dB, while their mean, .00505, has 22.97.  Pixels of .1 and
 * .01 are floats, off by 3e-8 of themselves: 3e-7 dB. */
START_TEST(decibels_are_averaged_over_images)
{
    met_image_sum s = { .size = { 2, 2, 1 } };
    float *y = flat(8, 0.1f);
    for (int i = 4; i < 8; i++)
        y[i] = 0.01f;
    met_image_add(&s, 2, flat(8, 0), y, &arena);
    met_images m = met_image_of(&s);
    near("psnr", m.psnr, 30, 1e-6);
    ck_assert_double_gt(m.psnr, met_psnr(m.mse));
    near("pooled", met_psnr(m.mse), 22.967, 1e-3);
    ck_assert(isnan(m.nmse));                       /* the truth is a constant */
}
END_TEST

START_TEST(a_grey_page_of_the_mean_has_nmse_one)
{
    static const float x[6] = { 0, 1, .25f, .75f, .5f, .5f };
    met_image_sum s = { .size = { 3, 1, 1 } };
    met_image_add(&s, 2, x, flat(6, 0.5f), &arena);
    ck_assert(met_image_of(&s).nmse == 1);
    met_image_sum none = { .size = { 3, 1, 1 } };
    met_image_add(&none, 0, x, x, &arena);
    ck_assert(isnan(met_image_of(&none).mse) && isnan(met_image_of(&none).psnr));
}
END_TEST

START_TEST(batches_of_images_do_not_show)
{
    enum { N = 7, SIZE = 12 * 13 * 3 };
    static const size_t batches[] = { 7, 4, 1 };
    float *x = noise(N * SIZE, 3), *y = noise(N * SIZE, 4);
    met_image_sum s[3];

    for (int b = 0; b < 3; b++) {
        memset(&s[b], 0, sizeof s[b]);
        s[b].size = (met_image_size){ 12, 13, 3 };
        for (size_t i = 0; i < N; i += batches[b])
            met_image_add(&s[b], i + batches[b] < N ? batches[b] : N - i, x + i * SIZE,
                          y + i * SIZE, &arena);
        ck_assert_mem_eq(&s[b], &s[0], sizeof s[0]);
    }
}
END_TEST

/* ---- for all ----------------------------------------------------------------------- */

enum { SHAPES = 3 };

/* k, d of a codebook; n vectors; images */
static const struct { size_t k, d, n; met_image_size s; size_t images; } shapes[SHAPES] = {
    { 700, 33, 1000, { 28, 28, 1 }, 9 },
    { 257, 1, 256, { 17, 12, 3 }, 2 },
    { 20, 300, 5, { 11, 40, 2 }, 17 },
};

typedef struct all {
    met_rank rank, used;
    double moved;
    met_code_loss loss;
    met_images images;
} all;

static outcome outcome_of(int shape)
{
    size_t k = shapes[shape].k, d = shapes[shape].d, n = shapes[shape].n;
    met_image_size s = shapes[shape].s;
    size_t pixels = shapes[shape].images * (size_t)(s.h * s.w * s.c);
    float *code = normal(k * d, 1), *now = normal(k * d, 2), *count = noise(k, 5);
    all *a = NN_NEW0(&arena, all, 1);
    met_image_sum sum = { .size = s };

    for (size_t i = 0; i < k; i++)
        count[i] = floorf(3 * count[i]);
    for (size_t i = 0; i < k * d; i++)
        now[i] = code[i] + 0.02f * now[i];
    a->rank = met_code_rank(k, d, code, NULL, &arena);
    a->used = met_code_rank(k, d, code, count, &arena);
    a->moved = met_code_moved(k, d, code, now, &arena);
    a->loss = loss_of((int)d, n, normal(n * d, 3), normal(n * d, 4), 600);
    met_image_add(&sum, shapes[shape].images, noise(pixels, 6), noise(pixels, 7), &arena);
    a->images = met_image_of(&sum);
    return (outcome){ sizeof *a / sizeof(float), (float *)(void *)a };
}

START_TEST(every_table_gives_the_same_bytes)
{
    bytes_of_every_table(outcome_of, _i);
}
END_TEST

START_TEST(any_number_of_threads_gives_the_same_bytes)
{
    bytes_of_every_team(outcome_of, _i);
}
END_TEST

START_TEST(scratch_is_given_back)
{
    enum { K = 300, D = 8, SIZE = 12 * 12 };
    float *code = normal(K * D, 1), *now = normal(K * D, 2), *count = flat(K, 1);
    float *x = noise(4 * SIZE, 1), *y = noise(4 * SIZE, 2);
    float last[K] = {0}, born[K] = {0}, tally[2] = {0};
    met_life l = { K, last, born, tally };
    met_code_sum sum = met_code_sum_of(D, &arena);
    met_image_sum images = { .size = { 12, 12, 1 } };
    size_t mark = nn_arena_mark(&arena), grown = 0;

    for (int round = 0; round < 3; round++) {
        met_code_rank(K, D, code, count, &arena);
        met_code_moved(K, D, code, now, &arena);
        met_code_near(K, count, &arena);
        met_life_epoch(&l, 1, 1, &arena);
        met_code_add(&sum, K, code, now, &arena);
        met_image_add(&images, 4, x, y, &arena);
        ck_assert(nn_arena_mark(&arena) == mark);
        ck_assert(round == 0 || arena.grown == grown);
        grown = arena.grown;
    }
}
END_TEST

Suite *suite_codes(void)
{
    Suite *s = suite_create("codes");
    TCase *tc = tcase_create("codes");

    tcase_add_loop_test(tc, usage_and_perplexity_agree_with_numpy, 0,
                        sizeof usages / sizeof *usages);
    tcase_add_test(tc, what_chance_reaches_is_exact);
    tcase_add_test(tc, what_chance_reaches_is_as_the_specification_says);
    tcase_add_test(tc, uniform_indices_reach_what_chance_promises);
    tcase_add_test(tc, perplexity_counts_codes_that_are_hit_alike);
    tcase_add_test(tc, a_tenth_of_a_fair_share_is_not_use);
    tcase_add_test(tc, bins_are_centred_on_powers_of_two);
    tcase_add_test(tc, without_a_vector_nothing_is_said);
    tcase_add_test(tc, a_codebook_dies_below_half_of_chance);
    tcase_add_loop_test(tc, ranks_of_the_codebook_agree_with_numpy, 0,
                        sizeof ranked / sizeof *ranked);
    tcase_add_test(tc, ranks_of_two_levels_have_their_closed_form);
    tcase_add_test(tc, ranks_at_the_bottom_are_one_or_none);
    tcase_add_test(tc, codes_that_moved_are_those_that_numpy_counts);
    tcase_add_test(tc, movement_is_measured_by_the_median_length);
    tcase_add_test(tc, twins_are_codes_closer_than_a_millionth);
    tcase_add_test(tc, churn_is_the_share_that_changed);
    tcase_add_test(tc, lives_agree_with_the_list_of_hits);
    tcase_add_test(tc, a_hundred_idle_steps_are_a_death);
    tcase_add_test(tc, a_book_that_was_never_used_has_no_lives);
    tcase_add_test(tc, steps_are_exact_to_the_end);
    tcase_add_loop_test(tc, quantisation_error_agrees_with_numpy_in_any_batches, 0, 2);
    tcase_add_test(tc, shrinking_vectors_lower_the_error_and_not_the_relative_one);
    tcase_add_test(tc, relative_error_is_one_at_the_mean_and_none_of_a_constant);
    tcase_add_loop_test(tc, reconstructions_agree_with_scipy, 0,
                        sizeof pictures / sizeof *pictures);
    tcase_add_test(tc, a_perfect_image_has_a_hundred_decibels_and_likeness_one);
    tcase_add_test(tc, likeness_of_grey_pages_is_that_of_their_means);
    tcase_add_test(tc, the_last_valid_position_reaches_the_last_pixel);
    tcase_add_test(tc, small_images_have_no_likeness);
    tcase_add_test(tc, decibels_are_averaged_over_images);
    tcase_add_test(tc, a_grey_page_of_the_mean_has_nmse_one);
    tcase_add_test(tc, batches_of_images_do_not_show);
    tcase_add_loop_test(tc, every_table_gives_the_same_bytes, 0, SHAPES);
    tcase_add_loop_test(tc, any_number_of_threads_gives_the_same_bytes, 0, SHAPES);
    tcase_add_test(tc, scratch_is_given_back);
    suite_add_tcase(s, tc);
    return s;
}
