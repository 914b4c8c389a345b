// SPDX-License-Identifier: GPL-2.0
/*
 * load_main.c - tmem_load.ko: an engine, threads that work on it, and two files; see load.h.
 */
#define pr_fmt(fmt) "tmem_load: " fmt

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "glue/compat.h"
#include "glue/glue.h"
#include "load.h"

static char *load = "file";
module_param(load, charp, 0444);
MODULE_PARM_DESC(load, "which load (kunit/load)");

static unsigned int threads;
module_param(threads, uint, 0444);
MODULE_PARM_DESC(threads, "how many threads, each on a CPU of its own (default: one for each CPU)");

static unsigned int pages = 16384;
module_param(pages, uint, 0444);
MODULE_PARM_DESC(pages, "how many different handles (default 16384)");

static unsigned int percent = 60;
module_param(percent, uint, 0444);
MODULE_PARM_DESC(percent, "max_pool_percent of the engine (default 60)");

static unsigned int hold_ns = 1000;
module_param(hold_ns, uint, 0444);
MODULE_PARM_DESC(hold_ns, "how long the file hold holds a lock each time (default 1000)");

static unsigned long long seed = 1;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "seed (default 1)");

static const struct load *chosen;
static struct load_run run;
static struct load_thread *all;
static struct dentry *directory;
static DEFINE_MUTEX(run_mutex);		/* one run at a time */
static u64 run_ns;

/* ---- What loads do ---- */

static u64 mix(u64 value)
{
	value ^= value >> 30;
	value *= 0xbf58476d1ce4e5b9;
	value ^= value >> 27;
	value *= 0x94d049bb133111eb;
	return value ^ value >> 31;
}

u64 load_random(struct load_thread *thread)
{
	thread->random += 0x9e3779b97f4a7c15;
	return mix(thread->random);
}

/* The first word of the page under a handle. */
static u64 mark(const struct tmem_oid *oid, u64 index)
{
	return mix(mix(oid->word[0] + 3 * oid->word[1] + 5 * oid->word[2]) + index);
}

int load_put(struct load_thread *thread, const struct tmem_oid *oid, u64 index)
{
	u64 *content = thread->contents[index % LOAD_CONTENTS];
	int result;

	content[0] = mark(oid, index);
	result = tmem_put(thread->run->client, thread->run->pool, oid, index, content);
	thread->counts.puts++;
	thread->counts.puts_stored += result == TMEM_OK;
	return result;
}

int load_get(struct load_thread *thread, const struct tmem_oid *oid, u64 index)
{
	const int result = tmem_get(thread->run->client, thread->run->pool, oid, index,
				    thread->page);

	thread->counts.gets++;
	thread->counts.gets_hit += result == TMEM_OK;
	if (result == TMEM_CORRUPT || (result == TMEM_OK && thread->page[0] != mark(oid, index)))
		thread->counts.mismatches++;
	return result;
}

void load_flush(struct load_thread *thread, const struct tmem_oid *oid, u64 index)
{
	tmem_flush_page(thread->run->client, thread->run->pool, oid, index);
	thread->counts.flushes++;
}

void load_flush_object(struct load_thread *thread, const struct tmem_oid *oid)
{
	tmem_flush_object(thread->run->client, thread->run->pool, oid);
	thread->counts.object_flushes++;
}

/* ---- Threads ---- */

struct worker {
	struct load_thread *thread;
	u64 steps;
	struct completion done;
};

static int work(void *data)
{
	struct worker *worker = data;
	u64 step;

	for (step = 0; step < worker->steps; step++) {
		chosen->step(worker->thread);
		if (!(step & 15))
			cond_resched();
	}
	complete(&worker->done);
	/* Until it is stopped, so that no thread is left in this module's code. */
	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static int run_all(u64 steps)
{
	struct task_struct **tasks = kcalloc(threads, sizeof(*tasks), GFP_KERNEL);
	struct worker *workers = kcalloc(threads, sizeof(*workers), GFP_KERNEL);
	unsigned int i, made = 0, cpu = cpumask_first(cpu_online_mask);
	int error = tasks && workers ? 0 : -ENOMEM;
	ktime_t begun;

	/* The same in each run: an empty pool, the same random numbers. */
	tmem_destroy_pool(run.client, run.pool);
	run.pool = tmem_new_pool(run.client, chosen->pool_flags, NULL);
	if (run.pool < 0)
		error = run.pool;
	for (i = 0; !error && i < threads; i++) {
		workers[i] = (struct worker){ .thread = &all[i], .steps = steps };
		init_completion(&workers[i].done);
		all[i].random = mix(seed + i);
		memset(&all[i].counts, 0, sizeof(all[i].counts));
		tasks[i] = kthread_create(work, &workers[i], "tmem_load/%u", i);
		error = PTR_ERR_OR_ZERO(tasks[i]);
		if (error)
			break;
		made++;
		kthread_bind(tasks[i], cpu);
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
	}
	begun = ktime_get();
	for (i = 0; !error && i < threads; i++)
		wake_up_process(tasks[i]);
	/* In pieces: under an emulator it may take longer than the kernel lets a task wait without a word. */
	for (i = 0; !error && i < threads; i++)
		while (!wait_for_completion_timeout(&workers[i].done, 10 * HZ))
			;
	run_ns = ktime_to_ns(ktime_sub(ktime_get(), begun));
	/* One that was never woken ends without having run. */
	for (i = 0; i < made; i++)
		kthread_stop(tasks[i]);
	kfree(tasks);
	kfree(workers);
	return error;
}

/* ---- The files ---- */

static ssize_t run_write(struct file *file, const char __user *text, size_t bytes, loff_t *position)
{
	u64 steps;
	int error = kstrtou64_from_user(text, bytes, 0, &steps);

	if (error)
		return error;
	mutex_lock(&run_mutex);
	error = run_all(steps);
	mutex_unlock(&run_mutex);
	return error ? error : bytes;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = run_write,
};

static ssize_t hold_write(struct file *file, const char __user *text, size_t bytes,
			  loff_t *position)
{
	struct tmem_lock lock;
	u64 count, i;
	int error = kstrtou64_from_user(text, bytes, 0, &count);

	if (error)
		return error;
	tmem_lock_init(&lock, TMEM_RANK_STORE);
	for (i = 0; i < count; i++) {
		const unsigned long state = tmem_lock_acquire(&lock);
		const u64 begun = tmem_clock_ns();

		while (tmem_clock_ns() - begun < hold_ns)
			cpu_relax();
		tmem_lock_release(&lock, state);
		if (!(i & 63))
			cond_resched();
	}
	tmem_lock_destroy(&lock);
	return bytes;
}

static const struct file_operations hold_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = hold_write,
};

static int result_show(struct seq_file *file, void *unused)
{
	struct load_counts sum = { };
	struct tmem_host_stats stats;
	unsigned int i;

	mutex_lock(&run_mutex);
	for (i = 0; i < threads; i++) {
#define ADD_COUNT(name) sum.name += all[i].counts.name;
		LOAD_COUNTS(ADD_COUNT)
	}
	tmem_host_stats(run.host, &stats);
	seq_printf(file, "threads %u\nns %llu\n", threads, run_ns);
#define SHOW_COUNT(name) seq_printf(file, #name " %llu\n", sum.name);
	LOAD_COUNTS(SHOW_COUNT)
	seq_printf(file, "pages %llu\nframes %llu\n", stats.pages.pages, stats.usage.frames);
	mutex_unlock(&run_mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(result);

/* ---- Coming and going ---- */

static const struct load *find_load(const struct load *loads, const char *name)
{
	for (; loads->name; loads++)
		if (!strcmp(loads->name, name))
			return loads;
	return NULL;
}

/* A page whose last @noise words are noise and the others a few that come again and again. */
static void make_content(struct load_thread *thread, u64 *content, unsigned int noise)
{
	const unsigned int words = TMEM_PAGE_BYTES / sizeof(u64);
	unsigned int i;

	for (i = 0; i < words; i++)
		content[i] = i < words - noise ? mix(load_random(thread) & 15) : load_random(thread);
}

static int make_thread(struct load_thread *thread, unsigned int number)
{
	unsigned int i;

	thread->run = &run;
	thread->random = mix(seed + number);
	thread->contents = vmalloc(LOAD_CONTENTS * TMEM_PAGE_BYTES);
	thread->page = (u64 *)__get_free_page(GFP_KERNEL);
	if (!thread->contents || !thread->page)
		return -ENOMEM;
	for (i = 0; i < LOAD_CONTENTS; i++)
		make_content(thread, thread->contents[i], 40 * i);
	return 0;
}

static int make_engine(void)
{
	int error = tmem_register_host_ops(tmem_kernel_host_ops(), &run.host);

	if (error)
		return error;
	error = tmem_tunable_set(run.host, TMEM_TUNABLE_MAX_POOL_PERCENT, percent);
	if (!error)
		error = tmem_register_pam_ops(run.host, tmem_compressed_pam());
	if (!error)
		error = tmem_client_create(run.host, "load", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT,
					   &run.client);
	if (error)
		return error;
	run.pool = tmem_new_pool(run.client, chosen->pool_flags, NULL);
	return run.pool < 0 ? run.pool : 0;
}

static void clean_up(void)
{
	unsigned int i;

	debugfs_remove_recursive(directory);
	if (run.client)
		tmem_client_destroy(run.client);
	if (run.host)
		WARN_ON(tmem_unregister_host(run.host));
	for (i = 0; all && i < threads; i++) {
		vfree(all[i].contents);
		free_page((unsigned long)all[i].page);
	}
	kfree(all);
}

static int __init tmem_load_init(void)
{
	unsigned int i;
	int error;

	chosen = find_load(shared_loads, load);
	if (!chosen)
		chosen = find_load(long_loads, load);
	if (!chosen || !pages) {
		pr_err("no load '%s' of %u pages\n", load, pages);
		return -EINVAL;
	}
	threads = threads ? threads : num_online_cpus();
	run.pages = pages;
	all = kcalloc(threads, sizeof(*all), GFP_KERNEL);
	error = all ? make_engine() : -ENOMEM;
	for (i = 0; !error && i < threads; i++)
		error = make_thread(&all[i], i);
	if (error) {
		pr_err("not loaded (error %d)\n", -error);
		clean_up();
		return error;
	}
	directory = debugfs_create_dir("tmem_load", NULL);
	debugfs_create_file("run", 0200, directory, NULL, &run_fops);
	debugfs_create_file("hold", 0200, directory, NULL, &hold_fops);
	debugfs_create_file("result", 0400, directory, NULL, &result_fops);
	return 0;
}
module_init(tmem_load_init);

static void __exit tmem_load_exit(void)
{
	clean_up();
}
module_exit(tmem_load_exit);

MODULE_DESCRIPTION("Loads to measure tmem under");
MODULE_LICENSE("GPL");
