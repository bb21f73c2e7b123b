/* Pilot: what a small autoencoder is tried on without a file (spec 12.3).
 *
 *   x = tanh(u M1) M2 + 0.05 e,   u ~ N(0, I_6),  e ~ N(0, I_32)
 *   M1 (6, 48) ~ N(0, 0.6^2),     M2 (48, 32) ~ N(0, 1/49)
 *
 * Six hidden coordinates, which are the factors, bent into 32 numbers.  x and -x are
 * equally likely, so every number has the mean 0.  The class is the octant of
 * (u_1, u_2, u_3). */
#include "data/pilot.h"

#include "data/made.h"
#include "nn/elem.h"

enum { LATENT = DATA_PILOT_LATENT, WIDE = DATA_PILOT_WIDE, X = DATA_PILOT_COLUMNS };

/* sqrt(48/49 E tanh^2(N(0, 6 x 0.36)) + 0.05^2): of the mean over all M1, M2. */
static const double deviation = 0.7247, noise = 0.05;

data_pilot_matrices data_pilot_of(uint64_t seed)
{
    nn_rng r = data_made_shared(seed);
    data_pilot_matrices p;

    for (int k = 0; k < LATENT * WIDE; k++)
        p.m1[k] = 0.6 * nn_rng_normal(&r);
    for (int k = 0; k < WIDE * X; k++)
        p.m2[k] = nn_rng_normal(&r) / 7;
    return p;
}

static void row(const void *ctx, uint64_t number, nn_rng *r, float *value,
                uint16_t *label, float *factor)
{
    const data_pilot_matrices *p = ctx;
    double u[LATENT], x[X];
    int octant = 0;
    (void)number;

    for (int j = 0; j < LATENT; j++) {
        u[j] = nn_rng_normal(r);
        factor[j] = (float)u[j];
        if (j < 3 && u[j] >= 0)
            octant |= 1 << j;
    }
    for (int j = 0; j < X; j++)
        x[j] = noise * nn_rng_normal(r);
    for (int h = 0; h < WIDE; h++) {
        double s = 0;
        for (int j = 0; j < LATENT; j++)
            s += u[j] * p->m1[j * WIDE + h];
        s = nn_tanh(s);
        for (int j = 0; j < X; j++)
            x[j] += s * p->m2[h * X + j];
    }
    for (int j = 0; j < X; j++)
        value[j] = (float)x[j];
    *label = (uint16_t)octant;
}

static const char *const octants[] = {
    "octant 1", "octant 2", "octant 3", "octant 4", "octant 5", "octant 6", "octant 7",
    "octant 8", NULL
};
static const char *const factors[] = { "u1", "u2", "u3", "u4", "u5", "u6", NULL };

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    const data_pilot_matrices p = data_pilot_of(seed);
    (void)err;

    data_make(&(data_made){ .columns = X, .classes = 8, .factors = LATENT,
                            .std = deviation, .ctx = &p, .row = row },
              s, seed, a, train, test);
    return NN_OK;
}

const data_source data_pilot = {
    .name = "pilot", .about = "vectors: 6 hidden numbers bent into 32, for autoencoders",
    .labels = octants, .factors = factors, .recipe = "none", .load = load,
    .present = data_made_present,
    .train = 10000, .test = 2000, .h = 1, .w = 1, .c = 32, .classes = 8
};
