/* Nearest codes, by distance and by cosine, and nearest vectors: against the definition
 * in double, against the plan of kern.h written out with fmaf, byte for byte between
 * tables and teams; the way back to the codes; and how far codes are from each other. */
#include <check.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/kern/members.h"
#include "nn/kern/pairs.h"
#include "nn/par.h"
#include "nn/quant/search.h"
#include "nn/rng.h"
#include "tests/bytes.h"
#include "tests/suites.h"

/* ck_assert talks to the parent process every time it is met, this when it fails. */
#define EXPECT(cond, ...)                                                                \
    do {                                                                                 \
        if (!(cond))                                                                     \
            ck_abort_msg(__VA_ARGS__);                                                   \
    } while (0)

/* n, k, d: one of everything; more codes than vectors and the reverse; on both sides of
 * tiles, of a job's vectors (8192 / d), of a group of codes (32768 / (d + 1)) and of a
 * packed block (262144 / (d + 1)). */
static const int shapes[][3] = {
    { 1, 1, 1 },    { 5, 1, 3 },    { 1, 40, 1 },    { 17, 33, 2 },  { 300, 7, 5 },
    { 100, 101, 8 }, { 33, 513, 64 }, { 700, 90, 64 }, { 20, 4100, 64 },
    { 19, 260, 1100 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static nn_arena scratch, memory;       /* the process of a test ends with it */

typedef struct problem {
    nn_search s;
    float *z, *code;
    size_t lost;
} problem;

static float *normal(size_t n, uint64_t sample)
{
    nn_rng r = nn_rng_at(11, NN_RNG_TEST, 0, sample);
    float *x = NN_NEW(&memory, float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)nn_rng_normal(&r);
    return x;
}

static problem problem_of(size_t n, size_t k, size_t d)
{
    problem p = { .z = normal(n * d, 1), .code = normal(k * d, 2) };
    p.s = (nn_search){ n, k, d, p.z, p.code, NN_NEW(&memory, int, n),
                       NN_NEW(&memory, float, n), 0 };
    return p;
}

static problem shape_of(int i)
{
    return problem_of((size_t)shapes[i][0], (size_t)shapes[i][1], (size_t)shapes[i][2]);
}

static void search(problem *p)
{
    memset(p->s.index, 0xFF, sizeof(int) * p->s.n);         /* all of it is written */
    p->lost = nn_search_nearest(&p->s, &scratch);
}

static double distance(const problem *p, size_t i, size_t j)
{
    double sum = 0;
    for (size_t q = 0; q < p->s.d; q++) {
        double e = (double)p->z[i * p->s.d + q] - (double)p->code[j * p->s.d + q];
        sum += e * e;
    }
    return sum;
}

/* Lowest index of the least distance in double. */
static size_t nearest(const problem *p, size_t i)
{
    size_t best = 0;
    for (size_t j = 1; j < p->s.k; j++)
        if (distance(p, i, j) < distance(p, i, best))
            best = j;
    return best;
}

/* The score in the words of the plan: one accumulator from -h, d in order, fused. */
static float score(const problem *p, size_t i, size_t j)
{
    const float *z = p->z + i * p->s.d, *c = p->code + j * p->s.d;
    double square = 0;
    for (size_t q = 0; q < p->s.d; q++)
        square += (double)c[q] * (double)c[q];
    float s = -(float)(square / 2);
    for (size_t q = 0; q < p->s.d; q++)
        s = fmaf(c[q], z[q], s);
    return s;
}

START_TEST(the_winner_is_that_of_the_plan_to_the_bit)
{
    problem p = shape_of(_i);
    search(&p);
    ck_assert_uint_eq(p.lost, 0);
    for (size_t i = 0; i < p.s.n; i++) {
        size_t best = 0;
        float top = score(&p, i, 0);
        for (size_t j = 1; j < p.s.k; j++) {
            float s = score(&p, i, j);
            if (s > top) {
                top = s;
                best = j;
            }
        }
        EXPECT(p.s.index[i] == (int)best, "vector %zu: code %d, the plan says %zu", i,
               p.s.index[i], best);
    }
    ck_assert_uint_eq(nn_arena_mark(&scratch), 0);          /* scratch is given back */
}
END_TEST

/* A score is a sum of d + 1 terms, so it is off by at most d + 1 roundings of 2^-24 of
 * the sum of their sizes, at most |z| |c| + |c|^2 / 2; a distance is twice that off.  The
 * distance given is a plain sum of squares: d + 2 roundings of itself. */
START_TEST(the_winner_is_the_nearest_within_rounding)
{
    problem p = shape_of(_i);
    const double u = ((double)p.s.d + 2) * 0x1p-24;
    search(&p);
    for (size_t i = 0; i < p.s.n; i++) {
        size_t got = (size_t)p.s.index[i], want = nearest(&p, i);
        double r = distance(&p, i, got), least = distance(&p, i, want), zz = 0, cc = 0;
        for (size_t q = 0; q < p.s.d; q++)
            zz += (double)p.z[i * p.s.d + q] * (double)p.z[i * p.s.d + q];
        cc = fmax(zz, 1) * 16;              /* winners are no longer than four times z */
        EXPECT(r <= least + 4 * u * (sqrt(zz * cc) + cc), "vector %zu: %g, not %g", i, r,
               least);
        EXPECT(fabs((double)p.s.dist[i] - r) <= u * r,
               "vector %zu: distance %.9g, not %.9g",
               i, (double)p.s.dist[i], r);
    }
}
END_TEST

/* Small integers: scores are exact and ties abound, so every index is known. */
static void make_integers(problem *p, int most, float offset)
{
    nn_rng r = nn_rng_at(12, NN_RNG_TEST, 0, 0);
    for (size_t i = 0; i < p->s.n * p->s.d; i++)
        p->z[i] = (float)nn_rng_below(&r, (uint64_t)most) + offset;
    for (size_t i = 0; i < p->s.k * p->s.d; i++)
        p->code[i] = (float)nn_rng_below(&r, (uint64_t)most) + offset;
}

START_TEST(of_equals_the_lowest_index_wins)
{
    problem p = shape_of(_i);
    make_integers(&p, 3, -1);
    search(&p);
    for (size_t i = 0; i < p.s.n; i++) {
        size_t want = nearest(&p, i);
        EXPECT(p.s.index[i] == (int)want, "vector %zu: code %d, wanted %zu", i,
               p.s.index[i], want);
        EXPECT((double)p.s.dist[i] == distance(&p, i, want), "vector %zu: distance", i);
    }
}
END_TEST

START_TEST(equal_codes_and_equal_vectors_all_give_code_zero)
{
    problem p = problem_of(50, 70, 9);
    for (size_t i = 0; i < p.s.k * p.s.d; i++)
        p.code[i] = 0.3f;
    search(&p);
    for (size_t i = 0; i < p.s.n; i++)
        ck_assert_int_eq(p.s.index[i], 0);
    for (size_t i = 0; i < p.s.n * p.s.d; i++)
        p.z[i] = 0.3f;
    search(&p);
    for (size_t i = 0; i < p.s.n; i++) {
        ck_assert_int_eq(p.s.index[i], 0);
        ck_assert_float_eq(p.s.dist[i], 0);
    }
}
END_TEST

/* Offset 3000 and spread 1: h is 7e7 with steps of 8, so that without the guard scores
 * would be whole classes of ties.  Codes a quarter apart, vectors a twentieth from
 * their own. */
START_TEST(a_common_offset_costs_no_digits)
{
    problem p = problem_of(64, 64, 16);
    for (size_t i = 0; i < 64 * 16; i++) {
        p.code[i] = 3000 + 0.25f * (float)(i / 16 * (i % 16 + 1) % 13);
        p.z[i] = p.code[i] + 0.1f * (float)(i % 2) - 0.05f;
    }
    search(&p);
    for (size_t i = 0; i < p.s.n; i++) {
        size_t want = nearest(&p, i);
        EXPECT(p.s.index[i] == (int)want, "vector %zu: code %d, wanted %zu", i,
               p.s.index[i], want);
    }
}
END_TEST

/* Codes in +-1/K and unit vectors, the usual start of a codebook: |z|^2 in the scores
 * would drown their differences. */
START_TEST(tiny_codes_are_told_apart)
{
    problem p = problem_of(40, 4096, 64);
    for (size_t i = 0; i < p.s.k * p.s.d; i++)
        p.code[i] /= 4096;
    search(&p);
    for (size_t i = 0; i < p.s.n; i++) {
        size_t want = nearest(&p, i);
        EXPECT(p.s.index[i] == (int)want, "vector %zu: code %d, wanted %zu", i,
               p.s.index[i], want);
    }
}
END_TEST

START_TEST(a_vector_that_is_not_finite_is_counted_and_harms_no_other)
{
    problem p = problem_of(40, 30, 20), clean = problem_of(40, 30, 20);
    search(&clean);
    p.z[3 * 20 + 7] = NAN;
    p.z[17 * 20] = INFINITY;
    for (size_t q = 0; q < 20; q++)
        p.z[39 * 20 + q] = 3e38f;                   /* finite; its scores are not */
    search(&p);
    ck_assert_uint_eq(p.lost, 3);
    for (size_t i = 0; i < p.s.n; i++) {
        int bad = i == 3 || i == 17 || i == 39;
        ck_assert_int_eq(p.s.index[i], bad ? 0 : clean.s.index[i]);
        ck_assert_int_eq(isnan(p.s.dist[i]) != 0, bad);
    }
}
END_TEST

START_TEST(a_code_that_is_not_finite_is_noticed_by_all)
{
    static const float poison[] = { NAN, INFINITY, -INFINITY, 1e30f };
    for (int i = 0; i < 8; i++) {
        problem p = problem_of(21, 30, 4);
        p.code[(i < 4 ? 0 : 29) * 4 + i % 4] = poison[i % 4];
        search(&p);
        ck_assert_uint_eq(p.lost, p.s.n);
        for (size_t q = 0; q < p.s.n; q++)
            ck_assert(p.s.index[q] == 0 && isnan(p.s.dist[q]));
    }
}
END_TEST

/* ---- the nearest vectors ----------------------------------------------------------- */

/* The problem seen from its codes: code j is the vector, vector i the code. */
static problem turned(const problem *p)
{
    problem t = *p;
    t.z = p->code, t.code = p->z;
    t.s = (nn_search){ p->s.k, p->s.n, p->s.d, t.z, t.code, NN_NEW(&memory, int, p->s.k),
                       NN_NEW(&memory, float, p->s.k), p->s.cosine };
    return t;
}

/* What nn_search_nearest_vectors finds, in the place of what `t` would. */
static void search_vectors(const problem *p, problem *t)
{
    nn_search s = p->s;
    s.index = t->s.index;
    s.dist = t->s.dist;
    memset(s.index, 0xFF, sizeof(int) * s.k);
    t->lost = nn_search_nearest_vectors(&s, &scratch);
}

START_TEST(of_equal_vectors_the_first_is_a_codes_nearest)
{
    problem p = shape_of(_i);
    make_integers(&p, 3, -1);
    problem t = turned(&p);
    search_vectors(&p, &t);
    ck_assert_uint_eq(t.lost, 0);
    for (size_t j = 0; j < t.s.n; j++) {
        size_t want = nearest(&t, j);
        EXPECT(t.s.index[j] == (int)want, "code %zu: vector %d, wanted %zu", j,
               t.s.index[j], want);
        EXPECT((double)t.s.dist[j] == distance(&t, j, want), "code %zu: distance", j);
    }
    ck_assert_uint_eq(nn_arena_mark(&scratch), 0);
}
END_TEST

START_TEST(nearest_vectors_are_nearest_codes_with_the_sides_exchanged)
{
    problem p = shape_of(_i % SHAPES);
    p.s.cosine = _i >= SHAPES;
    problem got = turned(&p), want = turned(&p);
    search_vectors(&p, &got);
    search(&want);
    ck_assert_mem_eq(got.s.index, want.s.index, sizeof(int) * want.s.n);
    ck_assert_mem_eq(got.s.dist, want.s.dist, sizeof(float) * want.s.n);
}
END_TEST

/* Among 40 vectors, five that cannot be; the others give what they give by themselves,
 * also when a mean is taken off (offset 3000). */
START_TEST(a_vector_that_is_not_finite_is_nobodys_nearest)
{
    enum { N = 40, K = 30, D = 20 };
    static const int bad[] = { 0, 3, 17, 38, 39 };
    static const float poison[] = { NAN, INFINITY, -INFINITY, 1e30f, NAN };
    problem p = problem_of(N, K, D), clean = problem_of(N - 5, K, D);
    int place[N - 5], held = 0;

    p.s.cosine = clean.s.cosine = _i == 2;
    for (int i = 0; i < N * D; i++)
        p.z[i] += _i == 1 ? 3000 : 0;
    for (int i = 0; i < K * D; i++)
        p.code[i] += _i == 1 ? 3000 : 0;
    for (int i = 0, b = 0; i < N; i++) {
        if (b < 5 && bad[b] == i) {
            p.z[i * D + i % D] = p.s.cosine && b == 3 ? NAN : poison[b];
            b++;
            continue;
        }
        memcpy(clean.z + held * D, p.z + i * D, sizeof(float) * D);
        place[held++] = i;
    }
    memcpy(clean.code, p.code, sizeof(float) * K * D);
    problem got = turned(&p), want = turned(&clean);
    search_vectors(&p, &got);
    search_vectors(&clean, &want);
    ck_assert_uint_eq(got.lost, 0);
    for (int j = 0; j < K; j++)
        EXPECT(got.s.index[j] == place[want.s.index[j]], "code %d: vector %d, not %d", j,
               got.s.index[j], place[want.s.index[j]]);
    ck_assert_mem_eq(got.s.dist, want.s.dist, sizeof(float) * K);
}
END_TEST

START_TEST(a_code_has_no_nearest_vector_if_it_or_no_vector_is_finite)
{
    problem p = problem_of(9, 30, 4);
    p.s.cosine = _i;
    p.code[7 * 4 + 2] = NAN;
    p.code[29 * 4] = INFINITY;
    problem t = turned(&p);
    search_vectors(&p, &t);
    ck_assert_uint_eq(t.lost, 2);
    for (size_t j = 0; j < 30; j++) {
        int bad = j == 7 || j == 29;
        ck_assert_int_eq(isnan(t.s.dist[j]) != 0, bad);
        ck_assert(!bad || t.s.index[j] == 0);
    }
    for (size_t i = 0; i < 9; i++)
        p.z[i * 4 + i % 4] = i % 2 ? NAN : INFINITY;
    search_vectors(&p, &t);
    ck_assert_uint_eq(t.lost, 30);
    for (size_t j = 0; j < 30; j++)
        ck_assert(t.s.index[j] == 0 && isnan(t.s.dist[j]));
}
END_TEST

/* ---- by cosine --------------------------------------------------------------------- */

static double cosine(const problem *p, size_t i, size_t j)
{
    const float *z = p->z + i * p->s.d, *c = p->code + j * p->s.d;
    double zc = 0, zz = 0, cc = 0;
    for (size_t q = 0; q < p->s.d; q++) {
        zc += (double)z[q] * (double)c[q];
        zz += (double)z[q] * (double)z[q];
        cc += (double)c[q] * (double)c[q];
    }
    return zc / sqrt(zz * cc);
}

/* A score is a sum of d terms of elements that have been rounded once; its terms' sizes
 * add up to |z| at most.  Two scores are compared. */
START_TEST(by_cosine_the_winner_is_the_nearest_within_rounding)
{
    problem p = shape_of(_i);
    const double u = ((double)p.s.d + 2) * 0x1p-24;
    p.s.cosine = 1;
    search(&p);
    ck_assert_uint_eq(p.lost, 0);
    for (size_t i = 0; i < p.s.n; i++) {
        size_t got = (size_t)p.s.index[i];
        double best = -1, r = distance(&p, i, got);
        for (size_t j = 0; j < p.s.k; j++)
            best = fmax(best, cosine(&p, i, j));
        EXPECT(cosine(&p, i, got) >= best - 2 * u, "vector %zu: %g, not %g", i,
               cosine(&p, i, got), best);
        EXPECT(fabs((double)p.s.dist[i] - r) <= u * r, "vector %zu: distance", i);
    }
}
END_TEST

/* One accumulator from 0, d in order, fused, over the code's elements by its length; also
 * with a common offset, which stays. */
START_TEST(by_cosine_the_winner_is_that_of_the_plan_to_the_bit)
{
    problem p = shape_of(_i % SHAPES);
    const size_t d = p.s.d;
    for (size_t i = 0; i < p.s.k * d; i++)
        p.code[i] += _i < SHAPES ? 0 : 10;
    float *unit = NN_NEW(&memory, float, p.s.k * d);
    p.s.cosine = 1;
    search(&p);
    for (size_t j = 0; j < p.s.k; j++) {
        double square = 0;
        for (size_t q = 0; q < d; q++)
            square += (double)p.code[j * d + q] * (double)p.code[j * d + q];
        for (size_t q = 0; q < d; q++)
            unit[j * d + q] = (float)((double)p.code[j * d + q] / sqrt(square));
    }
    for (size_t i = 0; i < p.s.n; i++) {
        size_t best = 0;
        float top = -INFINITY;
        for (size_t j = 0; j < p.s.k; j++) {
            float s = 0;
            for (size_t q = 0; q < d; q++)
                s = fmaf(unit[j * d + q], p.z[i * d + q], s);
            if (s > top) {
                top = s;
                best = j;
            }
        }
        EXPECT(p.s.index[i] == (int)best, "vector %zu: code %d, the plan says %zu", i,
               p.s.index[i], best);
    }
}
END_TEST

/* Codes 35 to 69 are codes 0 to 34, longer by a power of two, so that nothing is rounded
 * differently.  The length of a vector is changed in the same way. */
START_TEST(by_cosine_lengths_play_no_part)
{
    problem p = problem_of(50, 70, 9), q = problem_of(50, 70, 9);
    p.s.cosine = q.s.cosine = 1;
    for (size_t i = 0; i < 35 * 9; i++) {
        p.code[i] *= 0.25f;
        p.code[35 * 9 + i] = 1024 * p.code[i];
        q.code[i] = q.code[35 * 9 + i] = p.code[i];
    }
    for (size_t i = 0; i < 50 * 9; i++)
        p.z[i] *= ldexpf(1, (int)(i / 9) - 25);
    search(&p);
    search(&q);
    for (size_t i = 0; i < 50; i++)
        EXPECT(p.s.index[i] == q.s.index[i] && p.s.index[i] < 35, "vector %zu: %d and %d",
               i, p.s.index[i], q.s.index[i]);
}
END_TEST

START_TEST(by_cosine_a_code_of_length_zero_loses_to_all_others)
{
    problem p = problem_of(20, 30, 3);
    p.s.cosine = 1;
    for (size_t i = 0; i < 20 * 3; i++)
        p.z[i] = fabsf(p.z[i]);
    for (size_t j = 0; j < 30 * 3; j++)             /* at an obtuse angle, or nothing */
        p.code[j] = j / 3 % 4 == 1 ? -fabsf(p.code[j]) : 0;
    search(&p);
    ck_assert_uint_eq(p.lost, 0);
    for (size_t i = 0; i < 20; i++)
        ck_assert_int_eq(p.s.index[i] % 4, 1);
    memset(p.code, 0, sizeof(float) * 30 * 3);
    search(&p);
    ck_assert_uint_eq(p.lost, 0);
    for (size_t i = 0; i < 20; i++)
        ck_assert_int_eq(p.s.index[i], 0);
}
END_TEST

START_TEST(by_cosine_what_is_not_finite_is_noticed)
{
    problem p = problem_of(40, 30, 20);
    p.s.cosine = 1;
    p.z[3 * 20 + 7] = NAN;
    p.z[17 * 20] = INFINITY;
    memset(p.code, 0, sizeof(float) * 20);          /* infinity times nothing, too */
    search(&p);
    ck_assert_uint_eq(p.lost, 2);
    ck_assert(isnan(p.s.dist[3]) && isnan(p.s.dist[17]));
    p.code[29 * 20 + 4] = _i ? INFINITY : NAN;
    search(&p);
    ck_assert_uint_eq(p.lost, 40);
}
END_TEST

/* ---- all of it --------------------------------------------------------------------- */

START_TEST(no_vectors_is_no_work)
{
    problem p = problem_of(0, 3, 2);
    ck_assert_uint_eq(nn_search_nearest(&p.s, &scratch), 0);
}
END_TEST

START_TEST(no_codes_is_refused)
{
    problem p = problem_of(2, 0, 2);
    nn_search_nearest(&p.s, &scratch);
}
END_TEST

static void same(const problem *a, const problem *b, const char *who, int number)
{
    ck_assert_msg(memcmp(a->s.index, b->s.index, sizeof(int) * a->s.n) == 0
                      && memcmp(a->s.dist, b->s.dist, sizeof(float) * a->s.n) == 0,
                  "%s %d", who, number);
}

/* The table for AVX-512 in plain C (avx512_simde.c), where the processor has none. */
extern const nn_kern nn_kern_avx512_emulated __attribute__((weak));

static void against(const problem *first, int shape, const nn_kern *k)
{
    problem p = shape_of(shape);
    nn_kern_now = k;
    search(&p);
    same(first, &p, k->name, 0);
}

static outcome outcome_of(const problem *p)
{
    outcome o = { 2 * p->s.n, NN_NEW(&memory, float, 2 * p->s.n) };
    memcpy(o.at, p->s.dist, sizeof(float) * p->s.n);
    for (size_t i = 0; i < p->s.n; i++)
        o.at[p->s.n + i] = (float)p->s.index[i];
    return o;
}

static outcome vectors_of(int shape)
{
    problem p = shape_of(shape), t = turned(&p);
    search_vectors(&p, &t);
    return outcome_of(&t);
}

static outcome by_cosine(int shape)
{
    problem p = shape_of(shape);
    p.s.cosine = 1;
    search(&p);
    return outcome_of(&p);
}

/* Jobs hold an eighth of the codes, so few are needed. */
static problem codes_of(int shape)
{
    problem p = shape_of(shape);
    p.s.k = p.s.k < 600 ? p.s.k : 600;
    return p;
}

static outcome neighbours_of(int shape)
{
    problem p = codes_of(shape);
    outcome o = { p.s.k, NN_NEW(&memory, float, p.s.k) };
    nn_search_neighbours(p.s.k, p.s.d, p.code, o.at, &scratch);
    ck_assert_uint_eq(nn_arena_mark(&scratch), 0);
    return o;
}

START_TEST(every_table_finds_the_same_vectors)
{
    bytes_of_every_table(vectors_of, _i);
}
END_TEST

START_TEST(every_team_finds_the_same_vectors)
{
    bytes_of_every_team(vectors_of, _i);
}
END_TEST

START_TEST(every_table_finds_the_same_by_cosine)
{
    bytes_of_every_table(by_cosine, _i);
}
END_TEST

START_TEST(every_team_finds_the_same_by_cosine)
{
    bytes_of_every_team(by_cosine, _i);
}
END_TEST

START_TEST(every_table_gives_the_same_neighbours)
{
    bytes_of_every_table(neighbours_of, _i);
}
END_TEST

START_TEST(every_team_gives_the_same_neighbours)
{
    bytes_of_every_team(neighbours_of, _i);
}
END_TEST

START_TEST(every_table_finds_the_same)
{
    problem first = shape_of(_i);
    const nn_kern *last = nn_kern_at(nn_kern_count() - 1);
    nn_kern_now = nn_kern_at(0);
    search(&first);
    for (int k = 1; k < nn_kern_count(); k++)
        against(&first, _i, nn_kern_at(k));
    if (&nn_kern_avx512_emulated && strcmp(last->name, "avx512") != 0)
        against(&first, _i, &nn_kern_avx512_emulated);
}
END_TEST

START_TEST(every_team_finds_the_same)
{
    problem first = shape_of(_i);
    nn_par_set_threads(1);
    search(&first);
    for (int team = 2; team <= 7; team += team == 3 ? 4 : 1) {
        problem p = shape_of(_i);
        nn_par_set_threads(team);
        search(&p);
        same(&first, &p, "team", team);
    }
}
END_TEST

START_TEST(a_vector_finds_the_same_alone_and_among_others)
{
    problem p = shape_of(_i);
    search(&p);
    for (size_t i = 0; i < p.s.n; i += 13) {
        int index;
        float dist;
        nn_search one = { 1, p.s.k, p.s.d, p.z + i * p.s.d, p.code, &index, &dist, 0 };
        ck_assert_uint_eq(nn_search_nearest(&one, &scratch), 0);
        EXPECT(index == p.s.index[i] && memcmp(&dist, p.s.dist + i, sizeof dist) == 0,
               "vector %zu", i);
    }
}
END_TEST

/* 1 MiB of packed codes, 128 KiB of vectors a thread, 8 bytes a vector; the offset's sums
 * take (k / 256)(d + 2) doubles.  Scores would be 5 MB, packed codes as much. */
START_TEST(memory_does_not_grow_with_the_scores)
{
    problem p = problem_of(64, 20000, 64);
    nn_par_set_threads(2);
    search(&p);
    size_t most = (1 << 20) + 2 * (1 << 17) + 8 * p.s.n + 79 * 66 * 8 + (1 << 15);
    ck_assert_msg(scratch.peak <= most, "%zu bytes, expected %zu", scratch.peak, most);
}
END_TEST

/* Numbers from -1 to 1 that cost nothing to make: there are 134 million. */
static float *plain(size_t n)
{
    float *x = NN_NEW(&memory, float, n);
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        x[i] = (float)(int32_t)state * 0x1p-31f;
    }
    return x;
}

/* 262,144 codes of dimension 512: vectors are copies of codes from everywhere.  Beside
 * the 512 MiB of codes, 2 MiB a thread and the 1024 x 514 doubles of the offset. */
START_TEST(the_largest_codebook_is_searched_in_little_memory)
{
    enum { N = 9, K = 1 << 18, D = 512 };
    static const size_t copied[N] = { 0, 1, 13, 14, 510, 511, 131072, K - 2, K - 1 };
    int index[N];
    float z[N * D], dist[N];
    nn_search s = { N, K, D, z, plain((size_t)K * D), index, dist, 0 };
    nn_par_set_threads(2);
    for (size_t i = 0; i < N; i++)
        memcpy(z + i * D, s.code + copied[i] * D, sizeof(float) * D);
    ck_assert_uint_eq(nn_search_nearest(&s, &scratch), 0);
    for (size_t i = 0; i < N; i++) {
        ck_assert_int_eq(index[i], (int)copied[i]);
        ck_assert_float_eq(dist[i], 0);
    }
    ck_assert_uint_le(scratch.peak, 2 * (2 << 20) + 1024 * 514 * 8);
}
END_TEST

/* ---- codes among themselves -------------------------------------------------------- */

/* The same sums as nn_dist2's, so the same bits; of those, the least outside the
 * diagonal.  A sum of squares is off by at most d + 2 roundings of itself. */
START_TEST(a_neighbour_is_the_nearest_other_code)
{
    problem p = codes_of(_i);
    const size_t k = p.s.k, stride = nn_dist2_stride(k);
    const double u = ((double)p.s.d + 2) * 0x1p-24;
    float *all = NN_NEW(&memory, float, k * stride);
    nn_dist2(k, p.s.d, p.code, all, &scratch);
    outcome o = neighbours_of(_i);
    problem self = { .s = { k, k, p.s.d, p.code, p.code, NULL, NULL, 0 }, .z = p.code,
                     .code = p.code };
    for (size_t j = 0; j < k; j++) {
        float want = INFINITY;
        double truth = (double)INFINITY;
        for (size_t i = 0; i < k; i++)
            if (i != j) {
                want = fminf(want, all[j * stride + i]);
                truth = fmin(truth, distance(&self, j, i));
            }
        EXPECT(o.at[j] == want, "code %zu: %g, not %g", j, (double)o.at[j], (double)want);
        EXPECT(k == 1 || fabs((double)want - truth) <= u * truth, "code %zu: %g, not %g",
               j, (double)want, truth);
    }
}
END_TEST

/* Codes far from the origin: by scalar products their distances would be noise. */
START_TEST(copies_of_codes_are_at_no_distance)
{
    problem p = problem_of(1, 200, 300);
    float dist[200];
    for (size_t i = 0; i < 200 * 300; i++)
        p.code[i] += 1000;
    memcpy(p.code + 199 * 300, p.code + 17 * 300, sizeof(float) * 300);
    nn_search_neighbours(200, 300, p.code, dist, &scratch);
    for (size_t j = 0; j < 200; j++)
        ck_assert_int_eq(dist[j] == 0, j == 17 || j == 199);
    for (size_t i = 0; i < 200 * 300; i++)
        p.code[i] = 0.3f;
    nn_search_neighbours(200, 300, p.code, dist, &scratch);
    for (size_t j = 0; j < 200; j++)
        ck_assert_float_eq(dist[j], 0);
}
END_TEST

START_TEST(a_code_that_is_not_finite_has_no_neighbour_and_is_none)
{
    problem p = problem_of(1, 90, 5), q = problem_of(1, 88, 5);
    float dist[90], clean[88];
    p.code[88 * 5 + 1] = NAN;
    p.code[89 * 5 + 4] = -INFINITY;
    nn_search_neighbours(90, 5, p.code, dist, &scratch);
    nn_search_neighbours(88, 5, q.code, clean, &scratch);
    ck_assert_mem_eq(dist, clean, sizeof clean);
    ck_assert_float_infinite(dist[88]);
    ck_assert_float_infinite(dist[89]);
}
END_TEST

/* 128 KiB of codes a thread, a panel of others and a tile; distances would be 100 MB. */
START_TEST(memory_does_not_grow_with_the_distances)
{
    problem p = problem_of(1, 5000, 64);
    float *dist = NN_NEW(&memory, float, 5000);
    nn_par_set_threads(2);
    nn_search_neighbours(5000, 64, p.code, dist, &scratch);
    ck_assert_uint_le(scratch.peak, 2 * ((1 << 17) + (1 << 14)));
}
END_TEST

/* ---- the way back ------------------------------------------------------------------ */

typedef struct back {
    size_t n, k, d;
    int *index;
    float *x, *sum;
} back;

/* Two thirds of the vectors on one code, some codes with none. */
static back back_of(void)
{
    back b = { 3000, 333, 7, NN_NEW(&memory, int, 3000), normal(3000 * 7, 5),
               normal(333 * 7, 6) };
    nn_rng r = nn_rng_at(13, NN_RNG_TEST, 0, 0);
    for (size_t i = 0; i < b.n; i++)
        b.index[i] = i % 3 ? 200 : (int)nn_rng_below(&r, b.k);
    return b;
}

START_TEST(members_stand_under_their_code_in_order)
{
    back b = back_of();
    nn_members m = nn_code_members(b.n, b.k, b.index, &memory);
    ck_assert_uint_eq(m.first[0], 0);
    ck_assert_uint_eq(m.first[b.k], b.n);
    for (size_t j = 0; j < b.k; j++)
        for (size_t r = m.first[j]; r < m.first[j + 1]; r++)
            EXPECT(b.index[m.row[r]] == (int)j
                       && (r == m.first[j] || m.row[r] > m.row[r - 1]),
                   "code %zu, place %zu: vector %d", j, r, m.row[r]);
}
END_TEST

START_TEST(an_index_outside_the_codebook_is_refused)
{
    int index[] = { 0, 3, 1 };
    nn_code_members(3, 3, index, &memory);
}
END_TEST

/* Summed in double and rounded to float32 once (twice where it is added). */
START_TEST(sums_over_codes_match_their_definition)
{
    back b = back_of();
    float *old = NN_NEW(&memory, float, b.k * b.d);
    memcpy(old, b.sum, sizeof(float) * b.k * b.d);
    nn_members m = nn_code_members(b.n, b.k, b.index, &memory);
    nn_code_sums(&m, b.d, b.x, _i, b.sum, &scratch);
    ck_assert_uint_eq(nn_arena_mark(&scratch), 0);
    for (size_t j = 0; j < b.k; j++)
        for (size_t q = 0; q < b.d; q++) {
            double want = 0;
            int hits = 0;
            for (size_t i = 0; i < b.n; i++)
                if (b.index[i] == (int)j) {
                    want += (double)b.x[i * b.d + q];
                    hits++;
                }
            float before = _i ? old[j * b.d + q] : 0, got = b.sum[j * b.d + q];
            float sum = hits ? before + (float)want : before;
            EXPECT(got == sum, "code %zu with %d vectors: %g, wanted %g", j, hits,
                   (double)got, (double)sum);
        }
}
END_TEST

START_TEST(sums_over_codes_are_the_same_for_every_team)
{
    back b = back_of();
    nn_members m = nn_code_members(b.n, b.k, b.index, &memory);
    nn_par_set_threads(1);
    nn_code_sums(&m, b.d, b.x, 0, b.sum, &scratch);
    for (int team = 2; team <= 7; team += 5) {
        back c = back_of();
        nn_par_set_threads(team);
        nn_code_sums(&m, c.d, c.x, 0, c.sum, &scratch);
        ck_assert_mem_eq(b.sum, c.sum, sizeof(float) * b.k * b.d);
    }
}
END_TEST

Suite *suite_search(void)
{
    Suite *s = suite_create("search");
    TCase *tc = tcase_create("search");
    tcase_add_loop_test(tc, the_winner_is_that_of_the_plan_to_the_bit, 0, SHAPES);
    tcase_add_loop_test(tc, the_winner_is_the_nearest_within_rounding, 0, SHAPES);
    tcase_add_loop_test(tc, of_equals_the_lowest_index_wins, 0, SHAPES);
    tcase_add_test(tc, equal_codes_and_equal_vectors_all_give_code_zero);
    tcase_add_test(tc, a_common_offset_costs_no_digits);
    tcase_add_test(tc, tiny_codes_are_told_apart);
    tcase_add_test(tc, a_vector_that_is_not_finite_is_counted_and_harms_no_other);
    tcase_add_test(tc, a_code_that_is_not_finite_is_noticed_by_all);
    tcase_add_test(tc, no_vectors_is_no_work);
    tcase_add_test_raise_signal(tc, no_codes_is_refused, SIGABRT);
    tcase_add_loop_test(tc, every_team_finds_the_same, 0, SHAPES);
    tcase_add_loop_test(tc, a_vector_finds_the_same_alone_and_among_others, 0, SHAPES);
    tcase_add_test(tc, memory_does_not_grow_with_the_scores);
    tcase_add_test(tc, the_largest_codebook_is_searched_in_little_memory);
    suite_add_tcase(s, tc);
    tc = tcase_create("vectors");
    tcase_add_loop_test(tc, of_equal_vectors_the_first_is_a_codes_nearest, 0, SHAPES);
    tcase_add_loop_test(tc, nearest_vectors_are_nearest_codes_with_the_sides_exchanged, 0,
                        2 * SHAPES);
    tcase_add_loop_test(tc, a_vector_that_is_not_finite_is_nobodys_nearest, 0, 3);
    tcase_add_loop_test(tc, a_code_has_no_nearest_vector_if_it_or_no_vector_is_finite, 0,
                        2);
    tcase_add_loop_test(tc, every_team_finds_the_same_vectors, 0, SHAPES);
    suite_add_tcase(s, tc);
    tc = tcase_create("cosine");
    tcase_add_loop_test(tc, by_cosine_the_winner_is_the_nearest_within_rounding, 0,
                        SHAPES);
    tcase_add_loop_test(tc, by_cosine_the_winner_is_that_of_the_plan_to_the_bit, 0,
                        2 * SHAPES);
    tcase_add_test(tc, by_cosine_lengths_play_no_part);
    tcase_add_test(tc, by_cosine_a_code_of_length_zero_loses_to_all_others);
    tcase_add_loop_test(tc, by_cosine_what_is_not_finite_is_noticed, 0, 2);
    tcase_add_loop_test(tc, every_team_finds_the_same_by_cosine, 0, SHAPES);
    suite_add_tcase(s, tc);
    tc = tcase_create("neighbours");
    tcase_add_loop_test(tc, a_neighbour_is_the_nearest_other_code, 0, SHAPES);
    tcase_add_test(tc, copies_of_codes_are_at_no_distance);
    tcase_add_test(tc, a_code_that_is_not_finite_has_no_neighbour_and_is_none);
    tcase_add_loop_test(tc, every_team_gives_the_same_neighbours, 0, SHAPES);
    tcase_add_test(tc, memory_does_not_grow_with_the_distances);
    suite_add_tcase(s, tc);
    tc = tcase_create("tables");
    tcase_add_loop_test(tc, every_table_finds_the_same, 0, SHAPES);
    tcase_add_loop_test(tc, every_table_finds_the_same_vectors, 0, SHAPES);
    tcase_add_loop_test(tc, every_table_finds_the_same_by_cosine, 0, SHAPES);
    tcase_add_loop_test(tc, every_table_gives_the_same_neighbours, 0, SHAPES);
    suite_add_tcase(s, tc);
    tc = tcase_create("back");
    tcase_add_test(tc, members_stand_under_their_code_in_order);
    tcase_add_test_raise_signal(tc, an_index_outside_the_codebook_is_refused, SIGABRT);
    tcase_add_loop_test(tc, sums_over_codes_match_their_definition, 0, 2);
    tcase_add_test(tc, sums_over_codes_are_the_same_for_every_team);
    suite_add_tcase(s, tc);
    return s;
}
