// SPDX-License-Identifier: GPL-2.0
/*
 * shrinker.c - the kernel asks for memory back.
 *
 * Counted in page frames of the store, which is what eviction frees; pages of
 * both kinds share frames of their own kind only, so all that is counted can
 * be had. Eviction takes spinlocks and nothing else: it works in every context
 * that reclaim may be in, whatever its gfp mask.
 *
 * When. The kernel scans every shrinker in proportion to how hard it scans its
 * LRU lists. But each page it takes off those lists is one that we store: a
 * stream of file pages would empty the store as fast as it fills it (measured:
 * a store that may have 180 MiB of 240 stayed at 68, and re-reading 361 MiB got
 * 5 % hits instead of 95 %). max_pool_percent is the administrator's word on how
 * much we may have; so while there are file pages to take, we offer little.
 * Once they are fewer than a 64th of RAM, and free memory as well,
 * we offer as much as would mend that, and at any time what moving pages
 * together would free, once it is worth it. Not more: a scan under pressure takes a
 * large part of all that is offered, at once (measured on 6.1 with all of it
 * offered: 51 MiB of 240 free, and 28 % hits). And before the kernel kills
 * somebody for want of memory, a quarter is given in one go.
 */
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/shrinker.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#include "compat.h"
#include "glue.h"
#include "operations.h"

#define SEEKS_PER_FRAME (4 * DEFAULT_SEEKS)
#define FILE_PART 64		/* of RAM in file pages: above that, the kernel has enough to take */
#define FREE_PART 64		/* of RAM free: above that, nobody is in need */
#define OFFERED_PART 1024	/* of our frames, then */
#define OOM_PART 4
#define OOM_FRAMES_MIN 256ULL

static struct tmem_host *shrunk_host;

static bool has_file_pages(void)
{
	unsigned long pages = global_node_page_state(NR_ACTIVE_FILE) +
			      global_node_page_state(NR_INACTIVE_FILE);

	return pages > totalram_pages() / FILE_PART;
}

static bool has_free_pages(void)
{
	return global_zone_page_state(NR_FREE_PAGES) > totalram_pages() / FREE_PART;
}

static unsigned long count(struct shrinker *shrinker, struct shrink_control *control)
{
	unsigned long frames = tmem_shrinkable(shrunk_host);

	if (has_file_pages() || has_free_pages())
		frames /= OFFERED_PART;
	else
		frames = min(frames, totalram_pages() / FREE_PART);
	/* Holes are offered whole: filling them costs no page. */
	frames += tmem_compactable(shrunk_host);
	return frames ? frames : SHRINK_EMPTY;
}

static unsigned long scan(struct shrinker *shrinker, struct shrink_control *control)
{
	const unsigned long holes = min_t(unsigned long long, control->nr_to_scan,
					  tmem_compactable(shrunk_host));
	unsigned long freed = tmem_hook_compact(shrunk_host, holes);

	/* No page pays for holes that could not be had. */
	if (holes < control->nr_to_scan)
		freed += tmem_hook_shrink(shrunk_host, control->nr_to_scan - holes);
	tmem_account_reclaimed(freed);
	return freed ? freed : SHRINK_STOP;
}

static int on_out_of_memory(struct notifier_block *block, unsigned long unused, void *freed)
{
	unsigned long long frames = tmem_shrinkable(shrunk_host) / OOM_PART;

	*(unsigned long *)freed += tmem_hook_shrink(shrunk_host, max(frames, OOM_FRAMES_MIN));
	return NOTIFY_OK;
}

static struct notifier_block oom_block = { .notifier_call = on_out_of_memory };

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
 * Return: 0 or a negative errno value, and then nothing is registered.
 */
int tmem_shrinker_start(struct tmem_host *host)
{
	int error;

	shrunk_host = host;
	error = register_it();
	if (error)
		return error;
	error = register_oom_notifier(&oom_block);
	if (error)
		unregister_it();
	return error;
}

/**
 * tmem_shrinker_stop - no call is under way or comes afterwards
 *
 * Context: Process context. May sleep.
 */
void tmem_shrinker_stop(void)
{
	unregister_oom_notifier(&oom_block);
	unregister_it();
}
