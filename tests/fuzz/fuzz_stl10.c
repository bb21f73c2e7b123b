#include "data/stl10.h"
#include "tests/fuzz/input.h"

/* Images and labels of the official size from few bytes: three say how long the file is,
 * and the rest is repeated. */
enum { IMAGES = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[IMAGES * DATA_STL10_PIXELS], pixel[IMAGES * DATA_STL10_PIXELS];
    uint16_t label[8];
    nn_err err;

    if (size < 4)
        return 0;
    const size_t length = (size_t)(data[0] | data[1] << 8 | (data[2] & 1) << 16)
                          % sizeof file + 1;
    for (size_t i = 0; i < length; i++)
        file[i] = data[3 + i % (size - 3)];
    FILE *f = fmemopen(file, length, "rb");
    if (!f)
        abort();
    nn_status status = data_stl10_labels(f, "fuzz", 8, label, &err);
    for (int i = 0; i < 8 && status == NN_OK; i++)
        if (label[i] >= DATA_STL10_CLASSES)
            abort();
    rewind(f);
    data_stl10_images(f, "fuzz", IMAGES, pixel, &err);
    fclose(f);
    return 0;
}
