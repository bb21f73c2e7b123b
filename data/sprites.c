/* Sprites: a product of known factors, after the dSprites data (Matthey et al., 2017).
 *
 *   3 shapes x 6 scales x 40 orientations x 32 x 32 places = 737,280 pictures, 64 x 64
 *
 * The factors' ranges are theirs: shapes square, ellipse, heart; scale 0.5 to 1;
 * orientation 0 to 2 pi, the last one short of a full turn (theirs repeats the first); x
 * and y 0 to 1.  The drawing is our own, with smooth edges, and no published file is read.
 *
 * data.size pictures to train on and a fifth as many to test are drawn from the product
 * without repetition, in an order that the seed shuffles: sample i is a function of
 * (seed, i), and the test comes from the end of the order.  The class is the shape. */
#include <math.h>
#include <string.h>

#include "data/figure.h"
#include "data/made.h"
#include "nn/elem.h"
#include "nn/par.h"

enum { SIDE = 64, SHAPES = 3, SCALES = 6, TURNS = 40, PLACES = 32, JOB = 64 };
enum { SHAPE, SCALE, ORIENTATION, X, Y, FACTORS };
enum { ALL = SHAPES * SCALES * TURNS * PLACES * PLACES };
#define TURN 6.283185307179586

/* Radius of the largest figure in pixels, whose corners are 1.05 away from its middle: at
 * 17 from the edge nothing is cut off. */
static const double largest = 15, margin = 17;

/* With k = |(x / a, y / b)| and its gradient g / k, g = |(x / a^2, y / b^2)|: k (k - 1) / g is
 * the distance to first order near the outline, which is all that an edge needs. */
static double ellipse(data_point p)
{
    const double a = 0.95, b = 0.55;
    const double u = p.x / a, v = p.y / b, k = sqrt(u * u + v * v);
    const double steep = sqrt(u * u / (a * a) + v * v / (b * b));
    return steep > 0 ? k * (k - 1) / steep : -b;
}

static double outline(int shape, data_point p)
{
    switch (shape) {
    case 0:  return data_figure(DATA_SQUARE, p);
    case 1:  return ellipse(p);
    default: return data_figure(DATA_HEART, p);
    }
}

static void draw(uint32_t number, uint8_t *pixel, uint16_t *label, float *factor)
{
    const int x = (int)(number % PLACES), y = (int)(number / PLACES % PLACES);
    uint32_t rest = number / (PLACES * PLACES);
    const int turn = (int)(rest % TURNS), scale = (int)(rest / TURNS % SCALES);
    const int shape = (int)(rest / (TURNS * SCALES));
    const double size = 0.5 + 0.1 * scale, angle = TURN * turn / TURNS;
    const double cosine = nn_cos(angle), sine = nn_sin(angle), radius = largest * size;
    const double around = 1.05 * radius + 1;            /* beyond it all is black */
    const double left = margin + (SIDE - 2 * margin) * x / (PLACES - 1);
    const double top = margin + (SIDE - 2 * margin) * y / (PLACES - 1);

    memset(pixel, 0, SIDE * SIDE);
    for (int j = (int)(top - around); j < top + around; j++)
        for (int i = (int)(left - around); i < left + around; i++) {
            const double dx = (i + 0.5 - left) / radius, dy = (j + 0.5 - top) / radius;
            const data_point p = { dx * cosine + dy * sine, dy * cosine - dx * sine };
            const double cover = 0.5 - outline(shape, p) * radius;
            pixel[j * SIDE + i] = (uint8_t)(cover <= 0 ? 0 : cover >= 1 ? 255
                                            : floor(cover * 255 + 0.5));
        }
    *label = (uint16_t)shape;
    factor[SHAPE] = (float)shape;
    factor[SCALE] = (float)size;
    factor[ORIENTATION] = (float)angle;
    factor[X] = (float)x / (PLACES - 1);
    factor[Y] = (float)y / (PLACES - 1);
}

typedef struct part {
    const uint32_t *order;
    int n, step;                        /* -1: backwards */
    uint8_t *pixel;
    uint16_t *label;
    float *factor;
} part;

static void draw_some(void *ctx, size_t job, int worker)
{
    const part *p = ctx;
    const int begin = (int)job * JOB, end = p->n - begin < JOB ? p->n : begin + JOB;
    (void)worker;

    for (int i = begin; i < end; i++)
        draw(p->order[i * p->step], p->pixel + (size_t)i * SIDE * SIDE, p->label + i,
             p->factor + (size_t)i * FACTORS);
}

static void make_part(part p, nn_arena *a, data_images *d)
{
    p.pixel = NN_NEW(a, uint8_t, (size_t)p.n * SIDE * SIDE);
    p.label = NN_NEW(a, uint16_t, p.n);
    p.factor = NN_NEW(a, float, (size_t)p.n * FACTORS);
    nn_par_run(((size_t)p.n + JOB - 1) / JOB, draw_some, &p);
    *d = (data_images){
        .n = p.n, .h = SIDE, .w = SIDE, .c = 1, .classes = SHAPES, .pixel = p.pixel,
        .label = p.label, .factor = p.factor, .factors = FACTORS,
        .mean = { 0.0612f }, .std = { 0.2344f }     /* measured */
    };
}

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    const int n = data_made_train(s), tests = data_made_test(s, SHAPES);
    nn_rng r = data_made_shared(seed);

    if (n > ALL - tests)
        return nn_fail(err, NN_ECONFIG, "data.size: sprites are %d pictures in all, fewer "
                       "than %d and %d for the test; lower data.size to %d", ALL, n, tests,
                       ALL / 6 * 5);
    uint32_t *order = NN_NEW(a, uint32_t, ALL);
    nn_rng_permute(&r, order, ALL);
    make_part((part){ .order = order, .n = n, .step = 1 }, a, train);
    make_part((part){ .order = order + ALL - 1, .n = tests, .step = -1 }, a, test);
    return NN_OK;
}

static const char *const labels[] = { "square", "ellipse", "heart", NULL };
static const char *const factors[] = {
    [SHAPE] = "shape", [SCALE] = "scale", [ORIENTATION] = "orientation", [X] = "x",
    [Y] = "y", [FACTORS] = NULL
};

const data_source data_sprites = {
    .name = "sprites", .about = "a product of known factors, grey 64 x 64, 3 classes",
    .labels = labels, .factors = factors, .recipe = "grey28", .load = load,
    .present = data_made_present,
    .train = 10000, .test = 2000, .h = 64, .w = 64, .c = 1, .classes = 3
};
