report_codes.o: experiments/report_codes.c experiments/report_codes.h \
  experiments/report_read.h nn/base.h experiments/toy_codes.h \
  metrics/code.h metrics/met.h nn/arena.h nn/quant/quant.h nn/layer.h \
  nn/ops.h nn/tape.h nn/tensor.h nn/setting.h nn/quant/quant.def

experiments/report_codes.h:

experiments/report_read.h:

nn/base.h:

experiments/toy_codes.h:

metrics/code.h:

metrics/met.h:

nn/arena.h:

nn/quant/quant.h:

nn/layer.h:

nn/ops.h:

nn/tape.h:

nn/tensor.h:

nn/setting.h:

nn/quant/quant.def:
