/* The profile: what it counts against sums by hand, and that nothing else notices it. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/op.h"
#include "nn/ops.h"
#include "nn/profile.h"
#include "tests/net.h"
#include "tests/program.h"
#include "tests/suites.h"

/* ---- on a tape --------------------------------------------------------------------- */

static const nn_cost *cost_of(const nn_profile *p, const char *name, nn_way way)
{
    for (int i = 0; i < p->costs; i++)
        if (strcmp(p->cost[i].name, name) == 0 && p->cost[i].way == way)
            return &p->cost[i];
    ck_abort_msg("no cost '%s'", name);
}

enum { N = 6, IN = 5, OUT = 3 };

static nn_arena forever;                /* holds the names that a profile points to */

/* relu(x W' + b) added to itself, a view of it, its mean; x wants no gradient. */
static void small_step(nn_profile *p, int times)
{
    static float x[N * IN];
    nn_arena step = {0}, scratch = {0};
    nn_store s = { .arena = &forever, .seed = 1 };
    nn_tape t;
    nn_param *w = nn_store_add(&s, "fc.weight", NN_PARAMETER, nn_shape2(OUT, IN)),
             *b = nn_store_add(&s, "fc.bias", NN_PARAMETER, nn_shape1(OUT));

    nn_init_uniform(&s, w, 1);
    nn_init_uniform(&s, b, 1);
    nn_tape_start(&t, &step, &scratch);
    t.profile = p;
    for (int i = 0; i < times; i++) {
        nn_node *in = nn_input(&t, nn_shape2(N, IN), x, 0);
        nn_node *y = nn_linear(&t, in, nn_leaf(&t, w), nn_leaf(&t, b));
        nn_node *r = nn_relu(&t, y);
        nn_node *flat = nn_reshape(&t, nn_add(&t, r, r), nn_shape1(N * OUT));
        nn_backward(nn_mean(&t, flat));
        nn_tape_reset(&t);
    }
    nn_tape_free(&t);
    nn_arena_free(&step);
    nn_arena_free(&scratch);
}

static void clean(void)
{
    nn_arena_free(&forever);
}

START_TEST(operations_and_bytes_are_those_counted_by_hand)
{
    nn_profile p = {0};
    small_step(&p, 1);

    const nn_cost *c = cost_of(&p, "linear", NN_FORWARD);
    ck_assert_str_eq(c->layer, "fc.weight");
    ck_assert_int_eq((int)c->calls, 1);
    ck_assert_double_eq(c->flops, 2.0 * N * IN * OUT);
    ck_assert_double_eq(c->bytes, 4.0 * (N * IN + OUT * IN + OUT + N * OUT));
    c = cost_of(&p, "linear", NN_BACKWARD);     /* x wants no gradient: one product */
    ck_assert_double_eq(c->flops, 2.0 * N * IN * OUT);
    ck_assert_double_eq(c->bytes,
                        4.0 * (N * OUT + N * IN + 2 * OUT * IN + 2 * OUT));
    c = cost_of(&p, "relu", NN_FORWARD);
    ck_assert_ptr_null(c->layer);
    ck_assert_double_eq(c->flops, 0);
    ck_assert_double_eq(c->bytes, 4.0 * 2 * N * OUT);
    ck_assert_double_eq(cost_of(&p, "relu", NN_BACKWARD)->bytes, 4.0 * 3 * N * OUT);
    ck_assert_double_eq(cost_of(&p, "reshape", NN_FORWARD)->bytes, 0);
    ck_assert_double_eq(cost_of(&p, "reshape", NN_BACKWARD)->bytes, 4.0 * 2 * N * OUT);
    nn_profile_free(&p);
}
END_TEST

/* A second and third time add to the sums and make no new ones. */
START_TEST(equal_calls_go_to_one_sum)
{
    nn_profile once = {0}, thrice = {0};
    small_step(&once, 1);
    small_step(&thrice, 3);
    ck_assert_int_eq(once.costs, 10);           /* five operators, two ways */
    ck_assert_int_eq(thrice.costs, 10);
    for (int i = 0; i < once.costs; i++) {
        ck_assert_str_eq(thrice.cost[i].name, once.cost[i].name);
        ck_assert_int_eq((int)thrice.cost[i].calls, 3);
        ck_assert_double_eq(thrice.cost[i].flops, 3 * once.cost[i].flops);
        ck_assert_double_eq(thrice.cost[i].bytes, 3 * once.cost[i].bytes);
        ck_assert_double_ge(thrice.cost[i].seconds, 0);
    }
    nn_profile_free(&once);
    nn_profile_free(&thrice);
}
END_TEST

START_TEST(single_calls_are_kept_in_order_up_to_a_bound)
{
    nn_profile p = { .most_events = 15 };
    small_step(&p, 3);
    ck_assert_int_eq(p.events, 15);
    for (int i = 0; i < p.events; i++) {
        ck_assert_int_eq(p.event[i].cost, i % 10);      /* steps repeat each other */
        ck_assert_double_ge(p.event[i].seconds, 0);
        if (i)                                  /* one after the other, never nested */
            ck_assert_double_ge(p.event[i].from,
                                p.event[i - 1].from + p.event[i - 1].seconds);
    }
    nn_profile_free(&p);
}
END_TEST

/* Five hundred kinds of work: more than the first table has room for. */
START_TEST(sums_outlive_the_growth_of_their_table)
{
    static char name[500][8];
    nn_profile p = {0};

    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 500; i++) {
            snprintf(name[i], sizeof name[i], "%d", i);
            nn_profile_part(&p, name[i], nn_profile_now());
        }
    ck_assert_int_eq(p.costs, 500);
    for (int i = 0; i < 500; i++) {
        ck_assert_str_eq(p.cost[i].name, name[i]);
        ck_assert_int_eq((int)p.cost[i].calls, 3);
    }
    nn_profile_part(NULL, "nobody", 0);
    ck_assert_double_eq(nn_profile_from(NULL), 0);
    nn_profile_free(&p);
}
END_TEST

/* A whole step of network and heads: the same bits, and the operations of the tape. */
START_TEST(a_profiled_step_has_the_same_bits)
{
    net n[2];
    nn_profile p = {0};
    ssl_views v;
    double forward = 0, backward = 0;

    for (int k = 0; k < 2; k++) {
        net_start(&n[k], "resnet8", "simsiam", (nn_image_shape){ 8, 8, 3 }, 4);
        net_set_method(&n[k], "proj_dim", 16);
        net_set_method(&n[k], "pred_hidden", 4);
        net_build(&n[k], 3);
    }
    n[1].tape.profile = &p;
    for (int i = 0; i < 2; i++)
        ck_assert_float_eq(net_train_step(&n[0], 0.1f), net_train_step(&n[1], 0.1f));
    for (int i = 0; i < n[0].store.count; i++) {
        const nn_param *a = n[0].store.list[i], *b = n[1].store.list[i];
        ck_assert_mem_eq(a->val, b->val, sizeof(float) * nn_shape_count(&a->shape));
    }
    net_loss(&n[0], &v);
    nn_flops f = nn_tape_flops(&n[0].tape);
    for (int i = 0; i < p.costs; i++)
        *(p.cost[i].way == NN_FORWARD ? &forward : &backward) += p.cost[i].flops;
    ck_assert_double_eq(forward, 2 * f.forward);        /* whole numbers below 2^53 */
    ck_assert_double_eq(backward, 2 * f.backward);
    nn_profile_free(&p);
    net_free(&n[0]);
    net_free(&n[1]);
}
END_TEST

/* ---- the program ------------------------------------------------------------------- */

enum { STEPS = 60 / 8 };                /* per epoch */

static program_result trained(const char *a, const char *b)
{
    program_write("a.yaml", "method: {name: simsiam, proj_dim: 16, pred_hidden: 4}\n"
                            "model: {name: conv3, width: 0.5}\n"
                            "data: {name: shapes, size: 60}\n"
                            "metrics: {samples: 12, bank: 30, knn_k: 5}\n"
                            "batch: 8\n"
                            "epochs: 2\n");
    return program("train", "a.yaml", a, a ? b : NULL, NULL);
}

static double number_at(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    ck_assert_msg(json_is_number(v), "no number '%s'", key);
    return json_number_value(v);
}

static const char *text_at(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    ck_assert_msg(s, "no text '%s'", key);
    return s;
}

/* The share that stands in a line before " %". */
static double share_in(const char *line)
{
    const char *percent = strstr(line, " %"), *from = percent;
    ck_assert_msg(percent && percent < line + strcspn(line, "\n"), "no share: %s", line);
    while (from > line && from[-1] != ' ')
        from--;
    return strtod(from, NULL);
}

/* Adds the shares of the lines between the line that begins with `head` and the one that
 * begins with `end`, which says 100.0. */
static int shares_add_up(const char *text, const char *head, const char *end)
{
    const char *line = strstr(text, head);
    double sum = 0;
    int rows = 0;

    ck_assert_msg(line, "no '%s' in %s", head, text);
    for (line = strchr(line + 1, '\n') + 1; strncmp(line, end, strlen(end)) != 0; rows++) {
        sum += share_in(line);
        line = strchr(line, '\n') + 1;
    }
    ck_assert_double_eq(share_in(line), 100);
    ck_assert_double_eq_tol(sum, 100, 0.05 * rows);     /* each is rounded to 0.1 */
    return rows;
}

START_TEST(the_tables_add_up_to_a_whole)
{
    program_result r = trained("--profile", NULL);
    ck_assert_msg(r.exit == 0 && !r.err[0], "%s", r.err);
    char says[64];
    snprintf(says, sizeof says, "profile of %d steps of ", 2 * STEPS - 2);
    ck_assert_ptr_nonnull(strstr(r.out, says));
    ck_assert_int_gt(shares_add_up(r.out, "\noperator ", "a step "), 15);
    ck_assert_int_gt(shares_add_up(r.out, "\nthe run ", "in all "), 5);
    ck_assert_ptr_nonnull(strstr(r.out, "\nwaiting for data "));
    ck_assert_ptr_nonnull(strstr(r.out, "\noptimiser "));
    ck_assert_ptr_nonnull(strstr(r.out, "\nevaluation "));
    ck_assert_ptr_nonnull(strstr(r.out, "\ncheckpoints "));
    ck_assert_ptr_nonnull(strstr(r.out, "\nall else "));
    ck_assert_ptr_nonnull(strstr(r.out, " conv1 (8, 32, 32, 3) -> (8, "));
}
END_TEST

START_TEST(the_picture_is_a_chrome_trace)
{
    ck_assert_int_eq(trained("--profile", "--quiet").exit, 0);
    json_t *o = program_json(program_run_folder("runs"), "profile.json");
    const json_t *list = json_object_get(o, "traceEvents"), *e;
    int boxes = 0, optimiser = 0, tracks = 0;
    double end[8] = {0};
    size_t i;

    json_array_foreach(list, i, e) {
        int track = (int)number_at(e, "tid");
        ck_assert_int_eq((int)number_at(e, "pid"), 1);
        ck_assert(track >= 0 && track < 8);
        if (strcmp(text_at(e, "ph"), "M") == 0) {
            tracks++;
            continue;
        }
        ck_assert_str_eq(text_at(e, "ph"), "X");
        ck_assert_double_ge(number_at(e, "dur"), 0);
        /* within a track one after the other; times are rounded to a nanosecond or so */
        ck_assert_double_ge(number_at(e, "ts"), end[track] - 0.01);
        end[track] = number_at(e, "ts") + number_at(e, "dur");
        optimiser += strcmp(text_at(e, "name"), "optimiser") == 0;
        boxes += strstr(text_at(e, "name"),
                        "conv2d forward (8, 32, 32, 3) -> (8, ") != NULL;
    }
    ck_assert_int_eq(tracks, 1 + 4);            /* the process, and its four */
    ck_assert_int_eq(optimiser, 8);             /* once a step, eight steps */
    ck_assert_int_eq(boxes, 8 * 2);             /* two views */
}
END_TEST

/* The sums of profile.json: what they should add up to. */
START_TEST(the_file_tells_the_same_sums)
{
    ck_assert_int_eq(trained("--profile", "--quiet").exit, 0);
    json_t *o = program_json(program_run_folder("runs"), "profile.json");
    double seconds = 0;
    size_t i;
    const json_t *c;

    ck_assert_int_eq((int)number_at(o, "steps"), 2 * STEPS - 2);
    json_array_foreach(json_object_get(o, "operators"), i, c)
        seconds += number_at(c, "seconds");
    ck_assert_double_eq_tol(seconds, number_at(o, "seconds"), 1e-9);
    json_array_foreach(json_object_get(o, "operators"), i, c)
        if (strcmp(text_at(c, "name"), "conv2d") == 0
            && strcmp(text_at(c, "way"), "forward") == 0
            && strcmp(text_at(c, "layer"), "conv1.weight") == 0) {
            const json_t *out = json_object_get(c, "out");
            double n = 2.0 * (2 * STEPS - 2), values = 1;       /* calls */
            for (size_t k = 0; k < json_array_size(out); k++)
                values *= json_number_value(json_array_get(out, k));
            ck_assert_double_eq(number_at(c, "calls"), n);
            /* two for each of 3 x 3 x 3 products */
            ck_assert_double_eq(number_at(c, "flops"), n * 2 * 27 * values);
            return;
        }
    ck_abort_msg("the first convolution is missing");
}
END_TEST

START_TEST(profiling_changes_no_bit_and_leaves_nothing_behind)
{
    char sha[2][65], file[512];

    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(trained("--quiet", k ? NULL : "--profile").exit, 0);
        const char *folder = program_run_folder("runs");    /* the same for both */
        snprintf(sha[k], sizeof sha[k], "%s",
                 text_at(program_json(folder, "status.json"), "weights_sha256"));
        snprintf(file, sizeof file, "%s/profile.json", folder);
        ck_assert_int_eq(program_read(file) != NULL, k == 0);
    }
    ck_assert_str_eq(sha[0], sha[1]);
}
END_TEST

START_TEST(a_run_too_short_to_profile_says_so)
{
    trained("--quiet", NULL);
    program_result r = trained("--profile", "data.size=16");
    ck_assert_int_eq(r.exit, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "profile of 2 steps of "));
    r = program("train", "a.yaml", "--profile", "data.size=16", "epochs=1", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_ptr_nonnull(strstr(r.out, "no profile of a step: 2 were done, and the first"
                                        " 2 are not counted\n"));
    shares_add_up(r.out, "\nthe run ", "in all ");
}
END_TEST

/* One object on the standard output; the tables go where all words go then. */
START_TEST(with_json_the_tables_go_to_the_error_stream)
{
    program_result r = trained("--profile", "--json");
    ck_assert_int_eq(r.exit, 0);
    program_parse(r.out);
    ck_assert_ptr_nonnull(strstr(r.err, "profile of "));
}
END_TEST

Suite *suite_profile(void)
{
    Suite *s = suite_create("profile");
    TCase *t = tcase_create("tape"), *p = tcase_create("program");

    tcase_add_checked_fixture(t, NULL, clean);
    tcase_add_test(t, operations_and_bytes_are_those_counted_by_hand);
    tcase_add_test(t, equal_calls_go_to_one_sum);
    tcase_add_test(t, single_calls_are_kept_in_order_up_to_a_bound);
    tcase_add_test(t, sums_outlive_the_growth_of_their_table);
    tcase_add_test(t, a_profiled_step_has_the_same_bits);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(p, program_enter, program_leave);
    tcase_add_test(p, the_tables_add_up_to_a_whole);
    tcase_add_test(p, the_picture_is_a_chrome_trace);
    tcase_add_test(p, the_file_tells_the_same_sums);
    tcase_add_test(p, profiling_changes_no_bit_and_leaves_nothing_behind);
    tcase_add_test(p, a_run_too_short_to_profile_says_so);
    tcase_add_test(p, with_json_the_tables_go_to_the_error_stream);
    suite_add_tcase(s, p);
    return s;
}
