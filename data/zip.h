#ifndef DATA_ZIP_H
#define DATA_ZIP_H

#include <stddef.h>
#include <stdint.h>
#include "nn/arena.h"
#include "nn/base.h"

/* Reads zip archives as numpy.savez and savez_compressed write them: entries that are
 * stored or deflated, zip64 where it is needed.  The directory at the end is what counts;
 * nothing in it is believed before it was compared with the size of the file, and an entry
 * must unpack to the bytes and the checksum that the directory promises. */
typedef struct data_zip data_zip;

/* The archive lives in the arena; close it before the arena goes.  NN_EDATA: no zip
 * archive, a damaged directory, two entries of one name. */
nn_status data_zip_open(const char *path, nn_arena *a, data_zip **out, nn_err *err);
void      data_zip_close(data_zip *z);

int data_zip_find(const data_zip *z, const char *name);         /* -1: no such entry */

/* Entry i from its start; its bytes when unpacked go to *bytes. */
nn_status data_zip_start(data_zip *z, int i, uint64_t *bytes, nn_err *err);

/* The next bytes of it, as data_npy_pull; fewer than n: its end, or damage, of which
 * data_zip_end tells. */
size_t data_zip_pull(void *z, void *to, size_t n);

/* After the last byte: NN_EDATA if there are more, or fewer, or other ones than promised. */
nn_status data_zip_end(data_zip *z, nn_err *err);

#endif
