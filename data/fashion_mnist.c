#include "data/idx.h"

/* Fashion-MNIST: 60,000 training and 10,000 test photographs of clothes, grey, 28 x 28 -
 * "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
 * Xiao, Rasul, Vollgraf, 2017.  Debian brings it as dataset-fashion-mnist. */
extern const data_source data_fashion_mnist;

static const data_idx set = {
    .source = &data_fashion_mnist, .folder = "/usr/share/datasets/fashion-mnist",
    .h = 28, .w = 28, .classes = 10, .mean = 0.2860f, .std = 0.3530f
};

static const char *const labels[] = {
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot", NULL
};

/* As published; the Debian package has packed the same contents anew. */
static const data_file files[] = {
    { "train-images-idx3-ubyte.gz", 26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d" },
    { "train-labels-idx1-ubyte.gz", 29515, "25c81989df183df01b3e8a0aad5dffbe" },
    { "t10k-images-idx3-ubyte.gz", 4422102, "bef4ecab320f06d8554ea6380940ec79" },
    { "t10k-labels-idx1-ubyte.gz", 5148, "bb300cfdad3c16e7a12a480ee83cd310" },
    { NULL, 0, NULL }
};

const data_source data_fashion_mnist = {
    .name = "fashion-mnist", .about = "photographs of clothes, grey 28 x 28, 10 classes",
    .package = "dataset-fashion-mnist", .labels = labels, .recipe = "grey28",
    .train = 60000, .test = 10000, .h = 28, .w = 28, .c = 1, .classes = 10,
    .files = files, .origin = "https://github.com/zalandoresearch/fashion-mnist",
    .reader = &set, .load = data_idx_load_set, .present = data_idx_set_present
};
