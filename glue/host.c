// SPDX-License-Identifier: GPL-2.0
/*
 * host.c - the host ops table: this kernel as the core sees it.
 *
 * One table for the module's own engine and for every engine that a test
 * makes; a test copies it and replaces single functions to make them fail.
 */
#include <linux/cache.h>
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/sched.h>

#include "glue.h"
#include "trace.h"

static void breathe(void)
{
	cond_resched();
}

static void evicted(unsigned int client, int reason, unsigned int frames)
{
	trace_tmem_evict(client, reason, frames);
}

static struct tmem_host_ops kernel_ops __ro_after_init = {
	.abi_size = sizeof(kernel_ops),
	.object_alloc = tmem_object_alloc,
	.object_free = tmem_object_free,
	.frame_alloc = tmem_frame_alloc,
	.frame_free = tmem_frame_free,
	.table_alloc = tmem_table_alloc,
	.table_free = tmem_table_free,
	.counters_alloc = tmem_counters_alloc,
	.counters_free = tmem_counters_free,
	.breathe = breathe,
	.codec_begin = tmem_codec_begin,
	.codec_end = tmem_codec_end,
	.compress = tmem_compress,
	.decompress = tmem_decompress,
	.checksum = tmem_checksum,
	.evicted = evicted,
	.node_of = tmem_node_of,
};

/**
 * tmem_kernel_host_ops_fill - complete the table with what only a running kernel knows
 *
 * Context: Process context, once, while the module loads.
 */
void __init tmem_kernel_host_ops_fill(void)
{
	kernel_ops.cpu_count = nr_cpu_ids;
	kernel_ops.memory_frames = totalram_pages();
	get_random_bytes(&kernel_ops.hash_seed, sizeof(kernel_ops.hash_seed));
}

/**
 * tmem_kernel_host_ops - the services of this kernel
 *
 * Context: Any.
 * Return: The table; it works as long as the module is loaded.
 */
const struct tmem_host_ops *tmem_kernel_host_ops(void)
{
	return &kernel_ops;
}
