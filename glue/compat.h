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
#endif

/* 2022-01, 5.16: page waiters become folio waiters. 2022-03, 5.17: frontswap is not exported to modules. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 17, 0)
#define TMEM_NO_FRONTSWAP "the kernel does not export frontswap_register_ops() since 5.17"
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(5, 16, 0)
#define TMEM_NO_FRONTSWAP "the frontswap hooks are not ported to 5.16"
#elif !IS_ENABLED(CONFIG_FRONTSWAP)
#define TMEM_NO_FRONTSWAP "the kernel is built without CONFIG_FRONTSWAP"
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

#endif /* TMEM_GLUE_COMPAT_H */
