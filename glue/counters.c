// SPDX-License-Identifier: GPL-2.0
/*
 * counters.c - the core's counters, and the gates that are made of two of them.
 *
 * A row of counters is per-CPU memory; adding is one instruction that no
 * interrupt divides. A gate counts who enters and who leaves, each on the CPU
 * it is on, so an operation writes to no cache line of another CPU:
 *
 *   enter   reads that the gate is open and counts, in one RCU read section
 *   close   shuts the gate, and waits for a grace period: whoever saw it open
 *           has counted by then, whoever comes later sees it shut
 *   leave   counts, and if the gate is shut wakes the closer, which compares sums
 *
 * The idea is that of the kernel's percpu_ref, whose close costs a callback of
 * RCU, some 10 ms; the expedited grace period here takes a fraction of one,
 * which shows where pools come and go by the hundred.
 */
#include <linux/cache.h>
#include <linux/completion.h>
#include <linux/gfp.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>

#include "glue.h"

struct gate {
	bool open;
	unsigned int cell;			/* entered; the next one: left */
	struct tmem_counters *counters;
	struct completion left;			/* somebody has left a gate that is shut */
};

static struct gate *as_gate(struct tmem_gate *gate)
{
	BUILD_BUG_ON(sizeof(struct gate) > sizeof(struct tmem_gate));
	return (struct gate *)gate->words;
}

static unsigned long long __percpu *cells_of(const struct tmem_counters *counters)
{
	/* By way of a number: per-CPU memory may be an address space of its own to the compiler. */
	return (unsigned long long __percpu __force *)(unsigned long)counters;
}

/*
 * One instruction, so nothing can come between. User Mode Linux on one CPU has
 * that instruction too, but its this_cpu_add() is the generic one, which turns
 * interrupts off and on (8 ns): what is measured there is to be what an x86 does.
 */
static inline void add_to(unsigned long long __percpu *cell, unsigned long long delta)
{
#if defined(CONFIG_UML) && defined(CONFIG_X86_64) && !defined(CONFIG_SMP)
	asm volatile("addq %1, %0" : "+m" (*raw_cpu_ptr(cell)) : "er" (delta) : "cc");
#else
	this_cpu_add(*cell, delta);
#endif
}

/**
 * tmem_counters_alloc - a row of counters, all 0
 * @cells: how many
 *
 * Context: Process context. May sleep.
 * Return: The row, or NULL.
 */
struct tmem_counters *tmem_counters_alloc(unsigned int cells)
{
	return (struct tmem_counters *)(__force unsigned long)
		__alloc_percpu_gfp(cells * sizeof(unsigned long long), SMP_CACHE_BYTES, GFP_KERNEL | __GFP_NOWARN);
}

/**
 * tmem_counters_free - give a row back
 * @counters: from tmem_counters_alloc(); nobody adds any more
 * @cells: as then
 *
 * Context: Process context. May sleep.
 */
void tmem_counters_free(struct tmem_counters *counters, unsigned int cells)
{
	free_percpu(cells_of(counters));
}

/**
 * tmem_counters_add - add to a counter
 * @counters: the row
 * @cell: which
 * @delta: what to add, modulo 2^64
 *
 * What this CPU did before is seen by whoever sees the sum (free on x86).
 *
 * Context: Any.
 */
void tmem_counters_add(struct tmem_counters *counters, unsigned int cell, unsigned long long delta)
{
	smp_mb__before_atomic();
	add_to(cells_of(counters) + cell, delta);
}

/**
 * tmem_counters_sum - a counter over all CPUs
 * @counters: the row
 * @cell: which
 *
 * Context: Any.
 * Return: The sum; exact if nobody adds meanwhile.
 */
unsigned long long tmem_counters_sum(const struct tmem_counters *counters, unsigned int cell)
{
	unsigned long long sum = 0;
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(cells_of(counters) + cell, cpu));
	smp_mb();
	return sum;
}

/**
 * tmem_gate_init - prepare a gate, closed
 * @gate: storage of the core's
 * @counters: the row it counts in
 * @cell: two cells of it
 *
 * Context: Any.
 */
void tmem_gate_init(struct tmem_gate *gate, struct tmem_counters *counters, unsigned int cell)
{
	struct gate *own = as_gate(gate);

	own->open = false;
	own->cell = cell;
	own->counters = counters;
	init_completion(&own->left);
}

/**
 * tmem_gate_destroy - a gate will not be used again
 * @gate: closed, and nobody inside
 *
 * Context: Process context. Sleeps until the last who left is out of the gate's memory too.
 */
void tmem_gate_destroy(struct tmem_gate *gate)
{
	WARN_ON_ONCE(READ_ONCE(as_gate(gate)->open));
	synchronize_rcu_expedited();
}

/**
 * tmem_gate_open - let in who comes
 * @gate: closed
 *
 * Context: Any.
 */
void tmem_gate_open(struct tmem_gate *gate)
{
	struct gate *own = as_gate(gate);

	/* Whoever left last time may still be signalling: a wake-up too many does no harm. */
	reinit_completion(&own->left);
	smp_store_release(&own->open, true);
}

/**
 * tmem_gate_enter - go in
 * @gate: prepared by tmem_gate_init()
 *
 * Context: Any but NMI.
 * Return: 1 inside, tmem_gate_leave() must follow; 0 the gate is closed.
 */
int tmem_gate_enter(struct tmem_gate *gate)
{
	struct gate *own = as_gate(gate);
	bool open;

	rcu_read_lock();
	open = smp_load_acquire(&own->open);
	if (likely(open))
		add_to(cells_of(own->counters) + own->cell, 1);
	rcu_read_unlock();
	return open;
}

/**
 * tmem_gate_leave - go out
 * @gate: entered by this operation
 *
 * Context: Any but NMI. On any CPU.
 */
void tmem_gate_leave(struct tmem_gate *gate)
{
	struct gate *own = as_gate(gate);

	rcu_read_lock();
	tmem_counters_add(own->counters, own->cell + 1, 1);
	if (unlikely(!READ_ONCE(own->open)))
		complete(&own->left);
	rcu_read_unlock();
}

/**
 * tmem_gate_close - let nobody in, and wait until the last has left
 * @gate: open
 *
 * Context: Process context. Sleeps, uninterruptibly: operations are short.
 */
void tmem_gate_close(struct tmem_gate *gate)
{
	struct gate *own = as_gate(gate);

	WRITE_ONCE(own->open, false);
	synchronize_rcu_expedited();
	for (;;) {
		/* Left before entered: with both equal nobody was inside in between. */
		const unsigned long long left = tmem_counters_sum(own->counters, own->cell + 1);

		if (left == tmem_counters_sum(own->counters, own->cell))
			break;
		wait_for_completion(&own->left);
	}
}

/**
 * tmem_gate_is_open - would tmem_gate_enter() succeed?
 * @gate: prepared by tmem_gate_init()
 *
 * Context: Any.
 * Return: 1 or 0; a moment later it may be otherwise.
 */
int tmem_gate_is_open(const struct tmem_gate *gate)
{
	return READ_ONCE(((const struct gate *)gate->words)->open);
}
