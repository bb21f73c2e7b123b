#include "data/idx.h"

/* MNIST: 60,000 training and 10,000 test handwritten digits, grey, 28 x 28 -
 * "Gradient-Based Learning Applied to Document Recognition", LeCun, Bottou, Bengio,
 * Haffner, 1998.  No Debian package: put the four files into a folder and name it in
 * data.dir. */
extern const data_source data_mnist;

static const data_idx set = {
    .source = &data_mnist,
    .h = 28, .w = 28, .classes = 10, .mean = 0.1307f, .std = 0.3081f
};

static const char *const labels[] = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", NULL
};

static nn_status load(const data_settings *s, uint64_t seed, nn_arena *a,
                      data_images *train, data_images *test, nn_err *err)
{
    (void)seed;
    return data_idx_load(&set, s, a, train, test, err);
}

static int present(const data_settings *s, char *where, size_t size)
{
    return data_idx_present(&set, s, where, size);
}

const data_source data_mnist = {
    .name = "mnist", .about = "handwritten digits, grey 28 x 28, 10 classes (own files)",
    .labels = labels, .recipe = "grey28",
    .train = 60000, .test = 10000, .h = 28, .w = 28, .c = 1, .classes = 10,
    .load = load, .present = present
};
