#include <math.h>
#include <stdio.h>

#include "data/data.h"
#include "nn/elem.h"
#include "nn/par.h"

/* Shapes: ten kinds of figures, drawn rather than photographed, so that every picture
 * comes with the numbers that made it and no file is needed.
 *
 * The class is the kind of figure.  Everything else is a nuisance drawn independently of
 * it: position, size, rotation, the figure's colour, the background's colour and its
 * texture.  A good representation keeps the kind; a collapsed one shows which nuisance
 * survived.
 *
 * A figure is a signed distance (negative inside, in units of its radius), which one
 * division turns into the covered share of a pixel: edges are smooth without drawing at a
 * higher resolution.  Picture i is a function of (seed, i); test pictures count from
 * FIRST_TEST on, so that no picture is in both parts. */

enum { SIDE = 32, KINDS = 10, TEXTURES = 5, JOB = 64 };
enum { HUE, BACKGROUND, TEXTURE, SCALE, ANGLE, X, Y, FACTORS };
#define FIRST_TEST (UINT64_C(1) << 40)
#define TURN 6.283185307179586
#define FAR 1.5                         /* pixels: half the width of a shadow's edge */

typedef struct point { double x, y; } point;
typedef struct colour { double r, g, b; } colour;

/* ---- figures: signed distance at p; they fill the unit circle, y points down ---- */

static double length(point p)
{
    return sqrt(p.x * p.x + p.y * p.y);
}

