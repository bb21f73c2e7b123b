/* Codebooks in the report and on the terminal, and the toy that explains them: what a run
 * logs of its codes stands in the page, a page without a codebook knows nothing of it,
 * and the toy does what was measured elsewhere (spec 7.3). */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nn/base.h"
#include "tests/program.h"
#include "tests/suites.h"

/* ---- run folders made for the tests ------------------------------------------------ */

#define STATUS \
    "{\"state\":\"finished\",\"epoch\":2,\"epochs\":2,\"seed\":0,\"method\":\"vqvae\"," \
    "\"label\":\"a book\",\"data\":{\"name\":\"shapes\",\"test\":4,\"h\":2,\"w\":2," \
    "\"c\":1}}\n"
#define CONFIG "method: {name: vqvae}\nquantiser: {name: vq, init: uniform}\nbatch: 4\n"
#define PARTS "\"code/K\":8,\"code/D\":2,\"code/parts\":2,\"code/usage\":0.25," \
    "\"code/usage_max\":0.9,\"code/perplexity\":1.5,\"code/s0/usage\":0.5," \
    "\"code/s1/usage\":0,\"code/n\":16,\"recon/psnr\":12.25,"
#define ROW(epoch, codes) \
    "{\"epoch\":" #epoch ",\"loss\":0.5," codes "\"verdict\":\"codebook dying\"," \
    "\"why\":\"2 of 8 codes used, chance would reach 7\"}\n"
#define ROWS(codes) ROW(0, codes) ROW(1, codes) ROW(2, codes)

/* 24 bins of two parts; two images of 2 x 2 bytes are 12 characters of base64. */
#define ZEROS ",0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"        /* 22 of them */
#define ONES "1,0" ZEROS
#define BINS "[[" ONES "],[0.123456,null" ZEROS "]]"
#define IMAGES(made) "\"shown\":2,\"original\":\"AAECAwQFBgc=\",\"made\":\"" made "\""
#define HEAD "{\"classes\":[\"a\"],\"label\":[0]}\n"
#define SHOT(epoch, more) \
    "{\"epoch\":" #epoch ",\"spectrum_z\":[1],\"spectrum_h\":[1],\"map\":[0,0]" more "}\n"
#define CODED(epoch, made) SHOT(epoch, ",\"code_bins\":" BINS "," IMAGES(made))
static const char coded[] = HEAD CODED(0, "AAAAAAAAAAA=") CODED(1, "AQEBAQEBAQE=")
                            CODED(2, "AgICAgICAgI=");
static const char plain[] = HEAD SHOT(0, "") SHOT(1, "") SHOT(2, "");

static void make_run(const char *name, const char *rows, const char *shots)
{
    char path[64];
    const struct { const char *file, *text; } all[] = {
        { "status.json", STATUS }, { "config.yaml", CONFIG }, { "metrics.jsonl", rows },
        { "snapshots.jsonl", shots },
    };

    mkdir(name, 0777);
    for (size_t i = 0; i < NN_COUNT(all); i++) {
        snprintf(path, sizeof path, "%s/%s", name, all[i].file);
        program_write(path, all[i].text);
    }
}

static char *page_of(const char *run)
{
    program_result r = program("report", run, "-o", "page.html", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    return program_read("page.html");
}

static json_t *data_of(const char *html)
{
    static const char open[] = "<script id=\"data\" type=\"application/json\">";
    char *from = strstr(html, open), *end;

    ck_assert_ptr_nonnull(from);
    from += strlen(open);
    end = strstr(from, "</script>");
    char *text = program_keep(strndup(from, (size_t)(end - from)));
    return program_parse(text);
}

static json_t *run_of(const json_t *data)
{
    return json_array_get(json_object_get(data, "runs"), 0);
}

static void keys_of(const json_t *object, char *out, size_t size)
{
    const char *key;
    json_t *v;
    size_t n = 0;

    *out = 0;
    json_object_foreach((json_t *)object, key, v)
        n += (size_t)snprintf(out + n, size - n, "%s ", key);
}

/* ---- the page ---------------------------------------------------------------------- */

START_TEST(a_codebook_brings_its_sections_and_its_numbers)
{
    make_run("book", ROWS(PARTS), coded);
    char *html = page_of("book");
    json_t *data = data_of(html), *run = run_of(data);
    json_t *curve = json_object_get(run, "curve");

    static const char *const word[] = {
        "id=\"codebook\"", "id=\"code-bins\"", "id=\"made\"", "id=\"toy\"",
        "--codebook:", "function popularity()",
    };
    for (size_t i = 0; i < NN_COUNT(word); i++)
        ck_assert_msg(strstr(html, word[i]), "the page has no %s", word[i]);
    ck_assert_msg(!strstr(html, "{{"), "a slot of the template was left empty");
    ck_assert_double_eq_tol(json_number_value(json_array_get(
        json_object_get(curve, "code/s0/usage"), 2)), 0.5, 1e-6);   /* 6 digits */
    ck_assert_double_eq_tol(json_number_value(json_array_get(
        json_object_get(curve, "recon/psnr"), 0)), 12.25, 1e-6);
}
END_TEST

START_TEST(every_epoch_keeps_how_popular_codes_were)
{
    make_run("book", ROWS(PARTS), coded);
    json_t *shots = json_object_get(run_of(data_of(page_of("book"))), "shots"), *s, *bins;
    size_t i;

    ck_assert_uint_eq(json_array_size(shots), 3);
    json_array_foreach(shots, i, s) {
        bins = json_object_get(s, "bins");
        ck_assert_uint_eq(json_array_size(bins), 2);
        ck_assert_uint_eq(json_array_size(json_array_get(bins, 1)), 24);
        /* three digits are written */
        ck_assert_double_eq_tol(json_number_value(json_array_get(
            json_array_get(bins, 1), 0)), 0.123, 1e-9);
        ck_assert(json_is_null(json_array_get(json_array_get(bins, 1), 1)));
    }
}
END_TEST

START_TEST(images_of_the_first_and_the_last_epoch_stand_beside_the_originals)
{
    make_run("book", ROWS(PARTS), coded);
    char *html = page_of("book");
    char *text = program_keep(json_dumps(json_object_get(run_of(data_of(html)),
                                                         "pictures"), JSON_COMPACT));

    ck_assert_str_eq(text, "{\"h\":2,\"w\":2,\"c\":1,\"shown\":2,"
                           "\"original\":\"AAECAwQFBgc=\","
                           "\"made\":[[0,\"AAAAAAAAAAA=\"],[2,\"AgICAgICAgI=\"]]}");
    ck_assert_ptr_null(strstr(html, "AQEBAQEBAQE="));

    make_run("short", ROW(0, PARTS), HEAD CODED(0, "AAAAAAAAAAA="));
    text = program_keep(json_dumps(json_object_get(json_object_get(
        run_of(data_of(page_of("short"))), "pictures"), "made"), JSON_COMPACT));
    ck_assert_str_eq(text, "[[0,\"AAAAAAAAAAA=\"]]");
}
END_TEST

START_TEST(a_page_without_a_codebook_knows_nothing_of_codebooks)
{
    char keys[256];

    make_run("other", ROWS(""), plain);
    char *html = page_of("other");
    json_t *data = data_of(html), *run = run_of(data);
    keys_of(data, keys, sizeof keys);
    ck_assert_str_eq(keys, "runs sets limits ");
    keys_of(run, keys, sizeof keys);
    ck_assert_str_eq(keys, "path label status config curve shots evaluated notes set ");
    keys_of(json_array_get(json_object_get(run, "shots"), 0), keys, sizeof keys);
    ck_assert_str_eq(keys, "epoch share z h map zn hn ");

    static const char *const word[] = {
        "id=\"codebook\"", "id=\"made\"", "id=\"toy\"", "--codebook:", "popularity",
        "code/perplexity", "recon/psnr", "{{",
    };
    for (size_t i = 0; i < NN_COUNT(word); i++)
        ck_assert_msg(!strstr(html, word[i]), "the page has %s", word[i]);
}
END_TEST

START_TEST(a_book_beside_another_run_changes_nothing_in_the_other)
{
    make_run("other", ROWS(""), plain);
    make_run("book", ROWS(PARTS), coded);
    json_t *alone = run_of(data_of(page_of("other")));
    ck_assert_int_eq(program("report", "other", "book", "-o", "both.html", NULL).exit, 0);
    json_t *beside = run_of(data_of(program_read("both.html")));
    json_object_del(alone, "label");                /* told apart by a number */
    json_object_del(beside, "label");
    ck_assert(json_equal(alone, beside));
}
END_TEST

START_TEST(a_name_with_markup_ends_no_script)
{
    make_run("book", ROWS(PARTS "\"code/s0<script>/usage\":1,"), coded);
    program_write("book/config.yaml", "method: {name: \"</script><b>\"}\nbatch: 4\n");
    char *html = page_of("book");
    ck_assert_ptr_null(strstr(html, "</script><b>"));
    ck_assert_ptr_null(strstr(html, "s0<script>"));
    ck_assert_ptr_nonnull(strstr(html, "\\u003c/script\\u003e\\u003cb\\u003e"));
}
END_TEST

START_TEST(the_same_book_gives_the_same_page_on_any_number_of_threads)
{
    make_run("book", ROWS(PARTS), coded);
    setenv("OMP_NUM_THREADS", "1", 1);
    char *first = page_of("book");
    setenv("OMP_NUM_THREADS", "2", 1);
    ck_assert(strcmp(first, page_of("book")) == 0);
}
END_TEST

START_TEST(the_table_has_the_codes)
{
    make_run("book", ROWS(PARTS), coded);
    const char *table = program("report", "book", NULL).out;
    ck_assert_ptr_nonnull(strstr(table, "codes in use           25.0 %\n"));
    ck_assert_ptr_nonnull(strstr(table, "code perplexity        1.5 of 8\n"));
    ck_assert_ptr_nonnull(strstr(table, "reconstruction PSNR    12.25 dB\n"));
}
END_TEST

/* ---- what is damaged --------------------------------------------------------------- */

#define PIX(shown, original, made) \
    SHOT(0, ",\"shown\":" #shown ",\"original\":" original ",\"made\":" made)

static const struct fault { const char *shots, *says; } faults[] = {
    { HEAD SHOT(0, ",\"code_bins\":3"),
      "\"code_bins\" is not a list of at most 32 lists" },
    { HEAD SHOT(0, ",\"code_bins\":[3]"), "of part 0 is not a list of 24 numbers" },
    { HEAD SHOT(0, ",\"code_bins\":[[1,0]]"), "of part 0 is not a list of 24 numbers" },
    { HEAD SHOT(0, ",\"code_bins\":[[" ONES "],[" ONES ",0]]"),
      "of part 1 is not a list of 24 numbers" },
    { HEAD SHOT(0, ",\"code_bins\":[[\"<b>\",0" ZEROS "]]"),
      "of part 0 is not a list of 24 numbers" },
    { HEAD PIX(2, "\"AAECAwQFBgc=\"", "\"AAAA\""), "\"made\" is not base64 of 8 bytes" },
    { HEAD PIX(2, "\"AAECAwQFBg<=\"", "\"AAAAAAAAAAA=\""),
      "\"original\" is not base64 of 8 bytes" },
    { HEAD PIX(2, "7", "\"AAAAAAAAAAA=\""), "\"original\" is not base64 of 8 bytes" },
    { HEAD PIX(0, "\"AAECAwQFBgc=\"", "\"AAAAAAAAAAA=\""), "is not base64 of 0 bytes" },
    { HEAD PIX(9999999, "\"AAECAwQFBgc=\"", "\"AAAAAAAAAAA=\""), "base64 of 0 bytes" },
};

START_TEST(a_damaged_line_gives_one_line_and_no_page)
{
    const struct fault *t = &faults[_i];

    make_run("book", ROWS(PARTS), t->shots);
    program_result r = program("report", "book", "-o", "page.html", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_msg(strstr(r.err, t->says), "%s", r.err);
    ck_assert_msg(strstr(r.err, "snapshots.jsonl:2: "), "%s", r.err);
    ck_assert_ptr_eq(strchr(r.err, '\n'), strrchr(r.err, '\n'));
    ck_assert_ptr_null(program_read("page.html"));
}
END_TEST

START_TEST(what_a_killed_run_leaves_is_shown_as_far_as_it_is_whole)
{
    char cut[sizeof coded];

    snprintf(cut, sizeof cut, "%.*s", (int)strlen(coded) - 20, coded);
    make_run("book", ROWS(PARTS), cut);
    json_t *made = json_object_get(json_object_get(run_of(data_of(page_of("book"))),
                                                   "pictures"), "made");
    ck_assert_int_eq(json_integer_value(json_array_get(json_array_get(made, 1), 0)), 1);

    /* an evaluation that found nothing, and a run that never drew anything */
    make_run("none", ROWS("\"code/K\":8,\"code/usage\":null,"),
             HEAD SHOT(0, ",\"code_bins\":null,\"original\":null,\"made\":null"));
    ck_assert_ptr_null(json_object_get(run_of(data_of(page_of("none"))), "pictures"));
}
END_TEST

/* ---- the toy ----------------------------------------------------------------------- */

enum { K = 100, D = 2, TARGETS = 2, CODES = 0, LAYER = 1, BOTH = 2, WAYS = 3 };

typedef struct toy {
    double moved, turned, loss;
    double from[K][D], to[K][D];        /* codes, to a hundredth */
} toy;

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* The toys of a page: differences of hundredths, frame by frame. */
static const json_t *read_toys(toy t[WAYS])
{
    make_run("book", ROWS(PARTS), coded);
    const json_t *all = json_object_get(data_of(page_of("book")), "toy"), *frame;
    size_t f;

    for (size_t m = 0; m < WAYS; m++) {
        const json_t *way = json_array_get(json_object_get(all, "ways"), m);
        t[m] = (toy){ .moved = number(way, "moved"), .turned = number(way, "turned"),
                      .loss = number(way, "loss") };
        json_array_foreach(json_object_get(way, "frames"), f, frame) {
            ck_assert_uint_eq(json_array_size(frame), K * D);
            for (size_t i = 0; i < K * D; i++)
                t[m].to[i / D][i % D] += .01 *
                    json_number_value(json_array_get(frame, i));
            if (f == 0)
                memcpy(t[m].from, t[m].to, sizeof t[m].to);
        }
        ck_assert_uint_ge(f, 40);
    }
    return all;
}

static double distance(const double a[D], const double b[D])
{
    return hypot(a[0] - b[0], a[1] - b[1]);
}

/* Spec 7.3: T = 2 targets of 100 codes.  W alone turns as far as there; its band for both
 * (.32 to .46, two seeds) is held as a ratio, and shares have room for another cloud. */
START_TEST(the_toy_moves_as_measured_elsewhere)
{
    toy t[WAYS];

    read_toys(t);
    ck_assert_double_ge(t[CODES].moved, .02 - 1e-6);      /* six digits are written */
    ck_assert_double_le(t[CODES].moved, (TARGETS + 1.0) / K + 1e-6);
    ck_assert_double_eq(t[CODES].turned, 0);
    ck_assert_double_ge(t[LAYER].moved, .9);
    ck_assert_double_ge(t[BOTH].moved, .8);
    ck_assert_double_ge(t[LAYER].turned, .5);
    ck_assert_double_le(t[LAYER].turned, 1.09);
    ck_assert_double_lt(t[BOTH].turned / t[LAYER].turned, .8);
    /* noise alone leaves d .05^2 = .005; .016 is the largest loss measured */
    for (int m = 0; m < WAYS; m++)
        ck_assert_double_lt(t[m].loss, .016);
}
END_TEST

START_TEST(the_film_shows_what_its_figures_say)
{
    toy t[WAYS];

    read_toys(t);
    for (int m = 0; m < WAYS; m++) {
        int far = 0;
        for (int k = 0; k < K; k++)
            far += distance(t[m].from[k], t[m].to[k]) > .05;
        /* a hundredth can put a code or two on the other side of .05 */
        ck_assert_double_eq_tol((double)far / K, t[m].moved, .025);
        ck_assert_mem_eq(t[m].from, t[0].from, sizeof t[m].from);
    }
}
END_TEST

/* What nobody pulls at stays; what is pulled at arrives, on the circle of radius 3. */
START_TEST(codes_that_are_not_nearest_do_not_move_in_vanilla_vq)
{
    static const double middle[D];
    toy t[WAYS];
    int moved = 0;

    read_toys(t);
    for (int k = 0; k < K; k++) {
        if (memcmp(t[CODES].from[k], t[CODES].to[k], sizeof t[CODES].to[k]) == 0)
            continue;
        moved++;
        /* SGD of rate .05 keeps sd .05 sqrt(.05 / 2) of the noise, and a hundredth is
         * rounded: .05 is over five of them */
        ck_assert_double_eq_tol(distance(t[CODES].to[k], middle), 3, .05);
    }
    ck_assert_int_eq(moved, TARGETS);
}
END_TEST

/* C = B W: one matrix, by least squares, takes all codes from start to end. */
START_TEST(the_layer_moves_all_codes_by_one_matrix)
{
    toy t[WAYS];
    double a = 0, b = 0, d = 0, r[D][D] = {{0}}, w[D][D];

    read_toys(t);
    for (int k = 0; k < K; k++) {
        const double *x = t[LAYER].from[k], *y = t[LAYER].to[k];
        a += x[0] * x[0], b += x[0] * x[1], d += x[1] * x[1];
        for (int j = 0; j < D; j++)
            r[0][j] += x[0] * y[j], r[1][j] += x[1] * y[j];
    }
    for (int j = 0; j < D; j++) {
        w[0][j] = (d * r[0][j] - b * r[1][j]) / (a * d - b * b);
        w[1][j] = (a * r[1][j] - b * r[0][j]) / (a * d - b * b);
    }
    for (int k = 0; k < K; k++)
        for (int j = 0; j < D; j++) {
            const double *x = t[LAYER].from[k];
            /* half a hundredth at the end, and |w| < 2 times that at the start */
            ck_assert_double_eq_tol(x[0] * w[0][j] + x[1] * w[1][j], t[LAYER].to[k][j],
                                    .02);
        }
    double turned = hypot(hypot(w[0][0] - 1, w[0][1]), hypot(w[1][0], w[1][1] - 1));
    /* rounding of 100 codes averages out to under a hundredth of W */
    ck_assert_double_eq_tol(turned, t[LAYER].turned, .01);
}
END_TEST

START_TEST(the_steps_of_the_film_rise_to_500)
{
    toy t[WAYS];
    const json_t *steps = json_object_get(read_toys(t), "steps");
    size_t n = json_array_size(steps);

    ck_assert_int_eq(json_integer_value(json_array_get(steps, 0)), 0);
    ck_assert_int_eq(json_integer_value(json_array_get(steps, n - 1)), 500);
    for (size_t i = 1; i < n; i++)
        ck_assert_int_gt(json_integer_value(json_array_get(steps, i)),
                         json_integer_value(json_array_get(steps, i - 1)));
}
END_TEST

/* ---- the terminal ------------------------------------------------------------------ */

#define BOOK \
    "method: {name: vqvae}\n" \
    "model: {name: autoencoder_toy, dim: 4}\n" \
    "quantiser: {name: vq, codes: 16}\n" \
    "data: {name: shapes, size: 60}\n" \
    "augment: {recipe: none}\n" \
    "optim: {name: sgd, lr: 0.01}\n" \
    "metrics: {samples: 12, bank: 30, knn_k: 5}\n" \
    "batch: 16\n" \
    "epochs: 1\n"

START_TEST(training_shows_the_codes_in_place_of_the_spread)
{
    program_write("a.yaml", BOOK);
    program_result r = program("train", "a.yaml", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    const json_t *line = json_array_get(program_lines(program_run_folder("runs"),
                                                      "metrics.jsonl"), 1);
    char want[64];

    ck_assert_ptr_nonnull(strstr(r.out, "\ncodebook vq: K = 16, d = 4, "));
    ck_assert_ptr_nonnull(strstr(r.out, "\nchance would use 16 codes a step"));
    ck_assert_ptr_nonnull(strstr(r.out, "codes in use  perplexity  rel. error     PSNR"));
    ck_assert_ptr_null(strstr(r.out, "perfect spread"));
    ck_assert_ptr_null(strstr(r.out, "sqrt(d)*std  "));
    snprintf(want, sizeof want, "%.1f %% ",
             100 * json_number_value(json_object_get(line, "code/usage")));
    ck_assert_msg(strstr(r.out, want), "no \"%s\" in %s", want, r.out);
    snprintf(want, sizeof want, "  %10.1f  %10.3f  %7.2f",
             json_number_value(json_object_get(line, "code/perplexity")),
             json_number_value(json_object_get(line, "code/error_relative")),
             json_number_value(json_object_get(line, "recon/psnr")));
    ck_assert_msg(strstr(r.out, want), "no \"%s\" in %s", want, r.out);

    /* and what it leaves can be reported on */
    const json_t *run = run_of(data_of(page_of(program_run_folder("runs"))));
    const json_t *pictures = json_object_get(run, "pictures");
    ck_assert_uint_eq(json_array_size(json_object_get(pictures, "made")), 2);
}
END_TEST

Suite *suite_report_codes(void)
{
    Suite *s = suite_create("report_codes");
    TCase *tc = tcase_create("page");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, a_codebook_brings_its_sections_and_its_numbers);
    tcase_add_test(tc, every_epoch_keeps_how_popular_codes_were);
    tcase_add_test(tc, images_of_the_first_and_the_last_epoch_stand_beside_the_originals);
    tcase_add_test(tc, a_page_without_a_codebook_knows_nothing_of_codebooks);
    tcase_add_test(tc, a_book_beside_another_run_changes_nothing_in_the_other);
    tcase_add_test(tc, a_name_with_markup_ends_no_script);
    tcase_add_test(tc, the_same_book_gives_the_same_page_on_any_number_of_threads);
    tcase_add_test(tc, the_table_has_the_codes);
    tcase_add_loop_test(tc, a_damaged_line_gives_one_line_and_no_page, 0,
                        (int)NN_COUNT(faults));
    tcase_add_test(tc, what_a_killed_run_leaves_is_shown_as_far_as_it_is_whole);
    suite_add_tcase(s, tc);

    tc = tcase_create("toy");
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, the_toy_moves_as_measured_elsewhere);
    tcase_add_test(tc, the_film_shows_what_its_figures_say);
    tcase_add_test(tc, codes_that_are_not_nearest_do_not_move_in_vanilla_vq);
    tcase_add_test(tc, the_layer_moves_all_codes_by_one_matrix);
    tcase_add_test(tc, the_steps_of_the_film_rise_to_500);
    suite_add_tcase(s, tc);

    tc = tcase_create("terminal");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, training_shows_the_codes_in_place_of_the_spread);
    suite_add_tcase(s, tc);
    return s;
}
