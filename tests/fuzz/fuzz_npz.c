#include "data/data.h"
#include "tests/fuzz/input.h"

/* The input is an archive. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    data_settings s = { .name = "arrays", .limit = 3, .test_limit = 3, .test_share = .5 };
    data_images train, test;
    nn_arena a = { 0 };
    nn_err err;

    input_write("a.npz", data, size);
    s.dir = input_path("a.npz");
    if (data_load(&s, 0, &a, &train, &test, &err) == NN_OK)
        data_fingerprint(&train);       /* looks at every byte */
    nn_arena_free(&a);
    return 0;
}
