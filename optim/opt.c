#include <math.h>
#include <stdio.h>
#include <string.h>
#include "nn/par.h"
#include "optim/opt.h"

/* The list of optimisers, their settings, and the loop over tensors.
 *
 * Every tensor is cut into pieces of OPT_PIECE elements.  A step has at most three
 * passes: sums of squares by the piece, one number per tensor, updates by the piece. */
const nn_setting opt_setting_table[] = {
    NN_SET_F(opt_settings, lr, 0, 0, 1e6,
             "peak learning rate as used, whatever the batch; 0: from base_lr"),
    NN_SET_F(opt_settings, base_lr, 0, 0, 1e6,
             "peak learning rate per 256 images; 0 with lr 0: the optimizer's own "
             "(sgd 0.05, adamw 0.001, lars 0.2, lars_clip 0.3)"),
    NN_SET_F(opt_settings, momentum, 0.9, 0, 1,
             "share of the momentum buffer kept each step"),
    NN_SET_F(opt_settings, weight_decay, 5e-4, 0, 1e3,
             "pull of the weights towards zero"),
    NN_SET_C(opt_settings, schedule, OPT_COSINE, "cosine|constant",
             "learning rate after the warm-up"),
    NN_SET_C(opt_settings, per, OPT_PER_EPOCH, "step|epoch",
             "how often the cosine moves on"),
    NN_SET_F(opt_settings, warmup_epochs, 0, 0, 1e6,
             "epochs of linear rise to the peak, step by step"),
    NN_SET_F(opt_settings, warmup_start, 0, 0, 1,
             "where the rise begins, as a fraction of the peak"),
    NN_SET_F(opt_settings, final_lr, 0, 0, 1,
             "where the cosine ends, as a fraction of the peak"),
    NN_SET_F(opt_settings, eta, 0, 0, 1e3,
             "trust coefficient of LARS; 0: lars 0.001, lars_clip 0.02"),
    NN_SET_B(opt_settings, clip_lr, 1,
             "lars_clip: never step further than plain SGD would"),
    NN_SET_C(opt_settings, exclude, OPT_EXCLUDE_AUTO, "auto|none|rank1",
             "tensors without weight decay and LARS scaling: rank1 is biases and "
             "normalisation; auto: rank1 with lars and lars_clip, none otherwise"),
    NN_SET_F(opt_settings, beta1, 0.9, 0, 0.999999,
             "adamw: memory of the mean gradient"),
    NN_SET_F(opt_settings, beta2, 0.999, 0, 0.999999,
             "adamw: memory of the squared gradient"),
    NN_SET_F(opt_settings, eps, 1e-8, 1e-16, 1,         /* 0 / 0 where a gradient is zero */
             "adamw: added to the root of the squared gradient"),
    NN_SET_END
};

static const char common[] =
    " lr base_lr schedule per warmup_epochs warmup_start final_lr ";

#define X(m) extern const opt_method opt_##m;
#include "optim/optim.def"
#undef X

static const opt_method *const all[] = {
#define X(m) &opt_##m,
#include "optim/optim.def"
#undef X
};

int opt_method_count(void)
{
    return (int)NN_COUNT(all);
}

const opt_method *opt_method_at(int i)
{
    NN_NEED(i >= 0 && i < opt_method_count(), "optimizer %d of %d", i,
            opt_method_count());
    return all[i];
}

const opt_method *opt_method_find(const char *name)
{
    for (int i = 0; i < opt_method_count(); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

int opt_method_uses(const opt_method *m, const char *key)
{
    char word[64];
    int length = snprintf(word, sizeof word, " %s ", key);
    return length < (int)sizeof word
        && (strstr(common, word) != NULL || strstr(m->uses, word) != NULL);
}

nn_status opt_settle(const opt_method *m, opt_settings *o, nn_err *err)
{
    if (o->lr > 0 && o->base_lr > 0)
        return nn_fail(err, NN_ECONFIG, "optim: both lr = %g and base_lr = %g are given; "
                       "lr is the value used, base_lr is per 256 images; keep one of "
                       "them", o->lr, o->base_lr);
    if (!(o->lr > 0) && !(o->base_lr > 0))
        o->base_lr = m->base_lr;
    if (!(o->eta > 0))
        o->eta = m->eta;
    if (o->exclude == OPT_EXCLUDE_AUTO)
        o->exclude = m->exclude;
    return NN_OK;
}

typedef struct tensor {
    nn_param *param;
    float *slot[OPT_MAX_SLOTS];
    const char *slot_name[OPT_MAX_SLOTS];
    int excluded;
    size_t first, pieces;               /* of the state's pieces */
    opt_rate rate;
} tensor;

typedef struct piece {
    const tensor *of;
    size_t at, n;
    double norms[2];                    /* sums of squares of w and g */
} piece;

struct opt_state {
    const opt_method *method;
    opt_settings set;
    tensor *list;
    piece *part;
    size_t tensors, pieces;
};

static int trained(const nn_param *p)
{
    return p->grad != NULL;             /* neither a buffer nor frozen */
}

static size_t pieces_of(const nn_param *p)
{
    return (nn_shape_count(&p->shape) + OPT_PIECE - 1) / OPT_PIECE;
}

static const char *buffer_name(nn_arena *a, const char *param, const char *slot)
{
    size_t size = strlen(param) + strlen(slot) + 2;
    char *name = NN_NEW(a, char, size);
    snprintf(name, size, "%s.%s", param, slot);
    return name;
}

opt_state *opt_new(const opt_method *m, const opt_settings *o, nn_store *s)
{
    opt_state *st = NN_NEW0(s->arena, opt_state, 1);
    nn_err err;
    st->method = m;
    st->set = *o;
    NN_NEED(opt_settle(m, &st->set, &err) == NN_OK, "opt_new: %s", err.text);

    for (int i = 0; i < s->count; i++)
        if (trained(s->list[i])) {
            st->tensors++;
            st->pieces += pieces_of(s->list[i]);
        }
    st->list = NN_NEW0(s->arena, tensor, st->tensors);
    st->part = NN_NEW0(s->arena, piece, st->pieces);

    tensor *t = st->list;
    piece *part = st->part;
    for (int i = 0; i < s->count; i++) {
        nn_param *p = s->list[i];
        if (!trained(p))
            continue;
        size_t n = nn_shape_count(&p->shape);
        t->param = p;
        t->excluded = st->set.exclude == OPT_EXCLUDE_RANK1 && p->shape.rank == 1;
        for (int k = 0; k < m->slots; k++) {
            t->slot[k] = NN_NEW0(s->arena, float, n);
            t->slot_name[k] = buffer_name(s->arena, p->name, m->slot_name[k]);
        }
        t->first = (size_t)(part - st->part);
        t->pieces = pieces_of(p);
        for (size_t at = 0; at < n; at += OPT_PIECE)
            *part++ = (piece){ .of = t, .at = at,
                               .n = n - at < OPT_PIECE ? n - at : OPT_PIECE };
        t++;
    }
    return st;
}

enum { LANES = 8 };     /* partial sums of one piece: part of the result's format */

/* sum (g + decay w)^2, rounded to float before the square as the update rounds it */
static double squares(size_t n, const float *g, float decay, const float *w)
{
    double lane[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        float x = g[i] + decay * w[i];
        lane[i % LANES] += (double)x * x;
    }
    return ((lane[0] + lane[4]) + (lane[2] + lane[6]))
         + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static void measure(void *ctx, size_t job, int worker)
{
    opt_state *st = ctx;
    piece *part = &st->part[job];
    const tensor *t = part->of;
    (void)worker;
    if (t->excluded)
        return;
    const float *w = t->param->val + part->at, *g = t->param->grad + part->at;
    float decay = st->method->norm_decayed ? (float)t->rate.decay : 0;
    part->norms[0] = squares(part->n, w, 0, w);
    part->norms[1] = squares(part->n, g, decay, w);
}

static void update(void *ctx, size_t job, int worker)
{
    opt_state *st = ctx;
    const piece *part = &st->part[job];
    const tensor *t = part->of;
    (void)worker;
    opt_piece p = { .n = part->n, .w = t->param->val + part->at,
                    .g = t->param->grad + part->at };
    for (int k = 0; k < st->method->slots; k++)
        p.slot[k] = t->slot[k] + part->at;
    st->method->update(&st->set, &t->rate, &p);
}

void opt_step(opt_state *st, double lr, double first_lr, long step)
{
    for (tensor *t = st->list; t < st->list + st->tensors; t++)
        t->rate = (opt_rate){ .lr = t->param->constant_lr ? first_lr : lr,
                              .decay = t->excluded ? 0 : st->set.weight_decay,
                              .trust = 1, .step = step };

    if (st->method->trust) {
        nn_par_run(st->pieces, measure, st);
        for (tensor *t = st->list; t < st->list + st->tensors; t++) {
            if (t->excluded)
                continue;
            double w = 0, g = 0;
            for (size_t i = 0; i < t->pieces; i++) {    /* in order, always */
                w += st->part[t->first + i].norms[0];
                g += st->part[t->first + i].norms[1];
            }
            st->method->trust(&st->set, &t->rate, sqrt(w), sqrt(g));
        }
    }
    nn_par_run(st->pieces, update, st);
}

void opt_forget(opt_state *st, const nn_param *p, const int *row, int rows)
{
    const size_t cols = nn_shape_count(&p->shape) / (size_t)p->shape.dim[0];

    for (tensor *t = st->list; t < st->list + st->tensors; t++)
        for (int k = 0; t->param == p && k < st->method->slots; k++)
            for (int i = 0; i < rows; i++)
                memset(t->slot[k] + (size_t)row[i] * cols, 0, sizeof(float) * cols);
}

int opt_buffer_count(const opt_state *st)
{
    return (int)st->tensors * st->method->slots;
}

opt_buffer opt_buffer_at(const opt_state *st, int i)
{
    NN_NEED(i >= 0 && i < opt_buffer_count(st), "buffer %d of %d", i,
            opt_buffer_count(st));
    const tensor *t = &st->list[i / st->method->slots];
    int k = i % st->method->slots;
    return (opt_buffer){ t->slot_name[k], t->param, t->slot[k] };
}
