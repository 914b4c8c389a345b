// SPDX-License-Identifier: GPL-2.0
/*
 * density.c - the memory that the same compressed pages take, ours and zsmalloc's.
 *
 * Both take all pages that are not same-filled, in the file's order; then the
 * same half of them goes, chosen at random; then both compact. A page's bytes
 * are what LZO makes of it, or 4096 if that is more (zsmalloc takes no larger
 * object). Beside the frames of the data stand the slab pages that were taken
 * meanwhile: descriptors, handles, index. zsmalloc by itself has no index, so
 * zswap's slab pages for the same pages are counted too.
 */
#define pr_fmt(fmt) "tmem_bench: " fmt

#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmstat.h>
#include <linux/zsmalloc.h>

#include "../../glue/glue.h"
#include "bench.h"

static const struct tmem_oid oid = { { 4, 5, 6 } };

struct density {
	const struct bench_pages *pages;
	unsigned int count;		/* pages that take part */
	unsigned int *number;		/* in the file's order */
	unsigned int *victim;		/* the same, shuffled: the first half goes */
	unsigned short *bytes;		/* by page number */
	unsigned long *handle;		/* zsmalloc's */
	struct zs_pool *zs_pool;
	struct bench_instance instance;
};

static unsigned long slab_pages(void)
{
	return global_node_page_state_pages(NR_SLAB_RECLAIMABLE_B) +
	       global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B);
}

/* ---- The two stores ------------------------------------------------------------ */

static int tmem_put_one(struct density *density, unsigned int number)
{
	return tmem_put(density->instance.client, density->instance.pool, &oid, number,
			page_address(density->pages->page[number]));
}

static int zs_put_one(struct density *density, unsigned int number)
{
	const struct tmem_host_ops *ops = tmem_kernel_host_ops();
	const void *page = page_address(density->pages->page[number]);
	const struct tmem_codec_buffers buffers = ops->codec_begin();
	unsigned long bytes = PAGE_SIZE;
	int error = ops->compress(page, buffers.output, &bytes, buffers.workspace);
	const bool raw = error || bytes > PAGE_SIZE;

	density->bytes[number] = raw ? PAGE_SIZE : bytes;
	density->handle[number] = zs_malloc(density->zs_pool, density->bytes[number],
					    __GFP_KSWAPD_RECLAIM | __GFP_NOWARN | __GFP_HIGHMEM | __GFP_MOVABLE);
	if (density->handle[number]) {
		memcpy(zs_map_object(density->zs_pool, density->handle[number], ZS_MM_WO),
		       raw ? page : buffers.output, density->bytes[number]);
		zs_unmap_object(density->zs_pool, density->handle[number]);
	}
	ops->codec_end();
	return density->handle[number] ? 0 : -ENOMEM;
}

/* ---- What is printed -------------------------------------------------------------- */

static void print_stage(struct density *density, const char *stage, unsigned int from, long tmem_slab, long zs_slab)
{
	struct tmem_host_stats stats;
	u64 bytes = 0;
	unsigned int i;

	for (i = from; i < density->count; i++)
		bytes += density->bytes[density->victim[i]];
	tmem_host_stats(density->instance.host, &stats);
	bench_print("density %s tmem %u %llu %llu %ld\n", stage, density->count - from, bytes, stats.usage.frames, tmem_slab);
	bench_print("density %s zsmalloc %u %llu %lu %ld\n", stage, density->count - from, bytes,
		    zs_get_total_pages(density->zs_pool), zs_slab);
	bench_print("metadata %s %llu %llu %llu %llu %llu %llu\n", stage, stats.usage.entries, stats.index_bytes,
		    stats.usage.metadata_bytes, stats.usage.directory_bytes, stats.usage.checksum_bytes, stats.table_bytes);
}

/* The slab pages of zswap with the same pages in it. */
static void print_zswap(struct density *density)
{
	long before = slab_pages();
	unsigned int i, stored = 0;

	for (i = 0; i < density->count; i++)
		stored += !bench_zswap.put(bench_zswap.context, density->number[i],
					   density->pages->page[density->number[i]]);
	bench_print("slab zswap %u %ld\n", stored, (long)slab_pages() - before);
	for (i = 0; i < density->count; i++)
		bench_zswap.drop(bench_zswap.context, density->number[i]);
}

/* ---- The run ------------------------------------------------------------------------ */

static int load(struct density *density, long *tmem_slab, long *zs_slab)
{
	long before = slab_pages();
	unsigned int i;
	int error = 0;

	for (i = 0; !error && i < density->count; i++)
		error = tmem_put_one(density, density->number[i]);
	*tmem_slab = (long)slab_pages() - before;
	cond_resched();
	before = slab_pages();
	for (i = 0; !error && i < density->count; i++)
		error = zs_put_one(density, density->number[i]);
	*zs_slab = (long)slab_pages() - before;
	return error;
}

