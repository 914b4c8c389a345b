// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - loading and unloading.
 *
 * Loading builds from the bottom up (memory, codec, host, PAM, client), then
 * the faces (shrinker, sysfs, debugfs), then the hooks. A failure on the way
 * undoes what was done, in reverse, and says in one line what failed. The
 * hooks come last because the native ones cannot be taken back: from then on
 * nothing may fail, and the module pins itself. Redirected functions can: they
 * go first when the module is unloaded, which pages that only we have prevent.
 *
 * rmmod -f (CONFIG_MODULE_FORCE_UNLOAD, which Debian has) passes over what pins
 * us, and cannot be refused: the kernel asks nothing, it calls our exit
 * function. But nothing of us is taken apart before that returns, so it does not
 * return before the last user has gone: until then every hook and every page is
 * where it was, and swapoff brings the pages home. New users get no pin any more, so
 * there will be none.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <generated/utsrelease.h>

#include "compat.h"
#include "glue.h"
#include "left_out.h"
#include "lock_stats.h"

/* Each kernel has at most one of the two; where it has neither, the later one knows best why. */
static struct tmem_attachment __init attach_file_pages(void)
{
	struct tmem_attachment native = tmem_cleancache_attach(tmem_kernel_client());

	return native.attached ? native : tmem_page_cache_attach(tmem_kernel_client());
}

static struct tmem_attachment __init attach_swap_pages(const struct tmem_parameters *parameters)
{
	struct tmem_attachment native;

	if (parameters->blockdev)
		return tmem_blockdev_attach(tmem_kernel_client(), parameters->backing);
	native = tmem_frontswap_attach(tmem_kernel_client());
	return native.attached ? native : tmem_swap_redirect_attach(tmem_kernel_client());
}

static void __init attach(const struct tmem_parameters *parameters)
{
	struct tmem_attachment file = { .how = "cleancache=0" };
	struct tmem_attachment swap = { .how = "frontswap=0" };

	/* A hook may run before its registration returns: pinned first. */
	__module_get(THIS_MODULE);
	if (parameters->cleancache)
		file = attach_file_pages();
	if (parameters->frontswap)
		swap = attach_swap_pages(parameters);
	if (!file.permanent && !swap.permanent)
		module_put(THIS_MODULE);

	pr_info("file pages: %s%s%s; swap pages: %s%s%s; up to %llu %% of %lu MiB%s\n",
		file.attached ? "" : "none (", file.how, file.attached ? "" : ")",
		swap.attached ? "" : "none (", swap.how, swap.attached ? "" : ")",
		tmem_kernel_tunable_get(TMEM_TUNABLE_MAX_POOL_PERCENT),
		totalram_pages() >> (20 - PAGE_SHIFT),
		file.permanent || swap.permanent ?
		"; cannot be unloaded: these interfaces have no unregister" : "");
}

static int __init tmem_init(void)
{
	const struct tmem_parameters *parameters = tmem_parameters();
	const char *step = "parameters";
	int error = -EINVAL;

	if (!parameters)
		goto failed;

	if (!tmem_kernel_is_tested() && !parameters->force) {
		pr_err("not loaded: not tested on Linux %s, but on 5.10, 6.1, 6.12, 7.3; force=1 loads it all the same\n",
		       UTS_RELEASE);
		return -EOPNOTSUPP;
	}

	step = "lock statistics";
	error = tmem_lock_stats_start();
	if (error)
		goto failed;

	step = "object caches";
	error = tmem_memory_start();
	if (error)
		goto failed_memory;

	step = "compression buffers";
	error = tmem_codec_start();
	if (error)
		goto failed_codec;

	step = "engine";
	tmem_kernel_host_ops_fill();
	error = tmem_kernel_host_start(parameters);
	if (error)
		goto failed_host;

	step = "shrinker";
	error = tmem_shrinker_start(tmem_kernel_host());
	if (error)
		goto failed_shrinker;

	step = "sysfs";
	error = tmem_sysfs_start(tmem_kernel_host());
	if (error)
		goto failed_sysfs;

	tmem_debugfs_start(tmem_kernel_host());
	attach(parameters);
	return 0;

failed_sysfs:
	tmem_shrinker_stop();
failed_shrinker:
	tmem_kernel_host_stop();
failed_host:
	tmem_codec_stop();
failed_codec:
	tmem_memory_stop();
failed_memory:
	tmem_lock_stats_stop();
failed:
	pr_err("not loaded: %s: %s (error %d)\n", step,
	       error == -ENOMEM ? "no memory" : "refused", -error);
	return error;
}

static void __exit outlast_users(void)
{
	if (module_refcount(THIS_MODULE) <= 0 || tmem_left_out("outlast_users"))
		return;
	pr_warn("unloading is forced, but %d are using it (swap areas, open devices, other modules): it goes when they have; swapoff -a brings pages home\n",
		module_refcount(THIS_MODULE));
	while (module_refcount(THIS_MODULE) > 0)
		schedule_timeout_idle(HZ / 10);
}

static void __exit tmem_exit(void)
{
	int left_over;

	outlast_users();

	tmem_page_cache_detach();
	tmem_swap_redirect_detach();
	tmem_blockdev_detach();
	tmem_debugfs_stop();
	tmem_sysfs_stop();
	tmem_shrinker_stop();
	left_over = tmem_kernel_host_stop();
	tmem_codec_stop();
	/* Memory that somebody has left stays as it is: its caches cannot go. */
	if (!left_over)
		tmem_memory_stop();
	tmem_lock_stats_stop();
	pr_info("unloaded\n");
}

module_init(tmem_init);
module_exit(tmem_exit);

MODULE_DESCRIPTION("Transcendent memory: keeps clean file pages and swapped-out pages compressed in RAM");
MODULE_LICENSE("GPL");
