#ifndef MET_IMAGE_H
#define MET_IMAGE_H

#include <stddef.h>

#include "nn/arena.h"

/* How well are images reconstructed?  Images (h, w, c) of numbers in [0, 1], `truth` and
 * what was `made` of it; taken as they are, never clamped.  Everything is worked out for
 * one image at a time, in double, and added in the order of the images: batches and
 * threads do not show.
 *
 *   mse    mean over pixels and channels of (x - y)^2
 *   psnr   10 log10(1 / mse), an mse under 1e-10 counting as 1e-10: 100 dB at most, which
 *          is what a perfect image gets.  (Rounding to 8 bits alone leaves 58.9 dB.)
 *   ssim   structural similarity ("Image Quality Assessment: From Error Visibility to
 *          Structural Similarity", Wang et al., 2004): Gaussian window of 11 x 11, sigma
 *          1.5, C1 = .01^2, C2 = .03^2, range 1, weighted moments without n/(n - 1), mean
 *          over valid positions (h - 10, w - 10) and channels.  NaN for images of less
 *          than 11 x 11. */
typedef struct met_image_size { int h, w, c; } met_image_size;
typedef struct met_image { double mse, psnr, ssim; } met_image;

double met_psnr(double mse);
void   met_image_each(met_image_size s, size_t n, const float *truth, const float *made,
                      met_image *out, nn_arena *scratch);       /* out[n] */

/* Over any number of batches.  Start: {0} but for `size`. */
typedef struct met_image_sum {
    met_image_size size;
    double n, mse, psnr, ssim;
    double first, sum, square;          /* of the truth's numbers, less the first one */
} met_image_sum;

/* Means over images: psnr is the mean of the images' own, at least as great as that of
 * the mean mse.  nmse = mse / variance of all numbers of the truth around their mean, so
 * 1 is a grey page; NaN when they are all equal.  Without an image all is NaN. */
typedef struct met_images { double n, mse, nmse, psnr, ssim; } met_images;

void       met_image_add(met_image_sum *s, size_t n, const float *truth,
                         const float *made, nn_arena *scratch);
met_images met_image_of(const met_image_sum *s);

#endif
