/* Convolution by Winograd's tiles: against its definition in double, byte for byte between
 * tables and teams, and used for the shapes that it is meant for. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "nn/kern/kern.h"
#include "nn/kern/winograd.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "tests/suites.h"

/* n, h, w, cin, cout, pad: whole tiles and ragged ones, one image and several, channels on
 * both sides of a vector, of a panel and of the blocks of the weights (64); few tiles and
 * enough for several chunks of a weight gradient; a row of tiles in two strips (17 tiles);
 * wide enough for the other blocks, for one chunk of several, and for transforming all
 * tiles first. */
static const int shapes[][6] = {
    { 2, 8, 8, 16, 16, 1 },    { 1, 9, 7, 17, 33, 1 },  { 3, 7, 6, 31, 16, 0 },
    { 2, 4, 11, 64, 20, 2 },   { 5, 12, 12, 16, 48, 1 }, { 1, 28, 28, 24, 16, 1 },
    { 9, 16, 16, 20, 18, 1 },  { 2, 4, 4, 130, 140, 1 }, { 40, 4, 4, 66, 70, 1 },
    { 1, 5, 67, 16, 20, 1 },   { 70, 4, 4, 200, 198, 1 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

typedef struct layer {
    nn_conv c;
    size_t nx, nw, ny;
    float *x, *w, *y, *dy, *dx, *dw, *bias;
} layer;

static nn_arena scratch, memory;       /* the process of a test ends with it */

static float *random_floats(size_t n, uint64_t sample)
{
    nn_rng r = nn_rng_at(5, NN_RNG_TEST, 0, sample);
    float *p = NN_NEW(&memory, float, n);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)nn_rng_normal(&r);
    return p;
}

static layer layer_of(int i)
{
    const int *s = shapes[i];
    layer l = { .c = { .n = s[0], .h = s[1], .w = s[2], .cin = s[3], .cout = s[4],
                       .kh = 3, .kw = 3, .stride = 1, .pad = s[5] } };
    ck_assert_int_eq(nn_conv_plan(&l.c), 1);
    ck_assert_int_eq(nn_wino_fits(&l.c), 1);
    l.nx = (size_t)l.c.n * (size_t)l.c.h * (size_t)l.c.w * (size_t)l.c.cin;
    l.ny = (size_t)l.c.n * (size_t)l.c.oh * (size_t)l.c.ow * (size_t)l.c.cout;
    l.nw = (size_t)l.c.cout * 9 * (size_t)l.c.cin;
    l.x = random_floats(l.nx, 1);
    l.w = random_floats(l.nw, 2);
    l.dy = random_floats(l.ny, 3);
    l.dx = random_floats(l.nx, 4);
    l.dw = random_floats(l.nw, 5);
    l.bias = random_floats((size_t)l.c.cout, 6);
    l.y = NN_NEW(&memory, float, l.ny);
    memset(l.y, 0xFF, sizeof(float) * l.ny);            /* NaN: all of it is written */
    return l;
}

static void convolve(layer *l, int add)
{
    nn_wino_forward(&l->c, l->x, l->w, add ? l->bias : NULL, l->y, &scratch);
    nn_wino_dgrad(&l->c, l->dy, l->w, l->dx, add, &scratch);
    nn_wino_wgrad(&l->c, l->x, l->dy, l->dw, &scratch);
}

/* The definition in double: y from the bias, dx and dw from what they hold. */
static void define(const layer *l, double *y, double *dx, double *dw)
{
    const nn_conv *c = &l->c;
    for (int p = 0; p < c->n * c->oh * c->ow; p++)
        for (int tap = 0; tap < 9; tap++) {
            int n = p / (c->oh * c->ow), i = p / c->ow % c->oh - c->pad + tap / 3,
                j = p % c->ow - c->pad + tap % 3;
            if (i < 0 || j < 0 || i >= c->h || j >= c->w)
                continue;
            size_t at = (size_t)((n * c->h + i) * c->w + j) * (size_t)c->cin;
            for (int o = 0; o < c->cout; o++) {
                size_t yo = (size_t)p * (size_t)c->cout + (size_t)o;
                size_t wo = (size_t)(o * 9 + tap) * (size_t)c->cin;
                for (size_t k = 0; k < (size_t)c->cin; k++) {
                    y[yo] += (double)l->x[at + k] * l->w[wo + k];
                    dx[at + k] += (double)l->dy[yo] * l->w[wo + k];
                    dw[wo + k] += (double)l->dy[yo] * l->x[at + k];
                }
            }
        }
}

static double *doubles(const float *from, size_t n, size_t period)
{
    double *d = NN_NEW0(&memory, double, n);
    for (size_t i = 0; from && i < n; i++)
        d[i] = from[period ? i % period : i];
    return d;
}

/* Relative L2 error under 1e-5 for data of unit variance (the transforms lose about two
 * bits against a plain sum; measured 2e-6 at most), and no single element off by more
 * than 1e-4 of the root mean square, which a wrong tile edge would be. */
static void compare(const float *got, const double *want, size_t n, const char *what)
{
    double error = 0, size = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double e = got[i] - want[i];
        ck_assert_msg(isfinite(e), "%s: element %zu is %g", what, i, (double)got[i]);
        error += e * e;
        size += want[i] * want[i];
        worst = fabs(e) > worst ? fabs(e) : worst;
    }
    ck_assert_msg(sqrt(error / size) < 1e-5, "%s: error %g", what, sqrt(error / size));
    ck_assert_msg(worst < 1e-4 * sqrt(size / (double)n), "%s: worst %g of %g", what, worst,
                  sqrt(size / (double)n));
}

