#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"
#include "nn/quant/quant.h"
#include "nn/rng.h"

struct nn_quantiser {
    nn_quant_plan plan;
    const nn_quant_common *set;
    int d, inner;                       /* columns of z, and of what is searched */
    int parts;
    int projects;
    nn_linear_layer in, out;
    void *state[NN_QUANT_PARTS];        /* of each part; the same one where they share */
    uint64_t seed, hash;
};

/* ---- shape ------------------------------------------------------------------------- */

/* Columns that are searched, all groups together. */
static int inner_columns(const nn_quant_plan *p, int d)
{
    const nn_quant_common *c = p->config;
    const int wanted = p->kind->columns ? p->kind->columns(p->config) * c->groups : 0;
    return c->dim ? c->dim : wanted ? wanted : d;
}

const char *nn_quant_refuses(const nn_quant_plan *p, int d, char *out, size_t size)
{
    const nn_quant_common *c = p->config;
    const char *wrong = p->kind->wrong ? p->kind->wrong(p->config) : NULL;
    const int each = p->kind->columns && !wrong ? p->kind->columns(p->config) : 0;
    const int inner = wrong ? d : inner_columns(p, d);

    if (wrong)
        snprintf(out, size, "%s", wrong);
    else if (c->groups * c->stages > NN_QUANT_PARTS)
        snprintf(out, size, "%d groups of %d stages are more than %d codebooks",
                 c->groups, c->stages, NN_QUANT_PARTS);
    else if (inner % c->groups)
        snprintf(out, size, "%d columns cannot be cut into %d groups", inner, c->groups);
    else if (each && inner != each * c->groups)
        snprintf(out, size, "dim = %d, but %s wants %d columns", c->dim, p->kind->name,
                 each * c->groups);
    else if (p->kind->own_gradient && c->transport != NN_STRAIGHT)
        snprintf(out, size,
                 "transport means nothing to %s, which brings its own gradient",
                 p->kind->name);
    else if (c->transport == NN_ROTATED && inner / c->groups < 2)
        snprintf(out, size, "transport=rotation wants 2 columns or more, not %d",
                 inner / c->groups);
    else
        return NULL;
    return out;
}

static void part_path(const nn_quantiser *u, int part, const char *name, char *out,
                      size_t size)
{
    const int stages = u->set->stages, group = part / stages, stage = part % stages;

    if (u->parts == 1 || u->set->share)
        snprintf(out, size, "%s", name);
    else if (u->set->groups == 1 || stages == 1)
        snprintf(out, size, "%s.%d", name, part);
    else
        snprintf(out, size, "%s.%d.%d", name, group, stage);
}

nn_quantiser *nn_quantiser_new(nn_store *s, const char *name, const nn_quant_plan *p,
                               int d)
{
    nn_quantiser *u = NN_NEW0(s->arena, nn_quantiser, 1);
    char path[256], why[256];

    NN_NEED(!nn_quant_refuses(p, d, why, sizeof why), "%s: %s", name,
            nn_quant_refuses(p, d, why, sizeof why));
    u->plan = *p;
    u->set = p->config;
    u->d = d;
    u->inner = inner_columns(p, d);
    u->parts = u->set->groups * u->set->stages;
    u->projects = u->set->dim || u->inner != d;
    u->seed = s->seed;
    snprintf(path, sizeof path, "%s.stages", name);
    u->hash = nn_hash_name(path);       /* not the name: a shared book draws by that */
    if (u->projects) {
        snprintf(path, sizeof path, "%s.project_in", name);
        u->in = nn_linear_new(s, path, d, u->inner, NN_BIAS);
        snprintf(path, sizeof path, "%s.project_out", name);
        u->out = nn_linear_new(s, path, u->inner, d, NN_BIAS);
    }
    for (int i = 0; i < u->parts; i++) {
        part_path(u, i, name, path, sizeof path);
        u->state[i] = i && u->set->share
            ? u->state[0] : p->kind->build(s, path, p->config, u->inner / u->set->groups);
    }
    return u;
}

int nn_quantiser_parts(const nn_quantiser *u)
{
    return u->parts;
}

int nn_quantiser_codes(const nn_quantiser *u)
{
    return u->plan.kind->codes(u->plan.config);
}

int nn_quantiser_columns(const nn_quantiser *u)
{
    return u->inner / u->set->groups;
}

int nn_quantiser_has_book(const nn_quantiser *u)
{
    return u->plan.kind->table != NULL;
}

int nn_quantiser_decodes(const nn_quantiser *u)
{
    return !u->plan.kind->side_information;
}

int nn_quantiser_drops(const nn_quantiser *u)
{
    return u->set->stages > 1 && u->set->stage_dropout > 0;
}

double nn_quantiser_flops(const nn_quantiser *u, double n)
{
    const nn_quant *kind = u->plan.kind;
    const int searches = kind->searches ? kind->searches(u->plan.config) : 0;

    return 2 * n * nn_quantiser_codes(u) * nn_quantiser_columns(u) * u->parts * searches;
}

const char *nn_quantiser_part_name(const nn_quantiser *u, int part, char *out,
                                   size_t size)
{
    const int stages = u->set->stages, group = part / stages, stage = part % stages;

    if (u->set->groups == 1)
        snprintf(out, size, "s%d", stage);
    else if (stages == 1)
        snprintf(out, size, "g%d", group);
    else
        snprintf(out, size, "g%ds%d", group, stage);
    return out;
}

/* ---- forward ----------------------------------------------------------------------- */

/* Stages of this step: all, or the first 1 .. all of them when the draw says so. */
static int stages_now(const nn_quantiser *u, const nn_tape *t,
                      const nn_quant_clock *clock)
{
    const int all = u->set->stages;

    if (t->mode != NN_TRAIN || !t->record || u->set->stage_dropout <= 0)
        return all;
    nn_rng r = nn_rng_at(u->seed, NN_RNG_QUANT, (uint32_t)(clock->step & 0xffffff),
                         u->hash + ((uint64_t)clock->step >> 24));
    return nn_rng_double(&r) < u->set->stage_dropout
        ? 1 + (int)nn_rng_below(&r, (uint32_t)all) : all;
}

static nn_node *transport(nn_tape *t, const nn_quantiser *u, nn_node *z, nn_node *q)
{
    if (u->plan.kind->own_gradient)
        return q;
    return u->set->transport == NN_ROTATED ? nn_rotation(t, z, q) : nn_straight(t, z, q);
}

static nn_node *plus(nn_tape *t, nn_node *sum, nn_node *x)
{
    return sum && x ? nn_add(t, sum, x) : sum ? sum : x;
}

/* One group: its stages quantise what those before left over.  However many there are,
 * the gradient of their sum goes to z once. */
static nn_node *quantise_group(nn_tape *t, nn_quantiser *u, int group, nn_node *z,
                               int now, nn_quantised *found, nn_node **loss)
{
    const nn_quant *kind = u->plan.kind;
    nn_node *sum = NULL, *rest = z;

    for (int s = 0; s < now; s++) {
        const int part = group * u->set->stages + s;
        nn_part p = kind->quantise(t, u->state[part], rest);
        nn_node *q = s && kind->own_gradient ? nn_stopgrad(t, p.q) : p.q;
        found->z[part] = nn_pin(rest);
        found->code[part] = nn_pin(p.q);
        found->index[part] = p.index;
        *loss = plus(t, *loss, p.loss);
        sum = plus(t, sum, q);
        if (s + 1 < now)
            rest = nn_axpy(t, -1, nn_stopgrad(t, p.q), rest);
    }
    return transport(t, u, z, sum);
}

nn_quantised nn_quantise(nn_tape *t, nn_quantiser *u, nn_node *z,
                         const nn_quant_clock *clock)
{
    const nn_quant *kind = u->plan.kind;
    const int groups = u->set->groups, cols = u->inner / groups;
    const int now = stages_now(u, t, clock);
    nn_quantised found = { .parts = u->parts };
    nn_node *q[NN_QUANT_PARTS] = { NULL }, *loss = NULL;
    nn_node *x = u->projects ? nn_linear_apply(t, &u->in, z) : z;

    NN_NEED(nn_cols(z) == u->d, "quantise: %d columns, wanted %d", nn_cols(z), u->d);
    for (int g = 0; g < groups; g++) {
        nn_node *part = groups > 1 ? nn_slice_cols(t, x, g * cols, cols) : x;
        if (kind->prepare)
            part = kind->prepare(t, u->state[g * u->set->stages], part);
        q[g] = quantise_group(t, u, g, part, now, &found, &loss);
    }
    found.q = q[0];
    for (int g = 1; g < groups; g++)            /* concat_cols takes few at a time */
        found.q = nn_concat_cols(t, (nn_node *[]){ found.q, q[g] }, 2);
    if (u->projects)
        found.q = nn_linear_apply(t, &u->out, found.q);
    const float weight = (float)(u->set->weight / groups);
    if (loss && u->set->weight > 0)
        found.loss = weight == 1 ? loss : nn_scale(t, weight, loss);
    return found;
}

/* ---- without a tape of one's own --------------------------------------------------- */

/* Values alone, on a tape that lives in `scratch` until the caller rewinds it. */
static void open_tape(nn_tape *t, nn_arena *scratch)
{
    nn_tape_start(t, scratch, scratch);
    t->mode = NN_EVAL;
    t->record = 0;
}

const float *nn_quantiser_book(nn_quantiser *u, int part, nn_arena *scratch)
{
    nn_tape t;

    if (!u->plan.kind->table)
        return NULL;
    open_tape(&t, scratch);
    const float *book = u->plan.kind->table(&t, u->state[part])->val;
    nn_pool_free(&t.pool);
    return book;
}

/* q of the stages of a group, added up in the order of training. */
static nn_node *decode_group(nn_tape *t, nn_quantiser *u, int group, const int *index,
                             size_t n)
{
    const nn_quant *kind = u->plan.kind;
    const nn_shape shape = nn_shape2((int)n, u->inner / u->set->groups);
    nn_node *sum = NULL;

    for (int s = 0; s < u->set->stages; s++) {
        const int part = group * u->set->stages + s, *at = index + (size_t)part * n;
        nn_node *q;
        if (n && at[0] < 0)
            break;
        if (kind->table) {
            q = nn_gather(t, kind->table(t, u->state[part]), at, (int)n);
        } else {
            float *own = NN_NEW(t->step, float, nn_shape_count(&shape));
            kind->decode(u->state[part], at, n, own);
            q = nn_input(t, shape, own, 0);
        }
        sum = plus(t, sum, q);
    }
    if (sum)
        return sum;
    return nn_input(t, shape, NN_NEW0(t->step, float, nn_shape_count(&shape)), 0);
}

void nn_quantiser_decode(nn_quantiser *u, const int *index, size_t n, float *q,
                         nn_arena *scratch)
{
    const size_t mark = nn_arena_mark(scratch);
    nn_tape t;
    nn_node *all = NULL;

    NN_NEED(nn_quantiser_decodes(u), "decode: indices of %s do not tell all of a vector",
            u->plan.kind->name);
    open_tape(&t, scratch);
    for (int g = 0; g < u->set->groups; g++) {
        nn_node *one = decode_group(&t, u, g, index, n);
        all = all ? nn_concat_cols(&t, (nn_node *[]){ all, one }, 2) : one;
    }
    if (u->projects)
        all = nn_linear_apply(&t, &u->out, all);
    memcpy(q, all->val, sizeof *q * n * (size_t)u->d);
    nn_pool_free(&t.pool);
    nn_arena_rewind(scratch, mark);
}

/* ---- state that no gradient moves -------------------------------------------------- */

size_t nn_quantiser_rows(const nn_quantiser *u, size_t batch)
{
    return u->plan.kind->rows ? u->plan.kind->rows(u->plan.config, batch) : 0;
}

/* Each stage starts on what those before it, started already, leave over.  Parts that
 * share start on the first group's first stage, and will be given the rows of all
 * parts. */
void nn_quantiser_start(nn_quantiser *u, const float *z, size_t n, size_t batch,
                        const nn_quant_clock *clock, nn_arena *scratch)
{
    const nn_quant *kind = u->plan.kind;
    const nn_quant_clock seeded = { u->seed, clock->step, clock->steps };
    const int groups = u->set->groups, cols = u->inner / groups;
    const size_t step = batch * (u->set->share ? (size_t)u->parts : 1);
    const size_t mark = nn_arena_mark(scratch);
    nn_tape t;

    if (!kind->start)
        return;
    open_tape(&t, scratch);
    nn_node *x = nn_input(&t, nn_shape2((int)n, u->d), z, 0);
    if (u->projects)
        x = nn_linear_apply(&t, &u->in, x);
    for (int g = 0; g < groups; g++) {
        nn_node *rest = groups > 1 ? nn_slice_cols(&t, x, g * cols, cols) : x;
        if (kind->prepare)
            rest = kind->prepare(&t, u->state[g * u->set->stages], rest);
        for (int s = 0; s < u->set->stages; s++) {
            void *state = u->state[g * u->set->stages + s];
            if ((g == 0 && s == 0) || !u->set->share)
                kind->start(state, rest->val, n, step, &seeded, scratch);
            rest = nn_axpy(&t, -1, kind->quantise(&t, state, rest).q, rest);
        }
    }
    nn_pool_free(&t.pool);
    nn_arena_rewind(scratch, mark);
}

/* All rows that a shared codebook was given in this step, one stage after another. */
static size_t gather_rows(const nn_quantiser *u, const nn_quantised *found, float **z,
                          int **index, nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(found->q), d = (size_t)nn_quantiser_columns(u);
    size_t all = 0;

    *z = NN_NEW(scratch, float, n * d * (size_t)u->parts);
    *index = NN_NEW(scratch, int, n * (size_t)u->parts);
    for (int i = 0; i < u->parts; i++)
        if (found->index[i]) {
            memcpy(*z + all * d, found->z[i]->val, sizeof **z * n * d);
            memcpy(*index + all, found->index[i], sizeof **index * n);
            all += n;
        }
    return all;
}

static int settle_part(nn_quantiser *u, int part, const float *z, const int *index,
                       size_t n, const nn_quant_clock *clock,
                       void (*moved)(void *ctx, const nn_quant_moved *m), void *ctx,
                       nn_arena *scratch)
{
    const nn_quant_clock seeded = { u->seed, clock->step, clock->steps };
    nn_quant_moved m = { NULL, NULL, 0 };
    const int restarts = u->plan.kind->settle(u->state[part], z, index, n, &seeded, &m,
                                              scratch);
    if (m.rows && moved)
        moved(ctx, &m);
    return restarts;
}

int nn_quantiser_settle(nn_quantiser *u, const nn_quantised *found,
                        const nn_quant_clock *clock,
                        void (*moved)(void *ctx, const nn_quant_moved *m), void *ctx,
                        nn_arena *scratch)
{
    const size_t n = (size_t)nn_rows(found->q);
    int restarts = 0;

    if (!u->plan.kind->settle)
        return 0;
    for (int i = 0; i < (u->set->share ? 1 : u->parts); i++) {
        const size_t mark = nn_arena_mark(scratch);
        float *z;
        int *index;
        if (u->set->share && u->parts > 1) {
            const size_t all = gather_rows(u, found, &z, &index, scratch);
            restarts += settle_part(u, i, z, index, all, clock, moved, ctx, scratch);
        } else if (found->index[i]) {
            restarts += settle_part(u, i, found->z[i]->val, found->index[i], n, clock,
                                    moved, ctx, scratch);
        }
        nn_arena_rewind(scratch, mark);
    }
    return restarts;
}
