#ifndef DATA_FIT_H
#define DATA_FIT_H

#include <stddef.h>
#include <stdint.h>

#include "data/image.h"

/* Pictures of any size as squares of `side` pixels.
 *
 *   crop     the shorter side becomes `side`, the middle stays: torchvision's
 *            Resize(side) and CenterCrop(side)
 *   squash   both sides become `side`: Resize((side, side))
 *   pad      the longer side becomes `side`, in the middle of black: Pillow's
 *            ImageOps.pad
 *
 * Of a strip more than 16 times as long as wide, crop looks at the middle only, which is
 * all that it shows; its scaled copy would be of any size. */
typedef struct data_fit { int side, c, fit, resample; } data_fit;

size_t data_fit_bytes(const data_fit *f);               /* of a square */
void   data_fit_picture(const data_fit *f, const data_picture *p, uint8_t *out);

#endif
