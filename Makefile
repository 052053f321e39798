# SPDX-License-Identifier: Apache-2.0
# GPU memory as a Docker resource. `make` alone lists what there is.
BUILD := $(CURDIR)/build
PLUGIN ?= runai/gpu-memory
VERSION := $(shell sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' Directory.Build.props)
CONFIGURATION ?= Release
DOCKER ?= docker
# The plugin's processor, x64 or arm64. Another one's than this machine's is cross-built, below build/arm64.
HOST_ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,x64)
PLUGIN_ARCH ?= $(HOST_ARCH)
# 1: compiled to native code. 0: the trimmed ReadyToRun build, for an SDK that has no pack of the native runtime.
AOT ?= 1
NEED := tools/need
# What starts engines needs root, and says so before it builds anything.
ROOT = @[ "$$(id -u)" = 0 ] || { echo "make $@ starts Docker engines of its own: run it as root" >&2; exit 1; }

# No build server stays behind to serve the next build.
export MSBUILDDISABLENODEREUSE := 1
export UseSharedCompilation := false
export DOTNET_CLI_TELEMETRY_OPTOUT := 1
export DOTNET_NOLOGO := 1

.PHONY: help all demo test test-arm64 test-long boots fuzz plugin rootfs cli install enable disable release push shim \
    sim shim-tests races bench fmt check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  ENGINE=system makes demo use the running engine; PLUGIN=name names the plugin (now $(PLUGIN))"

all: shim sim rootfs cli ## build everything: plugin, shim, wrapper, simulated GPU

demo: ## the main job, on a private engine, with a simulated GPU where there is no real one
	$(ROOT)
	@$(NEED) docker iproute2
	@tools/tidy $(MAKE) -s all
	@tests/engine/demo.sh

fuzz: ## 10,000 new create bodies against real engines (RUNAI_FUZZ_BODIES, RUNAI_FUZZ_SEED); `make test` repeats 300
	$(ROOT)
	@$(NEED) docker iproute2
	@tools/tidy $(MAKE) -s all
	RUNAI_FUZZ_SEED=$${RUNAI_FUZZ_SEED:-$$(date +%s)} RUNAI_FUZZ_BODIES=$${RUNAI_FUZZ_BODIES:-10000} \
	    tools/tidy dotnet test tests/engine -c $(CONFIGURATION) --filter FullyQualifiedName~OracleTests \
	    --logger "console;verbosity=normal"

boots: ## no container starts where the engine does not ask the plugin, none is lost at a boot: 600 tries, 360 boots
	$(ROOT)
	@$(NEED) docker iproute2
	@tools/tidy $(MAKE) -s all
	@tests/engine/boots.sh

test-arm64: ## plugin and wrapper for arm64, under qemu-user (`make test` has the same for this machine's processor)
	$(ROOT)
	@$(NEED) docker iproute2
	@$(MAKE) -s all
	@$(MAKE) -s rootfs cli PLUGIN_ARCH=arm64
	dotnet test tests/engine -c $(CONFIGURATION) --filter TestCategory=Arm64 --logger "console;verbosity=normal"

test-long: ## what only shows after minutes, or after thousands of calls, on real engines
	$(ROOT)
	@$(NEED) docker iproute2
	@tools/tidy $(MAKE) -s all
	tools/tidy dotnet test tests/engine -c $(CONFIGURATION) --filter TestCategory=Long \
	    --logger "console;verbosity=normal"

test: ## every test that needs no GPU: unit, shim, simulated GPU, real engines
	$(ROOT)
	@echo "This takes about half an hour on 2 cores and 4 GiB of disk."
	@$(NEED) docker iproute2 clang-format clang musl-tools arm64 python3 libncursesw6 promtool systemd-analyze \
	    docker-registry
	@tests/run.sh

races: shim-tests ## every race test of the shim 500 times: plain, sanitized, with delays (hours; TIMES=n for fewer)
	@tests/shim/races.sh $(BUILD) $(or $(TIMES),500)

plugin: rootfs ## build the managed plugin and create it in the running engine
	@$(NEED) docker
	@! $(DOCKER) plugin inspect $(PLUGIN) >/dev/null 2>&1 || $(DOCKER) plugin rm $(PLUGIN)
	$(DOCKER) plugin create $(PLUGIN) $(OUT)/plugin

enable: ## enable the plugin in the running engine
	$(DOCKER) plugin enable $(PLUGIN)
	@$(DOCKER) create --pull never --label gpu-memory=0 no-such-image 2>&1 | grep -q 'denied by plugin' || \
	    printf '%s\n' 'No container with a volume of the plugin starts until {"authorization-plugins": ["$(PLUGIN)"]}' \
	        'is in /etc/docker/daemon.json and the engine has read it.' \
	        'A wrong name there ends the engine: docs/operate.md, "Install"'

disable: ## disable the plugin (take it out of daemon.json first: an engine that reads a disabled name ends)
	$(DOCKER) plugin disable $(PLUGIN)

release: ## what is committed, for amd64 and arm64, with checksums and SBOM: build/release
	@$(NEED) dotnet gcc clang arm64 git jq
	@tools/tidy tools/release $(BUILD)/release

push: ## push build/release to REGISTRY (docker.io, or registry.example.com:5000) by the running engine
	@[ -n "$(REGISTRY)" ] || { echo "make push: say where: make push REGISTRY=registry.example.com:5000" >&2; exit 2; }
	@$(NEED) docker
	@DOCKER='$(DOCKER)' tools/push $(BUILD)/release $(REGISTRY)/$(PLUGIN)

