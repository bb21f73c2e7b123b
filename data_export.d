data_export.o: experiments/data_export.c data/places.h \
  experiments/data_measure.h data/data.h nn/arena.h nn/base.h nn/rng.h \
  nn/setting.h experiments/data_task.h experiments/data_command.h \
  experiments/folder.h experiments/config.h nn/model.h nn/layer.h \
  nn/ops.h nn/tape.h nn/tensor.h nn/quant/quant.h nn/quant/quant.def \
  optim/opt.h ssl/objective.h ssl/method.h experiments/npy.h \
  experiments/survey.h metrics/code.h metrics/met.h

data/places.h:

experiments/data_measure.h:

data/data.h:

nn/arena.h:

nn/base.h:

nn/rng.h:

nn/setting.h:

experiments/data_task.h:

experiments/data_command.h:

experiments/folder.h:

experiments/config.h:

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

experiments/npy.h:

experiments/survey.h:

metrics/code.h:

metrics/met.h:
