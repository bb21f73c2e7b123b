#include "nn/rng.h"

#include <math.h>
#include "nn/base.h"
#include "nn/elem.h"

/* One round multiplies two of the four words by odd constants and crosses the halves;
 * the key moves on by the golden ratio and sqrt(3) - 1.  Constants from the paper. */
void nn_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t a = counter[0], b = counter[1], c = counter[2], d = counter[3];
    uint32_t k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53u * a, q = (uint64_t)0xCD9E8D57u * c;
        a = (uint32_t)(q >> 32) ^ b ^ k0;
        c = (uint32_t)(p >> 32) ^ d ^ k1;
        b = (uint32_t)q;
        d = (uint32_t)p;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = d;
}

nn_rng nn_rng_at(uint64_t seed, nn_purpose purpose, uint32_t epoch, uint64_t sample)
{
    nn_rng r = {0};

    NN_NEED(epoch < 1u << 24, "random numbers: epoch %u is not below 2^24", epoch);
    NN_NEED((unsigned)purpose < 256, "random numbers: purpose %d is not below 256",
            (int)purpose);
    r.key[0] = (uint32_t)seed;
    r.key[1] = (uint32_t)(seed >> 32);
    r.counter[1] = (uint32_t)sample;
    r.counter[2] = (uint32_t)(sample >> 32);
    r.counter[3] = (uint32_t)purpose << 24 | epoch;
    return r;
}

void nn_rng_skip(nn_rng *r, uint32_t blocks)
{
    NN_NEED(r->counter[0] == 0 && !r->left && !r->spared,
            "random numbers: skipped in the middle of a stream");
    r->counter[0] = blocks;
}

uint32_t nn_rng_u32(nn_rng *r)
{
    if (!r->left) {
        nn_philox(r->counter, r->key, r->out);
        r->counter[0]++;
        r->left = 4;
    }
    return r->out[4 - r->left--];
}

float nn_rng_float(nn_rng *r)
{
    return (float)(nn_rng_u32(r) >> 8) * 0x1p-24f;
}

double nn_rng_double(nn_rng *r)
{
    uint64_t high = nn_rng_u32(r) >> 5, low = nn_rng_u32(r) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

double nn_rng_range(nn_rng *r, double lo, double hi)
{
    return lo + (hi - lo) * nn_rng_double(r);
}

/* The product word * n lies in [0, 2^32 n): its high half is the answer.  Some answers
 * have one more low half than others; the first 2^32 mod n low halves are drawn again. */
uint32_t nn_rng_below(nn_rng *r, uint32_t n)
{
    NN_NEED(n > 0, "random numbers: nothing lies below %u", n);
    uint32_t again = (0u - n) % n;
    uint64_t p;

    do
        p = (uint64_t)nn_rng_u32(r) * n;
    while ((uint32_t)p < again);
    return (uint32_t)(p >> 32);
}

double nn_rng_normal(nn_rng *r)
{
    if (r->spared) {
        r->spared = 0;
        return r->spare;
    }
    double u = (nn_rng_u32(r) + 0.5) * 0x1p-32;         /* the half keeps log finite */
    double angle = nn_rng_u32(r) * (0x1.921fb54442d18p+2 * 0x1p-32);    /* 2 pi */
    double radius = sqrt(-2 * nn_log(u));

    r->spare = radius * nn_sin(angle);
    r->spared = 1;
    return radius * nn_cos(angle);
}

void nn_rng_permute(nn_rng *r, uint32_t *order, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = nn_rng_below(r, i), keep = order[i - 1];
        order[i - 1] = order[j];
        order[j] = keep;
    }
}

uint64_t nn_hash_name(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (const unsigned char *s = (const unsigned char *)name; *s; s++)
        h = (h ^ *s) * 0x100000001b3u;
    return h;
}
