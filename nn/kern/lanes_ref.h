/* Lanes in plain C: 16 floats in an array, every function a loop over them.  This is the
 * text that defines the result; the other lane headers say the same in intrinsics. */
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct vec { float v[16]; } vec;
typedef struct mask { int m[16]; } mask;

LANE vec v_set1(float a)
{
    vec r;
    for (int i = 0; i < 16; i++) r.v[i] = a;
    return r;
}

LANE vec v_load(const float *p)
{
    vec r;
    for (int i = 0; i < 16; i++) r.v[i] = p[i];
    return r;
}

LANE void v_store(float *p, vec a)
{
    for (int i = 0; i < 16; i++) p[i] = a.v[i];
}

LANE vec v_load_part(const float *p, size_t n)
{
    vec r;
    for (int i = 0; i < 16; i++) r.v[i] = (size_t)i < n ? p[i] : 0;
    return r;
}

LANE void v_store_part(float *p, size_t n, vec a)
{
    for (size_t i = 0; i < n; i++)
        p[i] = a.v[i];
}

LANE vec v_add(vec a, vec b)
{
    for (int i = 0; i < 16; i++) a.v[i] += b.v[i];
    return a;
}

LANE vec v_sub(vec a, vec b)
{
    for (int i = 0; i < 16; i++) a.v[i] -= b.v[i];
    return a;
}

LANE vec v_mul(vec a, vec b)
{
    for (int i = 0; i < 16; i++) a.v[i] *= b.v[i];
    return a;
}

LANE vec v_div(vec a, vec b)
{
    for (int i = 0; i < 16; i++) a.v[i] /= b.v[i];
    return a;
}

LANE vec v_fma(vec a, vec b, vec c)
{
    for (int i = 0; i < 16; i++) c.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
    return c;
}

LANE vec v_max(vec a, vec b)
{
    for (int i = 0; i < 16; i++) a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}

LANE vec v_min(vec a, vec b)
{
    for (int i = 0; i < 16; i++) a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}

LANE vec v_sqrt(vec a)
{
    for (int i = 0; i < 16; i++) a.v[i] = sqrtf(a.v[i]);
    return a;
}

LANE mask v_gt(vec a, vec b)
{
    mask r;
    for (int i = 0; i < 16; i++) r.m[i] = a.v[i] > b.v[i];
    return r;
}

LANE vec v_pick(mask m, vec a, vec b)
{
    for (int i = 0; i < 16; i++) a.v[i] = m.m[i] ? a.v[i] : b.v[i];
    return a;
}

LANE vec v_abs(vec a)
{
    for (int i = 0; i < 16; i++) a.v[i] = fabsf(a.v[i]);
    return a;
}

LANE vec v_sign(vec a, vec s)
{
    for (int i = 0; i < 16; i++) a.v[i] = copysignf(a.v[i], s.v[i]);
    return a;
}

LANE uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

LANE float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

LANE vec v_power(vec n)
{
    for (int i = 0; i < 16; i++) {
        int e = n.v[i] == n.v[i] ? (int)n.v[i] : 0;         /* NaN has no integer */
        n.v[i] = float_of((uint32_t)(e + 127) << 23);
    }
    return n;
}

LANE vec v_split(vec x, vec *e)
{
    for (int i = 0; i < 16; i++) {
        uint32_t bits = bits_of(x.v[i]), over = bits - ROOT_HALF;
        uint32_t n = over >> 23 | (over >> 31 ? 0xfffffe00u : 0);   /* keeps the sign */
        e->v[i] = (float)(n >> 31 ? -(int)(~n + 1) : (int)n);
        x.v[i] = float_of(bits - (n << 23));
    }
    return x;
}

LANE float v_fold(vec a)
{
    for (int gap = 8; gap > 0; gap /= 2)
        for (int i = 0; i < gap; i++)
            a.v[i] += a.v[i + gap];
    return a.v[0];
}

typedef struct dvec { double v[8]; } dvec;

LANE dvec d_set1(double a)
{
    dvec r;
    for (int i = 0; i < 8; i++) r.v[i] = a;
    return r;
}

LANE dvec d_load(const double *p)
{
    dvec r;
    for (int i = 0; i < 8; i++) r.v[i] = p[i];
    return r;
}

LANE void d_store(double *p, dvec a)
{
    for (int i = 0; i < 8; i++) p[i] = a.v[i];
}

LANE dvec d_add(dvec a, dvec b)
{
    for (int i = 0; i < 8; i++) a.v[i] += b.v[i];
    return a;
}

LANE dvec d_fma(dvec a, dvec b, dvec c)
{
    for (int i = 0; i < 8; i++) c.v[i] = fma(a.v[i], b.v[i], c.v[i]);
    return c;
}

LANE double d_fold(dvec a)
{
    for (int gap = 4; gap > 0; gap /= 2)
        for (int i = 0; i < gap; i++)
            a.v[i] += a.v[i + gap];
    return a.v[0];
}
