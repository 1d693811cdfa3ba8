# The index of commands. Logic lives in the scripts and programs these lines name.

SHELL := /bin/sh
PREFIX ?= /usr
DESTDIR ?=
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
# Binaries from elsewhere: `make install BIN_DIR=DIR` installs those and builds nothing.
BIN_DIR ?= $(TARGET_DIR)/release
INSTALL ?= install
# What ships, and what serves it in guests and measurements. In one command, so that its dependencies have the
# features of the shipped build and are compiled once.
SHIPPED := cargo build --release --locked -p onloadd -p onloadctl -p onload-tests \
  --bin onloadd --bin onloadctl --bin guest-agent --bin sfptpd

sbindir := $(PREFIX)/sbin
bindir := $(PREFIX)/bin
unitdir := $(PREFIX)/lib/systemd/system
presetdir := $(PREFIX)/lib/systemd/system-preset
udevdir := $(PREFIX)/lib/udev/rules.d
sysusersdir := $(PREFIX)/lib/sysusers.d
tmpfilesdir := $(PREFIX)/lib/tmpfiles.d
dbusdir := $(PREFIX)/share/dbus-1
polkitdir := $(PREFIX)/share/polkit-1/actions
bashdir := $(PREFIX)/share/bash-completion/completions
zshdir := $(PREFIX)/share/zsh/site-functions
fishdir := $(PREFIX)/share/fish/vendor_completions.d
docdir := $(PREFIX)/share/doc/onloadd
licensedir := $(PREFIX)/share/licenses/onloadd
mandir := $(PREFIX)/share/man
# For whoever runs Prometheus and Grafana: nothing on the node reads them.
prometheusdir := $(PREFIX)/share/onloadd/prometheus
# Where the daemon looks, whatever the prefix.
confdir := /usr/lib/onloadd

.DEFAULT_GOAL := help
.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# There are no examples: named, dependencies have the features that tests need, and are compiled once.
.PHONY: demo
demo: setup ## the whole product on a simulated node, with a transcript
	cargo build --workspace --bins --examples --locked
	$(TARGET_DIR)/debug/demo

.PHONY: test
test: setup ## every test level, with counts
	tests/run.sh

.PHONY: test-fast
test-fast: ## decisions and random schedules only
	tests/run.sh 0 1

.PHONY: test-kernel
test-kernel: setup ## the installed project in an emulated machine
	tests/run.sh 5

.PHONY: bench
bench: setup ## measure memory, start and latency
	$(SHIPPED) --bin bench
	$(TARGET_DIR)/release/bench

.PHONY: bench-check
bench-check: setup ## measure and fail on a missed budget; BENCH="memory exposure" for some
	$(SHIPPED) --bin bench
	$(TARGET_DIR)/release/bench --check $(BENCH)

.PHONY: check
check: setup ## formatting and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: fmt
fmt: ## format the sources
	cargo fmt --all

.PHONY: release
release: # a no-op when nothing changed; without cargo (under sudo, say) what was built before is installed
ifneq ($(filter command line environment,$(origin BIN_DIR)),)
	@test -x $(BIN_DIR)/onloadd && test -x $(BIN_DIR)/onloadctl || { \
	  echo "error: no onloadd and onloadctl in BIN_DIR=$(BIN_DIR)" >&2; exit 1; }
else
	@if command -v cargo >/dev/null; then cargo build --release --locked -p onloadd -p onloadctl; \
	elif test -x $(BIN_DIR)/onloadd && test -x $(BIN_DIR)/onloadctl; then \
	  echo "no cargo here: installing the binaries already in $(BIN_DIR)"; \
	else echo "error: nothing to install: build first with 'cargo build --release --locked'" >&2; exit 1; fi
endif

.PHONY: completions
completions: release ## write shell completions to target/completions
	mkdir -p $(TARGET_DIR)/completions
	$(BIN_DIR)/onloadctl completion bash > $(TARGET_DIR)/completions/onloadctl
	$(BIN_DIR)/onloadctl completion zsh > $(TARGET_DIR)/completions/_onloadctl
	$(BIN_DIR)/onloadctl completion fish > $(TARGET_DIR)/completions/onloadctl.fish

.PHONY: install
install: release ## install below DESTDIR, prefix PREFIX (/usr)
	$(INSTALL) -D -m 0755 $(BIN_DIR)/onloadd $(DESTDIR)$(sbindir)/onloadd
	$(INSTALL) -D -m 0755 $(BIN_DIR)/onloadctl $(DESTDIR)$(bindir)/onloadctl
	$(INSTALL) -d $(DESTDIR)$(unitdir)
	for unit in onloadd onloadd-boot onloadd-nfd; do \
	  sed 's|^ExecStart=/usr/sbin/|ExecStart=$(sbindir)/|; s|^ExecStart=/usr/bin/|ExecStart=$(bindir)/|' units/$$unit.service > $(DESTDIR)$(unitdir)/$$unit.service && \
	  chmod 0644 $(DESTDIR)$(unitdir)/$$unit.service || exit 1; done
	$(INSTALL) -m 0644 units/onloadd-sfptpd.service $(DESTDIR)$(unitdir)/onloadd-sfptpd.service
	$(INSTALL) -D -m 0644 units/90-onloadd.preset $(DESTDIR)$(presetdir)/90-onloadd.preset
	$(INSTALL) -D -m 0644 units/onloadd.sysusers.conf $(DESTDIR)$(sysusersdir)/onloadd.conf
	$(INSTALL) -D -m 0644 units/onloadd.tmpfiles.conf $(DESTDIR)$(tmpfilesdir)/onloadd.conf
	$(INSTALL) -D -m 0644 udev-rules/60-onloadd.rules $(DESTDIR)$(udevdir)/60-onloadd.rules
	$(INSTALL) -D -m 0644 dbus/policy/com.amd.Onload1.conf $(DESTDIR)$(dbusdir)/system.d/com.amd.Onload1.conf
	$(INSTALL) -D -m 0644 dbus/services/com.amd.Onload1.service $(DESTDIR)$(dbusdir)/system-services/com.amd.Onload1.service
	$(INSTALL) -D -m 0644 dbus/com.amd.Onload1.xml $(DESTDIR)$(dbusdir)/interfaces/com.amd.Onload1.xml
	$(INSTALL) -D -m 0644 dbus/policy/com.amd.onload1.policy $(DESTDIR)$(polkitdir)/com.amd.onload1.policy
	$(INSTALL) -D -m 0644 packaging/config/onloadd.toml $(DESTDIR)$(confdir)/onloadd.toml
	$(INSTALL) -D -m 0644 packaging/config/sfptpd.cfg $(DESTDIR)$(confdir)/sfptpd.cfg
	$(INSTALL) -d $(DESTDIR)$(bashdir) $(DESTDIR)$(zshdir) $(DESTDIR)$(fishdir)
	$(BIN_DIR)/onloadctl completion bash > $(DESTDIR)$(bashdir)/onloadctl
	$(BIN_DIR)/onloadctl completion zsh > $(DESTDIR)$(zshdir)/_onloadctl
	$(BIN_DIR)/onloadctl completion fish > $(DESTDIR)$(fishdir)/onloadctl.fish
	chmod 0644 $(DESTDIR)$(bashdir)/onloadctl $(DESTDIR)$(zshdir)/_onloadctl $(DESTDIR)$(fishdir)/onloadctl.fish
	$(INSTALL) -d $(DESTDIR)$(mandir)/man1
	$(BIN_DIR)/onloadctl man $(DESTDIR)$(mandir)/man1
	find $(DESTDIR)$(mandir)/man1 -name 'onloadctl*.1' -exec chmod 0644 {} +
	for page in $(wildcard packaging/man/*.[58]); do \
	  $(INSTALL) -D -m 0644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/} || exit 1; done
	$(INSTALL) -D -m 0644 README.md $(DESTDIR)$(docdir)/README.md
	$(INSTALL) -D -m 0644 packaging/config/sfptpd.cfg $(DESTDIR)$(docdir)/sfptpd.cfg
	$(INSTALL) -D -m 0644 packaging/prometheus/onloadd.rules.yml $(DESTDIR)$(prometheusdir)/onloadd.rules.yml
	$(INSTALL) -D -m 0644 packaging/prometheus/onloadd-dashboard.json $(DESTDIR)$(prometheusdir)/onloadd-dashboard.json
	$(INSTALL) -d $(DESTDIR)$(licensedir)
	$(INSTALL) -m 0644 LICENSE LICENSE-MIT LICENSE-APACHE $(DESTDIR)$(licensedir)

.PHONY: rpm
rpm: ## build packages below target/rpm; of BIN_DIR=DIR, with RPM_RELEASE=N
	packaging/rpm/build.sh $(TARGET_DIR) $(if $(filter command line environment,$(origin BIN_DIR)),$(BIN_DIR))

.PHONY: setup
setup: ## install what building and testing need
	@tests/setup.sh

.PHONY: clean
clean: ## remove everything built
	cargo clean
