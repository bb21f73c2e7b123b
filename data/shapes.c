#include <math.h>

#include "data/figure.h"
#include "data/made.h"
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
 * DATA_FIRST_TEST on, so that no picture is in both parts. */

enum { SIDE = 32, KINDS = DATA_FIGURES, TEXTURES = 5, JOB = 64 };
enum { HUE, BACKGROUND, TEXTURE, SCALE, ANGLE, X, Y, FACTORS };
#define TURN 6.283185307179586
#define FAR 1.5                         /* pixels: half the width of a shadow's edge */

typedef struct colour { double r, g, b; } colour;

static const char *const labels[] = {
    "disc", "ring", "square", "triangle", "star", "cross", "heart", "moon", "arrow",
    "bar", NULL
};

static double length(data_point p)
{
    return sqrt(p.x * p.x + p.y * p.y);
}

static double clamp(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

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

typedef struct body {
    int kind;
    double x, y, radius, cosine, sine;
    colour light, dark;                 /* top and bottom */
} body;

enum { MOST_OTHERS = 2 };

typedef struct scene {
    body figure;
    body other[MOST_OTHERS];            /* behind it, where it is hard */
    int others, texture;
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
    data_point p = { u - floor(u) - 0.5, v - floor(v) - 0.5 };
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

static void shade(body *b, colour c)
{
    b->light = mix(c, (colour){ 1, 1, 1 }, 0.18);
    b->dark = mix(c, (colour){ 0, 0, 0 }, 0.18);
}

static void choose_colours(scene *s, nn_rng *r, float *factor)
{
    double hue = nn_rng_double(r), ground = 0;
    double vivid = nn_rng_range(r, 0.6, 0.95);
    colour own = colour_of(hue, vivid, nn_rng_range(r, 0.7, 1));
    double light = luminance(own), other = 0;

    for (int i = 0; i < COLOUR_TRIES; i++) {
        ground = nn_rng_double(r);
        double saturation = nn_rng_range(r, 0.15, 0.6);
        s->ground = colour_of(ground, saturation, nn_rng_range(r, 0.2, 0.95));
        other = luminance(s->ground);
        if (fabs(other - light) >= CONTRAST)
            break;
    }
    colour away = other < light ? (colour){ 0, 0, 0 } : (colour){ 1, 1, 1 };
    s->pattern = mix(s->ground, away, nn_rng_range(r, 0.2, 0.45));
    shade(&s->figure, own);
    factor[HUE] = (float)hue;
    factor[BACKGROUND] = (float)ground;
}

static void turn(body *b, double angle)
{
    b->cosine = nn_cos(TURN * angle);
    b->sine = nn_sin(TURN * angle);
}

static void choose_place(scene *s, nn_rng *r, float *factor)
{
    double angle = nn_rng_double(r), room;
    body *b = &s->figure;

    b->radius = nn_rng_range(r, 8, 13);
    room = SIDE / 2.0 - b->radius;
    b->x = SIDE / 2.0 + nn_rng_range(r, -room, room);
    b->y = SIDE / 2.0 + nn_rng_range(r, -room, room);
    turn(b, angle);
    factor[SCALE] = (float)b->radius;
    factor[ANGLE] = (float)angle;
    factor[X] = (float)b->x;
    factor[Y] = (float)b->y;
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
static double distance(const body *b, double x, double y)
{
    double dx = (x - b->x) / b->radius, dy = (y - b->y) / b->radius;
    data_point p = { dx * b->cosine + dy * b->sine, dy * b->cosine - dx * b->sine };
    double outside = (length(p) - 1.05) * b->radius;
    return outside > FAR ? outside : data_figure(b->kind, p) * b->radius;
}

static uint8_t to_byte(double v)
{
    return (uint8_t)floor(clamp(v, 0, 1) * 255 + 0.5);
}

/* A soft shadow on what is there, then the figure, lit from above. */
static colour put(colour at, const body *b, double x, double y)
{
    double shadow = clamp(0.5 - distance(b, x - 0.8, y - 1.2) / (2 * FAR), 0, 1);
    double cover = clamp(0.5 - distance(b, x, y), 0, 1);
    double height = clamp(0.5 + (y - b->y) / (2 * b->radius), 0, 1);

    at = mix(at, (colour){ 0, 0, 0 }, 0.35 * shadow);
    return mix(at, mix(b->light, b->dark, height), cover);
}

static void paint(const scene *s, uint8_t *pixel)
{
    for (int j = 0; j < SIDE; j++)
        for (int i = 0; i < SIDE; i++, pixel += 3) {
            double x = i + 0.5, y = j + 0.5;
            colour at = mix(s->ground, s->pattern, texture[s->texture](s, x, y));
            for (int k = 0; k < s->others; k++)
                at = put(at, &s->other[k], x, y);
            at = put(at, &s->figure, x, y);
            pixel[0] = to_byte(at.r);
            pixel[1] = to_byte(at.g);
            pixel[2] = to_byte(at.b);
        }
}

/* ---- difficulty ---- */

enum { NORMAL, EASY, HARD };

/* Kind and rotation alone are left: a yellow figure in the middle of dark blue. */
static void make_easy(scene *s, float *factor)
{
    const double hue = 1.0 / 6, ground = 2.0 / 3;
    body *b = &s->figure;

    b->radius = 11;
    b->x = b->y = SIDE / 2.0;
    s->texture = 0;
    s->ground = s->pattern = colour_of(ground, 0.5, 0.4);
    shade(b, colour_of(hue, 0.75, 0.9));
    factor[HUE] = (float)hue;
    factor[BACKGROUND] = (float)ground;
    factor[TEXTURE] = 0;
    factor[SCALE] = (float)b->radius;
    factor[X] = factor[Y] = SIDE / 2.0f;
}

/* The figure is smaller, and behind it lie figures of other kinds, which are smaller
 * still; what is drawn for them comes last. */
static void make_hard(scene *s, nn_rng *r, float *factor)
{
    s->figure.radius *= 0.7;
    factor[SCALE] = (float)s->figure.radius;
    for (s->others = 0; s->others < MOST_OTHERS; s->others++) {
        body *b = &s->other[s->others];
        const int away = 1 + (int)nn_rng_below(r, KINDS - 1);
        b->kind = (s->figure.kind + away) % KINDS;
        b->radius = nn_rng_range(r, 4, 5.5);
        b->x = nn_rng_range(r, b->radius, SIDE - b->radius);
        b->y = nn_rng_range(r, b->radius, SIDE - b->radius);
        turn(b, nn_rng_double(r));
        const double hue = nn_rng_double(r), vivid = nn_rng_range(r, 0.6, 0.95);
        shade(b, colour_of(hue, vivid, nn_rng_range(r, 0.7, 1)));
    }
}

/* ---- the set ---- */

typedef struct part {
    uint64_t seed, first;
    int n, difficulty;
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
        scene s = { .figure.kind = (int)(number % KINDS) };

        choose_place(&s, &r, factor);
        choose_texture(&s, &r, factor);
        choose_colours(&s, &r, factor);
        if (p->difficulty == EASY)
            make_easy(&s, factor);
        if (p->difficulty == HARD)
            make_hard(&s, &r, factor);
        paint(&s, p->pixel + (size_t)i * SIDE * SIDE * 3);
        p->label[i] = (uint16_t)s.figure.kind;
    }
}

/* Measured. */
typedef struct moments { float mean[3], std[3]; } moments;
static const moments of_level[] = {
    [EASY] = { { 0.319f, 0.319f, 0.370f }, { 0.240f, 0.240f, 0.053f } },
    [NORMAL] = { { 0.452f, 0.462f, 0.447f }, { 0.271f, 0.287f, 0.261f } },
    [HARD] = { { 0.446f, 0.459f, 0.443f }, { 0.269f, 0.287f, 0.259f } },
};

static void make_part(part p, nn_arena *a, data_images *d)
{
    const moments *m = &of_level[p.difficulty];

    p.pixel = NN_NEW(a, uint8_t, (size_t)p.n * SIDE * SIDE * 3);
    p.label = NN_NEW(a, uint16_t, p.n);
    p.factor = NN_NEW(a, float, (size_t)p.n * FACTORS);
    nn_par_run(((size_t)p.n + JOB - 1) / JOB, draw_some, &p);
    *d = (data_images){
        .n = p.n, .h = SIDE, .w = SIDE, .c = 3, .classes = KINDS,
        .pixel = p.pixel, .label = p.label, .factor = p.factor, .factors = FACTORS,
        .mean = { m->mean[0], m->mean[1], m->mean[2] },
        .std = { m->std[0], m->std[1], m->std[2] }
    };
}

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    (void)err;

    make_part((part){ .seed = seed, .n = data_made_train(s),
                      .difficulty = s->difficulty }, a, train);
    make_part((part){ .seed = seed, .n = data_made_test(s, KINDS),
                      .first = DATA_FIRST_TEST, .difficulty = s->difficulty }, a, test);
    return NN_OK;
}

static const char *const factors[] = {
    [HUE] = "hue", [BACKGROUND] = "background", [TEXTURE] = "texture", [SCALE] = "scale",
    [ANGLE] = "angle", [X] = "x", [Y] = "y", [FACTORS] = NULL
};

const data_source data_shapes = {
    .name = "shapes", .about = "drawn figures, known factors, RGB 32 x 32, 10 classes",
    .labels = labels, .factors = factors, .recipe = "simsiam_cifar",
    .train = 10000, .test = 2000, .h = 32, .w = 32, .c = 3, .classes = 10,
    .load = load, .present = data_made_present
};
