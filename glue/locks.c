// SPDX-License-Identifier: GPL-2.0
/*
 * locks.c - the core's locks.
 *
 * The core declares locks as so many words; here each becomes a spinlock_t
 * taken with interrupts off, because a put or flush may come from under a lock
 * that interrupts take. lockdep tells the ranks apart: one class each,
 * whatever the number of locks, so that the first inversion is reported.
 */
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/smp.h>
#include <linux/spinlock.h>

#include "glue.h"
#include "lock_stats.h"

static struct lock_class_key rank_keys[TMEM_RANKS];

const char *const tmem_rank_names[TMEM_RANKS] = {
	[TMEM_RANK_CONTROL] = "tmem_control",
	[TMEM_RANK_LEAF_BUCKET] = "tmem_leaf_bucket",
	[TMEM_RANK_OBJECT_BUCKET] = "tmem_object_bucket",
	[TMEM_RANK_POOL_OBJECTS] = "tmem_pool_objects",
	[TMEM_RANK_STORE] = "tmem_store",
	[TMEM_RANK_BUDGET] = "tmem_budget",
};

/**
 * tmem_this_cpu - which CPU this is
 *
 * Context: Any.
 * Return: Its number; in preemptible context, perhaps of the one before.
 */
unsigned int tmem_this_cpu(void)
{
	return raw_smp_processor_id();
}

static spinlock_t *as_spinlock(struct tmem_lock *lock)
{
	return (spinlock_t *)lock->words;
}

/**
 * tmem_lock_init - prepare a lock
 * @lock: storage of the core's
 * @rank: TMEM_RANK_*, its lockdep class
 *
 * Context: Any.
 */
void tmem_lock_init(struct tmem_lock *lock, unsigned int rank)
{
	spin_lock_init(as_spinlock(lock));
	if (!WARN_ON_ONCE(rank >= TMEM_RANKS))
		lockdep_set_class_and_name(as_spinlock(lock), &rank_keys[rank],
					   tmem_rank_names[rank]);
	tmem_lock_stats_init(lock, rank);
}

/**
 * tmem_lock_destroy - a lock will not be used again
 * @lock: is free
 *
 * Context: Any.
 */
void tmem_lock_destroy(struct tmem_lock *lock)
{
	WARN_ON_ONCE(spin_is_locked(as_spinlock(lock)));
}

/**
 * tmem_lock_acquire - take a lock, spinning
 * @lock: prepared by tmem_lock_init()
 *
 * Context: Any but NMI. Interrupts are off until tmem_lock_release().
 * Return: The interrupt state, for tmem_lock_release().
 */
unsigned long tmem_lock_acquire(struct tmem_lock *lock) __acquires(lock)
{
	unsigned long state;

	if (!tmem_lock_stats_acquire(lock, _RET_IP_, &state))
		spin_lock_irqsave(as_spinlock(lock), state);
	return state;
}

/**
 * tmem_lock_release - let a lock go
 * @lock: taken by this context
 * @interrupt_state: what tmem_lock_acquire() returned
 *
 * Context: As tmem_lock_acquire() left it.
 */
void tmem_lock_release(struct tmem_lock *lock, unsigned long interrupt_state) __releases(lock)
{
	if (!tmem_lock_stats_release(lock, interrupt_state))
		spin_unlock_irqrestore(as_spinlock(lock), interrupt_state);
}
