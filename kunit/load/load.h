/* SPDX-License-Identifier: GPL-2.0 */
/*
 * load.h - loads to measure under, through the ABI: tmem_load.ko.
 *
 * A load is a name, a pool and a step, which threads repeat. The module makes
 * an engine of its own with the kernel's memory, locks and codec and the
 * compressed store, and waits; what is written to
 * /sys/kernel/debug/tmem_load/run is how often each thread takes the step, and
 * the write returns when all have. So whoever measures can begin right before
 * and end right after. tmem_load/result then says what was done in that time:
 * "name value" lines. What is written to tmem_load/hold is how often a lock is
 * held for hold_ns of doing nothing, so that what the machine itself does to
 * such times can be seen by itself.
 *
 *   load_main.c      the module: engine, threads, files
 *   shared_loads.c   for many threads: they meet in one file, one swap device, many files
 *   long_loads.c     for one thread: what might take as long as something is large
 *
 * Every page that comes back is checked: its first word tells its handle.
 */
#ifndef TMEM_LOAD_H
#define TMEM_LOAD_H

#include <linux/types.h>

#include "core/abi.h"

#define LOAD_COUNTS(X)		\
	X(puts)			\
	X(puts_stored)		\
	X(gets)			\
	X(gets_hit)		\
	X(flushes)		\
	X(object_flushes)	\
	X(mismatches)

struct load_counts {
#define LOAD_DECLARE_COUNT(name) u64 name;
	LOAD_COUNTS(LOAD_DECLARE_COUNT)
};

struct load_run {
	struct tmem_host *host;
	struct tmem_client *client;
	int pool;
	unsigned int pages;	/* how many different handles there are */
};

#define LOAD_CONTENTS 8

struct load_thread {
	struct load_run *run;
	u64 random;
	u64 (*contents)[TMEM_PAGE_BYTES / sizeof(u64)];	/* LOAD_CONTENTS pages that compress in different degrees */
	u64 *page;					/* to get into */
	struct load_counts counts;
};

struct load {
	const char *name;
	unsigned int pool_flags;
	void (*step)(struct load_thread *thread);
};

/* load_main.c */
u64 load_random(struct load_thread *thread);
int load_put(struct load_thread *thread, const struct tmem_oid *oid, u64 index);
int load_get(struct load_thread *thread, const struct tmem_oid *oid, u64 index);
void load_flush(struct load_thread *thread, const struct tmem_oid *oid, u64 index);
void load_flush_object(struct load_thread *thread, const struct tmem_oid *oid);

/* Each ends with a load without a name. */
extern const struct load shared_loads[];
extern const struct load long_loads[];

#endif /* TMEM_LOAD_H */
