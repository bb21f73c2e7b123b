#ifndef TESTS_NET_H
#define TESTS_NET_H

#include "nn/model.h"
#include "ssl/objective.h"

/* A small network with its arenas, for tests that need a whole training step. */
typedef struct net {
    nn_arena forever, step, scratch;
    nn_store store;
    nn_tape tape;
    const nn_model *model;
    const ssl_method *method;
    unsigned char model_config[256], method_config[256], quant_config[256];
    void *backbone;
    ssl_objective objective;
    int r, d;
    nn_image_shape image;
    int batch;
    float *view[2];                     /* random images, fixed by the seed */
} net;

/* Settings start at their defaults; change them with net_set_* before net_build. */
void net_start(net *n, const char *model, const char *method, nn_image_shape image,
               int batch);
void net_set_model(net *n, const char *setting, double value);
void net_set_method(net *n, const char *setting, double value);
void net_build(net *n, uint64_t seed);
void net_free(net *n);

/* A method that decodes needs a model that can; a codebook is the first kind's, of 32. */
int  net_can(const char *model, const char *method);

/* Records both views and the loss on a fresh tape; the views are left in *v. */
nn_node *net_loss(net *n, ssl_views *v);

/* One plain step: gradient, then w -= lr g. Returns the loss. */
float net_train_step(net *n, float lr);

#endif
