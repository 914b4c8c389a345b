// SPDX-License-Identifier: GPL-2.0
/*
 * abi_check.c - the C half of the boundary's oath.
 *
 * Compiles to nothing. core/abi.h is read by a C and a C++ compiler, under
 * different flags; both sides assert the same numbers, so that neither can
 * drift. The numbers are for LP64, the only data model the module builds for.
 */
#include <linux/build_bug.h>
#include <linux/errno.h>
#include <linux/lzo.h>
#include <linux/mm.h>
#include <linux/spinlock.h>
#include <linux/stddef.h>

#include "glue.h"

#ifndef CONFIG_64BIT
#error "tmem is for 64-bit kernels"
#endif
#ifdef CONFIG_PREEMPT_RT
#error "tmem does not run on PREEMPT_RT: its locks are taken with interrupts off"
#endif

#define SIZE(type, bytes) static_assert(sizeof(type) == (bytes))
#define OFFSET(type, member, bytes) static_assert(offsetof(type, member) == (bytes))

/* Results are errno values. */
static_assert(TMEM_NOT_FOUND == -ENOENT);
static_assert(TMEM_NO_MEMORY == -ENOMEM);
static_assert(TMEM_BAD_ARGUMENT == -EINVAL);
static_assert(TMEM_TOO_MANY == -ENFILE);
static_assert(TMEM_GOING_AWAY == -ESHUTDOWN);
static_assert(TMEM_CORRUPT == -EBADMSG);
static_assert(TMEM_IN_USE == -EBUSY);
static_assert(TMEM_REFUSED_POOR == -E2BIG);
static_assert(TMEM_REFUSED_BUDGET == -ENOSPC);
static_assert(TMEM_REFUSED_LIMIT == -EDQUOT);
static_assert(TMEM_REFUSED_NESTED == -EAGAIN);
static_assert(TMEM_REFUSED_FROZEN == -EPERM);

/* The kernel's own sizes. The words of a lock and a gate come from Kbuild; counters.c checks the gate's. */
static_assert(TMEM_PAGE_BYTES == PAGE_SIZE);
static_assert(sizeof(spinlock_t) <= sizeof(struct tmem_lock));
static_assert(__alignof__(spinlock_t) <= __alignof__(struct tmem_lock));
/* The kernel's macro has two bytes more, for LZO-RLE's header, which we never write. */
static_assert(lzo1x_worst_compress(PAGE_SIZE) - 2 <= TMEM_CODEC_OUTPUT_BYTES);

SIZE(struct tmem_oid, 24);

SIZE(struct tmem_codec_buffers, 24);
OFFSET(struct tmem_codec_buffers, workspace, 0);
OFFSET(struct tmem_codec_buffers, output, 8);
OFFSET(struct tmem_codec_buffers, bounce, 16);

SIZE(struct tmem_host_ops, 152);
OFFSET(struct tmem_host_ops, abi_size, 0);
OFFSET(struct tmem_host_ops, cpu_count, 4);
OFFSET(struct tmem_host_ops, memory_frames, 8);
OFFSET(struct tmem_host_ops, hash_seed, 16);
OFFSET(struct tmem_host_ops, object_alloc, 24);
OFFSET(struct tmem_host_ops, object_free, 32);
OFFSET(struct tmem_host_ops, frame_alloc, 40);
OFFSET(struct tmem_host_ops, frame_free, 48);
OFFSET(struct tmem_host_ops, table_alloc, 56);
OFFSET(struct tmem_host_ops, table_free, 64);
OFFSET(struct tmem_host_ops, counters_alloc, 72);
OFFSET(struct tmem_host_ops, counters_free, 80);
OFFSET(struct tmem_host_ops, breathe, 88);
OFFSET(struct tmem_host_ops, codec_begin, 96);
OFFSET(struct tmem_host_ops, codec_end, 104);
OFFSET(struct tmem_host_ops, compress, 112);
OFFSET(struct tmem_host_ops, decompress, 120);
OFFSET(struct tmem_host_ops, checksum, 128);
OFFSET(struct tmem_host_ops, evicted, 136);
OFFSET(struct tmem_host_ops, node_of, 144);

SIZE(struct tmem_pam_page, 24);
OFFSET(struct tmem_pam_page, data, 0);
OFFSET(struct tmem_pam_page, back_reference, 8);
OFFSET(struct tmem_pam_page, client, 16);
OFFSET(struct tmem_pam_page, persistent, 20);

SIZE(struct tmem_pam_ops, 120);
OFFSET(struct tmem_pam_ops, abi_size, 0);
OFFSET(struct tmem_pam_ops, reserved, 4);
OFFSET(struct tmem_pam_ops, start, 8);
OFFSET(struct tmem_pam_ops, stop, 16);
OFFSET(struct tmem_pam_ops, create, 24);
OFFSET(struct tmem_pam_ops, hold, 32);
OFFSET(struct tmem_pam_ops, release, 40);
OFFSET(struct tmem_pam_ops, get_data, 48);
OFFSET(struct tmem_pam_ops, free, 56);
OFFSET(struct tmem_pam_ops, shrink, 64);
OFFSET(struct tmem_pam_ops, compact, 72);
OFFSET(struct tmem_pam_ops, set_limit, 80);
OFFSET(struct tmem_pam_ops, set_client, 88);
OFFSET(struct tmem_pam_ops, usage, 96);
OFFSET(struct tmem_pam_ops, client_usage, 104);
OFFSET(struct tmem_pam_ops, offer, 112);

SIZE(struct tmem_offer, 16);
OFFSET(struct tmem_offer, frames_ephemeral, 0);
OFFSET(struct tmem_offer, frames_compactable, 8);

SIZE(struct tmem_usage, 176);
OFFSET(struct tmem_usage, frames, 0);
OFFSET(struct tmem_usage, metadata_bytes, 144);
OFFSET(struct tmem_usage, store_bytes, 168);

SIZE(struct tmem_stats, 232);
OFFSET(struct tmem_stats, puts, 0);
OFFSET(struct tmem_stats, pages_corrupt, 200);
OFFSET(struct tmem_stats, objects, 224);

SIZE(struct tmem_host_stats, 472);
OFFSET(struct tmem_host_stats, pages, 0);
OFFSET(struct tmem_host_stats, usage, 232);
OFFSET(struct tmem_host_stats, bad_arguments, 408);
OFFSET(struct tmem_host_stats, clients, 464);

SIZE(struct tmem_pool_info, 280);
OFFSET(struct tmem_pool_info, client_name, 0);
OFFSET(struct tmem_pool_info, pool, 16);
OFFSET(struct tmem_pool_info, flags, 20);
OFFSET(struct tmem_pool_info, sharers, 24);
OFFSET(struct tmem_pool_info, uuid, 32);
OFFSET(struct tmem_pool_info, stats, 48);

SIZE(struct tmem_client_usage, 48);
OFFSET(struct tmem_client_usage, weight, 0);
OFFSET(struct tmem_client_usage, pages_evicted, 40);

SIZE(struct tmem_client_info, 72);
OFFSET(struct tmem_client_info, name, 0);
OFFSET(struct tmem_client_info, number, 16);
OFFSET(struct tmem_client_info, usage, 24);

static_assert(TMEM_TUNABLES_COUNT == 6);
static_assert(TMEM_WEIGHT_MAX == 10000 && TMEM_WEIGHT_DEFAULT == 100);	/* the range of kernel_weight */
