// SPDX-License-Identifier: GPL-2.0
/*
 * bench_main.c - all measurements while the module loads; results in debugfs, tmem_bench.
 *
 * Lines of results:
 *
 *	size KIND PAGES BYTES                      LZO's size of them, in all
 *	sample ENGINE KIND OP ROUND PAGES NS CPU_NS
 *	part KIND OP HOST_OP ROUND PAGES CALLS NS  see parts.c
 *	density STAGE STORE PAGES BYTES FRAMES SLAB_PAGES
 *	metadata STAGE PAGES INDEX STORE DIRECTORIES TABLES
 *	                                           bytes, as our engine counts them
 *	compaction STORE FRAMES NS                 frames that came free
 *
 * CPU_NS is the processor time that this kernel, a process of the host, took
 * meanwhile; 0 where it is none. Where the host has other work, NS has the
 * time in it for which we were not running, and CPU_NS has not.
 */
#define pr_fmt(fmt) "tmem_bench: " fmt

#include <linux/debugfs.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/time.h>

#include "../../glue/glue.h"
#include "bench.h"

static char *path;
module_param_named(pages, path, charp, 0444);
MODULE_PARM_DESC(pages, "the page file, from scripts/bench-pages");

static unsigned int rounds = 15;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "how often each pass is done (default 15)");

static char *only;
module_param(only, charp, 0444);
MODULE_PARM_DESC(only, "the name of one engine, to look at with a profiler");

static char *kind;
module_param(kind, charp, 0444);
MODULE_PARM_DESC(kind, "the name of one kind of pages, likewise");

/* ---- Results ------------------------------------------------------------------- */

#define TEXT_BYTES (2UL << 20)

static struct debugfs_blob_wrapper results;
static struct dentry *results_file;

void bench_print(const char *format, ...)
{
	va_list arguments;
	char *text = results.data;

	va_start(arguments, format);
	results.size += vscnprintf(text + results.size, TEXT_BYTES - results.size, format, arguments);
	va_end(arguments);
}

/* ---- Time ------------------------------------------------------------------------ */

struct moment {
	u64 wall;
	u64 cpu;
};

static u64 cpu_time(void)
{
	u64 ns = 0;
#if defined(CONFIG_UML) && defined(__x86_64__)
	/* A system call of the host, by this kernel: clock_gettime(CLOCK_THREAD_CPUTIME_ID). */
	struct { long seconds, ns; } time;
	long result;

	asm volatile("syscall" : "=a" (result) : "0" (228L), "D" (3L), "S" (&time) : "rcx", "r11", "memory");
	if (!result)
		ns = time.seconds * NSEC_PER_SEC + time.ns;
#endif
	return ns;
}

static struct moment moment(void)
{
	return (struct moment){ .wall = ktime_get_ns(), .cpu = cpu_time() };
}

/* ---- Passes --------------------------------------------------------------------------- */

static struct bench_engine *const engines[] = {
	&bench_lzo, &bench_tmem, &bench_zswap, &bench_zram, &bench_tmem_ephemeral, &bench_pam, &bench_tmem_no_checksum,
};

struct run {
	const struct bench_pages *pages;
	struct page *target;		/* what is got goes here */
	unsigned int *kept;		/* numbers of the pages that were stored */
	unsigned int *shuffled;
};

static void print_sample(const struct bench_engine *engine, const struct bench_set *set, const char *operation,
			 unsigned int round, unsigned int pages, struct moment start)
{
	struct moment end = moment();

	bench_print("sample %s %s %s %u %u %llu %llu\n", engine->name, set->name, operation, round, pages,
		    end.wall - start.wall, end.cpu - start.cpu);
}

static unsigned int get_all(const struct run *run, const struct bench_engine *engine, const unsigned int *number,
			    unsigned int count)
{
	unsigned int i, failed = 0;

	for (i = 0; i < count; i++)
		failed += engine->get(engine->context, number[i], run->target) != 0;
	return failed;
}

/*
 * Whatever ran before, the pages are in the caches as far as they fit. Cold
 * pages, as reclaim has them, cost every engine the same more; who comes first
 * after an interruption by the host must not be the one who pays. More than
 * once, since a cache that is shared may not keep what was read once: after a
 * slow engine a put of a zero page then took up to three times as long.
 */
#define TOUCHES 3

static void touch(const struct run *run, const struct bench_set *set)
{
	unsigned int time, i, byte;

	for (time = 0; time < TOUCHES; time++)
		for (i = 0; i < set->count; i++) {
			const volatile u8 *page = page_address(run->pages->page[set->number[i]]);

			for (byte = 0; byte < PAGE_SIZE; byte += 64)
				page[byte];
		}
}

static int pass(const struct run *run, const struct bench_engine *engine, const struct bench_set *set, unsigned int round)
{
	struct page *const *page = run->pages->page;
	unsigned int i, kept = 0, failed;
	struct moment start;

	touch(run, set);
	start = moment();
	for (i = 0; i < set->count; i++)
		if (!engine->put(engine->context, set->number[i], page[set->number[i]]))
			run->kept[kept++] = set->number[i];
	print_sample(engine, set, "put", round, set->count, start);
	if (kept != set->count)
		bench_print("refused %s %s %u %u\n", engine->name, set->name, round, set->count - kept);
	if (!kept)
		return 0;

	start = moment();
	failed = get_all(run, engine, run->kept, kept);
	print_sample(engine, set, "get", round, kept, start);
	if (!engine->exclusive) {
		memcpy(run->shuffled, run->kept, kept * sizeof(*run->kept));
		bench_shuffle(run->shuffled, kept, round + 1);
		start = moment();
		failed += get_all(run, engine, run->shuffled, kept);
		print_sample(engine, set, "get_random", round, kept, start);
		start = moment();
		for (i = 0; i < kept; i++)
			engine->drop(engine->context, run->kept[i]);
		print_sample(engine, set, "drop", round, kept, start);
	}
	if (failed)
		pr_err("%s: %u gets failed\n", engine->name, failed);
	return failed ? -EIO : 0;
}

/* Not timed: every page that goes in must come out as it was. */
static int check(const struct run *run, const struct bench_engine *engine, const struct bench_set *set)
{
	struct page *const *page = run->pages->page;
	unsigned int i, kept = 0, wrong = 0;

	for (i = 0; i < set->count; i++)
		if (!engine->put(engine->context, set->number[i], page[set->number[i]]))
			run->kept[kept++] = set->number[i];
	for (i = 0; i < kept; i++) {
		memset(page_address(run->target), 0xcc, PAGE_SIZE);
		wrong += engine->get(engine->context, run->kept[i], run->target) ||
			 memcmp(page_address(run->target), page_address(page[run->kept[i]]), PAGE_SIZE);
		if (!engine->exclusive)
			engine->drop(engine->context, run->kept[i]);
	}
	if (wrong || !kept)
		pr_err("%s: of %u pages %u were stored and %u came back wrong\n", engine->name, set->count, kept, wrong);
	return wrong || !kept ? -EIO : 0;
}

static int run_rounds(const struct run *run, const struct bench_set *sets, unsigned int count)
{
	unsigned int order[ARRAY_SIZE(engines)];
	unsigned int round, i, j;
	int error = 0;

	for (j = 0; j < ARRAY_SIZE(engines); j++)
		order[j] = j;
	for (round = 0; round < rounds; round++)
		for (i = 0; i < count; i++) {
			/* Who comes before whom changes too, not only who is first. */
			bench_shuffle(order, ARRAY_SIZE(order), round * count + i);
			for (j = 0; j < ARRAY_SIZE(engines); j++) {
				const struct bench_engine *engine = engines[order[j]];

				if ((only && strcmp(only, engine->name)) || (kind && strcmp(kind, sets[i].name)))
					continue;
				error = pass(run, engine, &sets[i], round);
				if (error)
					return error;
				cond_resched();
			}
		}
	return error;
}

static int with_engines(const struct run *run, const struct bench_set *sets, unsigned int count)
{
	unsigned int started = 0, i;
	int error = 0;

	for (; !error && started < ARRAY_SIZE(engines); started++) {
		error = engines[started]->start(engines[started], run->pages->count);
		if (error) {
			pr_err("%s did not start (error %d)\n", engines[started]->name, -error);
			break;
		}
	}
	/* Before any other work has left slab pages that are not full. */
	if (!error && !only)
		error = bench_density(run->pages);
	/* The last set is the mix: all pages. */
	for (i = 0; !error && i < ARRAY_SIZE(engines); i++)
		error = check(run, engines[i], &sets[count - 1]);
	if (!error)
		error = run_rounds(run, sets, count);
	if (!error && !only)
		error = bench_parts(run->pages, sets, count);
	while (started > 0) {
		started--;
		engines[started]->stop(engines[started]);
	}
	return error;
}

/* ---- The sets of pages -------------------------------------------------------------------- */

static unsigned long lzo_bytes(const void *page)
{
	const struct tmem_host_ops *ops = tmem_kernel_host_ops();
	const struct tmem_codec_buffers buffers = ops->codec_begin();
	unsigned long bytes = 0;

	ops->compress(page, buffers.output, &bytes, buffers.workspace);
	ops->codec_end();
	return bytes;
}

static bool in_set(const struct bench_pages *pages, unsigned int set, bool growing, unsigned int number)
{
	const bool grows = lzo_bytes(page_address(pages->page[number])) > PAGE_SIZE;

	if (set > pages->kinds)
		return true;
	if (set == pages->kinds)
		return !grows;
	return pages->kind_of[number] == set && grows == growing;
}

/*
 * Sets: of each kind; the pages that LZO does not make larger; all, which is
 * the last. zswap refuses pages that grow: they are not in the set of their
 * kind either, unless the kind has no others.
 */
static int make_sets(const struct bench_pages *pages, struct bench_set *sets)
{
	const unsigned int mix = pages->kinds + 1;
	unsigned int i, number;
	int growing;

	for (i = 0; i <= mix; i++) {
		struct bench_set *set = &sets[i];
		u64 sum = 0;

		set->name = i == mix ? "mix" : i == pages->kinds ? "taken" : pages->names[i];
		set->number = kvcalloc(pages->count, sizeof(*set->number), GFP_KERNEL);
		if (!set->number)
			return -ENOMEM;
		for (growing = 0; growing < 2 && !set->count; growing++)
			for (number = 0; number < pages->count; number++)
				if (in_set(pages, i, growing, number)) {
					set->number[set->count++] = number;
					sum += lzo_bytes(page_address(pages->page[number]));
				}
		bench_print("size %s %u %llu\n", set->name, set->count, sum);
	}
	return 0;
}

static int __init measure(void)
{
	struct bench_set sets[BENCH_KINDS_MAX + 2] = { };
	struct bench_pages pages;
	struct run run = { .pages = &pages };
	unsigned int i;
	int error = bench_pages_load(&pages, path);

	if (error)
		return error;
	error = make_sets(&pages, sets);
	run.target = alloc_page(GFP_KERNEL);
	run.kept = kvcalloc(pages.count, sizeof(*run.kept), GFP_KERNEL);
	run.shuffled = kvcalloc(pages.count, sizeof(*run.shuffled), GFP_KERNEL);
	if (!run.target || !run.kept || !run.shuffled)
		error = -ENOMEM;
	if (!error)
		error = with_engines(&run, sets, pages.kinds + 2);
	if (run.target)
		__free_page(run.target);
	kvfree(run.kept);
	kvfree(run.shuffled);
	for (i = 0; i < pages.kinds + 2; i++)
		kvfree(sets[i].number);
	bench_pages_free(&pages);
	return error;
}

static int __init bench_init(void)
{
	int error;

	if (!path) {
		pr_err("give pages=, the page file\n");
		return -EINVAL;
	}
	results.data = alloc_pages_exact(TEXT_BYTES, GFP_KERNEL);
	if (!results.data)
		return -ENOMEM;
	error = measure();
	if (!error)
		results_file = debugfs_create_blob("tmem_bench", 0400, NULL, &results);
	/* In frontswap's chain the module must stay, so loading must succeed; there are no results then. */
	if (error && !bench_is_in_chain) {
		free_pages_exact(results.data, TEXT_BYTES);
		return error;
	}
	return 0;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	debugfs_remove(results_file);
	free_pages_exact(results.data, TEXT_BYTES);
}
module_exit(bench_exit);

MODULE_DESCRIPTION("Put and get of tmem beside bare LZO, zswap and zram");
MODULE_LICENSE("GPL");
