data_open.o: experiments/data_open.c experiments/config_read.h \
  experiments/config.h data/data.h nn/arena.h nn/base.h nn/rng.h \
  nn/setting.h nn/model.h nn/layer.h nn/ops.h nn/tape.h nn/tensor.h \
  nn/quant/quant.h nn/quant/quant.def optim/opt.h ssl/objective.h \
  ssl/method.h experiments/data_task.h experiments/data_command.h \
  experiments/run.h experiments/codes.h metrics/code.h metrics/met.h \
  metrics/image.h

experiments/config_read.h:

experiments/config.h:

data/data.h:

nn/arena.h:

nn/base.h:

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

experiments/data_command.h:

experiments/run.h:

experiments/codes.h:

metrics/code.h:

metrics/met.h:

metrics/image.h:
