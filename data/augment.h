#ifndef DATA_AUGMENT_H
#define DATA_AUGMENT_H

#include "data/data.h"
#include "data/resize.h"

/* Inside of the augmentation: what was drawn for a view, and the operations it is put
 * through.  For data/ and its tests; everybody else uses data_augment_view.
 *
 * Pixels are floats in 0..1, channels last, c = 1 or 3.  The operations are plain C in
 * single precision with a fixed order of additions, so their bits are the same
 * everywhere. */
enum { DATA_BRIGHTNESS, DATA_CONTRAST, DATA_SATURATION, DATA_HUE, DATA_JITTERS };
enum { DATA_FLIP_EARLY, DATA_FLIP_LAST };

typedef struct data_draw {
    data_box box;                       /* the whole image when nothing is cropped */
    int flip, jitter, grey, blur, solarize;             /* 0 or 1: is it done? */
    int order[DATA_JITTERS];            /* a permutation of DATA_BRIGHTNESS .. DATA_HUE */
    float factor[DATA_JITTERS];         /* hue: in turns; the others: 1 changes nothing */
    double sigma;                       /* of the blur, in pixels */
} data_draw;

/* Everything random about one view of an (h, w) image.  Each quantity is drawn whether it
 * is used or not, and the crop, which needs a varying number of tries, comes last:
 * turning one operation off leaves the numbers of all others as they were. */
data_draw data_draw_view(const data_augment *a, int h, int w, int view, nn_rng *r);

/* What was drawn, done to image i, a picture: (h, w, c) floats, normalised. */
void data_make_view(const data_augment *a, const data_images *d, int i,
                    const data_draw *draw, int h, int w, float *out, void *work);

/* Puts box b of an image (h, w, c) of bytes to oh x ow floats in 0..1, antialiased where
 * it becomes smaller.  The box is all there is: its border counts as the image's. */
void data_resize(const data_images *d, const uint8_t *pixel, data_box b, int how, int oh,
                 int ow, float *out, void *work);
void data_flip(float *x, int h, int w, int c);
void data_brightness(float *x, size_t pixels, int c, float factor);
void data_contrast(float *x, size_t pixels, int c, float factor);
void data_saturation(float *x, size_t pixels, int c, float factor); /* c = 1: nothing */
void data_hue(float *x, size_t pixels, int c, float turn);          /* c = 1: nothing */
void data_grey(float *x, size_t pixels, int c);                     /* c = 1: nothing */
void data_blur(float *x, int h, int w, int c, double sigma, void *work);
void data_solarize(float *x, size_t count);
void data_normalise(const data_images *d, float *x, size_t pixels);

/* What data_resize of boxes of (h, w, c) to (oh, ow) and data_blur of (oh, ow, c) need of
 * `work`. */
size_t data_pixel_space(int h, int w, int c, int oh, int ow);

enum { DATA_MOST_SIGMA = 8 };           /* in pixels; bounds the space that blur needs */

/* The recipe's settings; NULL if there is none of that name. */
const data_augment *data_recipe_find(const char *name);

#endif