static double clamp(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static double to_segment_squared(point p, point a, point b)
{
    double ux = b.x - a.x, uy = b.y - a.y, vx = p.x - a.x, vy = p.y - a.y;
    double t = clamp((ux * vx + uy * vy) / (ux * ux + uy * uy), 0, 1);
    double x = vx - t * ux, y = vy - t * uy;
    return x * x + y * y;
}

/* The nearest edge; inside is where a ray crosses the outline an odd number of times. */
static double polygon(point p, const point *corner, int n)
{
    double nearest = 1e9;
    int inside = 0;

    for (int i = 0, j = n - 1; i < n; j = i++) {
        point a = corner[j], b = corner[i];
        double d = to_segment_squared(p, a, b);
        nearest = d < nearest ? d : nearest;
        if ((a.y > p.y) != (b.y > p.y)
            && p.x < a.x + (b.x - a.x) * (p.y - a.y) / (b.y - a.y))
            inside = !inside;
    }
    return inside ? -sqrt(nearest) : sqrt(nearest);
}

static double disc_at(point p, double x, double y, double radius)
{
    return length((point){ p.x - x, p.y - y }) - radius;
}

static double disc(point p)
{
    return disc_at(p, 0, 0, 0.88);
}

static double ring(point p)
{
    return fabs(disc_at(p, 0, 0, 0.74)) - 0.21;
}

static double square(point p)
{
    static const point corner[] = {
        { -0.72, -0.72 }, { 0.72, -0.72 }, { 0.72, 0.72 }, { -0.72, 0.72 }
    };
    return polygon(p, corner, 4);
}

static double triangle(point p)
{
    static const point corner[] = { {0, -1}, {0.866, 0.5}, {-0.866, 0.5} };
    return polygon(p, corner, 3);
}

static double star(point p)
{
    static const point corner[] = {
        /* every 36 degrees, radius 1 and 0.45 in turn */
        { 0, -1 },           { 0.2645, -0.3641 }, { 0.9511, -0.3090 },
        { 0.4280, 0.1391 },  { 0.5878, 0.8090 },  { 0, 0.45 },
        { -0.5878, 0.8090 }, { -0.4280, 0.1391 }, { -0.9511, -0.3090 },
        { -0.2645, -0.3641 }
    };
    return polygon(p, corner, 10);
}

static double cross(point p)
{
    static const point corner[] = {
        { -0.29, -0.95 }, { 0.29, -0.95 }, { 0.29, -0.29 },  { 0.95, -0.29 },
        { 0.95, 0.29 },   { 0.29, 0.29 },  { 0.29, 0.95 },   { -0.29, 0.95 },
        { -0.29, 0.29 },  { -0.95, 0.29 }, { -0.95, -0.29 }, { -0.29, -0.29 }
    };
    return polygon(p, corner, 12);
}

/* Two discs, and the tangents from the tip to them. */
static double heart(point p)
{
    static const point corner[] = {
        { 0, 0.95 }, { -0.7996, -0.0534 }, { -0.44, -0.34 }, { 0, -0.47 },
        { 0.44, -0.34 }, { 0.7996, -0.0534 }
    };
    double d = polygon(p, corner, 6);
    double left = disc_at(p, -0.44, -0.34, 0.46), right = disc_at(p, 0.44, -0.34, 0.46);

    d = d < left ? d : left;
    return d < right ? d : right;
}

/* A disc out of which a second one is cut. */
static double moon(point p)
{
    double whole = disc_at(p, 0.06, 0, 0.9), cut = disc_at(p, 0.48, 0, 0.68);
    return whole > -cut ? whole : -cut;
}

static double arrow(point p)
{
    static const point corner[] = {
        { 0, -1 }, { 0.74, -0.12 }, { 0.26, -0.12 }, { 0.26, 0.92 }, { -0.26, 0.92 },
        { -0.26, -0.12 }, { -0.74, -0.12 }
    };
    return polygon(p, corner, 7);
}

static double bar(point p)
{
    return sqrt(to_segment_squared(p, (point){ -0.72, 0 }, (point){ 0.72, 0 })) - 0.26;
}

static double (*const figure[KINDS])(point p) = {
    disc, ring, square, triangle, star, cross, heart, moon, arrow, bar
};
static const char *const labels[] = {
    "disc", "ring", "square", "triangle", "star", "cross", "heart", "moon", "arrow",
    "bar", NULL
};

/* ---- colours ---- */

static colour mix(colour a, colour b, double t)
{
    return (colour){ a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t,
                     a.b + (b.b - a.b) * t };
}

static double luminance(colour a)
{
    return 0.299 * a.r + 0.587 * a.g + 0.114 * a.b;
}

/* Hue in turns, saturation and value: a channel is full for a third of the circle round
 * its own place, empty opposite. */
static double channel(double hue, double place, double saturation, double value)
{
    double away = fabs(hue - place);
    away = away < 0.5 ? away : 1 - away;
    return value * (1 - saturation * clamp(6 * away - 1, 0, 1));
}

static colour colour_of(double hue, double saturation, double value)
{
    return (colour){ channel(hue, 0, saturation, value),
                     channel(hue, 1.0 / 3, saturation, value),
                     channel(hue, 2.0 / 3, saturation, value) };
}

/* ---- one picture ---- */

typedef struct scene {
    int kind, texture;
    double x, y, radius, cosine, sine;
    colour light, dark;                 /* of the figure: top and bottom */
    colour ground, pattern;             /* of the background */
    double wave, along, across, phase;  /* of the pattern: size in pixels, direction */
    double cell[8][8];                  /* of the cloudy pattern: heights of a grid */
} scene;

/* How much of `pattern` shows at (x, y), 0..1. */
static double plain(const scene *s, double x, double y)
{
    double u = x - SIDE / 2, v = y - SIDE / 2;
    return clamp(0.5 + (u * s->along + v * s->across) / SIDE, 0, 1);
}

static double wave_at(double x)
{
    return 0.5 + 0.5 * nn_sin(TURN * x);
}

static double stripes(const scene *s, double x, double y)
{
    return wave_at((x * s->along + y * s->across) / s->wave + s->phase);
}

static double checks(const scene *s, double x, double y)
{
    double u = wave_at((x * s->along + y * s->across) / s->wave + s->phase) - 0.5;
    double v = wave_at((y * s->along - x * s->across) / s->wave) - 0.5;
    return clamp(0.5 + 8 * u * v, 0, 1);
}

static double dots(const scene *s, double x, double y)
{
    double u = (x * s->along + y * s->across) / s->wave + s->phase;
    double v = (y * s->along - x * s->across) / s->wave;
    point p = { u - floor(u) - 0.5, v - floor(v) - 0.5 };
    return clamp((0.3 - length(p)) * s->wave + 0.5, 0, 1);
}

static double ease(double t)
{
    return t * t * (3 - 2 * t);
}

static double clouds(const scene *s, double x, double y)
{
    double u = x / s->wave, v = y / s->wave;
    int i = (int)u, j = (int)v;
    double a = ease(u - i), b = ease(v - j);
    double top = s->cell[j][i] + (s->cell[j][i + 1] - s->cell[j][i]) * a;
    double low = s->cell[j + 1][i] + (s->cell[j + 1][i + 1] - s->cell[j + 1][i]) * a;
    return top + (low - top) * b;
}

static double (*const texture[TEXTURES])(const scene *s, double x, double y) = {
    plain, stripes, checks, dots, clouds
};

/* Background colours are drawn until they stand out from the figure by this much
 * luminance (of 1); the pattern then goes further away from it, never nearer. */
#define CONTRAST 0.25
enum { COLOUR_TRIES = 32 };

static void choose_colours(scene *s, nn_rng *r, float *factor)
{
    double hue = nn_rng_double(r), ground = 0;
    double vivid = nn_rng_range(r, 0.6, 0.95);
    colour body = colour_of(hue, vivid, nn_rng_range(r, 0.7, 1));
    double own = luminance(body), other = 0;

    for (int i = 0; i < COLOUR_TRIES; i++) {
        ground = nn_rng_double(r);
        double saturation = nn_rng_range(r, 0.15, 0.6);
        s->ground = colour_of(ground, saturation, nn_rng_range(r, 0.2, 0.95));
        other = luminance(s->ground);
        if (fabs(other - own) >= CONTRAST)
            break;
    }
    colour away = other < own ? (colour){ 0, 0, 0 } : (colour){ 1, 1, 1 };
    s->pattern = mix(s->ground, away, nn_rng_range(r, 0.2, 0.45));
    s->light = mix(body, (colour){ 1, 1, 1 }, 0.18);
    s->dark = mix(body, (colour){ 0, 0, 0 }, 0.18);
    factor[HUE] = (float)hue;
    factor[BACKGROUND] = (float)ground;
}

static void choose_place(scene *s, nn_rng *r, float *factor)
{
    double angle = nn_rng_double(r), room;

    s->radius = nn_rng_range(r, 8, 13);
    room = SIDE / 2.0 - s->radius;
    s->x = SIDE / 2.0 + nn_rng_range(r, -room, room);
    s->y = SIDE / 2.0 + nn_rng_range(r, -room, room);
    s->cosine = nn_cos(TURN * angle);
    s->sine = nn_sin(TURN * angle);
    factor[SCALE] = (float)s->radius;
    factor[ANGLE] = (float)angle;
    factor[X] = (float)s->x;
    factor[Y] = (float)s->y;
}

static void choose_texture(scene *s, nn_rng *r, float *factor)
{
    double angle = nn_rng_double(r);

    s->texture = (int)nn_rng_below(r, TEXTURES);
    s->along = nn_cos(TURN * angle);
    s->across = nn_sin(TURN * angle);
    s->wave = nn_rng_range(r, 5.5, 9);
    s->phase = nn_rng_double(r);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 8; i++)
            s->cell[j][i] = nn_rng_double(r);
    factor[TEXTURE] = (float)s->texture;
}

/* Distance in pixels from (x, y) to the figure, whose own axes are turned.  Where the
 * circle round it (a little over 1 in radius) is FAR pixels away, that will do. */
static double distance(const scene *s, double x, double y)
{
    double dx = (x - s->x) / s->radius, dy = (y - s->y) / s->radius;
    point p = { dx * s->cosine + dy * s->sine, dy * s->cosine - dx * s->sine };
    double outside = (length(p) - 1.05) * s->radius;
    return outside > FAR ? outside : figure[s->kind](p) * s->radius;
}

static uint8_t to_byte(double v)
{
    return (uint8_t)floor(clamp(v, 0, 1) * 255 + 0.5);
}

/* Background, the figure's soft shadow on it, then the figure, lit from above. */
static void paint(const scene *s, uint8_t *pixel)
{
    for (int j = 0; j < SIDE; j++)
        for (int i = 0; i < SIDE; i++, pixel += 3) {
            double x = i + 0.5, y = j + 0.5;
            colour at = mix(s->ground, s->pattern, texture[s->texture](s, x, y));
            double shadow = clamp(0.5 - distance(s, x - 0.8, y - 1.2) / (2 * FAR), 0, 1);
            double cover = clamp(0.5 - distance(s, x, y), 0, 1);
            double height = clamp(0.5 + (y - s->y) / (2 * s->radius), 0, 1);
            at = mix(at, (colour){ 0, 0, 0 }, 0.35 * shadow);
            at = mix(at, mix(s->light, s->dark, height), cover);
            pixel[0] = to_byte(at.r);
            pixel[1] = to_byte(at.g);
            pixel[2] = to_byte(at.b);
        }
}

