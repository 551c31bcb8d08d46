# Everything that one types here. `make` alone lists the targets.
#
# A machine needs GNU make, a C compiler and CPython 3.11 or later with its headers;
# the rest is installed into .venv when it is first wanted. Another interpreter:
#     make test PYTHON=python3.13 VENV=.venv-3.13

VENV  ?= .venv
BUILD := build/c
CC    ?= cc

# The first interpreter that is new enough and can build extensions.
USABLE = import os, sys, venv, ensurepip, sysconfig; sys.exit(not ( \
    sys.version_info >= (3, 11) and sys.implementation.name == 'cpython' \
    and os.path.exists(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))))
CANDIDATES = python3 python3.14 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for p in $(CANDIDATES); do \
    if "$$p" -c "$(USABLE)" >/dev/null 2>&1; then echo "$$p"; break; fi; done)

PY  := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input install --quiet --retries 5

# Networks fail; installing again picks up where it stopped.
retry = for try in 1 2 3; do $(1) && break; \
    if [ $$try = 3 ]; then $(or $(2),:); exit 1; fi; echo "trying again in 10 s"; sleep 10; done
installing = @echo "installing $(1): pip is silent meanwhile, which can take minutes"

.PHONY: help
help:
	@echo "make demo                 a tour of one minute; its files are in build/demo"
	@echo "make test                 build, install into $(VENV), run the tests"
	@echo "make test-versions        the tests under every later Python found"
	@echo "make test-debian-testing  the tests under the Pythons of Debian testing (needs root)"
	@echo "make test-free-threaded   the tests under a Python without the GIL"
	@echo "make test-free-threaded-tsan   the races between threads under ThreadSanitizer"
	@echo "make test-musl            the tests under a Python built against musl"
	@echo "make test-container       the tests as those of a wheel run in a container (needs root)"
	@echo "make test-engines         datasets in S3, under Ray and under torch, in .venv-engines"
	@echo "make test-kills           workers of Dask killed a hundred times while they write"
	@echo "make platforms            docs/reference/platforms.md anew, from what those have left in build/runs"
	@echo "make check                format, lint, types, C tests under sanitizers, fuzzing,"
	@echo "                          packages, tests: all that a change must pass"
	@echo "make lint, make types     what ruff and the layers' rules say; what mypy says"
	@echo "make ctest                the C tests: plain, under ASan with UBSan, under TSan"
	@echo "make docs                 the site of the documents, in build/docs/html"
	@echo "make readers              libraries of other languages, as readers for the tests"
	@echo "make cross                the C layers for other systems and processors"
	@echo "make fuzz                 fuzz the wire-format walk for FUZZ_SECONDS (needs clang)"
	@echo "make bench                the benchmarks"
	@echo "make wheel                sdist in dist/, wheel in wheelhouse/, audited"
	@echo "make format               rewrite the sources as the formatters want them"
	@echo "make clean                remove what was built, environments included"

# ---- the environment ----------------------------------------------------------

