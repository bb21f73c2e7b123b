#ifndef NN_TENSOR_H
#define NN_TENSOR_H

#include <stddef.h>
#include <stdint.h>
#include "nn/arena.h"

/* Shapes are row-major with channels last: (n, h, w, c) for images, (n, c) for vectors.
 * Most operators see a tensor as nn_rows x nn_cols: cols is the last dimension. */
enum { NN_MAX_RANK = 4 };

typedef struct nn_shape { int rank, dim[NN_MAX_RANK]; } nn_shape;

nn_shape nn_shape1(int a);
nn_shape nn_shape2(int a, int b);
nn_shape nn_shape4(int n, int h, int w, int c);
size_t   nn_shape_count(const nn_shape *s);             /* elements */
int      nn_shape_same(const nn_shape *a, const nn_shape *b);
const char *nn_shape_text(const nn_shape *s, char *out, size_t size);   /* "(2, 28)" */

/* A named tensor that outlives the step: a parameter (has a gradient, is trained), a
 * buffer (running statistics), or the target of a parameter, which follows it.  Names are
 * torchvision's ("layer1.0.conv1.weight").  Convolution weights are stored (cout, kh, kw,
 * cin), those of transposed ones (cin, kh, kw, cout); linear weights (out, in). */
typedef enum nn_role { NN_PARAMETER, NN_BUFFER, NN_TARGET } nn_role;

typedef struct nn_param {
    const char *name;
    nn_role role;
    nn_shape shape;
    float *val, *grad;              /* grad NULL for all that is not trained */
    const struct nn_param *follows; /* of a target: the parameter it follows */
    int constant_lr;                /* 1: keeps the peak learning rate (fix_pred_lr) */
} nn_param;

/* Every named tensor of a run, in order of creation. */
typedef struct nn_store {
    nn_arena *arena;                /* the forever arena */
    uint64_t seed;
    nn_param **list;
    int count, room;
    int of_target;                  /* 1: what is created now belongs to the target */
} nn_store;

/* Creates a tensor; values are not set.  Names are unique: a second use is a bug.  While
 * of_target is set, "target." is put before the name and a parameter becomes a target,
 * which follows the one with the same name. */
nn_param *nn_store_add(nn_store *s, const char *name, nn_role role, nn_shape shape);
/* The same under "prefix.name". */
nn_param *nn_store_add_in(nn_store *s, const char *prefix, const char *name, nn_role role,
                          nn_shape shape);
nn_param *nn_store_find(const nn_store *s, const char *name);
void      nn_store_zero_grad(nn_store *s);
size_t    nn_store_count(const nn_store *s);            /* trained numbers */

/* The moving average of a target network: every target becomes tau itself + (1 - tau) what
 * it follows.  tau = 1 leaves it, tau = 0 copies, both to the bit. */
void      nn_store_follow(nn_store *s, double tau);

/* The first parameter, in order of creation, whose gradient has a NaN or an infinity in
 * it; NULL: every gradient is finite.  Reads each gradient once, with the whole team; the
 * answer does not depend on the team. */
const nn_param *nn_store_bad_grad(const nn_store *s);

/* How many of n numbers are NaN or infinite, and where the first of them stands (n: there
 * is none).  A plain look at the bits: no arithmetic, no exception. */
typedef struct nn_bad { size_t nans, infs, first; } nn_bad;
nn_bad nn_bad_among(const float *x, size_t n);

/* Initial values: functions of (store seed, name) alone. */
void nn_init_constant(nn_param *p, float value);
void nn_init_uniform(nn_store *s, nn_param *p, double bound);   /* U(-bound, bound) */
void nn_init_normal(nn_store *s, nn_param *p, double std);

#endif
