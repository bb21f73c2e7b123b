/* `fullrank reproduce` from end to end on a paper of seconds, and its arithmetic. */
#include <check.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "nn/base.h"
#include "tests/program.h"
#include "tests/suites.h"

/* ---- a paper ----------------------------------------------------------------------- */

#define TINY \
    "method: {name: simsiam, proj_dim: 16, proj_bn: none, pred_bn: none, pred_hidden: 4}\n" \
    "model: {name: mlp, hidden: 16, out: 8}\n" \
    "data: {name: shapes, size: 60}\n" \
    "optim: {name: sgd, base_lr: 0.5}\n" \
    "metrics: {samples: 12, bank: 30, knn_k: 5}\n" \
    "batch: 16\n" \
    "epochs: 2\n"

#define RUNS "# a comment\nrun\tconfig\toverrides\n\n"
#define ROWS "claim\twhat\tquantity\tband\tpublished\tsetting\tours\tkind\n"

#define GOOD RUNS "full\ttiny.yaml\t\n"

static void paper(const char *runs, const char *rows)
{
    mkdir("experiments", 0777);
    mkdir("experiments/tiny", 0777);
    program_write("experiments/tiny/tiny.yaml", TINY);
    program_write("experiments/tiny/runs.tsv", runs);
    program_write("experiments/tiny/expected.tsv", rows);
}

static void usual_paper(void)
{
    paper(RUNS "# quick: epochs=1 data.size=40\n"
          "full\ttiny.yaml\t\nslow\ttiny.yaml\toptim.base_lr=0.1 epochs=1\n"
          "same\ttiny.yaml\toptim.base_lr=0.5\n",
          ROWS
          "A\tepochs are counted\tfull:epoch - full:epoch@0\tin 2 2\t2\ta\tb\tmechanism\n"
          "A\ta cosine stays one\tmax(abs(full:loss), abs(slow:loss))\t<= 1\t-\ta\tb\tmechanism\n"
          "B\tthe paper's own\tslow:epoch\t>= 1\tabout 1\ta\tb\tresult\n"
          "C\tequal settings, equal runs\tfull:loss - same:loss\tin 0 0\t0\ta\tb\tmechanism\n");
}

START_TEST(claims_that_hold_are_called_what_they_are)
{
    usual_paper();
    program_result r = program("reproduce", "tiny", "--seeds=0-1", NULL);
    ck_assert_msg(r.exit == 0, "%s%s", r.out, r.err);
    ck_assert_str_eq(r.err, "");
    ck_assert_ptr_nonnull(strstr(r.out, "rows of claims: 4, seeds 0, 1; runs: 4, at once"));
    ck_assert_ptr_nonnull(strstr(r.out, "\n   4 of 4    "));
    ck_assert_ptr_nonnull(strstr(r.out,
        "\nA      2 [2, 2]                     in 2 2           2/2    2              "
        "mechanism reproduced\n       epochs are counted\n"));
    ck_assert_ptr_nonnull(strstr(r.out,
        "\nB      1 [1, 1]                     >= 1             2/2    about 1        "
        "result reproduced\n"));
    ck_assert_ptr_nonnull(strstr(r.out,
        "\nC      0 [0, 0]                     in 0 0           2/2    0              "
        "mechanism reproduced\n"));
    ck_assert_ptr_nonnull(strstr(r.out, "\n3 of 3 claims reproduced, 0 not\n"));
    ck_assert_ptr_nonnull(strstr(r.out, ", kernel table "));
}
END_TEST

START_TEST(a_second_call_trains_nothing)
{
    usual_paper();
    ck_assert_int_eq(program("reproduce", "tiny", "--seeds=0", NULL).exit, 0);
    program_result r = program("reproduce", "tiny", "--seeds=0", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "   1 of 2    full, seed 0 "));
    int before = 0;
    for (const char *at = r.out; (at = strstr(at, " s before  ")); at++)
        before++;
    ck_assert_int_eq(before, 2);
    r = program("reproduce", "tiny", "--seeds=0", "--only=B", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "runs: 1,"));
    ck_assert_ptr_nonnull(strstr(r.out, "\n1 of 1 claims reproduced, 0 not\n"));
}
END_TEST

START_TEST(results_with_other_bits_are_made_again)
{
    const char was[] = "\"bits\":\"", *at;
    size_t n;

    paper(RUNS "full\ttiny.yaml\t\n", ROWS "A\tw\tfull:epoch\tin 2 2\t-\ta\tb\tmechanism\n");
    ck_assert_int_eq(program("reproduce", "tiny", "--seeds=0", NULL).exit, 0);
    const char *run = program_run_folder("runs");
    static const char *const name[] = { "last", "prev" };
    for (size_t i = 0; i < NN_COUNT(name); i++) {
        char file[1200];
        snprintf(file, sizeof file, "%s/checkpoints/%s.safetensors", run, name[i]);
        char *bytes = program_bytes(file, &n);
        at = memmem(bytes, n, was, strlen(was));
        ck_assert_ptr_nonnull(at);
        bytes[at - bytes + (long)strlen(was)] = '0';    /* no format began with a 0 */
        program_put(file, bytes, n);
    }
    program_result r = program("reproduce", "tiny", "--seeds=0", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_ptr_null(strstr(r.out, " s before  "));
}
END_TEST

START_TEST(one_seed_outside_its_band_is_a_miss)
{
    paper(RUNS "full\ttiny.yaml\t\n",
          ROWS "A\tw\tfull:epoch\tin 2 2\t-\ta\tb\tmechanism\n"
          "A\tso small a loss\tfull:loss\t< -2\t-\ta\tb\tmechanism\n"
          "B\tw\tfull:epoch\t> 1\t-\ta\tb\tmechanism\n");
    program_result r = program("reproduce", "tiny", "--seeds=3,1", NULL);
    ck_assert_int_eq(r.exit, 7);
    ck_assert_ptr_nonnull(strstr(r.out, "2/2    -              not reproduced\n"));
    ck_assert_ptr_nonnull(strstr(r.out, "0/2    -              \n       so small a loss"));
    ck_assert_ptr_nonnull(strstr(r.out, "\n1 of 2 claims reproduced, 1 not\n"));

    r = program("reproduce", "tiny", "--seeds=1", "--json", NULL);
    ck_assert_int_eq(r.exit, 7);
    double loss = json_number_value(json_array_get(json_object_get(json_array_get(
        json_object_get(program_parse(r.out), "rows"), 1), "measured"), 0));
    r = program("reproduce", "tiny", "--seeds=3", "--json", NULL);
    double other = json_number_value(json_array_get(json_object_get(json_array_get(
        json_object_get(program_parse(r.out), "rows"), 1), "measured"), 0));
    ck_assert_double_ne(loss, other);
    char rows[600];                             /* a band that one of the two is in */
    snprintf(rows, sizeof rows, ROWS "A\tw\tfull:loss\t> %.9f\t-\ta\tb\tmechanism\n",
             (loss + other) / 2);
    paper(RUNS "full\ttiny.yaml\t\n", rows);
    r = program("reproduce", "tiny", "--seeds=1,3", NULL);
    ck_assert_int_eq(r.exit, 7);
    ck_assert_ptr_nonnull(strstr(r.out, "1/2    -              not reproduced\n"));
}
END_TEST

START_TEST(a_run_that_diverges_or_is_stopped_is_a_result)
{
    paper(RUNS "boom\ttiny.yaml\toptim.base_lr=1e6 optim.weight_decay=1000 epochs=40\n"
          "stop\ttiny.yaml\tmethod.stop_gradient=false optim.base_lr=1000 alarm.action=stop"
          " alarm.patience=1 epochs=5\n",
          ROWS "A\tw\tboom:exit\tin 4 4\t-\ta\tb\tmechanism\n"
          "B\tw\tstop:exit\tin 3 3\t-\ta\tb\tmechanism\n"
          "B\tw\tstop:collapsed\tin 1 1\t-\ta\tb\tmechanism\n"
          "B\tw\tboom:collapsed\tin 0 0\t-\ta\tb\tmechanism\n"
          "C\tno figure is no claim\tboom:loss\t< 100\t-\ta\tb\tmechanism\n"
          "D\tan epoch not reached\tboom:loss@40\t< 100\t-\ta\tb\tmechanism\n");
    program_result r = program("reproduce", "tiny", "--seeds=0", "--json", NULL);
    ck_assert_msg(r.exit == 7, "%s%s", r.out, r.err);
    const json_t *rows = json_object_get(program_parse(r.out), "rows");
    static const int holds[] = { 1, 1, 1, 1, 0, 0 };
    ck_assert_uint_eq(json_array_size(rows), NN_COUNT(holds));
    for (size_t i = 0; i < NN_COUNT(holds); i++) {
        const json_t *row = json_array_get(rows, i);
        ck_assert_msg(json_is_true(json_object_get(row, "holds")) == holds[i], "row %zu: %s",
                      i, r.out);
        ck_assert_int_eq(json_is_null(json_array_get(json_object_get(row, "measured"), 0)),
                         i > 3);
    }
    ck_assert_ptr_nonnull(strstr(r.err, "  diverged"));
    r = program("reproduce", "tiny", "--seeds=0", NULL);        /* and it is reused */
    ck_assert_int_eq(r.exit, 7);
    ck_assert_ptr_nonnull(strstr(r.out, " s before  diverged"));
}
END_TEST

START_TEST(a_run_that_fails_ends_it_with_its_own_message)
{
    paper(RUNS "lost\ttiny.yaml\t\n",
          ROWS "A\tw\tlost:epoch\t> 0\t-\ta\tb\tmechanism\n");
    program_write("experiments/tiny/tiny.yaml", "method: {name: simsiam}\n"
                  "data: {name: fashion-mnist, dir: /nonexistent}\nepochs: 1\n");
    setenv("FULLRANK_DATA", "/nonexistent", 1);
    program_result r = program("reproduce", "tiny", "--seeds=0", "--json", NULL);
    ck_assert_int_eq(r.exit, 5);
    ck_assert_ptr_nonnull(strstr(r.err, "\nlost, seed 0: "));
    const json_t *o = program_parse(r.out);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "exit")), 5);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(o, "message")),
                                 "/nonexistent"));
}
END_TEST

START_TEST(quick_runs_judge_nothing)
{
    usual_paper();
    program_result r = program("reproduce", "tiny", "--seeds=0", "--quick", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);    /* although A wants two epochs */
    ck_assert_ptr_nonnull(strstr(r.out,
        "\nA      1                            in 2 2           0/1    2              "
        "quick: says nothing about the claims\n"));
    ck_assert_ptr_nonnull(strstr(r.out, "\n\nquick: says nothing about the claims\n"));
    ck_assert_ptr_null(strstr(r.out, "reproduced"));
    r = program("reproduce", "tiny", "--seeds=0", "--only=B", NULL);
    ck_assert_ptr_null(strstr(r.out, " s before"));     /* other settings, other runs */
}
END_TEST

static void paper_on(const char *dir)
{
    char runs[256];
    snprintf(runs, sizeof runs, RUNS "full\ttiny.yaml\tdata.dir=%s\n", dir);
    paper(runs, ROWS "A\tw\tfull:epoch\tin 2 2\t2\ta\tb\tmechanism\n");
    program_write("experiments/tiny/tiny.yaml",
                  "method: {name: simsiam, proj_dim: 8}\n"
                  "model: {name: mlp, hidden: 8, out: 8}\nepochs: 2\nbatch: 8\n"
                  "data: {name: folder, side: 8, test_share: 0.3}\n"
                  "metrics: {samples: 4, bank: 8, knn_k: 2, lid_k: 2}\n");
}

/* Two folders of pictures with the same name are not the same data. */
START_TEST(a_run_on_other_pictures_is_not_taken_for_this_one)
{
    static const char make[] =
        "mkdir -p one/set/a one/set/b && for i in $(seq 40); do for k in a b; do"
        " { printf 'P5 8 8 255\\n'; printf '%064d' $i; } > one/set/$k/$i.pgm; done; done;"
        " cp -r one two; for f in two/set/a/*; do printf 'P5 8 8 255\\n%064d' 77 > $f; done";
    unsetenv("FULLRANK_DATA");
    setenv("FULLRANK_CACHE", "cache", 1);
    ck_assert_int_eq(system(make), 0);
    paper_on("one/set");
    program_result r = program("reproduce", "tiny", "--seeds=0", NULL);
    ck_assert_msg(r.exit == 0, "%s%s", r.out, r.err);
    r = program("reproduce", "tiny", "--seeds=0", NULL);
    ck_assert_msg(r.exit == 0 && strstr(r.out, " s before"), "%s%s", r.out, r.err);
    paper_on("two/set");
    r = program("reproduce", "tiny", "--seeds=0", NULL);
    ck_assert_msg(r.exit == 5 && strstr(r.err, "was written with other data"), "%s%s",
                  r.out, r.err);
}
END_TEST

START_TEST(json_has_every_figure_of_the_table)
{
    usual_paper();
    program_result r = program("reproduce", "tiny", "--seeds=0,1", "--json", "--jobs=2", NULL);
    ck_assert_int_eq(r.exit, 0);
    const json_t *o = program_parse(r.out), *rows = json_object_get(o, "rows"), *row;
    size_t i;
    ck_assert_uint_eq(json_array_size(rows), 4);
    json_array_foreach(rows, i, row) {
        ck_assert(json_is_string(json_object_get(row, "claim")));
        ck_assert(json_is_string(json_object_get(row, "band")));
        ck_assert(json_is_string(json_object_get(row, "kind")));
        ck_assert(json_is_true(json_object_get(row, "holds")));
        ck_assert_uint_eq(json_array_size(json_object_get(row, "measured")), 2);
        ck_assert_double_gt(json_number_value(json_object_get(row, "seconds")), 0);
        ck_assert_int_eq(json_integer_value(json_object_get(row, "seeds_held")), 2);
    }
    row = json_array_get(rows, 0);
    ck_assert_str_eq(json_string_value(json_object_get(row, "claim")), "A");
    ck_assert_double_eq(json_number_value(json_object_get(row, "published")), 2);
    ck_assert_double_eq(json_number_value(json_object_get(row, "mean")), 2);
    ck_assert_str_eq(json_string_value(json_object_get(row, "verdict")),
                     "mechanism reproduced");
    ck_assert(json_is_null(json_object_get(json_array_get(rows, 1), "published")));
    row = json_array_get(rows, 2);
    ck_assert_str_eq(json_string_value(json_object_get(row, "published")), "about 1");
    ck_assert_str_eq(json_string_value(json_object_get(row, "verdict")), "result reproduced");
    ck_assert_int_eq(json_integer_value(json_object_get(o, "reproduced")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "runs")), 4);

    /* the seconds of a row are those of its runs: C has one run in two names */
    double full = 0;
    for (int s = 0; s < 2; s++) {
        char pattern[64], *text;
        snprintf(pattern, sizeof pattern, "cat runs/reproduce/*/s%d/status.json > .all", s);
        ck_assert_int_eq(system(pattern), 0);
        text = program_read(".all");
        for (; (text = strstr(text, "\"epochs\": ")); text++)
            if (atoi(text + 10) == 2)
                full += atof(strstr(text, "\n  \"seconds\": ") + 13);
    }
    ck_assert_double_eq_tol(json_number_value(json_object_get(json_array_get(rows, 3),
                                                              "seconds")), full, 1e-6);
}
END_TEST

START_TEST(the_table_is_written_as_markdown)
{
    usual_paper();
    ck_assert_int_eq(program("reproduce", "tiny", "--seeds=0", "--markdown=t.md", NULL).exit, 0);
    const char *t = program_read("t.md");
    ck_assert_ptr_nonnull(t);
    ck_assert_ptr_nonnull(strstr(t, "# tiny: claims and what was measured\n"));
    ck_assert_ptr_nonnull(strstr(t, "`fullrank reproduce tiny --seeds 0` on 20"));
    ck_assert_ptr_nonnull(strstr(t, "\nSeeds: 0\n"));
    ck_assert_ptr_nonnull(strstr(t, "\n| A | epochs are counted | 2 | 2 | in 2 2 | 1/1 |"
                                    " mechanism reproduced |\n"));
    ck_assert_ptr_nonnull(strstr(t, "\n| B | `slow:epoch` | a | b |\n"));
    program_result r = program("reproduce", "tiny", "--seeds=0", "--markdown=no/t.md", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "no/t.md: cannot be written"));
}
END_TEST

START_TEST(lists_train_nothing)
{
    usual_paper();
    ck_assert_str_eq(program("list", "papers", NULL).out,
                     program("reproduce", "--list", NULL).out);
    char *papers = program("list", "papers", NULL).out;
    ck_assert_ptr_nonnull(strstr(papers, "tiny           3 claims, 3 runs; experiments/tiny\n"));
    program_result r = program("reproduce", "tiny", "--list", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "slow             experiments/tiny/tiny.yaml"
                                        " optim.base_lr=0.1 epochs=1\n"));
    r = program("reproduce", "experiments/tiny/", "--list", "--json", NULL);
    const json_t *o = program_parse(r.out);
    ck_assert_str_eq(json_string_value(json_object_get(o, "paper")), "tiny");
    ck_assert_uint_eq(json_array_size(json_object_get(o, "runs")), 3);
    ck_assert_int_ne(access("runs", F_OK), 0);
}
END_TEST

/* Every committed paper can be read; what its runs say needs hours. */
START_TEST(the_papers_of_the_tree_are_well_formed)
{
    ck_assert_int_eq(chdir(program_root()), 0);
    if (access("experiments/simsiam/expected.tsv", R_OK) != 0) {
        printf("skipped: no experiments/ in the folder the tests were started in\n");
        return;
    }
    program_result r = program("reproduce", "simsiam", "--list", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
}
END_TEST

/* ---- formulas ---------------------------------------------------------------------- */

/* In a run of two epochs.  A quantity without figures needs no run. */
typedef struct sum { const char *text; double value; } sum;

static const sum sums[] = {
    { "1 + 2 * 3", 7 }, { "(1 + 2) * 3", 9 }, { "8 - 4 - 2", 2 }, { "16 / 4 / 2", 2 },
    { "8 / 4 * 2", 4 }, { "-2 * -3", 6 }, { "--4", 4 }, { "1 - -1", 2 }, { "1--1", 2 },
    { ".5 + 1e1", 10.5 }, { "2.5E-1", 0.25 }, { "-(1+1)", -2 },
    { "min(3, 2)", 2 }, { "max(3, 2)", 3 }, { "min(-3, 2)", -3 }, { "max(-3, -4)", -3 },
    { "abs(2 - 5)", 3 }, { "ln(1)", 0 }, { "max(1, min(5, 2 * 2))", 4 },
    { "full:epoch", 2 }, { "full:epoch / full:epoch", 1 }, { "-full:epoch@1", -1 },
    { "full:epoch@0 + full:epoch", 2 }, { "full:epoch - 1", 1 }, { "full:epoch-1", 1 },
};

/* Undefined, and what is made of it. */
static const char *const nothing[] = {
    "0 / 0", "ln(-1)", "full:loss@0", "abs(full:loss@0) + 1", "min(1, full:loss@0)",
    "min(full:loss@0, 1)", "max(1, full:loss@0)", "max(full:loss@0, 1)"
};

START_TEST(arithmetic_is_that_of_school)
{
    char rows[8192] = ROWS;

    for (size_t i = 0; i < NN_COUNT(sums); i++)
        sprintf(rows + strlen(rows), "A\tw\t%s\tin %.17g %.17g\t-\ta\tb\tmechanism\n",
                sums[i].text, sums[i].value, sums[i].value);
    paper(GOOD, rows);
    program_result r = program("reproduce", "tiny", "--seeds=0", "--json", NULL);
    const json_t *list = json_object_get(program_parse(r.out), "rows"), *row;
    size_t i;
    ck_assert_uint_eq(json_array_size(list), NN_COUNT(sums));
    json_array_foreach(list, i, row)
        ck_assert_msg(json_number_value(json_object_get(row, "mean")) == sums[i].value
                      && json_is_true(json_object_get(row, "holds")), "%s = %g",
                      sums[i].text, json_number_value(json_object_get(row, "mean")));
    ck_assert_int_eq(r.exit, 0);
}
END_TEST

START_TEST(what_is_no_number_stays_none_and_no_band_holds_it)
{
    static const char *const bands[] = { "< 9", "<= 9", "> -9", ">= -9", "in -9 9" };
    char rows[8192] = ROWS;

    for (size_t i = 0; i < NN_COUNT(nothing) * NN_COUNT(bands); i++)
        sprintf(rows + strlen(rows), "A\tw\t%s\t%s\t-\ta\tb\tmechanism\n",
                nothing[i / NN_COUNT(bands)], bands[i % NN_COUNT(bands)]);
    paper(GOOD, rows);
    program_result r = program("reproduce", "tiny", "--seeds=0", "--json", NULL);
    const json_t *list = json_object_get(program_parse(r.out), "rows"), *row;
    size_t i;
    ck_assert_uint_eq(json_array_size(list), NN_COUNT(nothing) * NN_COUNT(bands));
    json_array_foreach(list, i, row)
        ck_assert_msg(json_is_null(json_object_get(row, "mean"))
                      && json_is_false(json_object_get(row, "holds")), "%s",
                      nothing[i / NN_COUNT(bands)]);
    ck_assert_int_eq(r.exit, 7);
}
END_TEST

typedef struct band { const char *text; int holds; } band;

static const band bands_of_two[] = {            /* the figure is 2 */
    { "< 2", 0 }, { "< 2.1", 1 }, { "<= 2", 1 }, { "<= 1.9", 0 }, { "> 2", 0 },
    { "> 1.9", 1 }, { ">= 2", 1 }, { ">= 2.1", 0 }, { "in 2 3", 1 }, { "in -1 2", 1 },
    { "in 2.1 3", 0 }, { "in -1 1.9", 0 }
};

START_TEST(bands_hold_their_ends_as_written)
{
    char rows[4096] = ROWS;

    for (size_t i = 0; i < NN_COUNT(bands_of_two); i++)
        sprintf(rows + strlen(rows), "A\tw\t1 + 1\t%s\t-\ta\tb\tmechanism\n",
                bands_of_two[i].text);
    paper(GOOD, rows);
    program_result r = program("reproduce", "tiny", "--json", NULL);
    const json_t *o = program_parse(r.out), *row;
    size_t i;
    ck_assert_int_eq(json_integer_value(json_object_get(o, "runs")), 0);
    json_array_foreach(json_object_get(o, "rows"), i, row)
        ck_assert_msg(json_is_true(json_object_get(row, "holds")) == bands_of_two[i].holds,
                      "2 %s", bands_of_two[i].text);
    ck_assert_uint_eq(i, NN_COUNT(bands_of_two));
}
END_TEST

typedef struct mistake { const char *text, *says; } mistake;

#define WANTS "wants a number, RUN:KEY, a function or '('"

static const mistake formulas[] = {
    { "+", "column 1: " WANTS },
    { "1 +", "column 4: " WANTS },
    { "(1", "column 3: wants ')'" },
    { "1 2", "column 3: nothing may follow here" },
    { "1)", "column 2: nothing may follow here" },
    { "a", "column 2: wants ':' and a key after a run, or '(' after a function" },
    { "full:", "column 6: wants a key after ':'" },
    { "full:@0", "column 6: wants a key after ':'" },
    { "full:x@", "column 7: wants an epoch or 'best' after '@'" },
    { "full:x@last", "column 7: wants an epoch or 'best' after '@'" },
    { "mean(1)", "column 1: no such function; there are min, max, abs and ln" },
    { "min(1)", "column 6: wants ','" },
    { "abs(1, 2)", "column 6: wants ')'" },
    { "1.2.3", "column 1: this is not a number" },
    { "0x10", "column 1: this is not a number" },
    { "1e", "column 1: this is not a number" },
    { ".", "column 1: this is not a number" },
    { "1 & 2", "column 3: nothing may follow here" },
};

START_TEST(a_mistake_in_a_quantity_tells_its_column)
{
    const mistake *m = &formulas[_i];
    char rows[512], says[512];

    sprintf(rows, ROWS "A\tw\t%s\t< 1\t-\ta\tb\tmechanism\n", m->text);
    sprintf(says, "experiments/tiny/expected.tsv:2: '%s', %s\n", m->text, m->says);
    paper(GOOD, rows);
    program_result r = program("reproduce", "tiny", "--list", NULL);
    ck_assert_str_eq(r.err, says);
    ck_assert_int_eq(r.exit, 2);
}
END_TEST

START_TEST(nesting_has_an_end)
{
    enum { DEEP = 4000 };
    char rows[DEEP + 300] = ROWS "A\tw\t", *at = rows + strlen(rows);

    memset(at, '(', DEEP);
    strcpy(at + DEEP, "\t< 1\t-\ta\tb\tmechanism\n");
    paper(GOOD, rows);
    program_result r = program("reproduce", "tiny", "--list", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_ptr_nonnull(strstr(r.err, "nested too deeply"));

    memset(at, '-', DEEP);                      /* signs are a loop, not a nesting */
    strcpy(at + DEEP, "1\t< 0\t-\ta\tb\tmechanism\n");
    at[0] = ' ';                                /* an odd number of them */
    paper(GOOD, rows);
    ck_assert_int_eq(program("reproduce", "tiny", NULL).exit, 0);
}
END_TEST

/* ---- mistakes ---------------------------------------------------------------------- */

typedef struct table { const char *runs, *rows, *says; } table;

#define AT(line) "experiments/tiny/expected.tsv:" #line ": "
#define RUN_AT(line) "experiments/tiny/runs.tsv:" #line ": "

static const table tables[] = {
    { "full\ttiny.yaml\n", ROWS, RUN_AT(1) "the first line names the columns, a tab between"
      " two: run config overrides" },
    { "", ROWS, RUN_AT(1) "the first line names the columns, a tab between two: run config"
      " overrides" },
    { RUNS "full\n", ROWS, RUN_AT(4) "wants 3 columns (run, config, overrides), not 1" },
    { RUNS "a b\ttiny.yaml\n", ROWS,
      RUN_AT(4) "a run is named with letters, digits and '_', not 'a b'" },
    { GOOD "full\ttiny.yaml\n", ROWS, RUN_AT(5) "there is a run 'full' already" },
    { RUNS "full\tgone.yaml\n", ROWS,
      RUN_AT(4) "experiments/tiny/gone.yaml: No such file or directory" },
    { RUNS "full\ttiny.yaml\tepochs\n", ROWS, RUN_AT(4) "wants KEY=VALUE, not 'epochs'" },
    { RUNS "# quick: one\nfull\ttiny.yaml\t\n", ROWS, RUN_AT(4) "wants KEY=VALUE, not 'one'" },
    { GOOD, ROWS, "experiments/tiny/expected.tsv: no claims in it" },
    { GOOD, "claim\n", AT(1) "the first line names the columns, a tab between two: claim what"
      " quantity band published setting ours kind" },
    { GOOD, ROWS "A\tw\tfull:loss\t< 1\t-\ta\tmechanism\n", AT(2) "wants 8 columns (claim,"
      " what, quantity, band, published, setting, ours, kind), not 7" },
    { GOOD, ROWS "A\tw\tfull:loss\t< 1\t-\ta\tb\tmechanism\tx\n", AT(2) "wants 8 columns"
      " (claim, what, quantity, band, published, setting, ours, kind), not 8 and more" },
    { GOOD, ROWS "A\tw\tfull:loss\t< 1\t\ta\tb\tmechanism\n",
      AT(2) "column 5 is empty; write '-'" },
    { GOOD, ROWS "A\tw\tfull:loss\tless 1\t-\ta\tb\tmechanism\n", AT(2) "a band is '< X', '<="
      " X', '> X', '>= X' or 'in X Y', not 'less 1'" },
    { GOOD, ROWS "A\tw\tfull:loss\tin 2 1\t-\ta\tb\tmechanism\n", AT(2) "a band is '< X', '<="
      " X', '> X', '>= X' or 'in X Y', not 'in 2 1'" },
    { GOOD, ROWS "A\tw\tfull:loss\t< 1 2\t-\ta\tb\tmechanism\n", AT(2) "a band is '< X', '<="
      " X', '> X', '>= X' or 'in X Y', not '< 1 2'" },
    { GOOD, ROWS "A\tw\tfull:loss\t< 1\t-\ta\tb\tproof\n",
      AT(2) "a claim's kind is mechanism or result, not 'proof'" },
    { GOOD, ROWS "A\tw\tfull:loss\t< 1\t-\ta\tb\tresult\n"
                 "A\tw\tfull:loss\t< 1\t-\ta\tb\tmechanism\n",
      AT(3) "claim A is of the other kind in line 2" },
    { GOOD, ROWS "A\tw\tful:loss\t< 1\t-\ta\tb\tmechanism\n",
      AT(2) "no run 'ful' in experiments/tiny/runs.tsv; did you mean 'full'?" },
    { GOOD, ROWS "A\tw\tfull:loss +\t< 1\t-\ta\tb\tmechanism\n", AT(2) "'full:loss +', column"
      " 12: wants a number, RUN:KEY, a function or '('" },
    { RUNS "full\ttiny.yaml\tepoch=2\n", ROWS "A\tw\tfull:loss\t< 1\t-\ta\tb\tmechanism\n",
      RUN_AT(4) "run full: command line: no section or setting 'epoch'; did you mean 'epochs'?" },
};

START_TEST(a_mistake_in_a_table_tells_its_line_before_anything_is_trained)
{
    const table *t = &tables[_i];
    char says[512];

    paper(t->runs, t->rows);
    program_result r = program("reproduce", "tiny", NULL);
    snprintf(says, sizeof says, "%s\n", t->says);
    ck_assert_str_eq(r.err, says);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_int_ne(access("runs", F_OK), 0);
}
END_TEST

START_TEST(a_missing_key_is_told_after_the_first_run)
{
    paper(RUNS "full\ttiny.yaml\t\nmore\ttiny.yaml\tepochs=3\n",
          ROWS "A\tw\tfull:los\t< 1\t-\ta\tb\tmechanism\n"
          "B\tw\tmore:loss\t< 1\t-\ta\tb\tmechanism\n");
    program_result r = program("reproduce", "tiny", "--seeds=0", NULL);
    ck_assert_int_eq(r.exit, 2);
    char says[600];
    snprintf(says, sizeof says, "experiments/tiny/expected.tsv:2: no key 'los' in"
             " %s/metrics.jsonl; did you mean 'loss'?\n", program_run_folder("runs"));
    ck_assert_str_eq(r.err, says);
    ck_assert_ptr_nonnull(strstr(r.out, "1 of 2 "));
    ck_assert_ptr_null(strstr(r.out, "2 of 2 "));

    paper(GOOD, ROWS "A\tw\tfull:status.baseline.raw_pixel_kn\t< 1\t-\ta\tb\tmechanism\n");
    r = program("reproduce", "tiny", "--seeds=0", NULL);
    ck_assert_ptr_nonnull(strstr(r.err, "/status.json; did you mean 'raw_pixel_knn'?\n"));
    paper(GOOD, ROWS "A\tw\tfull:loss@7\t< 1\t-\ta\tb\tmechanism\n");
    r = program("reproduce", "tiny", "--seeds=0", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_ptr_nonnull(strstr(r.err, "expected.tsv:2: no epoch 7 in runs/reproduce/"));
}
END_TEST

START_TEST(figures_of_the_status_and_of_the_best_epoch_are_found)
{
    paper(GOOD, ROWS
          "A\tw\tfull:status.raw_pixel_knn - full:status.baseline.raw_pixel_knn\tin 0 0\t-\ta\tb\tmechanism\n"
          "A\tw\tfull:status.data.train\tin 60 60\t-\ta\tb\tmechanism\n"
          "A\tw\tmax(full:eval/knn@1, full:eval/knn@2) - full:eval/knn@best\tin 0 0\t-\ta\tb\tmechanism\n"
          "A\tw\tfull:exit\tin 0 0\t-\ta\tb\tmechanism\n");
    program_result r = program("reproduce", "tiny", "--seeds=0-2", NULL);
    ck_assert_msg(r.exit == 0, "%s%s", r.out, r.err);
}
END_TEST

typedef struct misuse { const char *args[3], *says; } misuse;

static const misuse misuses[] = {
    { { NULL }, "command line: name a paper; 'fullrank list papers' shows them" },
    { { "tinny" }, "command line: no paper 'tinny'; did you mean 'tiny'?" },
    { { "./tinny" }, "command line: ./tinny: no expected.tsv in this folder" },
    { { "tiny", "--only=A,D" }, "command line: no claim 'D' in experiments/tiny/expected.tsv" },
    { { "tiny", "--seeds=2-1" }, "command line: --seeds wants numbers and ranges like 0-2 or"
      " 0,3,7 (at most 1000), not '2-1'" },
    { { "tiny", "--list", "--seeds=5-2" }, "command line: --seeds wants numbers and ranges"
      " like 0-2 or 0,3,7 (at most 1000), not '5-2'" },
    { { "tiny", "--seeds=" }, "command line: --seeds wants numbers and ranges like 0-2 or"
      " 0,3,7 (at most 1000), not ''" },
    { { "tiny", "--seeds=1,-2" }, "command line: --seeds wants numbers and ranges like 0-2 or"
      " 0,3,7 (at most 1000), not '1,-2'" },
    { { "tiny", "--seeds=0-99999999999999999999" }, "command line: --seeds wants numbers and"
      " ranges like 0-2 or 0,3,7 (at most 1000), not '0-99999999999999999999'" },
    { { "tiny", "--jobs=0" },
      "fullrank reproduce: --jobs wants a whole number from 1 to 1024, not '0'" },
};

START_TEST(misuse_of_the_command_is_named)
{
    const misuse *m = &misuses[_i];
    char says[300];

    usual_paper();
    program_result r = program("reproduce", m->args[0], m->args[0] ? m->args[1] : NULL,
                               m->args[0] && m->args[1] ? m->args[2] : NULL, NULL);
    snprintf(says, sizeof says, "%s\n", m->says);
    ck_assert_msg(strncmp(r.err, says, strlen(says)) == 0, "%s", r.err);
    ck_assert_int_eq(r.exit, 2);
}
END_TEST

/* ---- stopping and going on --------------------------------------------------------- */

static void rest(double seconds)
{
    struct timespec t = { (time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds)) };
    nanosleep(&t, NULL);
}

/* A run long enough to be met under way, which saves itself all the time. */
static void long_paper(void)
{
    paper(RUNS "long\ttiny.yaml\tepochs=20 checkpoint.seconds=0.01 data.size=600\n"
          "next\ttiny.yaml\t\n",
          ROWS "A\tw\tlong:epoch\tin 20 20\t-\ta\tb\tmechanism\n"
          "B\tw\tnext:epoch\tin 2 2\t-\ta\tb\tmechanism\n");
}

/* Starts it and returns when its first run has left a checkpoint. */
static pid_t met_under_way(void)
{
    static const char *const args[] = { "reproduce", "tiny", "--seeds=0", NULL };
    pid_t pid = program_start(args);

    for (int i = 0; i < 5000; i++) {            /* 25 s, for a busy machine */
        glob_t found;
        int none = glob("runs/reproduce/*/s0/checkpoints/prev.safetensors", 0, NULL, &found);
        globfree(&found);
        if (!none)
            return pid;
        rest(0.005);
    }
    ck_abort_msg("no checkpoint came");
}

static void stays_the_same(const char *sha)
{
    const char *run = program_run_folder("again");
    ck_assert_str_eq(json_string_value(json_object_get(program_json(run, "status.json"),
                                                       "weights_sha256")), sha);
}

/* The sum of the long run when nobody disturbs it. */
static void goes_on_to_the_same_end(void)
{
    program_result r = program("reproduce", "tiny", "--seeds=0", "--only=A", NULL);
    ck_assert_msg(r.exit == 0, "%s%s", r.out, r.err);
    ck_assert_ptr_null(strstr(r.out, " s before"));
    json_t *status = program_json(program_run_folder("runs"), "status.json");
    ck_assert_int_ge(json_integer_value(json_object_get(status, "resumed")), 1);
    ck_assert_int_eq(program("reproduce", "tiny", "--seeds=0", "--only=A", "--out=again",
                             NULL).exit, 0);
    stays_the_same(json_string_value(json_object_get(status, "weights_sha256")));
}

START_TEST(an_interrupt_saves_and_the_same_command_goes_on)
{
    long_paper();
    pid_t pid = met_under_way();
    kill(pid, _i ? SIGTERM : SIGINT);
    ck_assert_int_eq(program_wait(pid), 75);
    ck_assert_ptr_nonnull(strstr(program_read(".err.behind"),
        "): runs under way have saved; the same command goes on\n"));
    json_t *status = program_json(program_run_folder("runs"), "status.json");
    ck_assert_str_eq(json_string_value(json_object_get(status, "state")), "interrupted");
    goes_on_to_the_same_end();
}
END_TEST

START_TEST(a_kill_takes_the_runs_along_and_the_same_command_goes_on)
{
    char state[64] = "";

    long_paper();
    pid_t pid = met_under_way();
    kill(pid, SIGKILL);
    ck_assert_int_eq(program_wait(pid), 128 + SIGKILL);
    const char *run = program_run_folder("runs");
    for (int i = 0; i < 500 && strcmp(state, "interrupted") != 0; i++) {
        rest(0.05);                             /* the run hears of it and saves itself */
        snprintf(state, sizeof state, "%s", json_string_value(json_object_get(
            program_json(run, "status.json"), "state")));
    }
    ck_assert_str_eq(state, "interrupted");
    goes_on_to_the_same_end();
}
END_TEST

Suite *suite_reproduce(void)
{
    Suite *s = suite_create("reproduce");
    TCase *cli = tcase_create("reproduce");

    tcase_add_checked_fixture(cli, program_enter, program_leave);
    tcase_add_test(cli, arithmetic_is_that_of_school);
    tcase_add_test(cli, what_is_no_number_stays_none_and_no_band_holds_it);
    tcase_add_test(cli, bands_hold_their_ends_as_written);
    tcase_add_loop_test(cli, a_mistake_in_a_quantity_tells_its_column, 0,
                        (int)NN_COUNT(formulas));
    tcase_add_test(cli, nesting_has_an_end);
    tcase_add_test(cli, claims_that_hold_are_called_what_they_are);
    tcase_add_test(cli, a_second_call_trains_nothing);
    tcase_add_test(cli, results_with_other_bits_are_made_again);
    tcase_add_test(cli, one_seed_outside_its_band_is_a_miss);
    tcase_add_test(cli, a_run_that_diverges_or_is_stopped_is_a_result);
    tcase_add_test(cli, a_run_that_fails_ends_it_with_its_own_message);
    tcase_add_test(cli, quick_runs_judge_nothing);
    tcase_add_test(cli, a_run_on_other_pictures_is_not_taken_for_this_one);
    tcase_add_test(cli, json_has_every_figure_of_the_table);
    tcase_add_test(cli, the_table_is_written_as_markdown);
    tcase_add_test(cli, lists_train_nothing);
    tcase_add_test(cli, the_papers_of_the_tree_are_well_formed);
    tcase_add_loop_test(cli, a_mistake_in_a_table_tells_its_line_before_anything_is_trained,
                        0, (int)NN_COUNT(tables));
    tcase_add_test(cli, a_missing_key_is_told_after_the_first_run);
    tcase_add_test(cli, figures_of_the_status_and_of_the_best_epoch_are_found);
    tcase_add_loop_test(cli, misuse_of_the_command_is_named, 0, (int)NN_COUNT(misuses));
    tcase_add_loop_test(cli, an_interrupt_saves_and_the_same_command_goes_on, 0,
                        PROGRAM_SHARE == 1 ? 2 : 1);
    tcase_add_test(cli, a_kill_takes_the_runs_along_and_the_same_command_goes_on);
    suite_add_tcase(s, cli);
    return s;
}
