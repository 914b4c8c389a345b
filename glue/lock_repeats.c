// SPDX-License-Identifier: GPL-2.0
/*
 * lock_repeats.c - the same work again and again, and each holding of a lock measured by its median.
 *
 * What interrupts a processor, an emulator or a User Mode Linux makes a lock
 * that is held just then look as if it were held for milliseconds, and one in
 * some thousands is enough to hide what we ask: which section of ours is the
 * longest. Work that is the same each time takes its locks in the same order.
 * So the n-th holding of one repetition is compared with the n-th of the
 * others, and the median of them counts: a section of ours is long in all of
 * them, an interruption comes to another one each time.
 *
 * For kernels of one processor. The file locks (lock_stats.c) begins each
 * repetition and shows the medians as rows of their own; if the order of ranks
 * or callers was not the same after all, it says how often.
 */
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/vmalloc.h>

#include "lock_stats.h"

#define HOLDINGS_MAX (1U << 20)

struct repeated {
	unsigned long caller;
	u32 rank;
	u32 ns[TMEM_LOCK_REPEATS_MAX];
};

static struct repeated *holdings;
static unsigned int repetition;		/* from 1 on; 0: nothing is noted */
static u32 counts[TMEM_LOCK_REPEATS_MAX];
static u64 differences;

/**
 * tmem_lock_repeats_begin - the next repetition begins
 * @number: 1 for the first, which forgets all others
 *
 * Context: Process context. May sleep. No lock of the core is held.
 * Return: 0; -EINVAL if it is not the next, or there are more processors; -ENOMEM.
 */
int tmem_lock_repeats_begin(unsigned int number)
{
	if (num_possible_cpus() > 1 || number > TMEM_LOCK_REPEATS_MAX ||
	    (number != 1 && (!holdings || number != repetition + 1)))
		return -EINVAL;
	if (!holdings)
		holdings = vzalloc(HOLDINGS_MAX * sizeof(*holdings));
	if (!holdings)
		return -ENOMEM;
	if (number == 1)
		differences = 0;
	counts[number - 1] = 0;
	WRITE_ONCE(repetition, number);
	return 0;
}

/**
 * tmem_lock_repeats_end - forget all
 *
 * Context: Process context. May sleep. No lock of the core is held.
 */
void tmem_lock_repeats_end(void)
{
	struct repeated *unused = holdings;

	WRITE_ONCE(repetition, 0);
	holdings = NULL;
	vfree(unused);
}

/**
 * tmem_lock_repeats_note - a lock was held
 * @rank: its rank
 * @ns: for how long
 * @caller: who took it
 *
 * Context: Interrupts are off.
 */
void tmem_lock_repeats_note(unsigned int rank, u64 ns, unsigned long caller)
{
	struct repeated *holding;
	u32 *count;

	if (!repetition)
		return;
	count = &counts[repetition - 1];
	if (*count == HOLDINGS_MAX)
		return;
	holding = &holdings[(*count)++];
	if (repetition == 1) {
		holding->rank = rank;
		holding->caller = caller;
	}
	differences += holding->rank != rank || holding->caller != caller;
	holding->ns[repetition - 1] = min_t(u64, ns, U32_MAX);
}

static u32 median(const u32 *values)
{
	u32 sorted[TMEM_LOCK_REPEATS_MAX];
	unsigned int i, j;

	for (i = 0; i < repetition; i++) {
		for (j = i; j && sorted[j - 1] > values[i]; j--)
			sorted[j] = sorted[j - 1];
		sorted[j] = values[i];
	}
	return sorted[repetition / 2];
}

/**
 * tmem_lock_repeats_each - the median of each holding that was in every repetition
 * @show: is told rank, ns and caller
 * @data: passed on to it
 * @differing: set to the number of holdings that were not the same in all
 *
 * Context: Process context; no lock of the core is taken meanwhile.
 * Return: How many repetitions there were.
 */
unsigned int tmem_lock_repeats_each(void (*show)(void *data, unsigned int rank, u64 ns,
						 unsigned long caller),
				    void *data, u64 *differing)
{
	u32 fewest = U32_MAX, most = 0, i;

	if (!repetition)
		return 0;
	for (i = 0; i < repetition; i++) {
		fewest = min(fewest, counts[i]);
		most = max(most, counts[i]);
	}
	for (i = 0; i < fewest; i++)
		show(data, holdings[i].rank, median(holdings[i].ns), holdings[i].caller);
	*differing = differences + most - fewest;
	return repetition;
}
