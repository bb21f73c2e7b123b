#ifndef EX_DATA_MEASURE_H
#define EX_DATA_MEASURE_H

#include "data/data.h"

/* What a data set is made of, in one pass over the images in their order, so that sets
 * larger than memory can be measured: 24 to 48 bytes per image are held.
 *
 *   mean = sum x / N           var = sum x^2 / N - mean^2
 *
 * Sums over bytes are whole numbers and exact; over numbers they are doubles, image after
 * image.  Images are the same when all their bytes or numbers are: found by a hash, and
 * then compared. */
enum { EX_NAMED = 5 };                  /* pairs and indices told by name */

typedef struct ex_part_figures {
    int *count;                         /* (classes); without unlabelled images */
    int least, most;                    /* of count */
    double mean[3], std[3];             /* on the 0..1 scale; of numbers [0] for all */
    int constant, constant_at[EX_NAMED];        /* images of one value in each channel */
    int broken, broken_at[EX_NAMED];    /* with a number that is not finite */
} ex_part_figures;

/* Copies: at[i] is the first image of its kind, and the copy. */
typedef struct ex_copies {
    int count, other_label;             /* of these, so many have another label */
    int at[EX_NAMED][2];
} ex_copies;

/* In the training part, in the test part, and test images that are training images. */
enum { EX_IN_TRAIN, EX_IN_TEST, EX_ACROSS, EX_COPIES };

typedef struct ex_data_figures {
    ex_part_figures part[2];
    ex_copies copies[EX_COPIES];
} ex_data_figures;

void ex_data_measure(const data_images *train, const data_images *test, nn_arena *a,
                     ex_data_figures *f);

/* Is there a label on image i? */
int ex_data_labelled(const data_images *d, int i);
/* Columns with a mean of their own: of numbers one for all. */
int ex_data_channels(const data_images *d);
/* Name of class k, or its number; of a channel. */
const char *ex_data_class(const data_images *d, int k, char *out, size_t size);
const char *ex_data_channel(const data_images *d, int j);

#endif
