/* Lanes on AVX-512 (foundation only): 16 lanes in one register.  See body.h for what each
 * function promises.  NN_KERN_EMULATED is set by a test that supplies the intrinsics
 * itself, in portable C. */
#ifndef NN_KERN_EMULATED
#include <immintrin.h>
#endif

typedef __m512 vec;
typedef __mmask16 mask;

LANE mask below(size_t n)
{
    return (mask)((1u << n) - 1);
}

LANE vec v_set1(float a)
{
    return _mm512_set1_ps(a);
}

LANE vec v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

LANE void v_store(float *p, vec a)
{
    _mm512_storeu_ps(p, a);
}

LANE vec v_load_part(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(below(n), p);
}

LANE void v_store_part(float *p, size_t n, vec a)
{
    _mm512_mask_storeu_ps(p, below(n), a);
}

LANE vec v_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

LANE vec v_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

LANE vec v_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

LANE vec v_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

LANE vec v_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

LANE vec v_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}

LANE vec v_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}

LANE vec v_sqrt(vec a)
{
    return _mm512_sqrt_ps(a);
}

LANE mask v_gt(vec a, vec b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}

LANE vec v_pick(mask m, vec a, vec b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

LANE vec v_abs(vec a)
{
    __m512i clear = _mm512_set1_epi32(0x7fffffff);
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), clear));
}

LANE vec v_sign(vec a, vec s)
{
    __m512i keep = _mm512_set1_epi32((int)0x80000000u);
    __m512i sign = _mm512_and_si512(_mm512_castps_si512(s), keep);
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(v_abs(a)), sign));
}

LANE vec v_power(vec n)
{
    __m512i e = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(e, 23));
}

LANE vec v_split(vec x, vec *e)
{
    const __m512i half = _mm512_set1_epi32(ROOT_HALF);
    __m512i bits = _mm512_castps_si512(x);
    __m512i n = _mm512_srai_epi32(_mm512_sub_epi32(bits, half), 23);
    *e = _mm512_cvtepi32_ps(n);
    return _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(n, 23)));
}

LANE float v_fold(vec a)
{
    float s[16];
    _mm512_storeu_ps(s, a);
    for (int gap = 8; gap > 0; gap /= 2)
        for (int i = 0; i < gap; i++)
            s[i] += s[i + gap];
    return s[0];
}

typedef __m512d dvec;

LANE dvec d_set1(double a)
{
    return _mm512_set1_pd(a);
}

LANE dvec d_load(const double *p)
{
    return _mm512_loadu_pd(p);
}

LANE void d_store(double *p, dvec a)
{
    _mm512_storeu_pd(p, a);
}

LANE dvec d_add(dvec a, dvec b)
{
    return _mm512_add_pd(a, b);
}

LANE dvec d_fma(dvec a, dvec b, dvec c)
{
    return _mm512_fmadd_pd(a, b, c);
}

LANE double d_fold(dvec a)
{
    double s[8];
    _mm512_storeu_pd(s, a);
    for (int gap = 4; gap > 0; gap /= 2)
        for (int i = 0; i < gap; i++)
            s[i] += s[i + gap];
    return s[0];
}
