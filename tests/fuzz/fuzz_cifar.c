#include "data/cifar.h"
#include "tests/fuzz/input.h"

/* Records of the official size from few bytes: two say how long the file is, one which
 * labels it has, and the rest is repeated. */
enum { RECORDS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[RECORDS * (2 + DATA_CIFAR_PIXELS)];
    static uint8_t pixel[RECORDS * DATA_CIFAR_PIXELS];
    uint16_t label[RECORDS];
    nn_err err;

    if (size < 4)
        return 0;
    const size_t length = (size_t)(data[0] | data[1] << 8) % sizeof file + 1;
    const int labels = 1 + data[2] % 2;
    const data_cifar_kind kind = { labels, labels == 2 && data[2] & 2,
                                   data[2] & 4 ? 100 : 20 };
    for (size_t i = 0; i < length; i++)
        file[i] = data[3 + i % (size - 3)];
    FILE *f = fmemopen(file, length, "rb");
    if (!f)
        abort();
    nn_status status = data_cifar_records(f, "fuzz", kind, RECORDS, pixel, label, &err);
    for (int i = 0; i < RECORDS && status == NN_OK; i++)
        if (label[i] >= kind.classes)
            abort();
    fclose(f);
    return 0;
}
