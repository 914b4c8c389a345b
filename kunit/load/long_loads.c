// SPDX-License-Identifier: GPL-2.0
/*
 * long_loads.c - loads that would show a lock held for as long as something is large: see load.h.
 *
 *   huge_object   an object of all the pages is filled, and flushed as one
 *   huge_range    the same, flushed as a range of indices
 *   scattered     as many objects of one page, far apart, flushed one by one
 *   huge_pool     a pool of all the pages is filled, and destroyed
 *   shrink        the same, and all that can be evicted is asked back at once
 *   budget        the same, and the budget shrinks to the least there is
 *   full          puts into a budget that is full: each evicts
 *   holes         every second page is flushed, and others put: runs are packed
 *
 * Each leaves nothing, so that its repetition is the same.
 */
#include <linux/kernel.h>
#include <linux/sched.h>

#include "load.h"

static const struct tmem_oid one_object = { { 7, 7, 7 } };

static void fill(struct load_thread *thread, const struct tmem_oid *oid)
{
	u64 index;

	for (index = 0; index < thread->run->pages; index++) {
		load_put(thread, oid, index);
		if (!(index & 63))
			cond_resched();
	}
}

static void huge_object_step(struct load_thread *thread)
{
	fill(thread, &one_object);
	load_flush_object(thread, &one_object);
}

static void huge_range_step(struct load_thread *thread)
{
	struct load_run *run = thread->run;

	fill(thread, &one_object);
	tmem_flush_range(run->client, run->pool, &one_object, 0, run->pages - 1);
	thread->counts.flushes++;
}

static struct tmem_oid scattered_object(u64 number)
{
	return (struct tmem_oid){ { number * 0x9e3779b97f4a7c15, number, 2 } };
}

static void scattered_step(struct load_thread *thread)
{
	u64 number;

	for (number = 0; number < thread->run->pages; number++) {
		const struct tmem_oid oid = scattered_object(number);

		load_put(thread, &oid, number << 32);
		if (!(number & 63))
			cond_resched();
	}
	for (number = 0; number < thread->run->pages; number++) {
		const struct tmem_oid oid = scattered_object(number);

		load_flush_object(thread, &oid);
		if (!(number & 63))
			cond_resched();
	}
}

static void huge_pool_step(struct load_thread *thread)
{
	struct load_run *run = thread->run;
	const int filled = run->pool;
	const int next = tmem_new_pool(run->client, 0, NULL);

	if (next < 0) {
		thread->counts.mismatches++;
		return;
	}
	fill(thread, &one_object);
	run->pool = next;
	tmem_destroy_pool(run->client, filled);
}

static void shrink_step(struct load_thread *thread)
{
	fill(thread, &one_object);
	tmem_shrink(thread->run->host, ~0ULL >> 1);
}

static void budget_step(struct load_thread *thread)
{
	const unsigned long long percent = tmem_tunable_get(thread->run->host,
							    TMEM_TUNABLE_MAX_POOL_PERCENT);

	fill(thread, &one_object);
	tmem_tunable_set(thread->run->host, TMEM_TUNABLE_MAX_POOL_PERCENT, 1);
	tmem_tunable_set(thread->run->host, TMEM_TUNABLE_MAX_POOL_PERCENT, percent);
	load_flush_object(thread, &one_object);
}

static void full_step(struct load_thread *thread)
{
	const unsigned long long percent = tmem_tunable_get(thread->run->host,
							    TMEM_TUNABLE_MAX_POOL_PERCENT);

	tmem_tunable_set(thread->run->host, TMEM_TUNABLE_MAX_POOL_PERCENT, 1);
	fill(thread, &one_object);
	tmem_tunable_set(thread->run->host, TMEM_TUNABLE_MAX_POOL_PERCENT, percent);
	load_flush_object(thread, &one_object);
}

static void holes_step(struct load_thread *thread)
{
	u64 index;

	fill(thread, &one_object);
	for (index = 0; index < thread->run->pages; index += 2) {
		load_flush(thread, &one_object, index);
		if (!(index & 63))
			cond_resched();
	}
	/* Contents go round by index: these are not the sizes of those that went. */
	for (index = 0; index < thread->run->pages; index += 2) {
		load_put(thread, &one_object, thread->run->pages + index + 1);
		if (!(index & 63))
			cond_resched();
	}
	load_flush_object(thread, &one_object);
}

const struct load long_loads[] = {
	{ .name = "huge_object", .step = huge_object_step },
	{ .name = "huge_range", .step = huge_range_step },
	{ .name = "scattered", .step = scattered_step },
	{ .name = "huge_pool", .step = huge_pool_step },
	{ .name = "shrink", .step = shrink_step },
	{ .name = "budget", .step = budget_step },
	{ .name = "full", .step = full_step },
	{ .name = "holes", .step = holes_step },
	{ }
};
