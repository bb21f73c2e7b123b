/* The races: what they print, and what they say when something is wrong.  How fast
 * anybody is, no test can say; that all sides get the same result, the race itself checks. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nn/base.h"
#include "tests/program.h"
#include "tests/suites.h"

static json_t *raced(const char *race, const char *only)
{
    program_result r = program("bench", race, "--quick", "--rounds", "1", "--only", only,
                               "--json", NULL);
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    return program_parse(r.out);
}

static void has_time(const json_t *row, const char *side)
{
    const json_t *v = json_object_get(row, side);
    ck_assert_msg(json_is_real(v) && isfinite(json_real_value(v)) && json_real_value(v) > 0,
                  "no figure of '%s'", side);
}

START_TEST(a_race_of_products_has_a_row_for_each_shape)
{
    json_t *o = raced("gemm", "NN 64 x 64 x 64"), *rows = json_object_get(o, "rows");
    ck_assert_uint_eq(json_array_size(rows), 1);
    json_t *row = json_array_get(rows, 0);
    ck_assert_str_eq(json_string_value(json_object_get(row, "shape")), "NN 64 x 64 x 64");
    ck_assert_str_eq(json_string_value(json_object_get(row, "unit")), "GFLOP/s");
    has_time(row, "ours");
    has_time(row, "peak");
    /* null where no other library is installed */
    json_t *ratio = json_object_get(row, "ratio");
    ck_assert(json_is_null(ratio) || json_real_value(ratio) > 0);
}
END_TEST

START_TEST(every_race_times_our_side)
{
    static const char *const row[][2] = {
        { "conv", "forward 64>64, 7x7" }, { "step", "conv3" },
        { "losses", "tree, N 256" }, { "metrics", "all collapse metrics" },
    };
    for (size_t i = 0; i < NN_COUNT(row); i++) {
        json_t *rows = json_object_get(raced(row[i][0], row[i][1]), "rows");
        ck_assert_msg(json_array_size(rows) == 1, "%s: %zu rows", row[i][0],
                      json_array_size(rows));
        has_time(json_array_get(rows, 0), "ours");
    }
}
END_TEST

START_TEST(an_unknown_race_is_an_error_of_usage)
{
    program_result r = program("bench", "gem", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_ptr_nonnull(strstr(r.err, "no bench 'gem'; there is gemm, conv, step, losses,"
                                        " metrics"));
    ck_assert_int_eq(program("bench", NULL).exit, 2);
    ck_assert_int_eq(program("bench", "gemm", "--rounds", "0", NULL).exit, 2);
    ck_assert_int_eq(program("bench", "gemm", "--peer", "x", NULL).exit, 2);
    r = program("bench", "gemm", "--only", "nothing", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_ptr_nonnull(strstr(r.err, "gemm has no row with 'nothing'"));
}
END_TEST

START_TEST(a_side_that_is_not_here_is_named)
{
    setenv("PYTHON", "/nowhere/python", 1);
    program_result r = program("bench", "losses", "--quick", "--rounds", "1", "--only",
                               "tree, N 256", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "did not start"));
    ck_assert_ptr_nonnull(strstr(r.out, "pip install torch"));
}
END_TEST

/* A race between different results is none: a side that computes something else is
 * played by a script. */
START_TEST(sides_that_disagree_end_the_race)
{
    program_write("other.py", "#!/bin/sh\n"
                  "echo ready\n"
                  "while read line; do echo 1.5 12345.0; done\n");
    ck_assert_int_eq(chmod("other.py", 0755), 0);
    setenv("PYTHON", "./other.py", 1);
    program_result r = program("bench", "losses", "--quick", "--rounds", "1", "--only",
                               "tree, N 256", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "torch has 12345, we have"));
}
END_TEST

/* A side that dies in the middle is named, is out of the row, and ends the race with 1. */
START_TEST(a_side_that_dies_is_left_out)
{
    program_write("other.py", "#!/bin/sh\n"
                  "echo ready\n"
                  "read line; echo 1.5 nan\n"
                  "read line; echo 1.5 nan\n");
    ck_assert_int_eq(chmod("other.py", 0755), 0);
    setenv("PYTHON", "./other.py", 1);
    program_result r = program("bench", "losses", "--quick", "--rounds", "4", "--only",
                               "tree, N 256", "--json", NULL);
    ck_assert_int_eq(r.exit, 1);
    ck_assert_ptr_nonnull(strstr(r.err, "torch: ended while it did 'tree 256 512'"));
    json_t *row = json_array_get(json_object_get(program_parse(r.out), "rows"), 0);
    has_time(row, "ours");
    ck_assert(json_is_null(json_object_get(row, "ratio")));
}
END_TEST

Suite *suite_bench(void)
{
    Suite *s = suite_create("bench");
    TCase *c = tcase_create("races");
    tcase_add_checked_fixture(c, program_enter, program_leave);
    tcase_add_test(c, a_race_of_products_has_a_row_for_each_shape);
    tcase_add_test(c, every_race_times_our_side);
    tcase_add_test(c, an_unknown_race_is_an_error_of_usage);
    tcase_add_test(c, a_side_that_is_not_here_is_named);
    tcase_add_test(c, sides_that_disagree_end_the_race);
    tcase_add_test(c, a_side_that_dies_is_left_out);
    suite_add_tcase(s, c);
    return s;
}
