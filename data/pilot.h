#ifndef DATA_PILOT_H
#define DATA_PILOT_H

#include <stdint.h>

/* The matrices of the set `pilot`, for its tests. */
enum { DATA_PILOT_LATENT = 6, DATA_PILOT_WIDE = 48, DATA_PILOT_COLUMNS = 32 };

typedef struct data_pilot {
    double m1[DATA_PILOT_LATENT * DATA_PILOT_WIDE];     /* (latent, wide) */
    double m2[DATA_PILOT_WIDE * DATA_PILOT_COLUMNS];    /* (wide, columns) */
} data_pilot_matrices;

data_pilot_matrices data_pilot_of(uint64_t seed);

#endif
