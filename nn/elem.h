#ifndef NN_ELEM_H
#define NN_ELEM_H

/* Elementary functions in double precision with the same bits on every machine.
 *
 * The C library's own differ between versions and between CPUs (it picks variants with
 * and without fused multiply-add), which would break promise 1.  These are plain C:
 * argument reduction and a polynomial, made of additions, multiplications and divisions
 * that IEEE 754 rounds in one way only.  Each is within 2 ulp of the true value on the
 * stated range, which tests/test_elem.c checks against long double (worst of 20 million
 * points: exp 0.99, log 0.96, sin and cos 0.83, tanh 1.50).  sqrt, floor and the like are
 * exact in IEEE 754 and are used directly. */
double nn_exp(double x);                /* overflow: inf, underflow: 0; NaN in, NaN out */
double nn_log(double x);                /* x > 0; 0 gives -inf, negative NaN */
double nn_pow(double x, double y);      /* x >= 0; exp(y log x), about |y log x| ulp */
double nn_sin(double x);                /* |x| <= 1e5; NaN beyond */
double nn_cos(double x);
double nn_tanh(double x);

#endif
