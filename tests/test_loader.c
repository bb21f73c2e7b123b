#include <check.h>
#include <string.h>

#include "data/data.h"
#include "nn/par.h"
#include "tests/suites.h"

/* The loader against data_augment_view called directly: whoever makes a batch, whenever,
 * its values are the same. */

enum { N = 50, BATCH = 7, STEPS = N / BATCH, H = 9, W = 8, C = 3, COUNT = H * W * C };

static uint8_t pixel[N * COUNT];
static uint16_t label[N];
static nn_arena arena;
static data_images images;
static data_augment augment;

static void start(void)
{
    for (int i = 0; i < N * COUNT; i++)
        pixel[i] = (uint8_t)(i * 7 + i / 100);
    images = (data_images){ .n = N, .h = H, .w = W, .c = C, .classes = 1, .pixel = pixel,
                            .label = label, .mean = { 0.4f, 0.5f, 0.6f },
                            .std = { 0.2f, 0.3f, 0.25f } };
    nn_setting_defaults(data_augment_table, &augment);
    ck_assert_int_eq(data_augment_resolve(&augment, NULL, "simsiam_imagenet", NULL),
                     NN_OK);
}

static void stop(void)
{
    nn_arena_free(&arena);
}

/* Something for the team to do, of very uneven length, so that threads run out of jobs
 * and turn to the batch ahead. */
static void spin(void *ctx, size_t job, int worker)
{
    volatile float x = 1;
    (void)ctx;
    (void)worker;
    for (int i = 0; i < (job == 0 ? 200000 : 10); i++)
        x = x * 0.5f + 1;
}

static void train_a_little(void)
{
    nn_par_run(4, spin, NULL);
}

static void is_right(const data_batch *b, uint64_t seed, int epoch, int step)
{
    uint32_t order[N];
    float want[COUNT];
    void *work = nn_arena_alloc(&arena, data_augment_space(&images));
    nn_rng r = nn_rng_at(seed, NN_RNG_SHUFFLE, (uint32_t)epoch, 0);

    nn_rng_permute(&r, order, N);
    ck_assert_int_eq(b->n, BATCH);
    ck_assert_int_eq(b->epoch, epoch);
    ck_assert_int_eq(b->step, step);
    ck_assert_mem_eq(b->index, order + step * BATCH, BATCH * sizeof *order);
    for (int i = 0; i < BATCH; i++)
        for (int v = 0; v < 2; v++) {
            data_augment_view(&augment, &images, (int)b->index[i], v, seed,
                              (uint32_t)epoch, want, work);
            ck_assert_msg(memcmp(b->view[v] + i * COUNT, want, sizeof want) == 0,
                          "epoch %d step %d sample %d view %d", epoch, step, i, v);
        }
}

/* _i: number of threads */
START_TEST(batches_are_the_views_of_the_shuffled_images)
{
    nn_par_set_threads(_i);
    data_loader *l = data_loader_new(&arena, &images, &augment, 21, BATCH, 2);
    ck_assert_int_eq(data_loader_steps(l), STEPS);
    for (int epoch = 0; epoch < 3; epoch++)
        for (int step = 0; step < STEPS; step++) {
            data_batch b = data_loader_get(l, epoch, step);
            for (int k = 0; k < step; k++)
                train_a_little();
            is_right(&b, 21, epoch, step);      /* after the work: nobody wrote into it */
        }
    data_loader_stop(l);
}
END_TEST

START_TEST(batches_can_be_asked_for_in_any_order)
{
    static const int wish[][2] = { { 0, 5 }, { 0, 5 }, { 0, 0 }, { 2, 6 },
                                   { 3, 0 }, { 3, 1 }, { 3, 0 }, { 0, 1 },
                                   { 7, 3 }, { 7, 4 }, { 7, 6 }, { 8, 0 } };

    nn_par_set_threads(_i);
    data_loader *l = data_loader_new(&arena, &images, &augment, 4, BATCH, 2);
    for (size_t k = 0; k < NN_COUNT(wish); k++) {
        data_batch b = data_loader_get(l, wish[k][0], wish[k][1]);
        if (k % 2)
            train_a_little();
        is_right(&b, 4, wish[k][0], wish[k][1]);
    }
    data_loader_stop(l);
}
END_TEST

START_TEST(an_epoch_shows_no_image_twice_and_epochs_differ)
{
    uint32_t first[2] = { 0 };
    data_loader *l = data_loader_new(&arena, &images, &augment, 1, BATCH, 2);

    for (int epoch = 0; epoch < 2; epoch++) {
        int seen[N] = { 0 };
        for (int step = 0; step < STEPS; step++) {
            data_batch b = data_loader_get(l, epoch, step);
            for (int i = 0; i < BATCH; i++)
                ck_assert_int_eq(seen[b.index[i]]++, 0);
            if (step == 0)
                for (int i = 0; i < BATCH; i++)
                    first[epoch] = first[epoch] * N + b.index[i];
        }
    }
    ck_assert_uint_ne(first[0], first[1]);
    data_loader_stop(l);
}
END_TEST

START_TEST(a_batch_may_be_the_whole_set)
{
    data_loader *l = data_loader_new(&arena, &images, &augment, 1, N, 2);
    ck_assert_int_eq(data_loader_steps(l), 1);
    for (int epoch = 0; epoch < 3; epoch++) {
        data_batch b = data_loader_get(l, epoch, 0);
        int seen[N] = { 0 };
        for (int i = 0; i < N; i++)
            seen[b.index[i]]++;
        for (int i = 0; i < N; i++)
            ck_assert_int_eq(seen[i], 1);
    }
    data_loader_stop(l);
}
END_TEST

START_TEST(batches_cost_no_memory)
{
    data_loader *l = data_loader_new(&arena, &images, &augment, 1, BATCH, 2);
    size_t mark = nn_arena_mark(&arena), grown = arena.grown;

    for (int k = 0; k < 20; k++)
        data_loader_get(l, k / STEPS, k % STEPS);
    ck_assert_uint_eq(nn_arena_mark(&arena), mark);
    ck_assert_uint_eq(arena.grown, grown);
    data_loader_stop(l);
}
END_TEST

START_TEST(after_stopping_another_loader_can_start)
{
    nn_par_set_threads(2);
    for (int k = 0; k < 5; k++) {
        data_loader *l = data_loader_new(&arena, &images, &augment, 6, BATCH, 2);
        data_batch b = data_loader_get(l, k, k);
        is_right(&b, 6, k, k);
        data_loader_stop(l);
        data_loader_stop(l);                    /* twice does no harm */
        nn_arena_reset(&arena);
    }
    train_a_little(); /* nothing is left that reads freed memory */
}
END_TEST

START_TEST(a_dropped_batch_is_made_when_it_is_wanted_after_all)
{
    data_loader *l = data_loader_new(&arena, &images, &augment, 6, BATCH, 2);
    data_loader_get(l, 0, 0);
    data_loader_stop(l);
    data_batch b = data_loader_get(l, 0, 1);
    is_right(&b, 6, 0, 1);
    data_loader_stop(l);
}
END_TEST

/* What was made ahead shows the pixels of that time. */
START_TEST(the_next_batch_is_made_ahead_also_across_epochs)
{
    data_loader *l = data_loader_new(&arena, &images, &augment, 6, BATCH, 2);
    for (int k = 0; k < 2; k++) {
        int epoch = k, step = k ? 0 : STEPS - 1;        /* and then the one after it */
        data_loader_get(l, 0, STEPS - 2 + k);
        nn_par_finish();
        memset(pixel, 0, sizeof pixel);
        data_batch b = data_loader_get(l, epoch, step);
        start();
        is_right(&b, 6, epoch, step);
    }
    data_loader_stop(l);
}
END_TEST

/* Four views: the first two are those of a loader of two, the other two draw for
 * themselves, with the augmentations of the first two.  _i: threads */
START_TEST(more_views_leave_the_first_two_as_they_were)
{
    float want[COUNT];
    void *work = nn_arena_alloc(&arena, data_augment_space(&images));

    nn_par_set_threads(_i);
    augment.blur = 0;                           /* so that the two kinds differ */
    augment.blur2 = 1;
    data_loader *l = data_loader_new(&arena, &images, &augment, 21, BATCH, 4);
    for (int step = 0; step < STEPS; step++) {
        data_batch b = data_loader_get(l, 1, step);
        is_right(&b, 21, 1, step);
        for (int i = 0; i < BATCH; i++)
            for (int v = 2; v < 4; v++) {
                data_augment_view(&augment, &images, (int)b.index[i], v, 21, 1, want,
                                  work);
                ck_assert_mem_eq(b.view[v] + i * COUNT, want, sizeof want);
                ck_assert_mem_ne(b.view[v] + i * COUNT, b.view[v - 2] + i * COUNT,
                                 sizeof want);
            }
    }
    data_loader_stop(l);
}
END_TEST

/* No two of all views of all images start from the same numbers. */
START_TEST(every_view_of_every_image_draws_for_itself)
{
    enum { CROPPED = 2 * 4 };                   /* images x views */
    float seen[CROPPED][COUNT];
    void *work = nn_arena_alloc(&arena, data_augment_space(&images));
    uint8_t same[2 * COUNT];

    memcpy(same, pixel, COUNT);                 /* one image twice: draws alone differ */
    memcpy(same + COUNT, pixel, COUNT);
    images.pixel = same;
    augment.blur2 = augment.blur;
    augment.solarize2 = augment.solarize;
    for (int k = 0; k < CROPPED; k++)
        data_augment_view(&augment, &images, k / 4, k % 4, 5, 0, seen[k], work);
    for (int k = 0; k < CROPPED; k++)
        for (int q = 0; q < k; q++)
            ck_assert_msg(memcmp(seen[k], seen[q], sizeof seen[k]) != 0,
                          "view %d of image %d is view %d of image %d", k % 4, k / 4,
                          q % 4, q / 4);
}
END_TEST

/* Views keep their bits beside local crops.  _i: threads */
START_TEST(local_crops_come_beside_the_views)
{
    enum { SIDE = 5, SMALL = SIDE * SIDE * C };
    float want[SMALL];
    void *work;

    nn_par_set_threads(_i);
    augment.local_crops = 3;
    augment.local_size = SIDE;
    work = nn_arena_alloc(&arena, data_local_space(&augment, &images));
    data_loader *l = data_loader_new(&arena, &images, &augment, 21, BATCH, 2);
    for (int step = 0; step < STEPS; step++) {
        data_batch b = data_loader_get(l, 1, step);
        is_right(&b, 21, 1, step);
        ck_assert_ptr_null(b.local[3]);
        for (int i = 0; i < BATCH; i++)
            for (int k = 0; k < 3; k++) {
                data_augment_local(&augment, &images, (int)b.index[i], k, 21, 1, want,
                                   work);
                ck_assert_mem_eq(b.local[k] + i * SMALL, want, sizeof want);
            }
    }
    data_loader_stop(l);
}
END_TEST

/* Two batches for the first call, one ahead; then one for each.  _i: threads */
START_TEST(the_cost_counts_every_image_that_was_made)
{
    nn_par_set_threads(_i);
    data_loader *l = data_loader_new(&arena, &images, &augment, 6, BATCH, 2);
    double before = 0;

    ck_assert_int_eq((int)data_loader_cost(l).images, 0);
    for (int step = 0; step < STEPS; step++) {
        data_loader_get(l, 0, step);
        nn_par_finish();
        data_cost c = data_loader_cost(l);
        ck_assert_int_eq((int)c.images, BATCH * (step + 2));
        ck_assert_double_gt(c.seconds, before);
        before = c.seconds;
    }
    data_loader_stop(l);
    /* an image of 9 x 8 takes some 20 us, whatever else the machine does: this is
     * processor time; five hundred times that is no image */
    ck_assert_double_lt(before, 0.01 * BATCH * (STEPS + 1));
}
END_TEST

START_TEST(a_batch_larger_than_the_set_is_refused)
{
    nn_err err;
    ck_assert_int_eq(data_loader_check(&images, N, &err), NN_OK);
    ck_assert_int_eq(data_loader_check(&images, 64, &err), NN_ECONFIG);
    ck_assert_str_eq(err.text,
                     "batch: 64 does not fit the data set of 50 images; choose 1 to "
                     "50, or raise data.limit");
    ck_assert_int_eq(data_loader_check(&images, 0, &err), NN_ECONFIG);
}
END_TEST

START_TEST(a_loader_for_too_large_a_batch_aborts)
{
    data_loader_new(&arena, &images, &augment, 1, N + 1, 2);
}
END_TEST

Suite *suite_loader(void)
{
    Suite *s = suite_create("loader");
    TCase *t = tcase_create("batches");

    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, batches_are_the_views_of_the_shuffled_images, 1, 4);
    tcase_add_loop_test(t, more_views_leave_the_first_two_as_they_were, 1, 4);
    tcase_add_loop_test(t, local_crops_come_beside_the_views, 1, 4);
    tcase_add_test(t, every_view_of_every_image_draws_for_itself);
    tcase_add_loop_test(t, batches_can_be_asked_for_in_any_order, 1, 4);
    tcase_add_test(t, an_epoch_shows_no_image_twice_and_epochs_differ);
    tcase_add_test(t, a_batch_may_be_the_whole_set);
    tcase_add_test(t, batches_cost_no_memory);
    tcase_add_test(t, after_stopping_another_loader_can_start);
    tcase_add_test(t, a_dropped_batch_is_made_when_it_is_wanted_after_all);
    tcase_add_test(t, the_next_batch_is_made_ahead_also_across_epochs);
    tcase_add_loop_test(t, the_cost_counts_every_image_that_was_made, 1, 4);
    tcase_add_test(t, a_batch_larger_than_the_set_is_refused);
    tcase_add_test_raise_signal(t, a_loader_for_too_large_a_batch_aborts, 6);
    suite_add_tcase(s, t);
    return s;
}
