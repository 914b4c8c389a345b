// SPDX-License-Identifier: GPL-2.0
/*
 * shared_loads.c - loads in which threads meet: see load.h.
 *
 *   file    one object of an ephemeral pool: each thread reads pages of it at
 *           random, and puts those that it did not find
 *   swap    one swap device as glue/swap_area.c translates it, 256 slots an
 *           object: puts, gets and flushes of slots at random
 *   small   files of four pages: each thread reads one at random, puts what it
 *           did not find, and now and then a file is deleted
 *   race    nothing of tmem: a plain counter, on purpose without a lock, to see
 *           that KCSAN sees it
 */
#include <linux/compiler.h>

#include "load.h"

static void file_step(struct load_thread *thread)
{
	static const struct tmem_oid oid = { { 42, 0, 0 } };
	const u64 index = load_random(thread) % thread->run->pages;

	if (load_get(thread, &oid, index) == TMEM_NOT_FOUND)
		load_put(thread, &oid, index);
}

#define SLOTS_PER_OBJECT 256

static void swap_step(struct load_thread *thread)
{
	const u64 random = load_random(thread);
	const u64 slot = (random >> 8) % thread->run->pages;
	const struct tmem_oid oid = { { slot / SLOTS_PER_OBJECT, 0, 0 } };
	const u64 index = slot % SLOTS_PER_OBJECT;

	switch (random & 7) {
	case 0 ... 2:
		load_put(thread, &oid, index);
		break;
	case 3 ... 5:
		load_get(thread, &oid, index);
		break;
	default:
		load_flush(thread, &oid, index);
		break;
	}
}

#define PAGES_PER_FILE 4

static void small_step(struct load_thread *thread)
{
	const u64 random = load_random(thread);
	const u64 file = (random >> 8) % (thread->run->pages / PAGES_PER_FILE + 1);
	const struct tmem_oid oid = { { file * 0x9e3779b97f4a7c15, file, 1 } };
	u64 index;

	if (!(random & 15)) {
		load_flush_object(thread, &oid);
		return;
	}
	for (index = 0; index < PAGES_PER_FILE; index++)
		if (load_get(thread, &oid, index) == TMEM_NOT_FOUND)
			load_put(thread, &oid, index);
}

static u64 counted_by_all;

static noinline void race_step(struct load_thread *thread)
{
	counted_by_all++;
}

const struct load shared_loads[] = {
	{ .name = "file", .step = file_step },
	{ .name = "swap", .pool_flags = TMEM_POOL_PERSISTENT, .step = swap_step },
	{ .name = "small", .step = small_step },
	{ .name = "race", .step = race_step },
	{ }
};
