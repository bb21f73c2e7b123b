/* Lanes on AVX2 with FMA: 16 lanes in two registers of eight.  See body.h for what each
 * function promises; the three lane headers differ in nothing that the result shows. */
#include <immintrin.h>

typedef struct vec { __m256 lo, hi; } vec;
typedef struct mask { __m256 lo, hi; } mask;

/* lanes below n of a half that starts at `first` */
LANE __m256i below(int first, size_t n)
{
    __m256i lane = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
                                    _mm256_set1_epi32(first));
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}

LANE vec v_set1(float a)
{
    __m256 v = _mm256_set1_ps(a);
    return (vec){ v, v };
}

LANE vec v_load(const float *p)
{
    return (vec){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) };
}

LANE void v_store(float *p, vec a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}

LANE vec v_load_part(const float *p, size_t n)
{
    const float *q = n > 8 ? p + 8 : p;
    return (vec){ _mm256_maskload_ps(p, below(0, n)),
                  _mm256_maskload_ps(q, below(8, n)) };
}

LANE void v_store_part(float *p, size_t n, vec a)
{
    _mm256_maskstore_ps(p, below(0, n), a.lo);
    if (n > 8)
        _mm256_maskstore_ps(p + 8, below(8, n), a.hi);
}

LANE vec v_add(vec a, vec b)
{
    return (vec){ _mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi) };
}

LANE vec v_sub(vec a, vec b)
{
    return (vec){ _mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi) };
}

LANE vec v_mul(vec a, vec b)
{
    return (vec){ _mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi) };
}

LANE vec v_div(vec a, vec b)
{
    return (vec){ _mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi) };
}

LANE vec v_fma(vec a, vec b, vec c)
{
    return (vec){ _mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi) };
}

LANE vec v_max(vec a, vec b)
{
    return (vec){ _mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi) };
}

LANE vec v_min(vec a, vec b)
{
    return (vec){ _mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi) };
}

LANE vec v_sqrt(vec a)
{
    return (vec){ _mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi) };
}

LANE mask v_gt(vec a, vec b)
{
    return (mask){ _mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ),
                   _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ) };
}

LANE vec v_pick(mask m, vec a, vec b)
{
    return (vec){ _mm256_blendv_ps(b.lo, a.lo, m.lo),
                  _mm256_blendv_ps(b.hi, a.hi, m.hi) };
}

LANE vec v_abs(vec a)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    return (vec){ _mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi) };
}

LANE vec v_sign(vec a, vec s)
{
    __m256 sign = _mm256_set1_ps(-0.0f);
    a = v_abs(a);
    return (vec){ _mm256_or_ps(a.lo, _mm256_and_ps(sign, s.lo)),
                  _mm256_or_ps(a.hi, _mm256_and_ps(sign, s.hi)) };
}

LANE __m256 power(__m256 n)
{
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(e, 23));
}

LANE vec v_power(vec n)
{
    return (vec){ power(n.lo), power(n.hi) };
}

LANE __m256 split(__m256 x, __m256 *e)
{
    const __m256i half = _mm256_set1_epi32(ROOT_HALF);
    __m256i bits = _mm256_castps_si256(x);
    __m256i n = _mm256_srai_epi32(_mm256_sub_epi32(bits, half), 23);
    *e = _mm256_cvtepi32_ps(n);
    return _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(n, 23)));
}

LANE vec v_split(vec x, vec *e)
{
    return (vec){ split(x.lo, &e->lo), split(x.hi, &e->hi) };
}

LANE float v_fold(vec a)
{
    __m256 h = _mm256_add_ps(a.lo, a.hi);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    q = _mm_add_ss(q, _mm_shuffle_ps(q, q, 1));
    return _mm_cvtss_f32(q);
}

typedef struct dvec { __m256d lo, hi; } dvec;

LANE dvec d_set1(double a)
{
    __m256d v = _mm256_set1_pd(a);
    return (dvec){ v, v };
}

LANE dvec d_load(const double *p)
{
    return (dvec){ _mm256_loadu_pd(p), _mm256_loadu_pd(p + 4) };
}

LANE void d_store(double *p, dvec a)
{
    _mm256_storeu_pd(p, a.lo);
    _mm256_storeu_pd(p + 4, a.hi);
}

LANE dvec d_add(dvec a, dvec b)
{
    return (dvec){ _mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi) };
}

LANE dvec d_fma(dvec a, dvec b, dvec c)
{
    return (dvec){ _mm256_fmadd_pd(a.lo, b.lo, c.lo), _mm256_fmadd_pd(a.hi, b.hi, c.hi) };
}

LANE double d_fold(dvec a)
{
    __m256d h = _mm256_add_pd(a.lo, a.hi);
    __m128d q = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
    return _mm_cvtsd_f64(_mm_add_sd(q, _mm_unpackhi_pd(q, q)));
}
