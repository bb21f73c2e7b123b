report_read.o: experiments/report_read.c experiments/report_codes.h \
  experiments/report_read.h nn/base.h

experiments/report_codes.h:

experiments/report_read.h:

nn/base.h:
