#ifndef SSL_METHOD_H
#define SSL_METHOD_H

#include "nn/layer.h"
#include "nn/setting.h"

/* A self-supervised method: heads on a representation, and a loss over views.
 * It knows nothing of optimiser, data or log.  One file per method, one line in
 * methods.def. */
enum { SSL_MAX_VIEWS = 8 };

typedef struct ssl_views {
    int count;                          /* 2 */
    nn_node *h[SSL_MAX_VIEWS];          /* representations (N, r), one pass each */
    nn_node *z[SSL_MAX_VIEWS];          /* embeddings (N, d): embed(h) */
} ssl_views;

typedef struct ssl_method {
    const char *name, *paper;
    size_t config_size;
    const nn_setting *settings;
    /* Creates the heads' parameters; returns the state for the other two and sets
     * *d = width of z.  `config` outlives the state. */
    void    *(*build)(nn_store *s, const void *config, int r, int *d);
    nn_node *(*embed)(nn_tape *t, const void *state, nn_node *h);
    nn_node *(*loss)(nn_tape *t, const void *state, const ssl_views *v);
} ssl_method;

int               ssl_method_count(void);
const ssl_method *ssl_method_at(int i);
const ssl_method *ssl_method_find(const char *name);

#endif
