/* Quantisers against PyTorch (golden/make_quant.py): values, indices, losses, gradients,
 * and what five steps of training make of their state. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/golden.h"
#include "tests/quants.h"
#include "tests/suites.h"

/* Errors in units of 2^-24 of the largest element: one rounding of the golden value; sums of
 * at most 16 products in linear layers, whose roundings mostly cancel; a few factors. */
static const double unit = 0x1p-24;
enum { VALUE = 8, SLOPE = 16, STATE = 16 };

static const golden_record *record(const golden *g, const char *set, int i,
                                   const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%d/%s", set, i, name);
    return golden_find(g, path);
}

/* "ema codes=5 decay=0.5" of case i: text is one character a number. */
static int text_of(const golden *g, const char *set, int i, char *out, size_t size)
{
    const golden_record *r = record(g, set, i, "text");
    for (size_t j = 0; r && j < r->n && j + 1 < size; j++)
        out[j] = (char)r->val[j], out[j + 1] = 0;
    return r != NULL;
}

static int is_of(const char *text, const char *kind)
{
    const size_t n = strlen(kind);
    return strncmp(text, kind, n) == 0 && (text[n] == ' ' || text[n] == 0);
}

/* Puts the parameters of the case into the store. */
static void load(const golden *g, const char *set, int i, const nn_store *s)
{
    for (int j = 0; j < s->count; j++) {
        const nn_param *p = s->list[j];
        char name[128];
        snprintf(name, sizeof name, "p/%s", p->name);
        const golden_record *r = record(g, set, i, name);
        if (r)
            memcpy(p->val, r->val, sizeof(float) * r->n);
    }
}

static const char *const kinds[] = { "vq", "ema", "cvq", "simvq", "fsq", "lfq" };
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- once -------------------------------------------------------------------------- */

static void check_indices(const golden_record *want, const nn_quantised *found,
                          const char *text)
{
    const size_t n = want->n / (size_t)found->parts;
    for (size_t j = 0; j < want->n; j++)
        ck_assert_msg(found->index[j / n][j % n] == (int)want->val[j],
                      "%s: row %zu of part %zu has code %d, not %g", text, j % n, j / n,
                      found->index[j / n][j % n], (double)want->val[j]);
}

static void check_gradients(const golden *g, int i, const quants *u, const nn_node *z)
{
    golden_check(record(g, "once", i, "dz"), z->grad, SLOPE * unit);
    for (int j = 0; j < u->store.count; j++) {
        const nn_param *p = u->store.list[j];
        char name[128];
        snprintf(name, sizeof name, "d/%s", p->name);
        const golden_record *want = record(g, "once", i, name);
        ck_assert_msg(!p->grad == (p->role == NN_BUFFER), "%s", p->name);
        if (want)
            golden_check(want, p->grad, SLOPE * unit);
    }
}

static void check_once(const golden *g, int i, const char *text)
{
    const golden_record *z = record(g, "once", i, "z"), *w = record(g, "once", i, "w");
    const golden_record *loss = record(g, "once", i, "loss");
    quants u;
    quants_new(&u, text, z->shape.dim[1]);
    load(g, "once", i, &u.store);

    nn_node *x = nn_input(&u.tape, z->shape, z->val, 1);
    nn_quantised found = nn_quantise(&u.tape, u.it, x, &(nn_quant_clock){ 0, 0, 100 });
    check_indices(record(g, "once", i, "index"), &found, text);
    golden_check(record(g, "once", i, "q"), found.q->val, VALUE * unit);
    ck_assert_msg(!loss == !found.loss, "%s: a loss too few or too many", text);
    if (loss)
        golden_check(loss, found.loss->val, VALUE * unit);
    nn_backward(quants_loss(&u, &found, w->val));
    check_gradients(g, i, &u, x);
    quants_free(&u);
}

START_TEST(values_indices_losses_and_gradients_match_pytorch)
{
    golden g = golden_open("quant.gold");
    char text[256] = "";
    int seen = 0;
    for (int i = 0; text_of(&g, "once", i, text, sizeof text); i++)
        if (is_of(text, kinds[_i])) {
            check_once(&g, i, text);
            seen++;
        }
    ck_assert_int_ge(seen, 5);
    golden_free(&g);
}
END_TEST

/* ---- five steps of training -------------------------------------------------------- */

static void check_state(const golden *g, int i, int step, const nn_store *s)
{
    for (int j = 0; j < s->count; j++) {
        char name[128];
        snprintf(name, sizeof name, "%d/%s", step, s->list[j]->name);
        const golden_record *want = record(g, "steps", i, name);
        ck_assert_msg(want != NULL, "steps/%d/%s: no record", i, name);
        golden_check(want, s->list[j]->val, STATE * unit);
    }
}

static void check_steps(const golden *g, int i, const char *text)
{
    quants u;
    int d = record(g, "steps", i, "0/z")->shape.dim[1];
    quants_new(&u, text, d);
    load(g, "steps", i, &u.store);
    for (int step = 0; step < 5; step++) {
        char name[16];
        snprintf(name, sizeof name, "%d/z", step);
        const golden_record *z = record(g, "steps", i, name);
        if (step == 0)
            quants_start(&u, z->val, z->shape.dim[0]);
        quants_train(&u, z->val, z->shape.dim[0], (nn_quant_clock){ 0, step, 100 }, 0.5f);
        check_state(g, i, step, &u.store);
    }
    quants_free(&u);
}

START_TEST(five_steps_of_training_match_pytorch)
{
    golden g = golden_open("quant.gold");
    char text[256] = "";
    int seen = 0;
    for (int i = 0; text_of(&g, "steps", i, text, sizeof text); i++)
        if (is_of(text, kinds[_i])) {
            check_steps(&g, i, text);
            seen++;
        }
    ck_assert_int_ge(seen, 1);
    golden_free(&g);
}
END_TEST

Suite *suite_quant(void)
{
    Suite *s = suite_create("quant");
    TCase *c = tcase_create("pytorch");
    tcase_add_loop_test(c, values_indices_losses_and_gradients_match_pytorch, 0, KINDS);
    tcase_add_loop_test(c, five_steps_of_training_match_pytorch, 0, 4);   /* have state */
    suite_add_tcase(s, c);
    return s;
}
