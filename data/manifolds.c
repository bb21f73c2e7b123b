/* Manifolds: surfaces of a dimension that is known, turned at random into R^D, and the
 * noise that is asked for.
 *
 *   x = Q y + noise e,   Q (D, m) with orthonormal columns,   e ~ N(0, I_D)
 *
 *   sphere       y uniform on S^k, the unit sphere of R^(k+1): a normal vector over its
 *                length (Muller, 1959)
 *   torus        y = (cos a_1, sin a_1, ..., cos a_k, sin a_k), a uniform: a product of k
 *                circles, which is flat
 *   swiss_roll   y = (t cos t - 2, 21 (v - 1/2), t sin t - 2 / (3 pi)),
 *                t = 3 pi / 2 (1 + 2 u), u and v uniform on [0, 1): the roll of
 *                scikit-learn's make_swiss_roll (after Marsland, "Machine Learning"), less
 *                its mean; its dimension is 2
 *
 * k is data.intrinsic.  Q keeps all distances: whatever D, the geometry is that of y.  The
 * class is the octant: of y's first three coordinates, of the halves of the first three
 * circles, of the roll's quarter and side. */
#include <math.h>

#include "data/made.h"
#include "nn/elem.h"

#define PI 3.141592653589793

enum { MOST_ACROSS = 64, CLASSES = 8 };

typedef struct manifold manifold;

/* Draws a point: y, its octant and its factors. */
typedef int point_fn(int k, nn_rng *r, double *y, float *factor);

struct manifold {
    int k, columns, m;
    double noise;
    double *q;                          /* (columns, m) */
    point_fn *point;
};

static void row(const void *ctx, uint64_t number, nn_rng *r, float *value,
                uint16_t *label, float *factor)
{
    const manifold *s = ctx;
    double y[MOST_ACROSS];
    (void)number;

    *label = (uint16_t)s->point(s->k, r, y, factor);
    for (int i = 0; i < s->columns; i++) {
        double x = 0;
        for (int j = 0; j < s->m; j++)
            x += s->q[i * s->m + j] * y[j];
        value[i] = (float)(x + s->noise * nn_rng_normal(r));
    }
}

/* `square` is the mean of |y|^2, over D numbers; y has the mean 0. */
static nn_status load_surface(const data_settings *s, uint64_t seed, nn_arena *a,
                              data_images *train, data_images *test, nn_err *err,
                              manifold f, data_made m, double square)
{
    nn_rng r = data_made_shared(seed);

    if (f.m > s->dim)
        return nn_fail(err, NN_ECONFIG, "data.dim: %s of dimension %d needs %d numbers, "
                       "not %d; raise data.dim or lower data.intrinsic", s->name, f.k,
                       f.m, s->dim);
    f.columns = s->dim;
    f.noise = s->noise;
    f.q = NN_NEW(a, double, (size_t)f.columns * (size_t)f.m);
    data_made_frame(&r, f.columns, f.m, f.q);
    m.columns = f.columns;
    m.std = sqrt(square / f.columns + f.noise * f.noise);
    m.ctx = &f;
    m.row = row;
    data_make(&m, s, seed, a, train, test);
    return NN_OK;
}

static int bits(int k)
{
    return k < 3 ? k : 3;
}

/* ---- sphere ---- */

static int on_sphere(int k, nn_rng *r, double *y, float *factor)
{
    double square = 0;
    int octant = 0;

    for (int j = 0; j <= k; j++) {
        y[j] = nn_rng_normal(r);
        square += y[j] * y[j];
    }
    const double length = sqrt(square);
    for (int j = 0; j <= k; j++) {
        y[j] = length > 0 ? y[j] / length : j == 0;
        factor[j] = (float)y[j];
        if (j < 3 && y[j] >= 0)
            octant |= 1 << j;
    }
    return octant;
}

