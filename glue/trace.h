/* SPDX-License-Identifier: GPL-2.0 */
/*
 * trace.h - trace events: what the hook families ask of the core, and what they are told.
 *
 *	tmem_put	each put, with its result
 *	tmem_refuse	a put that was refused by policy, again: to see these alone
 *	tmem_get	each get, with its result
 *	tmem_flush	a page or range (first and last index), or an object (0 to the highest)
 *	tmem_evict	ephemeral pages went: whose, why, and how many frames' worth
 *	tmem_shrink	the kernel asked for memory: frames wanted and given
 *	tmem_compact	frames to be had by compaction: wanted and given
 *
 * below /sys/kernel/tracing/events/tmem. Off, each is a jump that is not
 * taken. glue/operations.h raises them, tmem_evict glue/host.c for the core.
 * There is none for what other modules do with pools of their own.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM tmem

#if !defined(TMEM_GLUE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TMEM_GLUE_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

#include "core/abi.h"

#define TMEM_SHOW_RESULT(result)				\
	__print_symbolic(result,				\
		{ TMEM_OK, "ok" },				\
		{ TMEM_NOT_FOUND, "not_found" },		\
		{ TMEM_NO_MEMORY, "no_memory" },		\
		{ TMEM_BAD_ARGUMENT, "bad_argument" },		\
		{ TMEM_GOING_AWAY, "going_away" },		\
		{ TMEM_CORRUPT, "corrupt" },			\
		{ TMEM_REFUSED_POOR, "refused_poor" },		\
		{ TMEM_REFUSED_BUDGET, "refused_budget" },	\
		{ TMEM_REFUSED_LIMIT, "refused_limit" },	\
		{ TMEM_REFUSED_NESTED, "refused_nested" },	\
		{ TMEM_REFUSED_FROZEN, "refused_frozen" })

DECLARE_EVENT_CLASS(tmem_page,

	TP_PROTO(int pool, const struct tmem_oid *oid, unsigned long long index, int result),

	TP_ARGS(pool, oid, index, result),

	TP_STRUCT__entry(
		__field(u64, object0)
		__field(u64, object1)
		__field(u64, object2)
		__field(u64, index)
		__field(int, pool)
		__field(int, result)
	),

	TP_fast_assign(
		__entry->object0 = oid->word[0];
		__entry->object1 = oid->word[1];
		__entry->object2 = oid->word[2];
		__entry->index = index;
		__entry->pool = pool;
		__entry->result = result;
	),

	TP_printk("pool=%d object=%llx.%llx.%llx index=%llu result=%s", __entry->pool,
		  __entry->object0, __entry->object1, __entry->object2, __entry->index,
		  TMEM_SHOW_RESULT(__entry->result))
);

DEFINE_EVENT(tmem_page, tmem_put,
	TP_PROTO(int pool, const struct tmem_oid *oid, unsigned long long index, int result),
	TP_ARGS(pool, oid, index, result));

DEFINE_EVENT(tmem_page, tmem_refuse,
	TP_PROTO(int pool, const struct tmem_oid *oid, unsigned long long index, int result),
	TP_ARGS(pool, oid, index, result));

DEFINE_EVENT(tmem_page, tmem_get,
	TP_PROTO(int pool, const struct tmem_oid *oid, unsigned long long index, int result),
	TP_ARGS(pool, oid, index, result));

TRACE_EVENT(tmem_flush,

	TP_PROTO(int pool, const struct tmem_oid *oid, unsigned long long first,
		 unsigned long long last, int result),

	TP_ARGS(pool, oid, first, last, result),

	TP_STRUCT__entry(
		__field(u64, object0)
		__field(u64, object1)
		__field(u64, object2)
		__field(u64, first)
		__field(u64, last)
		__field(int, pool)
		__field(int, result)
	),

	TP_fast_assign(
		__entry->object0 = oid->word[0];
		__entry->object1 = oid->word[1];
		__entry->object2 = oid->word[2];
		__entry->first = first;
		__entry->last = last;
		__entry->pool = pool;
		__entry->result = result;
	),

	TP_printk("pool=%d object=%llx.%llx.%llx first=%llu last=%llu result=%s", __entry->pool,
		  __entry->object0, __entry->object1, __entry->object2, __entry->first,
		  __entry->last, TMEM_SHOW_RESULT(__entry->result))
);

TRACE_EVENT(tmem_evict,

	TP_PROTO(unsigned int client, int reason, unsigned int frames),

	TP_ARGS(client, reason, frames),

	TP_STRUCT__entry(
		__field(unsigned int, client)
		__field(int, reason)
		__field(unsigned int, frames)
	),

	TP_fast_assign(
		__entry->client = client;
		__entry->reason = reason;
		__entry->frames = frames;
	),

	TP_printk("client=%u reason=%s frames=%u", __entry->client,
		  __print_symbolic(__entry->reason,
				   { TMEM_REFUSED_BUDGET, "budget" },
				   { TMEM_REFUSED_LIMIT, "limit" },
				   { TMEM_NO_MEMORY, "memory" }), __entry->frames)
);

DECLARE_EVENT_CLASS(tmem_frames,

	TP_PROTO(unsigned long long wanted, unsigned long long frames),

	TP_ARGS(wanted, frames),

	TP_STRUCT__entry(
		__field(u64, wanted)
		__field(u64, frames)
	),

	TP_fast_assign(
		__entry->wanted = wanted;
		__entry->frames = frames;
	),

	TP_printk("wanted=%llu frames=%llu", __entry->wanted, __entry->frames)
);

DEFINE_EVENT(tmem_frames, tmem_shrink,
	TP_PROTO(unsigned long long wanted, unsigned long long frames),
	TP_ARGS(wanted, frames)
);

DEFINE_EVENT(tmem_frames, tmem_compact,
	TP_PROTO(unsigned long long wanted, unsigned long long frames),
	TP_ARGS(wanted, frames)
);

#endif /* TMEM_GLUE_TRACE_H */

/* Found through Kbuild's -I: the path is relative to the top. */
#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH glue
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
