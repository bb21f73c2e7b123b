/* Clouds: a mixture of round Gaussians.
 *
 *   x = m_k + e + offset,   k = i mod K,   e ~ N(0, I_D),   m_k ~ N(0, s^2 / (2 D) I)
 *
 * so that E |m_a - m_b|^2 = s^2: `separation` s is the root mean square distance of two
 * centres, in units of a cloud's deviation along any direction.  The class is the
 * component.  Below s of about 4 clouds overlap in few dimensions. */
#include <math.h>

#include "data/made.h"

enum { COMPONENT, SQUARE, FACTORS };

typedef struct clouds {
    int components, columns;
    double *centre;                     /* (components, columns), offset and all */
} clouds;

static void row(const void *ctx, uint64_t number, nn_rng *r, float *value,
                uint16_t *label, float *factor)
{
    const clouds *c = ctx;
    const int k = (int)(number % (uint64_t)c->components);
    double square = 0;

    for (int j = 0; j < c->columns; j++) {
        const double e = nn_rng_normal(r);
        value[j] = (float)(c->centre[k * c->columns + j] + e);
        square += e * e;
    }
    *label = (uint16_t)k;
    factor[COMPONENT] = (float)k;
    factor[SQUARE] = (float)square;
}

static const char *const factors[] = {
    [COMPONENT] = "component", [SQUARE] = "square", [FACTORS] = NULL
};

/* Numbers have the variance 1 of a cloud and, on the average over sets, s^2 / (2 D) of
 * the centres; the offset is the mean that normalising takes away. */
static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    clouds c = { s->components, s->dim, NULL };
    const double spread = s->separation / sqrt(2.0 * s->dim);
    nn_rng r = data_made_shared(seed);
    (void)err;

    c.centre = NN_NEW(a, double, (size_t)c.components * (size_t)c.columns);
    for (int k = 0; k < c.components * c.columns; k++)
        c.centre[k] = s->offset + spread * nn_rng_normal(&r);
    data_make(&(data_made){ .columns = c.columns, .classes = c.components,
                            .factors = FACTORS, .std = sqrt(1 + spread * spread),
                            .names = data_made_names(a, "cloud ", c.components),
                            .factor_names = factors, .ctx = &c, .row = row },
              s, seed, a, train, test);
    train->mean[0] = test->mean[0] = (float)s->offset;
    return NN_OK;
}

const data_source data_clouds = {
    .name = "clouds", .about = "vectors: a mixture of round Gaussians",
    .factors = factors, .recipe = "noise", .load = load, .present = data_made_present,
    .train = 10000, .test = 2000, .h = 1, .w = 1, .c = 32, .classes = 10
};
