#include "nn/base.h"
#include "nn/op.h"

static const nn_op *const all[] = {
#define X(name) &nn_op_##name,
#include "nn/ops.def"
#undef X
};

int nn_op_count(void)
{
    return (int)NN_COUNT(all);
}

const nn_op *nn_op_at(int i)
{
    return all[i];
}
