// SPDX-License-Identifier: GPL-2.0
/*
 * pages.c - the page file that scripts/bench-pages makes:
 *
 *	header page | kind of each page, a byte each, padded to a page | pages
 */
#define pr_fmt(fmt) "tmem_bench: " fmt

#include <linux/err.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/printk.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "bench.h"

#define PAGES_MAX 65536

struct file_kind {
	char name[BENCH_NAME_BYTES];
	__le32 pages;
};

struct file_header {
	char magic[8];
	__le32 pages;
	__le32 kinds;
	struct file_kind kind[BENCH_KINDS_MAX];
};

static int read_exactly(struct file *file, void *to, size_t bytes, loff_t *position)
{
	ssize_t got = kernel_read(file, to, bytes, position);

	if (got < 0)
		return got;
	return got == bytes ? 0 : -EIO;
}

static int read_header(struct bench_pages *pages, struct file *file, loff_t *position)
{
	struct file_header header;
	unsigned int i;
	int error = read_exactly(file, &header, sizeof(header), position);

	if (error)
		return error;
	if (memcmp(header.magic, "tmempgs1", sizeof(header.magic)))
		return -EINVAL;
	pages->count = le32_to_cpu(header.pages);
	pages->kinds = le32_to_cpu(header.kinds);
	if (!pages->count || pages->count > PAGES_MAX || !pages->kinds || pages->kinds > BENCH_KINDS_MAX)
		return -EINVAL;
	for (i = 0; i < pages->kinds; i++)
		strscpy(pages->names[i], header.kind[i].name, BENCH_NAME_BYTES);
	*position = PAGE_SIZE;
	return 0;
}

static int read_pages(struct bench_pages *pages, struct file *file)
{
	loff_t position = 0;
	unsigned int i;
	int error = read_header(pages, file, &position);

	if (error)
		return error;
	pages->kind_of = kvmalloc(pages->count, GFP_KERNEL);
	pages->page = kvcalloc(pages->count, sizeof(*pages->page), GFP_KERNEL);
	if (!pages->kind_of || !pages->page)
		return -ENOMEM;
	error = read_exactly(file, pages->kind_of, pages->count, &position);
	position = PAGE_SIZE + round_up(pages->count, PAGE_SIZE);
	for (i = 0; !error && i < pages->count; i++) {
		if (pages->kind_of[i] >= pages->kinds)
			return -EINVAL;
		pages->page[i] = alloc_page(GFP_KERNEL);
		if (!pages->page[i])
			return -ENOMEM;
		error = read_exactly(file, page_address(pages->page[i]), PAGE_SIZE, &position);
	}
	return error;
}

int bench_pages_load(struct bench_pages *pages, const char *path)
{
	struct file *file = filp_open(path, O_RDONLY, 0);
	int error;

	memset(pages, 0, sizeof(*pages));
	if (IS_ERR(file)) {
		pr_err("cannot open %s (error %ld)\n", path, -PTR_ERR(file));
		return PTR_ERR(file);
	}
	error = read_pages(pages, file);
	filp_close(file, NULL);
	if (error) {
		pr_err("%s is not a whole page file of scripts/bench-pages (error %d)\n", path, -error);
		bench_pages_free(pages);
	}
	return error;
}

void bench_pages_free(struct bench_pages *pages)
{
	unsigned int i;

	for (i = 0; pages->page && i < pages->count; i++)
		if (pages->page[i])
			__free_page(pages->page[i]);
	kvfree(pages->page);
	kvfree(pages->kind_of);
	memset(pages, 0, sizeof(*pages));
}

bool bench_same_filled(const void *page)
{
	const u64 *word = page;
	unsigned int i;

	for (i = 1; i < PAGE_SIZE / sizeof(*word); i++)
		if (word[i] != word[0])
			return false;
	return true;
}

void bench_shuffle(unsigned int *number, unsigned int count, u64 seed)
{
	u64 random = seed * 2 + 1;
	unsigned int i;

	for (i = count; i > 1; i--) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		swap(number[i - 1], number[(u32)(random >> 32) % i]);
	}
}
