// SPDX-License-Identifier: GPL-2.0
/*
 * shrinker.c - the kernel asks for memory back.
 *
 * Counted in page frames of the store, which is what eviction frees; pages of
 * both kinds share frames of their own kind only, so all that is counted can
 * be had. Eviction takes spinlocks and nothing else: it works in every context
 * that reclaim may be in, whatever its gfp mask.
 *
 * Seeks: the kernel scans a shrinker in proportion to how hard it scans its
 * LRU lists, divided by the seeks it takes to make an object again. A frame
 * holds several pages, each a read from a disk, and the whole is capped by
 * max_pool_percent; at the default of 2 a stream of file pages would empty the
 * store at the rate at which it fills it.
 */
#include <linux/errno.h>
#include <linux/mm.h>
#include <linux/shrinker.h>

#include "compat.h"
#include "glue.h"

#define SEEKS_PER_FRAME (4 * DEFAULT_SEEKS)

static struct tmem_host *shrunk_host;

static unsigned long count(struct shrinker *shrinker, struct shrink_control *control)
{
	unsigned long frames = tmem_shrinkable(shrunk_host);

	return frames ? frames : SHRINK_EMPTY;
}

static unsigned long scan(struct shrinker *shrinker, struct shrink_control *control)
{
	unsigned long freed = tmem_shrink(shrunk_host, control->nr_to_scan);

	return freed ? freed : SHRINK_STOP;
}

static void prepare(struct shrinker *shrinker)
{
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = SEEKS_PER_FRAME;
}

#ifdef TMEM_SHRINKER_ALLOCATED

static struct shrinker *allocated;

static int register_it(void)
{
	allocated = shrinker_alloc(0, "tmem");
	if (!allocated)
		return -ENOMEM;
	prepare(allocated);
	shrinker_register(allocated);
	return 0;
}

static void unregister_it(void)
{
	shrinker_free(allocated);
}

#else

static struct shrinker ours;

static int register_it(void)
{
	prepare(&ours);
#ifdef TMEM_SHRINKER_NAMED
	return register_shrinker(&ours, "tmem");
#else
	return register_shrinker(&ours);
#endif
}

static void unregister_it(void)
{
	unregister_shrinker(&ours);
}

#endif /* TMEM_SHRINKER_ALLOCATED */

/**
 * tmem_shrinker_start - let the kernel shrink a host
 * @host: must outlive the shrinker
 *
 * Context: Process context. May sleep.
 * Return: 0 or -ENOMEM.
 */
int tmem_shrinker_start(struct tmem_host *host)
{
	shrunk_host = host;
	return register_it();
}

/**
 * tmem_shrinker_stop - no call is under way or comes afterwards
 *
 * Context: Process context. May sleep.
 */
void tmem_shrinker_stop(void)
{
	unregister_it();
}
