// SPDX-License-Identifier: GPL-2.0
/*
 * lock_stats.c - how long the core's locks are held and waited for: see lock_stats.h.
 *
 * /sys/kernel/debug/tmem/locks, read: a table of rows (count, sum, percentiles,
 * longest, and who that was: the return address of the tmem_lock_acquire() or
 * tmem_codec_begin() in question, as a symbol), then the histogram of each
 * row. Percentiles are the upper end of a quarter of a power of two. Written
 * with 0: everything is forgotten; what runs at that moment may survive. With
 * 1, 2, ...: repetition 1, 2, ... of the same work begins (lock_repeats.c); the
 * rows "each" then have the median of each holding.
 *
 * A lock's rank is kept in the half word that the kernel's spinlock_t leaves of
 * struct tmem_lock, so that nothing of the core has another size than without.
 *
 * spin_trylock() comes first, to see whether the lock is free. lockdep does
 * not check the order of what is taken so: check that with another build.
 */
#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "compat.h"
#include "lock_stats.h"

#define OCTAVE_PARTS_SHIFT 2
#define OCTAVE_PARTS (1U << OCTAVE_PARTS_SHIFT)
#define OCTAVES 28		/* up to half a second; what is longer is in the last bucket */
#define BUCKETS (OCTAVES * OCTAVE_PARTS)

/* One kind of times, in ns. */
struct times {
	u64 count;
	u64 sum;
	u64 longest;
	unsigned long longest_by;
	u32 histogram[BUCKETS];
};

enum row {
	ROW_HELD,
	ROW_WAITED = ROW_HELD + TMEM_RANKS,
	ROW_INTERRUPTS_OFF = ROW_WAITED + TMEM_RANKS,
	ROW_CODEC,
	ROWS,
	/* Made when they are shown. */
	ROW_EACH = ROWS,
	ROWS_SHOWN = ROW_EACH + TMEM_RANKS
};

struct holding {
	const struct tmem_lock *lock;
	u64 asked;
	u64 had;
	unsigned long caller;
};

/* A lock of each rank, and room for an order of locks within a rank. */
#define HOLDINGS_MAX (TMEM_RANKS + 3)

struct cpu_times {
	struct times rows[ROWS];
	struct holding holdings[HOLDINGS_MAX];
	unsigned int holding_count;
	unsigned int codec_depth;
	u64 codec_begun;
	unsigned long codec_caller;
};

static struct cpu_times __percpu *times_of_cpus;

/* ---- Rows ---- */

static unsigned int bucket_of(u64 ns)
{
	unsigned int octave;

	if (ns < OCTAVE_PARTS)
		return ns;
	octave = fls64(ns) - 1;
	return min_t(unsigned int, BUCKETS - 1,
		     (octave - OCTAVE_PARTS_SHIFT + 1) * OCTAVE_PARTS +
		     ((ns >> (octave - OCTAVE_PARTS_SHIFT)) & (OCTAVE_PARTS - 1)));
}

/* The first time that is too long for the bucket. */
static u64 bucket_end(unsigned int bucket)
{
	const unsigned int next = bucket + 1;

	if (next <= OCTAVE_PARTS)
		return next;
	return (u64)(OCTAVE_PARTS + next % OCTAVE_PARTS) << (next / OCTAVE_PARTS - 1);
}

static void add(struct times *times, u64 ns, unsigned long caller)
{
	times->count++;
	times->sum += ns;
	times->histogram[bucket_of(ns)]++;
	if (ns > times->longest) {
		times->longest = ns;
		times->longest_by = caller;
	}
}

/* ---- Locks ---- */

static u32 *rank_of(const struct tmem_lock *lock)
{
	BUILD_BUG_ON(sizeof(spinlock_t) + sizeof(u32) > sizeof(struct tmem_lock));
	return (u32 *)(lock + 1) - 1;
}

/**
 * tmem_lock_stats_init - note a lock's rank
 * @lock: initialised
 * @rank: TMEM_RANK_*
 *
 * Context: Any.
 */
void tmem_lock_stats_init(struct tmem_lock *lock, unsigned int rank)
{
	*rank_of(lock) = min_t(unsigned int, rank, TMEM_RANKS - 1);
}

/**
 * tmem_lock_stats_acquire - take a lock and measure
 * @lock: prepared by tmem_lock_init()
 * @caller: for the table
 * @state: what to give back to tmem_lock_stats_release()
 *
 * Context: As tmem_lock_acquire().
 * Return: false if nothing is measured, and then the lock is not taken.
 */
bool tmem_lock_stats_acquire(struct tmem_lock *lock, unsigned long caller, unsigned long *state)
{
	spinlock_t *spinlock = (spinlock_t *)lock->words;
	struct holding holding = { .lock = lock, .caller = caller };
	struct cpu_times *cpu;
	bool waited = false;

	if (!times_of_cpus)
		return false;
	local_irq_save(*state);
	holding.asked = tmem_clock_ns();
	if (!spin_trylock(spinlock)) {
		waited = true;
		spin_lock(spinlock);
	}
	holding.had = waited ? tmem_clock_ns() : holding.asked;
	cpu = this_cpu_ptr(times_of_cpus);
	if (waited)
		add(&cpu->rows[ROW_WAITED + *rank_of(lock)], holding.had - holding.asked, caller);
	if (!WARN_ON_ONCE(cpu->holding_count == HOLDINGS_MAX))
		cpu->holdings[cpu->holding_count++] = holding;
	return true;
}

static bool take_holding(struct cpu_times *cpu, const struct tmem_lock *lock,
			 struct holding *holding)
{
	unsigned int i = cpu->holding_count;

	while (i--) {
		if (cpu->holdings[i].lock != lock)
			continue;
		*holding = cpu->holdings[i];
		cpu->holding_count--;
		memmove(&cpu->holdings[i], &cpu->holdings[i + 1],
			(cpu->holding_count - i) * sizeof(*holding));
		return true;
	}
	return false;
}

/**
 * tmem_lock_stats_release - measure, and let a lock go
 * @lock: taken by this context
 * @state: from tmem_lock_stats_acquire()
 *
 * Context: As tmem_lock_release().
 * Return: false if this lock was not measured, and then it is still held.
 */
bool tmem_lock_stats_release(struct tmem_lock *lock, unsigned long state)
{
	struct holding holding;
	struct cpu_times *cpu;
	u64 now;

	if (!times_of_cpus)
		return false;
	cpu = this_cpu_ptr(times_of_cpus);
	now = tmem_clock_ns();
	if (!take_holding(cpu, lock, &holding))
		return false;
	add(&cpu->rows[ROW_HELD + *rank_of(lock)], now - holding.had, holding.caller);
	tmem_lock_repeats_note(*rank_of(lock), now - holding.had, holding.caller);
	if (!irqs_disabled_flags(state))
		add(&cpu->rows[ROW_INTERRUPTS_OFF], now - holding.asked, holding.caller);
	spin_unlock((spinlock_t *)lock->words);
	local_irq_restore(state);
	return true;
}

/* ---- The codec ---- */

/**
 * tmem_lock_stats_codec_begin - preemption has just been switched off
 * @caller: for the table
 *
 * Context: As tmem_codec_begin() leaves it. An interrupt that comes in between
 * is not measured by itself: it leaves the depth as it found it.
 */
void tmem_lock_stats_codec_begin(unsigned long caller)
{
	struct cpu_times *cpu;

	if (!times_of_cpus)
		return;
	cpu = this_cpu_ptr(times_of_cpus);
	cpu->codec_depth++;
	barrier();
	if (cpu->codec_depth > 1)
		return;
	cpu->codec_caller = caller;
	cpu->codec_begun = tmem_clock_ns();
}

/**
 * tmem_lock_stats_codec_end - preemption will be let on now
 *
 * Context: As tmem_codec_end() found it.
 */
void tmem_lock_stats_codec_end(void)
{
	struct cpu_times *cpu;

	if (!times_of_cpus)
		return;
	cpu = this_cpu_ptr(times_of_cpus);
	if (cpu->codec_depth == 1)
		add(&cpu->rows[ROW_CODEC], tmem_clock_ns() - cpu->codec_begun, cpu->codec_caller);
	barrier();
	cpu->codec_depth--;
}

/* ---- The file ---- */

static void sum_up(struct times *sums)
{
	unsigned int cpu, row, bucket;

	for_each_possible_cpu(cpu) {
		const struct times *rows = per_cpu_ptr(times_of_cpus, cpu)->rows;

		for (row = 0; row < ROWS; row++) {
			sums[row].count += rows[row].count;
			sums[row].sum += rows[row].sum;
			if (rows[row].longest > sums[row].longest) {
				sums[row].longest = rows[row].longest;
				sums[row].longest_by = rows[row].longest_by;
			}
			for (bucket = 0; bucket < BUCKETS; bucket++)
				sums[row].histogram[bucket] += rows[row].histogram[bucket];
		}
	}
}

/* No more than one time in @one_in is longer than this. */
static u64 all_but(const struct times *times, unsigned int one_in)
{
	const u64 allowed = div_u64(times->count, one_in);
	unsigned int bucket = BUCKETS - 1;
	u64 longer = times->histogram[bucket];

	while (bucket && longer <= allowed)
		longer += times->histogram[--bucket];
	return min(bucket_end(bucket), times->longest);
}

static void show_name(struct seq_file *file, unsigned int row)
{
	if (row < ROW_WAITED)
		seq_printf(file, "%-20s held   ", tmem_rank_names[row - ROW_HELD]);
	else if (row < ROW_INTERRUPTS_OFF)
		seq_printf(file, "%-20s waited ", tmem_rank_names[row - ROW_WAITED]);
	else if (row >= ROW_EACH)
		seq_printf(file, "%-20s each   ", tmem_rank_names[row - ROW_EACH]);
	else
		seq_printf(file, "%-20s -      ", row == ROW_CODEC ? "codec" : "interrupts_off");
}

static void show_row(struct seq_file *file, unsigned int row, const struct times *times)
{
	show_name(file, row);
	seq_printf(file, " %10llu %14llu %8llu %8llu %8llu %10llu ", times->count, times->sum,
		   all_but(times, 2), all_but(times, 100), all_but(times, 10000), times->longest);
	if (times->longest_by)
		seq_printf(file, "%pS\n", (void *)times->longest_by);
	else
		seq_puts(file, "-\n");
}

static void show_histogram(struct seq_file *file, unsigned int row, const struct times *times)
{
	unsigned int octave, part;

	show_name(file, row);
	for (octave = 0; octave < OCTAVES; octave++) {
		u64 count = 0;

		for (part = 0; part < OCTAVE_PARTS; part++)
			count += times->histogram[octave * OCTAVE_PARTS + part];
		if (count)
			seq_printf(file, " <%llu:%llu",
				   bucket_end(octave * OCTAVE_PARTS + OCTAVE_PARTS - 1), count);
	}
	seq_putc(file, '\n');
}

#define READINGS 1000

static u64 clock_cost(void)
{
	const u64 begun = tmem_clock_ns();
	unsigned int i;

	for (i = 0; i < READINGS; i++)
		barrier_data((void *)(unsigned long)tmem_clock_ns());
	return div_u64(tmem_clock_ns() - begun, READINGS);
}

static void add_each(void *sums, unsigned int rank, u64 ns, unsigned long caller)
{
	add((struct times *)sums + ROW_EACH + rank, ns, caller);
}

static int locks_show(struct seq_file *file, void *unused)
{
	struct times *sums = kvcalloc(ROWS_SHOWN, sizeof(*sums), GFP_KERNEL);
	unsigned int row, rows = ROWS, repetitions;
	u64 differing;

	if (!sums)
		return -ENOMEM;
	sum_up(sums);
	seq_printf(file, "# times in ns; one reading of the clock takes %llu\n", clock_cost());
	repetitions = tmem_lock_repeats_each(add_each, sums, &differing);
	if (repetitions) {
		rows = ROWS_SHOWN;
		seq_printf(file, "# each: medians of %u repetitions; %llu differed\n", repetitions,
			   differing);
	}
	seq_printf(file, "%-20s %-7s %10s %14s %8s %8s %8s %10s %s\n", "#what", "", "count", "sum",
		   "p50", "p99", "p99.99", "longest", "by");
	for (row = 0; row < rows; row++)
		show_row(file, row, &sums[row]);
	seq_puts(file, "# how many were shorter than, and not shorter than half of it\n");
	for (row = 0; row < rows; row++)
		show_histogram(file, row, &sums[row]);
	kvfree(sums);
	return 0;
}

static int locks_open(struct inode *inode, struct file *opened)
{
	return single_open(opened, locks_show, inode->i_private);
}

static ssize_t locks_write(struct file *opened, const char __user *text, size_t bytes,
			   loff_t *position)
{
	unsigned int value, cpu;
	int error = kstrtouint_from_user(text, bytes, 0, &value);

	if (error)
		return error;
	if (value) {
		error = tmem_lock_repeats_begin(value);
		return error ? error : bytes;
	}
	tmem_lock_repeats_end();
	for_each_possible_cpu(cpu) {
		struct cpu_times *times = per_cpu_ptr(times_of_cpus, cpu);

		memset(times->rows, 0, sizeof(times->rows));
	}
	return bytes;
}

static const struct file_operations locks_fops = {
	.owner = THIS_MODULE,
	.open = locks_open,
	.read = seq_read,
	.write = locks_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/**
 * tmem_lock_stats_show_in - make the file
 * @directory: of debugfs
 *
 * Context: Process context. May sleep.
 */
void tmem_lock_stats_show_in(struct dentry *directory)
{
	debugfs_create_file("locks", 0600, directory, NULL, &locks_fops);
}

/**
 * tmem_lock_stats_start - measure from now on
 *
 * Context: Process context. May sleep. No lock of the core is held.
 * Return: 0 or -ENOMEM.
 */
int tmem_lock_stats_start(void)
{
	times_of_cpus = alloc_percpu(struct cpu_times);
	return times_of_cpus ? 0 : -ENOMEM;
}

/**
 * tmem_lock_stats_stop - measure no more
 *
 * Context: Process context. May sleep. No lock of the core is held or will be taken.
 */
void tmem_lock_stats_stop(void)
{
	tmem_lock_repeats_end();
	free_percpu(times_of_cpus);
	times_of_cpus = NULL;
}
