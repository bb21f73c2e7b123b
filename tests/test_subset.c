#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/subset.h"
#include "nn/par.h"
#include "tests/suites.h"

/* Subsets, tails, shortcuts and the balanced sampler, on the built-in shapes and on sets
 * that the test makes.  A picture of a made set is its number: row and pixel tell. */

enum { N = 300, TESTS = 60, CLASSES = 3, SIDE = 4, COUNT = SIDE * SIDE };

static uint8_t pixel[N * COUNT];
static uint16_t label[N];
static const char *const words[] = { "cat", "dog", "old owl", NULL };
static nn_arena arena;
static data_images train, test;
static data_settings set;
static nn_err err;

/* Classes 0, 1, 2 take 1/2, 1/3 and 1/6 of the images. */
static void start(void)
{
    static const uint16_t some[6] = { 0, 1, 0, 2, 0, 1 };
    for (int i = 0; i < N; i++) {
        label[i] = some[i % 6];
        for (int k = 0; k < COUNT; k++)
            pixel[i * COUNT + k] = (uint8_t)(i % 256);
    }
    train = (data_images){ .n = N, .h = SIDE, .w = SIDE, .c = 1, .classes = CLASSES,
                           .pixel = pixel, .label = label, .mean = { 0.5f },
                           .std = { 0.2f }, .names = words };
    test = train;
    test.n = TESTS;
    nn_setting_defaults(data_setting_table, &set);
    set.name = "made";
}

static void stop(void)
{
    nn_arena_free(&arena);
}

static void apply(void)
{
    ck_assert_msg(data_subset(&set, &arena, &train, &test, &err) == NN_OK, "%s", err.text);
}

static void refused(const char *text)
{
    ck_assert_int_eq(data_subset(&set, &arena, &train, &test, &err), NN_ECONFIG);
    ck_assert_str_eq(err.text, text);
}

static void count(const data_images *d, int has[CLASSES])
{
    memset(has, 0, sizeof *has * CLASSES);
    for (int i = 0; i < d->n; i++)
        has[d->label[i]]++;
}

/* The order is that of the set, and image and label still belong together. */
static void is_in_order(const data_images *d)
{
    for (int i = 0; i < d->n; i++) {
        ck_assert(i == 0 || d->row[i] > d->row[i - 1]);
        ck_assert_ptr_eq(data_pixel_at(d, i), pixel + d->row[i] * COUNT);
    }
}

/* ---- classes ---- */

START_TEST(classes_are_kept_by_name_and_renumbered_as_listed)
{
    static const char *const ways[] = { "old owl,cat", "2,0", " old owl , 0" };

    set.classes = ways[_i];
    apply();
    ck_assert_int_eq(train.classes, 2);
    ck_assert_int_eq(train.n, N * 2 / 3);
    ck_assert_int_eq(test.n, TESTS * 2 / 3);
    ck_assert_str_eq(train.names[0], "old owl");
    ck_assert_str_eq(test.names[1], "cat");
    ck_assert_ptr_null(train.names[2]);
    is_in_order(&train);
    is_in_order(&test);
    for (int i = 0; i < train.n; i++)
        ck_assert_int_eq(label[train.row[i]], train.label[i] ? 0 : 2);
}
END_TEST

START_TEST(a_name_goes_before_a_number)
{
    static const char *const odd[] = { "1", "10", "2", NULL };

    train.names = test.names = odd;
    set.classes = "2,1";
    apply();
    ck_assert_str_eq(train.names[0], "2");
    for (int i = 0; i < train.n; i++)
        ck_assert_int_eq(label[train.row[i]], train.label[i] ? 0 : 2);
}
END_TEST

START_TEST(classes_without_names_are_called_by_their_number)
{
    train.names = test.names = NULL;
    set.classes = "2,1";
    apply();
    ck_assert_str_eq(train.names[0], "2");
    ck_assert_str_eq(train.names[1], "1");
}
END_TEST

START_TEST(a_limit_counts_what_the_classes_leave)
{
    set.classes = "1,2";
    set.limit = 10;
    set.test_limit = 4;
    ck_assert_int_eq(data_limit_is_late(&set), 1);
    apply();
    ck_assert_int_eq(train.n, 10);
    ck_assert_int_eq(train.row[9], 19);         /* half of the images are of them */
    ck_assert_int_eq(test.n, 4);
}
END_TEST

START_TEST(wrong_classes_are_refused)
{
    set.classes = "cat,dig";
    refused("data.classes: made has no class 'dig'; did you mean 'dog'?");
    set.classes = "0,3";
    refused("data.classes: made has no class '3'; its classes are numbered 0 to 2");
    set.classes = "0,cat";
    refused("data.classes: 'cat' is there twice; leave one out");
    set.classes = "dog";
    refused("data.classes: one class alone leaves nothing to tell apart; list two or more, "
            "as 0,3,5");
    set.classes = "0,,1";
    ck_assert_int_eq(data_subset(&set, &arena, &train, &test, &err), NN_ECONFIG);
    set.classes = "dog,old owl";
    test.n = 1;
    refused("data.classes: no test image of made is of these classes; choose others");
}
END_TEST

/* ---- fraction ---- */

START_TEST(a_fraction_is_kept_of_every_class)
{
    int has[CLASSES];

    set.fraction = 0.1;
    apply();
    count(&train, has);
    ck_assert_int_eq(has[0], 15);
    ck_assert_int_eq(has[1], 10);
    ck_assert_int_eq(has[2], 5);
    ck_assert_int_eq(test.n, TESTS);
    is_in_order(&train);
}
END_TEST

START_TEST(a_fraction_leaves_at_least_one_of_every_class)
{
    int has[CLASSES];

    set.fraction = 1e-6;
    apply();
    count(&train, has);
    for (int c = 0; c < CLASSES; c++)
        ck_assert_int_eq(has[c], 1);
}
END_TEST

static int contains(const uint32_t *row, int n, uint32_t one)
{
    for (int i = 0; i < n; i++)
        if (row[i] == one)
            return 1;
    return 0;
}

START_TEST(a_smaller_fraction_is_part_of_a_larger_one)
{
    data_images whole = train;

    set.fraction = 0.5;
    apply();
    data_images half = train;
    train = whole;
    set.fraction = 0.2;
    apply();
    for (int i = 0; i < train.n; i++)
        ck_assert(contains(half.row, half.n, train.row[i]));
}
END_TEST

/* 50 of 150, twice: the same by chance with probability below 1e-40. */
START_TEST(the_subset_seed_and_nothing_else_chooses)
{
    data_images whole = train;

    set.fraction = 1.0 / 3;
    apply();
    data_images first = train;
    train = whole;
    apply();
    ck_assert_mem_eq(train.row, first.row, sizeof *first.row * (size_t)first.n);
    train = whole;
    set.subset_seed = 1;
    apply();
    ck_assert_int_eq(train.n, first.n);
    ck_assert_mem_ne(train.row, first.row, sizeof *first.row * (size_t)first.n);
}
END_TEST

START_TEST(a_subset_of_a_subset_keeps_rows_and_factors)
{
    static float factor[2 * N];
    uint32_t odd[N / 2];

    for (int i = 0; i < 2 * N; i++)
        factor[i] = (float)i;
    for (int i = 0; i < N / 2; i++)
        odd[i] = (uint32_t)(2 * i + 1);
    train.factor = factor;
    train.factors = 2;
    data_take(&train, odd, N / 2, &arena);
    set.fraction = 0.4;
    apply();
    ck_assert_int_eq(train.n, 60);
    for (int i = 0; i < train.n; i++) {
        ck_assert_uint_eq(train.row[i] % 2, 1);
        ck_assert_int_eq(train.label[i], label[train.row[i]]);
        ck_assert_float_eq(train.factor[2 * i + 1], (float)(2 * train.row[i] + 1));
    }
}
END_TEST

/* ---- tails ---- */

/* The counts of CIFAR-10-LT and CIFAR-100-LT with factor 100, as published with Cui et al.:
 * 12,406 and 10,847 images. */
START_TEST(tails_have_the_published_counts)
{
    static const int ten[10] = { 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50 };
    int sum = 0;

    for (int c = 0; c < 10; c++)
        ck_assert_int_eq(data_tail_count(5000, 100, c, 10), ten[c]);
    for (int c = 0; c < 100; c++)
        sum += data_tail_count(500, 100, c, 100);
    ck_assert_int_eq(sum, 10847);
    ck_assert_int_eq(data_tail_count(5000, 1, 9, 10), 5000);
    ck_assert_int_eq(data_tail_count(3, 1000, 1, 2), 1);
    ck_assert_int_eq(data_tail_count(7, 1000, 0, 1), 7);
}
END_TEST

START_TEST(a_tail_thins_out_the_training_images_of_later_classes)
{
    int has[CLASSES];

    set.classes = "2,1,0";                      /* the rarest class becomes the first */
    set.long_tail = 4;
    apply();
    count(&train, has);
    ck_assert_int_eq(has[0], 50);               /* of 150, the most, but it has 50 */
    ck_assert_int_eq(has[1], 75);               /* 150 / 4^(1/2) */
    ck_assert_int_eq(has[2], 37);               /* 150 / 4 = 37.5 */
    ck_assert_int_eq(test.n, TESTS);
    is_in_order(&train);
}
END_TEST

START_TEST(a_tail_of_a_fraction_is_the_fraction_first)
{
    int has[CLASSES];

    set.fraction = 0.2;
    set.long_tail = 9;
    apply();
    count(&train, has);
    ck_assert_int_eq(has[0], 30);
    ck_assert_int_eq(has[1], 10);
    ck_assert_int_eq(has[2], 3);
}
END_TEST

START_TEST(a_tail_below_1_is_refused)
{
    set.long_tail = 0.01;
    refused("data.long_tail: 0.01 is below 1: it is how many times the first class is "
            "larger than the last; try 100");
}
END_TEST

/* ---- shortcuts ---- */

START_TEST(class_colours_go_round_the_circle)
{
    static const uint8_t want[6][3] = { { 255, 0, 0 }, { 255, 255, 0 }, { 0, 255, 0 },
                                        { 0, 255, 255 }, { 0, 0, 255 }, { 255, 0, 255 } };
    uint8_t rgb[3];

    for (int c = 0; c < 6; c++) {
        data_class_colour(c, 6, rgb);
        ck_assert_mem_eq(rgb, want[c], 3);
    }
    data_class_colour(1, 12, rgb);              /* orange: half of the way to yellow */
    ck_assert_int_eq(rgb[1], 128);
}
END_TEST

/* Share of images in the colour of their class; every one has that of its factor. */
static double own_colour(const data_images *d, const uint32_t *row)
{
    int own = 0;

    ck_assert_int_eq(d->c, 3);
    ck_assert_int_eq(d->factors, 1);
    ck_assert_str_eq(d->factor_names[0], "colour");
    for (int i = 0; i < d->n; i++) {
        const uint8_t *p = data_pixel_at(d, i);
        int colour = (int)d->factor[i], grey = (int)(row ? row[i] : (uint32_t)i) % 256;
        ck_assert(colour >= 0 && colour < CLASSES);
        for (int k = 0; k < COUNT; k++)         /* red, green, blue */
            for (int j = 0; j < 3; j++)
                ck_assert_int_eq(p[3 * k + j], j == colour ? grey : 0);
        own += colour == d->label[i];
    }
    return (double)own / d->n;
}

/* Five standard deviations of a share among 300: 5 sqrt(0.8 0.2 / 300) = 0.12; among 60
 * test pictures 5 sqrt(0.25 / 60) = 0.32. */
START_TEST(a_shortcut_colours_by_label_so_often)
{
    set.shortcut = 0.8;
    set.shortcut_test = 0.5;
    apply();
    ck_assert_double_eq_tol(own_colour(&train, NULL), 0.8, 0.12);
    ck_assert_double_eq_tol(own_colour(&test, NULL), 0.5, 0.32);
}
END_TEST

START_TEST(a_shortcut_can_be_certain_and_mislead_in_the_test)
{
    set.shortcut = 1;
    set.shortcut_test = 0;
    apply();
    ck_assert_double_eq(own_colour(&train, NULL), 1);
    ck_assert_double_eq(own_colour(&test, NULL), 0);
}
END_TEST

/* Colours belong to pictures, not to places in the subset. */
START_TEST(a_picture_keeps_its_colour_in_a_subset)
{
    data_images whole = train;

    set.shortcut = 0.5;
    apply();
    data_images all = train;
    train = whole;
    test = whole;
    test.n = TESTS;
    set.fraction = 0.3;
    set.shortcut = 0;
    apply();
    const uint32_t *row = train.row;
    set.fraction = 0;
    set.shortcut = 0.5;
    test = whole;
    test.n = TESTS;
    apply();
    ck_assert_int_eq(train.n, 90);
    own_colour(&train, row);
    for (int i = 0; i < train.n; i++)
        ck_assert_float_eq(train.factor[i], all.factor[row[i]]);
}
END_TEST

START_TEST(a_coloured_set_has_its_own_mean_and_deviation)
{
    set.shortcut = 0.6;
    apply();
    for (int j = 0; j < 3; j++) {
        double sum = 0, squares = 0, count = (double)N * COUNT;
        for (int i = 0; i < N * COUNT; i++)
            sum += train.pixel[3 * i + j] / 255.0;
        for (int i = 0; i < N * COUNT; i++)
            squares += pow(train.pixel[3 * i + j] / 255.0 - sum / count, 2);
        /* floats near 0.2: half a unit in the last place is 7e-9 */
        ck_assert_double_eq_tol(train.mean[j], sum / count, 1e-8);
        ck_assert_double_eq_tol(train.std[j], sqrt(squares / count), 2e-8);
        ck_assert_float_eq(test.mean[j], train.mean[j]);
        ck_assert_float_eq(test.std[j], train.std[j]);
    }
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    set.shortcut = 0.5;
    train.c = 3;
    refused("data.shortcut: colours grey pictures, and those of made are in colour; choose "
            "another data.name, or shortcut: 0");
    train.c = 1;
    train.pixel = NULL;
    refused("data.shortcut: colours grey pictures, and those of made are numbers; choose "
            "another data.name, or shortcut: 0");
    train.pixel = pixel;
    train.unlabelled = 7;
    refused("data.classes, fraction, long_tail, shortcut and sampler: balanced go by labels, "
            "and 7 images of made have none; leave these keys out, or the images without a "
            "label");
    set.shortcut = 0;
    apply();
    set.sampler = 1;
    ck_assert_int_eq(data_subset(&set, &arena, &train, &test, &err), NN_ECONFIG);
}
END_TEST

/* ---- through data_load ---- */

START_TEST(nothing_asked_for_leaves_the_set_as_it_is)
{
    data_images plain = train;

    apply();
    ck_assert_mem_eq(&train, &plain, sizeof plain);
}
END_TEST

START_TEST(a_subset_of_the_shapes_is_these_shapes)
{
    data_images all, rest, some;
    data_settings whole = { .name = "shapes", .size = 200, .normalise = 1 };

    ck_assert_int_eq(data_load(&whole, 0, &arena, &all, &rest, &err), NN_OK);
    whole.classes = "square,circle";
    ck_assert_int_eq(data_load(&whole, 0, &arena, &some, &rest, &err), NN_ECONFIG);
    ck_assert_int_eq(some.n, 0);                /* nothing half-loaded */
    whole.classes = "3,1";
    whole.limit = 5;
    ck_assert_msg(data_load(&whole, 0, &arena, &some, &rest, &err) == NN_OK, "%s",
                  err.text);
    ck_assert_int_eq(some.n, 5);
    ck_assert_int_eq(some.classes, 2);
    ck_assert_str_eq(some.names[0], all.names[3]);
    for (int i = 0; i < 5; i++)
        ck_assert_mem_eq(data_pixel_at(&some, i), data_pixel_at(&all, (int)some.row[i]),
                         data_raw_count(&all));
    ck_assert(data_fingerprint(&some) != data_fingerprint(&all));
}
END_TEST

/* ---- the balanced sampler ---- */

/* 300 images in steps of 32 make 9 steps of 288 places, 96 for every class; the smallest
 * has 50.  _i: threads */
START_TEST(a_balanced_epoch_shows_every_class_equally_often)
{
    data_augment none = {0};
    int kinds = 0, before[N];

    nn_par_set_threads(_i);
    train.balanced = 1;
    data_loader *l = data_loader_new(&arena, &train, &none, 5, 32, 1);
    ck_assert_int_eq(data_loader_steps(l), 9);
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[N] = { 0 }, has[CLASSES] = { 0 };
        for (int step = 0; step < 9; step++) {
            data_batch b = data_loader_get(l, epoch, step);
            for (int i = 0; i < 32; i++) {
                seen[b.index[i]]++;
                has[label[b.index[i]]]++;
            }
        }
        for (int c = 0; c < CLASSES; c++)
            ck_assert_int_eq(has[c], 96);
        for (int i = 0; i < N; i++)             /* none again before all others came */
            ck_assert(seen[i] <= (label[i] == 2 ? 2 : 1)
                      && seen[i] >= (label[i] == 2));
        kinds += epoch && memcmp(seen, before, sizeof seen) != 0;
        memcpy(before, seen, sizeof seen);
    }
    ck_assert_int_eq(kinds, 2);
    data_loader_stop(l);
}
END_TEST

START_TEST(what_is_left_over_makes_a_difference_of_one_at_most)
{
    data_augment none = {0};

    train.balanced = 1;
    data_loader *l = data_loader_new(&arena, &train, &none, 5, 100, 1);
    for (int epoch = 0; epoch < 4; epoch++) {
        int has[CLASSES] = { 0 };
        data_loader_stop(l);
        l = data_loader_new(&arena, &train, &none, 5, 290, 1);
        data_batch b = data_loader_get(l, epoch, 0);
        for (int i = 0; i < 290; i++)
            has[label[b.index[i]]]++;
        for (int c = 0; c < CLASSES; c++)
            ck_assert(has[c] == 96 || has[c] == 97);
    }
    data_loader_stop(l);
}
END_TEST

START_TEST(a_balanced_batch_is_the_same_after_resuming)
{
    data_augment none = {0};
    uint32_t index[32];

    train.balanced = 1;
    data_loader *l = data_loader_new(&arena, &train, &none, 5, 32, 1);
    for (int k = 0; k < 12; k++)
        memcpy(index, data_loader_get(l, k / 9, k % 9).index, sizeof index);
    data_loader_stop(l);
    l = data_loader_new(&arena, &train, &none, 5, 32, 1);
    ck_assert_mem_eq(data_loader_get(l, 1, 2).index, index, sizeof index);
    data_loader_stop(l);
}
END_TEST

START_TEST(classes_without_an_image_do_not_count)
{
    data_augment none = {0};
    int has[7] = { 0 };

    for (int i = 0; i < N; i++)
        label[i] = (uint16_t)(2 * label[i] + 1);        /* 1, 3 and 5 of 7 */
    train.classes = 7;
    train.balanced = 1;
    data_loader *l = data_loader_new(&arena, &train, &none, 5, 30, 1);
    data_batch b = data_loader_get(l, 0, 0);
    for (int step = 0; step < 10; b = data_loader_get(l, 0, ++step % 10))
        for (int i = 0; i < 30; i++)
            has[label[b.index[i]]]++;
    for (int c = 0; c < 7; c++)
        ck_assert_int_eq(has[c], c % 2 ? 100 : 0);
    data_loader_stop(l);
}
END_TEST

Suite *suite_subset(void)
{
    Suite *s = suite_create("subset");
    TCase *t = tcase_create("parts"), *b = tcase_create("balanced");

    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, classes_are_kept_by_name_and_renumbered_as_listed, 0, 3);
    tcase_add_test(t, a_name_goes_before_a_number);
    tcase_add_test(t, classes_without_names_are_called_by_their_number);
    tcase_add_test(t, a_limit_counts_what_the_classes_leave);
    tcase_add_test(t, wrong_classes_are_refused);
    tcase_add_test(t, a_fraction_is_kept_of_every_class);
    tcase_add_test(t, a_fraction_leaves_at_least_one_of_every_class);
    tcase_add_test(t, a_smaller_fraction_is_part_of_a_larger_one);
    tcase_add_test(t, the_subset_seed_and_nothing_else_chooses);
    tcase_add_test(t, a_subset_of_a_subset_keeps_rows_and_factors);
    tcase_add_test(t, tails_have_the_published_counts);
    tcase_add_test(t, a_tail_thins_out_the_training_images_of_later_classes);
    tcase_add_test(t, a_tail_of_a_fraction_is_the_fraction_first);
    tcase_add_test(t, a_tail_below_1_is_refused);
    tcase_add_test(t, class_colours_go_round_the_circle);
    tcase_add_test(t, a_shortcut_colours_by_label_so_often);
    tcase_add_test(t, a_shortcut_can_be_certain_and_mislead_in_the_test);
    tcase_add_test(t, a_picture_keeps_its_colour_in_a_subset);
    tcase_add_test(t, a_coloured_set_has_its_own_mean_and_deviation);
    tcase_add_test(t, what_cannot_be_is_refused);
    tcase_add_test(t, nothing_asked_for_leaves_the_set_as_it_is);
    tcase_add_test(t, a_subset_of_the_shapes_is_these_shapes);
    suite_add_tcase(s, t);

    tcase_add_checked_fixture(b, start, stop);
    tcase_add_loop_test(b, a_balanced_epoch_shows_every_class_equally_often, 1, 4);
    tcase_add_test(b, what_is_left_over_makes_a_difference_of_one_at_most);
    tcase_add_test(b, a_balanced_batch_is_the_same_after_resuming);
    tcase_add_test(b, classes_without_an_image_do_not_count);
    suite_add_tcase(s, b);
    return s;
}
