/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Put and get at native speed, beside what other engines take for the same pages.
 *
 * tmem_bench.ko is for User Mode Linux, where kernel code runs at the speed of
 * the machine and every peer is in the same kernel (scripts/bench-uml builds,
 * boots and reads it). It loads a file of real pages, each of a named kind,
 * and lets each engine put, get and drop all pages of a kind:
 *
 *	for each round, for each kind (and the mix):
 *		for each engine, in another order each round:
 *			put all, get all in order, get all at random, drop all
 *
 * A pass over a kind is timed as a whole, in process context with interrupts
 * on, as reclaim would call. Results are text lines in debugfs, one for each
 * pass, so that whoever reads them can pair engines within a round; nothing is
 * averaged here. Before the first round each engine must give every page back
 * byte for byte.
 *
 * Pages lie in page frames of their own, not in vmalloc memory, because that
 * is where the pages of a put lie (and UML maps vmalloc memory page by page).
 */
#ifndef TMEM_BENCH_H
#define TMEM_BENCH_H

#include <linux/mm_types.h>
#include <linux/types.h>

/* ---- The pages: pages.c ---------------------------------------------------- */

#define BENCH_KINDS_MAX 16
#define BENCH_NAME_BYTES 16

struct bench_pages {
	unsigned int count;
	unsigned int kinds;
	char names[BENCH_KINDS_MAX][BENCH_NAME_BYTES];
	u8 *kind_of;		/* count of them */
	struct page **page;
};

/* Some of the pages, in the order in which a pass goes over them. */
struct bench_set {
	const char *name;
	unsigned int count;
	unsigned int *number;
};

/* Process context. 0 or a negative errno value; says in the log what is wrong. */
int bench_pages_load(struct bench_pages *pages, const char *path);
void bench_pages_free(struct bench_pages *pages);
bool bench_same_filled(const void *page);
/* A permutation that depends on the seed alone. */
void bench_shuffle(unsigned int *number, unsigned int count, u64 seed);

/* ---- Results: bench_main.c --------------------------------------------------- */

void bench_print(const char *format, ...) __printf(1, 2);

/* ---- Engines: engine_*.c ------------------------------------------------------- */

/*
 * Page numbers are handles: below the count that start() was told. All in
 * process context. put answers 0 if the page was stored, else it was refused.
 */
struct bench_engine {
	const char *name;
	/* A get removes the page: there is one pass of gets, and nothing to drop. */
	bool exclusive;
	void *context;
	int (*start)(struct bench_engine *engine, unsigned int pages);
	void (*stop)(struct bench_engine *engine);
	int (*put)(void *context, unsigned int number, struct page *page);
	int (*get)(void *context, unsigned int number, struct page *page);
	void (*drop)(void *context, unsigned int number);
};

extern struct bench_engine bench_lzo;		/* bare compress and copy, decompress */
extern struct bench_engine bench_tmem;		/* a persistent pool, all as it comes */
extern struct bench_engine bench_tmem_no_checksum;
extern struct bench_engine bench_tmem_ephemeral;
extern struct bench_engine bench_pam;		/* the compressed store alone, without the index */
extern struct bench_engine bench_zswap;		/* the kernel's own, with its frontswap functions */
extern struct bench_engine bench_zram;		/* the same, with its function for a page */

/* The module is in frontswap's chain, which nobody can leave. */
extern bool bench_is_in_chain;

/* ---- Other measurements ----------------------------------------------------------- */

/* What part of a put and a get is which host op: parts.c */
int bench_parts(const struct bench_pages *pages, const struct bench_set *sets, unsigned int count);
/* The memory that the same pages take in our store and in zsmalloc: density.c */
int bench_density(const struct bench_pages *pages);

/* ---- An engine of ours: instance.c ----------------------------------------------------- */

struct tmem_host_ops;
struct bench_instance {
	struct tmem_host *host;
	struct tmem_client *client;
	int pool;
};

/* @flags: of the pool. 0 or a negative errno value, and then nothing is left. */
int bench_instance_start(struct bench_instance *instance, const struct tmem_host_ops *ops,
			 unsigned int flags);
void bench_instance_stop(struct bench_instance *instance);

#endif /* TMEM_BENCH_H */
