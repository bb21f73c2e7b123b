/* The AVX-512 table for machines without AVX-512: nn/kern/avx512.c itself, with every
 * intrinsic replaced by SIMDe's portable reading of it (package libsimde-dev).  Slow, and
 * never part of the library.  Without the header this file is empty and test_kern.c says
 * that it skips the comparison.
 *
 * SIMDe 0.7.4 lacks five of the intrinsics, its multiply-add rounds twice where the
 * machine's rounds once, and its integer subtraction overflows where C forbids it; those
 * eight stand here.
 *
 * Wants -Wno-psabi: vectors of 64 bytes travel between functions of this file only. */
#include "nn/kern/kern.h"

#if defined(__has_include)
#if __has_include(<simde/x86/avx512.h>)
#include <math.h>
#include <simde/x86/avx512.h>

static simde__m512 fused(simde__m512 a, simde__m512 b, simde__m512 c)
{
    float x[16], y[16], z[16];
    simde_mm512_storeu_ps(x, a);
    simde_mm512_storeu_ps(y, b);
    simde_mm512_storeu_ps(z, c);
    for (int i = 0; i < 16; i++)
        z[i] = fmaf(x[i], y[i], z[i]);
    return simde_mm512_loadu_ps(z);
}

static simde__m512d fused_double(simde__m512d a, simde__m512d b, simde__m512d c)
{
    double x[8], y[8], z[8];
    simde_mm512_storeu_pd(x, a);
    simde_mm512_storeu_pd(y, b);
    simde_mm512_storeu_pd(z, c);
    for (int i = 0; i < 8; i++)
        z[i] = fma(x[i], y[i], z[i]);
    return simde_mm512_loadu_pd(z);
}

static simde__m512 load_some(simde__mmask16 k, const float *p)
{
    float x[16];
    for (int i = 0; i < 16; i++)
        x[i] = k >> i & 1 ? p[i] : 0;
    return simde_mm512_loadu_ps(x);
}

static void store_some(float *p, simde__mmask16 k, simde__m512 a)
{
    float x[16];
    simde_mm512_storeu_ps(x, a);
    for (int i = 0; i < 16; i++)
        if (k >> i & 1)
            p[i] = x[i];
}

static simde__m512i to_int(simde__m512 a)
{
    float x[16];
    int32_t n[16];
    simde_mm512_storeu_ps(x, a);
    for (int i = 0; i < 16; i++)                /* NaN and overflow: the lowest integer */
        n[i] = x[i] >= -0x1p31f && x[i] < 0x1p31f ? (int32_t)lrintf(x[i]) : INT32_MIN;
    return simde_mm512_loadu_epi32(n);
}

static simde__m512 to_float(simde__m512i a)
{
    int32_t n[16];
    float x[16];
    simde_mm512_storeu_si512(n, a);
    for (int i = 0; i < 16; i++)
        x[i] = (float)n[i];
    return simde_mm512_loadu_ps(x);
}

static simde__m512i minus(simde__m512i a, simde__m512i b)
{
    uint32_t n[16], m[16];
    simde_mm512_storeu_si512(n, a);
    simde_mm512_storeu_si512(m, b);
    for (int i = 0; i < 16; i++)
        n[i] -= m[i];
    return simde_mm512_loadu_epi32(n);
}

static simde__m512i shift_right(simde__m512i a, int by)
{
    int32_t n[16];
    simde_mm512_storeu_si512(n, a);
    for (int i = 0; i < 16; i++)                /* keeps the sign */
        n[i] = n[i] < 0 ? ~(~n[i] >> by) : n[i] >> by;
    return simde_mm512_loadu_epi32(n);
}

#ifndef _CMP_GT_OQ
#define _CMP_GT_OQ SIMDE_CMP_GT_OQ
#endif
#define __m512 simde__m512
#define __m512i simde__m512i
#define __m512d simde__m512d
#define _mm512_fmadd_pd fused_double
#define _mm512_set1_pd simde_mm512_set1_pd
#define _mm512_loadu_pd simde_mm512_loadu_pd
#define _mm512_storeu_pd simde_mm512_storeu_pd
#define _mm512_add_pd simde_mm512_add_pd
#define __mmask16 simde__mmask16
#define _mm512_fmadd_ps fused
#define _mm512_maskz_loadu_ps load_some
#define _mm512_mask_storeu_ps store_some
#define _mm512_cvtps_epi32 to_int
#define _mm512_cvtepi32_ps to_float
#define _mm512_srai_epi32 shift_right
#define _mm512_set1_ps simde_mm512_set1_ps
#define _mm512_loadu_ps simde_mm512_loadu_ps
#define _mm512_storeu_ps simde_mm512_storeu_ps
#define _mm512_add_ps simde_mm512_add_ps
#define _mm512_sub_ps simde_mm512_sub_ps
#define _mm512_mul_ps simde_mm512_mul_ps
#define _mm512_div_ps simde_mm512_div_ps
#define _mm512_max_ps simde_mm512_max_ps
#define _mm512_min_ps simde_mm512_min_ps
#define _mm512_sqrt_ps simde_mm512_sqrt_ps
#define _mm512_cmp_ps_mask simde_mm512_cmp_ps_mask
#define _mm512_mask_blend_ps simde_mm512_mask_blend_ps
#define _mm512_castps_si512 simde_mm512_castps_si512
#define _mm512_castsi512_ps simde_mm512_castsi512_ps
#define _mm512_and_si512 simde_mm512_and_si512
#define _mm512_or_si512 simde_mm512_or_si512
#define _mm512_set1_epi32 simde_mm512_set1_epi32
#define _mm512_add_epi32 simde_mm512_add_epi32
#define _mm512_sub_epi32 minus
#define _mm512_slli_epi32 simde_mm512_slli_epi32

#define NN_KERN_EMULATED
#define nn_kern_avx512 nn_kern_avx512_emulated
extern const nn_kern nn_kern_avx512_emulated;
#include "nn/kern/avx512.c"

#endif
#endif
