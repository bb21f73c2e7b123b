#ifndef NN_MODEL_H
#define NN_MODEL_H

#include "nn/layer.h"
#include "nn/setting.h"

/* A backbone f: images (n, h, w, c) -> representation h (n, r).  One file in nn/models,
 * one line in models.def. */
typedef struct nn_image_shape { int h, w, c; } nn_image_shape;

typedef struct nn_model {
    const char *name, *about;
    size_t config_size;
    const nn_setting *settings;
    /* Creates the parameters; returns the state for forward and sets *width = r. */
    void    *(*build)(nn_store *s, const void *config, nn_image_shape in, int *width);
    nn_node *(*forward)(nn_tape *t, const void *state, nn_node *x);
} nn_model;

/* channels times the width multiplier, rounded, at least 1 */
int             nn_model_width(int channels, double width);

int             nn_model_count(void);
const nn_model *nn_model_at(int i);
const nn_model *nn_model_find(const char *name);        /* NULL if there is none */

#endif
