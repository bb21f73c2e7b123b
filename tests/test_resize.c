#include <check.h>
#include <string.h>

#include "data/resize.h"
#include "nn/arena.h"
#include "tests/golden.h"
#include "tests/suites.h"

/* Bytes to bytes against Pillow (golden/make_resize.py): equal, not close. */

enum { CHANNELS = 2, FILTERS = 3, GUARD = 64 };

static const int channels[CHANNELS] = { 1, 3 };
static const char *const filters[FILTERS] = { "bilinear", "bicubic", "area" };

/* Runs a scaling in work space that is full of ones and watched behind its end. */
static uint8_t *scaled(const data_scaling *s, const uint8_t *in, nn_arena *a)
{
    size_t n = (size_t)s->oh * (size_t)s->ow * (size_t)s->c, space = data_scale_space(s);
    uint8_t *out = nn_arena_alloc(a, n + GUARD), *work = nn_arena_alloc(a, space + GUARD);

    memset(out, 0xa5, n + GUARD);
    memset(work, 0xff, space + GUARD);
    data_scale(s, in, out, work);
    for (size_t i = 0; i < GUARD; i++) {
        ck_assert_uint_eq(work[space + i], 0xff);
        ck_assert_uint_eq(out[n + i], 0xa5);
    }
    return out;
}

static uint8_t *bytes_of(const golden_record *r, nn_arena *a)
{
    uint8_t *p = NN_NEW(a, uint8_t, r->n);
    for (size_t i = 0; i < r->n; i++)
        p[i] = (uint8_t)r->val[i];
    return p;
}

START_TEST(every_byte_is_pillows)
{
    int c = channels[_i / FILTERS], how = _i % FILTERS;
    golden gold = golden_open("resize.gold");
    const golden_record *cases = golden_at(&gold, "cases");
    nn_arena arena = { 0 };

    for (int k = 0; k < cases->shape.dim[0]; k++) {
        int v[8];
        for (int i = 0; i < 8; i++)
            v[i] = (int)cases->val[8 * k + i];
        data_scaling s = { .h = v[0], .w = v[1], .c = c, .box = { v[2], v[3], v[4], v[5] },
                           .oh = v[6], .ow = v[7], .how = how };
        const golden_record *want = golden_at(&gold, "%d/%s/%d", c, filters[how], k);
        const uint8_t *in = bytes_of(golden_at(&gold, "%d/in/%d", c, k), &arena);
        const uint8_t *got = scaled(&s, in, &arena);

        ck_assert_uint_eq(want->n, (size_t)(s.oh * s.ow * c));
        for (size_t i = 0; i < want->n; i++)
            ck_assert_msg(got[i] == want->val[i], "case %d, %s: byte %zu is %d, wanted %g",
                          k, filters[how], i, got[i], want->val[i]);
    }
    nn_arena_free(&arena);
    golden_free(&gold);
}
END_TEST

START_TEST(a_flat_picture_stays_flat)
{
    enum { H = 37, W = 23 };
    uint8_t in[H * W];
    nn_arena arena = { 0 };

    for (int value = 0; value < 256; value += 15)
        for (int side = 1; side < 60; side += 7) {
            data_scaling s = { H, W, 1, { 0, 0, H, W }, side, 61 - side, _i };
            memset(in, value, sizeof in);
            const uint8_t *out = scaled(&s, in, &arena);
            for (int i = 0; i < s.oh * s.ow; i++)
                ck_assert_int_eq(out[i], value);
            nn_arena_reset(&arena);
        }
    nn_arena_free(&arena);
}
END_TEST

/* The mean of 2 x 2 pixels, halves upwards, rounded after the row and after the column. */
START_TEST(area_by_a_whole_factor_is_the_mean)
{
    const uint8_t in[] = { 0, 255, 10, 11, 100, 101, 20, 20 };
    data_scaling s = { 2, 4, 1, { 0, 0, 2, 4 }, 1, 2, DATA_AREA };
    nn_arena arena = { 0 };
    const uint8_t *out = scaled(&s, in, &arena);

    ck_assert_int_eq(out[0], 115);              /* (128 + 101) / 2 = 114.5 */
    ck_assert_int_eq(out[1], 16);               /* (11 + 20) / 2 = 15.5 */
    nn_arena_free(&arena);
}
END_TEST

START_TEST(a_box_outside_is_a_bug_of_the_caller)
{
    uint8_t in[4] = { 0 }, out[4];
    data_scaling s = { 2, 2, 1, { 1, 0, 2, 2 }, 2, 2, DATA_AREA };
    nn_arena arena = { 0 };
    data_scale(&s, in, out, nn_arena_alloc(&arena, 4096));
}
END_TEST

Suite *suite_resize(void)
{
    Suite *s = suite_create("resize");
    TCase *t = tcase_create("bytes");
    tcase_add_loop_test(t, every_byte_is_pillows, 0, CHANNELS * FILTERS);
    tcase_add_loop_test(t, a_flat_picture_stays_flat, 0, FILTERS);
    tcase_add_test(t, area_by_a_whole_factor_is_the_mean);
    tcase_add_test_raise_signal(t, a_box_outside_is_a_bug_of_the_caller, 6);
    suite_add_tcase(s, t);
    return s;
}
