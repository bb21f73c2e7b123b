/* Gradients of every operator against signed central differences. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "nn/op.h"
#include "nn/ops.h"
#include "nn/par.h"
#include "nn/rng.h"
#include "nn/kern/kern.h"
#include "tests/suites.h"

enum { MOST = 256 };                    /* elements of an example's input or output */

/* weigh: l = sum_i w_i y_i, the scalar whose gradient is checked; the weights are fixed
 * and different, so that no two errors cancel. */
static float weight_of(size_t i)
{
    return 0.4f + 0.3f * (float)(i % 7) - 0.9f * (float)(i % 2);
}

static void weigh_shape(nn_node *y)
{
    y->shape = nn_shape1(1);
}

static void weigh_forward(nn_node *y, nn_arena *scratch)
{
    double sum = 0;
    (void)scratch;
    for (size_t i = 0; i < nn_count(y->in[0]); i++)
        sum += (double)weight_of(i) * (double)y->in[0]->val[i];
    y->val[0] = (float)sum;
}

static void weigh_backward(nn_node *y, nn_arena *scratch)
{
    float *dx = nn_grad_zeroed(y->in[0]);
    (void)scratch;
    for (size_t i = 0; dx && i < nn_count(y->in[0]); i++)
        dx[i] += weight_of(i) * y->grad[0];
}

static const nn_op weigh = { .name = "weigh", .shape = weigh_shape,
                             .forward = weigh_forward, .backward = weigh_backward };

typedef struct trial {
    nn_arena step, scratch;
    nn_tape tape;
    float x[NN_MAX_IN][MOST];
    float grad[NN_MAX_IN][MOST];        /* by backward */
} trial;

/* The weighted sum of the operator's output in double, straight from its values. */
static double value(trial *t, const nn_op *op)
{
    nn_node *in[NN_MAX_IN], *y;
    double sum = 0;

    nn_tape_reset(&t->tape);
    for (int i = 0; i < op->example.ins; i++)
        in[i] = nn_input(&t->tape, op->example.in[i], t->x[i], 1);
    y = op->example.build(&t->tape, in);
    for (size_t i = 0; i < nn_count(y); i++)
        sum += (double)weight_of(i) * (double)y->val[i];
    return sum;
}

static void gradients(trial *t, const nn_op *op)
{
    nn_node *in[NN_MAX_IN];

    nn_tape_reset(&t->tape);
    for (int i = 0; i < op->example.ins; i++)
        in[i] = nn_input(&t->tape, op->example.in[i], t->x[i], 1);
    nn_node *y = op->example.build(&t->tape, in);
    nn_backward(nn_record(&t->tape, &weigh, &y, 1, NULL, 0));
    for (int i = 0; i < op->example.ins; i++) {
        size_t n = nn_shape_count(&op->example.in[i]);
        if (in[i]->grad)
            memcpy(t->grad[i], in[i]->grad, n * sizeof(float));
        else
            memset(t->grad[i], 0, n * sizeof(float));
    }
}

/* Inputs away from zero, where relu and the like have no derivative. */
static void fill(trial *t, const nn_op *op, uint64_t seed)
{
    nn_rng r = nn_rng_at(seed, NN_RNG_TEST, 0, nn_hash_name(op->name));
    for (int i = 0; i < op->example.ins; i++) {
        size_t n = nn_shape_count(&op->example.in[i]);
        ck_assert_uint_le(n, MOST);
        for (size_t j = 0; j < n; j++) {
            double size = nn_rng_range(&r, 0.1, 1);
            t->x[i][j] = (float)(nn_rng_below(&r, 2) ? size : -size);
        }
    }
}

static double slope(trial *t, const nn_op *op, int i, size_t j, float h)
{
    float x = t->x[i][j], up = x + h, down = x - h;
    t->x[i][j] = up;
    double above = value(t, op);
    t->x[i][j] = down;
    double below = value(t, op);
    t->x[i][j] = x;
    return (above - below) / ((double)up - (double)down);
}

/* Largest |difference - backward| over all inputs, relative to the largest slope.  A point
 * where two step widths disagree is a kink (a maximum or a ReLU changes sides) and is left
 * out; *kinks counts them. */
