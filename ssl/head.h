#ifndef SSL_HEAD_H
#define SSL_HEAD_H

#include "nn/layer.h"

/* A head: linear layers with BatchNorm and ReLU between them, the shape that projectors,
 * expanders and predictors share.  Names count as torch.nn.Sequential would: with
 * BatchNorm "projector.0" (linear), ".1" (norm), [.2 ReLU], ".3" (linear) ... */
typedef enum ssl_norm { SSL_NORM_NONE, SSL_NORM_HIDDEN, SSL_NORM_OUTPUT } ssl_norm;

typedef struct ssl_head_plan {
    int layers;                     /* linear layers, at most SSL_HEAD_LAYERS */
    int in, hidden, out;            /* hidden 0: as wide as out */
    ssl_norm norm;                  /* none; after hidden layers; after the last too */
    nn_affine out_affine;           /* of the BatchNorm after the last layer */
    nn_bias out_bias;               /* of the last linear layer without BatchNorm */
} ssl_head_plan;

enum { SSL_HEAD_LAYERS = 4 };

typedef struct ssl_head {
    int layers;
    nn_linear_layer linear[SSL_HEAD_LAYERS];
    nn_bn_layer bn[SSL_HEAD_LAYERS];
    int normed[SSL_HEAD_LAYERS];
} ssl_head;

/* A linear layer before BatchNorm has no bias: the norm would remove it (spec 1.1). */
ssl_head ssl_head_new(nn_store *s, const char *name, const ssl_head_plan *plan);
nn_node *ssl_head_apply(nn_tape *t, const ssl_head *head, nn_node *x);  /* -> (N,out) */

/* For methods that have nothing but a projector: the head is all their state, and
 * ssl_projector_embed their `embed`.  new sets *d = width of z. */
ssl_head *ssl_projector_new(nn_store *s, const ssl_head_plan *plan, int *d);
nn_node  *ssl_projector_embed(nn_tape *t, const void *heads, nn_node *h);

#endif
