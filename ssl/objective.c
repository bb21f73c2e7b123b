#include "ssl/objective.h"

#include <string.h>

#include "nn/base.h"
#include "nn/elem.h"

int ssl_has_target(const ssl_method *m, const void *config)
{
    const ssl_clock start = { .epochs = 1, .steps = 1 };
    return m->momentum && m->momentum(config, &start) >= 0;
}

int ssl_view_count(const ssl_method *m, const void *config)
{
    return m->views ? m->views(config) : 2;
}

void ssl_objective_build(ssl_objective *o, nn_store *s, const ssl_method *m,
                         const void *config, int r)
{
    o->method = m;
    o->config = config;
    o->views = ssl_view_count(m, config);
    NN_NEED(o->views >= 1 && o->views <= SSL_MAX_VIEWS, "%s: %d views, at most %d",
            m->name, o->views, SSL_MAX_VIEWS);
    o->heads = m->build(s, config, r, &o->d);
    if (m->build_predictor)
        m->build_predictor(s, o->heads);
    if (m->build_quantiser)
        m->build_quantiser(s, o->heads, &o->quantiser, r);
}

nn_quantiser *ssl_objective_quantiser(const ssl_objective *o)
{
    return o->method->quantiser ? o->method->quantiser(o->heads) : NULL;
}

nn_node *ssl_objective_encode(nn_tape *t, const ssl_objective *o, ssl_views *v, int k,
                              nn_node *x)
{
    v->x[k] = x;
    v->map[k] = o->model->encode(t, o->model_state, x);
    v->model = o->model;
    v->model_state = o->model_state;
    return nn_globalpool(t, v->map[k]);
}

void ssl_objective_target(ssl_objective *o, nn_store *s, int r)
{
    int d;
    o->target_heads = o->method->build(s, o->config, r, &d);
}

void ssl_objective_view(nn_tape *t, const ssl_objective *o, ssl_views *v, int k,
                        nn_node *h)
{
    const ssl_method *m = o->method;
    v->h[k] = h;
    v->z[k] = m->embed(t, o->heads, h);
    v->p[k] = NULL;
    v->method = m;
    v->heads = o->heads;
}

nn_node *ssl_predict(nn_tape *t, const ssl_views *v, int k)
{
    if (v->p[k])
        return v->p[k];
    return v->method && v->method->predict ? v->method->predict(t, v->heads, v->z[k])
                                           : v->z[k];
}

void ssl_objective_target_view(nn_tape *t, const ssl_objective *o, ssl_views *v, int k,
                               nn_node *h)
{
    v->th[k] = h;
    v->tz[k] = o->method->embed(t, o->target_heads, h);
}

void ssl_objective_local(nn_tape *t, const ssl_objective *o, ssl_views *v, nn_node *h)
{
    NN_NEED(v->locals < SSL_MAX_LOCAL, "more than %d local crops", SSL_MAX_LOCAL);
    v->lz[v->locals++] = o->method->embed(t, o->heads, h);
}

static nn_node *with_locals(nn_tape *t, const ssl_objective *o, const ssl_views *v)
{
    const ssl_method *m = o->method;
    nn_node *sum = m->loss(t, o->config, v);

    if (v->locals == 0)
        return sum;
    NN_NEED(m->local, "%s: no loss of local crops", m->name);
    for (int k = 0; k < v->locals; k++) {
        nn_node *p = m->predict ? m->predict(t, o->heads, v->lz[k]) : v->lz[k];
        sum = nn_add(t, sum, m->local(t, o->config, v, p));
    }
    return nn_scale(t, 1.0f / (float)(1 + v->locals), sum);
}

nn_node *ssl_objective_loss(nn_tape *t, const ssl_objective *o, const ssl_views *v)
{
    nn_node *sum = with_locals(t, o, v);

    for (int i = 0; i < o->extras; i++) {
        nn_node *more = o->extra[i].addon->loss(t, o->extra[i].config, v);
        if (more)
            sum = nn_add(t, sum, more);
    }
    return sum;
}

/* ---- what losses are put together with ------------------------------------------- */

nn_node *ssl_term(const ssl_views *v, const char *name, nn_node *value)
{
    ssl_terms *list = v->terms;
    int i = 0;

    if (!list)
        return value;
    while (i < list->count && strcmp(list->list[i].name, name) != 0)
        i++;
    NN_NEED(i < SSL_MAX_TERMS, "%s: a loss of more than %d terms", name, SSL_MAX_TERMS);
    if (i == list->count) {
        list->count++;
        list->list[i].name = name;
        list->list[i].value = 0;
    }
    list->list[i].value += (double)nn_item(value);
    return value;
}

nn_node *ssl_plus(nn_tape *t, nn_node *sum, double weight, nn_node *term)
{
    if (weight == 0)
        return sum;
    if (!sum)
        return weight == 1 ? term : nn_scale(t, (float)weight, term);
    return nn_axpy(t, (float)weight, term, sum);
}

nn_node *ssl_nothing(nn_tape *t, const ssl_views *v)
{
    return nn_scale(t, 0, nn_mean(t, v->z[0]));
}

double ssl_cosine_tau(double tau0, const ssl_clock *clock)
{
    const double pi = 3.14159265358979323846;
    double at = clock->steps > 0 ? (double)clock->step / (double)clock->steps : 0;
    return 1 - (1 - tau0) * (1 + nn_cos(pi * at)) / 2;
}
