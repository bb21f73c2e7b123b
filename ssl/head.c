#include "ssl/head.h"

#include <stdio.h>

#include "nn/base.h"

ssl_head ssl_head_new(nn_store *s, const char *name, const ssl_head_plan *plan)
{
    ssl_head head = { .layers = plan->layers };
    int place = 0, from = plan->in;
    char part[64];

    NN_NEED(plan->layers > 0 && plan->layers <= SSL_HEAD_LAYERS,
            "head: %d layers, at most %d", plan->layers, SSL_HEAD_LAYERS);
    for (int i = 0; i < plan->layers; i++) {
        int hidden = plan->hidden ? plan->hidden : plan->out;
        int last = i == plan->layers - 1, to = last ? plan->out : hidden;
        nn_bias bias = last ? plan->out_bias : NN_BIAS;

        head.normed[i] =
            plan->norm == SSL_NORM_OUTPUT || (plan->norm == SSL_NORM_HIDDEN && !last);
        snprintf(part, sizeof part, "%s.%d", name, place++);
        head.linear[i] =
            nn_linear_new(s, part, from, to, head.normed[i] ? NN_NO_BIAS : bias);
        if (head.normed[i]) {
            snprintf(part, sizeof part, "%s.%d", name, place++);
            head.bn[i] = nn_bn_new(s, part, to, last ? plan->out_affine : NN_AFFINE);
        }
        place++;                                            /* the ReLU */
        from = to;
    }
    return head;
}

nn_node *ssl_head_apply(nn_tape *t, const ssl_head *head, nn_node *x)
{
    for (int i = 0; i < head->layers; i++) {
        nn_act act = i < head->layers - 1 ? NN_RELU : NN_LINEAR;
        x = nn_linear_apply(t, &head->linear[i], x);
        if (head->normed[i])
            x = nn_bn_apply(t, &head->bn[i], x, NULL, act);
        else if (act == NN_RELU)
            x = nn_relu(t, x);
    }
    return x;
}

ssl_head *ssl_projector_new(nn_store *s, const ssl_head_plan *plan, int *d)
{
    ssl_head *head = NN_NEW(s->arena, ssl_head, 1);

    *head = ssl_head_new(s, "projector", plan);
    *d = plan->out;
    return head;
}

nn_node *ssl_projector_embed(nn_tape *t, const void *heads, nn_node *h)
{
    return ssl_head_apply(t, heads, h);
}
