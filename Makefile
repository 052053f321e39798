# GPU memory as a Docker resource. `make` alone lists what there is.
BUILD := $(CURDIR)/build
PLUGIN ?= runai/gpu-memory
VERSION := $(shell sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' Directory.Build.props)
CONFIGURATION ?= Release
DOCKER ?= docker
NEED := tools/need
# What starts engines needs root, and says so before it builds anything.
ROOT = @[ "$$(id -u)" = 0 ] || { echo "make $@ starts Docker engines of its own: run it as root" >&2; exit 1; }

export DOTNET_CLI_TELEMETRY_OPTOUT := 1
export DOTNET_NOLOGO := 1

.PHONY: help all demo test test-long boots fuzz plugin rootfs enable disable push shim sim shim-tests races bench \
    fmt check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  ENGINE=system makes demo use the running engine; PLUGIN=name names the plugin (now $(PLUGIN))"

all: shim sim rootfs ## build everything: plugin, shim, simulated GPU

demo: ## the main job, on a private engine, with a simulated GPU where there is no real one
	$(ROOT)
	@$(NEED) docker iproute2
	@$(MAKE) -s all
	@tests/engine/demo.sh

fuzz: ## 10,000 new create bodies against real engines (RUNAI_FUZZ_BODIES, RUNAI_FUZZ_SEED); `make test` repeats 300
	$(ROOT)
	@$(NEED) docker iproute2
	@$(MAKE) -s all
	RUNAI_FUZZ_SEED=$${RUNAI_FUZZ_SEED:-$$(date +%s)} RUNAI_FUZZ_BODIES=$${RUNAI_FUZZ_BODIES:-10000} \
	    dotnet test tests/engine -c $(CONFIGURATION) --filter FullyQualifiedName~OracleTests \
	    --logger "console;verbosity=normal"

boots: ## no container starts where the engine does not ask the plugin, none is lost at a boot: 600 tries, 360 boots
	$(ROOT)
	@$(NEED) docker iproute2
	@$(MAKE) -s all
	@tests/engine/boots.sh

test-long: ## what only shows after minutes, or after thousands of calls, on real engines
	$(ROOT)
	@$(NEED) docker iproute2
	@$(MAKE) -s all
	dotnet test tests/engine -c $(CONFIGURATION) --filter TestCategory=Long --logger "console;verbosity=normal"

test: ## every test that needs no GPU: unit, shim, simulated GPU, real engines
	$(ROOT)
	@echo "This takes about half an hour on 2 cores and 4 GiB of disk."
	@$(NEED) docker iproute2 clang-format clang musl-tools arm64 python3 libncursesw6
	@tests/run.sh

races: shim-tests ## every race test of the shim 500 times, plain and under the sanitizers (an hour; TIMES=n for fewer)
	@tests/shim/races.sh $(BUILD) $(or $(TIMES),500)

plugin: rootfs ## build the managed plugin and create it in the running engine
	@$(NEED) docker
	@! $(DOCKER) plugin inspect $(PLUGIN) >/dev/null 2>&1 || $(DOCKER) plugin rm $(PLUGIN)
	$(DOCKER) plugin create $(PLUGIN) $(BUILD)/plugin

enable: ## enable the plugin in the running engine
	$(DOCKER) plugin enable $(PLUGIN)
	@$(DOCKER) create --pull never --label gpu-memory=0 no-such-image 2>&1 | grep -q 'denied by plugin' || \
	    printf '%s\n' 'No container with a volume of the plugin starts until {"authorization-plugins": ["$(PLUGIN)"]}' \
	        'is in /etc/docker/daemon.json and the engine has read it.' \
	        'A wrong name there ends the engine: docs/operate.md, "Install"'

disable: ## disable the plugin (take it out of daemon.json first: an engine that reads a disabled name ends)
	$(DOCKER) plugin disable $(PLUGIN)

push: ## push the plugin to the registry that its name says (PLUGIN=registry/name:tag)
	$(DOCKER) plugin push $(PLUGIN)

shim: ## build/shim/librunai.so
	@$(NEED) gcc make
	@$(MAKE) -s -C shim BUILD=$(BUILD) all

sim: ## the simulated GPU: build/sim
	@$(NEED) gcc make libjansson-dev
	@$(MAKE) -s -C tests/sim BUILD=$(BUILD) all

shim-tests: shim sim ## programs that test the shim: build/shim-tests
	@$(NEED) musl-tools libjemalloc2 libtcmalloc-minimal4
	@$(MAKE) -s -C tests/shim BUILD=$(BUILD) all

# No base image: the trimmed, self-contained publish, and of the C library just the files that it links to.
rootfs: shim ## the managed plugin without an engine: build/plugin
	@$(NEED) dotnet
	@rm -rf $(BUILD)/plugin $(BUILD)/publish
	@dotnet publish plugin -c $(CONFIGURATION) -r linux-x64 --self-contained -p:PublishTrimmed=true \
	    -p:PublishReadyToRun=true -p:DebugType=none -o $(BUILD)/publish -v quiet --nologo
	@plugin/rootfs.sh $(BUILD)/publish $(BUILD)/shim $(BUILD)/plugin/rootfs
	@sed 's/@VERSION@/$(VERSION)/' config.json >$(BUILD)/plugin/config.json
	@du -sh $(BUILD)/plugin/rootfs | sed 's/\t.*/ in the rootfs/'

bench: all shim-tests ## measure against the figures of docs/measurements.md
	@bench/run.sh

fmt: ## format C and C#
	@$(NEED) clang-format dotnet
	@$(MAKE) -s -C shim fmt
	@$(MAKE) -s -C tests/sim fmt
	@$(MAKE) -s -C tests/shim fmt
	@$(MAKE) -s -C bench/shim fmt
	@dotnet format RunaiPlugin.sln

check: ## formatting and static checks
	@$(NEED) clang-format dotnet shellcheck
	@tools/check-width
	@git ls-files '*.sh' '*.bash' .ci cli/runai-docker tools | xargs shellcheck
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
	@dotnet format RunaiPlugin.sln --verify-no-changes

clean: ## remove what was built
	@rm -rf $(BUILD)
	@find . -type d \( -name bin -o -name obj \) -path '*/[a-z]*' -not -path './.git/*' -prune -exec rm -rf {} +