SOURCES := pyproject.toml setup.py MANIFEST.in \
    $(filter-out csrc/tests/%,$(wildcard csrc/*/*.[ch])) \
    $(wildcard src/mmapbuilder/*.py src/mmapbuilder/*.pyi src/mmapbuilder/*/*.py \
    src/mmapbuilder/*.capnp)

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "No CPython 3.11 or later with its headers and venv was found." \
	    "On Debian: apt-get install python3-dev python3-venv. Or say PYTHON=/path/to/python."; exit 1; }
	$(call installing,pip and setuptools into $(VENV))
	@$(PYTHON) -m venv $(VENV)
	@$(call retry,$(PIP) --upgrade pip 'setuptools>=77')
	@touch $@

# What setuptools left of an older tree must not slip into the wheel.
define install
	$(call installing,mmapbuilder and the packages of its extra $(1) into $(VENV))
	@rm -rf build/lib* build/bdist*
	@$(call retry,$(PIP) --no-build-isolation '.[$(1)]')
	@touch $@
endef

$(VENV)/.demo: $(VENV)/.made $(SOURCES)
	$(call install,demo)
$(VENV)/.test: $(VENV)/.made $(SOURCES)
	$(call install,test)
$(VENV)/.bench: $(VENV)/.made $(SOURCES)
	$(call install,bench)
	@touch $(VENV)/.test $(VENV)/.demo
$(VENV)/.docs: $(VENV)/.made $(SOURCES)
	$(call install,docs)
	@touch $(VENV)/.demo
$(VENV)/.dev: $(VENV)/.made $(SOURCES)
	$(call install,dev)
	@touch $(VENV)/.test $(VENV)/.demo $(VENV)/.docs

# ---- the two commands of the README -------------------------------------------

.PHONY: demo test
demo: $(VENV)/.demo
	$(PY) examples/tour.py build/demo

test: $(VENV)/.test
	$(PY) -m pytest $(PYTEST_ARGS)

# ---- the documents ---------------------------------------------------------------

# Warnings are errors: a link without a target, a page that no other page leads to.
.PHONY: docs
docs: $(VENV)/.docs
	rm -rf build/docs/html
	$(VENV)/bin/sphinx-build -q -E -W --keep-going -b html -d build/docs/doctrees docs build/docs/html
	$(PY) tools/check_site.py build/docs/html

# ---- readers of other languages -------------------------------------------------

# Libraries that read Cap'n Proto, for tests/test_readers.py. (The crate is Debian's.)
READERS := build/readers

.PHONY: readers
readers: $(READERS)/.made
$(READERS)/.made:
	@mkdir -p $(READERS)/javascript
	@echo "installing libraries of other languages into $(READERS)"
	@$(call retry,npm install --silent --no-audit --no-fund --prefix $(READERS)/javascript \
	    capnp-ts@0.7.0 capnp-es@0.0.16)
	$(PYTHON) -m venv $(READERS)/python
	@$(call retry,$(READERS)/python/bin/python -m pip install -q --retries 5 capnpy==0.12.1 \
	    'setuptools<81')
	@touch $@

# ---- other Pythons --------------------------------------------------------------

# What runs at once: two suites of tests keep two cores busy, and get in nobody's way.
JOBS ?= 2
PARALLEL = $(MAKE) --no-print-directory -j$(JOBS) --output-sync=target

# Each run leaves what it was, and how it ended, in a file here: see tools/platforms.py.
export MMAPBUILDER_RUNS := $(CURDIR)/build/runs

# Under each version that this machine has, the one wheel, in environments of their own.
VERSIONS ?= 3.11 3.12 3.13 3.14 3.15

.PHONY: test-versions
test-versions: wheelhouse/.made
	@$(PARALLEL) --keep-going $(VERSIONS:%=test-version-%)

test-version-%: wheelhouse/.made
	@for python in python$* "$$HOME"/.pyenv/versions/$*.*/bin/python3; do \
	    "$$python" -c "$(USABLE)" >/dev/null 2>&1 || continue; \
	    exec sh .ci/test-wheel "$$python" .venv-$* wheelhouse/*.whl $(PYTEST_ARGS); \
	done; echo "== there is no Python $* here"

# Debian testing has Pythons that releases do not have yet. It is installed into a directory
# of its own the first time, which takes a minute; see tools/debian-testing. pycapnp has no wheel
# for the last one. Debian's own flags take three times as long to compile it; with -O0 it would
# check what it otherwise does not, and find faults of its own.
TESTING_VERSIONS ?= 3.14 3.15

.PHONY: debian-testing test-debian-testing
debian-testing:
	@sh tools/debian-testing >/dev/null

test-debian-testing: debian-testing wheelhouse/.made
	@$(PARALLEL) --keep-going $(TESTING_VERSIONS:%=test-debian-testing-%)

test-debian-testing-%: debian-testing wheelhouse/.made
	@root=$$(sh tools/debian-testing) && CXXFLAGS="-O1 -g0" sh tools/in-root "$$root" \
	    sh .ci/test-wheel python$* .venv-testing-$* wheelhouse/*.whl $(PYTEST_ARGS)

# What CI runs beside `make check`: the engines, and the wheel under the newest Pythons. What is
# slow or needs root is left out there: it tests the C layers above all, which are the same for
# every Python. Of the attacks, those with interpreters are on what differs between Pythons.
# NEWEST=version takes the interpreters that this machine has.
NEWEST ?= debian-testing
SHORTLY = -m 'not slow and not root' --ignore-glob='*/attack/test_[!i]*'

.PHONY: test-elsewhere
test-elsewhere: test-engines $(TESTING_VERSIONS:%=test-shortly-$(NEWEST)-%)

# Debian is installed once, while something else is done, and not by two that wait for each other.
$(TESTING_VERSIONS:%=test-shortly-debian-testing-%): debian-testing
test-shortly-%: wheelhouse/.made
	@$(MAKE) --no-print-directory test-$* PYTEST_ARGS="$(SHORTLY) $(PYTEST_ARGS)"

# As cibuildwheel tests a wheel in a container, for what a bare image lacks.
CONTAINER_VENV ?= .venv-container

.PHONY: test-container
test-container: wheelhouse/.made
	@RUN="sh .ci/like-a-container" \
	    sh .ci/test-wheel $(PYTHON) $(CONTAINER_VENV) wheelhouse/*.whl -rs tests $(PYTEST_ARGS)

# ---- a Python without the GIL ----------------------------------------------------

# Compiled from Debian's sources the first time, which takes minutes. pycapnp is compiled
# too (it has wheels for later ones only), if the headers of Cap'n Proto are there. It asks
# for the GIL when it is imported; PYTHON_GIL=0 leaves it off all the same. Without that
# variable the tests of messages run with the GIL, and everything else without.
FT_VENV ?= .venv-3.13t

# The same once more, instrumented for ThreadSanitizer, for the races alone. What the
# interpreter itself and the tools report is not looked at.
FT_TSAN_VENV ?= .venv-3.13t-tsan

define free-threaded
	python=$$(sh tools/free-threaded-python $(1)) && "$$python" -m venv $(@D)
	$(call installing,the packages that the tests need into $(@D))
	@$(call retry,$(@D)/bin/python -m pip install -q --retries 5 --only-binary :all: \
	    'setuptools>=77' hypothesis numpy pytest)
	rm -rf build/lib* build/bdist* build/temp*
	$(@D)/bin/python -m pip install -q --no-build-isolation .
	$(2)
	@touch $@
endef

$(FT_VENV)/.test: $(SOURCES)
	$(call free-threaded,,sh .ci/build-pycapnp $(@D)/bin/python)
$(FT_TSAN_VENV)/.test: $(SOURCES)
	$(call free-threaded,--tsan)

.PHONY: test-free-threaded test-free-threaded-tsan
test-free-threaded: export PYTHON_GIL ?= 0
test-free-threaded: $(FT_VENV)/.test
	$(FT_VENV)/bin/python -m pytest $(PYTEST_ARGS)

$(FT_TSAN_VENV)/.test test-free-threaded-tsan: export TSAN_OPTIONS = report_bugs=0:handle_sigbus=0
test-free-threaded-tsan: $(FT_TSAN_VENV)/.test
	$(FT_TSAN_VENV)/bin/python -m pytest tests/free_threading $(PYTEST_ARGS)

# ---- the extension module under AddressSanitizer ----------------------------------

# The interpreter is the one that is there, so it must load the runtime, and the library whose
# exceptions pycapnp throws, before all else.
# Growth faults are ours to answer. Python frees little at its end: leaks are not looked at.
ASAN_VENV ?= .venv-asan

$(ASAN_VENV)/.test: $(SOURCES)
	$(PYTHON) -m venv $(@D)
	$(call installing,the packages that the tests need into $(@D))
	@$(call retry,$(@D)/bin/python -m pip install -q --retries 5 --only-binary :all: \
	    'setuptools>=77' hypothesis numpy pytest pycapnp)
	rm -rf build/lib* build/bdist* build/temp*
	CFLAGS="-fsanitize=address -fno-omit-frame-pointer -O1 -g" LDFLAGS=-fsanitize=address \
	    $(@D)/bin/python -m pip install -q --no-build-isolation .
	rm -rf build/lib* build/bdist* build/temp*
	@touch $@

# Whatever closes, discards and drops builders in use: in threads, signal handlers, children.
ASAN_TESTS ?= tests/free_threading tests/test_message_gate.py \
    tests/test_builder_forks.py tests/test_close_in_use.py

.PHONY: test-asan-python
test-asan-python: $(ASAN_VENV)/.test
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libstdc++.so.6)" \
	ASAN_OPTIONS=detect_leaks=0:handle_sigbus=0:allocator_may_return_null=1 \
	    $(ASAN_VENV)/bin/python -m pytest $(ASAN_TESTS) $(PYTEST_ARGS)

# ---- another C library -----------------------------------------------------------

# musl's Python is compiled as well; it has no OpenSSL, so another one downloads for it.
MUSL_VENV ?= .venv-musl
MUSL_WHEELS := build/musl-wheels

$(MUSL_VENV)/.test: $(VENV)/.made $(SOURCES)
	python=$$(sh tools/musl-python) && "$$python" -m venv $(@D)
	$(call installing,the packages that the tests need into $(@D))
	@$(call retry,$(PY) -m pip download -q --retries 5 -d $(MUSL_WHEELS) --only-binary :all: \
	    --python-version 3.13 --implementation cp --abi cp313 --abi abi3 --abi none \
	    $(MUSL_TAGS:%=--platform %) 'setuptools>=77' hypothesis numpy pyarrow pycapnp pytest zstandard)
	$(@D)/bin/python -m pip install -q --no-index --find-links $(MUSL_WHEELS) $(MUSL_WHEELS)/*.whl
	rm -rf build/lib* build/bdist* build/temp*
	$(@D)/bin/python -m pip install -q --no-index --no-build-isolation --no-deps .
	@touch $@
MUSL_TAGS = musllinux_1_1_$(shell uname -m) musllinux_1_2_$(shell uname -m)

.PHONY: test-musl
test-musl: $(MUSL_VENV)/.test
	$(MUSL_VENV)/bin/python -m pytest $(PYTEST_ARGS)

# ---- the engines and stores of datasets --------------------------------------------

# What is too large for every run of the tests: a server that speaks S3, Ray, and torch. A
# build of torch without CUDA is taken where pip finds one; the other takes 3 GB.
# s3fs and moto want different versions of botocore. They come first: among all the other
# libraries pip looks for versions that fit for many minutes, and fetches gigabytes.
ENGINES_VENV  ?= .venv-engines
ENGINES_TORCH ?= torch==2.13.0+cpu

$(ENGINES_VENV)/.test: wheelhouse/.made
	test -e $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(call installing,the engines and what they need into $(@D))
	@$(call retry,$(@D)/bin/python -m pip install -q --retries 5 --upgrade pip 'setuptools>=77')
	$(@D)/bin/python -m pip install -q --retries 5 '$(ENGINES_TORCH)' || true
	@$(call retry,$(@D)/bin/python -m pip install -q --retries 5 's3fs>=2024.10' 'moto[server]>=5.1')
	@$(call retry,$(@D)/bin/python -m pip install -q --retries 5 --force-reinstall --no-deps wheelhouse/*.whl)
	@$(call retry,$(@D)/bin/python -m pip install -q --retries 5 "$$(echo wheelhouse/*.whl)[engines]")
	@touch $@

.PHONY: test-engines test-kills
test-engines: export MMAPBUILDER_ENGINES = 1
test-engines: $(ENGINES_VENV)/.test
	$(ENGINES_VENV)/bin/python -m pytest -q tests/engines $(PYTEST_ARGS)

# A few of them are in the tests of every run. This takes about ten minutes.
KILLS ?= 100
test-kills: $(VENV)/.dev
	@mkdir -p build/kills && rm -rf build/kills/*
	PYTHONPATH=tests:tests/dataset $(PY) tests/dataset/kills.py build/kills $(KILLS)

# ---- what ran where --------------------------------------------------------------

.PHONY: platforms
platforms:
	$(PY) tools/platforms.py $(MMAPBUILDER_RUNS)

# ---- checks -------------------------------------------------------------------

C_FILES := $(wildcard csrc/*/*.c csrc/*/*.h)

# What takes long starts first, and two things are done at once: each in a directory of its
# own, and no test looks at the clock. What a target prints appears when it ends. The tests
# take longest by far, so they are two things: those in folders, and the others. `ALSO` are
# more targets to make at the same time, so that no processor waits for the last one. What fails
# keeps nothing else from being checked.
CHECKS := check-test-files check-test-folders $(ALSO) ctest-tsan ctest-asan ctest-plain \
    dist-check types docs fuzz-short lint format-check

.PHONY: check check-test-files check-test-folders format-check format lint types
check: $(VENV)/.dev
	@$(PARALLEL) --keep-going $(CHECKS)

check-test-files:
	@$(MAKE) --no-print-directory test PYTEST_ARGS='$(wildcard tests/test_*.py) $(PYTEST_ARGS)'

check-test-folders:
	@$(MAKE) --no-print-directory test PYTEST_ARGS="--ignore-glob='tests/test_*.py' $(PYTEST_ARGS)"

format-check: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run -Werror $(C_FILES)

format: $(VENV)/.dev
	$(VENV)/bin/ruff check --fix-only --quiet .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(C_FILES)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(PY) tools/draw_floors.py --check
	$(VENV)/bin/zizmor --offline --quiet .github/workflows
	$(PY) -m pytest -q tests/test_layers.py

types: $(VENV)/.dev
	$(VENV)/bin/mypy --strict src
	$(VENV)/bin/stubtest --mypy-config-file pyproject.toml mmapbuilder._core

# ---- C tests: plain, under ASan with UBSan, under TSan -------------------------

# _DEFAULT_SOURCE is POSIX and what systems commonly add to it, which plain C11 hides. Headers of
# lower floors are included with their folder, the public ones (mmb_*.h) by their name alone.
CSTD    := -std=c11 -pthread -D_DEFAULT_SOURCE -D_FILE_OFFSET_BITS=64 \
    -Icsrc -Icsrc/file -Icsrc/map -Icsrc/capnp -Icsrc/schema
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wconversion -Werror
LIB_SRC := $(wildcard csrc/os/*.c csrc/file/*.c csrc/map/*.c csrc/capnp/*.c csrc/schema/*.c)
CTESTS  := $(notdir $(basename $(wildcard csrc/tests/test_*.c)))
CTEST_SECONDS ?= 300

FLAGS_plain := -O2 -g
FLAGS_asan  := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
    -fno-sanitize-recover=all
FLAGS_tsan  := -O1 -g -fno-omit-frame-pointer -fsanitize=thread

# The growth faults are ours to answer, not the sanitizer's.
ENV_plain :=
ENV_asan  := ASAN_OPTIONS=handle_sigbus=0:detect_stack_use_after_return=1 \
    UBSAN_OPTIONS=print_stacktrace=1
ENV_tsan  := TSAN_OPTIONS=handle_sigbus=0:halt_on_error=1:second_deadlock_stack=1

# Other C libraries and processors: zig, from PyPI, compiles for them, qemu runs them.
ZIG          = $(PY) -m ziglang cc -target
CC_plain    := $(CC)
CC_asan     := $(CC)
CC_tsan     := $(CC)
CC_musl      = $(ZIG) x86_64-linux-musl
CC_aarch64   = $(ZIG) aarch64-linux-musl
CC_riscv64   = $(ZIG) riscv64-linux-musl
FLAGS_musl    := -O2 -g
FLAGS_aarch64 := -O2 -g
FLAGS_riscv64 := -O2 -g
ENV_musl      :=
ENV_aarch64   := RUNNER=qemu-aarch64-static
ENV_riscv64   := RUNNER=qemu-riscv64-static

define variant
$(BUILD)/$(1)/%.o: csrc/%.c
	@mkdir -p $$(@D)
	@echo "compile [$(1)] $$<"
	@$$(CC_$(1)) $$(CSTD) $$(WARN) $$(FLAGS_$(1)) $$(CFLAGS) -MMD -MP -c $$< -o $$@

$(BUILD)/$(1)/libmmb.a: $(LIB_SRC:csrc/%.c=$(BUILD)/$(1)/%.o)
	@rm -f $$@
	@$$(AR) qcs $$@ $$^

$(BUILD)/$(1)/test_%: $(BUILD)/$(1)/tests/test_%.o $(BUILD)/$(1)/libmmb.a
	@$$(CC_$(1)) -pthread $$(FLAGS_$(1)) $$(LDFLAGS) $$^ -o $$@

.PHONY: ctest-$(1)
ctest-$(1): $(CTESTS:%=$(BUILD)/$(1)/%)
	@$$(ENV_$(1)) CTEST_SECONDS=$(CTEST_SECONDS) \
	    sh .ci/run-ctests $(1) "$$(CC_$(1)) $$(FLAGS_$(1))" $$(sort $$^)

-include $$(wildcard $(BUILD)/$(1)/*/*.d)
endef
VARIANTS := plain asan tsan musl aarch64 riscv64
$(foreach v,$(VARIANTS),$(eval $(call variant,$(v))))

.SECONDARY:
.PHONY: ctest
ctest:
	@$(PARALLEL) ctest-plain ctest-asan ctest-tsan

# What has no machine here must at least compile, and without a warning.
FOREIGN := x86_64-linux-gnu.2.28 aarch64-linux-gnu.2.28 x86_64-macos aarch64-macos \
    x86_64-freebsd x86_64-netbsd x86_64-openbsd

$(VENV)/.zig: $(VENV)/.made
	$(call installing,zig into $(VENV))
	@$(call retry,$(PIP) ziglang==0.17.1)
	@touch $@

.PHONY: cross
cross: $(VENV)/.zig
	@for target in $(FOREIGN); do \
	    for source in $(LIB_SRC); do \
	        $(ZIG) $$target $(CSTD) $(WARN) -O2 -c $$source -o /dev/null || exit 1; \
	    done; echo "C sources for $$target: ok"; \
	done
	@$(MAKE) --no-print-directory ctest-musl ctest-aarch64 ctest-riscv64

# ---- fuzzing ------------------------------------------------------------------

FUZZ_CC      ?= clang
FUZZ_SECONDS ?= 300
FUZZERS      := $(notdir $(basename $(wildcard csrc/tests/fuzz_*.c)))
FUZZ_FLAGS   := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
    -fsanitize=fuzzer,address,undefined

$(BUILD)/fuzz/%: csrc/tests/%.c $(LIB_SRC) $(wildcard csrc/*/*.h)
	@mkdir -p $(@D)
	@echo "compile [fuzz] $<"
	@$(FUZZ_CC) $(CSTD) $(FUZZ_FLAGS) $< $(LIB_SRC) -o $@

# What a run finds goes to build/; the corpus of the repository is only read.
.PHONY: fuzz fuzz-short
fuzz: $(FUZZERS:%=$(BUILD)/fuzz/%)
	@for f in $(FUZZERS); do \
	    mkdir -p $(BUILD)/fuzz/found/$$f; \
	    seeds=csrc/tests/corpus/$$f; test -d $$seeds || seeds=; \
	    echo "fuzz $$f: $(FUZZ_SECONDS) s"; \
	    ASAN_OPTIONS=handle_sigbus=0 $(BUILD)/fuzz/$$f -max_total_time=$(FUZZ_SECONDS) $(FUZZ_ARGS) \
	        -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 \
	        -artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/found/$$f $$seeds \
	        >$(BUILD)/fuzz/$$f.log 2>&1 || { tail -n 100 $(BUILD)/fuzz/$$f.log; exit 1; }; \
	    grep executed_units $(BUILD)/fuzz/$$f.log; \
	done

# In `make check`: a few seconds, where there is a clang with libFuzzer. Always the same
# ones, so that a change is judged by itself; new inputs are found by `make fuzz`.
fuzz-short:
	@if [ -z "$(FUZZERS)" ]; then :; \
	elif echo 'int LLVMFuzzerTestOneInput(void){return 0;}' \
	    | $(FUZZ_CC) -x c -fsanitize=fuzzer,address - -o /dev/null 2>/dev/null; then \
	    $(MAKE) --no-print-directory fuzz FUZZ_SECONDS=20 FUZZ_ARGS='-seed=1 -runs=100000'; \
	elif [ "$$CI" = true ]; then echo "fuzz: $(FUZZ_CC) with libFuzzer is missing"; exit 1; \
	else echo "fuzz: skipped, $(FUZZ_CC) with libFuzzer is missing"; fi

# ---- benchmarks, wheels, cleaning ---------------------------------------------

.PHONY: bench wheel dist-check clean
bench: $(VENV)/.bench
	$(PY) -m benchmarks $(BENCH_ARGS)

# auditwheel wants a platform tag that PyPI takes; --strict abi3audit wants nothing
# from the wheel that 3.11 does not promise.
wheel: $(VENV)/.dev
	rm -rf build/lib* build/bdist* dist wheelhouse
	@mkdir -p build
	@echo "building the packages: build/wheel.log tells what happens"
	@$(call retry,$(PY) -m build >build/wheel.log 2>&1,cat build/wheel.log)
	@for wheel in dist/*.whl; do \
	    case "$$wheel" in \
	    *linux*) PATH="$(abspath $(VENV))/bin:$$PATH" auditwheel repair -w wheelhouse "$$wheel";; \
	    *) mkdir -p wheelhouse && cp "$$wheel" wheelhouse/;; \
	    esac || exit 1; \
	done
	@for wheel in wheelhouse/*.whl; do \
	    case "$$wheel" in *abi3*) $(VENV)/bin/abi3audit --strict --summary "$$wheel" || exit 1;; esac; \
	done
	@ls -l dist wheelhouse
	@touch wheelhouse/.made

# Built again only when it would differ.
wheelhouse/.made: $(SOURCES) README.md LICENSE $(wildcard examples/*.py)
	@$(MAKE) --no-print-directory wheel

dist-check: wheelhouse/.made
	sh .ci/check-dist $(PY) dist/*.tar.gz wheelhouse/*.whl

clean:
	rm -rf $(VENV) .venv-* build dist wheelhouse src/*.egg-info .mypy_cache .ruff_cache .pytest_cache \
	    .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f src/mmapbuilder/*.so