static double grad_error(const nn_op *op, float h, int *kinks)
{
    static trial t;
    double worst = 0, largest = 1e-3;           /* below it a gradient counts as zero */

    memset(&t, 0, sizeof t);
    nn_tape_start(&t.tape, &t.step, &t.scratch);
    fill(&t, op, 7);
    gradients(&t, op);
    *kinks = 0;
    for (int i = 0; i < op->example.ins; i++)
        for (size_t j = 0; j < nn_shape_count(&op->example.in[i]); j++) {
            double wide = slope(&t, op, i, j, h), narrow = slope(&t, op, i, j, h / 2);
            if (fabs(wide - narrow) > 0.01 * (fabs(wide) + fabs(narrow)) + 1e-3) {
                ++*kinks;
                continue;
            }
            worst = fmax(worst, fabs(narrow - (double)t.grad[i][j]));
            largest = fmax(largest, fabs(narrow));
        }
    nn_tape_free(&t.tape);
    nn_arena_free(&t.step);
    nn_arena_free(&t.scratch);
    return worst / largest;
}

/* Step 1e-2: rounding of float32 costs 1e-7 / 1e-2 = 1e-5, the third derivative 1e-4;
 * 1e-2 leaves room for both and is far below a wrong factor. */
START_TEST(gradient_matches_differences)
{
    const nn_op *op = nn_op_at(_i);
    int kinks;
    double error = grad_error(op, 1e-2f, &kinks);

    if (op->flags & NN_NO_GRADIENT)
        ck_assert_msg(error > 0.5, "%s: lets a gradient through", op->name);
    else if (op->flags & NN_SURROGATE)
        ck_assert_msg(error > 0.5, "%s: has the gradient of its value", op->name);
    else
        ck_assert_msg(error < 1e-2, "%s: relative error %.3g", op->name, error);
    ck_assert_msg(kinks < 12, "%s: %d kinks, the example tests too little", op->name,
                  kinks);
}
END_TEST

/* A unit row whose backward has one sign wrong: the tester must not be fooled. */
static void broken_backward(nn_node *y, nn_arena *scratch)
{
    nn_op_unitrow.backward(y, scratch);
    for (size_t i = 0; i < nn_count(y->in[0]); i++)
        y->in[0]->grad[i] = -y->in[0]->grad[i];
}

static nn_node *broken_build(nn_tape *t, nn_node *const *in);

static nn_op broken_op(void)
{
    nn_op op = nn_op_unitrow;
    op.name = "broken";
    op.backward = broken_backward;
    op.example.build = broken_build;
    return op;
}

static nn_node *broken_build(nn_tape *t, nn_node *const *in)
{
    static nn_op op;
    float eps = 1e-12f;
    op = broken_op();
    return nn_record(t, &op, in, 1, &eps, sizeof eps);
}

START_TEST(checker_sees_a_planted_sign_error)
{
    nn_op op = broken_op();
    int kinks;
    ck_assert_double_gt(grad_error(&op, 1e-2f, &kinks), 0.5);
}
END_TEST

/* The gradient of a value used twice is the sum of both uses, in memory that holds the
 * first when the second arrives: y = x + x through every operator's `add` path. */
START_TEST(gradients_of_two_uses_add_up)
{
    const nn_op *op = nn_op_at(_i);
    nn_arena step = {0}, scratch = {0};
    nn_tape t;
    static trial once;
    nn_node *in[NN_MAX_IN];

    if (op->flags & NN_NO_GRADIENT)
        return;
    memset(&once, 0, sizeof once);
    nn_tape_start(&once.tape, &once.step, &once.scratch);
    fill(&once, op, 7);
    gradients(&once, op);

    nn_tape_start(&t, &step, &scratch);
    for (int i = 0; i < op->example.ins; i++)
        in[i] = nn_input(&t, op->example.in[i], once.x[i], 1);
    nn_node *a = op->example.build(&t, in), *b = op->example.build(&t, in);
    nn_node *la = nn_record(&t, &weigh, &a, 1, NULL, 0);
    nn_node *lb = nn_record(&t, &weigh, &b, 1, NULL, 0);
    nn_backward(nn_axpy(&t, 2, la, lb));
    for (int i = 0; i < op->example.ins; i++)
        for (size_t j = 0; j < nn_shape_count(&op->example.in[i]); j++) {
            double want = 3 * (double)once.grad[i][j];
            double got = in[i]->grad ? (double)in[i]->grad[j] : 0;
            /* g + 2g against 3g: a few roundings of float32 */
            ck_assert_msg(fabs(got - want) <= 1e-5 * fabs(want) + 1e-6,
                          "%s input %d [%zu]: %g, wanted %g", op->name, i, j, got, want);
        }
    nn_tape_free(&t);
    nn_tape_free(&once.tape);
}
END_TEST

START_TEST(a_zero_row_has_zero_cosine_gradient)
{
    nn_arena step = {0}, scratch = {0};
    nn_tape t;
    float a[8] = { 0, 0, 0, 0, 1, 2, 3, 4 }, b[8] = { 1, 1, 1, 1, -1, 0, 1, 2 };

    nn_tape_start(&t, &step, &scratch);
    nn_node *x = nn_input(&t, nn_shape2(2, 4), a, 1);
    nn_node *y = nn_input(&t, nn_shape2(2, 4), b, 1);
    nn_node *c = nn_pin(nn_cosine(&t, x, y, 1e-8f));
    nn_backward(nn_mean(&t, c));
    ck_assert_float_eq(c->val[0], 0);
    for (int j = 0; j < 4; j++) {
        ck_assert_float_eq(x->grad[j], 0);
        ck_assert(isfinite(y->grad[j]) && isfinite(x->grad[4 + j]));
    }
    nn_tape_free(&t);
}
END_TEST

/* softmax of huge and of equal logits: ln K, and no overflow */
START_TEST(cross_entropy_survives_large_logits)
{
    nn_arena step = {0}, scratch = {0};
    nn_tape t;
    float x[6] = { 1e4f, 1e4f, 1e4f, -1e4f, 0, 1e4f };
    int label[2] = { 1, 2 };

    nn_tape_start(&t, &step, &scratch);
    nn_node *l = nn_softmax_xent(&t, nn_input(&t, nn_shape2(2, 3), x, 0), label);
    ck_assert_double_eq_tol((double)nn_item(l), log(3) / 2, 1e-6);  /* float32 of 0.55 */
    nn_tape_free(&t);
}
END_TEST

/* The tree by its definition: the sum from i on over `width` places, a power of two. */
static float tree(const float *x, size_t i, size_t width, size_t parts, size_t n, size_t j)
{
    if (width == 1)
        return x[i * n + j];
    float left = tree(x, i, width / 2, parts, n, j);
    size_t right = i + width / 2;
    return right < parts ? left + tree(x, right, width / 2, parts, n, j) : left;
}

/* Long enough for a team and for several strips, the last of them short. */
START_TEST(a_fold_is_the_same_tree_for_every_team)
{
    enum { PARTS = 11, WIDE = 7001 };
    static float x[PARTS * WIDE], was[PARTS * WIDE];
    static double twice[PARTS * WIDE];
    nn_rng r = nn_rng_at(11, NN_RNG_TEST, 0, 0);

    nn_par_set_threads(_i);
    for (size_t i = 0; i < PARTS * WIDE; i++)
        twice[i] = was[i] = x[i] = (float)nn_rng_normal(&r);
    nn_fold_float(x, PARTS, WIDE);
    nn_fold_double(twice, PARTS, WIDE);
    for (size_t j = 0; j < WIDE; j++) {
        float want = tree(was, 0, 16, PARTS, WIDE, j);
        ck_assert_msg(x[j] == want, "column %zu: %g, wanted %g", j, (double)x[j],
                      (double)want);
        /* 11 numbers below 6: rounding of float is 1e-6 each */
        ck_assert_double_eq_tol(twice[j], (double)want, 2e-5);
    }
}
END_TEST

Suite *suite_ops(void)
{
    Suite *s = suite_create("ops");
    TCase *tc = tcase_create("ops");
    tcase_add_loop_test(tc, gradient_matches_differences, 0, nn_op_count());
    tcase_add_loop_test(tc, gradients_of_two_uses_add_up, 0, nn_op_count());
    tcase_add_test(tc, checker_sees_a_planted_sign_error);
    tcase_add_test(tc, a_zero_row_has_zero_cosine_gradient);
    tcase_add_test(tc, cross_entropy_survives_large_logits);
    tcase_add_loop_test(tc, a_fold_is_the_same_tree_for_every_team, 1, 4);
    suite_add_tcase(s, tc);
    return s;
}
