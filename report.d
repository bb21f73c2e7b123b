report.o: experiments/report.c experiments/report.h nn/base.h \
  experiments/report_codes.h experiments/report_read.h \
  experiments/report_table.h metrics/met.h nn/arena.h

experiments/report.h:

nn/base.h:

experiments/report_codes.h:

experiments/report_read.h:

experiments/report_table.h:

metrics/met.h:

nn/arena.h:
