#include "data/idx.h"
#include "tests/fuzz/input.h"

/* The first byte says which of the four files the rest is, packed or not; the others are
 * good: two images of 2 x 2. */
static const data_source source = { .name = "fuzz" };
static const data_idx set = {
    .source = &source, .h = 2, .w = 2, .classes = 3, .first_label = 1, .turned = 1
};

static const char *const name[] = {
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
};
static const uint8_t images[] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2,
                                  1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 1, 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    data_settings s = { .name = "fuzz", .limit = 2 };
    data_images train, test;
    nn_arena a = { 0 };
    nn_err err;

    if (size < 1)
        return 0;
    for (int i = 0; i < 4; i++)
        if (i == data[0] % 4)
            input_write(name[i], data + 1, size - 1);
        else
            input_write(name[i], i % 2 ? labels : images,
                        i % 2 ? sizeof labels : sizeof images);
    input_path("");
    s.dir = input_folder;
    if (data_idx_load(&set, &s, &a, &train, &test, &err) == NN_OK
        && train.n + test.n > 4)
        abort();
    nn_arena_free(&a);
    return 0;
}
