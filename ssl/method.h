#ifndef SSL_METHOD_H
#define SSL_METHOD_H

#include "nn/model.h"
#include "nn/quant/quant.h"

/* A self-supervised method: heads on a representation, and a loss over views.  A
 * regulariser: a loss that is added to any method's.  Neither knows anything of optimiser,
 * data or log.  One file each, one line in methods.def or addons.def.
 *
 *   h = f(x)    z = embed(h)    p = predict(z)          of each view x
 *   and, from a slowly following copy of f and embed (the momentum target), th and tz
 *
 * A method that decodes is given x and the map of an autoencoder, whose mean is h, and asks
 * the model for images again. */
enum { SSL_MAX_VIEWS = 4, SSL_MAX_LOCAL = 8, SSL_MAX_TERMS = 16 };

/* Where training stands; step and steps count over the whole run. */
typedef struct ssl_clock { int epoch, epochs; long step, steps; } ssl_clock;

/* Parts of a loss by name, for the log: values without their weights. */
typedef struct ssl_terms {
    int count;
    struct { const char *name; double value; } list[SSL_MAX_TERMS];
} ssl_terms;

typedef struct ssl_views {
    int count;                          /* 2, or what the method's `views` says */
    nn_node *h[SSL_MAX_VIEWS];          /* representations (N, r), one pass each */
    nn_node *z[SSL_MAX_VIEWS];          /* embeddings (N, d) */
    nn_node *p[SSL_MAX_VIEWS];          /* given predictions; losses ask ssl_predict */
    nn_node *th[SSL_MAX_VIEWS];         /* of the target, without gradient; NULL where */
    nn_node *tz[SSL_MAX_VIEWS];         /* the method has none */
    int locals;                         /* local crops (multi-crop): of them there are */
    nn_node *lz[SSL_MAX_LOCAL];         /* embeddings (N, d) alone */
    nn_node *x[SSL_MAX_VIEWS];          /* images (N, h, w, c), and maps (N, h', w', r): */
    nn_node *map[SSL_MAX_VIEWS];        /* for a method that decodes, otherwise NULL */
    const nn_model *model;              /* decodes: model->decode(t, model_state, map) */
    const void *model_state;
    ssl_clock clock;
    ssl_terms *terms;                   /* NULL: nobody asks */
    nn_quantised *found;                /* what a codebook found; NULL: nobody asks */
    const struct ssl_method *method;    /* whose predictor makes p, and its heads */
    const void *heads;
} ssl_views;

typedef struct ssl_method {
    const char *name, *paper;
    size_t config_size;
    const nn_setting *settings;
    /* Creates what embed needs; returns the heads' state and sets *d = width of z.
     * `config` outlives the state. */
    void    *(*build)(nn_store *s, const void *config, int r, int *d);
    nn_node *(*embed)(nn_tape *t, const void *heads, nn_node *h);
    /* The predictor, which the target has none of.  Both NULL: p = z. */
    void     (*build_predictor)(nn_store *s, void *heads);
    nn_node *(*predict)(nn_tape *t, const void *heads, nn_node *z);
    /* One element.  It reads the views alone and, through ssl_predict, the predictor:
     * `fullrank loss` calls it on anybody's embeddings and predictions. */
    nn_node *(*loss)(nn_tape *t, const void *config, const ssl_views *v);
    /* The loss of a local crop whose prediction is p, against the views as targets: the
     * mean (sum) over as many directions as `loss` has of its own.  NULL: the method does
     * not say what a local crop is to be compared with. */
    nn_node *(*local)(nn_tape *t, const void *config, const ssl_views *v, nn_node *p);
    /* tau of the target, xi <- tau xi + (1 - tau) theta before the step that the clock
     * tells; negative: no target with these settings.  NULL: never a target. */
    double   (*momentum)(const void *config, const ssl_clock *clock);
    int      (*views)(const void *config);          /* NULL: 2 */
    int      least_d;                   /* columns of z below which there is no loss */
    /* Autoencoders.  decodes: it wants a model that makes images of maps.  quantises: it
     * has a codebook between the two, which build_quantiser creates on maps of r columns;
     * `reconstruct` gives the images of view k, and tells what the codebook found. */
    int      decodes, quantises;
    void     (*build_quantiser)(nn_store *s, void *heads, const nn_quant_plan *plan, int r);
    nn_quantiser *(*quantiser)(const void *heads);
    nn_node *(*reconstruct)(nn_tape *t, const void *heads, const ssl_views *v, int k,
                            nn_quantised *found);
} ssl_method;

/* A regulariser adds its own weighted loss to a method's.  NULL from `loss`: nothing in
 * this step (before its start, or with weight 0). */
typedef struct ssl_addon {
    const char *name, *paper;
    size_t config_size;
    const nn_setting *settings;
    nn_node *(*loss)(nn_tape *t, const void *config, const ssl_views *v);
    int      (*views)(const void *config);          /* 1: it reads the first alone;
                                                     * NULL: 2 */
    int sometimes;                      /* 1: its loss may be NULL in some steps only */
} ssl_addon;

int               ssl_method_count(void);
const ssl_method *ssl_method_at(int i);
const ssl_method *ssl_method_find(const char *name);

int              ssl_addon_count(void);
const ssl_addon *ssl_addon_at(int i);
const ssl_addon *ssl_addon_find(const char *name);
int              ssl_addon_views(const ssl_addon *a, const void *config);

/* p of view k: v->p[k] where it was given, otherwise the predictor is run on z; z itself
 * without predictor.  Ask once for each view: every call runs it anew. */
nn_node *ssl_predict(nn_tape *t, const ssl_views *v, int k);

/* For losses.  ssl_term: notes the value of a one-element node under a name (a literal)
 * and returns the node; a name that was noted before gets the sum.  ssl_plus: sum + weight
 * * term, where sum may be NULL; a weight of 0 adds nothing.  ssl_nothing: 0, with a
 * gradient of zeros, for a method whose weights are all 0. */
nn_node *ssl_term(const ssl_views *v, const char *name, nn_node *value);
nn_node *ssl_plus(nn_tape *t, nn_node *sum, double weight, nn_node *term);
nn_node *ssl_nothing(nn_tape *t, const ssl_views *v);

/* tau from tau0 to 1 along a cosine (BYOL): 1 - (1 - tau0) (1 + cos(pi step / steps)) / 2 */
double   ssl_cosine_tau(double tau0, const ssl_clock *clock);

#endif
