#include "data/idx.h"

/* Kuzushiji-MNIST: 60,000 training and 10,000 test characters of cursive Japanese, grey,
 * 28 x 28 - "Deep Learning for Classical Japanese Literature", Clanuwat, Bober-Irizar,
 * Kitamoto, Lamb, Yamamoto, Ha, 2018.  No Debian package: put the four files into a folder
 * and name it in data.dir.  Mean and deviation are measured. */
extern const data_source data_kmnist;

static const data_idx set = {
    .source = &data_kmnist, .h = 28, .w = 28, .classes = 10
};

static const char *const labels[] = {
    "o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo", NULL
};

static const data_file files[] = {
    { "train-images-idx3-ubyte.gz", 18165135, "bdb82020997e1d708af4cf47b453dcf7" },
    { "train-labels-idx1-ubyte.gz", 29497, "e144d726b3acfaa3e44228e80efcd344" },
    { "t10k-images-idx3-ubyte.gz", 3041136, "5c965bf0a639b31b8f53240b1b52f4d7" },
    { "t10k-labels-idx1-ubyte.gz", 5120, "7320c461ea6c1c855c0b718fb2a4b134" },
    { NULL, 0, NULL }
};

const data_source data_kmnist = {
    .name = "kmnist",
    .about = "cursive Japanese characters, grey 28 x 28, 10 classes (own files)",
    .labels = labels, .recipe = "grey28",
    .train = 60000, .test = 10000, .h = 28, .w = 28, .c = 1, .classes = 10,
    .files = files, .origin = "http://codh.rois.ac.jp/kmnist/",
    .reader = &set, .load = data_idx_load_set, .present = data_idx_set_present
};
