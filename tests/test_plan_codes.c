/* What a run with a codebook will take: `fullrank plan` beside `fullrank train`. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/program.h"
#include "tests/suites.h"

/* A map of 8 x 8 places.  The network is as narrow as can be. */
enum { BATCH = 24, PLACES = 64 };

static void write_config(const char *quantiser)
{
    char text[1024];
    snprintf(text, sizeof text,
             "method: {name: vqvae}\n"
             "model: {name: autoencoder_toy, dim: 16, width: 0.25}\n"
             "data: {name: shapes, size: 100}\n"
             "quantiser: {name: %s}\n"
             "metrics: {samples: 10, bank: 20, knn_k: 5}\n"
             "batch: %d\nepochs: 1\n", quantiser, BATCH);
    program_write("a.yaml", text);
}

static json_t *plan(const char *pair)
{
    const char *threads = "--threads=2";
    program_result r = program("plan", "a.yaml", "--json", threads, pair ? pair : threads,
                               NULL);
    return program_parse(r.out);
}

static json_t *train(void)
{
    program_result r = program("train", "a.yaml", "--quiet", "--threads=2", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    return program_json(program_run_folder("runs"), "status.json");
}

/* number_at(o, "memory.measured.bytes") */
static double number_at(const json_t *o, const char *path)
{
    char word[64];
    const char *p = path;

    while (o && *p) {
        size_t n = strcspn(p, ".");
        snprintf(word, sizeof word, "%.*s", (int)n, p);
        o = json_object_get(o, word);
        p += n + (p[n] == '.');
    }
    ck_assert_msg(json_is_number(o), "no number '%s'", path);
    return json_number_value(o);
}

/* What is estimated, in units of what is measured. */
static double ratio(const json_t *o, const char *what)
{
    char path[2][64];
    snprintf(path[0], sizeof path[0], "memory.estimated.%s", what);
    snprintf(path[1], sizeof path[1], "memory.measured.%s", what);
    return number_at(o, path[0]) / number_at(o, path[1]);
}

/* ---- memory ------------------------------------------------------------------------ */

/* The last four take more than anything else of these runs: stages that the first step
 * has not; as many lives to look at as there are codes; a start from data; and to settle
 * a shared book. */
static const char *const kinds[] = {
    "vq", "vq, restart: 0.1", "ema, restart: 0.1", "cvq, anchor: closest",
    "cvq, anchor: random", "cvq, anchor: probrandom", "simvq", "fsq", "lfq, bits: 6",
    "vq, codes: 64, stages: 4", "vq, groups: 2", "ema, groups: 2, stages: 2, share: true",
    "vq, dim: 4", "vq, init: kmeans, groups: 2",
    "ema, codes: 16, stages: 24, stage_dropout: 0.95, share: true",
    "lfq, bits: 21", "ema, codes: 6000, init: data",
    "cvq, codes: 64, stages: 8, share: true",
};

/* Training asks for the same as the measurement.  The estimate is off where buffers grow
 * in whole panels and tiles, or where at a few images another operator takes the most: a
 * part of `scratch`, as in test_plan.c.  Scratch of training by itself, which is where
 * codes are settled, is small, so that 5 % of it are some ten KB. */
START_TEST(memory_of_every_quantiser_is_foretold)
{
    write_config(kinds[_i]);
    json_t *p = plan(NULL), *status = train();

    ck_assert_double_eq(number_at(p, "exit"), 0);
    ck_assert_double_eq(number_at(p, "memory.measured.bytes"),
                        number_at(status, "memory.bytes"));
    ck_assert_double_eq(number_at(status, "memory.late_requests"), 0);
    ck_assert_double_eq_tol(ratio(p, "bytes"), 1, 0.02);
    ck_assert_double_eq_tol(ratio(p, "step"), 1, 0.005);
    ck_assert_double_eq_tol(ratio(p, "scratch_training"), 1, 0.05);
    ck_assert_double_eq(ratio(p, "forever"), 1);
    ck_assert_double_eq(number_at(p, "parameters.all"),
                        number_at(status, "model.parameters"));
}
END_TEST

/* So many images that what is made of them takes more than the pixels' neighbours, whose
 * tile alone is 1024 x 3072 floats; and so many codes that their distances do. */
START_TEST(memory_of_looking_at_codes_is_foretold)
{
    static const char *const quantiser[] = { "vq, codes: 64", "simvq, codes: 8000" };
    static const char *const pair[] = { "batch=400", "batch=8" };

    write_config(quantiser[_i]);
    program_result r = program("plan", "a.yaml", "--json", "--threads=2", "data.size=400",
                               pair[_i], NULL);
    json_t *p = program_parse(r.out);
    ck_assert_double_eq(number_at(p, "exit"), 0);
    ck_assert_double_eq_tol(ratio(p, "scratch_evaluation"), 1, 0.02);
    ck_assert_double_eq_tol(ratio(p, "bytes"), 1, 0.02);
    if (_i == 0)
        ck_assert_double_gt(number_at(p, "memory.measured.scratch_evaluation"),
                            2 * 4 * 2.0 * 400 * 3072);
}
END_TEST

/* What is reserved before the first step leaves all values as they are, although codes
 * are settled for it: a run that might drop stages, but never does, ends as one that may
 * not. */
START_TEST(reserving_memory_changes_no_value)
{
    static const char *const dropout[] = { "0", "1e-12" };
    char text[128], sha[2][65];

    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "ema, codes: 16, stages: 4, share: true,"
                 " stage_dropout: %s", dropout[i]);
        write_config(text);
        program_remove("runs");
        const json_t *end = json_object_get(train(), "weights_sha256");
        snprintf(sha[i], sizeof sha[i], "%s", json_string_value(end));
        ck_assert_uint_eq(strlen(sha[i]), 64);
    }
    ck_assert_str_eq(sha[0], sha[1]);
}
END_TEST

/* A limit between what few codes take and what many do; `aside` is for texts. */
START_TEST(a_codebook_past_the_limit_is_refused)
{
    static const char *const few = "quantiser.codes=100";
    char limit[64];

    write_config("ema, codes: 8000");
    json_t *p = plan(NULL), *q = plan(few);
    double bytes = number_at(p, "memory.estimated.bytes"),
           aside = number_at(p, "memory.aside");
    double room = (bytes + number_at(q, "memory.estimated.bytes")) / 2 + aside;
    ck_assert_double_gt(bytes, room);
    snprintf(limit, sizeof limit, "memory.limit=%.9f", room / (1 << 30));
    p = plan(limit);
    ck_assert_double_eq(number_at(p, "exit"), 1);
    const char *says = json_string_value(json_object_get(p, "message"));
    ck_assert_msg(strncmp(says, "this run needs about ", 21) == 0, "%s", says);
    program_result r = program("train", "a.yaml", "--quiet", "--threads=2", limit, NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_msg(strncmp(r.err, "out of memory: ", 15) == 0, "%s", r.err);
    r = program("train", "a.yaml", "--quiet", "--threads=2", limit, few, NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
}
END_TEST

/* ---- work -------------------------------------------------------------------------- */

typedef struct searched {
    const char *quantiser;
    double codes, columns, searches;
} searched;

static const searched work[] = {
    { "vq, codes: 64", 64, 16, 1 }, { "ema, codes: 64, stages: 3", 64, 16, 3 },
    { "simvq, codes: 100, groups: 2", 100, 8, 2 }, { "vq, codes: 64, dim: 4", 64, 4, 1 },
    { "cvq, codes: 64, anchor: closest", 64, 16, 2 },
    { "cvq, codes: 64, anchor: random", 64, 16, 1 },
    { "cvq, codes: 64, anchor: probrandom, first_batch: true", 64, 16, 1 },
    { "fsq", 0, 0, 0 }, { "lfq, bits: 6", 0, 0, 0 },
};

START_TEST(searches_are_counted_as_by_hand)
{
    const searched *s = &work[_i];

    write_config(s->quantiser);
    ck_assert_double_eq(number_at(plan(NULL), "flops.search"),
                        2.0 * BATCH * PLACES * s->codes * s->columns * s->searches);
}
END_TEST

/* ---- words ------------------------------------------------------------------------- */

START_TEST(the_settings_of_the_quantiser_are_told)
{
    static const char *const words[] = {
        "run           vqvae with autoencoder_toy on shapes, batch 24\n",
        "quantiser     vq: 4 codebooks of 64 codes, 8 numbers each; 64 vectors an image\n",
        "  groups=2  stages=2  share=false", "  codes=64", "  beta=0.5", "\nparameters    ",
        ", search of codes ",
    };
    write_config("vq, codes: 64, groups: 2, stages: 2, beta: 0.5");
    program_result r = program("plan", "a.yaml", "--threads=2", NULL);
    const char *at = r.out;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *here = strstr(at, words[i]);
        ck_assert_msg(here, "no '%s' in the rest of:\n%s", words[i], r.out);
        at = here;
    }
    const char *line = strstr(r.out, "\nquantiser"), *end = strstr(r.out, "\nparameters");
    for (; line < end; line = strchr(line + 1, '\n'))
        ck_assert_uint_le(strcspn(line + 1, "\n"), 90);

    json_t *q = json_object_get(plan(NULL), "quantiser");
    ck_assert_double_eq(number_at(q, "codebooks"), 4);
    ck_assert_double_eq(number_at(q, "codes"), 64);
    ck_assert_double_eq(number_at(q, "columns"), 8);
    ck_assert_double_eq(number_at(q, "vectors_per_image"), PLACES);
    ck_assert_str_eq(json_string_value(json_object_get(q, "name")), "vq");
    const json_t *set = json_object_get(q, "settings");
    ck_assert_str_eq(json_string_value(json_object_get(set, "beta")), "0.5");
}
END_TEST

Suite *suite_plan_codes(void)
{
    Suite *s = suite_create("plan_codes");
    TCase *tc = tcase_create("plan_codes");
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_loop_test(tc, memory_of_every_quantiser_is_foretold, 0,
                        sizeof kinds / sizeof *kinds);
    tcase_add_loop_test(tc, memory_of_looking_at_codes_is_foretold, 0, 2);
    tcase_add_test(tc, reserving_memory_changes_no_value);
    tcase_add_test(tc, a_codebook_past_the_limit_is_refused);
    tcase_add_loop_test(tc, searches_are_counted_as_by_hand, 0,
                        sizeof work / sizeof *work);
    tcase_add_test(tc, the_settings_of_the_quantiser_are_told);
    suite_add_tcase(s, tc);
    return s;
}
