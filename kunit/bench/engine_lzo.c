// SPDX-License-Identifier: GPL-2.0
/*
 * engine_lzo.c - the least that anybody could do: compress, copy to where it
 * stays; decompress. No allocation, no index, no room given back.
 *
 * What stays is packed one after the other into blocks of memory that are made
 * once. As the library is called directly, this is what is left of any
 * compressed store when all that is its own is taken away.
 */
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/lzo.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "bench.h"

#define BLOCK_BYTES (4UL << 20)

struct copy {
	void *data;
	size_t bytes;
};

struct lzo {
	void *workspace;
	void *output;
	struct copy *copy;
	unsigned int blocks;
	void **block;
	unsigned int block_now;
	size_t used;	/* of it */
};

static void stop(struct bench_engine *engine)
{
	struct lzo *lzo = engine->context;
	unsigned int i;

	for (i = 0; lzo->block && i < lzo->blocks; i++)
		free_pages((unsigned long)lzo->block[i], get_order(BLOCK_BYTES));
	kvfree(lzo->copy);
	kfree(lzo->block);
	kfree(lzo->output);
	kfree(lzo->workspace);
	kfree(lzo);
}

static int start(struct bench_engine *engine, unsigned int pages)
{
	struct lzo *lzo = kzalloc(sizeof(*lzo), GFP_KERNEL);
	bool complete;
	unsigned int i;

	if (!lzo)
		return -ENOMEM;
	engine->context = lzo;
	lzo->blocks = DIV_ROUND_UP((u64)pages * lzo1x_worst_compress(PAGE_SIZE), BLOCK_BYTES) + 1;
	lzo->workspace = kmalloc(LZO1X_1_MEM_COMPRESS, GFP_KERNEL);
	lzo->output = kmalloc(lzo1x_worst_compress(PAGE_SIZE), GFP_KERNEL);
	lzo->copy = kvcalloc(pages, sizeof(*lzo->copy), GFP_KERNEL);
	lzo->block = kcalloc(lzo->blocks, sizeof(*lzo->block), GFP_KERNEL);
	complete = lzo->workspace && lzo->output && lzo->copy && lzo->block;
	for (i = 0; complete && i < lzo->blocks; i++) {
		lzo->block[i] = (void *)__get_free_pages(GFP_KERNEL, get_order(BLOCK_BYTES));
		complete = lzo->block[i];
	}
	if (complete)
		return 0;
	stop(engine);
	return -ENOMEM;
}

static int put(void *context, unsigned int number, struct page *page)
{
	struct lzo *lzo = context;
	struct copy *copy = &lzo->copy[number];
	size_t bytes = lzo1x_worst_compress(PAGE_SIZE);
	int error = lzo1x_1_compress(page_address(page), PAGE_SIZE, lzo->output, &bytes, lzo->workspace);

	if (error)
		return error;
	if (lzo->used + bytes > BLOCK_BYTES) {
		if (++lzo->block_now == lzo->blocks)
			return -ENOSPC;
		lzo->used = 0;
	}
	copy->data = lzo->block[lzo->block_now] + lzo->used;
	copy->bytes = bytes;
	memcpy(copy->data, lzo->output, bytes);
	lzo->used += ALIGN(bytes, 8);
	return 0;
}

static int get(void *context, unsigned int number, struct page *page)
{
	struct lzo *lzo = context;
	const struct copy *copy = &lzo->copy[number];
	size_t bytes = PAGE_SIZE;
	int error = lzo1x_decompress_safe(copy->data, copy->bytes, page_address(page), &bytes);

	return error || bytes != PAGE_SIZE ? -EINVAL : 0;
}

/* The room is used again from the start; a pass drops all that it put. */
static void drop(void *context, unsigned int number)
{
	struct lzo *lzo = context;

	lzo->copy[number].data = NULL;
	lzo->block_now = 0;
	lzo->used = 0;
}

struct bench_engine bench_lzo = {
	.name = "lzo", .start = start, .stop = stop, .put = put, .get = get, .drop = drop,
};
