#include "nn/watch.h"

#include <math.h>
#include <string.h>

#include "nn/base.h"
#include "nn/op.h"

static int place(const nn_node *x)
{
    const nn_tape *t = x->tape;
    for (int i = t->count - 1; i >= 0; i--)
        if (t->list[i] == x)
            return i;
    return -1;
}

static nn_seen_node node_of(const nn_node *x)
{
    return (nn_seen_node){ x->op ? x->op->name : NULL, x->param ? x->param->name : NULL,
                           place(x), x->shape };
}

/* Range and mean of the finite numbers. */
static void measure(nn_seen *s, const float *x)
{
    nn_bad bad = nn_bad_among(x, s->count);
    double sum = 0;
    size_t finite = s->count - bad.nans - bad.infs;

    s->nans = bad.nans;
    s->infs = bad.infs;
    s->first = bad.first;
    s->first_value = bad.first < s->count ? x[bad.first] : 0;
    s->lo = finite ? INFINITY : 0;
    s->hi = finite ? -INFINITY : 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!isfinite(x[i]))
            continue;
        s->lo = x[i] < s->lo ? x[i] : s->lo;
        s->hi = x[i] > s->hi ? x[i] : s->hi;
        sum += fabs((double)x[i]);
    }
    s->mean_abs = finite ? sum / (double)finite : 0;
}

static void keep_row(nn_watch *w, const nn_seen *s)
{
    if (w->count == w->room) {
        int room = w->room ? 2 * w->room : 256;
        nn_seen **list = NN_NEW(w->arena, nn_seen *, room);
        if (w->count)
            memcpy(list, w->list, sizeof *list * (size_t)w->count);
        w->list = list;                 /* the old list stays in the arena: a few words */
        w->room = room;
    }
    w->list[w->count] = NN_NEW(w->arena, nn_seen, 1);
    *w->list[w->count++] = *s;
}

static int is_finite(const float *x, size_t n)
{
    return !x || nn_bad_among(x, n).first == n;
}

/* Whether everything that y read was finite: its inputs and, on the way back, its own
 * gradient and what it had kept. */
static int read_finite(const nn_watch *w, const nn_node *y, nn_seen_as as)
{
    for (int i = 0; i < y->ins; i++)
        if (!is_finite(y->in[i]->val, nn_count(y->in[i])))
            return 0;
    return as != NN_SEEN_BACKWARD || (w->fine && is_finite(y->keep, y->kept));
}

static void look(nn_watch *w, nn_seen_as as, const nn_node *y, const nn_node *of,
                 const float *x)
{
    nn_seen s = { .as = as, .node = node_of(y), .count = nn_count(of ? of : y),
                  .ins = y->ins };

    if (w->found && !w->rows)
        return;
    if (of)
        s.of = node_of(of);
    for (int i = 0; i < y->ins; i++)
        s.in[i] = node_of(y->in[i]);
    measure(&s, x);
    int bad = s.nans + s.infs > 0;
    s.produced = bad && as != NN_SEEN_LEAF && read_finite(w, y, as);
    if (w->rows)
        keep_row(w, &s);
    if (bad && !w->found) {
        w->found = 1;
        w->first = s;
    }
}

void nn_watch_leaf(nn_watch *w, const nn_node *x)
{
    look(w, NN_SEEN_LEAF, x, NULL, x->val);
}

void nn_watch_forward(nn_watch *w, const nn_node *y)
{
    look(w, NN_SEEN_FORWARD, y, NULL, y->val);
}

void nn_watch_before(nn_watch *w, const nn_node *y)
{
    w->fine = is_finite(y->grad, nn_count(y));
}

void nn_watch_backward(nn_watch *w, const nn_node *y)
{
    for (int i = 0; i < y->ins; i++) {
        const nn_node *x = y->in[i];
        const float *g = x->param ? x->param->grad : x->grad;
        int again = 0;
        for (int k = 0; k < i; k++)
            again |= y->in[k] == x;
        if (x->wants && g && !again)
            look(w, NN_SEEN_BACKWARD, y, x, g);
    }
}

/* ---- words ----------------------------------------------------------------------- */

