/* Quantisers against PyTorch (golden/make_quant.py): values, indices, losses,
 * gradients, and what five steps of training make of their state.  And the contract
 * that every kind signs (spec 1): indices decode to the value, which is the code
 * itself; gradients of the loss are its slopes; same bytes for every table and team;
 * no state outside the store. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/base.h"
#include "nn/rng.h"
#include "tests/bytes.h"
#include "tests/golden.h"
#include "tests/quants.h"
#include "tests/suites.h"

/* Errors in units of 2^-24 of the largest element: one rounding of the golden value;
 * sums of at most 16 products in linear layers, whose roundings mostly cancel; a few
 * factors. */
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
    ck_assert_msg(z->grad != NULL, "once/%d: no gradient at z", i);
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

/* ---- the contract ------------------------------------------------------------------ */

/* Every kind in every one of these, where it does not refuse. */
static const char *const switches[] = {
    "", "stages=3", "groups=2", "groups=2 stages=2", "stages=3 share=1",
    "groups=2 share=1 weight=2", "dim=6", "transport=rotation", "weight=0",
};
/* What only some kinds have.  Restarts start late: usage halves in the first steps. */
static const char *const special[] = {
    "vq codes=16 metric=cosine", "vq codes=16 metric=unit", "vq codes=16 init=normal",
    "vq codes=16 init=kmeans", "vq codes=64 init=data restart=1 decay=0.5",
    "ema codes=16 metric=cosine init=normal", "ema codes=16 metric=unit init=kmeans",
    "ema codes=64 restart=1 decay=0.5 init=normal", "cvq codes=16 metric=cosine",
    "cvq codes=16 anchor=random init=normal", "cvq codes=99 anchor=random init=normal",
    "cvq codes=16 anchor=probrandom init=normal", "cvq codes=16 metric=unit init=data",
    "simvq codes=16 metric=cosine", "simvq codes=16 metric=unit bias=0",
    "simvq codes=16 basis=uniform basis_dim=3 train_basis=1", "simvq codes=1",
    "vq codes=1", "ema codes=200 stages=2", "fsq levels=3,3,3 groups=2",
    "fsq levels=5,5,5,5,5,5,5,5", "lfq bits=8", "lfq bits=8 spherical=1 beta=1",
    "lfq bits=4 stages=3 beta=1 tau=1",
};
enum {
    SWITCHES = sizeof switches / sizeof *switches,
    SPECIAL = sizeof special / sizeof *special,
    LINES = KINDS * SWITCHES + SPECIAL, COLUMNS = 8, ROWS = 40
};

/* Line i, or 0 where the kind refuses it. */
static int contract(int i, char *line, size_t size)
{
    unsigned char config[256];
    char why[256];
    if (i >= KINDS * SWITCHES) {
        snprintf(line, size, "%s", special[i - KINDS * SWITCHES]);
        return 1;
    }
    const char *kind = nn_quant_at(i / SWITCHES)->name;
    const int has_codes = nn_quant_find(kind)->columns == NULL;
    snprintf(line, size, "%s %s%s", kind, has_codes ? "codes=16 " : "",
             switches[i % SWITCHES]);
    const nn_quant_plan plan = quants_plan(line, config);
    return !nn_quant_refuses(&plan, COLUMNS, why, sizeof why);
}

/* gain_shape, whose indices alone are no vectors, has its own suite (test_gain.c). */
START_TEST(the_list_of_kinds_is_complete)
{
    ck_assert_int_eq(nn_quant_count(), KINDS + 1);
    ck_assert(nn_quant_at(KINDS)->side_information);
    for (int i = 0; i < KINDS; i++)
        ck_assert_str_eq(nn_quant_at(i)->name, kinds[i]);
    ck_assert_ptr_null(nn_quant_find("nothing"));
}
END_TEST

/* A quantiser that has seen three steps, so that its codes are near rows and its state is
 * not that of the start. */
static void contract_open(quants *u, const char *line, int rows)
{
    quants_new(u, line, COLUMNS);
    quants_start(u, quants_rows(u, rows, COLUMNS, 1), rows);
    for (int step = 0; step < 3; step++)
        quants_train(u, quants_rows(u, rows, COLUMNS, 2 + (uint64_t)step), rows,
                     (nn_quant_clock){ 0, step, 100 }, 1);
}

START_TEST(decoding_the_indices_gives_the_value_bit_for_bit)
{
    char line[128];
    quants u;
    if (!contract(_i, line, sizeof line))
        return;
    contract_open(&u, line, ROWS);
    const float *z = quants_rows(&u, ROWS, COLUMNS, 9);
    for (int mode = NN_TRAIN; mode <= NN_EVAL; mode++) {
        u.tape.mode = (nn_mode)mode;
        nn_quantised found = quants_find(&u, z, ROWS);
        const float *q = quants_decoded(&u, &found, ROWS);
        ck_assert_msg(memcmp(q, found.q->val, sizeof *q * ROWS * COLUMNS) == 0, "%s",
                      line);
    }
    quants_free(&u);
}
END_TEST

/* No z + (q - z): the bytes of the table's row; and indices stay within the codes. */
START_TEST(values_are_the_codes_themselves)
{
    char line[128];
    quants u;
    if (!contract(_i, line, sizeof line))
        return;
    contract_open(&u, line, ROWS);
    nn_quantised found = quants_find(&u, quants_rows(&u, ROWS, COLUMNS, 9), ROWS);
    const int d = nn_quantiser_columns(u.it), parts = nn_quantiser_parts(u.it);
    for (int part = 0; part < parts; part++) {
        const float *book = nn_quantiser_book(u.it, part, &u.scratch);
        ck_assert_int_eq(!book, !nn_quantiser_has_book(u.it));
        for (int i = 0; i < ROWS; i++) {
            const int at = found.index[part][i];
            ck_assert(at >= 0 && at < nn_quantiser_codes(u.it));
            ck_assert_msg(!book || memcmp(book + at * d, found.code[part]->val + i * d,
                                          sizeof *book * (size_t)d) == 0, "%s", line);
        }
    }
    quants_free(&u);
}
END_TEST

/* One stage without projections: q is that row, not a sum that begins with it. */
START_TEST(a_single_part_hands_its_codes_out)
{
    char line[128];
    quants u;
    if (!contract(_i, line, sizeof line))
        return;
    contract_open(&u, line, ROWS);
    nn_quantised found = quants_find(&u, quants_rows(&u, ROWS, COLUMNS, 9), ROWS);
    if (nn_quantiser_parts(u.it) == 1 && nn_quantiser_columns(u.it) == COLUMNS)
        ck_assert_mem_eq(found.q->val, found.code[0]->val,
                         sizeof(float) * ROWS * COLUMNS);
    quants_free(&u);
}
END_TEST

/* ---- slopes ------------------------------------------------------------------------ */

/* The value of a loss is (to_z + to_q) m, of which z feels to_z and the codes to_q.
 * The indices are frozen: the test fails if one changes.  One stage where parameters
 * are asked, for a stage does not feel what those before it leave over. */
static const struct slope {
    const char *line;
    double to_z, to_q;
    uint64_t seed;
} slopes[] = {
    { "vq codes=4 beta=0.5 init=normal", 0.5 / 1.5, 1 / 1.5, 2 },
    { "vq codes=4 beta=0.5 legacy=1 init=normal", 1 / 1.5, 0.5 / 1.5, 2 },
    { "vq codes=4 stages=3 init=normal", 0.2, -1, 4 },
    { "vq codes=4 metric=unit init=normal", 0.2, 0.8, 2 },
    { "ema codes=4 init=normal", 1, -1, 2 },
    { "cvq codes=4 groups=2 weight=3 init=normal", 0.2, 0.8, 2 },
    { "simvq codes=4 train_basis=1", 0.2, 0.8, 2 },
    { "simvq codes=4 metric=cosine groups=2", 0.2, 0.8, 2 },
    { "lfq bits=8 tau=0.5", 1, -1, 2 },
    { "lfq bits=8 tau=0.5 beta=1 entropy=1 spherical=1", 1, -1, 4 },
};

enum { FEW = 5 };                       /* rows */

static double loss_at(quants *u, const float *z, const int *frozen)
{
    nn_quantised found = quants_find(u, z, FEW);
    for (int i = 0; i < FEW * found.parts; i++)
        ck_assert_int_eq(found.index[i / FEW][i % FEW], frozen[i]);
    return (double)nn_item(found.loss);
}

/* (loss(x + h v) - loss(x - h v)) / 2h against g.v: v is g's direction and half as
 * much of a random one. */
static void check_slope(quants *u, const char *what, float *x, const float *grad,
                        size_t count, const float *z, const int *frozen, double share)
{
    const double h = 0.01;              /* losses bend little: errors go with h^2 */
    nn_rng r = nn_rng_at(62, NN_RNG_TEST, 0, count);
    double square = 0, want = 0, value[2];
    double *v = NN_NEW(&u->forever, double, count);
    float *was = NN_NEW(&u->forever, float, count);

    memcpy(was, x, sizeof *x * count);
    for (size_t i = 0; i < count; i++)
        square += (double)grad[i] * (double)grad[i];
    for (size_t i = 0; i < count; i++) {
        v[i] = (double)grad[i] / sqrt(square)
            + nn_rng_normal(&r) / sqrt(4.0 * (double)count);
        want += (double)grad[i] * v[i];
    }
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < count; i++)
            x[i] = (float)((double)was[i] + (side ? -h : h) * v[i]);
        value[side] = loss_at(u, z, frozen);
    }
    memcpy(x, was, sizeof *x * count);
    const double got = share * (value[0] - value[1]) / (2 * h);
    ck_assert_msg(fabs(got - want) <= 1e-3 * fabs(want), "%s: slope %g, gradient %g",
                  what, got, want);
}

static float *copy(quants *u, const float *x, size_t n)
{
    return memcpy(NN_NEW(&u->forever, float, n), x, sizeof *x * n);
}

START_TEST(gradients_of_the_loss_are_its_slopes_with_frozen_indices)
{
    const struct slope *s = &slopes[_i];
    const size_t count = FEW * COLUMNS;
    nn_node *x;
    int frozen[FEW * NN_QUANT_PARTS];
    float *dz, *dp[16] = { NULL };
    quants u;

    quants_new(&u, s->line, COLUMNS);
    float *z = quants_rows(&u, FEW, COLUMNS, s->seed);
    nn_quantised found = quants_find_at(&u, z, FEW, 0, &x);
    for (int i = 0; i < FEW * found.parts; i++)
        frozen[i] = found.index[i / FEW][i % FEW];
    nn_backward(found.loss);
    dz = copy(&u, x->grad, count);
    for (int j = 0; j < u.store.count && s->to_q > 0; j++) {
        const nn_param *p = u.store.list[j];
        dp[j] = p->grad ? copy(&u, p->grad, nn_shape_count(&p->shape)) : NULL;
    }
    check_slope(&u, s->line, z, dz, count, z, frozen, s->to_z);
    for (int j = 0; j < u.store.count; j++) {
        const nn_param *p = u.store.list[j];
        if (dp[j])
            check_slope(&u, p->name, p->val, dp[j], nn_shape_count(&p->shape), z, frozen,
                        s->to_q);
    }
    quants_free(&u);
}
END_TEST

/* ---- same bytes, and no hidden state ----------------------------------------------- */

static nn_arena memory;                 /* the process of a test ends with it */

/* Everything that there is after `steps` more steps: the store, then values, loss and
 * gradients of one more batch. */
static outcome state_after(quants *u, int n, int from, int steps)
{
    outcome o = { 0, NULL };
    nn_node *x;
    for (int step = from; step < from + steps; step++)
        quants_train(u, quants_rows(u, n, COLUMNS, 20 + (uint64_t)step), n,
                     (nn_quant_clock){ 0, step, 100 }, 1);
    const float *z = quants_rows(u, n, COLUMNS, 50);
    nn_quantised found = quants_find_at(u, z, n, from + steps, &x);
    size_t room = 1 + 2 * nn_count(x);
    for (int j = 0; j < u->store.count; j++)
        room += 2 * nn_shape_count(&u->store.list[j]->shape);
    o.at = NN_NEW0(&memory, float, room);

    float *at = o.at;
    memcpy(at, found.q->val, sizeof *at * nn_count(x));
    at += nn_count(x);
    if (found.loss)
        *at = nn_item(found.loss);
    at++;
    nn_backward(quants_loss(u, &found, quants_rows(u, n, COLUMNS, 51)));
    memcpy(at, x->grad, sizeof *at * nn_count(x));
    at += nn_count(x);
    for (int j = 0; j < u->store.count; j++) {
        const nn_param *p = u->store.list[j];
        const size_t count = nn_shape_count(&p->shape);
        memcpy(at, p->val, sizeof *at * count);
        if (p->grad)
            memcpy(at + count, p->grad, sizeof *at * count);
        at += 2 * count;
    }
    o.n = (size_t)(at - o.at);
    return o;
}

static outcome three_steps(int i)
{
    char line[128];
    quants u;
    if (!contract(i, line, sizeof line))
        return (outcome){ 0, NN_NEW(&memory, float, 1) };
    quants_new(&u, line, COLUMNS);
    quants_start(&u, quants_rows(&u, 150, COLUMNS, 1), 150);
    outcome o = state_after(&u, 150, 0, 3);
    quants_free(&u);
    return o;
}

START_TEST(every_table_gives_the_same_bytes)
{
    bytes_of_every_table(three_steps, _i);
}
END_TEST

START_TEST(every_team_gives_the_same_bytes)
{
    bytes_of_every_team(three_steps, _i);
}
END_TEST

START_TEST(the_store_is_the_whole_state)
{
    char line[128];
    quants a, b;
    if (!contract(_i, line, sizeof line))
        return;
    contract_open(&a, line, ROWS);
    quants_new(&b, line, COLUMNS);
    ck_assert_int_eq(a.store.count, b.store.count);
    for (int j = 0; j < a.store.count; j++)
        memcpy(b.store.list[j]->val, a.store.list[j]->val,
               sizeof(float) * nn_shape_count(&a.store.list[j]->shape));
    outcome x = state_after(&a, ROWS, 3, 3), y = state_after(&b, ROWS, 3, 3);
    ck_assert_uint_eq(x.n, y.n);
    ck_assert_msg(memcmp(x.at, y.at, sizeof(float) * x.n) == 0, "%s", line);
    quants_free(&a);
    quants_free(&b);
}
END_TEST

START_TEST(no_memory_is_asked_for_after_the_first_steps)
{
    char line[128];
    quants u;
    if (!contract(_i, line, sizeof line))
        return;
    contract_open(&u, line, ROWS);
    const float *z = quants_rows(&u, ROWS, COLUMNS, 8);
    const size_t step = u.step.grown, scratch = u.scratch.grown;
    for (int i = 3; i < 6; i++)
        quants_train(&u, z, ROWS, (nn_quant_clock){ 0, i, 100 }, 1);
    ck_assert_uint_eq(u.step.grown, step);
    ck_assert_uint_eq(u.scratch.grown, scratch);
    quants_free(&u);
}
END_TEST

Suite *suite_quant(void)
{
    Suite *s = suite_create("quant");
    TCase *c = tcase_create("pytorch");
    tcase_add_loop_test(c, values_indices_losses_and_gradients_match_pytorch, 0, KINDS);
    tcase_add_loop_test(c, five_steps_of_training_match_pytorch, 0, 4);   /* have state */
    suite_add_tcase(s, c);

    c = tcase_create("contract");
    tcase_set_timeout(c, 60);
    tcase_add_test(c, the_list_of_kinds_is_complete);
    tcase_add_loop_test(c, decoding_the_indices_gives_the_value_bit_for_bit, 0, LINES);
    tcase_add_loop_test(c, values_are_the_codes_themselves, 0, LINES);
    tcase_add_loop_test(c, a_single_part_hands_its_codes_out, 0, LINES);
    tcase_add_loop_test(c, gradients_of_the_loss_are_its_slopes_with_frozen_indices, 0,
                        sizeof slopes / sizeof *slopes);
    tcase_add_loop_test(c, every_table_gives_the_same_bytes, 0, LINES);
    tcase_add_loop_test(c, every_team_gives_the_same_bytes, 0, LINES);
    tcase_add_loop_test(c, the_store_is_the_whole_state, 0, LINES);
    tcase_add_loop_test(c, no_memory_is_asked_for_after_the_first_steps, 0, LINES);
    suite_add_tcase(s, c);
    return s;
}
