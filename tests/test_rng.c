#include <check.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "nn/par.h"
#include "nn/rng.h"
#include "nn/tensor.h"
#include "tests/suites.h"

/* Counter and key, then the block.  The first three are the philox4x32 10 lines of the
 * known-answer file kat_vectors of Random123; all six were computed with
 * <Random123/philox.h> of Debian's librandom123-dev 1.14. */
static const uint32_t known[][10] = {
    { 0, 0, 0, 0, 0, 0,
      0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
    { ~0u, ~0u, ~0u, ~0u, ~0u, ~0u,
      0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
    { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
      0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 },
    { 0, 7, 0, 6u << 24 | 5, 42, 0,
      0x9039eb4a, 0x91b84ff0, 0xee72b101, 0xcd80aedc },
    { 1, 7, 0, 6u << 24 | 5, 42, 0,
      0x3e25f082, 0xd335b78f, 0x5934f0a5, 0xa3a3a6a1 },
    { 0, 0x89abcdef, 0x01234567, 1u << 24 | 0xffffff, 0xdeadbeef, 0xfeedface,
      0xb8ceae4f, 0x6597caff, 0x6071441f, 0x2b1d0de7 },
};

START_TEST(philox_gives_the_published_vectors)
{
    uint32_t out[4];
    nn_philox(known[_i], known[_i] + 4, out);
    ck_assert_mem_eq(out, known[_i] + 6, sizeof out);
}
END_TEST

START_TEST(address_and_draw_make_the_counter)
{
    nn_rng r = nn_rng_at(42, NN_RNG_TEST, 5, 7);
    for (int i = 0; i < 8; i++)
        ck_assert_uint_eq(nn_rng_u32(&r), known[3 + i / 4][6 + i % 4]);

    r = nn_rng_at(0xfeedfacedeadbeefu, NN_RNG_INIT, 0xffffff, 0x0123456789abcdefu);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(nn_rng_u32(&r), known[5][6 + i]);
}
END_TEST

START_TEST(an_epoch_beyond_24_bits_is_refused)
{
    nn_rng_at(0, NN_RNG_TEST, 1u << 24, 0);
}
END_TEST

/* Word 0 at the zero address is 0x6627e8d5, word 1 0xe169c58d (first vector). */
START_TEST(fractions_are_the_leading_bits)
{
    nn_rng r = nn_rng_at(0, (nn_purpose)0, 0, 0), s = r;
    ck_assert(nn_rng_float(&r) == (float)0x6627e8 / 0x1p24f);
    double want = ((double)(0x6627e8d5u >> 5) * 0x1p26 + (0xe169c58du >> 6)) / 0x1p53;
    ck_assert(nn_rng_double(&s) == want);
    ck_assert(r.left == 3 && s.left == 2);
}
END_TEST

START_TEST(fractions_are_uniform)
{
    nn_rng r = nn_rng_at(1, NN_RNG_TEST, 0, 0);
    enum { N = 100000, BINS = 50 };
    int bin[2][BINS + 1] = {{0}}, inside = 1;

    for (int i = 0; i < N; i++) {
        float x = nn_rng_float(&r);
        double y = nn_rng_double(&r);
        inside &= x >= 0 && x < 1 && y >= 0 && y < 1;
        bin[0][(int)(x * BINS)]++;
        bin[1][(int)(y * BINS)]++;
    }
    ck_assert(inside);
    for (int k = 0; k < 2; k++) {
        double chi = 0;
        for (int i = 0; i < BINS; i++)
            chi += pow(bin[k][i] - (double)N / BINS, 2) * BINS / N;
        /* 49 degrees of freedom: a fair source exceeds 95 once in ten thousand seeds */
        ck_assert_double_lt(chi, 95);
    }
}
END_TEST

START_TEST(a_range_has_its_ends)
{
    nn_rng r = nn_rng_at(2, NN_RNG_TEST, 0, 0);
    double lo = 1e9, hi = -1e9;
    for (int i = 0; i < 10000; i++) {
        double x = nn_rng_range(&r, -3, 5);
        lo = x < lo ? x : lo;
        hi = x > hi ? x : hi;
    }
    /* the outermost of 10000 lies within 8/1000 of the end but for exp(-10) */
    ck_assert(lo >= -3 && lo < -3 + 0.008 && hi < 5 && hi > 5 - 0.008);
}
END_TEST

START_TEST(below_is_fair)
{
    static const uint32_t size[] = { 1, 2, 3, 7, 10 };
    nn_rng r = nn_rng_at(3, NN_RNG_TEST, 0, 0);

    for (int s = 0; s < 5; s++) {
        int count[10] = {0}, draws = 70000, inside = 1;
        double chi = 0, expect = (double)draws / size[s];
        for (int i = 0; i < draws; i++) {
            uint32_t x = nn_rng_below(&r, size[s]);
            inside &= x < size[s];
            count[x % 10]++;
        }
        ck_assert(inside);
        for (uint32_t i = 0; i < size[s]; i++)
            chi += pow(count[i] - expect, 2) / expect;
        /* up to 9 degrees of freedom: 33.7 is passed once in ten thousand seeds */
        ck_assert_double_lt(chi, 33.7);
    }
}
END_TEST

/* For 3 * 2^30 a plain remainder or product would give every third number twice as often:
 * multiples of 3 half of the time instead of a third. */
START_TEST(below_is_fair_for_large_sizes)
{
    nn_rng r = nn_rng_at(4, NN_RNG_TEST, 0, 0);
    int multiples = 0, draws = 30000, inside = 1;
    for (int i = 0; i < draws; i++) {
        uint32_t x = nn_rng_below(&r, 3u << 30);
        inside &= x < 3u << 30;
        multiples += x % 3 == 0;
    }
    ck_assert(inside);
    /* four standard deviations: 4 sqrt(30000 * 2/9) = 327 */
    ck_assert_int_lt(abs(multiples - draws / 3), 327);
}
END_TEST

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

START_TEST(normals_are_normal)
{
    enum { N = 100000 };
    static double x[N];
    nn_rng r = nn_rng_at(5, NN_RNG_TEST, 0, 0);
    double worst = 0, along = 0;

    for (int i = 0; i < N; i++)
        x[i] = nn_rng_normal(&r);
    for (int i = 0; i + 1 < N; i++)
        along += x[i] * x[i + 1] / N;
    qsort(x, N, sizeof *x, by_size);
    for (int i = 0; i < N; i++) {
        double f = 0.5 * erfc(-x[i] / sqrt(2));
        worst = fmax(worst, fmax(fabs(f - (double)i / N), fabs(f - (i + 1.0) / N)));
    }
    /* Kolmogorov and Smirnov: 2.23 / sqrt(N) is passed once in ten thousand seeds */
    ck_assert_double_lt(worst, 2.23 / sqrt(N));
    /* neighbours do not hang together: four standard deviations */
    ck_assert_double_lt(fabs(along), 4 / sqrt(N));
}
END_TEST

START_TEST(two_normals_take_two_words)
{
    nn_rng r = nn_rng_at(6, NN_RNG_TEST, 0, 0), s = r;
    nn_rng_normal(&r);
    nn_rng_normal(&r);
    nn_rng_u32(&s);
    nn_rng_u32(&s);
    ck_assert_uint_eq(nn_rng_u32(&r), nn_rng_u32(&s));
}
END_TEST

/* Box-Muller in the C library's functions. */
START_TEST(normals_are_the_two_ends_of_a_box_muller_pair)
{
    nn_rng r = nn_rng_at(7, NN_RNG_TEST, 0, 0), s = r;
    for (int i = 0; i < 100; i++) {
        double u = (nn_rng_u32(&s) + 0.5) / 0x1p32, v = nn_rng_u32(&s) / 0x1p32;
        double radius = sqrt(-2 * log(u)), angle = 2 * M_PI * v;
        /* a few ulp of values up to 6.8 */
        ck_assert_double_eq_tol(nn_rng_normal(&r), radius * cos(angle), 1e-14);
        ck_assert_double_eq_tol(nn_rng_normal(&r), radius * sin(angle), 1e-14);
    }
}
END_TEST

START_TEST(a_permutation_holds_every_number_once)
{
    enum { N = 1000 };
    uint32_t order[N];
    char seen[N] = {0};
    nn_rng r = nn_rng_at(8, NN_RNG_SHUFFLE, 0, 0);
    int fixed = 0;

    nn_rng_permute(&r, order, N);
    for (uint32_t i = 0; i < N; i++) {
        ck_assert_uint_lt(order[i], N);
        ck_assert(!seen[order[i]]);
        seen[order[i]] = 1;
        fixed += order[i] == i;
    }
    ck_assert_int_lt(fixed, 10);                /* Poisson of mean 1: 10 in 1e-7 */
    nn_rng_permute(&r, order, 0);               /* nothing to do, nothing written */
    nn_rng_permute(&r, order, 1);
    ck_assert_uint_eq(order[0], 0);
}
END_TEST

START_TEST(all_permutations_are_equally_likely)
{
    int count[24] = {0}, draws = 48000;
    double chi = 0;
    for (int i = 0; i < draws; i++) {
        uint32_t p[4];
        nn_rng r = nn_rng_at(9, NN_RNG_SHUFFLE, 0, (uint64_t)i);
        nn_rng_permute(&r, p, 4);
        int rank = 0;
        for (int a = 0; a < 4; a++) {
            int less = 0;
            for (int b = a + 1; b < 4; b++)
                less += p[b] < p[a];
            rank = rank * (4 - a) + less;
        }
        count[rank]++;
    }
    for (int i = 0; i < 24; i++)
        chi += pow(count[i] - draws / 24.0, 2) / (draws / 24.0);
    /* 23 degrees of freedom: 56 is passed once in ten thousand seeds */
    ck_assert_double_lt(chi, 56);
}
END_TEST

START_TEST(every_part_of_the_address_matters)
{
    nn_rng one[] = {
        nn_rng_at(1, NN_RNG_INIT, 0, 0), nn_rng_at(1ull << 32, NN_RNG_INIT, 0, 0),
        nn_rng_at(1, NN_RNG_SHUFFLE, 0, 0), nn_rng_at(1, NN_RNG_INIT, 1, 0),
        nn_rng_at(1, NN_RNG_INIT, 0, 1), nn_rng_at(1, NN_RNG_INIT, 0, 1ull << 32),
    };
    uint32_t first[6][4];
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 4; j++)
            first[i][j] = nn_rng_u32(&one[i]);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < i; j++)
            ck_assert(memcmp(first[i], first[j], sizeof first[i]) != 0);
}
END_TEST