static nn_status load_sphere(const data_settings *s, uint64_t seed, nn_arena *a,
                             data_images *train, data_images *test, nn_err *err)
{
    const int m = s->intrinsic + 1;
    return load_surface(s, seed, a, train, test, err,
                        (manifold){ .k = s->intrinsic, .m = m, .point = on_sphere },
                        (data_made){ .classes = 1 << bits(m), .factors = m,
                                     .factor_names = data_made_names(a, "y", m) }, 1);
}

/* ---- torus ---- */

static int on_torus(int k, nn_rng *r, double *y, float *factor)
{
    int octant = 0;

    for (int j = 0; j < k; j++) {
        const double turn = nn_rng_double(r);
        y[2 * j] = nn_cos(2 * PI * turn);
        y[2 * j + 1] = nn_sin(2 * PI * turn);
        factor[j] = (float)turn;
        if (j < 3 && turn < 0.5)
            octant |= 1 << j;
    }
    return octant;
}

static nn_status load_torus(const data_settings *s, uint64_t seed, nn_arena *a,
                            data_images *train, data_images *test, nn_err *err)
{
    const int k = s->intrinsic;
    return load_surface(s, seed, a, train, test, err,
                        (manifold){ .k = k, .m = 2 * k, .point = on_torus },
                        (data_made){ .classes = 1 << bits(k), .factors = k,
                                     .factor_names = data_made_names(a, "turn", k) }, k);
}

/* ---- swiss roll ---- */

enum { ANGLE, HEIGHT, ROLL_FACTORS };

static int on_roll(int k, nn_rng *r, double *y, float *factor)
{
    const double u = nn_rng_double(r), v = nn_rng_double(r), t = 1.5 * PI * (1 + 2 * u);
    (void)k;

    y[0] = t * nn_cos(t) - 2;
    y[1] = 21 * (v - 0.5);
    y[2] = t * nn_sin(t) - 2 / (3 * PI);
    factor[ANGLE] = (float)t;
    factor[HEIGHT] = (float)y[1];
    return (int)(4 * u) | (v >= 0.5 ? 4 : 0);
}

static const char *const roll_factors[] = {
    [ANGLE] = "angle", [HEIGHT] = "height", [ROLL_FACTORS] = NULL
};

/* E t^2 = 39 pi^2 / 4, less the squared means of the first and the last column, and
 * 21^2 / 12 of the second. */
static nn_status load_roll(const data_settings *s, uint64_t seed, nn_arena *a,
                           data_images *train, data_images *test, nn_err *err)
{
    const double square = 39 * PI * PI / 4 - 4 - 4 / (9 * PI * PI) + 21 * 21 / 12.0;
    return load_surface(s, seed, a, train, test, err,
                        (manifold){ .k = 2, .m = 3, .point = on_roll },
                        (data_made){ .classes = CLASSES, .factors = ROLL_FACTORS,
                                     .factor_names = roll_factors }, square);
}

static const char *const octants[CLASSES + 1] = {
    "octant 1", "octant 2", "octant 3", "octant 4", "octant 5", "octant 6", "octant 7",
    "octant 8", NULL
};

const data_source data_sphere = {
    .name = "sphere", .about = "vectors: uniform on a sphere of known dimension",
    .labels = octants, .recipe = "noise", .load = load_sphere,
    .present = data_made_present,
    .train = 10000, .test = 2000, .h = 1, .w = 1, .c = 32, .classes = 8
};

const data_source data_torus = {
    .name = "torus", .about = "vectors: a product of circles of known dimension",
    .labels = octants, .recipe = "noise", .load = load_torus,
    .present = data_made_present,
    .train = 10000, .test = 2000, .h = 1, .w = 1, .c = 32, .classes = 8
};

const data_source data_swiss_roll = {
    .name = "swiss_roll", .about = "vectors: a rolled up plane",
    .labels = octants, .factors = roll_factors, .recipe = "noise", .load = load_roll,
    .present = data_made_present,
    .train = 10000, .test = 2000, .h = 1, .w = 1, .c = 32, .classes = 8
};
