/* SPDX-License-Identifier: GPL-2.0 */
/*
 * glue.h - what the files of glue/ know of each other.
 *
 *   main.c         loading and unloading, in this order:
 *   params.c       module parameters; ranges of the tunables
 *   memory.c       host ops: objects, frames, tables
 *   codec.c        host ops: LZO, checksum, per-CPU buffers
 *   host.c         the host ops table; locks.c is linked, not called through it
 *   kernel_host.c  the running host, the kernel's own client, and both their tunables; other modules' way in
 *   lock_stats.c   TMEM_LOCK_STATS builds: how long locks are held (lock_stats.h)
 *   shrinker.c     the kernel asks for memory back
 *   sysfs.c        /sys/kernel/mm/tmem
 *   debugfs.c      /sys/kernel/debug/tmem
 *   trace.c        trace events (trace.h); the families call the core through operations.h, which raises them
 *   cleancache.c   hook family: clean file pages, native interface
 *   page_cache.c   hook family: clean file pages, redirected functions (page_cache.h)
 *   frontswap.c    hook family: swapped-out pages, native interface (swap_area.h)
 *   swap_redirect.c  hook family: swapped-out pages, redirected functions (redirect.h)
 *   blockdev.c     hook family: swapped-out pages, a block device over the swap device
 *
 * Each part keeps what it is given at start; there is no state shared by all.
 */
#ifndef TMEM_GLUE_GLUE_H
#define TMEM_GLUE_GLUE_H

#include <linux/nodemask.h>
#include <linux/types.h>

#include "core/abi.h"
#include "kernel_host.h"

/* ---- params.c ---- */

/* X(NAME, name, smallest, largest, default, "meaning, unit"): beyond the core's, those of the kernel's own client. */
#define TMEM_KERNEL_TUNABLES(X)								\
	X(KERNEL_WEIGHT, kernel_weight, 1, 10000, 100,					\
	  "share of the budget that the kernel's own pages have, beside the weights of other modules' clients") \
	X(KERNEL_LIMIT_PERCENT, kernel_limit_percent, 1, 100, 100,			\
	  "most RAM that the kernel's own pages may use, percent; 100 is no limit but max_pool_percent")

/* Their numbers follow those of the core's. */
enum tmem_kernel_tunable {
	TMEM_TUNABLE_LAST_OF_THE_CORE = TMEM_TUNABLES_COUNT - 1,
	TMEM_KERNEL_TUNABLES(TMEM_DECLARE_TUNABLE)
	TMEM_ALL_TUNABLES
};

#define TMEM_EVERY_TUNABLE(X) TMEM_TUNABLES(X) TMEM_KERNEL_TUNABLES(X)

struct tmem_parameters {
	unsigned long long tunable[TMEM_ALL_TUNABLES];
	const struct tmem_pam_ops *(*pam)(void);
	bool cleancache;
	bool frontswap;
	bool force;		/* go on a kernel that is not in the support table */
	bool blockdev;		/* swapped-out pages by the block device, not by hooks */
	char *backing;		/* the device under it; set if @blockdev */
};

const struct tmem_parameters *tmem_parameters(void);
int tmem_parameter_is_bad(void);

const char *tmem_tunable_name(unsigned int tunable);
int tmem_tunable_parse(unsigned int tunable, const char *text, unsigned long long *value);

/* ---- host services ---- */

int tmem_memory_start(void);
void tmem_memory_stop(void);

void *tmem_object_alloc(unsigned int kind, unsigned int flags);
void tmem_object_free(unsigned int kind, void *object);
void *tmem_frame_alloc(unsigned int flags);
void tmem_frame_free(void *frame);
void tmem_frames_watch(const nodemask_t *nodes);
unsigned long tmem_frames_watched(void);
void tmem_frames_unwatch(void);
unsigned int tmem_node_of(unsigned int cpu);
void *tmem_table_alloc(unsigned long bytes);
void tmem_table_free(void *table, unsigned long bytes);
struct tmem_counters *tmem_counters_alloc(unsigned int cells);
void tmem_counters_free(struct tmem_counters *counters, unsigned int cells);

int tmem_codec_start(void);
void tmem_codec_stop(void);

struct tmem_codec_buffers tmem_codec_begin(void);
void tmem_codec_end(void);
int tmem_compress(const void *page, void *output, unsigned long *output_bytes, void *workspace);
int tmem_decompress(const void *input, unsigned long input_bytes, void *page);
unsigned int tmem_checksum(const void *data, unsigned long bytes);

void tmem_kernel_host_ops_fill(void);
const struct tmem_host_ops *tmem_kernel_host_ops(void);

/* ---- kernel_host.c ---- */

int tmem_kernel_host_start(const struct tmem_parameters *parameters);
int tmem_kernel_host_stop(void);
struct tmem_client *tmem_kernel_client(void);

unsigned long long tmem_kernel_tunable_get(unsigned int tunable);
int tmem_kernel_tunable_set(unsigned int tunable, unsigned long long value);

/* ---- faces ---- */

int tmem_shrinker_start(struct tmem_host *host);
void tmem_shrinker_stop(void);

int tmem_sysfs_start(struct tmem_host *host);
void tmem_sysfs_stop(void);

void tmem_debugfs_start(struct tmem_host *host);
void tmem_debugfs_stop(void);

/* ---- hook families ---- */

/**
 * struct tmem_attachment - what became of a hook family
 * @attached: its hooks are live
 * @permanent: they stay so until the machine goes down
 * @how: for the log: which hooks, or why there are none
 */
struct tmem_attachment {
	bool attached;
	bool permanent;
	const char *how;
};

struct tmem_attachment tmem_cleancache_attach(struct tmem_client *client);
struct tmem_attachment tmem_frontswap_attach(struct tmem_client *client);
void tmem_frontswap_watch(void);

struct tmem_attachment tmem_page_cache_attach(struct tmem_client *client);
void tmem_page_cache_detach(void);
bool tmem_page_cache_event_next(unsigned int number, const char **name, unsigned long *count);

struct tmem_attachment tmem_swap_redirect_attach(struct tmem_client *client);
void tmem_swap_redirect_detach(void);

struct tmem_attachment tmem_blockdev_attach(struct tmem_client *client, const char *backing);
void tmem_blockdev_detach(void);

#endif /* TMEM_GLUE_GLUE_H */
