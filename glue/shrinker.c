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
 * offered: 51 MiB of 240 free, and 28 % hits). Each memory node is asked by itself,
 * and gives what its CPUs have filled; whether there is need is judged of the whole machine.
 *
 * Out of memory. Before the kernel kills somebody, it asks once more, with
 * oom_lock held, for which every other task that is short of memory waits. It
 * asks as often as it gets something, so each time a little is enough: a
 * quarter of what there is, at most 16 MiB, a few frames at a time. (Each GiB
 * takes 0.54 s of a processor, measured on the host.) It does not say on which
 * nodes it needs the memory: what it counts as progress are frames of the nodes
 * that the task may use by its cpuset and its own policy. If the oldest are
 * elsewhere, up to a quarter goes to find some; if there are none, there was no
 * progress, and the kernel goes on to kill. (A policy of one mapping, mbind(), is
 * not to be seen from here, nor do other notifiers look at any.) A memory cgroup
 * at its limit does not ask: nothing that we have is charged to it.
 */
#include <linux/cpuset.h>
#include <linux/errno.h>
#include <linux/mempolicy.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/shrinker.h>
#include <linux/swap.h>
#include <linux/vmstat.h>

#include "compat.h"
#include "glue.h"
#include "left_out.h"
#include "operations.h"

#define SEEKS_PER_FRAME (4 * DEFAULT_SEEKS)
#define FILE_PART 64		/* of RAM in file pages: above that, the kernel has enough to take */
#define FREE_PART 64		/* of RAM free: above that, nobody is in need */
#define OFFERED_PART 1024	/* of our frames, then */
#define OOM_PART 4
#define OOM_FRAMES_MIN 256ULL
#define OOM_FRAMES_MAX 4096ULL		/* 16 MiB: 8 ms, on the host */
#define OOM_FRAMES_SEARCHED 65536ULL	/* for some of the right nodes */

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
	struct tmem_offer offer;
	unsigned long frames;

	tmem_offer_of_node(shrunk_host, control->nid, &offer);
	frames = offer.frames_ephemeral;
	if (has_file_pages() || has_free_pages())
		frames /= OFFERED_PART;
	else
		frames = min(frames, totalram_pages() / FREE_PART);
	/* Holes are offered whole: filling them costs no page. */
	frames += offer.frames_compactable;
	return frames ? frames : SHRINK_EMPTY;
}

static unsigned long scan(struct shrinker *shrinker, struct shrink_control *control)
{
	const unsigned int node = control->nid;
	struct tmem_offer offer;
	unsigned long holes, freed;

	tmem_offer_of_node(shrunk_host, node, &offer);
	holes = min_t(unsigned long long, control->nr_to_scan, offer.frames_compactable);
	freed = tmem_hook_compact_slowly(shrunk_host, node, holes, TMEM_UNTIL_DONE);
	/* No page pays for holes that could not be had. */
	if (holes < control->nr_to_scan)
		freed += tmem_hook_shrink_slowly(shrunk_host, node, control->nr_to_scan - holes, TMEM_UNTIL_DONE);
	tmem_account_reclaimed(freed);
	return freed ? freed : SHRINK_STOP;
}

/* The nodes that this task may have memory of. */
static nodemask_t usable_nodes(void)
{
	nodemask_t nodes = cpuset_current_mems_allowed;

#ifdef CONFIG_NUMA
	const struct mempolicy *policy = current->mempolicy;

	if (policy && policy->mode == MPOL_BIND)
		nodes_and(nodes, nodes, tmem_policy_nodes(policy));
#endif
	return nodes;
}

static int on_out_of_memory(struct notifier_block *block, unsigned long unused, void *freed)
{
	const nodemask_t nodes = usable_nodes();
	const unsigned long long quarter = max(tmem_shrinkable(shrunk_host) / OOM_PART, OOM_FRAMES_MIN);
	unsigned long long most = min(quarter, OOM_FRAMES_SEARCHED), given, there;

	tmem_frames_watch(&nodes);
	given = tmem_hook_shrink_slowly(shrunk_host, TMEM_ANY_NODE, min(quarter, OOM_FRAMES_MAX), TMEM_UNTIL_DONE);
	while (!tmem_frames_watched() && given && given < most) {
		const unsigned long long more = tmem_hook_shrink_slowly(shrunk_host, TMEM_ANY_NODE,
									OOM_FRAMES_MIN, TMEM_UNTIL_DONE);

		if (!more)
			break;
		given += more;
	}
	there = tmem_frames_watched();
	tmem_frames_unwatch();
	*(unsigned long *)freed += tmem_left_out("oom_nodes") ? given : there;
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
	allocated = shrinker_alloc(SHRINKER_NUMA_AWARE, "tmem");
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
	ours.flags = SHRINKER_NUMA_AWARE;
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
