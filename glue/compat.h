/* SPDX-License-Identifier: GPL-2.0 */
/*
 * compat.h - the only file that looks at the kernel's version.
 *
 * What differs between kernels gets a name here, one dated line each; the rest
 * of glue/ asks for the name.
 */
#ifndef TMEM_GLUE_COMPAT_H
#define TMEM_GLUE_COMPAT_H

#include <linux/kconfig.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 10, 0)
#error "tmem needs Linux 5.10 or later"
#endif

/*
 * TMEM_NO_CLEANCACHE and TMEM_NO_FRONTSWAP, where defined, say why the native
 * interface is not there; the text goes to the log as it is.
 */

/* 2022-03, 5.17: cleancache is removed. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 17, 0)
#define TMEM_NO_CLEANCACHE "the kernel has no cleancache since 5.17"
#elif !IS_ENABLED(CONFIG_CLEANCACHE)
#define TMEM_NO_CLEANCACHE "the kernel is built without CONFIG_CLEANCACHE"
#elif IS_ENABLED(CONFIG_SWAP) && !IS_ENABLED(CONFIG_FRONTSWAP)
#define TMEM_NO_CLEANCACHE "the kernel is built without CONFIG_FRONTSWAP, which tells when a swap file ends"
#endif

/* 2022-03, 5.17: frontswap is not exported to modules. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 17, 0)
#define TMEM_NO_FRONTSWAP "the kernel does not export frontswap_register_ops() since 5.17"
#elif !IS_ENABLED(CONFIG_FRONTSWAP)
#define TMEM_NO_FRONTSWAP "the kernel is built without CONFIG_FRONTSWAP"
#endif

/*
 * The support table: kernels that tmem was tested on (Documentation/kernels.md).
 * On others the module declines to load unless force=1.
 */
#define TMEM_KERNEL_IS(major, minor)					\
	(LINUX_VERSION_CODE >= KERNEL_VERSION(major, minor, 0) &&	\
	 LINUX_VERSION_CODE < KERNEL_VERSION(major, (minor) + 1, 0))
#if !TMEM_KERNEL_IS(5, 10) && !TMEM_KERNEL_IS(6, 1) && !TMEM_KERNEL_IS(6, 12) && !TMEM_KERNEL_IS(7, 3)
#define tmem_kernel_is_tested() false
#else
#define tmem_kernel_is_tested() true
#endif

/*
 * TMEM_REDIRECTS: kernel functions can be redirected (glue/redirect.h), and are
 * what glue/page_cache.c takes them for; else TMEM_NO_REDIRECTS says why not.
 * 2022-12, 6.1: the folio functions of reclaim and readahead have their form.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#define TMEM_NO_REDIRECTS "redirecting functions is ported to 6.1 and later"
#elif !IS_ENABLED(CONFIG_X86_64)
#define TMEM_NO_REDIRECTS "redirecting functions is ported to x86-64"
#elif !IS_ENABLED(CONFIG_DYNAMIC_FTRACE_WITH_ARGS) || !IS_ENABLED(CONFIG_KPROBES) || \
	!IS_ENABLED(CONFIG_HAVE_STATIC_CALL) || !IS_ENABLED(CONFIG_TRACEPOINTS)
#define TMEM_NO_REDIRECTS "the kernel is built without ftrace, kprobes or static calls"
#else
#define TMEM_REDIRECTS
#endif

/* 2022-11, 6.2: one name for what a handler may do to the registers. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define tmem_ftrace_return_to(registers, address) \
	ftrace_regs_set_instruction_pointer(registers, address)
#else
#define tmem_ftrace_return_to(registers, address) ftrace_instruction_pointer_set(registers, address)
#endif

/* 2025, 6.17: system_unbound_wq has another name; later kernels complain of the old one when it is used. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define tmem_unbound_wq system_dfl_wq
#else
#define tmem_unbound_wq system_unbound_wq
#endif

/* 2026, 7.x: the last byte to truncate is unsigned. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define tmem_truncate_last_t uoff_t
#else
#define tmem_truncate_last_t loff_t
#endif

/* 2025, 6.18 at the latest: the end of a swap area's extents is told the file. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#define TMEM_SWAP_EXTENTS_OF struct swap_info_struct *area, struct file *area_file
#define TMEM_SWAP_EXTENTS area, area_file
#define tmem_swap_extents_file area_file
#else
#define TMEM_SWAP_EXTENTS_OF struct swap_info_struct *area
#define TMEM_SWAP_EXTENTS area
#define tmem_swap_extents_file ((area)->swap_file)
#endif

/* 2024-07, 6.10: a second way to invalidate, which does nothing if the page cache is empty. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define TMEM_FILEMAP_INVALIDATE_INODE
#endif

#ifdef TMEM_REDIRECTS

/* 2025, 6.19 at the latest: an inode's state is read by a function. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define tmem_inode_is_new(inode) (inode_state_read_once(inode) & I_NEW)
#else
#define tmem_inode_is_new(inode) (READ_ONCE((inode)->i_state) & I_NEW)
#endif

/* 2024-03, 6.9: a lease is a type of its own, and what it shares with locks has its own prefix. */
#include <linux/fs.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
#include <linux/filelock.h>
#define TMEM_LEASE struct file_lease
#define tmem_lease_list c.flc_list
#define tmem_lease_flags c.flc_flags
#else
#define TMEM_LEASE struct file_lock
#define tmem_lease_list fl_list
#define tmem_lease_flags fl_flags
#endif

#endif /* TMEM_REDIRECTS */

/*
 * The functions through which pages are swapped, where they are redirected:
 * 2023-08, 6.6: frontswap is removed, zswap is called directly; 2024-01, 6.8:
 * zswap is asked by folio. 2025, 6.17: zswap_load() returns an errno value and unlocks.
 */
