#ifndef NN_QUANT_COMPRESS_H
#define NN_QUANT_COMPRESS_H

#include <stdint.h>

#include "nn/arena.h"
#include "nn/rng.h"

/* Compression of many short vectors v of d numbers (taps of filters, grids of splines) to
 * a shape out of K, a gain and an offset: gain-shape-bias quantisation, spec 11.
 *
 *   b = mean(v)     u = v - b     k = argmax_k <u, S_k>     g = <u, S_k>
 *   v^ = g S_k + b,     |v - v^|^2 = |u|^2 - g^2
 *
 * Shapes S_k have length 1 and mean 0.  Without bias b = 0 and u = v, and shapes have
 * length 1 alone.  With two_sided the k of the largest |<u, S_k>| is taken: indices stay
 * below K and the sign goes into the gain, so K shapes do the work of 2 K.  One-sided, a
 * gain is below zero only where all shapes face away from u.
 *
 * Where |u| < 1e-8, g = 0 and any shape will do; k is then what the search says (for
 * zeros, the first shape that has a length).  A row that is not finite, and every row if
 * a shape is not, has index 0 and g = NaN. */
typedef struct nn_gain_shapes {
    size_t k, d;
    int bias, two_sided;
    float *shape;                       /* (k, d) */
} nn_gain_shapes;

typedef struct nn_gain_codes { int *index; float *gain, *offset; } nn_gain_codes;

/* n rows v to index, gain and offset (n each; offsets are 0 without bias), and back.
 * Encoding returns how many rows have no code. */
size_t nn_gain_shape_encode(const nn_gain_shapes *s, const float *v, size_t n,
                            nn_gain_codes c, nn_arena *scratch);
void   nn_gain_shape_decode(const nn_gain_shapes *s, nn_gain_codes c, size_t n, float *v);

/* Shapes for the rows v: K of their directions, far apart (nn_seeds, weights |u|^2, so
 * that chances go with squared errors). */
void   nn_gain_shape_seed(const nn_gain_shapes *s, const float *v, size_t n, nn_rng *r,
                          nn_arena *scratch);

/* Spherical k-means from the shapes that are there, which are centred and scaled first
 * (with rounds = 0 that is all).  A round: every row takes its code, then
 *
 *   S_k <- t / |t|,   t = T - mean(T),   T = sum over the rows of k of g_i u_i
 *
 * a step of the power method for what it maximises, the sum of g_i^2: that never falls,
 * for S'AS of a matrix A = sum u u' does not when S becomes A S / |A S|.  (Weights |u_i|
 * instead of g_i, which look alike, maximise sum |u_i| g_i and can lower it.)  One-sided,
 * rows that face away from their shape count as g = 0 in both sums; two-sided the sign of
 * g turns them round.  A shape without rows stays.
 *
 * objective: NULL or rounds + 1 numbers, the sum of g^2 before the first round and after
 * each; NaN if a row is not finite. */
void   nn_gain_shape_fit(const nn_gain_shapes *s, const float *v, size_t n, int rounds,
                         double *objective, nn_arena *scratch);

/* int8.c: numbers of one layer as codes -127 .. 127.
 *
 *   linear   x^ = step q,  step = max |x| / 127                      |x^ - x| <= step / 2
 *   log      x^ = sign(q) top e^(-step (127 - |q|)), 0 for q = 0
 *            top = max |x|,  step = ln(top / low) / 126
 *            |ln |x^ / x|| <= step / 2 for |x| >= low
 *
 * low is the least |x| that is not under top / 4096: what is smaller adds less than 2^-24
 * of the largest to a sum of squares, and goes to 0 or to low, whichever is nearer.  One
 * number that is not finite makes step and top NaN, and with them all that is decoded. */
typedef struct nn_int8 { int log; float step, top; } nn_int8;

nn_int8 nn_int8_linear(const float *x, size_t n);
nn_int8 nn_int8_log(const float *x, size_t n);
void    nn_int8_encode(const nn_int8 *s, const float *x, size_t n, int8_t *q);
void    nn_int8_decode(const nn_int8 *s, const int8_t *q, size_t n, float *x);

/* Bits of n vectors: as they are, 32 n d; as codes, n (log2 K rounded up + 8 for the gain
 * + 8 for the offset, with bias); and what a layer has once: shapes, steps and a top. */
typedef struct nn_gain_storage { double plain, codes, once; } nn_gain_storage;

nn_gain_storage nn_gain_shape_storage(const nn_gain_shapes *s, size_t n);

#endif
