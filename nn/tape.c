#include "nn/tape.h"

#include <string.h>

#include "nn/base.h"
#include "nn/op.h"
#include "nn/profile.h"
#include "nn/watch.h"

void nn_tape_start(nn_tape *t, nn_arena *step, nn_arena *scratch)
{
    *t = (nn_tape){ .step = step, .scratch = scratch, .mode = NN_TRAIN, .record = 1 };
    t->pool.arena = step;
}

void nn_tape_reset(nn_tape *t)
{
    nn_pool_reset(&t->pool);
    nn_arena_reset(t->step);
    t->list = NULL;
    t->count = t->room = 0;
}

void nn_tape_free(nn_tape *t)
{
    nn_pool_free(&t->pool);
    *t = (nn_tape){0};
}

int nn_cols(const nn_node *x)
{
    return x->shape.rank ? x->shape.dim[x->shape.rank - 1] : 1;
}

int nn_rows(const nn_node *x)
{
    int cols = nn_cols(x);
    return cols ? (int)(nn_count(x) / (size_t)cols) : 0;
}

size_t nn_count(const nn_node *x)
{
    return nn_shape_count(&x->shape);
}

float nn_item(const nn_node *x)
{
    NN_NEED(nn_count(x) == 1, "item: the node has %zu elements", nn_count(x));
    return x->val[0];
}

nn_node *nn_pin(nn_node *x)
{
    x->pinned = 1;
    for (nn_node *of = x; of->op && of->shared; of = of->in[0])
        of->in[0]->pinned = 1;          /* a view lasts as long as what it views */
    return x;
}

/* Nodes come from the step arena in blocks, between the buffers of the pool, so that a
 * released buffer is not fenced in by a node on either side. */
static nn_node *new_node(nn_tape *t)
{
    enum { BLOCK = 128 };
    if (t->count == t->room) {
        int room = t->room + BLOCK;
        nn_node **list = NN_NEW(t->step, nn_node *, room);
        nn_node *block = NN_NEW(t->step, nn_node, BLOCK);
        if (t->count)
            memcpy(list, t->list, sizeof *list * (size_t)t->count);
        for (int i = 0; i < BLOCK; i++)
            list[t->count + i] = block + i;
        t->list = list;
        t->room = room;
    }
    nn_node *x = t->list[t->count++];
    memset(x, 0, sizeof *x);
    x->tape = t;
    return x;
}

static nn_node *leaf(nn_tape *t, nn_shape shape, const float *val, nn_param *p, int wants)
{
    nn_node *x = new_node(t);
    x->shape = shape;
    x->val = (float *)(uintptr_t)val;   /* read only: no operator writes its inputs */
    x->shared = 1;
    x->param = p;
    x->wants = wants && t->record;
    if (t->watch)
        nn_watch_leaf(t->watch, x);
    return x;
}

nn_node *nn_input(nn_tape *t, nn_shape shape, const float *val, int wants)
{
    return leaf(t, shape, val, NULL, wants);
}

nn_node *nn_leaf(nn_tape *t, nn_param *p)
{
    for (int i = 0; i < t->count; i++)
        if (t->list[i]->param == p)
            return t->list[i];
    return leaf(t, p->shape, p->val, p, p->grad != NULL);
}

nn_node *nn_record(nn_tape *t, const nn_op *op, nn_node *const *in, int ins,
                   const void *attr, size_t attr_bytes)
{
    NN_NEED(ins <= NN_MAX_IN, "%s: %d inputs, at most %d", op->name, ins, NN_MAX_IN);
    nn_node *y = new_node(t);
    y->op = op;
    y->ins = ins;
    for (int i = 0; i < ins; i++) {
        NN_NEED(in[i]->val, "%s: input %d was released by backward", op->name, i);
        y->in[i] = in[i];
        y->wants |= in[i]->wants && !(op->flags & NN_NO_GRADIENT);
    }
    NN_NEED(attr_bytes <= NN_MAX_ATTR, "%s: %zu bytes of settings", op->name, attr_bytes);
    if (attr_bytes)
        memcpy(y->attr, attr, attr_bytes);
    op->shape(y);
    if (!y->shared)
        y->val = nn_pool_take(&t->pool, sizeof(float) * nn_count(y));
    if (y->kept)
        y->keep = nn_pool_take(&t->pool, sizeof(float) * y->kept);
    size_t mark = nn_arena_mark(t->scratch);
    double from = nn_profile_from(t->profile);
    op->forward(y, t->scratch);
    if (t->profile)
        nn_profile_op(t->profile, y, NN_FORWARD, from);
    nn_arena_rewind(t->scratch, mark);
    if (t->watch)
        nn_watch_forward(t->watch, y);
    return y;
}

nn_flops nn_node_flops(const nn_node *y)
{
    if (!y->op || !y->op->flops)
        return (nn_flops){ 0, 0 };
    double one = y->op->flops(y);
    return (nn_flops){ one, y->wants ? one * (y->in[0]->wants + y->in[1]->wants) : 0 };
}

nn_flops nn_tape_flops(const nn_tape *t)
{
    nn_flops sum = { 0, 0 };
    for (int i = 0; i < t->count; i++) {
        nn_flops f = nn_node_flops(t->list[i]);
        sum.forward += f.forward;
        sum.backward += f.backward;
    }
    return sum;
}

float *nn_grad_into(nn_node *x, int *add)
{
    if (!x->wants)
        return NULL;
    if (x->param) {
        *add = 1;
        return x->param->grad;
    }
    *add = x->grad != NULL;
    if (!x->grad)
        x->grad = nn_pool_take(&x->tape->pool, sizeof(float) * nn_count(x));
    return x->grad;
}

float *nn_grad_zeroed(nn_node *x)
{
    int add;
    float *g = nn_grad_into(x, &add);
    if (g && !add)
        memset(g, 0, sizeof(float) * nn_count(x));
    return g;
}

float *nn_grad_over(nn_node *x, nn_node *y, int *add)
{
    int free = y->grad && !y->pinned;
    if (!x->wants || x->param || x->grad || !free || nn_count(x) != nn_count(y))
        return nn_grad_into(x, add);
    x->grad = y->grad;
    y->grad = NULL;
    *add = 0;
    return x->grad;
}

static void release(nn_tape *t, nn_node *x)
{
    if (x->keep)
        nn_pool_give(&t->pool, x->keep, sizeof(float) * x->kept);
    x->keep = NULL;
    if (!x->op || x->pinned)
        return;
    if (!x->shared)
        nn_pool_give(&t->pool, x->val, sizeof(float) * nn_count(x));
    if (x->grad)
        nn_pool_give(&t->pool, x->grad, sizeof(float) * nn_count(x));
    x->val = x->grad = NULL;
}

void nn_backward(nn_node *loss)
{
    nn_tape *t = loss->tape;
    NN_NEED(nn_count(loss) == 1, "backward: the loss has %zu elements", nn_count(loss));
    nn_pin(loss);
    if (!loss->wants)
        return;
    *nn_grad_zeroed(loss) = 1;
    for (int i = t->count - 1; i >= 0; i--) {
        nn_node *y = t->list[i];
        if (y->op && y->grad) {
            size_t mark = nn_arena_mark(t->scratch);
            if (t->watch)
                nn_watch_before(t->watch, y);
            double from = nn_profile_from(t->profile);
            y->op->backward(y, t->scratch);
            if (t->profile)
                nn_profile_op(t->profile, y, NN_BACKWARD, from);
            nn_arena_rewind(t->scratch, mark);
            if (t->watch)
                nn_watch_backward(t->watch, y);
        }
        release(t, y);
    }
}
