#include "nn/profile.h"

#include <string.h>
#include <time.h>

#include "nn/op.h"

void nn_profile_free(nn_profile *p)
{
    nn_arena_free(&p->arena);
    *p = (nn_profile){0};
}

double nn_profile_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double nn_profile_from(const nn_profile *p)
{
    return p ? nn_profile_now() : 0;
}

/* ---- what is moved ----------------------------------------------------------------- */

static double bytes_of(const nn_node *x)
{
    return sizeof(float) * (double)nn_count(x);
}

static double bytes_forward(const nn_node *y)
{
    double sum = bytes_of(y) + sizeof(float) * (double)y->kept;

    if (y->shared)
        return 0;
    for (int i = 0; i < y->ins; i++)
        sum += bytes_of(y->in[i]);
    return sum;
}

static double bytes_backward(const nn_node *y)
{
    double sum = bytes_of(y) + sizeof(float) * (double)y->kept;

    for (int i = 0; i < y->ins; i++)
        sum += bytes_of(y->in[i]) * (!y->shared + y->in[i]->wants);
    return sum;
}

/* ---- the sums ---------------------------------------------------------------------- */

static int same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static int same(const nn_cost *a, const nn_cost *b)
{
    return a->way == b->way && same_text(a->name, b->name)
           && same_text(a->layer, b->layer) && nn_shape_same(&a->in, &b->in)
           && nn_shape_same(&a->out, &b->out);
}

static void make_room(nn_profile *p)
{
    int room = p->room ? 2 * p->room : 256;     /* twice what a ResNet-18 has */
    nn_cost *cost = NN_NEW(&p->arena, nn_cost, room);

    if (p->costs)
        memcpy(cost, p->cost, sizeof *cost * (size_t)p->costs);
    p->cost = cost;                     /* the old ones stay in the arena: a few words */
    p->room = room;
}

/* Steps repeat each other, so the search begins behind the cost that was noted last. */
static int find(nn_profile *p, const nn_cost *like)
{
    for (int i = 0; i < p->costs; i++) {
        int at = (p->last + 1 + i) % p->costs;
        if (same(&p->cost[at], like))
            return at;
    }
    if (p->costs == p->room)
        make_room(p);
    p->cost[p->costs] = *like;
    p->cost[p->costs].seconds = p->cost[p->costs].flops = p->cost[p->costs].bytes = 0;
    return p->costs++;
}

static void note(nn_profile *p, const nn_cost *one, double from)
{
    int at = p->last = find(p, one);
    nn_cost *sum = &p->cost[at];

    sum->calls++;
    sum->seconds += one->seconds;
    sum->flops += one->flops;
    sum->bytes += one->bytes;
    if (p->events == p->most_events)
        return;
    if (!p->event)
        p->event = NN_NEW(&p->arena, nn_event, p->most_events);
    p->event[p->events++] = (nn_event){ at, from, one->seconds };
}

void nn_profile_part(nn_profile *p, const char *name, double from)
{
    if (p)
        note(p, &(nn_cost){ .name = name, .way = NN_BESIDE,
                            .seconds = nn_profile_now() - from }, from);
}

void nn_profile_op(nn_profile *p, const nn_node *y, nn_way way, double from)
{
    nn_cost one = { .name = y->op->name, .way = way, .out = y->shape,
                    .seconds = nn_profile_now() - from };
    nn_flops f = nn_node_flops(y);

    if (y->ins)
        one.in = y->in[0]->shape;
    for (int i = y->ins - 1; i >= 0; i--)
        if (y->in[i]->param)
            one.layer = y->in[i]->param->name;
    one.flops = way == NN_FORWARD ? f.forward : f.backward;
    one.bytes = way == NN_FORWARD ? bytes_forward(y) : bytes_backward(y);
    note(p, &one, from);
}
