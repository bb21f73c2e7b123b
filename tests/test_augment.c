#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/augment.h"
#include "tests/golden.h"
#include "tests/suites.h"

/* Operations against PyTorch and colorsys (golden/make_augment.py), closed forms, and the
 * distribution of what is drawn. */

enum { H = 13, W = 17, PIXELS = H * W, MOST = PIXELS * 3 };

static const char *const golden_set[] = { "one", "three" };

/* One golden picture as bytes and as floats, and space to work in. */
typedef struct picture {
    golden gold;
    const char *name;
    int c;
    uint8_t byte[MOST];
    float x[MOST], y[MOST];
    data_images d;
    nn_arena arena;
    void *work;
} picture;

static void picture_open(picture *p, int which)
{
    memset(p, 0, sizeof *p);
    p->gold = golden_open("augment.gold");
    p->name = golden_set[which];
    p->c = which ? 3 : 1;

    const golden_record *bytes = golden_at(&p->gold, "%s/bytes", p->name);
    const golden_record *x = golden_at(&p->gold, "%s/x", p->name);
    ck_assert_uint_eq(bytes->n, (size_t)PIXELS * p->c);
    for (size_t i = 0; i < bytes->n; i++)
        p->byte[i] = (uint8_t)bytes->val[i];
    memcpy(p->x, x->val, sizeof(float) * x->n);
    p->d = (data_images){
        .n = 1, .h = H, .w = W, .c = p->c, .classes = 1, .pixel = p->byte
    };
    for (int j = 0; j < 3; j++) {
        p->d.mean[j] = golden_at(&p->gold, "mean")->val[j];
        p->d.std[j] = golden_at(&p->gold, "std")->val[j];
    }
    p->work = nn_arena_alloc(&p->arena, data_augment_space(&p->d));
    /* whatever lies in the work space must not be seen in a result */
    memset(p->work, 0xff, data_augment_space(&p->d));
}

static void picture_close(picture *p)
{
    golden_free(&p->gold);
    nn_arena_free(&p->arena);
}

static float *fresh(picture *p)
{
    memcpy(p->y, p->x, sizeof p->y);
    return p->y;
}

/* ---- against the golden file ---- */

/* Weights are rounded to float (relative 2^-24 = 6e-8 each), products and sums again:
 * 4 + 4 taps make at most some 16 roundings of numbers below 1.2. */
#define RESIZE_TOLERANCE 1.2e-6

START_TEST(resizing_a_crop_is_what_pytorch_makes_of_it)
{
    static const char *const how[] = { "bilinear", "bicubic" };
    picture p;

    picture_open(&p, _i);
    const golden_record *boxes = golden_at(&p.gold, "boxes");
    for (int k = 0; k < boxes->shape.dim[0]; k++)
        for (int m = 0; m < 2; m++) {
            const float *b = boxes->val + 4 * k;
            data_box box = { (int)b[0], (int)b[1], (int)b[2], (int)b[3] };
            data_resize(&p.d, p.byte, box, m, H, W, p.y, p.work);
            golden_check(golden_at(&p.gold, "%s/%s/%d", p.name, how[m], k), p.y,
                         RESIZE_TOLERANCE);
        }
    picture_close(&p);
}
END_TEST

/* Twenty taps a direction and more, but the weights of neighbours rise and fall slowly, and
 * their roundings average: the same bound holds with a factor of two to spare. */
START_TEST(a_box_becomes_smaller_as_numpy_and_pytorch_say)
{
    static const char *const how[] = { "bilinear", "bicubic" };
    picture p;

    picture_open(&p, _i);
    const golden_record *boxes = golden_at(&p.gold, "boxes");
    const golden_record *sizes = golden_at(&p.gold, "sizes");
    for (int k = 0; k < boxes->shape.dim[0]; k++)
        for (int s = 0; s < sizes->shape.dim[0]; s++)
            for (int m = 0; m < 2; m++) {
                const float *b = boxes->val + 4 * k, *o = sizes->val + 2 * s;
                int oh = (int)o[0], ow = (int)o[1];
                data_box box = { (int)b[0], (int)b[1], (int)b[2], (int)b[3] };
                size_t space = data_pixel_space(H, W, p.c, oh, ow);
                uint8_t *work = nn_arena_alloc(&p.arena, space + 8);
                memset(work, 0xff, space + 8);
                data_resize(&p.d, p.byte, box, m, oh, ow, p.y, work);
                golden_check(golden_at(&p.gold, "%s/smaller/%s/%d/%d", p.name, how[m], k, s),
                             p.y, RESIZE_TOLERANCE);
                for (int i = 0; i < 8; i++)     /* the space told is the space used */
                    ck_assert_uint_eq(work[space + (size_t)i], 0xff);
            }
    picture_close(&p);
}
END_TEST

/* Up to 49 taps twice; the weights are positive and sum to 1, so the rounding errors
 * average: a tenth of the worst case 100 x 6e-8. */
#define BLUR_TOLERANCE 1e-6

START_TEST(blur_is_a_true_gaussian)
{
    picture p;

    picture_open(&p, _i);
    const golden_record *sigmas = golden_at(&p.gold, "sigmas");
    for (size_t k = 0; k < sigmas->n; k++) {
        data_blur(fresh(&p), H, W, p.c, sigmas->val[k], p.work);
        golden_check(golden_at(&p.gold, "%s/blur/%zu", p.name, k), p.y, BLUR_TOLERANCE);
    }
    picture_close(&p);
}
END_TEST

/* A few roundings of numbers below 2; contrast adds those of a mean over 221 pixels. */
#define COLOUR_TOLERANCE 1e-6

START_TEST(brightness_contrast_saturation_and_grey_are_the_formulas)
{
    static const struct {
        const char *name;
        void (*change)(float *x, size_t pixels, int c, float factor);
    } blends[] = {
        { "brightness", data_brightness }, { "contrast", data_contrast },
        { "saturation", data_saturation }
    };
    picture p;

    picture_open(&p, _i);
    const golden_record *factors = golden_at(&p.gold, "factors");
    for (size_t k = 0; k < factors->n; k++)
        for (size_t m = 0; m < NN_COUNT(blends); m++) {
            blends[m].change(fresh(&p), PIXELS, p.c, factors->val[k]);
            golden_check(golden_at(&p.gold, "%s/%s/%zu", p.name, blends[m].name, k), p.y,
                         COLOUR_TOLERANCE);
        }
    data_grey(fresh(&p), PIXELS, p.c);
    golden_check(golden_at(&p.gold, "%s/grey", p.name), p.y, COLOUR_TOLERANCE);
    picture_close(&p);
}
END_TEST

START_TEST(solarize_and_normalise_are_the_formulas)
{
    picture p;

    picture_open(&p, _i);
    data_solarize(fresh(&p), (size_t)PIXELS * p.c);
    golden_check(golden_at(&p.gold, "%s/solarize", p.name), p.y, COLOUR_TOLERANCE);
    data_normalise(&p.d, fresh(&p), PIXELS);
    golden_check(golden_at(&p.gold, "%s/normalise", p.name), p.y, COLOUR_TOLERANCE);
    picture_close(&p);
}
END_TEST

/* A hue in sixths carries up to 6 x 2^-24 before it is multiplied by a spread below 1,
 * and a few roundings more. */
#define HUE_TOLERANCE 2e-6

START_TEST(hue_turns_as_colorsys_says)
{
    picture p;

    picture_open(&p, 1);
    const golden_record *turns = golden_at(&p.gold, "turns");
    for (size_t k = 0; k < turns->n; k++) {
        data_hue(fresh(&p), PIXELS, 3, turns->val[k]);
        golden_check(golden_at(&p.gold, "three/hue/%zu", k), p.y, HUE_TOLERANCE);
    }
    picture_close(&p);
}
END_TEST

/* ---- closed forms ---- */

static void same_floats(const float *got, const float *want, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(got[i] == want[i], "%s: element %zu is %.9g, wanted %.9g", what, i,
                      got[i], want[i]);
}

START_TEST(the_whole_image_as_crop_changes_nothing)
{
    picture p;

    picture_open(&p, _i);
    for (int how = 0; how < 2; how++) {
        data_resize(&p.d, p.byte, (data_box){ 0, 0, H, W }, how, H, W, p.y, p.work);
        same_floats(p.y, p.x, (size_t)PIXELS * p.c, "whole image");
    }
    /* full width: every output row is a mixture of whole rows, so a picture that only
     * varies across keeps its values to the rounding of two weights */
    for (int i = 0; i < PIXELS; i++)
        for (int j = 0; j < p.c; j++)
            p.byte[i * p.c + j] = p.byte[i % W * p.c + j];
    data_resize(&p.d, p.byte, (data_box){ 2, 0, 5, W }, DATA_BICUBIC, H, W, p.y, p.work);
    for (int i = 0; i < PIXELS * p.c; i++)
        ck_assert_float_eq_tol(p.y[i], p.byte[i] / 255.0f, 1e-6f);
    picture_close(&p);
}
END_TEST

START_TEST(a_flip_mirrors_and_two_flips_do_nothing)
{
    picture p;

    picture_open(&p, _i);
    data_flip(fresh(&p), H, W, p.c);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int j = 0; j < p.c; j++)
                ck_assert_float_eq(p.y[(y * W + x) * p.c + j],
                                   p.x[(y * W + W - 1 - x) * p.c + j]);
    data_flip(p.y, H, W, p.c);
    same_floats(p.y, p.x, (size_t)PIXELS * p.c, "two flips");
    picture_close(&p);
}
END_TEST

START_TEST(a_blur_keeps_constants_and_the_sum_of_an_impulse)
{
    enum { SIZE = 41, MIDDLE = SIZE / 2 };
    static float x[SIZE * SIZE];
    nn_arena a = {0};
    void *work = nn_arena_alloc(&a, data_pixel_space(SIZE, SIZE, 1, SIZE, SIZE));

    for (double sigma = 0.1; sigma < 5; sigma += 0.7) {
        double sum = 0, square = 0;
        for (int i = 0; i < SIZE * SIZE; i++)
            x[i] = 0.375f;
        data_blur(x, SIZE, SIZE, 1, sigma, work);
        for (int i = 0; i < SIZE * SIZE; i++)
            ck_assert_float_eq_tol(x[i], 0.375f, 1e-6f);

        memset(x, 0, sizeof x);
        x[MIDDLE * SIZE + MIDDLE] = 1;
        data_blur(x, SIZE, SIZE, 1, sigma, work);
        for (int i = 0; i < SIZE * SIZE; i++) {
            sum += x[i];
            square += x[i] * pow(i % SIZE - MIDDLE, 2);
        }
        ck_assert_double_eq_tol(sum, 1, 1e-6);
        /* The variance is sigma^2, less the tails: beyond 3 sigma lie 2 (3 phi(3) +
         * Q(3)) = 2.9 % of it, and no more is cut.  The sum over whole pixels equals the
         * integral from sigma = 0.5 on to 1 % (Poisson: exp(-2 pi^2 sigma^2)). */
        if (sigma > 0.6) {
            ck_assert_double_lt(square, 1.01 * sigma * sigma);
            ck_assert_double_gt(square, 0.96 * sigma * sigma);
        }
    }
    nn_arena_free(&a);
}
END_TEST

START_TEST(blur_and_flip_commute_to_the_bit)
{
    picture p;
    float z[MOST];

    picture_open(&p, _i);
    data_blur(fresh(&p), H, W, p.c, 1.3, p.work);
    data_flip(p.y, H, W, p.c);
    memcpy(z, p.y, sizeof z);
    data_flip(fresh(&p), H, W, p.c);
    data_blur(p.y, H, W, p.c, 1.3, p.work);
    same_floats(p.y, z, (size_t)PIXELS * p.c, "flip, then blur");
    picture_close(&p);
}
END_TEST

START_TEST(grey_weighs_red_green_and_blue)
{
    float x[] = { 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1 };
    const float want[] = { 0.299f, 0.587f, 0.114f, 1 };

    data_grey(x, 4, 3);
    for (int i = 0; i < 12; i++)
        ck_assert_float_eq_tol(x[i], want[i / 3], FLT_EPSILON);
}
END_TEST

START_TEST(a_full_turn_of_the_hue_does_nothing_and_a_third_makes_red_green)
{
    picture p;

    picture_open(&p, 1);
    data_hue(fresh(&p), PIXELS, 3, 1);
    for (int i = 0; i < MOST; i++)
        ck_assert_float_eq_tol(p.y[i], p.x[i], HUE_TOLERANCE);
    picture_close(&p);

    float x[] = { 0.75f, 0.25f, 0.25f };
    const float want[] = { 0.25f, 0.75f, 0.25f };
    data_hue(x, 1, 3, 1.0f / 3);
    for (int j = 0; j < 3; j++)
        ck_assert_float_eq_tol(x[j], want[j], HUE_TOLERANCE);
}
END_TEST

START_TEST(solarize_inverts_bytes_from_128_on)
{
    for (int byte = 0; byte < 256; byte++) {
        float x = (float)byte / 255.0f;
        float want = byte < 128 ? x : 1 - x, once;
        data_solarize(&x, 1);
        ck_assert_float_eq(x, want);
        /* what was bright is dark now, so a second time changes nothing */
        once = x;
        data_solarize(&x, 1);
        ck_assert_float_eq(x, once);
    }
}
END_TEST

START_TEST(every_colour_change_stays_between_0_and_1)
{
    picture p;

    picture_open(&p, _i);
    for (int k = 0; k < 8; k++) {
        float f = (float)k * 0.4f;
        fresh(&p);
        data_brightness(p.y, PIXELS, p.c, f);
        data_contrast(p.y, PIXELS, p.c, f);
        data_saturation(p.y, PIXELS, p.c, f);
        data_hue(p.y, PIXELS, p.c, f);
        for (int i = 0; i < PIXELS * p.c; i++)
            ck_assert_msg(p.y[i] >= 0 && p.y[i] <= 1, "factor %g: %g", f, p.y[i]);
    }
    picture_close(&p);
}
END_TEST

/* ---- recipes ---- */

static data_augment recipe(const char *name)
{
    data_augment a;
    nn_err err;

    nn_setting_defaults(data_augment_table, &a);
    ck_assert_msg(data_augment_resolve(&a, NULL, name, &err) == NN_OK, "%s", err.text);
    return a;
}

/* The table of the literature, typed once more: crop from, jitter b c s h, blur 1 and 2,
 * solarize 1 and 2, bicubic, flip last.  All: crop up to 1, ratio 3/4 to 4/3, flip 1/2,
 * jitter .8, grey .2 (unless one channel), sigma .1 to 2. */
static const struct row {
    const char *name;
    double scale, b, c, s, h, grey, blur, blur2, solarize, solarize2;
    int bicubic, last;
} published[] = {
    { "simsiam_cifar",    .2,  .4, .4, .4, .1, .2, 0, 0, 0, 0, 0, 0 },
    { "simsiam_imagenet", .2,  .4, .4, .4, .1, .2, .5, .5, 0, 0, 0, 1 },
    { "vicreg",           .08, .4, .4, .2, .1, .2, 1, .1, 0, .2, 1, 0 },
    { "vicreg_paper",     .08, .4, .4, .2, .1, .2, .5, .5, .1, .1, 1, 0 },
    { "ldreg_simclr",     .08, .8, .8, .8, .2, .2, .5, .5, 0, 0, 1, 0 },
    { "solo_simsiam",     .08, .4, .4, .4, .1, .2, .5, .5, 0, 0, 1, 0 },
    { "solo_simclr",      .08, .8, .8, .8, .2, .2, .5, .5, 0, 0, 1, 0 },
    { "solo_byol",        .08, .4, .4, .2, .1, .2, 0, 0, 0, .2, 1, 0 },
    { "solo_vicreg",      .2,  .4, .4, .2, .1, .2, 0, 0, .1, .1, 1, 0 },
    { "intl_cifar",       .08, .4, .4, .2, .1, .2, 0, 0, 0, .2, 1, 1 },
    { "grey28",           .3,  .4, .4, 0, 0, 0, .5, .5, 0, 0, 0, 0 },
};

START_TEST(recipes_are_the_published_ones)
{
    const struct row *r = &published[_i];
    data_augment a = recipe(r->name);
    const double got[] = { a.scale_min, a.brightness, a.contrast,      a.saturation,
                           a.hue,       a.grey,       a.blur,          a.blur2,
                           a.solarize,  a.solarize2,  a.interpolation, a.order,
                           a.crop,      a.scale_max,  a.ratio_min,     a.ratio_max,
                           a.flip,      a.jitter,     a.sigma_min,     a.sigma_max };
    const double want[] = {
        r->scale, r->b, r->c, r->s, r->h, r->grey, r->blur, r->blur2,
        r->solarize, r->solarize2, r->bicubic, r->last,
        1, 1, 0.75, 4.0 / 3, 0.5, 0.8, 0.1, strcmp(r->name, "grey28") ? 2 : 1
    };

    for (size_t k = 0; k < NN_COUNT(want); k++)
        ck_assert_msg(got[k] == want[k], "%s: value %zu is %g, wanted %g", r->name, k,
                      got[k], want[k]);
}
END_TEST

START_TEST(the_words_of_the_setting_are_the_recipes)
{
    const char *words = data_augment_table[0].words;
    int n = nn_setting_words(words);

    ck_assert_int_eq(n, (int)NN_COUNT(published) + 3);      /* auto, none and noise */
    for (int i = 1; i < n; i++) {
        char name[32];
        data_augment a;
        nn_setting_word(words, i, name, sizeof name);
        const data_augment *want = data_recipe_find(name);
        ck_assert_msg(want, "no recipe '%s'", name);
        nn_setting_defaults(data_augment_table, &a);
        a.recipe = i;
        ck_assert_int_eq(data_augment_resolve(&a, NULL, NULL, NULL), NN_OK);
        ck_assert_int_eq(a.recipe, i);
        ck_assert_double_eq(a.scale_min, want->scale_min);
        ck_assert_double_eq(a.blur, want->blur);
        ck_assert_double_eq(a.solarize2, want->solarize2);
        ck_assert_double_eq(a.saturation, want->saturation);
        ck_assert_double_eq(a.noise, want->noise);
    }
}
END_TEST

START_TEST(none_is_the_table_of_defaults)
{
    data_augment plain, none;

    nn_setting_defaults(data_augment_table, &plain);
    none = recipe("none");
    plain.recipe = none.recipe;
    for (const nn_setting *s = data_augment_table; s->name; s++) {
        const char *x = (const char *)&plain + s->at, *y = (const char *)&none + s->at;
        size_t size = s->kind == NN_FLOAT ? sizeof(double) : sizeof(int);
        ck_assert_msg(memcmp(x, y, size) == 0, "%s differs", s->name);
    }
}
END_TEST

static int row_of(const char *name)
{
    for (int i = 0; data_augment_table[i].name; i++)
        if (strcmp(data_augment_table[i].name, name) == 0)
            return i;
    ck_abort_msg("no setting %s", name);
}

START_TEST(what_the_user_gives_beats_the_recipe)
{
    unsigned char given[64] = { 0 };
    data_augment a;

    nn_setting_defaults(data_augment_table, &a);
    a.crop = 0;
    a.blur2 = 0.25;
    given[row_of("crop")] = given[row_of("blur2")] = 1;
    ck_assert_int_eq(data_augment_resolve(&a, given, "grey28", NULL), NN_OK);
    ck_assert_int_eq(a.crop, 0);
    ck_assert_double_eq(a.blur2, 0.25);
    ck_assert_double_eq(a.blur, 0.5);
    ck_assert_double_eq(a.scale_min, 0.3);
}
END_TEST

START_TEST(ranges_upside_down_and_unknown_recipes_are_refused)
{
    unsigned char given[64] = { 0 };
    data_augment a;
    nn_err err;

    nn_setting_defaults(data_augment_table, &a);
    a.scale_max = 0.1;
    given[row_of("scale_max")] = 1;
    ck_assert_int_eq(data_augment_resolve(&a, given, "grey28", &err), NN_ECONFIG);
    ck_assert_str_eq(err.text,
                     "augment: scale_min = 0.3 is above scale_max = 0.1; lower it or "
                     "raise the other");
    nn_setting_defaults(data_augment_table, &a);
    ck_assert_int_eq(data_augment_resolve(&a, NULL, "grey82", &err), NN_ECONFIG);
    ck_assert_str_eq(err.text, "augment.recipe: there is no recipe 'grey82'; see "
                     "`fullrank help config`");
}
END_TEST

/* ---- what is drawn ---- */

enum { DRAWS = 20000 };