#ifdef TMEM_REDIRECTS
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define TMEM_REDIRECT_ZSWAP
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define TMEM_REDIRECT_FRONTSWAP
#endif
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define TMEM_ZSWAP_LOAD_UNLOCKS
#endif

/* 2025-12, 6.18 at the latest: whoever frees a slot calls zswap_invalidate(). Before, not for those of large folios. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
#define TMEM_SLOTS_FREED_SILENTLY
#endif

/* 2020-12, 5.11: a page can be mapped for a moment without stopping preemption. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0)
#define tmem_map_page(page) kmap_local_page(page)
#define tmem_unmap_page(data) kunmap_local(data)
#else
#define tmem_map_page(page) kmap_atomic(page)
#define tmem_unmap_page(data) kunmap_atomic(data)
#endif

/* 2022-01, 5.16: the file of a page of the swap cache is its folio's. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 16, 0)
#define tmem_swap_cache_mapping(page) swapcache_mapping(page_folio(page))
#else
#define tmem_swap_cache_mapping(page) __page_file_mapping(page)
#endif

/* 2022-01, 5.16: waiters for a page wait for its folio. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 16, 0)
#define tmem_queue_for(queued, of_page) ((queued)->folio = page_folio(of_page))
#define tmem_queued_page(queued) (&(queued)->folio->page)
#define tmem_add_wait_queue(page, entry) folio_add_wait_queue(page_folio(page), entry)
#else
#define tmem_queue_for(queued, of_page) ((queued)->page = (of_page))
#define tmem_queued_page(queued) ((queued)->page)
#define tmem_add_wait_queue(page, entry) add_page_wait_queue(page, entry)
#endif

/*
 * A clock in ns, true for one CPU, with interrupts off too: local_clock() stands still then after a tick, if the TSC is
 * not trusted. User Mode Linux has none finer than 256 ns; there, a system call asks its host: clock_gettime() for
 * CLOCK_MONOTONIC.
 */
#if IS_ENABLED(CONFIG_UML)
#include <linux/types.h>
static inline u64 tmem_clock_ns(void)
{
	long time[2];
	long result;

	asm volatile("syscall"
		     : "=a" (result)
		     : "0" (228L), "D" (1L), "S" (time)
		     : "rcx", "r11", "memory");
	return time[0] * 1000000000ULL + time[1];
}
#else
#define tmem_clock_ns() sched_clock()
#endif

/* 2021-08, 5.15: every policy for nodes has its nodes in one place. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 15, 0)
#define tmem_policy_nodes(policy) ((policy)->nodes)
#else
#define tmem_policy_nodes(policy) ((policy)->v.nodes)
#endif

/* 2022-10, 6.0: register_shrinker() takes a name. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 0, 0)
#define TMEM_SHRINKER_NAMED
#endif

/* 2024-01, 6.7: shrinkers are allocated by the kernel. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#define TMEM_SHRINKER_ALLOCATED
#endif

/* 2023-04, 6.4: what a shrinker frees beyond slabs is told to reclaim by a function. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define tmem_account_reclaimed(pages) mm_account_reclaimed_pages(pages)
#else
#define tmem_account_reclaimed(pages)						\
	do {									\
		if (current->reclaim_state)					\
			current->reclaim_state->reclaimed_slab += (pages);	\
	} while (0)
#endif

/*
 * The block device (blockdev.c). Ported to the kernels with long-term support: 5.10, 5.15, 6.1, 6.6, 6.12 and
 * later; between them the block layer's interface is in motion.
 */
#if !IS_ENABLED(CONFIG_BLOCK)
#define TMEM_NO_BLOCKDEV "the kernel is built without CONFIG_BLOCK"
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(5, 15, 0)
#define TMEM_NO_BLOCKDEV "the block device is not ported to 5.11 to 5.14"
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
#define TMEM_NO_BLOCKDEV "the block device is not ported to 6.7 to 6.10"
#endif

/* 2021-10, 5.15: a disk is allocated with its queue, adding it can fail, and the sectors of a device have a getter. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 15, 0)
#define TMEM_BDEV_ADD_CAN_FAIL
#endif

/* 2022-01, 5.16: submit_bio returns nothing. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 16, 0)
#define TMEM_BDEV_COOKIE void
#define TMEM_BDEV_NO_COOKIE
#else
#define TMEM_BDEV_COOKIE blk_qc_t
#define TMEM_BDEV_NO_COOKIE BLK_QC_T_NONE
#endif

/* 2022-03, 5.17: a disk of one minor number is scanned for partitions unless it says no. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 17, 0)
#define TMEM_BDEV_DISK_FLAGS GENHD_FL_NO_PART
#else
#define TMEM_BDEV_DISK_FLAGS 0
#endif

/* 2022-05, 5.18: a bio is told its device when it is made. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 18, 0)
#define TMEM_BDEV_BIO_HAS_DEVICE
#endif

/* 2022-07, 5.19: discard is a limit and not a flag of the queue; put_disk() frees the queue. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 19, 0)
#define TMEM_BDEV_NO_DISCARD_FLAG
#endif

/* 2023-08, 6.5: open and release take a disk, no mode; devices are opened with blk_mode_t and holder ops. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define TMEM_BDEV_HOLDER_OPS
#endif

/* 2024-05, 6.9: an open device is a struct file. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
#define TMEM_BDEV_IS_FILE
#endif

/* 2024-09, 6.11: limits and features are given when the disk is allocated. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
#define TMEM_BDEV_FEATURES
#endif

#endif /* TMEM_GLUE_COMPAT_H */
