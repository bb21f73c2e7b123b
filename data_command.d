data_command.o: experiments/data_command.c experiments/data_command.h \
  nn/base.h experiments/config_read.h experiments/config.h data/data.h \
  nn/arena.h nn/rng.h nn/setting.h nn/model.h nn/layer.h nn/ops.h \
  nn/tape.h nn/tensor.h nn/quant/quant.h nn/quant/quant.def optim/opt.h \
  ssl/objective.h ssl/method.h experiments/data_task.h

experiments/data_command.h:

nn/base.h:

experiments/config_read.h:

experiments/config.h:

data/data.h:

nn/arena.h:

nn/rng.h:

nn/setting.h:

nn/model.h:

nn/layer.h:

nn/ops.h:

nn/tape.h:

nn/tensor.h:

nn/quant/quant.h:

nn/quant/quant.def:

optim/opt.h:

ssl/objective.h:

ssl/method.h:

experiments/data_task.h:
