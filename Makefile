# Every chore of this repository. `make` alone lists them.

# Queries are checked against .sqlx, not against whatever DATABASE_URL a shell has.
export SQLX_OFFLINE := true

# What a Kubernetes of our own is built from and runs on; nothing where it is asked to be left out.
kubernetes := $(if $(filter 1,$(ASSAY_SKIP_KUBERNETES)),,go containerd runc containernetworking-plugins \
	buildah mmdebstrap iproute2 nftables conntrack socat binutils gcc libc6-dev openssl)
nvrtc := $$(echo $(CURDIR)/target/nvrtc/lib/python3*/site-packages/nvidia/cu13/lib)
programs := cargo node npm postgresql chromium faketime python3-venv g++
.PHONY: help quickstart dev build test test-gpu test-kubernetes cluster outside nvrtc bench bench-trainer bench-gpu bench-store lint sqlx schema web web-test $(programs) $(kubernetes)

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: postgresql build ## Build everything, then train and compare a real sweep on this machine
	@examples/quickstart

dev: postgresql build ## Start everything on this machine, with its data in .assay
	target/debug/ctl up

build: cargo web/dist/index.html ## Build the web view and all programs
	cargo build --bins

# Tests end with the closing lines of their runners, so nothing is printed after them.
test: lint web-test build chromium faketime g++ outside nvrtc cluster ## Everything that must pass: lints, tests on a real server and a real cluster, browser tests
	cargo test --workspace --no-run
	LD_LIBRARY_PATH=$(nvrtc) tests/with-postgres tests/with-cluster cargo test --workspace $(if $(kubernetes),,-- --skip kubernetes::)
	cd web && npm run test:browser

test-gpu: postgresql build ## What needs a GPU: kernels beside f64, the engine beside PyTorch's numbers, a whole sweep
	ASSAY_GPU=1 cargo test --workspace --test card --test xid -- --include-ignored --test-threads 1
	tests/with-postgres cargo test --workspace --test it -- --ignored --test-threads 1 gpu::

test-kubernetes: build cluster ## How attempts live and die on a real Kubernetes, on this machine
	tests/with-cluster cargo test --workspace --test kubernetes

# Twelve minutes from cold; at once when nothing that it is built from changed.
cluster: $(kubernetes) ## Build the Kubernetes, the Kueue and the images that tests run on
	@[ "$(ASSAY_SKIP_KUBERNETES)" = 1 ] || tests/cluster/build target/cluster

outside: target/outside/done ## Install the programs of others that tests ask: schemathesis, jsonschema

nvrtc: target/nvrtc/done ## Install the compiler that kernels are checked with, and NVML's header; it needs no GPU

target/nvrtc/done: worker/cuda/tests/requirements.txt | python3-venv
	python3 -m venv --clear target/nvrtc
	target/nvrtc/bin/pip install --quiet --requirement $<
	touch $@

target/outside/done: tests/outside/requirements.txt | python3-venv
	python3 -m venv --clear target/outside
	target/outside/bin/pip install --quiet --requirement $<
	touch $@

# The profile of everything else, so that nothing is compiled twice. Each adds its figures to
# target/bench.json.
bench: bench-trainer bench-store ## Measure trainer and controller beside PyTorch and MLflow; writes target/bench.json

bench-trainer: cargo target/peer/done ## Measure how many tokens a second the trainer does here, beside PyTorch
	ASSAY_PEER=$(CURDIR)/target/peer/bin/python cargo bench --profile dev --workspace --bench tokens

bench-gpu: cargo ## Measure how many tokens a second the trainer does on a GPU, beside PyTorch
	cargo bench --profile dev --workspace --bench gpu

bench-store: cargo postgresql chromium web/dist/index.html target/mlflow/done ## Measure the controller under load, beside MLflow's server
	ASSAY_MLFLOW=$(CURDIR)/target/mlflow/bin/mlflow tests/with-postgres --durable \
		cargo bench --profile dev --workspace --bench store

# Some gigabytes: PyTorch's wheel brings what GPUs need.
target/peer/done: worker/trainer/benches/requirements.txt | python3-venv
	python3 -m venv target/peer
	target/peer/bin/pip install --quiet --requirement $<
	touch $@

target/mlflow/done: tests/benches/store/requirements.txt | python3-venv
	python3 -m venv target/mlflow
	target/mlflow/bin/pip install --quiet --requirement $<
	touch $@

# Clippy expands every query against a server with the migrations, so that one which no longer fits
# them does not compile; and what it expands must be what .sqlx holds.
lint: cargo postgresql web/dist/index.html ## Format, lints, and queries against the migrations
	cargo fmt --all --check
	rm -rf target/sqlx && mkdir -p target/sqlx
	touch controller/src/lib.rs
	SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$(CURDIR)/target/sqlx tests/with-postgres \
		cargo clippy --workspace --all-targets -- -D warnings
	@ls target/sqlx >target/sqlx.now && ls .sqlx | diff - target/sqlx.now || \
		{ echo "the queries and .sqlx differ: run make sqlx" >&2; exit 1; }

# Without sqlx-cli: the macros write what a server tells them. They are expanded only where the
# compiler runs, hence the touch; a failed build leaves .sqlx as it was.
sqlx: cargo postgresql ## Write .sqlx anew, after a query or a migration changed
	rm -rf target/sqlx && mkdir -p target/sqlx
	touch controller/src/lib.rs
	SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$(CURDIR)/target/sqlx tests/with-postgres \
		cargo check --package assay-controller
	rm -rf .sqlx && cp -r target/sqlx .sqlx

schema: cargo web/node_modules/.package-lock.json ## Write the API's document and the browser's types anew
	cargo run --quiet --bin assay-controller -- openapi >target/openapi.json
	mv target/openapi.json web/openapi.json
	cd web && npm run schema

web: web/dist/index.html ## Build the web view

web-test: web/node_modules/.package-lock.json ## Types, lints and unit tests of the web view
	cd web && npm run check && npm run lint && npm test

# What is missing is installed where that can be done, and named where it cannot.
$(programs):
	@tests/bootstrap $@

$(kubernetes): | cargo
	@tests/bootstrap $@

web/node_modules/.package-lock.json: web/package.json web/package-lock.json | node npm
	cd web && npm ci --no-audit --no-fund

web_sources := $(shell find web/src web/index.html web/*.ts -type f 2>/dev/null)
web/dist/index.html: web/node_modules/.package-lock.json $(web_sources)
	cd web && npm run build
	@touch controller/src/http/assets.rs # which holds the names of what was built
