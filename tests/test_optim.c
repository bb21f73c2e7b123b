/* Optimisers against PyTorch (SGD, AdamW) and NumPy (LARS, both forms), schedules against
 * closed forms, settings, and the promise that threads change no bit. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/par.h"
#include "nn/rng.h"
#include "optim/opt.h"
#include "tests/golden.h"
#include "tests/suites.h"

/* Five steps of float32 against float64: some ten roundings of 2^-24, 6e-8, each. */
static const double TOLERANCE = 1e-6;

enum { STEPS = 5 };

static const char *const tensors[] = { "matrix", "filter", "vector", "zero" };

/* Settings as a config gives them: defaults, then the method's own for "not given". */
static opt_settings settled(const char *method, double weight_decay)
{
    opt_settings o;
    nn_err err;
    nn_setting_defaults(opt_setting_table, &o);
    o.weight_decay = weight_decay;
    o.eta = 0.02;
    ck_assert_int_eq(opt_settle(opt_method_find(method), &o, &err), NN_OK);
    return o;
}

/* --- trajectories ------------------------------------------------------------------ */

static void follow(const char *golden_name, const char *method, opt_settings o)
{
    golden g = golden_open("optim.gold");
    nn_arena forever = {0};
    nn_store s = { .arena = &forever };
    const golden_record *rates = golden_at(&g, "rates");

    for (size_t k = 0; k < NN_COUNT(tensors); k++) {
        const golden_record *r = golden_at(&g, "%s/%s/start", golden_name, tensors[k]);
        nn_param *p = nn_store_add(&s, tensors[k], NN_PARAMETER, r->shape);
        memcpy(p->val, r->val, sizeof(float) * r->n);
    }
    opt_state *st = opt_new(opt_method_find(method), &o, &s);
    for (int t = 0; t < STEPS; t++) {
        for (int k = 0; k < s.count; k++) {
            const golden_record *r = golden_at(&g, "%s/%s/grad%d", golden_name,
                                               tensors[k], t);
            memcpy(s.list[k]->grad, r->val, sizeof(float) * r->n);
        }
        opt_step(st, rates->val[t], rates->val[0], t);
        for (int k = 0; k < s.count; k++)
            golden_check(golden_at(&g, "%s/%s/after%d", golden_name, tensors[k], t),
                         s.list[k]->val, TOLERANCE);
    }
    nn_arena_free(&forever);
    golden_free(&g);
}

START_TEST(sgd_follows_pytorch_with_momentum_and_decay)
{
    follow("sgd", "sgd", settled("sgd", 0.05));
}
END_TEST

START_TEST(sgd_follows_pytorch_without_either)
{
    opt_settings o = settled("sgd", 0);
    o.momentum = 0;
    follow("sgd_plain", "sgd", o);
}
END_TEST

START_TEST(rank1_tensors_escape_decay_when_excluded)
{
    opt_settings o = settled("sgd", 0.05);
    o.exclude = OPT_EXCLUDE_RANK1;
    follow("sgd_rank1", "sgd", o);
}
END_TEST

START_TEST(adamw_follows_pytorch)
{
    opt_settings o = settled("adamw", 0.05);
    o.beta2 = 0.95;
    follow("adamw", "adamw", o);
}
END_TEST

START_TEST(adamw_adds_eps_after_the_root)
{
    opt_settings o = settled("adamw", 0);
    o.beta1 = 0.8;
    o.beta2 = 0.99;
    o.eps = 0.1;
    follow("adamw_eps", "adamw", o);
}
END_TEST

START_TEST(lars_follows_the_paper_tensor_by_tensor)
{
    follow("lars", "lars", settled("lars", 0.05));
}
END_TEST

START_TEST(lars_without_decay_uses_its_own_trust_coefficient)
{
    opt_settings o = settled("lars", 0);
    nn_err err;
    o.eta = 0;                                  /* not given: 0.001 */
    ck_assert_int_eq(opt_settle(opt_method_find("lars"), &o, &err), NN_OK);
    follow("lars_raw", "lars", o);
}
END_TEST

START_TEST(lars_clip_follows_the_other_form)
{
    follow("lars_clip", "lars_clip", settled("lars_clip", 0.05));
}
END_TEST

START_TEST(lars_clip_without_clipping_follows_it_too)
{
    opt_settings o = settled("lars_clip", 0.05);
    o.clip_lr = 0;
    follow("lars_unclipped", "lars_clip", o);
}
END_TEST

/* --- groups ------------------------------------------------------------------------ */

START_TEST(constant_lr_takes_the_first_rate_and_frozen_ones_none)
{
    nn_arena forever = {0};
    nn_store s = { .arena = &forever };
    nn_param *p[4];
    for (int k = 0; k < 4; k++) {
        char name[2] = { (char)('a' + k), 0 };
        p[k] = nn_store_add(&s, name, k == 3 ? NN_BUFFER : NN_PARAMETER, nn_shape1(1));
        p[k]->val[0] = 1;
        if (p[k]->grad)
            p[k]->grad[0] = 1;
    }
    p[1]->constant_lr = 1;
    p[2]->grad = NULL;                          /* frozen */
    opt_settings o = settled("sgd", 0);
    opt_state *st = opt_new(opt_method_find("sgd"), &o, &s);
    opt_step(st, 0.25, 0.5, 0);                 /* exact in binary */
    ck_assert_float_eq(p[0]->val[0], 0.75f);
    ck_assert_float_eq(p[1]->val[0], 0.5f);
    ck_assert_float_eq(p[2]->val[0], 1);
    ck_assert_float_eq(p[3]->val[0], 1);
    nn_arena_free(&forever);
}
END_TEST

START_TEST(a_new_rate_acts_at_once_on_gradients_already_collected)
{
    nn_arena forever = {0};
    nn_store s = { .arena = &forever };
    nn_param *p = nn_store_add(&s, "w", NN_PARAMETER, nn_shape1(1));
    opt_settings o = settled("sgd", 0);
    o.momentum = 0.5;
    opt_state *st = opt_new(opt_method_find("sgd"), &o, &s);
    p->val[0] = 0;
    p->grad[0] = 1;
    opt_step(st, 1, 1, 0);                      /* v = 1, w = -1 */
    p->grad[0] = 0;
    opt_step(st, 0.25, 1, 1);                   /* v = 0.5, w = -1 - 0.125 */
    ck_assert_float_eq(p->val[0], -1.125f);
    nn_arena_free(&forever);
}
END_TEST

/* --- threads, memory, buffers ------------------------------------------------------ */

/* A large tensor of several pieces, small ones, odd ends. */
static const nn_shape sizes[] = {
    { 2, { 211, 331 } }, { 1, { 7 } }, { 2, { 1, OPT_PIECE } }, { 2, { 129, 127 } },
    { 1, { OPT_PIECE + 1 } },
};

static nn_store big_store(nn_arena *a)
{
    nn_store s = { .arena = a, .seed = 5 };
    for (size_t k = 0; k < NN_COUNT(sizes); k++) {
        char name[2] = { (char)('a' + k), 0 };
        nn_init_normal(&s, nn_store_add(&s, name, NN_PARAMETER, sizes[k]), 1);
    }
    return s;
}

static void fill_gradients(nn_store *s, int step)
{
    for (int k = 0; k < s->count; k++) {
        nn_rng r = nn_rng_at(9, NN_RNG_TEST, (uint32_t)step, (uint64_t)k);
        for (size_t i = 0; i < nn_shape_count(&s->list[k]->shape); i++)
            s->list[k]->grad[i] = nn_rng_float(&r) - 0.5f;
    }
}

static nn_store trained(nn_arena *a, const char *method, int threads)
{
    nn_store s = big_store(a);
    opt_settings o = settled(method, 0.01);
    opt_state *st = opt_new(opt_method_find(method), &o, &s);
    nn_par_set_threads(threads);
    for (int t = 0; t < 3; t++) {
        fill_gradients(&s, t);
        opt_step(st, 0.1, 0.2, t);
    }
    return s;
}

START_TEST(weights_are_the_same_bits_at_any_number_of_threads)
{
    const char *method = opt_method_at(_i)->name;
    nn_arena first = {0};
    nn_store one = trained(&first, method, 1);
    for (int threads = 2; threads <= 3; threads++) {
        nn_arena second = {0};
        nn_store many = trained(&second, method, threads);
        for (int k = 0; k < one.count; k++)
            ck_assert_msg(memcmp(one.list[k]->val, many.list[k]->val, sizeof(float)
                                 * nn_shape_count(&one.list[k]->shape)) == 0,
                          "%s, %d threads: tensor %s differs", method, threads,
                          one.list[k]->name);
        nn_arena_free(&second);
    }
    nn_arena_free(&first);
}
END_TEST

/* The norms of a tensor of several pieces: with momentum 0, decay 0 and lr 1 the step of
 * lars is eta |w| / |g| g, so its length is eta |w|. */
START_TEST(lars_moves_a_large_tensor_by_eta_times_its_length)
{
    nn_arena a = {0};
    nn_store s = big_store(&a);
    opt_settings o = settled("lars", 0);
    double length = 0, moved = 0;
    size_t n = nn_shape_count(&sizes[0]);
    float *before = NN_NEW(&a, float, n);
    o.momentum = 0;
    opt_state *st = opt_new(opt_method_find("lars"), &o, &s);
    fill_gradients(&s, 0);
    memcpy(before, s.list[0]->val, sizeof(float) * n);
    opt_step(st, 1, 1, 0);
    for (size_t i = 0; i < n; i++) {
        double d = (double)s.list[0]->val[i] - before[i];
        length += (double)before[i] * before[i];
        moved += d * d;
    }
    /* w is of order 1 and moves by 0.02: its rounding of 2^-25 is 1e-6 of the move */
    ck_assert_double_eq_tol(sqrt(moved) / (o.eta * sqrt(length)), 1, 1e-5);
    nn_arena_free(&a);
}
END_TEST

START_TEST(a_step_takes_no_memory_and_leaves_gradients_alone)
{
    const opt_method *m = opt_method_at(_i);
    nn_arena a = {0};
    nn_store s = big_store(&a);
    opt_settings o = settled(m->name, 0.01);
    opt_state *st = opt_new(m, &o, &s);
    fill_gradients(&s, 0);
    size_t at = nn_arena_mark(&a), n = nn_shape_count(&sizes[0]);
    float *copy = NN_NEW(&a, float, n);
    memcpy(copy, s.list[0]->grad, sizeof(float) * n);
    nn_arena_rewind(&a, at);
    opt_step(st, 0.1, 0.1, 0);
    ck_assert_uint_eq(nn_arena_mark(&a), at);
    ck_assert_mem_eq(copy, s.list[0]->grad, sizeof(float) * n);
    nn_arena_free(&a);
}
END_TEST

START_TEST(buffers_are_named_after_parameter_and_slot_and_start_at_zero)
{
    nn_arena a = {0};
    nn_store s = { .arena = &a };
    nn_param *p = nn_store_add(&s, "conv1.weight", NN_PARAMETER, nn_shape2(2, 3));
    nn_store_add(&s, "bn1.running_mean", NN_BUFFER, nn_shape1(2));
    opt_settings o = settled("adamw", 0);
    opt_state *st = opt_new(opt_method_find("adamw"), &o, &s);
    ck_assert_int_eq(opt_buffer_count(st), 2);
    opt_buffer mean = opt_buffer_at(st, 0), square = opt_buffer_at(st, 1);
    ck_assert_str_eq(mean.name, "conv1.weight.mean");
    ck_assert_str_eq(square.name, "conv1.weight.square");
    ck_assert(mean.param == p && square.param == p);
    for (int i = 0; i < 6; i++)
        ck_assert(mean.val[i] == 0 && square.val[i] == 0);
    p->grad[0] = 2;
    opt_step(st, 0.1, 0.1, 0);
    ck_assert_float_eq_tol(mean.val[0], 0.2f, 1e-7f);       /* (1 - 0.9) 2 */
    ck_assert_float_eq_tol(square.val[0], 0.004f, 1e-9f);   /* (1 - 0.999) 4 */
    nn_arena_free(&a);
}
END_TEST

/* --- schedules --------------------------------------------------------------------- */

enum { EPOCHS = 12, PER_EPOCH = 7, BATCH = 256 };

static opt_settings plan(double lr, int per)
{
    opt_settings o;
    nn_setting_defaults(opt_setting_table, &o);
    o.lr = lr;
    o.per = per;
    return o;
}

/* Golden values are rounded to float: half a unit of 2^-23 of the peak. */
static void compare(const opt_settings *o, const char *name, double peak)
{
    golden g = golden_open("optim.gold");
    const golden_record *want = golden_at(&g, "%s", name);
    ck_assert_uint_eq(want->n, EPOCHS * PER_EPOCH);
    for (size_t s = 0; s < want->n; s++)
        ck_assert_double_eq_tol(opt_lr(o, BATCH, (long)s, PER_EPOCH, EPOCHS),
                                want->val[s], 6e-8 * peak);
    golden_free(&g);
}

START_TEST(cosine_per_epoch_is_simsiams)
{
    opt_settings o = plan(0.3, OPT_PER_EPOCH);
    compare(&o, "schedule/simsiam", 0.3);
    /* oracle 15: lr0 at the start, half of it half way, and constant within an epoch */
    ck_assert_double_eq(opt_lr(&o, BATCH, 0, PER_EPOCH, EPOCHS), 0.3);
    ck_assert_double_eq_tol(opt_lr(&o, BATCH, 6 * PER_EPOCH, PER_EPOCH, EPOCHS), 0.15,
                            1e-15);
    ck_assert_double_eq(opt_lr(&o, BATCH, 6, PER_EPOCH, EPOCHS), 0.3);
    ck_assert_double_lt(opt_lr(&o, BATCH, 7, PER_EPOCH, EPOCHS), 0.3);
}
END_TEST

START_TEST(warm_up_and_cosine_per_step_are_vicregs)
{
    opt_settings o = plan(1.6, OPT_PER_STEP);
    o.warmup_epochs = 3;
    o.final_lr = 0.001;
    compare(&o, "schedule/vicreg", 1.6);
    /* oracle 15: lr0 at the end of the warm-up; one step before the end of a long run
     * about a thousandth, 1 + (pi/2)^2 1000 / steps^2 of it */
    ck_assert_double_eq(opt_lr(&o, BATCH, 3 * PER_EPOCH, PER_EPOCH, EPOCHS), 1.6);
    ck_assert_double_eq_tol(opt_lr(&o, BATCH, 99999, 1000, 100), 0.0016, 1e-8);
    ck_assert_double_eq(opt_lr(&o, BATCH, 0, PER_EPOCH, EPOCHS), 0);
}
END_TEST

START_TEST(warm_up_starts_where_it_is_told_and_rises_by_the_step)
{
    opt_settings o = plan(1, OPT_PER_EPOCH);
    o.warmup_epochs = 2;
    o.warmup_start = 0.5;
    o.schedule = OPT_CONSTANT;
    ck_assert_double_eq(opt_lr(&o, BATCH, 0, 4, 10), 0.5);
    ck_assert_double_eq(opt_lr(&o, BATCH, 1, 4, 10), 0.5625);
    ck_assert_double_eq(opt_lr(&o, BATCH, 7, 4, 10), 0.9375);
    for (long s = 8; s < 40; s++)
        ck_assert_double_eq(opt_lr(&o, BATCH, s, 4, 10), 1);
}
END_TEST

START_TEST(a_warm_up_that_ends_within_an_epoch_goes_on_at_the_peak)
{
    opt_settings o = plan(1, OPT_PER_EPOCH);
    o.warmup_epochs = 1.5;
    ck_assert_double_eq(opt_lr(&o, BATCH, 6, 4, 3), 1);
    ck_assert_double_eq(opt_lr(&o, BATCH, 7, 4, 3), 1);
    /* epoch 2 of 3 is a third of the way from 1.5 to 3: (1 + cos 60 deg) / 2 */
    ck_assert_double_eq_tol(opt_lr(&o, BATCH, 8, 4, 3), 0.75, 1e-15);
    o.warmup_epochs = 9;                        /* longer than the run: never reached */
    ck_assert_double_lt(opt_lr(&o, BATCH, 11, 4, 3), 1);
}
END_TEST

START_TEST(the_rate_stays_at_its_end_past_the_end)
{
    opt_settings o = plan(2, OPT_PER_STEP);
    o.final_lr = 0.25;
    ck_assert_double_eq_tol(opt_lr(&o, BATCH, 40, 4, 10), 0.5, 1e-15);
    ck_assert_double_eq_tol(opt_lr(&o, BATCH, 400, 4, 10), 0.5, 1e-15);
}
END_TEST

START_TEST(base_lr_scales_with_the_batch_and_lr_does_not)
{
    opt_settings o = plan(0, OPT_PER_EPOCH);
    o.base_lr = 0.05;
    ck_assert_double_eq(opt_peak_lr(&o, 256), 0.05);
    ck_assert_double_eq(opt_peak_lr(&o, 512), 0.1);
    ck_assert_double_eq(opt_peak_lr(&o, 64), 0.0125);
    o.base_lr = 0;
    o.lr = 0.05;
    ck_assert_double_eq(opt_peak_lr(&o, 512), 0.05);
}
END_TEST

/* --- settings ---------------------------------------------------------------------- */

START_TEST(lr_and_base_lr_together_are_refused_in_plain_words)
{
    opt_settings o = plan(0.1, OPT_PER_EPOCH);
    nn_err err;
    o.base_lr = 0.05;
    ck_assert_int_eq(opt_settle(opt_method_find("sgd"), &o, &err), NN_ECONFIG);
    ck_assert_str_eq(err.text, "optim: both lr = 0.1 and base_lr = 0.05 are given; lr is "
                     "the value used, base_lr is per 256 images; keep one of them");
}
END_TEST

START_TEST(what_is_not_given_is_the_methods_own)
{
    static const struct { const char *name; double base_lr, eta; int exclude; } want[] = {
        { "sgd", 0.05, 0, OPT_EXCLUDE_NONE }, { "adamw", 0.001, 0, OPT_EXCLUDE_NONE },
        { "lars", 0.2, 0.001, OPT_EXCLUDE_RANK1 },
        { "lars_clip", 0.3, 0.02, OPT_EXCLUDE_RANK1 },
    };
    ck_assert_int_eq(opt_method_count(), (int)NN_COUNT(want));
    for (size_t k = 0; k < NN_COUNT(want); k++) {
        opt_settings o = plan(0, OPT_PER_EPOCH), again;
        const opt_method *m = opt_method_find(want[k].name);
        ck_assert_int_eq(opt_settle(m, &o, NULL), NN_OK);
        ck_assert_double_eq(o.base_lr, want[k].base_lr);
        ck_assert_double_eq(o.eta, want[k].eta);
        ck_assert_int_eq(o.exclude, want[k].exclude);
        again = o;
        ck_assert_int_eq(opt_settle(m, &again, NULL), NN_OK);
        ck_assert_mem_eq(&again, &o, sizeof o);
        o = plan(0.7, OPT_PER_EPOCH);           /* given: base_lr stays out of it */
        ck_assert_int_eq(opt_settle(m, &o, NULL), NN_OK);
        ck_assert_double_eq(opt_peak_lr(&o, 999), 0.7);
    }
    ck_assert_ptr_null(opt_method_find("adam"));
}
END_TEST

START_TEST(defaults_are_simsiams)
{
    opt_settings o;
    nn_setting_defaults(opt_setting_table, &o);
    ck_assert_double_eq(o.momentum, 0.9);
    ck_assert_double_eq(o.weight_decay, 5e-4);
    ck_assert_int_eq(o.schedule, OPT_COSINE);
    ck_assert_int_eq(o.per, OPT_PER_EPOCH);
    ck_assert_double_eq(o.warmup_epochs + o.warmup_start + o.final_lr, 0);
}
END_TEST

START_TEST(a_method_knows_which_settings_it_reads)
{
    static const struct { const char *method, *key; int uses; } want[] = {
        { "sgd", "momentum", 1 }, { "sgd", "eps", 0 }, { "sgd", "eta", 0 },
        { "adamw", "momentum", 0 }, { "adamw", "beta1", 1 }, { "adamw", "lr", 1 },
        { "adamw", "exclude", 1 }, { "lars", "clip_lr", 0 }, { "lars", "eta", 1 },
        { "lars_clip", "clip_lr", 1 }, { "lars_clip", "schedule", 1 },
        { "sgd", "warmup", 0 },
    };
    for (size_t k = 0; k < NN_COUNT(want); k++)
        ck_assert_msg(opt_method_uses(opt_method_find(want[k].method), want[k].key)
                      == want[k].uses, "%s and %s", want[k].method, want[k].key);
    for (const nn_setting *s = opt_setting_table; s->name; s++) {
        int readers = 0;
        for (int i = 0; i < opt_method_count(); i++)
            readers += opt_method_uses(opt_method_at(i), s->name);
        ck_assert_msg(readers > 0, "nobody reads '%s'", s->name);
        ck_assert_msg(s->help && *s->help, "no help for '%s'", s->name);
    }
}
END_TEST

Suite *suite_optim(void)
{
    Suite *s = suite_create("optim");
    TCase *follows = tcase_create("trajectories");
    TCase *bits = tcase_create("bits");
    TCase *schedule = tcase_create("schedules");
    TCase *settings = tcase_create("settings");
    tcase_add_test(follows, sgd_follows_pytorch_with_momentum_and_decay);
    tcase_add_test(follows, sgd_follows_pytorch_without_either);
    tcase_add_test(follows, rank1_tensors_escape_decay_when_excluded);
    tcase_add_test(follows, adamw_follows_pytorch);
    tcase_add_test(follows, adamw_adds_eps_after_the_root);
    tcase_add_test(follows, lars_follows_the_paper_tensor_by_tensor);
    tcase_add_test(follows, lars_without_decay_uses_its_own_trust_coefficient);
    tcase_add_test(follows, lars_clip_follows_the_other_form);
    tcase_add_test(follows, lars_clip_without_clipping_follows_it_too);
    tcase_add_test(follows, constant_lr_takes_the_first_rate_and_frozen_ones_none);
    tcase_add_test(follows, a_new_rate_acts_at_once_on_gradients_already_collected);
    tcase_add_loop_test(bits, weights_are_the_same_bits_at_any_number_of_threads, 0,
                        opt_method_count());
    tcase_add_test(bits, lars_moves_a_large_tensor_by_eta_times_its_length);
    tcase_add_loop_test(bits, a_step_takes_no_memory_and_leaves_gradients_alone, 0,
                        opt_method_count());
    tcase_add_test(bits, buffers_are_named_after_parameter_and_slot_and_start_at_zero);
    tcase_add_test(schedule, cosine_per_epoch_is_simsiams);
    tcase_add_test(schedule, warm_up_and_cosine_per_step_are_vicregs);
    tcase_add_test(schedule, warm_up_starts_where_it_is_told_and_rises_by_the_step);
    tcase_add_test(schedule, a_warm_up_that_ends_within_an_epoch_goes_on_at_the_peak);
    tcase_add_test(schedule, the_rate_stays_at_its_end_past_the_end);
    tcase_add_test(schedule, base_lr_scales_with_the_batch_and_lr_does_not);
    tcase_add_test(settings, lr_and_base_lr_together_are_refused_in_plain_words);
    tcase_add_test(settings, what_is_not_given_is_the_methods_own);
    tcase_add_test(settings, defaults_are_simsiams);
    tcase_add_test(settings, a_method_knows_which_settings_it_reads);
    suite_add_tcase(s, follows);
    suite_add_tcase(s, bits);
    suite_add_tcase(s, schedule);
    suite_add_tcase(s, settings);
    return s;
}