ifeq ($(PLUGIN_ARCH),$(HOST_ARCH))
OUT := $(BUILD)
PLUGIN_CC := gcc
LINK := -p:CppCompilerAndLinker=gcc
else ifeq ($(PLUGIN_ARCH),arm64)
OUT := $(BUILD)/arm64
PLUGIN_CC := aarch64-linux-gnu-gcc
LINK := -p:CppCompilerAndLinker=clang -p:ObjCopyName=aarch64-linux-gnu-objcopy
CROSS := CC=$(PLUGIN_CC)
else
$(error PLUGIN_ARCH=$(PLUGIN_ARCH) cannot be built here: use PLUGIN_ARCH=$(HOST_ARCH), or PLUGIN_ARCH=arm64 on x64)
endif

shim: ## build/shim/librunai.so
	@echo "Building the shim"
	@$(NEED) gcc make
	$(if $(CROSS),@$(NEED) clang arm64)
	@$(MAKE) -s -C shim BUILD=$(OUT) $(CROSS) all

sim: ## the simulated GPU: build/sim
	@$(NEED) gcc make libjansson-dev
	@echo "Building the simulated GPU"
	@$(MAKE) -s -C tests/sim BUILD=$(BUILD) all

shim-tests: shim sim ## programs that test the shim: build/shim-tests
	@$(NEED) musl-tools libjemalloc2 libtcmalloc-minimal4
	@$(MAKE) -s -C tests/shim BUILD=$(BUILD) all

# Published again where what it is made of has changed. The stamp names the way, so that the other way's publish is
# not taken for it.
ifeq ($(AOT),0)
PUBLISH_AS := --self-contained -p:PublishTrimmed=true -p:PublishReadyToRun=true -p:TieredCompilation=false \
    -p:DebugType=none
ONE_FILE := -p:PublishSingleFile=true
else
PUBLISH_AS := -p:PublishAot=true -p:OptimizationPreference=Size -p:NativeSymbolExt=.debug $(LINK)
endif
PUBLISHED := $(OUT)/.published-$(CONFIGURATION)-aot$(AOT)
$(PUBLISHED): $(shell find $(CURDIR)/plugin \( -name bin -o -name obj -o -name rootfs.sh \) -prune -o -print) \
    $(wildcard Directory.*.props global.json)
	@$(NEED) dotnet
	@rm -rf $(OUT)/publish $(OUT)/.published-*
	@echo "publishing the plugin for $(PLUGIN_ARCH): 1 to 3 minutes"
	@dotnet publish plugin -c $(CONFIGURATION) -r linux-$(PLUGIN_ARCH) $(PUBLISH_AS) \
	    -p:PublishDocumentationFiles=false -o $(OUT)/publish -v quiet --nologo
	@touch $@

# No base image: the published program, and of the C library just the files that it needs.
rootfs: shim $(PUBLISHED) ## the managed plugin without an engine: build/plugin (PLUGIN_ARCH=arm64, AOT=0)
	@rm -rf $(OUT)/plugin
	@CC=$(PLUGIN_CC) plugin/rootfs.sh $(OUT)/publish $(OUT)/shim $(OUT)/plugin/rootfs
	@sed 's/@VERSION@/$(VERSION)/' config.json >$(OUT)/plugin/config.json
	@du -sh $(OUT)/plugin/rootfs | sed 's/\t.*/ in the rootfs/'

# One program, linked against the C library of this machine: built on Debian 12, it needs glibc 2.34 or later.
WRAPPED := $(OUT)/.wrapped-$(CONFIGURATION)-aot$(AOT)
$(WRAPPED): $(shell find $(CURDIR)/cli \( -name bin -o -name obj -o -name get.sh \) -prune -o -print) \
    $(wildcard Directory.*.props global.json)
	@$(NEED) dotnet gcc
	@rm -rf $(OUT)/cli $(OUT)/.wrapped-*
	@echo "publishing runai-docker for $(PLUGIN_ARCH): a minute or two"
	@dotnet publish cli -c $(CONFIGURATION) -r linux-$(PLUGIN_ARCH) $(PUBLISH_AS) $(ONE_FILE) \
	    -p:PublishDocumentationFiles=false -o $(OUT)/cli -v quiet --nologo
	@touch $@

cli: $(WRAPPED) ## the wrapper: build/cli/runai-docker

install: cli ## install the wrapper and `docker runai`: as root for all users, otherwise for you (cli/get.sh --help)
	@cli/get.sh

bench: all shim-tests ## measure against the figures of docs/measurements
	@bench/run.sh

fmt: ## format C and C#
	@$(NEED) clang-format dotnet
	@$(MAKE) -s -C shim fmt
	@$(MAKE) -s -C tests/sim fmt
	@$(MAKE) -s -C tests/shim fmt
	@$(MAKE) -s -C bench/shim fmt
	@dotnet tool restore >/dev/null
	@dotnet csharpier format --no-msbuild-check .
	@tools/tidy dotnet format style RunaiPlugin.sln

check: ## formatting and static checks
	@$(NEED) clang-format dotnet shellcheck
	@tools/check-width
	@tools/check-names
	@git ls-files '*.sh' '*.bash' .ci tools | xargs shellcheck
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
	@dotnet tool restore >/dev/null
	@dotnet csharpier check --no-msbuild-check .
	@tools/tidy dotnet format style RunaiPlugin.sln --verify-no-changes
	@tools/tidy dotnet format analyzers RunaiPlugin.sln --verify-no-changes
	@tools/tidy dotnet test tests/plugin -c $(CONFIGURATION) --nologo -v quiet --logger "console;verbosity=minimal" \
	    --filter TestCategory=Check

clean: ## remove what was built
	@rm -rf $(BUILD)
	@find . -type d \( -name bin -o -name obj \) -path '*/[a-z]*' -not -path './.git/*' -prune -exec rm -rf {} +
