# fullrank: one file, no recursion.
#
#   make          ./fullrank and libfullrank.a     make demo     installs what is missing,
#   make check    installs what is missing,                      trains, writes a report
#                 builds, runs every test          make bench    ours beside others
#   make deps     installs what is missing         make floors   who may include whom
#   make bits     same bits from every compiler    make neon     and on aarch64, emulated
#   make same-bits    shows it: threads, tables, a kill in the middle
#   make check-long   every test, and the long form of some
#   make torture  kills, faults and flipped       make bench-free   what the same bits cost
#                 bits by the thousand            make fuzz    readers on broken files
#   make install PREFIX=/usr/local DESTDIR=        make clean
#
# SAN=1 with any of them: address and undefined-behaviour sanitizers, in build/san.
# V=1 shows whole commands.  CC, CPPFLAGS, CFLAGS and LDFLAGS are yours, as in
# `make CC=clang CFLAGS=-O0`; what the bits of a result depend on stands in MUST and ISA,
# where CFLAGS cannot reach it.

VERSION := $(shell sed -n 's/.*EX_VERSION "\(.*\)"/\1/p' experiments/version.h)
PREFIX  ?= /usr/local
CFLAGS  ?= -O2 -g
ARCH    := $(shell uname -m)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes
MUST := -std=c17 -fopenmp -fno-fast-math -ffp-contract=off -D_GNU_SOURCE -I. -MMD -MP \
        $(WARN)
LIBS := -lz -lyaml -ljansson -lmd -lm
TEST_LIBS := -lcheck -lsubunit -lrt -pthread

# Flags that change what an operation on floats gives, and with it every result.  What
# stands in MUST comes later on the line and turns some of them off again; then they would
# only seem to work.  The rest is harmless: -march=native, -mfma, -O0 to -O3 give the same
# bits, which `make bits` shows.
CHANGE := -Ofast -ffast-math -funsafe-math-optimizations -fassociative-math \
          -freciprocal-math -ffinite-math-only -fno-signed-zeros -fno-honor-% \
          -fapprox-func -fsingle-precision-constant -fexcess-precision=% \
          -ffp-contract=fast -ffp-contract=on -ffp-contract=fast-% -ffp-model=% \
          -ffp-eval-method=% -fdenormal-fp-math% -mdaz-ftz -mrecip% -mlow-precision-% \
          -mfpmath=% -mno-sse% -msoft-float -m32 -mx32
CHANGED := $(filter $(CHANGE),$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS))
ifneq ($(CHANGED),)
$(error $(CHANGED) would change the bits of every result: build without it)
endif

ifdef SAN
B      := build/san
BIN    := $(B)/fullrank
GUARD  := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SLOW   := 5
else
B      := build
BIN    := fullrank
SLOW   := 1
endif

# Kernel tables belong to a processor: the others do not even compile here.
TABLES_x86_64  := avx2 avx512
TABLES_aarch64 := neon
FOREIGN := $(filter-out $(TABLES_$(ARCH)),avx2 avx512 neon)

CHART    := /usr/share/javascript/chart.js/chart.min.js
LIB_DIR  := nn nn/* optim ssl data metrics
LIB_SRC  := $(filter-out $(FOREIGN:%=nn/kern/%.c),$(wildcard $(LIB_DIR:%=%/*.c)))
LIB_OBJ  := $(LIB_SRC:%.c=$(B)/%.o)
BIN_OBJ  := $(patsubst %.c,$(B)/%.o,$(wildcard experiments/*.c))
TEST_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out tests/faults.c,$(wildcard tests/*.c)))
BENCH_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard bench/*.c))
RACER    := $(dir $(BIN))fullrank-bench
ASSETS   := $(wildcard experiments/report/page.*) $(CHART)
ALL_OBJ  := $(LIB_OBJ) $(BIN_OBJ) $(TEST_OBJ) $(BENCH_OBJ)

# One kernel table per instruction set, one set of flags per table, chosen at run time.
# A tight loop whose closing jump touches a 32-byte boundary loses a third of its speed on
# processors of the Skylake family, so the assembler is asked to keep jumps off it, in the
# words that the compiler at hand understands.
takes   = $(shell $(CC) $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))
jumps   = $(or $(call takes,-Wa$(comma)-mbranches-within-32B-boundaries),\
               $(call takes,-mbranches-within-32B-boundaries))
comma  := ,
$(B)/nn/kern/ref.o:    ISA = -O3
$(B)/nn/kern/avx2.o:   ISA = -O3 -mavx2 -mfma $(jumps)
$(B)/nn/kern/avx512.o: ISA = -O3 -mavx512f $(jumps)
$(B)/nn/kern/neon.o:   ISA = -O3
# Nobody asks which operation raised a floating point exception.  Where gcc knows that, it
# does several numbers at a time and jumps over none; the values are the same.
$(B)/data/pixel.o:     ISA = -O3 -fno-trapping-math
$(B)/nn/ops/elementwise.o: ISA = -O3 -fno-trapping-math
$(B)/nn/ops/distance.o: ISA = -O3 -fno-trapping-math
$(B)/metrics/image.o:  ISA = -O3 -fno-trapping-math
# stb_image multiplies what a broken file says; where the product does not fit, it shall at
# least be the same wrong colour everywhere.  Where a scan ends inside of a code it shifts a
# zero by more than its width, which is zero on every machine and no fault to stop for.
$(B)/data/image.o:     ISA = -fwrapv $(if $(GUARD),-fno-sanitize=shift-exponent)
# 64-byte vectors passed between the functions of one file: nobody else's convention.
$(B)/tests/avx512_simde.o: ISA = -Wno-psabi

Q := $(if $(V),,@)

# All cores, unless make was told a number.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

.PHONY: all demo check check-long torture bench bench-free floors bits neon same-bits fuzz \
        install deps need clean
.DELETE_ON_ERROR:

all: $(BIN) $(RACER) $(B)/libfullrank.a

demo: all
	@FULLRANK_BIN=./$(BIN) experiments/demo.sh

# Check forks for every test; a test takes the program itself from FULLRANK_BIN.  A test
# takes seconds; its limit leaves room for a busy machine, where waiting threads must not
# spin.
# One suite alone: make check CK_RUN_SUITE=kern.  Otherwise as many suites at a time as
# there are cores, or CHECK_JOBS; without the slow ones of tests/main.c: CHECK_FAST=1.
IN_TESTS = FULLRANK_BIN=$(CURDIR)/$(BIN) FULLRANK_FAULTS=$(CURDIR)/$(B)/tests/faults.so \
           OMP_WAIT_POLICY=passive CK_DEFAULT_TIMEOUT=60

check: all floors $(B)/check $(B)/tests/faults.so
	@$(IN_TESTS) CK_TIMEOUT_MULTIPLIER=$(SLOW) $(B)/check

# Some tests take all cases here where `check` takes one for all.
check-long: all floors $(B)/check $(B)/tests/faults.so
	@$(IN_TESTS) FULLRANK_LONG=1 CK_TIMEOUT_MULTIPLIER=$$(($(SLOW) * 4)) \
	    CHECK_LIMIT=2400 $(B)/check

# The long form of three suites: a quarter of an hour.
torture: all $(B)/check $(B)/tests/faults.so
	@for suite in torture faults resume; do \
	    $(IN_TESTS) FULLRANK_KILLS=100 FULLRANK_FLIPS=1000 FULLRANK_FAULTS_ALL=1 \
	    CK_RUN_SUITE=$$suite CK_VERBOSITY=verbose CK_TIMEOUT_MULTIPLIER=30 $(B)/check \
	    || exit 1; done

bench: all
	@MAKE='$(MAKE)' bench/run.sh ./$(BIN)

bench-free: all
	@MAKE='$(MAKE)' bench/free.sh ./$(BIN)

# Promise 1 beyond what `make check` can see; each ends with status 1 on a difference.
# The first two build for themselves, below build/bits and build/aarch64.
bits:
	@MAKE='$(MAKE)' tools/bits.sh

neon: all
	@MAKE='$(MAKE)' FULLRANK_BIN=./$(BIN) tools/neon.sh

same-bits: all
	@FULLRANK_BIN=./$(BIN) tools/same_bits.sh

# Readers on files that a fuzzer makes, with the address and undefined-behaviour sanitizers:
# tests/fuzz/fuzz_NAME.c from the corpus tests/fuzz/corpus/NAME.  One alone: FUZZ=NAME.
# What is found stays in build/fuzz/NAME.  Needs clang; status 1 when an input fails.
# A harness is added by adding its file.
FUZZ         ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
SECONDS_EACH ?= 60
FUZZ_CC      := clang
FUZZ_GUARD   := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all \
                -fno-omit-frame-pointer
FUZZ_LIMITS  := -max_len=65536 -rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=10

fuzz:
	@unset MAKEFLAGS MFLAGS MAKELEVEL; \
	    $(MAKE) CC=$(FUZZ_CC) B=build/fuzz GUARD='$(FUZZ_GUARD)' $(FUZZ:%=build/fuzz/fuzz_%)
	@for f in $(FUZZ); do \
	    mkdir -p build/fuzz/$$f/corpus tests/fuzz/corpus/$$f && \
	    echo "  fuzz    $$f, $(SECONDS_EACH) s" && \
	    build/fuzz/fuzz_$$f $(FUZZ_LIMITS) -max_total_time=$(SECONDS_EACH) \
	        -artifact_prefix=build/fuzz/$$f/ -print_final_stats=1 \
	        build/fuzz/$$f/corpus tests/fuzz/corpus/$$f \
	        >build/fuzz/$$f/log 2>&1 || { tail -n 40 build/fuzz/$$f/log; exit 1; }; \
	    grep -E 'number_of_executed|new_units|peak_rss' build/fuzz/$$f/log; done

build/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o build/fuzz/libfullrank.a
	@echo "  link    $@"
	$(Q)$(CC) $(CFLAGS) $(GUARD) -fsanitize=fuzzer -fopenmp $(LDFLAGS) $^ $(LIBS) -o $@
.SECONDARY: $(FUZZ:%=build/fuzz/tests/fuzz/fuzz_%.o)
-include $(FUZZ:%=build/fuzz/tests/fuzz/fuzz_%.d)

floors: $(LIB_OBJ) $(BIN_OBJ)
	@CC='$(CC)' tools/floors_test.sh
	@tools/floors.sh . $(B)

# Before anything is compiled: `check`, `demo` and `deps` install what is missing, every
# other goal says what is missing.
deps: need
need:
	@CC='$(CC)' tools/deps.sh $(firstword $(filter check demo deps,$(MAKECMDGOALS)) tell)

$(BIN): $(BIN_OBJ) $(B)/assets.o $(B)/libfullrank.a
	@echo "  link    $@"
	$(Q)$(CC) $(CFLAGS) $(GUARD) -fopenmp $(LDFLAGS) $^ $(LIBS) -o $@

$(B)/check: $(TEST_OBJ) $(filter-out %/main.o,$(BIN_OBJ)) $(B)/assets.o $(B)/libfullrank.a
	@echo "  link    $@"
	$(Q)$(CC) $(CFLAGS) $(GUARD) -fopenmp $(LDFLAGS) $^ $(TEST_LIBS) $(LIBS) -o $@

# Put in front of the C library by LD_PRELOAD: never sanitized itself.
$(B)/tests/faults.so: tests/faults.c $(B)/flags | need
	@echo "  cc      $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -std=c17 -D_GNU_SOURCE $(WARN) -shared -fPIC $< -o $@

$(RACER): $(BENCH_OBJ) $(B)/bench/assets.o $(B)/libfullrank.a
	@echo "  link    $@"
	$(Q)$(CC) $(CFLAGS) $(GUARD) -fopenmp $(LDFLAGS) $^ $(LIBS) -o $@

$(B)/libfullrank.a: $(LIB_OBJ)
	@echo "  archive $@"
	@rm -f $@
	$(Q)$(AR) qcs $@ $^

# The report's parts go into the program as bytes: page.css lies between
# _binary_page_css_start and _binary_page_css_end.
$(B)/assets.o: $(ASSETS)
	@mkdir -p $(B)/assets && cp $^ $(B)/assets
	$(Q)cd $(B)/assets && $(LD) -r -b binary -z noexecstack -o ../assets.o $(notdir $^)

# And the Python side of the bench into its program, in the same way.
$(B)/bench/assets.o: bench/peers/torch_peer.py | need
	@mkdir -p $(@D)
	$(Q)cd $(<D) && $(LD) -r -b binary -z noexecstack -o $(CURDIR)/$@ $(<F)

$(CHART): | need ;

$(B)/%.o: %.c $(B)/flags | need
	@echo "  cc      $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(MUST) $(GUARD) $(ISA) -c $< -o $@

# Rewritten only when compiler or flags change, and then everything is built anew.
$(B)/flags: force
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(MUST) $(GUARD) $(VERSION)' | cmp -s - $@ || \
	 echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(MUST) $(GUARD) $(VERSION)' > $@
.PHONY: force

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install $(BIN) $(DESTDIR)$(PREFIX)/bin/fullrank
	install $(RACER) $(DESTDIR)$(PREFIX)/bin/fullrank-bench
	install -m 644 $(B)/libfullrank.a $(DESTDIR)$(PREFIX)/lib
	for h in $(wildcard $(LIB_DIR:%=%/*.h) $(LIB_DIR:%=%/*.def)); do \
	    install -D -m 644 $$h $(DESTDIR)$(PREFIX)/include/fullrank/$$h || exit 1; done
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' tools/fullrank.pc.in \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/fullrank.pc
	for f in $(wildcard experiments/*/*.yaml experiments/*/*.tsv); do \
	    install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/fullrank/$$f || exit 1; done
	install -m 644 docs/fullrank.1 $(DESTDIR)$(PREFIX)/share/man/man1

clean:
	rm -rf build fullrank fullrank-bench

-include $(ALL_OBJ:.o=.d)