static data_draw draw(const data_augment *a, int h, int w, int view, uint64_t sample)
{
    nn_rng r = nn_rng_at(11, NN_RNG_TEST, 0, sample);
    return data_draw_view(a, h, w, view, &r);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov-Smirnov distance of x from the uniform distribution on 0..1. */
static double ks_uniform(double *x, int n)
{
    double worst = 0;

    qsort(x, (size_t)n, sizeof *x, ascending);
    for (int i = 0; i < n; i++) {
        worst = fmax(worst, fabs(x[i] - (double)i / n));
        worst = fmax(worst, fabs(x[i] - (i + 1.0) / n));
    }
    return worst;
}

/* Exceeded by chance once in a million for 20,000 draws: sqrt(ln(2e6) / 2 / 20000). */
#define KS_BOUND 0.0191

START_TEST(areas_ratios_and_places_of_crops_are_uniform)
{
    enum { SIZE = 2000 };
    static double area[DRAWS], ratio[DRAWS], top[DRAWS], left[DRAWS];
    data_augment a = recipe("simsiam_cifar");
    double both = 0;

    /* no box of at most half the area is ever refused: its sides are at most
     * sqrt(1/2 x 4/3) = 0.82 of the image's */
    a.scale_max = 0.5;
    for (int i = 0; i < DRAWS; i++) {
        data_box b = draw(&a, SIZE, SIZE, 0, (uint64_t)i).box;
        area[i] = ((double)b.h * b.w / SIZE / SIZE - 0.2) / 0.3;
        ratio[i] = (log((double)b.w / b.h) - log(0.75)) / (log(4.0 / 3) - log(0.75));
        top[i] = (b.top + 0.5) / (SIZE - b.h + 1);
        left[i] = (b.left + 0.5) / (SIZE - b.w + 1);
        both += (area[i] - 0.5) * (ratio[i] - 0.5) * 12 / DRAWS;
    }
    /* sides of some 1000 pixels, rounded, move an area by at most 0.001 of itself, that
     * is 0.002 of the range, and a ratio by as much; places are whole pixels of 1000 */
    ck_assert_double_lt(ks_uniform(area, DRAWS), KS_BOUND + 0.002);
    ck_assert_double_lt(ks_uniform(ratio, DRAWS), KS_BOUND + 0.002);
    ck_assert_double_lt(ks_uniform(top, DRAWS), KS_BOUND + 0.001);
    ck_assert_double_lt(ks_uniform(left, DRAWS), KS_BOUND + 0.001);
    /* a correlation of 20,000 independent pairs has deviation 0.0071 */
    ck_assert_double_lt(fabs(both), 5 * 0.0071);
}
END_TEST

START_TEST(crops_lie_in_the_image_whatever_its_shape)
{
    static const int size[][2] = { {28, 28}, {1, 1}, {1, 40}, {40, 1}, {7, 50}, {3, 2} };
    data_augment a = recipe("vicreg");

    for (size_t k = 0; k < NN_COUNT(size); k++)
        for (int i = 0; i < 2000; i++) {
            int h = size[k][0], w = size[k][1];
            data_box b = draw(&a, h, w, 0, (uint64_t)i).box;
            ck_assert_msg(b.h > 0 && b.w > 0 && b.top >= 0 && b.left >= 0 &&
                              b.top + b.h <= h && b.left + b.w <= w,
                          "%d x %d at (%d, %d) in %d x %d", b.h, b.w, b.top, b.left, h,
                          w);
        }
}
END_TEST

/* Area and ratio fixed at values that never fit. */
static data_box refused(double ratio_min, double ratio_max, int h, int w)
{
    data_augment a = recipe("simsiam_cifar");
    a.scale_min = a.scale_max = 1;
    a.ratio_min = ratio_min;
    a.ratio_max = ratio_max;
    return draw(&a, h, w, 0, 0).box;
}

static void box_is(data_box b, int top, int left, int h, int w)
{
    ck_assert_msg(b.top == top && b.left == left && b.h == h && b.w == w,
                  "got %d x %d at (%d, %d), wanted %d x %d at (%d, %d)", b.h, b.w, b.top,
                  b.left, h, w, top, left);
}

START_TEST(a_crop_that_never_fits_becomes_the_centre)
{
    box_is(refused(0.5, 0.5, 28, 28), 0, 7, 28, 14);            /* too wide: narrower */
    box_is(refused(2, 2, 28, 28), 7, 0, 14, 28);                /* too narrow: lower */
    box_is(refused(0.75, 4.0 / 3, 20, 50), 0, 11, 20, 27);      /* 20 x 4/3 = 26.7 */
    box_is(refused(0.75, 4.0 / 3, 50, 20), 11, 0, 27, 20);
}
END_TEST

START_TEST(a_crop_is_tried_ten_times)
{
    enum { SIZE = 1000 };
    data_augment a = recipe("simsiam_cifar");
    int whole = 0;

    /* Area 0.95, ratio 1/2 to 2: a try fits when both sides round to at most SIZE, that
     * is |ln ratio| < 2 ln 1.0005 - ln 0.95.  After ten misses it is the whole image. */
    a.scale_min = a.scale_max = 0.95;
    a.ratio_min = 0.5;
    a.ratio_max = 2;
    for (int i = 0; i < DRAWS; i++) {
        data_box b = draw(&a, SIZE, SIZE, 0, (uint64_t)i).box;
        whole += b.h == SIZE && b.w == SIZE;
    }
    double fits = (2 * log(1.0005) - log(0.95)) / log(2), want = pow(1 - fits, 10);
    /* five deviations; nine or eleven tries differ by ten */
    ck_assert_double_eq_tol((double)whole / DRAWS, want,
                            5 * sqrt(want * (1 - want) / DRAWS));
}
END_TEST

START_TEST(probabilities_are_kept_in_each_view)
{
    data_augment a = recipe("vicreg");
    a.solarize = 0.3;

    for (int view = 0; view < 2; view++) {
        int flip = 0, jitter = 0, grey = 0, blur = 0, solarize = 0;
        for (int i = 0; i < DRAWS; i++) {
            data_draw d = draw(&a, 28, 28, view, (uint64_t)i);
            flip += d.flip;
            jitter += d.jitter;
            grey += d.grey;
            blur += d.blur;
            solarize += d.solarize;
        }
        const int got[] = { flip, jitter, grey, blur, solarize };
        const double want[] = { 0.5, 0.8, 0.2, view ? 0.1 : 1, view ? 0.2 : 0.3 };
        for (int k = 0; k < 5; k++) {
            double p = want[k], deviation = sqrt(p * (1 - p) / DRAWS);
            ck_assert_msg(fabs((double)got[k] / DRAWS - p) <= 5 * deviation,
                          "view %d: %d of %d is not %g", view, got[k], DRAWS, p);
        }
    }
}
END_TEST

START_TEST(factors_and_sigma_are_uniform_in_their_ranges)
{
    static double x[5][DRAWS];
    data_augment a = recipe("simsiam_imagenet");
    a.saturation = 1.5;                     /* from 0, not from -1/2, to 5/2 */

    for (int i = 0; i < DRAWS; i++) {
        data_draw d = draw(&a, 28, 28, 0, (uint64_t)i);
        x[0][i] = (d.factor[DATA_BRIGHTNESS] - 0.6) / 0.8;
        x[1][i] = (d.factor[DATA_CONTRAST] - 0.6) / 0.8;
        x[2][i] = d.factor[DATA_SATURATION] / 2.5;
        x[3][i] = (d.factor[DATA_HUE] + 0.1) / 0.2;
        x[4][i] = (d.sigma - 0.1) / 1.9;
    }
    for (int k = 0; k < 5; k++)
        ck_assert_msg(ks_uniform(x[k], DRAWS) < KS_BOUND, "quantity %d", k);
}
END_TEST

START_TEST(all_orders_of_the_colour_changes_are_equally_likely)
{
    data_augment a = recipe("simsiam_cifar");
    int seen[256] = { 0 }, kinds = 0;
    double chi = 0, want = DRAWS / 24.0;

    for (int i = 0; i < DRAWS; i++) {
        data_draw d = draw(&a, 28, 28, 0, (uint64_t)i);
        int used = 0, code = 0;
        for (int k = 0; k < DATA_JITTERS; k++) {
            used |= 1 << d.order[k];
            code = 4 * code + d.order[k];
        }
        ck_assert_int_eq(used, 15);
        seen[code]++;
    }
    for (int k = 0; k < 256; k++)
        if (seen[k]) {
            kinds++;
            chi += (seen[k] - want) * (seen[k] - want) / want;
        }
    ck_assert_int_eq(kinds, 24);
    ck_assert_double_lt(chi, 70);           /* 23 degrees of freedom: p = 1.3e-6 */
}
END_TEST

START_TEST(turning_an_operation_off_leaves_all_other_draws_alone)
{
    for (int i = 0; i < 200; i++) {
        data_augment a = recipe("vicreg"), b = a;
        b.crop = 0;
        b.flip = b.hue = b.blur = b.grey = 0;
        data_draw x = draw(&a, 28, 28, 0, (uint64_t)i),
                  y = draw(&b, 28, 28, 0, (uint64_t)i);
        box_is(y.box, 0, 0, 28, 28);
        ck_assert_int_eq(y.flip | y.grey | y.blur, 0);
        ck_assert_int_eq(x.jitter, y.jitter);
        ck_assert_int_eq(x.solarize, y.solarize);
        ck_assert_mem_eq(x.order, y.order, sizeof x.order);
        ck_assert_float_eq(x.factor[DATA_CONTRAST], y.factor[DATA_CONTRAST]);
        ck_assert_double_eq(x.sigma, y.sigma);
        b = a;
        b.blur = b.jitter = 0;
        y = draw(&b, 28, 28, 0, (uint64_t)i);
        box_is(y.box, x.box.top, x.box.left, x.box.h, x.box.w);
    }
}
END_TEST

/* ---- whole views ---- */

START_TEST(a_view_is_a_function_of_its_address)
{
    picture p;
    float first[MOST], again[MOST];
    data_augment a = recipe("vicreg");
    int differ = 0;

    picture_open(&p, _i);
    size_t bytes = sizeof(float) * (size_t)PIXELS * p.c;
    for (uint32_t epoch = 0; epoch < 20; epoch++) {
        data_augment_view(&a, &p.d, 0, 0, 5, epoch, first, p.work);
        memset(p.work, 0x5a, data_augment_space(&p.d));
        memset(again, 0xff, bytes);
        data_augment_view(&a, &p.d, 0, 0, 5, epoch, again, p.work);
        ck_assert_mem_eq(first, again, bytes);
        data_augment_view(&a, &p.d, 0, 1, 5, epoch, again, p.work);
        differ += memcmp(first, again, bytes) != 0;
        data_augment_view(&a, &p.d, 0, 0, 6, epoch, again, p.work);
        differ += memcmp(first, again, bytes) != 0;
        data_augment_view(&a, &p.d, 0, 0, 5, epoch + 100, again, p.work);
        differ += memcmp(first, again, bytes) != 0;
    }
    ck_assert_int_eq(differ, 60);
    picture_close(&p);
}
END_TEST

START_TEST(the_recipe_none_shows_the_plain_image)
{
    picture p;
    data_augment none = recipe("none");
    float plain[MOST];

    picture_open(&p, _i);
    for (int view = 0; view < 2; view++) {
        data_augment_view(&none, &p.d, 0, view, 3, 1, p.y, p.work);
        data_plain(&p.d, NULL, 0, 1, plain);
        same_floats(p.y, plain, (size_t)PIXELS * p.c, "view without augmentation");
    }
    golden_check(golden_at(&p.gold, "%s/normalise", p.name), plain, COLOUR_TOLERANCE);
    picture_close(&p);
}
END_TEST

START_TEST(a_view_does_what_was_drawn_in_the_order_of_the_recipe)
{
    static void (*const change[])(float *, size_t, int, float) = {
        data_brightness, data_contrast, data_saturation, data_hue
    };
    picture p;
    data_augment a = recipe("vicreg_paper");
    float view[MOST];
    int mirrored = 0;

    picture_open(&p, _i);
    a.solarize = a.solarize2 = 0.5;
    for (int i = 0; i < 60; i++) {
        a.order = i % 2 ? DATA_FLIP_LAST : DATA_FLIP_EARLY;
        nn_rng r = nn_rng_at(9, NN_RNG_AUGMENT, (uint32_t)i, 1);
        data_draw d = data_draw_view(&a, H, W, 1, &r);
        float *y = fresh(&p);
        data_resize(&p.d, p.byte, d.box, DATA_BICUBIC, H, W, y, p.work);
        if (d.flip && a.order == DATA_FLIP_EARLY)
            data_flip(y, H, W, p.c);
        for (int k = 0; d.jitter && k < DATA_JITTERS; k++)
            change[d.order[k]](y, PIXELS, p.c, d.factor[d.order[k]]);
        if (d.grey)
            data_grey(y, PIXELS, p.c);
        if (d.blur)
            data_blur(y, H, W, p.c, d.sigma, p.work);
        if (d.solarize)
            data_solarize(y, (size_t)PIXELS * p.c);
        if (d.flip && a.order == DATA_FLIP_LAST)
            data_flip(y, H, W, p.c);
        data_normalise(&p.d, y, PIXELS);
        data_augment_view(&a, &p.d, 0, 1, 9, (uint32_t)i, view, p.work);
        same_floats(view, y, (size_t)PIXELS * p.c, "view");
        mirrored += d.flip;
    }
    ck_assert_int_gt(mirrored, 10);
    picture_close(&p);
}
END_TEST

/* Roundings of all operations one after the other: resizing (RESIZE_TOLERANCE), four
 * colour changes that multiply by up to 1.75 each, blur, and normalising by 1 / 0.24.  At a
 * solarised half either side is right; the nearest value lies 4e-5 from it. */
#define VIEW_TOLERANCE 2e-5

/* _i: one channel or three */
START_TEST(whole_views_of_every_recipe_are_what_pytorch_and_numpy_make)
{
    picture p;
    int seen = 0;

    picture_open(&p, _i);
    for (size_t k = 0; k < NN_COUNT(published); k++) {
        const char *name = published[k].name;
        char view[64];
        snprintf(view, sizeof view, "%s/draw/%s", p.name, name);
        const golden_record *v = golden_find(&p.gold, view);
        if (!v)
            continue;
        const float *at = v->val;
        data_augment a = recipe(name);
        data_draw d = { .box = { (int)at[0], (int)at[1], (int)at[2], (int)at[3] },
                        .flip = (int)at[6], .jitter = (int)at[7], .grey = (int)at[16],
                        .blur = at[17] > 0, .sigma = at[17], .solarize = (int)at[18] };
        int h = (int)at[4], w = (int)at[5];
        for (int j = 0; j < DATA_JITTERS; j++) {
            d.order[j] = (int)at[8 + j];
            d.factor[j] = at[12 + j];
        }
        void *work = nn_arena_alloc(&p.arena, data_pixel_space(H, W, p.c, h, w));
        data_make_view(&a, &p.d, 0, &d, h, w, p.y, work);
        golden_check(golden_at(&p.gold, "%s/view/%s", p.name, name), p.y, VIEW_TOLERANCE);
        seen++;
    }
    ck_assert_int_eq(seen, (int)NN_COUNT(published));
    picture_close(&p);
}
END_TEST

/* ---- views of another size ---- */

START_TEST(views_of_another_size_come_from_the_stored_pixels)
{
    picture p;
    data_augment a = recipe("vicreg");
    enum { SIDE = 9 };
    nn_err err;

    static const uint16_t label[1];

    picture_open(&p, _i);
    p.d.label = label;
    uint64_t print = data_fingerprint(&p.d);
    ck_assert_int_eq(data_view_size(&p.d, SIDE, &p.arena, &err), NN_OK);
    ck_assert_int_eq(p.d.h, SIDE);
    ck_assert_int_eq(p.d.w, SIDE);
    ck_assert_uint_eq(data_raw_count(&p.d), (size_t)PIXELS * p.c);
    ck_assert(data_fingerprint(&p.d) == print);
    void *work = nn_arena_alloc(&p.arena, data_augment_space(&p.d));
    for (uint32_t epoch = 0; epoch < 20; epoch++) {
        float want[MOST];
        nn_rng r = nn_rng_at(9, NN_RNG_AUGMENT, epoch, 1);
        data_draw d = data_draw_view(&a, H, W, 1, &r);
        data_make_view(&a, &p.d, 0, &d, SIDE, SIDE, want, work);
        data_augment_view(&a, &p.d, 0, 1, 9, epoch, p.y, work);
        same_floats(p.y, want, (size_t)SIDE * SIDE * p.c, "view");
    }
    picture_close(&p);
}
END_TEST

START_TEST(plain_images_of_another_size_are_resized_whole)
{
    enum { SIDE = 8 };
    static uint8_t three[3 * MOST];
    picture p;
    float want[3 * SIDE * SIDE * 3], got[3 * SIDE * SIDE * 3];
    const uint32_t index[] = { 9, 2, 1, 0 };
    nn_err err;

    picture_open(&p, _i);
    size_t each = (size_t)PIXELS * p.c, count = (size_t)SIDE * SIDE * p.c;
    for (size_t i = 0; i < 3 * each; i++)
        three[i] = (uint8_t)(i * 7 + i / 50);
    p.d.pixel = three;
    p.d.n = 3;
    ck_assert_int_eq(data_view_size(&p.d, 0, &p.arena, &err), NN_OK);
    ck_assert_int_eq(p.d.stored_h, 0);          /* 0 changes nothing */
    ck_assert_int_eq(data_view_size(&p.d, SIDE, &p.arena, &err), NN_OK);
    void *work = nn_arena_alloc(&p.arena, data_augment_space(&p.d));
    for (int k = 0; k < 3; k++) {
        data_resize(&p.d, three + (2 - (size_t)k) * each, (data_box){ 0, 0, H, W },
                    DATA_BILINEAR, SIDE, SIDE, want + (size_t)k * count, work);
        data_normalise(&p.d, want + (size_t)k * count, SIDE * SIDE);
    }
    data_plain(&p.d, index, 1, 3, got);
    same_floats(got, want, 3 * count, "plain");
    p.d.pixel = NULL;
    p.d.value = p.x;
    ck_assert_int_eq(data_view_size(&p.d, SIDE, &p.arena, &err), NN_ECONFIG);
    ck_assert_str_eq(err.text, "augment.size: 8 is a size of pictures, and this set is of "
                               "numbers; set augment.size: 0");
    picture_close(&p);
}
END_TEST

/* ---- local crops ---- */

START_TEST(a_local_crop_is_a_small_part_and_draws_for_itself)
{
    picture p;
    data_augment a = recipe("simsiam_imagenet");
    float seen[DATA_MOST_LOCAL + 1][MOST];

    picture_open(&p, _i);
    a.local_crops = DATA_MOST_LOCAL;
    ck_assert_int_eq(data_local_side(&a, &p.d), (H + 1) / 2);
    a.local_size = 6;
    ck_assert_int_eq(data_local_side(&a, &p.d), 6);
    void *work = nn_arena_alloc(&p.arena, data_local_space(&a, &p.d));
    size_t bytes = sizeof(float) * 36 * (size_t)p.c;
    for (int k = 0; k < DATA_MOST_LOCAL; k++) {
        data_augment small = a;
        small.scale_min = a.local_scale_min;
        small.scale_max = a.local_scale_max;
        nn_rng r = nn_rng_at(9, NN_RNG_AUGMENT, 3, (uint64_t)(2 + k) << 32);
        data_draw d = data_draw_view(&small, H, W, 0, &r);
        /* 0.4 of the area, give or take half a pixel of either side */
        ck_assert_int_le(d.box.h * d.box.w, (int)(0.4 * PIXELS) + H);
        data_make_view(&a, &p.d, 0, &d, 6, 6, seen[k], work);
        memset(p.y, 0xff, sizeof p.y);
        data_augment_local(&a, &p.d, 0, k, 9, 3, p.y, work);
        ck_assert_mem_eq(p.y, seen[k], bytes);
        for (int q = 0; q < k; q++)
            ck_assert_mem_ne(seen[q], seen[k], bytes);
    }
    picture_close(&p);
}
END_TEST

/* The mean that contrast blends with is summed in another order: 221 numbers below 1 in 8
 * partial sums, then up to 1 / 0.2 from normalising. */
START_TEST(flipping_early_or_last_gives_the_same_view)
{
    picture p;
    data_augment early = recipe("simsiam_imagenet"), last = early;
    float x[MOST], y[MOST];

    early.order = DATA_FLIP_EARLY;
    last.order = DATA_FLIP_LAST;
    picture_open(&p, _i);
    for (uint32_t epoch = 0; epoch < 40; epoch++) {
        data_augment_view(&early, &p.d, 0, 0, 1, epoch, x, p.work);
        data_augment_view(&last, &p.d, 0, 0, 1, epoch, y, p.work);
        for (int i = 0; i < PIXELS * p.c; i++)
            ck_assert_float_eq_tol(x[i], y[i], 1e-5f);
    }
    picture_close(&p);
}
END_TEST

START_TEST(on_one_channel_the_colour_settings_change_nothing)
{
    picture p;
    data_augment with = recipe("simsiam_imagenet"), without = with;
    float x[MOST], y[MOST];

    without.saturation = without.hue = without.grey = 0;
    picture_open(&p, 0);
    for (uint32_t epoch = 0; epoch < 40; epoch++) {
        data_augment_view(&with, &p.d, 0, 0, 1, epoch, x, p.work);
        data_augment_view(&without, &p.d, 0, 0, 1, epoch, y, p.work);
        same_floats(x, y, PIXELS, "one channel");
    }
    picture_close(&p);
}
END_TEST

/* A misfit is the caller's bug: the process aborts (signal 6). */
START_TEST(a_crop_outside_the_image_aborts)
{
    picture p;
    picture_open(&p, 0);
    data_resize(&p.d, p.byte, (data_box){ 0, 1, H, W }, 0, H, W, p.y, p.work);
}
END_TEST

Suite *suite_augment(void)
{
    Suite *s = suite_create("augment");
    TCase *gold = tcase_create("golden"), *forms = tcase_create("closed forms");
    TCase *recipes = tcase_create("recipes"), *draws = tcase_create("draws");
    TCase *views = tcase_create("views");

    tcase_add_loop_test(gold, resizing_a_crop_is_what_pytorch_makes_of_it, 0, 2);
    tcase_add_loop_test(gold, a_box_becomes_smaller_as_numpy_and_pytorch_say, 0, 2);
    tcase_add_loop_test(gold, blur_is_a_true_gaussian, 0, 2);
    tcase_add_loop_test(gold, brightness_contrast_saturation_and_grey_are_the_formulas, 0,
                        2);
    tcase_add_loop_test(gold, solarize_and_normalise_are_the_formulas, 0, 2);
    tcase_add_test(gold, hue_turns_as_colorsys_says);
    suite_add_tcase(s, gold);

    tcase_add_loop_test(forms, the_whole_image_as_crop_changes_nothing, 0, 2);
    tcase_add_loop_test(forms, a_flip_mirrors_and_two_flips_do_nothing, 0, 2);
    tcase_add_test(forms, a_blur_keeps_constants_and_the_sum_of_an_impulse);
    tcase_add_loop_test(forms, blur_and_flip_commute_to_the_bit, 0, 2);
    tcase_add_test(forms, grey_weighs_red_green_and_blue);
    tcase_add_test(forms,
                   a_full_turn_of_the_hue_does_nothing_and_a_third_makes_red_green);
    tcase_add_test(forms, solarize_inverts_bytes_from_128_on);
    tcase_add_loop_test(forms, every_colour_change_stays_between_0_and_1, 0, 2);
    tcase_add_test_raise_signal(forms, a_crop_outside_the_image_aborts, 6);
    suite_add_tcase(s, forms);

    tcase_add_loop_test(recipes, recipes_are_the_published_ones, 0,
                        (int)NN_COUNT(published));
    tcase_add_test(recipes, the_words_of_the_setting_are_the_recipes);
    tcase_add_test(recipes, none_is_the_table_of_defaults);
    tcase_add_test(recipes, what_the_user_gives_beats_the_recipe);
    tcase_add_test(recipes, ranges_upside_down_and_unknown_recipes_are_refused);
    suite_add_tcase(s, recipes);

    tcase_add_test(draws, areas_ratios_and_places_of_crops_are_uniform);
    tcase_add_test(draws, crops_lie_in_the_image_whatever_its_shape);
    tcase_add_test(draws, a_crop_that_never_fits_becomes_the_centre);
    tcase_add_test(draws, a_crop_is_tried_ten_times);
    tcase_add_test(draws, probabilities_are_kept_in_each_view);
    tcase_add_test(draws, factors_and_sigma_are_uniform_in_their_ranges);
    tcase_add_test(draws, all_orders_of_the_colour_changes_are_equally_likely);
    tcase_add_test(draws, turning_an_operation_off_leaves_all_other_draws_alone);
    suite_add_tcase(s, draws);

    tcase_add_loop_test(views, a_view_is_a_function_of_its_address, 0, 2);
    tcase_add_loop_test(views, the_recipe_none_shows_the_plain_image, 0, 2);
    tcase_add_loop_test(views, a_view_does_what_was_drawn_in_the_order_of_the_recipe, 0,
                        2);
    tcase_add_loop_test(views, whole_views_of_every_recipe_are_what_pytorch_and_numpy_make,
                        0, 2);
    tcase_add_loop_test(views, views_of_another_size_come_from_the_stored_pixels, 0, 2);
    tcase_add_loop_test(views, plain_images_of_another_size_are_resized_whole, 0, 2);
    tcase_add_loop_test(views, a_local_crop_is_a_small_part_and_draws_for_itself, 0, 2);
    tcase_add_loop_test(views, flipping_early_or_last_gives_the_same_view, 0, 2);
    tcase_add_test(views, on_one_channel_the_colour_settings_change_nothing);
    suite_add_tcase(s, views);
    return s;
}
