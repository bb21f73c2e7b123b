/* init.from: weights that PyTorch wrote give the loss that PyTorch gets, and whatever does
 * not fit is named.  tests/golden/make_init.py makes the file. */
#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/program.h"
#include "tests/saved.h"
#include "tests/suites.h"

enum { IMAGES = 12, SIZE = 28 };

/* No augmentation, no normalisation, one step of almost nothing: the loss is that of the
 * weights as they were read. */
#define INIT \
    "method: {name: simsiam, proj_dim: 12, proj_layers: 2, pred_hidden: 5}\n" \
    "model: {name: resnet8, width: 0.25}\n" \
    "data: {name: mnist, dir: data, normalise: false}\n" \
    "augment: {recipe: none}\n" \
    "optim: {name: sgd, lr: 1.0e-12, momentum: 0, weight_decay: 0}\n" \
    "metrics: {samples: 12, bank: 12, knn_k: 2, lid_k: 2}\n" \
    "init: {from: init.safetensors, part: all}\n" \
    "batch: 12\n" \
    "epochs: 1\n"

static void big_endian(uint8_t *to, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(x >> (24 - 8 * i));
}

/* The images of make_init.py, as both halves of a set. */
static void write_images(void)
{
    static const char *const halves[] = { "train", "t10k" };
    static uint8_t image[16 + IMAGES * SIZE * SIZE], label[8 + IMAGES];
    static const uint32_t head[] = { 0x803, IMAGES, SIZE, SIZE };
    char name[64];

    for (int i = 0; i < 4; i++)
        big_endian(image + 4 * i, head[i]);
    big_endian(label, 0x801);
    big_endian(label + 4, IMAGES);
    for (int i = 0; i < IMAGES; i++) {
        label[8 + i] = (uint8_t)(i % 10);
        for (int y = 0; y < SIZE; y++)
            for (int x = 0; x < SIZE; x++)
                image[16 + (i * SIZE + y) * SIZE + x] =
                    (uint8_t)((i * 37 + y * (i + 3) + x * x * (2 * i + 1)) % 256);
    }
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "data/%s-images-idx3-ubyte", halves[i]);
        program_put(name, image, sizeof image);
        snprintf(name, sizeof name, "data/%s-labels-idx1-ubyte", halves[i]);
        program_put(name, label, sizeof label);
    }
}

static char *golden(const char *name, size_t *bytes)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/tests/golden/%s", program_root(), name);
    return program_bytes(path, bytes);
}

static void enter(void)
{
    size_t n;
    program_enter();
    ck_assert_int_eq(system("mkdir data"), 0);
    write_images();
    char *weights = golden("init.safetensors", &n);
    program_put("init.safetensors", weights, n);
    program_write("a.yaml", INIT);
}

static double last_loss(const char *under)
{
    json_t *lines = program_lines(program_run_folder(under), "metrics.jsonl");
    const json_t *last = json_array_get(lines, json_array_size(lines) - 1);
    return json_number_value(json_object_get(last, "loss"));
}

START_TEST(weights_of_pytorch_give_the_loss_of_pytorch)
{
    program_result r = program("train", "a.yaml", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_msg(strstr(r.out, "60 tensors from init.safetensors; left out:"
                                " 12 of *.num_batches_tracked\n"), "%s", r.out);
    /* float against double through some twenty layers: measured 3e-8; the losses of wrong
     * layouts differ in the first digit */
    size_t n;
    double want = atof(golden("init.gold", &n)), got = last_loss("runs");
    ck_assert_msg(fabs(got - want) < 1e-6, "loss %.9f, PyTorch %.9f", got, want);
}
END_TEST

START_TEST(the_model_alone_leaves_the_heads_random)
{
    program_result r = program("train", "a.yaml", "init.part=backbone", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert_msg(strstr(r.out, "of projector.*, "), "%s", r.out);
    size_t n;
    ck_assert(fabs(last_loss("runs") - atof(golden("init.gold", &n))) > 1e-3);
}
END_TEST

/* tau = 1: the target stays what it was at the start. */
START_TEST(a_momentum_target_starts_as_a_copy_of_the_weights_that_were_read)
{
    program_write("byol.yaml", "method: {name: byol, proj_dim: 8, proj_hidden: 8, "
                  "pred_hidden: 8, tau: 1, tau_schedule: constant}\n"
                  "model: {name: resnet8, width: 0.25}\n"
                  "data: {name: mnist, dir: data, normalise: false}\n"
                  "metrics: {samples: 12, bank: 12, knn_k: 2, lid_k: 2}\n"
                  "init: {from: init.safetensors}\n"
                  "batch: 12\nepochs: 1\n");
    program_result r = program("train", "byol.yaml", "--quiet", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    char file[4300];
    snprintf(file, sizeof file, "%s/checkpoints/last.safetensors",
             program_run_folder("runs"));
    const float *want = saved_tensor("init.safetensors", "module.backbone.conv1.weight"),
                *got = saved_tensor(file, "target.conv1.weight");
    for (int i = 0; i < 4 * 9; i++)             /* a quarter of 16 filters, 3 x 3 of grey */
        ck_assert_msg(got[i] == want[i], "conv1.weight %d: %g, read was %g", i,
                      (double)got[i], (double)want[i]);
}
END_TEST

START_TEST(a_checkpoint_of_ours_starts_another_run)
{
    char from[4300], copy[4300];
    ck_assert_int_eq(program("train", "a.yaml", NULL).exit, 0);
    snprintf(from, sizeof from, "%s/checkpoints/last.safetensors",
             program_run_folder("runs"));
    size_t n;
    char *bytes = program_bytes(from, &n);
    program_put("ours.safetensors", bytes, n);
    snprintf(copy, sizeof copy, "init.from=%s", "ours.safetensors");
    program_result r = program("train", "a.yaml", copy, "--out", "next", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
    ck_assert(fabs(last_loss("next") - last_loss("runs")) < 1e-9);

    bytes[n / 2] ^= 1;                  /* one that carries a checksum is held to it */
    program_put("ours.safetensors", bytes, n);
    r = program("train", "a.yaml", copy, "--out", "third", NULL);
    ck_assert_int_eq(r.exit, 6);
    ck_assert_str_eq(r.err, "ours.safetensors: damaged: its contents do not fit its"
                            " SHA-256\n");
}
END_TEST

/* A codebook that was read is not put on the vectors of the first batches again. */
START_TEST(a_codebook_of_ours_starts_another_run)
{
    enum { NUMBERS = 8 * 4 };
    char file[4300];
    program_write("codes.yaml", "method: {name: vqvae, reconstruction: gaussian}\n"
                  "model: {name: mlp_autoencoder, hidden: 6, dim: 4}\n"
                  "quantiser: {name: vq, codes: 8, init: kmeans, restart: 0.1}\n"
                  "data: {name: mnist, dir: data}\n"
                  "augment: {recipe: none}\n"
                  "optim: {name: sgd, lr: 1.0e-2, momentum: 0, weight_decay: 0}\n"
                  "metrics: {samples: 12, bank: 12, knn_k: 2, lid_k: 2}\n"
                  "batch: 12\nepochs: 3\n");
    ck_assert_int_eq(program("train", "codes.yaml", "--quiet", NULL).exit, 0);
    snprintf(file, sizeof file, "%s/checkpoints/last.safetensors",
             program_run_folder("runs"));
    size_t n;
    char *bytes = program_bytes(file, &n);
    program_put("ours.safetensors", bytes, n);
    const float *was = saved_tensor("ours.safetensors", "quantiser.embedding.weight");

    static const char *const parts[] = { "init.part=backbone", "init.part=all" };
    for (int all = 0; all < 2; all++) {
        const char *under = all ? "all" : "backbone";
        program_result r = program("train", "codes.yaml", "init.from=ours.safetensors",
                                   parts[all], "optim.lr=1e-12", "seed=1", "--out", under,
                                   "--quiet", NULL);
        ck_assert_msg(r.exit == 0, "%s", r.err);
        snprintf(file, sizeof file, "%s/checkpoints/last.safetensors",
                 program_run_folder(under));
        const float *now = saved_tensor(file, "quantiser.embedding.weight");
        double apart = 0;
        for (int i = 0; i < NUMBERS; i++) {     /* fmax: gcc 12 for aarch64 breaks on it */
            const double off = fabs((double)(now[i] - was[i]));
            apart = off > apart ? off : apart;
        }
        /* such a learning rate moves nothing by more than a rounding near 1 */
        ck_assert_msg(all ? apart < 1e-6 : apart > 1e-3, "%s: codes %g apart", parts[all],
                      apart);
    }
}
END_TEST

START_TEST(a_file_counts_by_its_contents)
{
    char first[4300];
    size_t n;
    char *bytes = program_bytes("init.safetensors", &n);

    ck_assert_int_eq(program("train", "a.yaml", NULL).exit, 0);
    strcpy(first, program_run_folder("runs"));
    program_put("other name.st", bytes, n);
    ck_assert_int_eq(program("train", "a.yaml", "init.from=other name.st", NULL).exit, 0);
    ck_assert_str_eq(program_run_folder("runs"), first);        /* there is still one */
    bytes[n - 1] ^= 1;                          /* the last bit of a running statistic */
    program_put("init.safetensors", bytes, n);
    ck_assert_int_eq(program("train", "a.yaml", "--out", "next", NULL).exit, 0);
    ck_assert_str_ne(program_run_folder("next") + strlen("next"),
                     first + strlen("runs"));
}
END_TEST

/* ---- files that do not fit ------------------------------------------------------- */

static size_t data_at(const char *bytes)
{
    uint64_t n = 0;
    for (int i = 0; i < 8; i++)
        n |= (uint64_t)(unsigned char)bytes[i] << 8 * i;
    return 8 + n;
}

static json_t *header(void)
{
    size_t n;
    const char *bytes = program_bytes("init.safetensors", &n);
    char *text = program_keep(strndup(bytes + 8, data_at(bytes) - 8));
    return program_parse(text);
}

/* The file with another header before the same data. */
static void put_header(const char *text)
{
    size_t n, head = strlen(text);
    const char *old = program_bytes("init.safetensors", &n);
    size_t from = data_at(old);
    char *bytes = program_keep(malloc(8 + head + n - from));
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(head >> 8 * i & 0xFF);
    memcpy(bytes + 8, text, head);
    memcpy(bytes + 8 + head, old + from, n - from);
    program_put("bad.safetensors", bytes, 8 + head + n - from);
}

static void refused(const char *says)
{
    char want[4200];
    program_result r = program("train", "a.yaml", "init.from=bad.safetensors", NULL);
    snprintf(want, sizeof want, "bad.safetensors: %s\n", says);
    ck_assert_str_eq(r.err, want);
    ck_assert_int_eq(r.exit, 6);
    ck_assert_msg(access("runs", F_OK) != 0, "a run folder was made");
}

#define OF "module.backbone."

/* Moves an entry of the header to another name. */
static void rename_entry(json_t *o, const char *from, const char *to)
{
    json_object_set(o, to, json_object_get(o, from));
    json_object_del(o, from);
}

START_TEST(every_misfit_is_named)
{
    json_t *o = header();
    rename_entry(o, OF "conv1.weight", OF "conv9.weight");
    json_object_set_new(json_object_get(o, OF "layer2.0.conv1.weight"), "shape",
                        json_pack("[i, i, i, i]", 4, 8, 3, 3));
    json_object_set_new(json_object_get(o, OF "bn1.bias"), "dtype", json_string("I32"));
    put_header(program_keep(json_dumps(o, 0)));
    refused("does not fit resnet8: conv1.weight is missing, " OF "bn1.bias is I32 (4) and"
            " should be F32 (4), " OF "layer2.0.conv1.weight is F32 (4, 8, 3, 3) and should"
            " be F32 (8, 4, 3, 3), " OF "conv9.weight is not known");
}
END_TEST

START_TEST(two_tensors_of_one_meaning_are_refused)
{
    json_t *o = header();
    rename_entry(o, OF "layer1.0.bn2.bias", "model.layer1.0.bn1.bias");
    put_header(program_keep(json_dumps(o, 0)));
    program_result r = program("train", "a.yaml", "init.from=bad.safetensors", NULL);
    ck_assert_int_eq(r.exit, 6);
    ck_assert_msg(strstr(r.err, "is there twice: as"), "%s", r.err);
    ck_assert_msg(strstr(r.err, "layer1.0.bn2.bias is missing"), "%s", r.err);
}
END_TEST

static void set_offsets(json_t *o, const char *name, long from, long to)
{
    json_object_set_new(json_object_get(o, name), "data_offsets",
                        json_pack("[I, I]", (json_int_t)from, (json_int_t)to));
}

/* The numbers of one tensor, in a copy of the file. */
static void put_number(const char *name, float x)
{
    size_t n;
    char *bytes = program_bytes("init.safetensors", &n);
    const json_t *at = json_object_get(json_object_get(header(), name), "data_offsets");
    memcpy(bytes + data_at(bytes) + json_integer_value(json_array_get(at, 0)), &x, sizeof x);
    program_put("bad.safetensors", bytes, n);
}

START_TEST(weights_that_are_no_numbers_are_refused)
{
    put_number(OF "layer3.0.bn1.weight", NAN);
    refused("layer3.0.bn1.weight holds numbers that are not finite (1 NaN, 0 infinite)");
    put_number(OF "conv1.weight", INFINITY);
    refused("conv1.weight holds numbers that are not finite (0 NaN, 1 infinite)");
}
END_TEST

START_TEST(a_checksum_of_others_is_their_affair)
{
    json_t *o = header();
    json_object_set_new(o, "__metadata__", json_pack("{s:s}", "sha256", "0123"));
    put_header(program_keep(json_dumps(o, 0)));
    program_result r = program("train", "a.yaml", "init.from=bad.safetensors", NULL);
    ck_assert_msg(r.exit == 0, "%s", r.err);
}
END_TEST

/* Escape sequences would reach the terminal, newlines would make two messages of one. */
START_TEST(names_in_messages_are_printable)
{
    json_t *o = header();
    rename_entry(o, OF "bn1.bias", "\033[31mred\nbell\007");
    put_header(program_keep(json_dumps(o, 0)));
    refused("does not fit resnet8: bn1.bias is missing, ?[31mred?bell? is not known");
}
END_TEST

START_TEST(a_long_list_says_how_much_is_left_out)
{
    json_t *o = header();
    char name[200];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%0*d", 100, i);
        json_object_set_new(o, name, json_pack("{s:s, s:[i], s:[i, i]}", "dtype", "F32",
                                               "shape", 0, "data_offsets", 0, 0));
    }
    put_header(program_keep(json_dumps(o, 0)));
    program_result r = program("train", "a.yaml", "init.from=bad.safetensors", NULL);
    ck_assert_int_eq(r.exit, 6);
    const char *rest = strstr(r.err, ", and ");
    ck_assert_msg(rest && strstr(rest, " more\n"), "%s", r.err);
    int told = 0;
    for (const char *p = r.err; (p = strstr(p, "is not known")) != NULL; p++)
        told++;
    ck_assert_int_eq(told + atoi(rest + strlen(", and ")), 40);
}
END_TEST

START_TEST(tensors_must_cover_the_file)
{
    const char *name = OF "bn1.bias";
    json_t *o = header();
    const json_t *at = json_object_get(json_object_get(o, name), "data_offsets");
    long from = json_integer_value(json_array_get(at, 0)),
         to = json_integer_value(json_array_get(at, 1));

    set_offsets(o, name, from + 4, to + 4);
    put_header(program_keep(json_dumps(o, 0)));
    refused("its tensors do not cover it without gap or overlap");
    set_offsets(o, name, from, to + 4);
    put_header(program_keep(json_dumps(o, 0)));
    refused("tensor '" OF "bn1.bias' has a shape that does not fit its bytes");
    set_offsets(o, name, -4, to - from - 4);
    put_header(program_keep(json_dumps(o, 0)));
    refused("tensor '" OF "bn1.bias' lies outside the file");
    set_offsets(o, name, 1L << 40, (1L << 40) + to - from);
    put_header(program_keep(json_dumps(o, 0)));
    refused("tensor '" OF "bn1.bias' lies outside the file");
    json_object_del(o, name);
    put_header(program_keep(json_dumps(o, 0)));
    refused("its tensors do not cover it without gap or overlap");
}
END_TEST

static const struct { const char *entry, *says; } entries[] = {
    { "7", "wants dtype, shape and data_offsets" },
    { "{\"dtype\": \"F32\", \"shape\": [4]}", "wants dtype, shape and data_offsets" },
    { "{\"dtype\": \"F99\", \"shape\": [4], \"data_offsets\": [0, 16]}",
      "is of a type that is not known" },
    { "{\"dtype\": \"F32\", \"shape\": [1,1,1,1,1,1,1,1,4], \"data_offsets\": [0, 16]}",
      "has too many dimensions" },
    { "{\"dtype\": \"F32\", \"shape\": [-4], \"data_offsets\": [0, 16]}",
      "has a shape that is not of whole numbers" },
    { "{\"dtype\": \"F32\", \"shape\": [4.0], \"data_offsets\": [0, 16]}",
      "has a shape that is not of whole numbers" },
    { "{\"dtype\": \"F32\", \"shape\": [4611686018427387904, 8],"
      " \"data_offsets\": [0, 16]}", "is larger than any memory" },
    { "{\"dtype\": \"F32\", \"shape\": [4], \"data_offsets\": [\"0\", 16]}",
      "lies outside the file" },
};

START_TEST(a_strange_entry_is_named)
{
    char says[200];
    json_t *o = header();
    json_object_set_new(o, "x", json_loads(entries[_i].entry, JSON_DECODE_ANY, NULL));
    put_header(program_keep(json_dumps(o, 0)));
    snprintf(says, sizeof says, "tensor 'x' %s", entries[_i].says);
    refused(says);
}
END_TEST

START_TEST(what_is_no_such_file_is_said)
{
    size_t n;
    char *bytes = program_bytes("init.safetensors", &n);

    program_put("bad.safetensors", "", 0);
    refused("is not a safetensors file, or is truncated (0 bytes)");
    program_put("bad.safetensors", bytes, 7);
    refused("is not a safetensors file, or is truncated (7 bytes)");
    program_put("bad.safetensors", bytes, 100);
    refused("is not a safetensors file, or is truncated (100 bytes)");
    program_put("bad.safetensors", bytes, n - 4);
    program_result r = program("train", "a.yaml", "init.from=bad.safetensors", NULL);
    ck_assert_msg(r.exit == 6 && strstr(r.err, "lies outside the file"), "%s", r.err);
    put_header("{\"a\": {}, \"a\": {}}");
    refused("its header is not JSON: duplicate object key near '\"a\"' (byte 13)");
    put_header("{]");
    r = program("train", "a.yaml", "init.from=bad.safetensors", NULL);
    ck_assert_msg(r.exit == 6 && strstr(r.err, "its header is not JSON"), "%s", r.err);
    memset(bytes, 0xFF, 8);                     /* a header as long as any number */
    program_put("bad.safetensors", bytes, n);
    ck_assert_int_eq(program("train", "a.yaml", "init.from=bad.safetensors", NULL).exit, 6);
    ck_assert_int_eq(system("rm bad.safetensors && mkfifo bad.safetensors"), 0);
    r = program("train", "a.yaml", "init.from=bad.safetensors", NULL);
    ck_assert_msg(r.exit == 2 && strstr(r.err, "is not a file"), "%s", r.err);
}
END_TEST

START_TEST(a_missing_file_has_its_place_named)
{
    program_result r = program("train", "a.yaml", "init.from=nowhere.st", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_str_eq(r.err, "command line: init.from: nowhere.st: cannot be read: No such"
                            " file or directory\n");
    r = program("train", "a.yaml", "init.from=data", NULL);
    ck_assert_int_eq(r.exit, 2);
    ck_assert_msg(strstr(r.err, "init.from: data: is not a file"), "%s", r.err);
}
END_TEST

Suite *suite_init(void)
{
    Suite *s = suite_create("init");
    TCase *tc = tcase_create("init");
    program_find();
    tcase_add_checked_fixture(tc, enter, program_leave);
    tcase_add_test(tc, weights_of_pytorch_give_the_loss_of_pytorch);
    tcase_add_test(tc, the_model_alone_leaves_the_heads_random);
    tcase_add_test(tc, a_momentum_target_starts_as_a_copy_of_the_weights_that_were_read);
    tcase_add_test(tc, a_checkpoint_of_ours_starts_another_run);
    tcase_add_test(tc, a_codebook_of_ours_starts_another_run);
    tcase_add_test(tc, a_file_counts_by_its_contents);
    tcase_add_test(tc, every_misfit_is_named);
    tcase_add_test(tc, two_tensors_of_one_meaning_are_refused);
    tcase_add_test(tc, weights_that_are_no_numbers_are_refused);
    tcase_add_test(tc, a_checksum_of_others_is_their_affair);
    tcase_add_test(tc, names_in_messages_are_printable);
    tcase_add_test(tc, a_long_list_says_how_much_is_left_out);
    tcase_add_test(tc, tensors_must_cover_the_file);
    tcase_add_loop_test(tc, a_strange_entry_is_named, 0,
                        (int)(sizeof entries / sizeof *entries));
    tcase_add_test(tc, what_is_no_such_file_is_said);
    tcase_add_test(tc, a_missing_file_has_its_place_named);
    suite_add_tcase(s, tc);
    return s;
}