START_TEST(tiles_match_the_definition)
{
    int add = _i % 2;
    layer l = layer_of(_i / 2);
    double *y = doubles(add ? l.bias : NULL, l.ny, (size_t)l.c.cout),
           *dx = doubles(add ? l.dx : NULL, l.nx, 0), *dw = doubles(l.dw, l.nw, 0);
    define(&l, y, dx, dw);
    convolve(&l, add);
    compare(l.y, y, l.ny, "y");
    compare(l.dx, dx, l.nx, "dx");
    compare(l.dw, dw, l.nw, "dw");
    ck_assert_uint_eq(nn_arena_mark(&scratch), 0);      /* scratch is given back */
}
END_TEST

static void same(const layer *a, const layer *b, const char *who, int number)
{
    ck_assert_msg(memcmp(a->y, b->y, sizeof(float) * a->ny) == 0, "y: %s %d", who, number);
    ck_assert_msg(memcmp(a->dx, b->dx, sizeof(float) * a->nx) == 0, "dx: %s %d", who,
                  number);
    ck_assert_msg(memcmp(a->dw, b->dw, sizeof(float) * a->nw) == 0, "dw: %s %d", who,
                  number);
}

/* The table for AVX-512 in plain C (avx512_simde.c), where the processor has none. */
extern const nn_kern nn_kern_avx512_emulated __attribute__((weak));

static void against(const layer *first, int shape, const nn_kern *k)
{
    layer l = layer_of(shape);
    nn_kern_now = k;
    convolve(&l, 1);
    same(first, &l, k->name, 0);
}

START_TEST(tiles_give_the_same_bytes_in_every_table)
{
    layer first = layer_of(_i);
    const nn_kern *last = nn_kern_at(nn_kern_count() - 1);
    nn_kern_now = nn_kern_at(0);
    convolve(&first, 1);
    for (int k = 1; k < nn_kern_count(); k++)
        against(&first, _i, nn_kern_at(k));
    if (&nn_kern_avx512_emulated && strcmp(last->name, "avx512") != 0)
        against(&first, _i, &nn_kern_avx512_emulated);
}
END_TEST

START_TEST(tiles_are_the_same_for_every_team)
{
    layer first = layer_of(_i);
    nn_par_set_threads(1);
    convolve(&first, 1);
    for (int team = 2; team <= 7; team += team == 3 ? 4 : 1) {
        layer l = layer_of(_i);
        nn_par_set_threads(team);
        convolve(&l, 1);
        same(&first, &l, "team", team);
    }
}
END_TEST

START_TEST(a_convolution_takes_the_tiles_where_they_fit)
{
    layer direct = layer_of(0), tiles = layer_of(0);
    nn_conv_forward(&direct.c, direct.x, direct.w, direct.bias, direct.y, &scratch);
    nn_conv_dgrad(&direct.c, direct.dy, direct.w, direct.dx, 1, &scratch);
    nn_conv_wgrad(&direct.c, direct.x, direct.dy, direct.dw, &scratch);
    convolve(&tiles, 1);
    same(&direct, &tiles, "conv", 0);

    static const nn_conv not[] = {
        { 1, 8, 8, 15, 16, 3, 3, 1, 1, 8, 8 },  { 1, 8, 8, 16, 15, 3, 3, 1, 1, 8, 8 },
        { 1, 8, 8, 16, 16, 3, 3, 2, 1, 4, 4 },  { 1, 8, 8, 16, 16, 1, 1, 1, 0, 8, 8 },
        { 1, 8, 8, 16, 16, 5, 3, 1, 2, 8, 10 }, { 1, 2, 2, 16, 16, 3, 3, 1, 1, 2, 2 },
        { 1, 8, 8, 16, 16, 3, 3, 1, 3, 12, 12 },
    };
    for (size_t i = 0; i < sizeof not / sizeof *not; i++)
        ck_assert_msg(!nn_wino_fits(&not[i]), "shape %zu", i);
}
END_TEST

/* V and M of 400 tiles with 200 channels are more than one round holds (20 MiB); each half
 * goes in one.  Images do not meet, so halves are the whole, bit for bit. */
START_TEST(half_a_batch_gives_half_the_result)
{
    nn_conv c = { .n = 400, .h = 4, .w = 4, .cin = 200, .cout = 200, .kh = 3, .kw = 3,
                  .stride = 1, .pad = 1 };
    size_t half = 200 * 16 * 200;
    float *x = random_floats(2 * half, 1), *w = random_floats(9 * 200 * 200, 2);
    float *y[4];

    ck_assert_int_eq(nn_conv_plan(&c), 1);
    for (int i = 0; i < 4; i++)
        y[i] = NN_NEW(&memory, float, 2 * half);
    nn_wino_forward(&c, x, w, NULL, y[0], &scratch);
    nn_wino_dgrad(&c, x, w, y[1], 0, &scratch);
    c.n /= 2;
    for (size_t at = 0; at <= half; at += half) {
        nn_wino_forward(&c, x + at, w, NULL, y[2] + at, &scratch);
        nn_wino_dgrad(&c, x + at, w, y[3] + at, 0, &scratch);
    }
    ck_assert_mem_eq(y[0], y[2], 2 * half * sizeof(float));
    ck_assert_mem_eq(y[1], y[3], 2 * half * sizeof(float));
}
END_TEST

START_TEST(a_number_that_is_none_is_not_lost)
{
    layer l = layer_of(1);
    l.x[l.nx / 2] = NAN;
    l.dy[l.ny / 2] = INFINITY;
    convolve(&l, 0);
    int y = 0, dx = 0, dw = 0;
    for (size_t i = 0; i < l.ny; i++)
        y += isnan(l.y[i]) != 0;
    for (size_t i = 0; i < l.nx; i++)
        dx += !isfinite(l.dx[i]);
    for (size_t i = 0; i < l.nw; i++)
        dw += !isfinite(l.dw[i]);
    ck_assert_int_gt(y, 0);
    ck_assert_int_gt(dx, 0);
    ck_assert_int_gt(dw, 0);
}
END_TEST

Suite *suite_wino(void)
{
    Suite *s = suite_create("wino");
    TCase *tc = tcase_create("wino");
    tcase_add_loop_test(tc, tiles_match_the_definition, 0, 2 * SHAPES);
    tcase_add_loop_test(tc, tiles_are_the_same_for_every_team, 0, SHAPES);
    tcase_add_test(tc, a_convolution_takes_the_tiles_where_they_fit);
    tcase_add_test(tc, half_a_batch_gives_half_the_result);
    tcase_add_test(tc, a_number_that_is_none_is_not_lost);
    suite_add_tcase(s, tc);
    tc = tcase_create("tables");
    tcase_add_loop_test(tc, tiles_give_the_same_bytes_in_every_table, 0, SHAPES - 1);
    suite_add_tcase(s, tc);
    tc = tcase_create("large");         /* half a minute where the machine is emulated */
    tcase_add_loop_test(tc, tiles_give_the_same_bytes_in_every_table, SHAPES - 1, SHAPES);
    suite_add_tcase(s, tc);
    return s;
}