/* From the reference page of the FNV hash, isthe.com/chongo/tech/comp/fnv. */
START_TEST(names_hash_as_published)
{
    ck_assert_uint_eq(nn_hash_name(""), 0xcbf29ce484222325u);
    ck_assert_uint_eq(nn_hash_name("a"), 0xaf63dc4c8601ec8cu);
    ck_assert_uint_eq(nn_hash_name("foobar"), 0x85944171f73967e8u);
}
END_TEST

START_TEST(a_stream_can_begin_at_any_block)
{
    nn_rng all = nn_rng_at(7, NN_RNG_TEST, 1, 2), part = all;
    for (int i = 0; i < 4 * 1000; i++)
        nn_rng_u32(&all);
    nn_rng_skip(&part, 1000);
    for (int i = 0; i < 9; i++)
        ck_assert_uint_eq(nn_rng_u32(&part), nn_rng_u32(&all));
}
END_TEST

/* However many threads make them: 40,000 values are three jobs, the last of them short. */
START_TEST(initial_values_are_those_of_one_stream)
{
    enum { COUNT = 40001 };
    nn_arena a = {0};
    nn_store s = { .arena = &a, .seed = 5 };
    nn_param *n = nn_store_add(&s, "normal", NN_PARAMETER, nn_shape1(COUNT));
    nn_param *u = nn_store_add(&s, "uniform", NN_PARAMETER, nn_shape1(COUNT));
    nn_rng rn = nn_rng_at(5, NN_RNG_INIT, 0, nn_hash_name("normal"));
    nn_rng ru = nn_rng_at(5, NN_RNG_INIT, 0, nn_hash_name("uniform"));

    nn_par_set_threads(_i);
    nn_init_normal(&s, n, 0.5);
    nn_init_uniform(&s, u, 0.25);
    for (int i = 0; i < COUNT; i++) {
        float normal = (float)(0.5 * nn_rng_normal(&rn));
        float uniform = (float)nn_rng_range(&ru, -0.25, 0.25);
        ck_assert_msg(n->val[i] == normal && u->val[i] == uniform, "value %d", i);
    }
    nn_arena_free(&a);
}
END_TEST

