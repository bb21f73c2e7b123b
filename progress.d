progress.o: experiments/progress.c experiments/progress.h \
  experiments/runlog.h experiments/evaluate.h experiments/run.h \
  experiments/codes.h metrics/code.h metrics/met.h nn/arena.h \
  metrics/image.h nn/quant/quant.h nn/layer.h nn/ops.h nn/tape.h \
  nn/tensor.h nn/setting.h nn/quant/quant.def experiments/config.h \
  data/data.h nn/base.h nn/rng.h nn/model.h optim/opt.h ssl/objective.h \
  ssl/method.h experiments/folder.h

experiments/progress.h:

experiments/runlog.h:

experiments/evaluate.h:

experiments/run.h:

experiments/codes.h:

metrics/code.h:

metrics/met.h:

nn/arena.h:

metrics/image.h:

nn/quant/quant.h:

nn/layer.h:

nn/ops.h:

nn/tape.h:

nn/tensor.h:

nn/setting.h:

nn/quant/quant.def:

experiments/config.h:

data/data.h:

nn/base.h:

nn/rng.h:

nn/model.h:

optim/opt.h:

ssl/objective.h:

ssl/method.h:

experiments/folder.h:
