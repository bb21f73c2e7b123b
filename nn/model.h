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

    /* An autoencoder also gives the map that forward is the mean of, and turns a map back
     * into images; all NULL for a backbone alone.  The decoder's parameters are created
     * when something decodes: build_decoder once, after build. */
    nn_node *(*encode)(nn_tape *t, const void *state, nn_node *x);  /* -> (n,h',w',r) */
    void     (*build_decoder)(nn_store *s, void *state);
    nn_node *(*decode)(nn_tape *t, const void *state, nn_node *map);    /* -> (n,h,w,c) */

    /* Why images of this shape cannot be had, or NULL; without it every image fits.  To
     * build the model for images that do not fit is a bug. */
    const char *(*fits)(const void *config, nn_image_shape in);
    int vectors;                        /* 1: an image is one vector of numbers: neighbours
                                           mean nothing, and forward takes images of the
                                           size it was built for alone */
} nn_model;

/* channels times the width multiplier, rounded, at least 1 */
int             nn_model_width(int channels, double width);

/* `fits` of a model that halves the sides twice and doubles them twice */
const char     *nn_model_fits_quarter(const void *config, nn_image_shape in);

int             nn_model_count(void);
const nn_model *nn_model_at(int i);
const nn_model *nn_model_find(const char *name);        /* NULL if there is none */

#endif
