// SPDX-License-Identifier: GPL-2.0
/*
 * kunit_main.c - the scenarios as KUnit suites, one suite per group, one case each.
 *
 * They run when tmem_kunit.ko is loaded, beside the live engine of tmem.ko:
 * each makes engines of its own, with the kernel's memory, locks and codec.
 * The results go to the kernel log as TAP.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "../glue/glue.h"
#include "scenarios/scenarios.h"

static unsigned int effort = 1;
module_param(effort, uint, 0444);
MODULE_PARM_DESC(effort, "how many times as long the concurrent scenarios run (default 1)");

static unsigned long long seed = 1;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "seed of the random ones (default 1)");

/* ---- The platform ---------------------------------------------------------- */

const struct tmem_host_ops *platform_host_ops(void)
{
	return tmem_kernel_host_ops();
}

void *platform_allocate(unsigned long bytes)
{
	/* vmalloc memory is page aligned whatever the slab allocator's debugging does. */
	return bytes >= PAGE_SIZE ? vzalloc(bytes) : kzalloc(bytes, GFP_KERNEL);
}

void platform_release(void *memory)
{
	kvfree(memory);
}

void platform_fail(struct scenario_env *env, const char *file, int line, const char *format, ...)
{
	char text[160];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	KUNIT_FAIL((struct kunit *)env->platform, "%s:%d: %s", file, line, text);
}

struct platform_thread {
	struct task_struct *task;
	void (*run)(void *argument);
	void *argument;
	struct completion done;
};

static int thread_main(void *data)
{
	struct platform_thread *thread = data;

	thread->run(thread->argument);
	complete(&thread->done);
	/* Until it is joined, so that no thread is left in this module's code. */
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

struct platform_thread *platform_thread_start(void (*run)(void *argument), void *argument)
{
	struct platform_thread *thread = kzalloc(sizeof(*thread), GFP_KERNEL);

	if (!thread)
		return NULL;
	thread->run = run;
	thread->argument = argument;
	init_completion(&thread->done);
	thread->task = kthread_run(thread_main, thread, "tmem_kunit");
	if (IS_ERR(thread->task)) {
		kfree(thread);
		return NULL;
	}
	return thread;
}

void platform_thread_join(struct platform_thread *thread)
{
	/* A thread stopped before it first ran would never run. */
	wait_for_completion(&thread->done);
	kthread_stop(thread->task);
	kfree(thread);
}

void platform_pause(void)
{
	usleep_range(50, 200);
}

void platform_yield(void)
{
	cond_resched();
}

int platform_events_waiting(void)
{
	return -1;
}

unsigned long platform_interrupts_off(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

void platform_interrupts_on(unsigned long flags)
{
	local_irq_restore(flags);
}

#if IS_ENABLED(CONFIG_IRQ_WORK)
struct interrupt {
	struct irq_work work;
	void (*run)(void *argument);
	void *argument;
	int done;
};

static void interrupt_main(struct irq_work *work)
{
	struct interrupt *interrupt = container_of(work, struct interrupt, work);

	interrupt->run(interrupt->argument);
	smp_store_release(&interrupt->done, 1);
}

/* A real one, on this CPU: the caller holds codec buffers and so cannot move. */
void platform_interrupt(void (*run)(void *argument), void *argument)
{
	struct interrupt interrupt = { .run = run, .argument = argument };

	init_irq_work(&interrupt.work, interrupt_main);
	irq_work_queue(&interrupt.work);
	while (!smp_load_acquire(&interrupt.done))
		cpu_relax();
	irq_work_sync(&interrupt.work);
}
#else
void platform_interrupt(void (*run)(void *argument), void *argument)
{
	unsigned long flags;

	local_irq_save(flags);
	run(argument);
	local_irq_restore(flags);
}
#endif

/* ---- The suites --------------------------------------------------------------- */

static void run_scenario(struct kunit *test, void (*scenario)(struct scenario_env *env))
{
	struct scenario_env *env = kzalloc(sizeof(*env), GFP_KERNEL);

	if (!env) {
		KUNIT_FAIL(test, "no memory for the environment");
		return;
	}
	env->platform = test;
	env->effort = effort ? effort : 1;
	scenario_run(env, scenario, seed);
	kfree(env);
}

#define KUNIT_SCENARIO(scenario)                                                                   \
	static void kunit_##scenario(struct kunit *test)                                           \
	{                                                                                          \
		run_scenario(test, scenario_##scenario);                                           \
	}

#define KUNIT_SCENARIO_CASE(scenario) { .run_case = kunit_##scenario, .name = #scenario },

#define KUNIT_SCENARIO_GROUP(group, GROUP)                                                         \
	SCENARIOS_##GROUP(KUNIT_SCENARIO)                                                          \
	static struct kunit_case group##_cases[] = { SCENARIOS_##GROUP(KUNIT_SCENARIO_CASE) { } }; \
	static struct kunit_suite group##_suite = {                                                \
		.name = "tmem_" #group,                                                            \
		.test_cases = group##_cases,                                                       \
	};

SCENARIO_GROUPS(KUNIT_SCENARIO_GROUP)

#ifdef kunit_test_suites_for_module
/*
 * Here a module's suites run from its own initcall, and nobody prints the
 * head of the TAP stream, which the kernel's parser looks for.
 */
#define KUNIT_SUITE_POINTER(group, GROUP) &group##_suite,

static struct kunit_suite *suites[] = { SCENARIO_GROUPS(KUNIT_SUITE_POINTER) NULL };

static int __init tmem_kunit_init(void)
{
	printk(KERN_INFO "TAP version 14\n");
	printk(KERN_INFO "1..%zu\n", ARRAY_SIZE(suites) - 1);
	return __kunit_test_suites_init(suites);
}
module_init(tmem_kunit_init);

static void __exit tmem_kunit_exit(void)
{
	__kunit_test_suites_exit(suites);
}
module_exit(tmem_kunit_exit);
#else
kunit_test_suites(&contract_suite, &pam_suite, &store_suite, &same_filled_suite, &eviction_suite,
		  &failures_suite, &life_cycle_suite, &concurrent_suite);
#endif

MODULE_DESCRIPTION("KUnit suites of the tmem core");
MODULE_LICENSE("GPL");
