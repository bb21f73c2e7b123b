test_report_codes.o: tests/test_report_codes.c experiments/report.h \
  nn/base.h experiments/report_codes.h experiments/report_read.h \
  experiments/toy_codes.h nn/par.h tests/program.h tests/suites.h \
  tests/suites.def

experiments/report.h:

nn/base.h:

experiments/report_codes.h:

experiments/report_read.h:

experiments/toy_codes.h:

nn/par.h:

tests/program.h:

tests/suites.h:

tests/suites.def:
