report_table.o: experiments/report_table.c experiments/report_codes.h \
  experiments/report_read.h nn/base.h experiments/report_table.h \
  metrics/met.h nn/arena.h

experiments/report_codes.h:

experiments/report_read.h:

nn/base.h:

experiments/report_table.h:

metrics/met.h:

nn/arena.h:
