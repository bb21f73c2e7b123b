#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Readers take paths: an input becomes a file in a folder in memory, which is this
 * process's own and goes when it ends. */
static char input_folder[64];

static inline void input_leave(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", input_folder);
    if (system(command) != 0)
        fprintf(stderr, "%s stays\n", input_folder);
}

static inline const char *input_path(const char *name)
{
    static char path[128];

    if (!input_folder[0]) {
        snprintf(input_folder, sizeof input_folder, "%s/fullrank-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        if (!mkdtemp(input_folder))
            abort();
        atexit(input_leave);
    }
    snprintf(path, sizeof path, "%s/%s", input_folder, name);
    return path;
}

static inline void input_write(const char *name, const uint8_t *data, size_t size)
{
    FILE *f = fopen(input_path(name), "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

#endif
