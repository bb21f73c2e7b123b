/* exp, log, tanh and gelu over lanes; included by body.h.
 *
 * Argument reduction and a polynomial each.  The coefficients were found for this file by
 * Remez exchange on the relative error of the function (not of the polynomial), in 40
 * digits, then rounded to float.  Largest errors over every float, found by trying all of
 * them (tests/test_kern.c walks every 5021st and holds these bounds):
 *
 *   exp    1.02 ulp     x > 88.7228  gives inf, x < -103.97 gives 0; gradual underflow
 *   log    0.83 ulp     0 gives -inf, x < 0 gives NaN, inf gives inf; denormals as they are
 *   tanh   1.34 ulp     tanh(-0) = -0, +-1 from |x| = 9.02 on
 *
 * NaN in, NaN out. */

/* exp(x) = 2^n p, n nearest to x / ln 2.  The power is applied in two halves, so that the
 * result may pass the ends of the range and a denormal result is rounded once. */
LANE vec v_exp(vec x)
{
    /* ln 2 in two parts: n hi is exact for |n| < 2^9, as hi has 15 bits */
    const vec hi = v_set1(-0x1.62e4p-1f), lo = v_set1(-0x1.7f7d1cp-20f);

    x = v_min(v_set1(90), v_max(v_set1(-105), x));          /* in this order keeps NaN */
    vec n = nearest(v_mul(x, v_set1(0x1.715476p+0f)));      /* 1 / ln 2 */
    vec r = v_fma(n, lo, v_fma(n, hi, x));

    vec p = v_set1(0x1.6a2352p-10f);
    p = v_fma(p, r, v_set1(0x1.123a6cp-7f));
    p = v_fma(p, r, v_set1(0x1.5558f4p-5f));
    p = v_fma(p, r, v_set1(0x1.555490p-3f));
    p = v_fma(p, r, v_set1(0x1.fffffcp-2f));
    p = v_fma(p, v_mul(r, r), r);
    p = v_add(p, v_set1(1));

    vec half = nearest(v_mul(n, v_set1(0.5f)));
    return v_mul(v_mul(p, v_power(half)), v_power(v_sub(n, half)));
}

/* log(x) = e ln 2 + log(1 + f),  x = 2^e (1 + f),  log(1 + f) = f - f^2/2 + f^3 p(f) */
LANE vec v_log(vec x)
{
    const vec zero = v_zero(), tiny = v_set1(0x1p-126f), inf = v_set1(INFINITY);
    /* ln 2 in two parts: e hi is exact, as hi has 15 bits and e at most 8 */
    const vec hi = v_set1(0x1.62e4p-1f), lo = v_set1(0x1.7f7d1cp-20f);
    mask small = v_gt(tiny, x);
    vec e, m = v_split(v_pick(small, v_mul(x, v_set1(0x1p25f)), x), &e);
    e = v_pick(small, v_sub(e, v_set1(25)), e);
    vec f = v_sub(m, v_set1(1)), f2 = v_mul(f, f);

    vec p = v_set1(0x1.1457c4p-4f);
    p = v_fma(p, f, v_set1(-0x1.de3c1cp-4f));
    p = v_fma(p, f, v_set1(0x1.e6f062p-4f));
    p = v_fma(p, f, v_set1(-0x1.fc2206p-4f));
    p = v_fma(p, f, v_set1(0x1.233768p-3f));
    p = v_fma(p, f, v_set1(-0x1.555c4ep-3f));
    p = v_fma(p, f, v_set1(0x1.99a4b6p-3f));
    p = v_fma(p, f, v_set1(-0x1.000006p-2f));
    p = v_fma(p, f, v_set1(0x1.555548p-2f));

    vec y = v_fma(v_mul(p, f), f2, v_mul(e, lo));
    y = v_add(f, v_fma(v_set1(-0.5f), f2, y));
    y = v_fma(e, hi, y);

    vec none = v_pick(v_gt(zero, x), v_sub(inf, inf), v_sub(zero, inf));
    y = v_pick(v_gt(x, zero), y, none);
    return v_pick(v_gt(inf, x), y, x);          /* inf and NaN stay what they are */
}

/* Small |x|: x + x^3 p(x^2).  Otherwise 1 - 2 / (exp(2|x|) + 1), which loses nothing once
 * the subtracted part is below one half.  The sign is put back at the end. */
LANE vec v_tanh(vec x)
{
    const vec one = v_set1(1), two = v_set1(2);
    vec a = v_abs(x), z = v_mul(a, a);

    vec p = v_set1(-0x1.768620p-8f);
    p = v_fma(p, z, v_set1(0x1.524ebcp-6f));
    p = v_fma(p, z, v_set1(-0x1.b8431cp-5f));
    p = v_fma(p, z, v_set1(0x1.110760p-3f));
    p = v_fma(p, z, v_set1(-0x1.555534p-2f));
    vec near = v_fma(v_mul(p, z), a, a);

    vec far = v_exp(v_mul(two, v_min(v_set1(10), a)));
    far = v_sub(one, v_div(two, v_add(far, one)));
    return v_sign(v_pick(v_gt(v_set1(0.625f), a), near, far), x);
}

/* x Phi(x) and its slope Phi(x) + x phi(x).  With t = |x|,
 *
 *   Phi(-t) = exp(-t^2 / 2) p(u),   u = (t - 3) / (t + 3),   Phi(t) = 1 - Phi(-t)
 *
 * where p(u) = erfcx(t / sqrt 2) / 2 is smooth and falls slowly: good to 1.2e-7 of itself
 * for t up to 14.5 (1.8e-8 before its coefficients were rounded); from there on the
 * exponential is 0 in float. */
LANE vec v_gelu(vec x, vec *slope)
{
    static const float coefficient[] = {
        0x1.c50eeap-15f, 0x1.e5a2c6p-14f, -0x1.646e2cp-12f, -0x1.01f3f0p-10f,
        0x1.7cbb08p-9f, 0x1.91e05cp-8f, -0x1.7a945cp-5f, 0x1.f8bacep-4f, -0x1.a6b66ap-3f,
        0x1.f1b89cp-4f
    };
    const vec three = v_set1(3), per_root = v_set1(0x1.988454p-2f);  /* 1 / sqrt(2 pi) */
    vec e = v_exp(v_mul(v_set1(-0.5f), v_mul(x, x)));
    vec t = v_min(v_abs(x), v_set1(14.5f));
    vec u = v_div(v_sub(t, three), v_add(t, three));

    vec p = v_set1(coefficient[0]);
    UNROLL
    for (int i = 1; i < 10; i++)
        p = v_add(v_mul(p, u), v_set1(coefficient[i]));
    vec below = v_mul(e, p);
    vec phi = v_pick(v_gt(v_zero(), x), below, v_sub(v_set1(1), below));
    *slope = v_add(phi, v_mul(x, v_mul(per_root, e)));
    return v_mul(x, phi);
}
