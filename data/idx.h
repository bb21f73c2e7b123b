#ifndef DATA_IDX_H
#define DATA_IDX_H

#include "data/data.h"

/* The idx format, as MNIST and the sets that followed it are published: four files, each
 * a big-endian 32-bit magic number (0x00000803 images, 0x00000801 labels), one big-endian
 * 32-bit size per dimension, then the bytes.  Read gzipped ("train-images-idx3-ubyte.gz")
 * or unpacked (the same without ".gz").
 *
 * Whatever is wrong with a file ends in NN_EDATA and one line that says where, what, and
 * what now.  Nothing is taken from a header before it has been compared with the size of
 * the file, so that a forged one cannot ask for memory. */
typedef struct data_idx {
    const data_source *source;          /* name and Debian package, for the messages */
    const char *folder;                 /* where the package puts the files, or NULL */
    int h, w, classes;
    float mean, std;                    /* of the training pixels, on the 0..1 scale;
                                           std = 0: to be measured */
    const char *prefix, *test;          /* of the names, and "t10k" in them; NULL: usual */
    int first_label;                    /* the label of class 0 */
    int turned;                         /* images lie column by column: turn them */
    const char *const *names;           /* of the classes; NULL: those of the source */
    const char *archive, *unpack;       /* what it is published in, if the files do not
                                           come one by one, and what unpacks that */
    const char *below;                  /* the archive's folder */
} data_idx;

nn_status data_idx_load(const data_idx *set, const data_settings *s, nn_arena *a,
                        data_images *train, data_images *test, nn_err *err);
int       data_idx_present(const data_idx *set, const data_settings *s, char *where,
                           size_t size);

/* The same as `load` and `present` of a data_source whose `reader` is its data_idx. */
nn_status data_idx_load_set(const data_settings *s, uint64_t seed, nn_arena *a,
                            data_images *train, data_images *test, nn_err *err);
int       data_idx_set_present(const data_settings *s, char *where, size_t size);

#endif
