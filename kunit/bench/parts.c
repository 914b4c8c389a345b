// SPDX-License-Identifier: GPL-2.0
/*
 * parts.c - what a put and a get of ours are made of.
 *
 * An engine of its own with host ops that read the processor's time stamp
 * around each call. Reading it costs some 10 ns, which is measured and taken
 * off, so the sums are right to a few ns a call; what a put or get costs in
 * all is taken from the undisturbed engine, and the rest is the core's own.
 *
 * The time stamp runs on while the host runs others. A call that takes as long
 * as no call does by itself was interrupted by that, and counts as the mean of
 * the others.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "../../glue/glue.h"
#include "bench.h"

#define PARTS_ROUNDS 5
#define LOOPS 2000
#define BATCHES 50
#define INTERRUPTED_NS 60000

enum part {
	PART_COMPRESS, PART_DECOMPRESS, PART_CHECKSUM, PART_CODEC_BEGIN, PART_CODEC_END, PART_OBJECT_ALLOC,
	PART_OBJECT_FREE, PART_FRAME_ALLOC, PART_FRAME_FREE, PARTS,
};

static const char *const part_names[PARTS] = {
	"compress", "decompress", "checksum", "codec_begin", "codec_end", "object_alloc",
	"object_free", "frame_alloc", "frame_free",
};

static const struct tmem_host_ops *base;
/* Of all calls, and of those that nobody interrupted. */
static u64 calls[PARTS], whole[PARTS], ticks[PARTS];
/* Time stamps in a ms, those in INTERRUPTED_NS, and what LOOPS empty parts would be taken for. */
static u64 ticks_per_ms, ticks_interrupted, ticks_of_nothing;

static u64 now(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return ktime_get_ns();
#endif
}

static void account(enum part part, u64 since)
{
	u64 spent = now() - since;

	calls[part]++;
	if (spent < ticks_interrupted) {
		ticks[part] += spent;
		whole[part]++;
	}
}

static void *timed_object_alloc(unsigned int kind, unsigned int flags)
{
	u64 since = now();
	void *object = base->object_alloc(kind, flags);

	account(PART_OBJECT_ALLOC, since);
	return object;
}

static void timed_object_free(unsigned int kind, void *object)
{
	u64 since = now();

	base->object_free(kind, object);
	account(PART_OBJECT_FREE, since);
}

static void *timed_frame_alloc(unsigned int flags)
{
	u64 since = now();
	void *frame = base->frame_alloc(flags);

	account(PART_FRAME_ALLOC, since);
	return frame;
}

static void timed_frame_free(void *frame)
{
	u64 since = now();

	base->frame_free(frame);
	account(PART_FRAME_FREE, since);
}

static struct tmem_codec_buffers timed_codec_begin(void)
{
	u64 since = now();
	struct tmem_codec_buffers buffers = base->codec_begin();

	account(PART_CODEC_BEGIN, since);
	return buffers;
}

static void timed_codec_end(void)
{
	u64 since = now();

	base->codec_end();
	account(PART_CODEC_END, since);
}

static int timed_compress(const void *page, void *output, unsigned long *output_bytes, void *workspace)
{
	u64 since = now();
	int result = base->compress(page, output, output_bytes, workspace);

	account(PART_COMPRESS, since);
	return result;
}

static int timed_decompress(const void *input, unsigned long input_bytes, void *page)
{
	u64 since = now();
	int result = base->decompress(input, input_bytes, page);

	account(PART_DECOMPRESS, since);
	return result;
}

static unsigned int timed_checksum(const void *data, unsigned long bytes)
{
	u64 since = now();
	unsigned int sum = base->checksum(data, bytes);

	account(PART_CHECKSUM, since);
	return sum;
}

static void clear(void)
{
	memset(calls, 0, sizeof(calls));
	memset(whole, 0, sizeof(whole));
	memset(ticks, 0, sizeof(ticks));
}

static void calibrate(void)
{
	u64 start_ns = ktime_get_ns(), start = now(), ns;
	unsigned int batch, i;

	do
		ns = ktime_get_ns() - start_ns;
	while (ns < 20 * NSEC_PER_MSEC);
	ticks_per_ms = (now() - start) * NSEC_PER_MSEC / ns;
	ticks_interrupted = ticks_per_ms * INTERRUPTED_NS / NSEC_PER_MSEC;
	ticks_of_nothing = ~0ULL;
	for (batch = 0; batch < BATCHES; batch++) {
		clear();
		for (i = 0; i < LOOPS; i++)
			account(PART_COMPRESS, now());
		if (whole[PART_COMPRESS] == LOOPS)
			ticks_of_nothing = min(ticks_of_nothing, ticks[PART_COMPRESS]);
	}
}

static void print(const char *set, const char *operation, unsigned int pages, unsigned int round)
{
	enum part part;

	for (part = 0; part < PARTS; part++) {
		u64 nothing = ticks_of_nothing * whole[part] / LOOPS;
		u64 real = ticks[part] > nothing ? ticks[part] - nothing : 0;

		if (whole[part])
			bench_print("part %s %s %s %u %u %llu %llu\n", set, operation, part_names[part], round, pages,
				    calls[part], real * calls[part] / whole[part] * NSEC_PER_MSEC / ticks_per_ms);
	}
}

static void run(struct bench_instance *instance, const struct bench_pages *pages,
		const struct bench_set *set, struct page *target, unsigned int round)
{
	static const struct tmem_oid oid = { { 1, 2, 3 } };
	unsigned int i;

	clear();
	for (i = 0; i < set->count; i++)
		tmem_put(instance->client, instance->pool, &oid, set->number[i],
			 page_address(pages->page[set->number[i]]));
	print(set->name, "put", set->count, round);
	clear();
	for (i = 0; i < set->count; i++)
		tmem_get(instance->client, instance->pool, &oid, set->number[i], page_address(target));
	print(set->name, "get", set->count, round);
	clear();
	for (i = 0; i < set->count; i++)
		tmem_flush_page(instance->client, instance->pool, &oid, set->number[i]);
	print(set->name, "drop", set->count, round);
}

/* What no host op shows: the lock, which the core links. The best of many batches. */
static void print_lock(void)
{
	struct tmem_lock lock;
	unsigned int batch, i;
	u64 best = ~0ULL;

	tmem_lock_init(&lock, TMEM_RANK_STORE);
	for (batch = 0; batch < BATCHES; batch++) {
		u64 start = ktime_get_ns();

		for (i = 0; i < LOOPS; i++)
			tmem_lock_release(&lock, tmem_lock_acquire(&lock));
		best = min(best, ktime_get_ns() - start);
	}
	bench_print("cost lock_and_unlock %u %llu\n", LOOPS, best);
	tmem_lock_destroy(&lock);
}

int bench_parts(const struct bench_pages *pages, const struct bench_set *sets, unsigned int count)
{
	struct page *target = alloc_page(GFP_KERNEL);
	struct bench_instance instance;
	struct tmem_host_ops ops;
	unsigned int i, round;
	int error;

	if (!target)
		return -ENOMEM;
	base = tmem_kernel_host_ops();
	ops = *base;
	ops.object_alloc = timed_object_alloc;
	ops.object_free = timed_object_free;
	ops.frame_alloc = timed_frame_alloc;
	ops.frame_free = timed_frame_free;
	ops.codec_begin = timed_codec_begin;
	ops.codec_end = timed_codec_end;
	ops.compress = timed_compress;
	ops.decompress = timed_decompress;
	ops.checksum = timed_checksum;
	error = bench_instance_start(&instance, &ops, TMEM_POOL_PERSISTENT);
	if (!error) {
		calibrate();
		print_lock();
		for (round = 0; round < PARTS_ROUNDS; round++)
			for (i = 0; i < count; i++) {
				run(&instance, pages, &sets[i], target, round);
				cond_resched();
			}
		bench_instance_stop(&instance);
	}
	__free_page(target);
	return error;
}
