/* `fullrank quantise`: codes of given vectors against brute force in NumPy
 * (golden/make_quantise.py), of a run against its log, and every way to be refused. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/golden.h"
#include "tests/program.h"
#include "tests/saved.h"
#include "tests/suites.h"

/* ---- files ------------------------------------------------------------------------- */

#define HEADER "{'descr': '%s', 'fortran_order': False, 'shape': %s, }"

/* An array of this shape, "(4, 3)", and bytes behind it. */
static void put(const char *file, const char *descr, const char *shape, const void *data,
                size_t bytes)
{
    char head[128 + 1];
    char *all = malloc(128 + bytes);

    memset(head, ' ', sizeof head);
    memcpy(head, "\x93NUMPY\1\0\x76\0", 10);
    int n = snprintf(head + 10, 118, HEADER, descr, shape);
    head[10 + n] = ' ';
    head[127] = '\n';
    memcpy(all, head, 128);
    memcpy(all + 128, data, bytes);
    program_put(file, all, 128 + bytes);
    free(all);
}

static void put_floats(const char *file, const char *shape, const float *x, size_t n)
{
    put(file, "<f4", shape, x, n * sizeof *x);
}

/* What the program wrote: numbers of 4 bytes behind a header of 128. */
static const void *numbers(const char *file, const char *descr, const char *shape,
                           size_t count)
{
    char header[128];
    size_t n = 0;
    const char *all = program_bytes(file, &n);

    ck_assert_msg(all, "%s is not there", file);
    ck_assert_uint_eq(n, 128 + 4 * count);
    snprintf(header, sizeof header, HEADER, descr, shape);
    ck_assert_mem_eq(all, "\x93NUMPY\1\0\x76\0", 10);
    ck_assert_msg(memcmp(all + 10, header, strlen(header)) == 0, "%s: %.100s", file,
                  all + 10);
    return all + 128;
}

#define INTS(...) ((const int32_t *)numbers(__VA_ARGS__))
#define FLOATS(...) ((const float *)numbers(__VA_ARGS__))
#define QUANTISE(...) object_of(program("quantise", __VA_ARGS__, "--json", NULL))

static json_t *object_of(program_result r)
{
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    ck_assert_str_eq(r.err, "");
    return program_parse(r.out);
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    ck_assert_msg(json_is_number(v), "no number %s", key);
    return json_number_value(v);
}

static void refused(program_result r, int code, const char *says)
{
    char line[1024];
    snprintf(line, sizeof line, "%s\n", says);
    ck_assert_str_eq(r.err, line);
    ck_assert_int_eq(r.exit, code);
    ck_assert_str_eq(r.out, "");
}

/* ---- against NumPy ----------------------------------------------------------------- */

static const char *const figure[] = {
    "code/used", "code/usage", "code/usage_max", "code/perplexity", "code/error",
    "code/error_relative", "code/z_rms", "code/erank", "code/duplicates"
};
enum { FIGURES = sizeof figure / sizeof *figure };

/* Distances are sums of float32 (a few 2^-24 each), golden figures are rounded to it. */
static const double digits = 2e-6;

static void agree(const json_t *o, const float *want, int figures, const char *name)
{
    for (int i = 0; i < figures; i++) {
        const double got = number(o, figure[i]), right = (double)want[i];
        ck_assert_msg(fabs(got - right) <= digits * fabs(right), "%s: %s is %.9g, not"
                      " %.9g", name, figure[i], got, right);
    }
}

static const struct exact {
    const char *name, *method, *setting;
    int grid;
} exact[] = {
    { "vq", "vq", NULL, 0 }, { "vq", "ema", NULL, 0 }, { "vq", "simvq", NULL, 0 },
    { "vq", "rvq", NULL, 0 }, { "cosine", "cosine", NULL, 0 },
    { "cosine", "cvq", "metric=cosine", 0 }, { "unit", "unit", NULL, 0 },
    { "unit", "vq", "metric=unit", 0 }, { "rvq", "rvq", NULL, 0 },
    { "rvq", "rvq", "stages=3", 0 }, { "one", "vq", NULL, 0 }, { "many", "vq", NULL, 0 },
    { "fsq", "fsq", "levels=8 6 5", 1 }, { "lfq", "lfq", "scale=1.5", 1 },
};
enum { EXACT = sizeof exact / sizeof *exact };

/* As one file (K, D), or (stages, K, D). */
static void put_books(const golden *g, const struct exact *e)
{
    char shape[64];
    const golden_record *c = golden_at(g, "%s/c", e->name);
    const int *d = c->shape.dim;

    if (d[0] == 1)
        snprintf(shape, sizeof shape, "(%d, %d)", d[1], d[2]);
    else
        snprintf(shape, sizeof shape, "(%d, %d, %d)", d[0], d[1], d[2]);
    put_floats("c.npy", shape, c->val, c->n);
}

/* Tests work in a folder of their own. */
static golden open_golden(void)
{
    char tests[4096];
    if (!getenv("FULLRANK_TESTS")) {
        snprintf(tests, sizeof tests, "%s/tests", program_root());
        setenv("FULLRANK_TESTS", tests, 1);
    }
    return golden_open("quantise.gold");
}

START_TEST(codes_and_figures_are_those_of_brute_force)
{
    const struct exact *e = &exact[_i];
    golden g = open_golden();
    const golden_record *x = golden_at(&g, "%s/x", e->name);
    const golden_record *index = golden_at(&g, "%s/index", e->name);
    const golden_record *want = golden_at(&g, "%s/want", e->name);
    const int n = x->shape.dim[0], d = x->shape.dim[1], parts = index->shape.dim[1];
    const char *args[16] = { "quantise", e->method, "x.npy", "--json", "-o", "i.npy",
                             "--decode", "q.npy" };
    int words = 8;
    char shape[64];

    snprintf(shape, sizeof shape, "(%d, %d)", n, d);
    put_floats("x.npy", shape, x->val, x->n);
    if (!e->grid) {
        put_books(&g, e);
        args[words++] = "--codebook";
        args[words++] = "c.npy";
    }
    if (e->setting)
        args[words++] = e->setting;
    const json_t *o = object_of(program_args(args)), *list = json_object_get(o, "parts");

    ck_assert_str_eq(json_string_value(json_object_get(o, "method")), e->method);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "n")), n);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "D")), d);
    ck_assert_uint_eq(json_array_size(list), (size_t)parts);
    const int figures = e->grid ? FIGURES - 2 : FIGURES, rows = want->shape.dim[0];
    for (int p = 0; p < parts; p++)
        agree(json_array_get(list, (size_t)p), want->val + p * figures, figures, e->name);
    agree(o, want->val + (rows - 1) * figures, figures, e->name);
    if (parts > 1)
        snprintf(shape, sizeof shape, "(%d, %d)", n, parts);
    else
        snprintf(shape, sizeof shape, "(%d,)", n);
    const int32_t *got = INTS("i.npy", "<i4", shape, index->n);
    for (size_t i = 0; i < index->n; i++)
        ck_assert_int_eq(got[i], (int)index->val[i]);
    snprintf(shape, sizeof shape, "(%d, %d)", n, d);
    golden_check(golden_at(&g, "%s/q", e->name), FLOATS("q.npy", "<f4", shape, x->n),
                 digits);
    golden_free(&g);
}
END_TEST

/* Codebooks of different sizes, one file for each stage; the first is (2, 2). */
START_TEST(stages_from_several_files_may_differ_in_size)
{
    const float x[] = { 10, 1,  -10, 3 }, c0[] = { 10, 0,  -10, 0 },
                c1[] = { 0, 1,  0, 2,  0, 3 };
    put_floats("x.npy", "(2, 2)", x, 4);
    put_floats("c0.npy", "(2, 2)", c0, 4);
    put_floats("c1.npy", "(3, 2)", c1, 6);
    json_t *o = QUANTISE("rvq", "x.npy", "--codebook", "c0.npy", "--codebook", "c1.npy",
                         "-o", "i.npy");
    ck_assert_double_eq(number(o, "code/error"), 0);
    ck_assert(json_is_null(json_object_get(o, "K")));
    const json_t *first = json_array_get(json_object_get(o, "parts"), 0);
    ck_assert_double_eq(number(first, "code/error"), 5);        /* (1 + 9) / 2 */
    const int32_t want[] = { 0, 0, 1, 2 };
    ck_assert_mem_eq(INTS("i.npy", "<i4", "(2, 2)", 4), want, sizeof want);
}
END_TEST

START_TEST(of_equal_distances_the_lowest_index_wins)
{
    const float x[] = { 0, 1, -1, 2 }, c[] = { 2, 1, -1, 1, -1 };
    put_floats("x.npy", "(4, 1)", x, 4);
    put_floats("c.npy", "(5, 1)", c, 5);
    json_t *o = QUANTISE("vq", "x.npy", "--codebook", "c.npy", "-o", "i.npy");
    const int32_t want[] = { 1, 1, 2, 0 };
    ck_assert_mem_eq(INTS("i.npy", "<i4", "(4,)", 4), want, sizeof want);
    ck_assert_double_eq(number(o, "code/duplicates"), 2);
    ck_assert_double_eq(number(o, "code/used"), 3);
    ck_assert_double_eq(number(o, "code/error"), 0.25);
}
END_TEST

/* 0 and -0 are one number. */
START_TEST(codes_that_differ_in_the_sign_of_zero_are_copies)
{
    const float c[] = { 0, 1,  -0.f, 1,  0, -1 };
    put_floats("c.npy", "(3, 2)", c, 6);
    ck_assert_double_eq(number(QUANTISE("vq", "c.npy", "--codebook", "c.npy"),
                               "code/duplicates"), 1);
}
END_TEST

START_TEST(all_dimensions_before_the_last_are_rows)
{
    float x[24], c[6] = { 0, 0, 10, 10, 20, 20 };
    int32_t want[12];
    for (int i = 0; i < 24; i++)
        x[i] = (float)i;
    for (int i = 0; i < 12; i++)        /* row i is (2i, 2i + 1) */
        want[i] = 2 * i + 0.5 < 5 ? 0 : 2 * i + 0.5 < 15 ? 1 : 2;
    put_floats("x.npy", "(2, 3, 2, 2)", x, 24);
    put_floats("c.npy", "(3, 2)", c, 6);
    json_t *o = QUANTISE("vq", "x.npy", "--codebook", "c.npy", "-o", "i.npy", "--decode",
                         "q.npy");
    ck_assert_double_eq(number(o, "n"), 12);
    ck_assert_mem_eq(INTS("i.npy", "<i4", "(2, 3, 2)", 12), want, sizeof want);
    const float *q = FLOATS("q.npy", "<f4", "(2, 3, 2, 2)", 24);
    for (int i = 0; i < 24; i++)
        ck_assert_float_eq(q[i], c[2 * want[i / 2] + i % 2]);
    put_floats("x.npy", "(2, 3, 2, 1, 1, 1, 1, 2)", x, 24);
    object_of(program("quantise", "rvq", "x.npy", "--codebook", "c.npy", "--codebook",
                      "c.npy", "-o", "i.npy", "--json", NULL));
    INTS("i.npy", "<i4", "(2, 3, 2, 1, 1, 1, 1, 2)", 24);
}
END_TEST

/* All rows alike have no variance: the relative error is undefined, and said so. */
START_TEST(equal_rows_have_an_error_and_no_relative_one)
{
    const float x[] = { 3, 4, 3, 4, 3, 4 }, c[] = { 3, 5 };
    put_floats("x.npy", "(3, 2)", x, 6);
    put_floats("c.npy", "(1, 2)", c, 2);
    json_t *o = QUANTISE("vq", "x.npy", "--codebook", "c.npy");
    ck_assert_double_eq(number(o, "code/error"), 1);
    ck_assert(json_is_null(json_object_get(o, "code/error_relative")));
    ck_assert_double_eq(number(o, "code/z_rms"), 5);
    ck_assert_double_eq(number(o, "code/usage"), 1);
    ck_assert_double_eq(number(o, "code/usage_max"), 1);
    ck_assert_double_eq(number(o, "code/perplexity"), 1);
    ck_assert_double_eq(number(o, "code/erank"), 1);
    program_result r = program("quantise", "vq", "x.npy", "--codebook", "c.npy", NULL);
    ck_assert_str_eq(r.out,
        "vq: nearest by distance\n"
        "n = 3, D = 2\n"
        "part       codes      used     usage usage_max  perplexity       error  relative"
        "  rms of z     erank  copies\n"
        "s0             1         1         1         1           1           1         -"
        "         5         1       0\n"
        "mean |x - q|^2 1\n");
}
END_TEST

/* ---- a codebook that is learnt ----------------------------------------------------- */

enum { CLUSTERS = 5, EACH = 40, WIDE = 3 };

/* Five clusters 100 apart, each within 1 of its middle. */
static void clusters(float *x)
{
    uint32_t r = 7;
    for (int i = 0; i < CLUSTERS * EACH; i++)
        for (int j = 0; j < WIDE; j++) {
            r = r * 1664525u + 1013904223u;
            x[i * WIDE + j] = (float)(100 * ((i % CLUSTERS + j) % CLUSTERS))
                              + (float)(r >> 8) / (float)(1 << 24) - 0.5f;
        }
}

/* As many codes as clusters: k-means++ draws a row of each, since a row of a cluster that has
 * a code already is 10^4 times less likely than one of a cluster without. */
START_TEST(fit_finds_clusters_that_lie_apart)
{
    float x[CLUSTERS * EACH * WIDE];
    clusters(x);
    put_floats("x.npy", "(200, 3)", x, CLUSTERS * EACH * WIDE);
    json_t *o = QUANTISE("vq", "x.npy", "--fit", "5", "--codebook-out", "c.npy", "-o",
                         "i.npy");
    ck_assert_double_lt(number(o, "code/error"), 1.1 * 3 / 12.0);   /* the spread of a cube of side 1, and a tenth for chance */
    const int32_t *index = INTS("i.npy", "<i4", "(200,)", CLUSTERS * EACH);
    const float *c = FLOATS("c.npy", "<f4", "(5, 3)", CLUSTERS * WIDE);
    for (int i = 0; i < CLUSTERS * EACH; i++)
        for (int j = 0; j < WIDE; j++)
            ck_assert_float_le(fabsf(x[i * WIDE + j] - c[index[i] * WIDE + j]), 1);
    for (int k = 0; k < CLUSTERS; k++) {      /* settled: each code is the mean of its rows */
        double sum[WIDE] = { 0 }, hits = 0;
        for (int i = 0; i < CLUSTERS * EACH; i++)
            for (int j = 0; index[i] == k && j < WIDE; j++) {
                sum[j] += (double)x[i * WIDE + j];
                hits += j == 0;
            }
        for (int j = 0; hits > 0 && j < WIDE; j++)
            ck_assert_double_eq_tol((double)c[k * WIDE + j], sum[j] / hits, 1e-4);
    }
    /* what was learnt is a codebook like any other */
    json_t *again = QUANTISE("vq", "x.npy", "--codebook", "c.npy");
    ck_assert_double_eq(number(again, "code/error"), number(o, "code/error"));
    ck_assert_double_eq(number(again, "code/perplexity"), number(o, "code/perplexity"));
}
END_TEST

START_TEST(fit_is_a_function_of_its_seed_for_every_table_and_team)
{
    float x[CLUSTERS * EACH * WIDE];
    clusters(x);
    put_floats("x.npy", "(200, 3)", x, CLUSTERS * EACH * WIDE);
    const char *one = program("quantise", "rvq", "x.npy", "stages=2", "--fit", "8",
                              "--seed", "3", "--codebook-out", "a.npy", "--json", NULL).out;
    setenv("FULLRANK_KERN", "ref", 1);
    const char *two = program("quantise", "rvq", "x.npy", "stages=2", "--fit", "8",
                              "--seed=3", "--threads=1", "--export-codebook", "b.npy",
                              "--json", NULL).out;
    unsetenv("FULLRANK_KERN");
    QUANTISE("rvq", "x.npy", "stages=2", "--fit", "8", "--codebook-out", "c.npy");
    ck_assert_str_eq(one, two);
    const float *a = FLOATS("a.npy", "<f4", "(2, 8, 3)", 48);
    ck_assert_mem_eq(a, FLOATS("b.npy", "<f4", "(2, 8, 3)", 48), 48 * sizeof *a);
    ck_assert_mem_ne(a, FLOATS("c.npy", "<f4", "(2, 8, 3)", 48), 48 * sizeof *a);
    json_t *o = QUANTISE("rvq", "x.npy", "--codebook", "a.npy");
    ck_assert_double_eq(number(o, "code/error"),
                        number(program_parse(one), "code/error"));
}
END_TEST

/* Nothing is left over; the codes beyond n are rows a second time. */
START_TEST(fit_of_more_codes_than_rows_keeps_every_row)
{
    const float x[] = { 1, 2, 3, 4, 5, 6 };
    put_floats("x.npy", "(3, 2)", x, 6);
    json_t *o = QUANTISE("vq", "x.npy", "--fit", "8", "--rounds", "3");
    ck_assert_double_eq(number(o, "code/error"), 0);
    ck_assert_double_eq(number(o, "code/used"), 3);
    ck_assert_double_eq(number(o, "code/duplicates"), 5);
}
END_TEST

START_TEST(fit_of_unit_gives_codes_of_length_one)
{
    float x[CLUSTERS * EACH * WIDE];
    clusters(x);
    put_floats("x.npy", "(200, 3)", x, CLUSTERS * EACH * WIDE);
    json_t *o = QUANTISE("unit", "x.npy", "--fit", "4", "--codebook-out", "c.npy");
    const float *c = FLOATS("c.npy", "<f4", "(4, 3)", 12);
    for (int k = 0; k < 4; k++) {
        double square = 0;
        for (int j = 0; j < 3; j++)
            square += (double)c[3 * k + j] * (double)c[3 * k + j];
        ck_assert_double_eq_tol(square, 1, 1e-6);       /* two roundings of each number */
    }
    ck_assert_double_eq_tol(number(o, "code/z_rms"), 1, 1e-6);
}
END_TEST

/* ---- many rows --------------------------------------------------------------------- */

/* Chunks of 16384 rows: the first and the last row of each are where they belong. */
START_TEST(rows_beyond_a_chunk_are_found_as_well)
{
    enum { N = 40000, K = 7 };
    float *x = malloc(N * sizeof *x), c[K];
    for (int i = 0; i < N; i++)
        x[i] = (float)(i % K);
    for (int k = 0; k < K; k++)
        c[k] = (float)(K - 1 - k);
    put_floats("x.npy", "(40000, 1)", x, N);
    put_floats("c.npy", "(7, 1)", c, K);
    free(x);
    json_t *o = QUANTISE("vq", "x.npy", "--codebook", "c.npy", "-o", "i.npy");
    const int32_t *index = INTS("i.npy", "<i4", "(40000,)", N);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(index[i], K - 1 - i % K);
    ck_assert_double_eq(number(o, "code/error"), 0);
    ck_assert_double_eq(number(o, "n"), N);
}
END_TEST

/* ---- refused ----------------------------------------------------------------------- */

static void put_usual(void)
{
    const float x[] = { 1, 2, 3, 4, 5, 6 }, c[] = { 1, 2, 3, 4 }, wide[67] = { 0 };
    put_floats("x.npy", "(2, 3)", x, 6);
    put_floats("c.npy", "(1, 3)", x, 3);
    put_floats("narrow.npy", "(2, 2)", c, 4);
    put_floats("stages.npy", "(2, 1, 3)", x, 6);
    put_floats("flat.npy", "(6,)", x, 6);
    put_floats("none.npy", "(0, 3)", x, 0);
    put_floats("thin.npy", "(3, 0)", x, 0);
    put_floats("wide.npy", "(1, 64)", wide, 64);
    put_floats("prime.npy", "(1, 67)", wide, 67);
    put_floats("vast.npy", "(65536, 65536, 1)", x, 0);
    put("int.npy", "<i8", "(1, 1)", x, 8);
}

static const struct misuse {
    const char *word[8];
    int code;
    const char *says;
} misuses[] = {
    { { "vqq", "x.npy" }, 2,
      "command line: no method or folder of a run 'vqq'; did you mean 'vq'?" },
    { { "cosin", "x.npy" }, 2,
      "command line: no method or folder of a run 'cosin'; did you mean 'cosine'?" },
    { { "runs/jabberwocky" }, 2, "command line: no method or folder of a run"
      " 'runs/jabberwocky'; 'fullrank list quantisers' names the methods" },
    { { "vq" }, 2,
      "command line: vq wants a file of vectors: fullrank quantise vq X.npy" },
    { { "vq", "x.npy" }, 2, "command line: vq wants --codebook FILE.npy, or --fit K to"
      " learn one of K codes from x.npy" },
    { { "vq", "x.npy", "c.npy" }, 2, "command line: one file of vectors, not 'c.npy' as"
      " well; codes are given with --codebook" },
    { { "vq", "x.npy", "--codebook", "c.npy", "--codebook", "c.npy" }, 2,
      "command line: vq takes one --codebook, not 2; rvq takes one for every stage" },
    { { "vq", "x.npy", "--codebook", "c.npy", "--fit", "2" }, 2, "command line: --codebook"
      " gives codes and --fit learns others; leave one out" },
    { { "vq", "x.npy", "--codebook", "c.npy", "--rounds", "2" }, 2,
      "command line: --rounds goes with --fit K" },
    { { "vq", "x.npy", "--codebook", "c.npy", "--seed", "2" }, 2,
      "command line: --seed goes with --fit K" },
    { { "vq", "x.npy", "--codebook", "c.npy", "--codebook-out", "d.npy" }, 2,
      "command line: --codebook-out goes with --fit K" },
    { { "vq", "x.npy", "--fit", "0" }, 2,
      "command line: --fit wants a whole number from 1 to 1048576, not '0'" },
    { { "vq", "x.npy", "--fit", "2", "--rounds", "x" }, 2,
      "command line: --rounds wants a whole number from 0 to 10000, not 'x'" },
    { { "vq", "x.npy", "--fit", "2", "--seed", "-1" }, 2,
      "command line: --seed wants a whole number from 0 to 2147483647, not '-1'" },
    { { "cosine", "x.npy", "--fit", "2" }, 2, "command line: --fit makes codes that are near"
      " by distance; for angles take unit instead of cosine" },
    { { "vq", "x.npy", "--codebook", "c.npy", "--split", "train" }, 2,
      "command line: --split is of a run, not of vq" },
    { { "fsq", "x.npy", "--checkpoint", "last" }, 2,
      "command line: --checkpoint is of a run, not of fsq" },
    { { "fsq", "x.npy", "--codebook", "c.npy" }, 2,
      "command line: fsq has no codebook; leave --codebook out" },
    { { "lfq", "x.npy", "--fit", "4" }, 2,
      "command line: lfq has no codebook; leave --fit out" },
    { { "fsq", "x.npy", "levles=3 3 3" }, 2,
      "command line: no setting 'levles' in fsq; did you mean 'levels'?" },
    { { "fsq", "x.npy", "levels=2 2 2" }, 2, "command line: fsq on rows of 3: levels wants 1"
      " to 16 numbers of 3 to 255 with a product below 2^24, like '8 6 5'" },
    { { "fsq", "x.npy", "weight=2" }, 2,
      "command line: 'weight' of fsq matters in training alone; leave it out" },
    { { "vq", "x.npy", "jabberwocky=2" }, 2,
      "command line: no setting 'jabberwocky' in vq; known are metric" },
    { { "unit", "x.npy", "metric=unit" }, 2,
      "command line: no setting 'metric' in unit; it has none" },
    { { "gain_shape", "x.npy", "--codebook", "c.npy" }, 2, "command line: gain_shape keeps"
      " more of a vector than its code; only its runs can be quantised: fullrank quantise"
      " RUN" },
    { { "fsq", "x.npy", "-o", "y.npy", "--decode", "y.npy" }, 2,
      "command line: y.npy is named twice; a result wants a file of its own" },
    { { "fsq", "x.npy", "--decode", "x.npy" }, 2,
      "command line: x.npy is named twice; a result wants a file of its own" },
    { { "vq", "x.npy", "--codebook", "c.npy", "-o", "c.npy" }, 2,
      "command line: c.npy is named twice; a result wants a file of its own" },
    { { "vq", "x.npy", "metric=manhattan" }, 2,
      "command line: metric is one of euclid, cosine, unit, not 'manhattan'" },
    { { "rvq", "x.npy", "stages=3", "--codebook", "stages.npy" }, 2,
      "command line: stages = 3, but there are codebooks for 2" },
    { { "rvq", "x.npy", "metric=unit", "--codebook", "stages.npy" }, 2, "command line:"
      " metric=unit works with one stage: what a stage leaves over is not of length 1" },
    { { "fsq", "narrow.npy" }, 5,
      "narrow.npy: rows of 2 numbers, but fsq with these settings takes 3" },
    { { "lfq", "x.npy", "groups=2" }, 2,
      "command line: groups = 2, but x.npy has rows of 3, which cannot be cut so" },
    { { "lfq", "wide.npy" }, 2, "command line: lfq takes up to 23 columns a group, not 64;"
      " groups=4 makes groups of 16" },
    { { "lfq", "prime.npy" }, 2, "command line: lfq takes up to 23 columns a group, not 67" },
    { { "lfq", "x.npy", "bits=2" }, 5,
      "x.npy: rows of 3 numbers, but lfq with these settings takes 2" },
    { { "vq", "no.npy", "--codebook", "c.npy" }, 5, "no.npy: No such file or directory" },
    { { "vq", "x.npy", "--codebook", "no.npy" }, 5, "no.npy: No such file or directory" },
    { { "vq", "int.npy", "--codebook", "c.npy" }, 5, "int.npy: holds numbers of type <i8;"
      " wanted are float32 or float64: .astype('float32')" },
    { { "vq", "flat.npy", "--codebook", "c.npy" }, 5, "flat.npy: an array of shape (6,);"
      " wanted are rows of numbers in 2 to 8 dimensions: x.reshape(-1, D)" },
    { { "vq", "vast.npy", "--codebook", "c.npy" }, 5,
      "vast.npy: an array of shape (65536, 65536, 1) is too large" },
    { { "vq", "none.npy", "--codebook", "c.npy" }, 5,
      "none.npy: 0 rows of 3 numbers; wanted are 1 row or more of 1 to 65536" },
    { { "vq", "thin.npy", "--codebook", "c.npy" }, 5,
      "thin.npy: 3 rows of 0 numbers; wanted are 1 row or more of 1 to 65536" },
    { { "vq", "x.npy", "--codebook", "none.npy" }, 5, "none.npy: holds no codes" },
    { { "vq", "x.npy", "--codebook", "narrow.npy" }, 5,
      "narrow.npy: codes of 2 numbers, but x.npy has rows of 3" },
    { { "vq", "x.npy", "--codebook", "stages.npy" }, 5,
      "stages.npy: an array of 3 dimensions; a codebook is (K, D)" },
};

START_TEST(a_mistake_gets_one_line_and_its_exit_code)
{
    const char *args[10] = { "quantise" };
    put_usual();
    memcpy(args + 1, misuses[_i].word, sizeof misuses[_i].word);
    refused(program_args(args), misuses[_i].code, misuses[_i].says);
}
END_TEST

START_TEST(numbers_that_are_none_are_named_by_row_and_column)
{
    float x[] = { 1, 2, 3, 4, NAN, INFINITY }, c[] = { 1, 2, 3, 3e38f, 3e38f, 0 };
    put_usual();
    put_floats("bad.npy", "(2, 3)", x, 6);
    refused(program("quantise", "vq", "bad.npy", "--codebook", "c.npy", NULL), 5,
            "bad.npy: row 1, column 1 (counted from 0) is nan as float32; vectors and codes"
            " are finite numbers");
    x[4] = 0;
    put_floats("bad.npy", "(2, 3)", x, 6);
    refused(program("quantise", "vq", "x.npy", "--codebook", "bad.npy", NULL), 5,
            "bad.npy: row 1, column 2 (counted from 0) is inf as float32; vectors and codes"
            " are finite numbers");
    put_floats("long.npy", "(2, 3)", c, 6);
    refused(program("quantise", "vq", "x.npy", "--codebook", "long.npy", NULL), 5,
            "long.npy: row 1 (counted from 0) is 4.24e+38 long, too long to be squared in"
            " float32; scale vectors and codes down");
    refused(program("quantise", "unit", "long.npy", "--fit", "2", NULL), 5,
            "long.npy: row 1 (counted from 0) is 4.24e+38 long, too long to be squared in"
            " float32; scale vectors and codes down");
}
END_TEST

/* A hole of zeros: 64 MiB of file, nothing on the disk. */
START_TEST(more_codes_than_can_be_counted_are_refused)
{
    put_usual();
    put("huge.npy", "<f4", "(16777217, 1)", "", 0);
    put_floats("x.npy", "(1, 1)", &(float){ 1 }, 1);
    ck_assert_int_eq(truncate("huge.npy", 128 + 4 * 16777217L), 0);
    refused(program("quantise", "vq", "x.npy", "--codebook", "huge.npy", NULL), 5,
            "huge.npy: holds 16777217 codes; at most 16777216 are searched");
}
END_TEST

START_TEST(what_cannot_be_written_leaves_what_was_there)
{
    put_usual();
    refused(program("quantise", "vq", "x.npy", "--codebook", "c.npy", "-o", "no/i.npy",
                    "--json", NULL), 1,
            "no/i.npy: cannot be written: No such file or directory");
    ck_assert_int_eq(mkdir("out", 0700), 0);
    refused(program("quantise", "vq", "x.npy", "--codebook", "c.npy", "-o", "out", NULL), 1,
            "out: cannot be written: is a folder");
    ck_assert_int_eq(mkfifo("pipe", 0600), 0);
    refused(program("quantise", "vq", "x.npy", "--codebook", "c.npy", "-o", "pipe", NULL),
            1, "pipe: cannot be written: is not a regular file");
    program_write("out/i.npy", "as it was");
    program_most_bytes = 64;
    program_result r = program("quantise", "vq", "x.npy", "--codebook", "c.npy", "-o",
                               "out/i.npy", NULL);
    program_most_bytes = 0;
    ck_assert_int_eq(r.exit, 1);
    ck_assert_str_eq(r.err, "out/i.npy: cannot be written: File too large\n");
    ck_assert_str_eq(program_read("out/i.npy"), "as it was");
    ck_assert_int_eq(unlink("out/i.npy"), 0);
    ck_assert_msg(rmdir("out") == 0, "something was left behind");
}
END_TEST

/* ---- a run ------------------------------------------------------------------------- */

#define RUN(quantiser) \
    "method: {name: vqvae}\n" \
    "model: {name: autoencoder_toy, dim: 8}\n" \
    "quantiser: {" quantiser "}\n" \
    "data: {name: shapes, size: 60}\n" \
    "augment: {recipe: none}\n" \
    "optim: {name: adamw, lr: 1.0e-3}\n" \
    "epochs: 1\nbatch: 20\nmetrics: {samples: 12, bank: 20}\n"

static const struct trained { const char *config; int parts, k, d, book; } trained[] = {
    { RUN("name: vq, codes: 16, metric: unit"), 1, 16, 8, 1 },
    { RUN("name: simvq, codes: 32"), 1, 32, 8, 1 },
    { RUN("name: ema, codes: 8, groups: 2, stages: 2, init: data"), 4, 8, 4, 1 },
    { RUN("name: fsq, levels: 4 3, dim: 2"), 1, 12, 2, 0 },
};

static const char *train(const char *config)
{
    program_write("a.yaml", config);
    program_result r = program("train", "a.yaml", "--quiet", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    return program_run_folder("runs");
}

/* Every figure that both have, the parts' own included. */
static void as_in_the_log(const json_t *o, const json_t *line, int parts)
{
    static const char *const image[] = { "recon/mse", "recon/nmse", "recon/psnr",
                                         "recon/ssim" };
    for (int i = 0; i < FIGURES - 1; i++)       /* copies are not logged */
        ck_assert_msg(json_equal(json_object_get(o, figure[i]),
                                 json_object_get(line, figure[i])), "%s", figure[i]);
    for (size_t i = 0; i < sizeof image / sizeof *image; i++)
        ck_assert_msg(json_equal(json_object_get(o, image[i]),
                                 json_object_get(line, image[i])), "%s", image[i]);
    for (int p = 0; parts > 1 && p < parts; p++) {
        const json_t *one = json_array_get(json_object_get(o, "parts"), (size_t)p);
        for (int i = 0; i < FIGURES - 1; i++) {
            char name[64];
            snprintf(name, sizeof name, "code/%s/%s",
                     json_string_value(json_object_get(one, "part")), figure[i] + 5);
            ck_assert_msg(json_equal(json_object_get(one, figure[i]),
                                     json_object_get(line, name)), "%s", name);
        }
    }
}

START_TEST(codes_of_a_run_are_those_of_its_log)
{
    const struct trained *t = &trained[_i];
    const char *run = train(t->config);
    const json_t *lines = program_lines(run, "metrics.jsonl");
    char shape[64];
    json_t *o = t->book ? QUANTISE(run, "-o", "i.npy", "--export-codebook", "c.npy")
                        : QUANTISE(run, "-o", "i.npy");

    as_in_the_log(o, json_array_get(lines, json_array_size(lines) - 1), t->parts);
    const int images = (int)number(o, "images"), places = 8 * 8;
    ck_assert_double_eq(number(o, "n"), images * places);
    ck_assert_double_eq(number(o, "K"), t->k);
    ck_assert_double_eq(number(o, "D"), t->d);
    snprintf(shape, sizeof shape, "(%d, %d, 8, 8)", images, t->parts);
    const size_t all = (size_t)(images * t->parts * places);
    const int32_t *index = INTS("i.npy", "<i4", shape, all);
    for (int p = 0; p < t->parts; p++) {        /* each part's own codes, and no others */
        int hits[64] = { 0 }, used = 0;
        for (int i = 0; i < images; i++)
            for (int j = 0; j < places; j++) {
                const int32_t k = index[(i * t->parts + p) * places + j];
                ck_assert(k >= 0 && k < t->k);
                used += !hits[k]++;
            }
        const json_t *one = json_array_get(json_object_get(o, "parts"), (size_t)p);
        ck_assert_double_eq(number(one, "code/used"), used);
    }
    if (!t->book)
        return;
    if (t->parts > 1)
        snprintf(shape, sizeof shape, "(%d, %d, %d)", t->parts, t->k, t->d);
    else
        snprintf(shape, sizeof shape, "(%d, %d)", t->k, t->d);
    const float *c = FLOATS("c.npy", "<f4", shape, (size_t)(t->parts * t->k * t->d));
    for (int k = 0; _i == 0 && k < t->k; k++) { /* metric: unit */
        double square = 0;
        for (int j = 0; j < t->d; j++)
            square += (double)c[k * t->d + j] * (double)c[k * t->d + j];
        ck_assert_double_eq_tol(square, 1, 1e-6);
    }
}
END_TEST

START_TEST(a_run_of_several_parts_is_judged_by_the_one_that_uses_fewest)
{
    char says[96];
    const char *run = train(trained[2].config);
    const json_t *lines = program_lines(run, "metrics.jsonl");
    const json_t *line = json_array_get(lines, json_array_size(lines) - 1);
    const json_t *parts = json_object_get(QUANTISE(run), "parts"), *one;
    double least = trained[2].k, most = 0;
    size_t i;

    json_array_foreach(parts, i, one) {
        least = fmin(least, number(one, "code/used"));
        most = fmax(most, number(one, "code/used"));
    }
    ck_assert_msg(least < most, "all parts use %g codes: nothing to tell apart", most);
    snprintf(says, sizeof says, "%g of 8 codes used, chance would reach 8 (the least of 4"
             " parts)", least);
    ck_assert_str_eq(json_string_value(json_object_get(line, "why")), says);
}
END_TEST

/* Of the checkpoint's tensors: groups and their stages in order. */
START_TEST(exported_codes_of_several_parts_are_those_of_the_checkpoint)
{
    char file[1024], name[64];
    const char *run = train(trained[2].config);
    snprintf(file, sizeof file, "%s/checkpoints/last.safetensors", run);
    QUANTISE(run, "--export-codebook", "c.npy");
    const float *c = FLOATS("c.npy", "<f4", "(4, 8, 4)", 128);
    for (int p = 0; p < 4; p++) {
        snprintf(name, sizeof name, "quantiser.%d.%d.embedding.weight", p / 2, p % 2);
        ck_assert_mem_eq(c + 32 * p, saved_tensor(file, name), 32 * sizeof *c);
    }
}
END_TEST

/* C = B W' + b in double; float32 sums of 8 products are off by a few 2^-24 of their
 * largest term. */
START_TEST(exported_codes_of_simvq_are_behind_the_projection)
{
    enum { K = 32, D = 8 };
    char file[1024];
    const char *run = train(trained[1].config);
    snprintf(file, sizeof file, "%s/checkpoints/last.safetensors", run);
    const float *basis = saved_tensor(file, "quantiser.embedding.weight");
    const float *w = saved_tensor(file, "quantiser.embedding_proj.weight");
    const float *b = saved_tensor(file, "quantiser.embedding_proj.bias");
    QUANTISE(run, "--export-codebook", "c.npy");
    const float *c = FLOATS("c.npy", "<f4", "(32, 8)", K * D);
    for (int k = 0; k < K; k++)
        for (int j = 0; j < D; j++) {
            double sum = (double)b[j];
            for (int i = 0; i < D; i++)
                sum += (double)basis[k * D + i] * (double)w[j * D + i];
            ck_assert_double_eq_tol((double)c[k * D + j], sum, 1e-6);
        }
}
END_TEST

START_TEST(the_training_images_of_a_run_have_codes_as_well)
{
    const char *run = train(trained[1].config);
    json_t *o = QUANTISE(run, "--split", "train", "--checkpoint", "last");
    ck_assert_double_eq(number(o, "images"), 60);
    ck_assert_str_eq(json_string_value(json_object_get(o, "split")), "train");
    program_result r = program("quantise", run, NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_str_eq(r.err, "");
    ck_assert_ptr_nonnull(strstr(r.out, "n = 12 held-out images of 8 x 8 codes,"
                                 " D = 8\n"));
    ck_assert_ptr_nonnull(strstr(r.out, "images: mse "));
    refused(program("quantise", run, "--split", "both", NULL), 2,
            "command line: --split is test or train, not 'both'");
    refused(program("quantise", run, "--codebook", "c.npy", NULL), 2,
            "command line: --codebook goes with METHOD X.npy, not with a run");
    refused(program("quantise", run, "-o", "q.npy", "--export-codebook", "q.npy", NULL), 2,
            "command line: q.npy is named twice; a result wants a file of its own");
    refused(program("quantise", run, "--decode", "q.npy", NULL), 2,
            "command line: --decode goes with METHOD X.npy, not with a run");
    ck_assert_int_eq(program("quantise", run, "--checkpoint", "no", NULL).exit, 6);
}
END_TEST

START_TEST(a_run_without_a_codebook_is_refused)
{
    char line[512];
    const char *run = train(trained[3].config);
    refused(program("quantise", run, "--export-codebook", "c.npy", NULL), 2,
            "command line: fsq has no codebook to export; -o writes its indices");
    program_remove("runs");
    run = train("method: {name: simsiam, proj_dim: 8, pred_hidden: 4}\n"
                "model: {name: mlp}\ndata: {name: shapes, size: 40}\n"
                "epochs: 1\nbatch: 20\nmetrics: {samples: 8, bank: 10}\n");
    snprintf(line, sizeof line, "%s: method simsiam has no codebook; a run of vqvae has",
             run);
    refused(program("quantise", run, NULL), 2, line);
    ck_assert_int_eq(mkdir("empty", 0700), 0);
    ck_assert_int_eq(program("quantise", "empty", NULL).exit, 2);
}
END_TEST

Suite *suite_quantise(void)
{
    Suite *s = suite_create("quantise");
    TCase *tc = tcase_create("quantise");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, codes_and_figures_are_those_of_brute_force, 0, EXACT);
    tcase_add_test(tc, stages_from_several_files_may_differ_in_size);
    tcase_add_test(tc, of_equal_distances_the_lowest_index_wins);
    tcase_add_test(tc, codes_that_differ_in_the_sign_of_zero_are_copies);
    tcase_add_test(tc, all_dimensions_before_the_last_are_rows);
    tcase_add_test(tc, equal_rows_have_an_error_and_no_relative_one);
    tcase_add_test(tc, fit_finds_clusters_that_lie_apart);
    tcase_add_test(tc, fit_is_a_function_of_its_seed_for_every_table_and_team);
    tcase_add_test(tc, fit_of_more_codes_than_rows_keeps_every_row);
    tcase_add_test(tc, fit_of_unit_gives_codes_of_length_one);
    tcase_add_test(tc, rows_beyond_a_chunk_are_found_as_well);
    tcase_add_loop_test(tc, a_mistake_gets_one_line_and_its_exit_code, 0,
                        (int)(sizeof misuses / sizeof *misuses));
    tcase_add_test(tc, numbers_that_are_none_are_named_by_row_and_column);
    tcase_add_test(tc, more_codes_than_can_be_counted_are_refused);
    tcase_add_test(tc, what_cannot_be_written_leaves_what_was_there);
    tcase_add_loop_test(tc, codes_of_a_run_are_those_of_its_log, 0,
                        (int)(sizeof trained / sizeof *trained));
    tcase_add_test(tc, a_run_of_several_parts_is_judged_by_the_one_that_uses_fewest);
    tcase_add_test(tc, exported_codes_of_several_parts_are_those_of_the_checkpoint);
    tcase_add_test(tc, exported_codes_of_simvq_are_behind_the_projection);
    tcase_add_test(tc, the_training_images_of_a_run_have_codes_as_well);
    tcase_add_test(tc, a_run_without_a_codebook_is_refused);
    suite_add_tcase(s, tc);
    return s;
}