/* ---- the set ---- */

typedef struct part {
    uint64_t seed, first;
    int n;
    uint8_t *pixel;
    uint16_t *label;
    float *factor;
} part;

static void draw_some(void *ctx, size_t job, int worker)
{
    part *p = ctx;
    int begin = (int)job * JOB, end = begin + JOB < p->n ? begin + JOB : p->n;
    (void)worker;

    for (int i = begin; i < end; i++) {
        uint64_t number = p->first + (uint64_t)i;
        nn_rng r = nn_rng_at(p->seed, NN_RNG_GENERATE, 0, number);
        float *factor = p->factor + (size_t)i * FACTORS;
        scene s = { .kind = (int)(number % KINDS) };

        choose_place(&s, &r, factor);
        choose_texture(&s, &r, factor);
        choose_colours(&s, &r, factor);
        paint(&s, p->pixel + (size_t)i * SIDE * SIDE * 3);
        p->label[i] = (uint16_t)s.kind;
    }
}

static void make_part(part p, nn_arena *a, data_images *d)
{
    p.pixel = NN_NEW(a, uint8_t, (size_t)p.n * SIDE * SIDE * 3);
    p.label = NN_NEW(a, uint16_t, p.n);
    p.factor = NN_NEW(a, float, (size_t)p.n * FACTORS);
    nn_par_run(((size_t)p.n + JOB - 1) / JOB, draw_some, &p);
    *d = (data_images){
        .n = p.n, .h = SIDE, .w = SIDE, .c = 3, .classes = KINDS,
        .pixel = p.pixel, .label = p.label, .factor = p.factor, .factors = FACTORS,
        .mean = { 0.452f, 0.462f, 0.447f }, .std = { 0.271f, 0.287f, 0.261f }
    };
}

static int at_most(int n, int limit)
{
    return limit && limit < n ? limit : n;
}

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    int tests = s->size / 5 > KINDS ? s->size / 5 : KINDS;
    (void)err;

    make_part((part){ .seed = seed, .n = at_most(s->size, s->limit) }, a, train);
    make_part((part){ .seed = seed, .n = at_most(tests, s->test_limit),
                      .first = FIRST_TEST }, a, test);
    return NN_OK;
}

static int present(const data_settings *s, char *where, size_t size)
{
    (void)s;
    snprintf(where, size, "built in");
    return 1;
}

static const char *const factors[] = {
    [HUE] = "hue", [BACKGROUND] = "background", [TEXTURE] = "texture", [SCALE] = "scale",
    [ANGLE] = "angle", [X] = "x", [Y] = "y", [FACTORS] = NULL
};

const data_source data_shapes = {
    .name = "shapes", .about = "drawn figures, known factors, RGB 32 x 32, 10 classes",
    .labels = labels, .factors = factors, .recipe = "simsiam_cifar",
    .train = 10000, .test = 2000, .h = 32, .w = 32, .c = 3, .classes = 10,
    .load = load, .present = present
};
