#include "data/data.h"
#include "tests/fuzz/input.h"

/* The first byte says which of three files the rest is; the others, if it says so, are
 * there and good: two images of 1 x 1 and their labels. */
static size_t good(uint8_t *to, const char *type, const char *shape, int bytes)
{
    int n = snprintf((char *)to + 10, 100, "{'descr': '%s', 'fortran_order': False, "
                     "'shape': %s, }\n", type, shape);
    memcpy(to, "\x93NUMPY\1\0", 8);
    to[8] = (uint8_t)n;
    to[9] = 0;
    memset(to + 10 + n, 1, (size_t)bytes);
    return 10 + (size_t)n + (size_t)bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const name[] = { "x_train.npy", "y_train.npy", "x_test.npy" };
    data_settings s = { .name = "arrays", .limit = 3, .test_limit = 3, .test_share = .5 };
    data_images train, test;
    nn_arena a = { 0 };
    nn_err err;
    uint8_t file[256];

    if (size < 1)
        return 0;
    for (int i = 0; i < 3; i++)
        if (i == data[0] % 3)
            input_write(name[i], data + 1, size - 1);
        else if (i == 0 || data[0] >> 4 & 1)
            input_write(name[i], file, i == 1 ? good(file, "|u1", "(2,)", 2)
                                              : good(file, "|u1", "(2, 1, 1)", 2));
        else
            unlink(input_path(name[i]));
    input_path("");
    s.dir = input_folder;
    if (data_load(&s, 0, &a, &train, &test, &err) == NN_OK)
        data_fingerprint(&train);       /* looks at every byte */
    nn_arena_free(&a);
    return 0;
}
