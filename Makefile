# SPDX-License-Identifier: GPL-2.0
#
# Front door: builds the module against a kernel (KDIR=), and runs what is in scripts/.
# The module's own build rules are in Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build

top := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
kbuild = +$(MAKE) -C $(KDIR) M=$(top)

all: modules

# What the module redirects must have the prototypes that it was written for; some kernels have no modversions to say so.
# And nobody may call it in another way: a compiler can put a function's body into one of its callers.
# A family of functions that is otherwise is left out of the module, which says so when it is loaded.
is-running := $(filter /lib/modules/$(shell uname -r)/%,$(KDIR))
BTF ?= $(if $(is-running),$(wildcard /sys/kernel/btf/vmlinux))
IMAGE ?= $(if $(is-running),$(firstword $(wildcard /boot/vmlinuz-$(shell uname -r) /lib/modules/$(shell uname -r)/vmlinuz)))
comma := ,
empty :=
others = $(if $(BTF),$(shell $(top)/scripts/check-btf --others "$(BTF)")) $(if $(IMAGE),$(shell $(top)/scripts/check-callers --others "$(IMAGE)"))
TMEM_OTHER_FUNCTIONS ?= $(subst $(empty) $(empty),$(comma),$(strip $(others)))

modules: | kernel-headers
	@test -z "$(BTF)" || $(top)/scripts/check-btf "$(BTF)" | sed -n 's/^refused/make: the module will do without/p' >&2
	@test -z "$(IMAGE)" || $(top)/scripts/check-callers "$(IMAGE)" | sed -n 's/^refused/make: the module will do without/p' >&2
	$(kbuild) modules TMEM_OTHER_FUNCTIONS="$(TMEM_OTHER_FUNCTIONS)"

install: modules_install

modules_install: modules
	$(kbuild) modules_install

clean: | kernel-headers
	$(kbuild) clean

kernel-headers:
	@test -f $(KDIR)/Makefile || { \
		echo "make: no kernel to build for at $(KDIR): apt-get install linux-headers-$$(uname -r), or give KDIR=" >&2; \
		exit 1; }

demo check check-long check-hooks shell stress check-mutations bench replay:
	@test -x $(top)/scripts/$@ || { echo "make: there is no scripts/$@ yet" >&2; exit 1; }
	@KERNEL="$(KERNEL)" $(top)/scripts/$@ $(ARGS)

help:
	@echo 'make            build tmem.ko for KDIR (default: the running kernel)'
	@echo 'make install    install it there; then: depmod, modprobe tmem'
	@echo 'make clean      remove what was built'
	@echo 'make demo       boot a virtual machine and show the same work with and without tmem'
	@echo 'make check      build, and run every test but those of the next four lines (ARGS="host": a part)'
	@echo 'make check-long the testers on every stock kernel, for hours (ARGS="--seconds 60" for less)'
	@echo 'make check-hooks  leave out each hook and rule of the page cache family; a test must notice'
	@echo 'make check-mutations  break the core on purpose, clause by clause; a test must notice'
	@echo 'make stress     five minutes of mixed load on the debug kernel, every byte verified'
	@echo 'make bench      measure every number that is to be reached, in about an hour; one table (ARGS="host": a part)'
	@echo 'make replay     build the program that replays operation traces; prints its path last (only it: make -s replay)'
	@echo 'make shell      boot a virtual machine with the module loaded, for looking around'
	@echo
	@echo 'KERNEL=5.10|6.1|6.12|7.3   the kernel of the demo (default 6.1, that of Debian 12)'
	@echo 'KDIR=DIR        build directory or headers of the kernel to build for'
	@echo 'TMEM_DEBUG=1    build with faults on demand (debugfs: corrupt_next)'
	@echo 'TMEM_LOCK_STATS=1  build with times of locks (debugfs: locks)'
	@echo 'C=1             run sparse over glue/ (the C++ core is skipped)'
	@echo 'ARGS="..."      arguments for the script behind demo, check and shell (try ARGS=--help)'

.PHONY: all modules install modules_install clean kernel-headers demo check check-long check-hooks shell stress check-mutations bench replay help
