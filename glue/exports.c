// SPDX-License-Identifier: GPL-2.0
/*
 * exports.c - the ABI, for other modules.
 *
 * Exported here and not where they are defined: the kernel's tool for symbol
 * versions parses C only, and most of these are C++.
 */
#include <linux/export.h>

#include "glue.h"

/* What the core links: locks.c, counters.c */
EXPORT_SYMBOL_GPL(tmem_lock_init);
EXPORT_SYMBOL_GPL(tmem_lock_destroy);
EXPORT_SYMBOL_GPL(tmem_lock_acquire);
EXPORT_SYMBOL_GPL(tmem_lock_release);
EXPORT_SYMBOL_GPL(tmem_counters_add);
EXPORT_SYMBOL_GPL(tmem_counters_sum);
EXPORT_SYMBOL_GPL(tmem_gate_init);
EXPORT_SYMBOL_GPL(tmem_gate_destroy);
EXPORT_SYMBOL_GPL(tmem_gate_open);
EXPORT_SYMBOL_GPL(tmem_gate_enter);
EXPORT_SYMBOL_GPL(tmem_gate_leave);
EXPORT_SYMBOL_GPL(tmem_gate_close);
EXPORT_SYMBOL_GPL(tmem_gate_is_open);

/* Hosts and PAMs */
EXPORT_SYMBOL_GPL(tmem_kind_bytes);
EXPORT_SYMBOL_GPL(tmem_kind_alignment);
EXPORT_SYMBOL_GPL(tmem_kind_name);
EXPORT_SYMBOL_GPL(tmem_register_host_ops);
EXPORT_SYMBOL_GPL(tmem_unregister_host);
EXPORT_SYMBOL_GPL(tmem_register_pam_ops);
EXPORT_SYMBOL_GPL(tmem_compressed_pam);
EXPORT_SYMBOL_GPL(tmem_plain_pam);
EXPORT_SYMBOL_GPL(tmem_pam_evict);
EXPORT_SYMBOL_GPL(tmem_pam_move);
EXPORT_SYMBOL_GPL(tmem_kernel_host_ops);
EXPORT_SYMBOL_GPL(tmem_kernel_host);

/* Tunables */
EXPORT_SYMBOL_GPL(tmem_tunable_set);
EXPORT_SYMBOL_GPL(tmem_tunable_get);

/* Clients and pools */
EXPORT_SYMBOL_GPL(tmem_client_create);
EXPORT_SYMBOL_GPL(tmem_client_configure);
EXPORT_SYMBOL_GPL(tmem_client_destroy);
EXPORT_SYMBOL_GPL(tmem_new_pool);
EXPORT_SYMBOL_GPL(tmem_destroy_pool);

/* The page operations */
EXPORT_SYMBOL_GPL(tmem_put);
EXPORT_SYMBOL_GPL(tmem_get);
EXPORT_SYMBOL_GPL(tmem_flush_page);
EXPORT_SYMBOL_GPL(tmem_flush_range);
EXPORT_SYMBOL_GPL(tmem_flush_range_slowly);
EXPORT_SYMBOL_GPL(tmem_flush_object);
EXPORT_SYMBOL_GPL(tmem_flush_object_slowly);

/* Memory pressure */
EXPORT_SYMBOL_GPL(tmem_shrink);
EXPORT_SYMBOL_GPL(tmem_compact);
EXPORT_SYMBOL_GPL(tmem_compactable);
EXPORT_SYMBOL_GPL(tmem_shrinkable);
EXPORT_SYMBOL_GPL(tmem_shrink_node);
EXPORT_SYMBOL_GPL(tmem_compact_node);
EXPORT_SYMBOL_GPL(tmem_offer_of_node);

/* Statistics and tests */
EXPORT_SYMBOL_GPL(tmem_host_stats);
EXPORT_SYMBOL_GPL(tmem_host_value);
EXPORT_SYMBOL_GPL(tmem_pool_stats);
EXPORT_SYMBOL_GPL(tmem_next_pool);
EXPORT_SYMBOL_GPL(tmem_next_client);
EXPORT_SYMBOL_GPL(tmem_validate);
EXPORT_SYMBOL_GPL(tmem_debug_corrupt);
