#ifndef SSL_OBJECTIVE_H
#define SSL_OBJECTIVE_H

#include "ssl/method.h"

/* What a run minimises: a method with its heads, and the regularisers that are added. */
enum { SSL_MAX_ADDONS = 8 };

typedef struct ssl_extra { const ssl_addon *addon; const void *config; } ssl_extra;

typedef struct ssl_objective {
    const ssl_method *method;
    const void *config;
    void *heads, *target_heads;         /* target_heads NULL: no momentum target */
    int d;                              /* width of z */
    int views;
    ssl_extra extra[SSL_MAX_ADDONS];    /* in the order of addons.def */
    int extras;
    nn_quant_plan quantiser;            /* before build, of a method that quantises */
    const nn_model *model;              /* before the first view, of one that decodes */
    const void *model_state;
} ssl_objective;

/* Whether the method, with these settings, wants a momentum target. */
int      ssl_has_target(const ssl_method *m, const void *config);
int      ssl_view_count(const ssl_method *m, const void *config);

/* Heads on representations of width r.  `extra` may be filled in before or after. */
void     ssl_objective_build(ssl_objective *o, nn_store *s, const ssl_method *m,
                             const void *config, int r);
/* The target's heads; their tensors are created in *s. */
void     ssl_objective_target(ssl_objective *o, nn_store *s, int r);

/* Its codebook, built by ssl_objective_build; NULL: the method has none. */
nn_quantiser *ssl_objective_quantiser(const ssl_objective *o);

/* Encodes images x (N, h, w, c) with the model of a method that decodes: fills x and map of
 * view k, and returns h, the mean of the map. */
nn_node *ssl_objective_encode(nn_tape *t, const ssl_objective *o, ssl_views *v, int k,
                              nn_node *x);

/* Puts h of view k on its way: v->h[k], z[k], and where p will come from. */
void     ssl_objective_view(nn_tape *t, const ssl_objective *o, ssl_views *v, int k,
                            nn_node *h);
/* The same of the target: v->th[k], tz[k]. */
void     ssl_objective_target_view(nn_tape *t, const ssl_objective *o, ssl_views *v, int k,
                                   nn_node *h);

/* One more local crop: v->lz[v->locals++]. */
void     ssl_objective_local(nn_tape *t, const ssl_objective *o, ssl_views *v, nn_node *h);

/* The method's loss plus what the regularisers add.  With local crops it is the mean of
 * the method's loss of the views and of one loss for each local crop, so that every
 * direction (from a view or crop to a view) weighs the same (SwAV, DINO). */
nn_node *ssl_objective_loss(nn_tape *t, const ssl_objective *o, const ssl_views *v);

#endif
