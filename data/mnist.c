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

/* The original page is gone; these are its files, as torchvision and others have them. */
static const data_file files[] = {
    { "train-images-idx3-ubyte.gz", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873" },
    { "train-labels-idx1-ubyte.gz", 28881, "d53e105ee54ea40749a09fcbcd1e9432" },
    { "t10k-images-idx3-ubyte.gz", 1648877, "9fb629c4189551a2d022fa330f9573f3" },
    { "t10k-labels-idx1-ubyte.gz", 4542, "ec29112dd5afa0611ce80d1b7f02629c" },
    { NULL, 0, NULL }
};

const data_source data_mnist = {
    .name = "mnist", .about = "handwritten digits, grey 28 x 28, 10 classes (own files)",
    .labels = labels, .recipe = "grey28",
    .train = 60000, .test = 10000, .h = 28, .w = 28, .c = 1, .classes = 10,
    .files = files, .origin = "https://ossci-datasets.s3.amazonaws.com/mnist/",
    .reader = &set, .load = data_idx_load_set, .present = data_idx_set_present
};
