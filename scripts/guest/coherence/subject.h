/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What each test of coherence works on: a file of known bytes whose pages can be sent out of the page cache by
 * reclaim, the only way by which tmem on a stock kernel gets them.
 */
#ifndef SUBJECT_H
#define SUBJECT_H

#include <stdbool.h>

#include "cgroup.h"
#include "pattern.h"
#include "verify.h"

#define SUBJECT_PAGES ((size_t)64)
#define SUBJECT_BYTES (SUBJECT_PAGES * PAGE_BYTES)
#define SUBJECT_ROOM (2 * SUBJECT_BYTES)	/* no test makes it larger */

struct subject {
	char path[1100];
	int file, direct;
	uint32_t serial, version;
	uint64_t size;
	unsigned char *bytes;		/* the model, SUBJECT_ROOM, zeros from size on */
};

/* NULL: all right; else why not, or "skip: ..." */
typedef const char *verdict;

extern struct group group;
extern const char *directory, *device, *type_name;
extern unsigned int rounds;
extern uint64_t block_bytes;
extern unsigned char *buffer;		/* SUBJECT_ROOM, page aligned */

verdict __attribute__((format(printf, 1, 2))) because(const char *format, ...);

/* Its pages are resident, and clean. */
verdict subject_make(struct subject *subject, const char *name);
void subject_end(struct subject *subject);
/* New bytes, in the model and in the buffer; the caller has them written. */
void subject_renew(struct subject *subject, uint64_t offset, size_t length);
/* Makes all its pages clean and has reclaim take them: none is resident after it. */
verdict subject_put(struct subject *subject);
/* Compares all of it, read through the page cache. */
verdict subject_compare(struct subject *subject, const char *when);
/* The same in every way: as it is, after reclaim, through a mapping, from the disk. */
verdict subject_compare_all(struct subject *subject);
/* Takes what the group may lose, whichever processor's lists it is on. */
void reclaim_everywhere(void);
size_t resident_pages(int file, uint64_t offset, size_t bytes);

/* The module's: what an event of debugfs counts, SIZE_MAX if there is none; taken away, put back as it was. */
extern const char *module_path, *module_words;
size_t event_count(const char *name);
bool has_native_hooks(void);
#define BLIND because("skip: 5.10's hooks cannot see this")
verdict module_remove(void);
verdict module_insert(void);

/* What @run says, in a process of its own. */
verdict in_child(verdict (*run)(const char *argument), const char *argument);

verdict test_truncate(void);
verdict test_truncate_in_page(void);
verdict test_punch(void);
verdict test_punch_in_page(void);
verdict test_zero(void);
verdict test_collapse(void);
verdict test_insert(void);
verdict test_clone_over(void);
verdict test_copy_over(void);
verdict test_write_over(void);
verdict test_write_part(void);
verdict test_write_dropped(void);
verdict test_map_write(void);
verdict test_move_extents(void);
verdict test_move_extents_resident(void);
verdict test_direct_write(void);
verdict test_direct_write_other_descriptor(void);
verdict test_direct_async(void);
verdict test_direct_fault(void);
verdict test_direct_full(void);
verdict test_clone_killed(void);
verdict test_clone_keeps(void);
verdict test_rename_keeps(void);
verdict test_suspect_once(void);
verdict test_looked_again(void);
verdict test_before_load(void);
verdict test_walked(void);
verdict test_dont_need(void);
verdict test_dont_need_resident(void);
verdict test_drop_caches(void);
verdict test_drop_caches_resident(void);
verdict test_put_in_flight(void);
verdict test_mapped_out(void);
verdict test_quota(void);
verdict test_inline_data(void);
verdict test_inode_reuse(void);
verdict test_rename_over(void);
verdict test_remount(void);
verdict test_end_of_file(void);
verdict test_end_of_file_grown(void);
verdict test_swap_file(void);
verdict test_swap_file_resident(void);
verdict test_swap_file_active(void);
verdict test_charge(void);
verdict test_far_page(void);

#define TRY(expression)					\
	do {						\
		verdict verdict_ = (expression);	\
		if (verdict_)				\
			return verdict_;		\
	} while (0)

#endif
