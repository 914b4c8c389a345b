/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of file-tester: options, threads, files with their model.
 *
 * A file has one owner, the only thread that changes it; racing readers read any file at any time. The model is the
 * file's bytes in memory (locked there, and not charged to the tight group). The rule by which a stale byte is found
 * with certainty, however a read races:
 *
 *   owner   record_begin: notes the range that the operation may change, number begun + 1
 *           the system calls
 *           record_commit: changes the model and sets done = begun, under the model's write lock
 *   reader  notes done; reads from the file; then under the model's read lock compares every byte with the model but
 *           those in the ranges of operations with a number in (done noted, begun now]
 *
 * A byte outside of those ranges was not under change at any moment of the read, so there is one right value, the
 * model's. Bytes in flight are not judged; what they became is, by every later read. A range goes to infinity when
 * the operation may change the size.
 */
#ifndef TESTER_H
#define TESTER_H

#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <sys/types.h>

#include "cgroup.h"
#include "verify.h"

#define LENGTH_MAX ((size_t)256 << 10)
#define RECORDS 512
#define OPERATIONS_MAX 64
#define TO_THE_END UINT64_MAX

enum { EXIT_MISMATCH = 1, EXIT_UNEXPECTED = 2, EXIT_USAGE = 4 };

struct options {
	char directory[1024];
	uint64_t seconds, operations, seed, files, file_size, readers, writers, memory;
	bool report, inject_stale;
};

struct record {
	uint64_t number, start, end;
	const char *what;
	uint32_t version;	/* that it wrote, 0 if none */
	bool changes;
	double at;
};

struct file {
	unsigned int slot;
	char path[1100];
	int buffered, direct;
	uint32_t serial, version;
	pthread_rwlock_t handles;	/* held to read by readers in a system call, to write when descriptors change */
	pthread_rwlock_t model;		/* guards all below; the owner may read without it */
	unsigned char *bytes;		/* zeros from size on */
	uint64_t size, begun, done;
	uint64_t hot_start, hot_end;	/* the last range changed: where a racing reader looks half the time */
	struct record records[RECORDS];
};

struct thread {
	unsigned int number;
	bool reader;
	pthread_t id;
	uint64_t random;
	unsigned char *data, *pattern;	/* LENGTH_MAX each, page aligned */
	uint64_t counts[OPERATIONS_MAX], verified, in_flight, operations_left;
	uint64_t no_space, unsupported, inode_reused, page_faults_refused, direct_in_flight_reads, collisions;
};

/* weight 0: of racing readers if reader_weight is not 0 */
struct operation {
	const char *name;
	unsigned int weight, reader_weight;
	void (*run)(struct thread *thread, struct file *file);
};

extern struct options options;
extern struct operation operations[];
extern size_t operations_count;
extern struct file *files;
extern struct thread *threads;
extern struct group group;
extern double started;
extern uint64_t block_bytes, direct_bytes;	/* what fallocate, clones and O_DIRECT are aligned to */
extern volatile bool stop;

/* main.c */
void __attribute__((noreturn, format(printf, 2, 3))) unexpected(struct file *file, const char *format, ...);
void print_report(uint64_t mismatches);
size_t threads_count(void);

/* model.c */
void file_open(struct file *file, int flags);
void file_close(struct file *file);
uint32_t serial_new(void);
uint32_t version_new(struct file *file);
void record_begin(struct file *file, const char *what, uint64_t start, uint64_t end, uint32_t version);
void record_read(struct file *file, const char *what, uint64_t start, uint64_t end);
void record_lock(struct file *file);
void record_commit(struct file *file);
void model_resize(struct file *file, uint64_t size);
void model_adopt(struct thread *thread, struct file *file, uint64_t start, uint64_t end, const unsigned char *wanted);
uint64_t reading_since(struct file *file);
void verify_read(struct thread *thread, struct file *file, uint64_t since, uint64_t offset, const void *found,
		 size_t length, ssize_t got, const char *how);
bool excluded(const struct file *file, uint64_t since, uint64_t start, uint64_t end);

/* report.c */
void __attribute__((noreturn)) report_mismatch(struct thread *thread, struct file *file, uint64_t since,
					       uint64_t offset, const unsigned char *found, size_t length,
					       const char *how);
extern uint32_t *versions_of_serial;
extern uint32_t serials_count;

/* map.c: copies out of or into a mapping; returns the bytes copied before SIGBUS stopped it */
void map_catch_faults(void);
size_t map_copy(unsigned char *to, const unsigned char *from, size_t length);

/* operations, in the files of the same names */
void direct_read(struct thread *thread, struct file *file);
void direct_write(struct thread *thread, struct file *file);
void direct_async(struct thread *thread, struct file *file);
void map_read(struct thread *thread, struct file *file);
void map_random(struct thread *thread, struct file *file);
void map_write(struct thread *thread, struct file *file);
void shape_shrink(struct thread *thread, struct file *file);
void shape_grow(struct thread *thread, struct file *file);
void shape_punch(struct thread *thread, struct file *file);
void shape_zero(struct thread *thread, struct file *file);
void shape_zero_keep(struct thread *thread, struct file *file);
void shape_collapse(struct thread *thread, struct file *file);
void shape_insert(struct thread *thread, struct file *file);
void shape_allocate(struct thread *thread, struct file *file);
void shape_allocate_keep(struct thread *thread, struct file *file);
void copy_clone(struct thread *thread, struct file *file);
void copy_clone_range(struct thread *thread, struct file *file);
void copy_range(struct thread *thread, struct file *file);
void copy_sendfile(struct thread *thread, struct file *file);
void name_reopen(struct thread *thread, struct file *file);
void name_recreate(struct thread *thread, struct file *file);
void name_rename_over(struct thread *thread, struct file *file);
void fill(struct thread *thread, struct file *file);
void cache_reclaim(struct thread *thread, struct file *file);
void cache_advise_dontneed(struct thread *thread, struct file *file);

/* Random ranges: false if there is none. align 1 and up, a power of two. */
bool range_inside(struct thread *thread, const struct file *file, uint64_t align, size_t most, uint64_t *offset,
		  size_t *length);
bool range_anywhere(struct thread *thread, const struct file *file, uint64_t align, size_t most, uint64_t *offset,
		    size_t *length);
struct file *other_file(struct thread *thread, struct file *file);
void collision(struct thread *thread, struct file *file);
/* After ENOSPC where the outcome is open: the file is cut at offset, and so is the model. */
void cut_after_no_space(struct thread *thread, struct file *file, uint64_t offset);

static inline bool one_in(struct thread *thread, size_t n)
{
	return random_below(&thread->random, n) == 0;
}

static inline uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
