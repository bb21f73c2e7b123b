/* Lanes on NEON as every aarch64 processor has it: 16 lanes in four registers of four.
 * See body.h for what each function promises.
 *
 * Where NEON has an instruction of the right name and the wrong corner, a comparison and
 * a selection stand here instead: fmax of a number and NaN is NaN in any order, and
 * fmax(-0, +0) is +0, but a > b ? a : b gives b in both.  Reciprocals and roots are the
 * rounded ones, not the estimates. */
#include <arm_neon.h>

typedef struct vec { float32x4_t q[4]; } vec;
typedef struct mask { uint32x4_t q[4]; } mask;

LANE vec v_set1(float a)
{
    float32x4_t v = vdupq_n_f32(a);
    return (vec){ { v, v, v, v } };
}

LANE vec v_load(const float *p)
{
    return (vec){ { vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8),
                    vld1q_f32(p + 12) } };
}

LANE void v_store(float *p, vec a)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        vst1q_f32(p + 4 * i, a.q[i]);
}

/* There are no masked loads and stores; a part goes through 16 floats of the stack. */
LANE vec v_load_part(const float *p, size_t n)
{
    float whole[16] = { 0 };
    for (size_t i = 0; i < n; i++)
        whole[i] = p[i];
    return v_load(whole);
}

LANE void v_store_part(float *p, size_t n, vec a)
{
    float whole[16];
    v_store(whole, a);
    for (size_t i = 0; i < n; i++)
        p[i] = whole[i];
}

LANE vec v_add(vec a, vec b)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        a.q[i] = vaddq_f32(a.q[i], b.q[i]);
    return a;
}

LANE vec v_sub(vec a, vec b)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        a.q[i] = vsubq_f32(a.q[i], b.q[i]);
    return a;
}

LANE vec v_mul(vec a, vec b)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        a.q[i] = vmulq_f32(a.q[i], b.q[i]);
    return a;
}

LANE vec v_div(vec a, vec b)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        a.q[i] = vdivq_f32(a.q[i], b.q[i]);
    return a;
}

LANE vec v_fma(vec a, vec b, vec c)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        c.q[i] = vfmaq_f32(c.q[i], a.q[i], b.q[i]);
    return c;
}

LANE mask v_gt(vec a, vec b)
{
    mask m;
    UNROLL
    for (int i = 0; i < 4; i++)
        m.q[i] = vcgtq_f32(a.q[i], b.q[i]);
    return m;
}

LANE vec v_pick(mask m, vec a, vec b)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        a.q[i] = vbslq_f32(m.q[i], a.q[i], b.q[i]);
    return a;
}

/* clang 14 recognises the two steps and makes them fmax again, +0 for -0; of a mask that
 * it cannot see the origin of, it knows nothing.  This costs no instruction. */
LANE mask hidden(mask m)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        __asm__("" : "+w"(m.q[i]));
    return m;
}

LANE vec v_max(vec a, vec b)
{
    return v_pick(hidden(v_gt(a, b)), a, b);
}

LANE vec v_min(vec a, vec b)
{
    return v_pick(hidden(v_gt(b, a)), a, b);
}

LANE vec v_sqrt(vec a)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        a.q[i] = vsqrtq_f32(a.q[i]);
    return a;
}

LANE vec v_abs(vec a)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        a.q[i] = vabsq_f32(a.q[i]);
    return a;
}

LANE vec v_sign(vec a, vec s)
{
    const uint32x4_t sign = vdupq_n_u32(0x80000000u);
    UNROLL
    for (int i = 0; i < 4; i++)
        a.q[i] = vbslq_f32(sign, s.q[i], a.q[i]);
    return a;
}

/* NaN becomes the integer 0 and so 1.0, as in the other tables. */
LANE vec v_power(vec n)
{
    UNROLL
    for (int i = 0; i < 4; i++) {
        int32x4_t e = vaddq_s32(vcvtnq_s32_f32(n.q[i]), vdupq_n_s32(127));
        n.q[i] = vreinterpretq_f32_s32(vshlq_n_s32(e, 23));
    }
    return n;
}

LANE vec v_split(vec x, vec *e)
{
    UNROLL
    for (int i = 0; i < 4; i++) {
        int32x4_t bits = vreinterpretq_s32_f32(x.q[i]);
        int32x4_t n = vshrq_n_s32(vsubq_s32(bits, vdupq_n_s32(ROOT_HALF)), 23);
        e->q[i] = vcvtq_f32_s32(n);
        x.q[i] = vreinterpretq_f32_s32(vsubq_s32(bits, vshlq_n_s32(n, 23)));
    }
    return x;
}

LANE float v_fold(vec a)
{
    float32x4_t q = vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3]));
    float32x2_t d = vadd_f32(vget_low_f32(q), vget_high_f32(q));
    return vget_lane_f32(d, 0) + vget_lane_f32(d, 1);
}

typedef struct dvec { float64x2_t q[4]; } dvec;

LANE dvec d_set1(double a)
{
    float64x2_t v = vdupq_n_f64(a);
    return (dvec){ { v, v, v, v } };
}

LANE dvec d_load(const double *p)
{
    return (dvec){ { vld1q_f64(p), vld1q_f64(p + 2), vld1q_f64(p + 4),
                     vld1q_f64(p + 6) } };
}

LANE void d_store(double *p, dvec a)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        vst1q_f64(p + 2 * i, a.q[i]);
}

LANE dvec d_add(dvec a, dvec b)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        a.q[i] = vaddq_f64(a.q[i], b.q[i]);
    return a;
}

LANE dvec d_fma(dvec a, dvec b, dvec c)
{
    UNROLL
    for (int i = 0; i < 4; i++)
        c.q[i] = vfmaq_f64(c.q[i], a.q[i], b.q[i]);
    return c;
}

LANE double d_fold(dvec a)
{
    float64x2_t q = vaddq_f64(vaddq_f64(a.q[0], a.q[2]), vaddq_f64(a.q[1], a.q[3]));
    return vgetq_lane_f64(q, 0) + vgetq_lane_f64(q, 1);
}
