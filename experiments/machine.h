#ifndef EX_MACHINE_H
#define EX_MACHINE_H

#include <stddef.h>
#include "nn/base.h"

/* Takes the kernel table of FULLRANK_KERN, or the best, and so many threads (0: as the
 * environment says).  NN_ECONFIG: this machine has no such table. */
nn_status ex_machine_choose(int threads, nn_err *err);

/* The processor's name as Linux tells it, otherwise the architecture. */
void ex_machine_cpu(char *out, size_t size);

#endif
