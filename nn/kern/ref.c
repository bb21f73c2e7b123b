/* The portable table: plain C with fmaf, no instruction set assumed.  It is slow where
 * the C library has to emulate fmaf; it is there to be right and to be compared with. */
#include "nn/kern/lanes.h"
#include "nn/kern/lanes_ref.h"

enum { MR = 4, NV = 1, DR = 4, DV = 1 };

#include "nn/kern/body.h"

const nn_kern nn_kern_ref = NN_KERN_TABLE("ref");
