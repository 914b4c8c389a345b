/* SPDX-License-Identifier: GPL-2.0 */
/*
 * lock_stats.h - how long the core's locks are held and waited for.
 *
 * Only in a build with make TMEM_LOCK_STATS=1; in any other, all of this is
 * inline and empty, and the locks compile to what they are without it.
 *
 * For each rank: every time it is held, from when the lock is had until just
 * before it is let go; every time it is waited for, if it was not free at
 * once. Two rows more:
 *
 *   interrupts_off  from before the outermost lock is asked for until it is let
 *                   go, if it was we who switched interrupts off
 *   codec           from tmem_codec_begin() to tmem_codec_end(): preemption is
 *                   off, interrupts are not, so theirs is in it. Nothing else
 *                   of glue/ keeps either off for longer than a few
 *                   instructions; on kernels before 5.11, a page that is mapped
 *                   (tmem_map_page()) keeps preemption off around it.
 *
 * Readings of the clock are in what is measured: the file says how much one
 * costs. A row counts per CPU, without atomic operations, and is told apart by
 * quarters of powers of two.
 */
#ifndef TMEM_GLUE_LOCK_STATS_H
#define TMEM_GLUE_LOCK_STATS_H

#include <linux/spinlock_types.h>
#include <linux/types.h>

#include "core/abi.h"

struct dentry;

extern const char *const tmem_rank_names[TMEM_RANKS];	/* locks.c */

#ifdef TMEM_LOCK_STATS

/* lock_repeats.c */
#define TMEM_LOCK_REPEATS_MAX 9
int tmem_lock_repeats_begin(unsigned int number);
void tmem_lock_repeats_end(void);
void tmem_lock_repeats_note(unsigned int rank, u64 ns, unsigned long caller);
unsigned int tmem_lock_repeats_each(void (*show)(void *data, unsigned int rank, u64 ns,
						 unsigned long caller),
				    void *data, u64 *differing);

/* lock_stats.c */
int tmem_lock_stats_start(void);
void tmem_lock_stats_stop(void);
void tmem_lock_stats_show_in(struct dentry *directory);

void tmem_lock_stats_init(struct tmem_lock *lock, unsigned int rank);
bool tmem_lock_stats_acquire(struct tmem_lock *lock, unsigned long caller, unsigned long *state);
bool tmem_lock_stats_release(struct tmem_lock *lock, unsigned long state);
void tmem_lock_stats_codec_begin(unsigned long caller);
void tmem_lock_stats_codec_end(void);

#else

static inline int tmem_lock_stats_start(void)
{
	return 0;
}

static inline void tmem_lock_stats_stop(void)
{
}

static inline void tmem_lock_stats_show_in(struct dentry *directory)
{
}

static inline void tmem_lock_stats_init(struct tmem_lock *lock, unsigned int rank)
{
}

/* false: take the lock yourself */
static inline bool tmem_lock_stats_acquire(struct tmem_lock *lock, unsigned long caller,
					   unsigned long *state)
{
	return false;
}

/* false: release it yourself */
static inline bool tmem_lock_stats_release(struct tmem_lock *lock, unsigned long state)
{
	return false;
}

static inline void tmem_lock_stats_codec_begin(unsigned long caller)
{
}

static inline void tmem_lock_stats_codec_end(void)
{
}

#endif /* TMEM_LOCK_STATS */

#endif /* TMEM_GLUE_LOCK_STATS_H */