static void free_half(struct density *density, long *tmem_slab, long *zs_slab)
{
	long before = slab_pages();
	unsigned int i;

	for (i = 0; i < density->count / 2; i++)
		tmem_flush_page(density->instance.client, density->instance.pool, &oid, density->victim[i]);
	*tmem_slab += (long)slab_pages() - before;
	before = slab_pages();
	for (i = 0; i < density->count / 2; i++) {
		zs_free(density->zs_pool, density->handle[density->victim[i]]);
		density->handle[density->victim[i]] = 0;
	}
	*zs_slab += (long)slab_pages() - before;
}

static void compact(struct density *density, long *tmem_slab, long *zs_slab)
{
	unsigned long long freed;
	long before = slab_pages();
	u64 start = ktime_get_ns();

	freed = tmem_compact(density->instance.host, ~0ULL);
	bench_print("compaction tmem %llu %llu\n", freed, ktime_get_ns() - start);
	*tmem_slab += (long)slab_pages() - before;
	before = slab_pages();
	start = ktime_get_ns();
	freed = zs_compact(density->zs_pool);
	bench_print("compaction zsmalloc %llu %llu\n", freed, ktime_get_ns() - start);
	*zs_slab += (long)slab_pages() - before;
}

/* What is left must still be what it was, wherever it has been moved to. */
static int check_rest(struct density *density)
{
	struct page *target = alloc_page(GFP_KERNEL);
	unsigned int i, number, wrong = 0;

	if (!target)
		return -ENOMEM;
	for (i = 0; i < density->count; i++) {
		int result;

		number = density->victim[i];
		result = tmem_get(density->instance.client, density->instance.pool, &oid, number, page_address(target));
		if (i < density->count / 2)
			wrong += result != TMEM_NOT_FOUND;
		else
			wrong += result || memcmp(page_address(target), page_address(density->pages->page[number]), PAGE_SIZE);
	}
	__free_page(target);
	if (wrong)
		pr_err("%u pages are not what they should be after compaction\n", wrong);
	return wrong ? -EIO : 0;
}

static int measure(struct density *density)
{
	long tmem_slab, zs_slab;
	int error = load(density, &tmem_slab, &zs_slab);

	if (error) {
		pr_err("the pages did not fit for the density (error %d)\n", -error);
		return error;
	}
	print_stage(density, "loaded", 0, tmem_slab, zs_slab);
	free_half(density, &tmem_slab, &zs_slab);
	print_stage(density, "half_freed", density->count / 2, tmem_slab, zs_slab);
	compact(density, &tmem_slab, &zs_slab);
	print_stage(density, "compacted", density->count / 2, tmem_slab, zs_slab);
	error = check_rest(density);
	print_zswap(density);
	return error;
}

static void release(struct density *density)
{
	unsigned int i;

	for (i = 0; density->handle && density->zs_pool && i < density->pages->count; i++)
		if (density->handle[i])
			zs_free(density->zs_pool, density->handle[i]);
	if (density->zs_pool)
		zs_destroy_pool(density->zs_pool);
	if (density->instance.host)
		bench_instance_stop(&density->instance);
	kvfree(density->handle);
	kvfree(density->bytes);
	kvfree(density->victim);
	kvfree(density->number);
}

int bench_density(const struct bench_pages *pages)
{
	struct density density = { .pages = pages };
	unsigned int i;
	int error = -ENOMEM;

	density.number = kvcalloc(pages->count, sizeof(*density.number), GFP_KERNEL);
	density.victim = kvcalloc(pages->count, sizeof(*density.victim), GFP_KERNEL);
	density.bytes = kvcalloc(pages->count, sizeof(*density.bytes), GFP_KERNEL);
	density.handle = kvcalloc(pages->count, sizeof(*density.handle), GFP_KERNEL);
	density.zs_pool = zs_create_pool("tmem_bench");
	if (!density.number || !density.victim || !density.bytes || !density.handle || !density.zs_pool)
		goto out;
	error = bench_instance_start(&density.instance, tmem_kernel_host_ops(), TMEM_POOL_PERSISTENT);
	if (error)
		goto out;
	for (i = 0; i < pages->count; i++)
		if (!bench_same_filled(page_address(pages->page[i])))
			density.number[density.count++] = i;
	memcpy(density.victim, density.number, density.count * sizeof(*density.victim));
	bench_shuffle(density.victim, density.count, 1);
	error = measure(&density);
out:
	release(&density);
	return error;
}
