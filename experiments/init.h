#ifndef EX_INIT_H
#define EX_INIT_H

#include <stdio.h>
#include "experiments/run.h"

/* init.from: weights to start from, out of a safetensors file of ours or of others.
 *
 * Names are torchvision's.  Nothing is passed over in silence: a tensor of the network
 * that the file has not, one of the file that nothing here knows, one of another shape or
 * type: each is named in err, NN_ECHECKPOINT.  *note tells how many were read and which
 * were left out on purpose.  After a failure the network is not to be used. */
nn_status ex_init_load(ex_run *run, nn_err *note, nn_err *err);

/* SHA-256 of the file, 64 digits.  NN_ECONFIG: cannot be read. */
nn_status ex_init_sha256(const char *path, const char *where, char out[65], nn_err *err);

/* Which names in a file mean what: for the help. */
void ex_init_help(FILE *out);

#endif
