data_check.o: experiments/data_check.c data/image.h nn/base.h \
  data/places.h experiments/data_measure.h data/data.h nn/arena.h \
  nn/rng.h nn/setting.h experiments/data_task.h \
  experiments/data_command.h experiments/progress.h experiments/runlog.h \
  experiments/evaluate.h experiments/run.h experiments/codes.h \
  metrics/code.h metrics/met.h metrics/image.h nn/quant/quant.h \
  nn/layer.h nn/ops.h nn/tape.h nn/tensor.h nn/quant/quant.def \
  experiments/config.h nn/model.h optim/opt.h ssl/objective.h \
  ssl/method.h experiments/folder.h experiments/survey.h

data/image.h:

nn/base.h:

data/places.h:

experiments/data_measure.h:

data/data.h:

nn/arena.h:

nn/rng.h:

nn/setting.h:

experiments/data_task.h:

experiments/data_command.h:

experiments/progress.h:

experiments/runlog.h:

experiments/evaluate.h:

experiments/run.h:

experiments/codes.h:

metrics/code.h:

metrics/met.h:

metrics/image.h:

nn/quant/quant.h:

nn/layer.h:

nn/ops.h:

nn/tape.h:

nn/tensor.h:

nn/quant/quant.def:

experiments/config.h:

nn/model.h:

optim/opt.h:

ssl/objective.h:

ssl/method.h:

experiments/folder.h:

experiments/survey.h:
