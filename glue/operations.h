/* SPDX-License-Identifier: GPL-2.0 */
/*
 * operations.h - the page operations as the hook families call them: the core's, and a trace event each.
 *
 * Arguments, results and contexts are those of core/abi.h. A family calls
 * nothing of the core's that touches a page but through here.
 */
#ifndef TMEM_GLUE_OPERATIONS_H
#define TMEM_GLUE_OPERATIONS_H

#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/types.h>

#include "core/abi.h"
#include "trace.h"

static inline bool tmem_is_refusal(int result)
{
	switch (result) {
	case TMEM_REFUSED_POOR:
	case TMEM_REFUSED_BUDGET:
	case TMEM_REFUSED_LIMIT:
	case TMEM_REFUSED_NESTED:
	case TMEM_REFUSED_FROZEN:
		return true;
	default:
		return false;
	}
}

static inline int tmem_hook_put(struct tmem_client *client, int pool, const struct tmem_oid *oid,
				unsigned long long index, const void *page)
{
	const int result = tmem_put(client, pool, oid, index, page);

	trace_tmem_put(pool, oid, index, result);
	if (trace_tmem_refuse_enabled() && tmem_is_refusal(result))
		trace_tmem_refuse(pool, oid, index, result);
	return result;
}

static inline int tmem_hook_get(struct tmem_client *client, int pool, const struct tmem_oid *oid,
				unsigned long long index, void *page)
{
	const int result = tmem_get(client, pool, oid, index, page);

	trace_tmem_get(pool, oid, index, result);
	return result;
}

static inline int tmem_hook_flush_page(struct tmem_client *client, int pool,
				       const struct tmem_oid *oid, unsigned long long index)
{
	const int result = tmem_flush_page(client, pool, oid, index);

	trace_tmem_flush(pool, oid, index, index, result);
	return result;
}

static inline int tmem_hook_flush_range(struct tmem_client *client, int pool,
					const struct tmem_oid *oid, unsigned long long first,
					unsigned long long last)
{
	const int result = tmem_flush_range(client, pool, oid, first, last);

	trace_tmem_flush(pool, oid, first, last, result);
	return result;
}

static inline int tmem_hook_flush_range_slowly(struct tmem_client *client, int pool,
					       const struct tmem_oid *oid,
					       unsigned long long first, unsigned long long last)
{
	const int result = tmem_flush_range_slowly(client, pool, oid, first, last);

	trace_tmem_flush(pool, oid, first, last, result);
	return result;
}

static inline int tmem_hook_flush_object(struct tmem_client *client, int pool,
					 const struct tmem_oid *oid)
{
	const int result = tmem_flush_object(client, pool, oid);

	trace_tmem_flush(pool, oid, 0, ~0ULL, result);
	return result;
}

static inline int tmem_hook_flush_object_slowly(struct tmem_client *client, int pool,
						const struct tmem_oid *oid)
{
	const int result = tmem_flush_object_slowly(client, pool, oid);

	trace_tmem_flush(pool, oid, 0, ~0ULL, result);
	return result;
}

/* How many frames are given back before others get a turn: 33 us, with pages of 1.1 KiB on the host. */
#define TMEM_FRAMES_PER_BREATH 16ULL

enum tmem_until {
	TMEM_UNTIL_DONE,
	TMEM_UNTIL_SIGNAL,	/* or a signal is pending */
};

/* As tmem_shrink_node() or tmem_compact_node(), a few frames at a time. Process context, may sleep. */
static inline unsigned long long tmem_give_back_slowly(unsigned long long (*give)(struct tmem_host *, unsigned int,
										  unsigned long long),
						       struct tmem_host *host, unsigned int node,
						       unsigned long long frames, enum tmem_until until)
{
	unsigned long long given = 0, step;

	while (given < frames && !(until == TMEM_UNTIL_SIGNAL && signal_pending(current))) {
		step = give(host, node, min(frames - given, TMEM_FRAMES_PER_BREATH));
		if (!step)
			break;
		given += step;
		cond_resched();
	}
	return given;
}

static inline unsigned long long tmem_hook_shrink_slowly(struct tmem_host *host, unsigned int node,
							 unsigned long long frames, enum tmem_until until)
{
	const unsigned long long given = tmem_give_back_slowly(tmem_shrink_node, host, node, frames, until);

	trace_tmem_shrink(frames, given);
	return given;
}

static inline unsigned long long tmem_hook_compact_slowly(struct tmem_host *host, unsigned int node,
							  unsigned long long frames, enum tmem_until until)
{
	const unsigned long long given = tmem_give_back_slowly(tmem_compact_node, host, node, frames, until);

	if (frames)
		trace_tmem_compact(frames, given);
	return given;
}

#endif /* TMEM_GLUE_OPERATIONS_H */
