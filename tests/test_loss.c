/* `fullrank loss`: losses and gradients of given embeddings, from oracles that can be
 * worked out by hand (specification, section 14), and the .npy files around them. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nn/rng.h"
#include "tests/program.h"
#include "tests/suites.h"

/* ---- .npy files, by hand ----------------------------------------------------------- */

enum { MOST = 4096 };

/* A file of version `major` with this header and these bytes behind it. */
static void put(const char *file, int major, const char *header, const void *data,
                size_t bytes)
{
    char all[MOST] = "\x93NUMPY";
    size_t n = strlen(header), lead = major == 1 ? 10 : 12;

    ck_assert_uint_le(lead + n + bytes, sizeof all);
    all[6] = (char)major;
    all[8] = (char)(n & 255);
    all[9] = (char)(n >> 8);
    memcpy(all + lead, header, n);
    memcpy(all + lead + n, data, bytes);
    program_put(file, all, lead + n + bytes);
}

static void put_floats(const char *file, int rows, int cols, const float *x)
{
    char header[128];
    snprintf(header, sizeof header,
             "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }\n", rows,
             cols);
    put(file, 1, header, x, (size_t)rows * (size_t)cols * sizeof *x);
}

/* What the program wrote: version 1.0 whose numbers begin at byte 128. */
static const float *gradient(const char *file, int rows, int cols)
{
    char header[128];
    size_t n = 0;
    const char *all = program_bytes(file, &n);

    ck_assert_msg(all, "%s is not there", file);
    ck_assert_uint_eq(n, 128 + (size_t)rows * (size_t)cols * sizeof(float));
    snprintf(header, sizeof header,
             "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", rows, cols);
    ck_assert_mem_eq(all, "\x93NUMPY\1\0\x76\0", 10);
    ck_assert_mem_eq(all + 10, header, strlen(header));
    ck_assert_int_eq(all[127], '\n');
    return (const float *)(const void *)(all + 128);
}

/* program("loss", ..., "--json"), read. */
#define LOSS(...) loss_of(program("loss", __VA_ARGS__, "--json", NULL))

static json_t *loss_of(program_result r)
{
    ck_assert_msg(r.exit == 0, "exit %d: %s", r.exit, r.err);
    ck_assert_str_eq(r.err, "");
    return program_parse(r.out);
}

static double value(json_t *o)
{
    return json_number_value(json_object_get(o, "loss"));
}

static double term(json_t *o, const char *name)
{
    json_t *v = json_object_get(json_object_get(o, "terms"), name);
    ck_assert_msg(json_is_number(v), "no term %s", name);
    return json_number_value(v);
}

static void draw(float *x, int n, int seed)
{
    for (int i = 0; i < n; i++) {
        nn_rng r = nn_rng_at((uint64_t)seed, NN_RNG_TEST, 0, (uint64_t)i);
        x[i] = (float)nn_rng_below(&r, 4001) / 1000 - 2;
    }
}

/* ---- oracles ----------------------------------------------------------------------- */

/* 4 rows, 3 columns that are uncorrelated, of mean 0 and unbiased variance 4/3. */
static const float hadamard[12] = { 1, 1, 1,  1, -1, -1,  -1, 1, -1,  -1, -1, 1 };

START_TEST(vicreg_of_a_constant_is_24_75_without_a_way_out)
{
    float x[15];
    for (int i = 0; i < 15; i++)
        x[i] = 3;
    put_floats("a.npy", 5, 3, x);
    json_t *o = LOSS("vicreg", "a.npy", "a.npy", "--grad", "g");
    /* 25 (1 - sqrt(1e-4)); float32 rounds 24.75 to 2e-6 */
    ck_assert_double_eq_tol(value(o), 24.75, 4e-6);
    ck_assert_double_eq(term(o, "invariance"), 0);
    ck_assert_double_eq(term(o, "covariance"), 0);
    for (int i = 0; i < 15; i++) {
        ck_assert_float_eq(gradient("g_0.npy", 5, 3)[i], 0);
        ck_assert_float_eq(gradient("g_1.npy", 5, 3)[i], 0);
    }
    ck_assert_int_eq(json_integer_value(json_object_get(o, "n")), 5);
    ck_assert_int_eq(json_integer_value(json_object_get(o, "d")), 3);
    ck_assert_str_eq(json_string_value(json_object_get(o, "method")), "vicreg");
    json_t *set = json_object_get(o, "settings");
    ck_assert_double_eq(json_number_value(json_object_get(set, "lambda")), 25);
    ck_assert_str_eq(json_string_value(json_object_get(set, "convention")), "official");
}
END_TEST

START_TEST(vicreg_of_uncorrelated_columns_of_spread_one_is_0)
{
    put_floats("a.npy", 4, 3, hadamard);
    ck_assert_double_eq(value(LOSS("vicreg", "a.npy", "a.npy")), 0);
}
END_TEST

/* In double, from the formula: lambda s + mu (v + v')/2 + nu (c + c'). */
static double vicreg(const double *x, const double *y, int n, int d, const double w[3])
{
    double sum = 0;
    for (int i = 0; i < n * d; i++)
        sum += w[0] * (x[i] - y[i]) * (x[i] - y[i]) / (n * d);
    for (int view = 0; view < 2; view++) {
        const double *z = view ? y : x;
        for (int j = 0; j < d; j++)
            for (int k = 0; k < d; k++) {
                double a = 0, b = 0, c = 0;
                for (int i = 0; i < n; i++) {
                    a += z[i * d + j] / n;
                    b += z[i * d + k] / n;
                }
                for (int i = 0; i < n; i++)
                    c += (z[i * d + j] - a) * (z[i * d + k] - b) / (n - 1);
                sum += j == k ? w[1] * fmax(0, 1 - sqrt(c + 1e-4)) / d / 2
                              : w[2] * c * c / d;
            }
    }
    return sum;
}

START_TEST(vicreg_and_its_gradient_are_those_of_the_formula)
{
    enum { N = 6, D = 4 };
    const double w[3] = { 3, 5, 2 }, h = 1e-6;
    float z[2][N * D];
    double x[2][N * D];

    draw(z[0], N * D, 1);
    draw(z[1], N * D, 2);
    for (int v = 0; v < 2; v++)
        for (int i = 0; i < N * D; i++) {
            z[v][i] *= 0.5f;            /* spreads below one: the hinge is at work */
            x[v][i] = (double)z[v][i];
        }
    put_floats("a.npy", N, D, z[0]);
    put_floats("b.npy", N, D, z[1]);
    json_t *o = LOSS("vicreg", "a.npy", "b.npy", "lambda=3", "mu=5", "nu=2", "--grad",
                     "g");
    double want = vicreg(x[0], x[1], N, D, w);
    ck_assert_double_eq_tol(value(o), want, 1e-5 * want);
    ck_assert_double_eq_tol(value(o), 3 * term(o, "invariance") + 5 * term(o, "variance")
                            + 2 * term(o, "covariance"), 1e-5 * want);
    for (int v = 0; v < 2; v++)
        for (int i = 0; i < N * D; i++) {
            const double at = x[v][i];
            x[v][i] = at + h;
            double up = vicreg(x[0], x[1], N, D, w);
            x[v][i] = at - h;
            double slope = (up - vicreg(x[0], x[1], N, D, w)) / (2 * h);
            x[v][i] = at;
            /* gradients are of order 1; differences in double are good to 1e-8 */
            ck_assert_double_eq_tol(
                (double)gradient(v ? "g_1.npy" : "g_0.npy", N, D)[i], slope, 1e-5);
        }
}
END_TEST

START_TEST(simsiam_of_predictions_that_hit_is_minus_1_at_rest)
{
    float z[2][12];
    draw(z[0], 12, 3);
    draw(z[1], 12, 4);
    put_floats("z1.npy", 4, 3, z[0]);
    put_floats("z2.npy", 4, 3, z[1]);
    json_t *o = LOSS("simsiam", "z2.npy", "z1.npy", "z1.npy", "z2.npy", "--grad", "g");
    ck_assert_double_eq_tol(value(o), -1, 1e-6);
    for (int i = 0; i < 12; i++) {
        ck_assert_float_eq_tol(gradient("g_0.npy", 4, 3)[i], 0, 1e-6f);
        ck_assert_float_eq_tol(gradient("g_1.npy", 4, 3)[i], 0, 1e-6f);
    }
    /* two files: z is its own prediction, and equal views agree */
    ck_assert_double_eq_tol(value(LOSS("simsiam", "z1.npy", "z1.npy")), -1, 1e-6);
}
END_TEST

/* -1/(2N) (n(z) - c n(p)) / |p| with c = 0; N = 2, p along one axis, z along another. */
START_TEST(simsiam_pulls_only_the_prediction_and_less_the_longer_it_is)
{
    const float p[4] = { 2, 0, 2, 0 }, far[4] = { 20, 0, 20, 0 }, z[4] = { 0, 3, 0, 3 };
    put_floats("p.npy", 2, 2, p);
    put_floats("far.npy", 2, 2, far);
    put_floats("z.npy", 2, 2, z);
    ck_assert_double_eq(value(LOSS("simsiam", "p.npy", "p.npy", "z.npy", "z.npy",
                                   "--grad", "g")), 0);
    ck_assert_double_eq(value(LOSS("simsiam", "far.npy", "p.npy", "z.npy", "z.npy",
                                   "--grad", "f")), 0);
    LOSS("simsiam", "p.npy", "p.npy", "z.npy", "z.npy", "stop_gradient=no", "--grad",
         "n");
    for (int i = 0; i < 4; i++) {
        const double pull = i % 2 ? -1.0 / (2 * 2 * 2) : 0, back = i % 2 ? 0 : -1.0 / 12;
        /* one rounding or two of float32 */
        ck_assert_double_eq_tol((double)gradient("g_0.npy", 2, 2)[i], pull, 1e-7);
        ck_assert_double_eq_tol((double)gradient("f_0.npy", 2, 2)[i], pull / 10, 1e-7);
        ck_assert_float_eq(gradient("g_2.npy", 2, 2)[i], 0);
        ck_assert_float_eq(gradient("g_3.npy", 2, 2)[i], 0);
        ck_assert_double_eq_tol((double)gradient("n_2.npy", 2, 2)[i], back, 1e-7);
    }
}
END_TEST

START_TEST(barlow_counts_four_for_every_column_that_is_turned_round)
{
    float turned[12];
    for (int i = 0; i < 12; i++)
        turned[i] = -hadamard[i];
    put_floats("a.npy", 4, 3, hadamard);
    put_floats("b.npy", 4, 3, turned);
    /* BatchNorm's 1e-5 below the variance of 1 moves each C_jj by 1e-5 */
    ck_assert_double_eq_tol(value(LOSS("barlow", "a.npy", "a.npy")), 0, 1e-8);
    ck_assert_double_eq_tol(value(LOSS("barlow", "a.npy", "b.npy", "scale=0.5")), 6,
                            1e-4);
}
END_TEST

START_TEST(simclr_of_equal_rows_is_ln_of_all_others)
{
    const float same[6] = { 1, 2, 1, 2, 1, 2 }, axes[4] = { 1, 0, 0, 1 };
    put_floats("a.npy", 3, 2, same);
    put_floats("b.npy", 2, 2, axes);
    ck_assert_double_eq_tol(value(LOSS("simclr", "a.npy", "a.npy")), log(5), 1e-5);
    /* -1 + ln(e + 2) */
    ck_assert_double_eq_tol(value(LOSS("simclr", "b.npy", "b.npy", "tau=1")),
                            log(exp(1) + 2) - 1, 1e-6);
}
END_TEST

START_TEST(byol_is_0_on_the_target_and_8_opposite_to_it)
{
    float turned[12];
    for (int i = 0; i < 12; i++)
        turned[i] = -hadamard[i];
    put_floats("a.npy", 4, 3, hadamard);
    put_floats("b.npy", 4, 3, turned);
    ck_assert_double_eq_tol(value(LOSS("byol", "a.npy", "a.npy", "--grad", "g")), 0,
                            2e-6);
    json_t *o = LOSS("byol", "b.npy", "b.npy", "a.npy", "a.npy", "--grad", "h");
    ck_assert_double_eq_tol(value(o), 8, 2e-6);
    for (int i = 0; i < 12; i++)        /* nothing reaches the target */
        ck_assert_float_eq(gradient("h_2.npy", 4, 3)[i], 0);
}
END_TEST

START_TEST(a_regulariser_is_told_without_a_method)
{
    const float square[8] = { 0, 0, 1, 0, 1, 1, 0, 1 };
    put_floats("a.npy", 4, 2, square);
    put_floats("h.npy", 4, 3, hadamard);
    /* the tree of a unit square is 3 long, 4 points */
    json_t *o = LOSS("add.tregs", "a.npy", "a.npy", "gamma=1", "lambda=0");
    ck_assert_double_eq_tol(value(o), -1.5, 1e-6);
    ck_assert_str_eq(json_string_value(json_object_get(o, "method")), "add.tregs");
    ck_assert_double_eq_tol(value(LOSS("add.tregs", "a.npy", "gamma=1", "lambda=0",
                                       "views=first", "--grad", "g")), -0.75, 1e-6);
    gradient("g_0.npy", 4, 2);
    ck_assert_int_ne(access("g_1.npy", F_OK), 0);
    ck_assert_double_eq_tol(value(LOSS("add.tregs", "a.npy", "a.npy", "gamma=1",
                                       "lambda=0", "views=first")), -0.75, 1e-6);
    /* mu alone, a spread of 2/sqrt(3) in h and of 1/sqrt(3) in a */
    ck_assert_double_eq(value(LOSS("add.vicreg", "h.npy", "h.npy")), 0);
    ck_assert_double_eq_tol(value(LOSS("add.vicreg", "a.npy", "a.npy", "nu=0")),
                            1 - sqrt(1.0 / 3 + 1e-4), 1e-6);
}
END_TEST

START_TEST(warm_ups_are_over_unless_an_epoch_is_given)
{
    float x[40];
    draw(x, 40, 5);
    put_floats("a.npy", 10, 4, x);
    ck_assert_double_ne(value(LOSS("ldreg", "a.npy", "a.npy")), 0);
    json_t *o = LOSS("ldreg", "a.npy", "a.npy", "epoch=9", "--grad", "g");
    ck_assert_double_eq(value(o), 0);
    ck_assert_uint_eq(json_object_size(json_object_get(o, "terms")), 0);
    for (int i = 0; i < 40; i++)
        ck_assert_float_eq(gradient("g_0.npy", 10, 4)[i], 0);
    ck_assert_double_ne(value(LOSS("ldreg", "a.npy", "a.npy", "epoch=10")), 0);
    /* a tenth of the run: the weights are at 6/11 after 5 of 100 epochs */
    json_t *half = LOSS("tregs", "a.npy", "a.npy", "epoch=5", "epochs=100");
    ck_assert_double_eq_tol(value(half), value(LOSS("tregs", "a.npy", "a.npy")) * 6 / 11,
                            1e-5);
}
END_TEST

START_TEST(every_kernel_table_tells_the_same)
{
    static const char *const name[] = { "simsiam", "vicreg", "barlow", "simclr", "ldreg",
                                        "add.tregs" };
    float x[2][20 * 7];
    draw(x[0], 140, 6);
    draw(x[1], 140, 7);
    put_floats("a.npy", 20, 7, x[0]);
    put_floats("b.npy", 20, 7, x[1]);
    for (int i = 0; i < 6; i++) {
        const program_result r = program("loss", name[i], "a.npy", "b.npy", "--json",
                                         "--grad", "g", NULL);
        const float *g = gradient("g_0.npy", 20, 7);
        setenv("FULLRANK_KERN", "ref", 1);
        setenv("OMP_NUM_THREADS", "1", 1);
        const program_result s = program("loss", name[i], "a.npy", "b.npy", "--json",
                                         "--grad", "g", NULL);
        unsetenv("FULLRANK_KERN");
        unsetenv("OMP_NUM_THREADS");
        ck_assert_int_eq(r.exit, 0);
        ck_assert_str_eq(r.out, s.out);
        ck_assert_mem_eq(g, gradient("g_0.npy", 20, 7), sizeof x[0]);
    }
}
END_TEST

START_TEST(people_get_lines_and_the_names_of_the_gradients)
{
    put_floats("a.npy", 4, 3, hadamard);
    program_result r = program("loss", "add.vicreg", "a.npy", "a.npy", "mu=2", "--grad",
                               "g", NULL);
    ck_assert_int_eq(r.exit, 0);
    ck_assert_str_eq(r.out, "add.vicreg of 2 views, N = 4, d = 3\n"
                            "loss               0\n"
                            "  variance         0\n"
                            "  covariance       0\n"
                            "gradient           g_0.npy of a.npy\n"
                            "gradient           g_1.npy of a.npy\n");
}
END_TEST

/* ---- files ------------------------------------------------------------------------- */

START_TEST(other_types_orders_of_bytes_and_versions_read_the_same)
{
    double wide[12];
    unsigned char turned[12 * 8], narrow[12 * 4];
    for (int i = 0; i < 12; i++)
        wide[i] = (double)hadamard[i] * 0.75;
    for (int i = 0; i < 12; i++)
        for (int b = 0; b < 8; b++)
            turned[i * 8 + b] = ((unsigned char *)&wide[i])[7 - b];
    float x[12];
    for (int i = 0; i < 12; i++)
        x[i] = (float)wide[i];
    for (int i = 0; i < 12; i++)
        for (int b = 0; b < 4; b++)
            narrow[i * 4 + b] = ((unsigned char *)&x[i])[3 - b];
    put_floats("a.npy", 4, 3, x);
    put("b.npy", 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3), }\n", wide,
        sizeof wide);
    put("c.npy", 2, "{\"shape\": (4,3), 'fortran_order':False,'descr':'>f8'}", turned,
        sizeof turned);
    put("d.npy", 3, "{'descr': '>f4', 'fortran_order': False, 'shape': (4, 3,)}    \n",
        narrow, sizeof narrow);
    const char *first = program("loss", "vicreg", "a.npy", "a.npy", "--json", NULL).out;
    for (int i = 1; i < 4; i++) {
        const char file[] = { (char)('a' + i), '.', 'n', 'p', 'y', 0 };
        program_result r = program("loss", "vicreg", file, "a.npy", "--json", NULL);
        ck_assert_msg(r.exit == 0, "%s", r.err);
        ck_assert_str_eq(r.out, first);
    }
}
END_TEST

START_TEST(a_gradient_is_a_file_that_reads_back)
{
    float x[12];
    draw(x, 12, 8);
    put_floats("a.npy", 4, 3, hadamard);
    put_floats("b.npy", 4, 3, x);
    LOSS("vicreg", "a.npy", "b.npy", "--grad", "g");
    const float *g = gradient("g_0.npy", 4, 3);
    put_floats("again.npy", 4, 3, g);
    const char *out = program("loss", "simsiam", "g_0.npy", "b.npy", "--json", NULL).out;
    ck_assert_str_eq(program("loss", "simsiam", "again.npy", "b.npy", "--json", NULL).out,
                     out);
}
END_TEST

#define HEAD(descr, order, shape) \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"

static const struct damage {
    const char *header;
    size_t bytes;
    const char *says;
} damaged[] = {
    { HEAD("'<f4'", "False", "(4, 3)"), 47, "x.npy: (4, 3) numbers of 4 bytes do not make"
      " the 47 bytes behind the header; the file is damaged" },
    { HEAD("'<f4'", "False", "(4, 3)"), 49, "x.npy: (4, 3) numbers of 4 bytes do not make"
      " the 49 bytes behind the header; the file is damaged" },
    { HEAD("'<f8'", "False", "(2147483647, 2147483647)"), 48,
      "x.npy: (2147483647, 2147483647) numbers of 8 bytes do not make the 48 bytes behind"
      " the header; the file is damaged" },
    { HEAD("'<f4'", "False", "(99999999999999999999, 0)"), 0,
      "x.npy: an array of shape (9223372036854775807, 0) is too large" },
    { HEAD("'<f4'", "False", "(-4, 3)"), 48,
      "x.npy: the header of this .npy file makes no sense" },
    { HEAD("'<f4'", "False", "(4, 3"), 48,
      "x.npy: the header of this .npy file makes no sense" },
    { HEAD("'<f4'", "Maybe", "(4, 3)"), 48,
      "x.npy: the header of this .npy file makes no sense" },
    { "{'descr': '<f4', 'fortran_order': False}\n", 48,
      "x.npy: the header of this .npy file makes no sense" },
    { "", 48, "x.npy: the header of this .npy file makes no sense" },
    { HEAD("'<f4'", "True", "(4, 3)"), 48, "x.npy: lies column by column (Fortran order);"
      " save numpy.ascontiguousarray(x)" },
    { HEAD("'<i8'", "False", "(4, 3)"), 96, "x.npy: holds numbers of type <i8; wanted are"
      " float32 or float64: .astype('float32')" },
    { HEAD("'<f2'", "False", "(4, 3)"), 24, "x.npy: holds numbers of type <f2; wanted are"
      " float32 or float64: .astype('float32')" },
    { HEAD("[('a', '<f4')]", "False", "(4, 3)"), 48, "x.npy: holds numbers of type a"
      " record; wanted are float32 or float64: .astype('float32')" },
    { HEAD("'=f4'", "False", "(4, 3)"), 48,
      "x.npy: type =f4 does not say the order of bytes" },
    { HEAD("'<f4'", "False", "(12,)"), 48,
      "x.npy: an array of shape (12,); wanted are rows and columns" },
    { HEAD("'<f4'", "False", "()"), 4,
      "x.npy: an array of shape (); wanted are rows and columns" },
    { HEAD("'<f4'", "False", "(2, 2, 3)"), 48,
      "x.npy: an array of shape (2, 2, 3); wanted are rows and columns" },
    { HEAD("'<f4'", "False", "(1, 12)"), 48, "x.npy: 1 rows of 12 numbers; a batch has 2"
      " to 1048576 rows of 1 to 65536" },
    { HEAD("'<f4'", "False", "(4, 0)"), 0, "x.npy: 4 rows of 0 numbers; a batch has 2 to"
      " 1048576 rows of 1 to 65536" },
    { HEAD("'<f4'", "False", "(3, 4)"), 48,
      "a.npy: is of shape (4, 3), but x.npy of (3, 4)" },
};

static void refused(program_result r, int code, const char *says)
{
    char line[1024];
    snprintf(line, sizeof line, "%s\n", says);
    ck_assert_str_eq(r.err, line);
    ck_assert_int_eq(r.exit, code);
    ck_assert_str_eq(r.out, "");
}

START_TEST(a_damaged_file_gets_one_line_and_5)
{
    const unsigned char zero[128] = {0};
    put_floats("a.npy", 4, 3, hadamard);
    put("x.npy", 1, damaged[_i].header, zero, damaged[_i].bytes);
    refused(program("loss", "vicreg", "x.npy", "a.npy", "--grad", "g", NULL), 5,
            damaged[_i].says);
    ck_assert_int_ne(access("g_0.npy", F_OK), 0);
}
END_TEST

START_TEST(what_is_no_such_file_gets_one_line_and_5)
{
    ck_assert_int_eq(mkdir("place", 0700), 0);
    program_write("x.npy", "PK");
    program_write("text.npy", "1,2,3\n4,5,6\n");
    refused(program("loss", "vicreg", "x.npy", "x.npy", NULL), 5,
            "x.npy: not a .npy file");
    refused(program("loss", "vicreg", "text.npy", "x.npy", NULL), 5,
            "text.npy: not a .npy file");
    refused(program("loss", "vicreg", "no.npy", "x.npy", NULL), 5,
            "no.npy: No such file or directory");
    refused(program("loss", "vicreg", "place", "x.npy", NULL), 5,
            "place: is a folder, not a .npy file");
    refused(program("loss", "vicreg", "/dev/zero", "x.npy", NULL), 5,
            "/dev/zero: is a pipe or a device, not a .npy file");
    program_put("x.npy", "\x93NUMPY\1\0\xff", 9);
    refused(program("loss", "vicreg", "x.npy", "x.npy", NULL), 5,
            "x.npy: ends within its header");
    program_put("x.npy", "\x93NUMPY\1\0\xff\xff{", 11);
    refused(program("loss", "vicreg", "x.npy", "x.npy", NULL), 5,
            "x.npy: ends within its header");
    program_put("x.npy", "\x93NUMPY\4\0\1\0\0\0{", 13);
    refused(program("loss", "vicreg", "x.npy", "x.npy", NULL), 5,
            "x.npy: .npy of version 4.0; known are 1 to 3");
    program_put("x.npy", "\x93NUMPY\2\0\xff\xff\xff\xff{", 13);
    refused(program("loss", "vicreg", "x.npy", "x.npy", NULL), 5,
            "x.npy: a header of 4294967295 bytes is none of an array of numbers");
}
END_TEST