Suite *suite_rng(void)
{
    Suite *s = suite_create("rng");
    TCase *tc = tcase_create("rng");

    tcase_add_loop_test(tc, philox_gives_the_published_vectors, 0,
                        sizeof known / sizeof *known);
    tcase_add_test(tc, address_and_draw_make_the_counter);
    tcase_add_test_raise_signal(tc, an_epoch_beyond_24_bits_is_refused, SIGABRT);
    tcase_add_test(tc, fractions_are_the_leading_bits);
    tcase_add_test(tc, fractions_are_uniform);
    tcase_add_test(tc, a_range_has_its_ends);
    tcase_add_test(tc, below_is_fair);
    tcase_add_test(tc, below_is_fair_for_large_sizes);
    tcase_add_test(tc, normals_are_normal);
    tcase_add_test(tc, two_normals_take_two_words);
    tcase_add_test(tc, normals_are_the_two_ends_of_a_box_muller_pair);
    tcase_add_test(tc, a_permutation_holds_every_number_once);
    tcase_add_test(tc, all_permutations_are_equally_likely);
    tcase_add_test(tc, every_part_of_the_address_matters);
    tcase_add_test(tc, names_hash_as_published);
    tcase_add_test(tc, a_stream_can_begin_at_any_block);
    tcase_add_loop_test(tc, initial_values_are_those_of_one_stream, 1, 4);
    suite_add_tcase(s, tc);
    return s;
}