static const char *node_text(const nn_seen_node *x, char *out, size_t size)
{
    char shape[64];

    nn_shape_text(&x->shape, shape, sizeof shape);
    if (x->param)
        snprintf(out, size, "parameter '%s' %s", x->param, shape);
    else
        snprintf(out, size, "%s %s", x->op ? x->op : "input", shape);
    return out;
}

static const char *value_text(float x)
{
    return isnan(x) ? "NaN" : x < 0 ? "-inf" : "inf";
}

/* Adds to a text that may be full already. */
static size_t add(char *out, size_t size, size_t at, const char *before, const char *text)
{
    if (at >= size)
        return at;
    return at + (size_t)snprintf(out + at, size - at, "%s%s", before, text);
}

const char *nn_watch_text(const nn_watch *w, char *out, size_t size)
{
    static const char *const way[] = { ", before the step", ", forward", ", backward" };
    const nn_seen *s = &w->first;
    char word[256], position[32];
    size_t at = 0;

    if (!w->found) {
        snprintf(out, size, "every value and gradient of the step is finite");
        return out;
    }
    snprintf(position, sizeof position, "%s %d, ", s->node.op ? "operator" : "leaf",
             s->node.at);
    at = add(out, size, at, position, node_text(&s->node, word, sizeof word));
    at = add(out, size, at, way[s->as], "");
    if (s->as == NN_SEEN_BACKWARD)
        at = add(out, size, at, ", gradient of ", node_text(&s->of, word, sizeof word));
    for (int i = 0; i < s->ins && s->as == NN_SEEN_FORWARD; i++)
        at = add(out, size, at, i ? ", " : ", from ",
                 node_text(&s->in[i], word, sizeof word));
    snprintf(word, sizeof word,
             ": %zu of %zu %s not finite (first: %s at %zu)", s->nans + s->infs, s->count,
             s->as == NN_SEEN_BACKWARD ? "numbers" : "values", value_text(s->first_value),
             s->first);
    at = add(out, size, at, word, "");
    if (s->as != NN_SEEN_LEAF && !s->produced)
        add(out, size, at, "; what it read was not finite either", "");
    return out;
}

void nn_watch_table(const nn_watch *w, FILE *out)
{
    static const char *const way[] = { "leaf", "forward", "backward" };
    char word[256], shape[64];

    fprintf(out, "# %d results of one step, in the order they were made; '!' marks those"
            " that are not finite\n", w->count);
    fprintf(out, "# %s\n", nn_watch_text(w, word, sizeof word));
    fprintf(out, "# min, max and mean of the absolute values are those of the finite"
            " numbers\n");
    fprintf(out, "# %4s  %-8s  %-20s %-20s  %13s %13s %13s  %10s %8s %8s  %s\n", "at",
            "way", "operator", "shape", "min", "max", "mean |x|", "numbers", "NaN", "inf",
            "of or from");
    for (int i = 0; i < w->count; i++) {
        const nn_seen *s = w->list[i];
        const nn_seen_node *x = s->as == NN_SEEN_BACKWARD ? &s->of : &s->node;
        fprintf(out, "%c %4d  %-8s  %-20s %-20s  %13.6g %13.6g %13.6g  %10zu %8zu %8zu ",
                s->nans + s->infs ? '!' : ' ', s->node.at, way[s->as],
                s->node.op ? s->node.op : s->node.param ? "parameter" : "input",
                nn_shape_text(&x->shape, shape, sizeof shape), (double)s->lo,
                (double)s->hi, s->mean_abs, s->count, s->nans, s->infs);
        if (s->as == NN_SEEN_LEAF && s->node.param)
            fprintf(out, " %s", s->node.param);
        if (s->as == NN_SEEN_BACKWARD && s->of.param)
            fprintf(out, " %s", s->of.param);
        else if (s->as == NN_SEEN_BACKWARD)
            fprintf(out, " %d", s->of.at);
        for (int k = 0; k < s->ins && s->as == NN_SEEN_FORWARD; k++)
            fprintf(out, " %d", s->in[k].at);
        fputc('\n', out);
    }
}