START_TEST(a_loss_of_images_is_refused)
{
    put_floats("x.npy", 4, 2, hadamard);
    refused(program("loss", "vqvae", "x.npy", NULL), 2,
            "command line: the loss of vqvae is one of images, which embeddings do not tell;"
            " 'fullrank quantise' has the figures of its codes");
}
END_TEST

/* Whitening over one channel would divide by nothing.  Two are enough. */
START_TEST(intl_of_one_column_gets_one_line_and_5)
{
    put_floats("x.npy", 4, 1, hadamard);
    refused(program("loss", "intl", "x.npy", "x.npy", NULL), 5,
            "x.npy: rows of 1 number, but intl wants at least 2");
    put_floats("x.npy", 4, 2, hadamard);
    ck_assert_int_eq(program("loss", "intl", "x.npy", "x.npy", NULL).exit, 0);
}
END_TEST

START_TEST(numbers_that_are_none_are_named_by_row_and_column)
{
    float x[12];
    double wide[12];
    memcpy(x, hadamard, sizeof x);
    for (int i = 0; i < 12; i++)
        wide[i] = (double)hadamard[i];
    put_floats("a.npy", 4, 3, hadamard);
    x[7] = NAN;
    x[9] = INFINITY;
    put_floats("x.npy", 4, 3, x);
    refused(program("loss", "vicreg", "a.npy", "x.npy", NULL), 5, "x.npy: row 2, column 1"
            " (counted from 0) is nan as float32; a loss wants finite numbers");
    x[7] = 0;
    put_floats("x.npy", 4, 3, x);
    refused(program("loss", "vicreg", "x.npy", "a.npy", NULL), 5, "x.npy: row 3, column 0"
            " (counted from 0) is inf as float32; a loss wants finite numbers");
    wide[0] = -1e300;
    put("x.npy", 1, HEAD("'<f8'", "False", "(4, 3)"), wide, sizeof wide);
    refused(program("loss", "vicreg", "x.npy", "a.npy", NULL), 5, "x.npy: row 0, column 0"
            " (counted from 0) is -inf as float32; a loss wants finite numbers");
}
END_TEST

START_TEST(a_loss_that_is_no_number_ends_with_4)
{
    float x[12];
    for (int i = 0; i < 12; i++)
        x[i] = hadamard[i] * 3e38f;
    put_floats("a.npy", 4, 3, hadamard);
    put_floats("x.npy", 4, 3, x);
    refused(program("loss", "vicreg", "x.npy", "a.npy", "nu=0", "mu=0", "--grad", "g",
                    NULL), 4, "the loss of vicreg is inf");
    ck_assert_int_ne(access("g_0.npy", F_OK), 0);
}
END_TEST

static const struct misuse { const char *word[8], *says; } misuses[] = {
    { { "vicrg", "a.npy", "a.npy" },
      "command line: no method or regulariser 'vicrg'; did you mean 'vicreg'?" },
    { { "add.simsiam", "a.npy", "a.npy" },
      "command line: no method or regulariser 'add.simsiam'; did you mean 'simsiam'?" },
    { { "jabberwocky", "a.npy", "a.npy" }, "command line: no method or regulariser"
      " 'jabberwocky'; 'fullrank list methods' and 'list addons' name them" },
    { { "vicreg", "a.npy", "a.npy", "lamda=1" },
      "command line: no setting 'lamda' in vicreg; did you mean 'lambda'?" },
    { { "add.vicreg", "a.npy", "a.npy", "lambda=1" },
      "command line: no setting 'lambda' in add.vicreg; 'fullrank help config' lists"
      " them" },
    { { "vicreg", "a.npy", "a.npy", "lambda=-1" },
      "command line: lambda = -1 is out of range (0 to 1000000)" },
    { { "vicreg", "a.npy", "a.npy", "epoch=3", "epochs=2" },
      "command line: epoch = 3, but epochs = 2" },
    { { "vicreg", "a.npy", "epoch=1" },
      "command line: vicreg wants 2 files (z of each view), not 1" },
    { { "vicreg", "a.npy", "a.npy", "a.npy", "a.npy" },
      "command line: vicreg wants 2 files (z of each view), not 4" },
    { { "add.vicreg", "a.npy" },
      "command line: add.vicreg wants 2 files (z of each view), not 1" },
    { { "simsiam", "a.npy", "a.npy", "a.npy" },
      "command line: simsiam wants 2 files (z of each view, which is its own prediction)"
      " or 4 (p of each view, then z), not 3" },
};

START_TEST(a_mistake_on_the_line_gets_one_line_and_2)
{
    const char *args[10] = { "loss" };
    put_floats("a.npy", 4, 3, hadamard);
    memcpy(args + 1, misuses[_i].word, sizeof misuses[_i].word);
    refused(program_args(args), 2, misuses[_i].says);
}
END_TEST

START_TEST(a_gradient_that_cannot_be_written_leaves_what_was_there)
{
    put_floats("a.npy", 4, 3, hadamard);
    refused(program("loss", "vicreg", "a.npy", "a.npy", "--json", "--grad", "no/g", NULL),
            1, "no/g_0.npy: cannot be written: No such file or directory");
    ck_assert_int_eq(mkdir("out", 0700), 0);
    program_write("out/g_0.npy", "as it was");
    program_most_bytes = 64;
    program_result r = program("loss", "vicreg", "a.npy", "a.npy", "--grad", "out/g",
                               NULL);
    program_most_bytes = 0;
    ck_assert_int_eq(r.exit, 1);
    ck_assert_str_eq(r.err, "out/g_0.npy: cannot be written: File too large\n");
    ck_assert_str_eq(program_read("out/g_0.npy"), "as it was");
    ck_assert_int_eq(unlink("out/g_0.npy"), 0);
    ck_assert_msg(rmdir("out") == 0, "something was left behind");
}
END_TEST

Suite *suite_loss(void)
{
    Suite *s = suite_create("loss");
    TCase *tc = tcase_create("loss");
    program_find();
    tcase_add_checked_fixture(tc, program_enter, program_leave);
    tcase_add_test(tc, vicreg_of_a_constant_is_24_75_without_a_way_out);
    tcase_add_test(tc, vicreg_of_uncorrelated_columns_of_spread_one_is_0);
    tcase_add_test(tc, vicreg_and_its_gradient_are_those_of_the_formula);
    tcase_add_test(tc, simsiam_of_predictions_that_hit_is_minus_1_at_rest);
    tcase_add_test(tc, simsiam_pulls_only_the_prediction_and_less_the_longer_it_is);
    tcase_add_test(tc, barlow_counts_four_for_every_column_that_is_turned_round);
    tcase_add_test(tc, simclr_of_equal_rows_is_ln_of_all_others);
    tcase_add_test(tc, byol_is_0_on_the_target_and_8_opposite_to_it);
    tcase_add_test(tc, a_regulariser_is_told_without_a_method);
    tcase_add_test(tc, warm_ups_are_over_unless_an_epoch_is_given);
    tcase_add_test(tc, every_kernel_table_tells_the_same);
    tcase_add_test(tc, people_get_lines_and_the_names_of_the_gradients);
    tcase_add_test(tc, other_types_orders_of_bytes_and_versions_read_the_same);
    tcase_add_test(tc, a_gradient_is_a_file_that_reads_back);
    tcase_add_loop_test(tc, a_damaged_file_gets_one_line_and_5, 0,
                        (int)(sizeof damaged / sizeof *damaged));
    tcase_add_test(tc, what_is_no_such_file_gets_one_line_and_5);
    tcase_add_test(tc, a_loss_of_images_is_refused);
    tcase_add_test(tc, intl_of_one_column_gets_one_line_and_5);
    tcase_add_test(tc, numbers_that_are_none_are_named_by_row_and_column);
    tcase_add_test(tc, a_loss_that_is_no_number_ends_with_4);
    tcase_add_loop_test(tc, a_mistake_on_the_line_gets_one_line_and_2, 0,
                        (int)(sizeof misuses / sizeof *misuses));
    tcase_add_test(tc, a_gradient_that_cannot_be_written_leaves_what_was_there);
    suite_add_tcase(s, tc);
    return s;
}
