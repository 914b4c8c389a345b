// SPDX-License-Identifier: GPL-2.0
/* The table of operations, and the plain ones: read, write, sync, advise, reclaim. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "pattern.h"
#include "tester.h"

/* --- random ranges --- */

static uint64_t random_offset(struct thread *thread, uint64_t limit, uint64_t align)
{
	uint64_t offset = random_next(&thread->random) % limit;

	/* Half of the time whole pages, if that is not asked for anyway. */
	if (align < PAGE_BYTES && one_in(thread, 2))
		align = PAGE_BYTES;
	return offset & ~(align - 1);
}

static size_t random_length(struct thread *thread, uint64_t align, size_t most)
{
	/* Mostly short, so that pages are changed one by one; sometimes long, so that whole windows are. */
	static const size_t scales[] = { 600, 4096, 16384, 65536, 65536, LENGTH_MAX };
	size_t length = 1 + random_below(&thread->random, smaller(most, scales[random_below(&thread->random, 6)]));

	return smaller((length + align - 1) & ~(align - 1), most & ~(align - 1));
}

/* Inside of the file's present size. */
bool range_inside(struct thread *thread, const struct file *file, uint64_t align, size_t most, uint64_t *offset,
		  size_t *length)
{
	if (file->size < align) {
		*offset = *length = 0;
		return false;
	}
	*offset = random_offset(thread, file->size & ~(align - 1), align);
	*length = smaller(random_length(thread, align, most), (file->size - *offset) & ~(align - 1));
	return *length > 0;
}

/* Anywhere below the greatest size; mostly near or in what is there, now and then far beyond it: a sparse file. */
bool range_anywhere(struct thread *thread, const struct file *file, uint64_t align, size_t most, uint64_t *offset,
		    size_t *length)
{
	uint64_t limit = one_in(thread, 4) ? options.file_size : smaller(file->size + 65536, options.file_size);

	*offset = random_offset(thread, limit, align);
	*length = smaller(random_length(thread, align, most), options.file_size - *offset);
	return *length > 0;
}

/* Of the same owner; may be the same file. */
struct file *other_file(struct thread *thread, struct file *file)
{
	size_t mine = (options.files - thread->number + options.writers - 1) / options.writers;
	struct file *other = &files[thread->number + options.writers * random_below(&thread->random, mine)];

	return one_in(thread, 4) ? file : other;
}

void cut_after_no_space(struct thread *thread, struct file *file, uint64_t offset)
{
	thread->no_space++;
	record_begin(file, "cut", offset, TO_THE_END, 0);
	if (ftruncate(file->buffered, (off_t)offset))
		unexpected(file, "truncate to %llu after ENOSPC", (unsigned long long)offset);
	record_lock(file);
	model_resize(file, offset);
	record_commit(file);
}

/*
 * A sync said EIO: a direct write found a page that the kernel could not drop, and the page cache may be stale by the
 * kernel's own account (btrfs, where readers race). Nothing can be said of the file any more, so it is made anew. The
 * disk's own errors are in the kernel's log, which scripts/vm judges.
 */
void collision(struct thread *thread, struct file *file)
{
	thread->collisions++;
	name_recreate(thread, file);
}

/* --- write --- */

/* For --inject stale: some writes are undone behind the model's back once the test runs for a while. */
static void inject_stale(struct file *file, const unsigned char *old, uint64_t offset, size_t length)
{
	static int left = 200;

	if (!options.inject_stale || !length || __atomic_sub_fetch(&left, 1, __ATOMIC_RELAXED) != 0)
		return;
	fprintf(stderr, "file-tester: injected: %zu old bytes at %llu of file %u\n", length,
		(unsigned long long)offset, file->slot);
	if (pwrite(file->buffered, old, length, (off_t)offset) < 0)
		unexpected(file, "injected write");
}

static void write_bytes(struct thread *thread, struct file *file, int descriptor, const char *what, uint64_t offset,
			size_t length)
{
	uint64_t end = offset + length;
	uint32_t version = version_new(file);
	ssize_t written;

	pattern_fill(thread->data, file->serial, version, offset, length);
	record_begin(file, what, smaller(offset, file->size), end > file->size ? TO_THE_END : end, version);
	written = pwrite(descriptor, thread->data, length, (off_t)offset);
	if (written < 0 && errno == ENOSPC) {
		thread->no_space++;
		written = 0;
	}
	if (written < 0 && errno == EIO) {
		collision(thread, file);
		return;
	}
	if (written < 0)
		unexpected(file, "%s of %zu bytes at %llu", what, length, (unsigned long long)offset);
	if ((size_t)written < length)
		thread->no_space++;
	record_lock(file);
	memcpy(thread->pattern, file->bytes + offset, (size_t)written);
	memcpy(file->bytes + offset, thread->data, (size_t)written);
	if (written)
		file->size = larger(file->size, offset + (uint64_t)written);
	record_commit(file);
	inject_stale(file, thread->pattern, offset, (size_t)written);
}

/* So that there is more than the memory group holds from the start. */
void fill(struct thread *thread, struct file *file)
{
	for (uint64_t at = 0; at < options.file_size / 4 * 3; at += LENGTH_MAX)
		write_bytes(thread, file, file->buffered, "fill", at, smaller(LENGTH_MAX, options.file_size - at));
}

static void write_somewhere(struct thread *thread, struct file *file)
{
	uint64_t offset;
	size_t length;

	if (range_anywhere(thread, file, 1, LENGTH_MAX, &offset, &length))
		write_bytes(thread, file, file->buffered, "write", offset, length);
}

/* By a descriptor of its own. */
static void write_sync(struct thread *thread, struct file *file)
{
	int descriptor;
	uint64_t offset;
	size_t length;

	if (!range_anywhere(thread, file, 1, 65536, &offset, &length))
		return;
	descriptor = open(file->path, O_WRONLY | O_SYNC | O_CLOEXEC);
	if (descriptor < 0)
		unexpected(file, "open with O_SYNC");
	write_bytes(thread, file, descriptor, "write-sync", offset, length);
	close(descriptor);
}

static void write_append(struct thread *thread, struct file *file)
{
	size_t length = smaller(random_length(thread, 1, 65536), options.file_size - file->size);
	int descriptor;

	if (!length)
		return;
	descriptor = open(file->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (descriptor < 0)
		unexpected(file, "open with O_APPEND");
	/* The offset of a pwrite does not count with O_APPEND. */
	write_bytes(thread, file, descriptor, "append", file->size, length);
	close(descriptor);
}

/* --- read --- */

static void read_bytes(struct thread *thread, struct file *file, uint64_t offset, size_t length, const char *how)
{
	uint64_t since = reading_since(file);

	verify_read(thread, file, since, offset, thread->data, length,
		    pread(file->buffered, thread->data, length, (off_t)offset), how);
}

/* With the descriptor's position. */
static void read_plain(struct thread *thread, struct file *file)
{
	uint64_t offset, since = reading_since(file);
	size_t length;
	ssize_t got;

	range_inside(thread, file, 1, LENGTH_MAX, &offset, &length);
	if (lseek(file->buffered, (off_t)offset, SEEK_SET) != (off_t)offset)
		unexpected(file, "seek");
	length += random_below(&thread->random, 64);	/* may go beyond the end */
	length = smaller(length, LENGTH_MAX);
	got = read(file->buffered, thread->data, length);
	verify_read(thread, file, since, offset, thread->data, length, got, "read");
}

static void read_at(struct thread *thread, struct file *file)
{
	uint64_t offset;
	size_t length;

	if (range_inside(thread, file, 1, LENGTH_MAX, &offset, &length))
		read_bytes(thread, file, offset, length, "pread");
}

/* A megabyte or two in order: readahead brings the pages back that reclaim took. */
static void read_scan(struct thread *thread, struct file *file)
{
	uint64_t at, end;

	if (!file->size)
		return;
	at = random_offset(thread, file->size, PAGE_BYTES);
	for (end = smaller(at + 8 * LENGTH_MAX, file->size); at < end && !stop; at += LENGTH_MAX)
		read_bytes(thread, file, at, smaller(LENGTH_MAX, end - at), "scan");
}

/* --- sync and advice --- */

static void sync_or_cut(struct thread *thread, struct file *file, int result, const char *what)
{
	if (!result)
		return;
	if (errno == EIO) {
		collision(thread, file);
		return;
	}
	if (errno != ENOSPC)
		unexpected(file, "%s", what);
	/* Delayed allocation found no room: what is on disk is not known, so nothing is left of it. */
	cut_after_no_space(thread, file, 0);
}

static void sync_file(struct thread *thread, struct file *file)
{
	record_read(file, "fsync", 0, TO_THE_END);
	sync_or_cut(thread, file, fsync(file->buffered), "fsync");
}

static void sync_data(struct thread *thread, struct file *file)
{
	record_read(file, "fdatasync", 0, TO_THE_END);
	sync_or_cut(thread, file, fdatasync(file->buffered), "fdatasync");
}

static void sync_part(struct thread *thread, struct file *file)
{
	unsigned int flags = SYNC_FILE_RANGE_WRITE | (one_in(thread, 2) ? SYNC_FILE_RANGE_WAIT_AFTER : 0);
	uint64_t offset;
	size_t length;

	if (range_inside(thread, file, PAGE_BYTES, LENGTH_MAX, &offset, &length))
		sync_or_cut(thread, file, sync_file_range(file->buffered, (off_t)offset, (off_t)length, flags),
			    "sync_file_range");
}

void cache_advise_dontneed(struct thread *thread, struct file *file)
{
	sync_data(thread, file);
	record_read(file, "dontneed", 0, TO_THE_END);
	posix_fadvise(file->buffered, 0, 0, POSIX_FADV_DONTNEED);
}

static void advise_part(struct thread *thread, struct file *file, int advice, const char *what)
{
	uint64_t offset;
	size_t length;

	range_inside(thread, file, PAGE_BYTES, LENGTH_MAX, &offset, &length);
	record_read(file, what, offset, offset + length);
	posix_fadvise(file->buffered, (off_t)offset, (off_t)length, advice);
}

static void advise_dontneed_part(struct thread *thread, struct file *file)
{
	advise_part(thread, file, POSIX_FADV_DONTNEED, "dontneed-part");
}

static void advise_willneed(struct thread *thread, struct file *file)
{
	advise_part(thread, file, POSIX_FADV_WILLNEED, "willneed");
}

/* These two set the descriptor's readahead until the next one, or until it is opened anew. */
static void advise_random(struct thread *thread, struct file *file)
{
	advise_part(thread, file, POSIX_FADV_RANDOM, "random");
}

static void advise_sequential(struct thread *thread, struct file *file)
{
	advise_part(thread, file, one_in(thread, 2) ? POSIX_FADV_SEQUENTIAL : POSIX_FADV_NORMAL, "sequential");
}

static void read_ahead(struct thread *thread, struct file *file)
{
	uint64_t offset;
	size_t length;

	/* Not only inside: the kernel stops at the end that it sees. */
	if (range_anywhere(thread, file, PAGE_BYTES, LENGTH_MAX, &offset, &length) &&
	    readahead(file->buffered, (off_t)offset, length * 4))
		unexpected(file, "readahead");
}

/* --- reclaim --- */

void cache_reclaim(struct thread *thread, struct file *file)
{
	(void)file;
	group_reclaim(&group, (1 + random_below(&thread->random, 64)) * 64 * 1024);
}

static void cache_drop(struct thread *thread, struct file *file)
{
	int control = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	(void)file;
	if (control < 0)
		return;	/* not root */
	if (write(control, &"123"[random_below(&thread->random, 3)], 1) != 1)
		unexpected(file, "drop_caches");
	close(control);
}

/* --- racing readers --- */

/* Where the owner works at the moment, or anywhere: the reader need not know the size. */
static size_t race_range(struct thread *thread, struct file *file, uint64_t align, uint64_t *offset)
{
	uint64_t start = 0, end = options.file_size;

	if (one_in(thread, 2)) {
		pthread_rwlock_rdlock(&file->model);
		start = file->hot_start;
		end = larger(file->hot_end, start + 1);
		pthread_rwlock_unlock(&file->model);
	}
	*offset = start + random_next(&thread->random) % (end - start);
	/* Readahead and neighbours of what changes are the point. */
	*offset -= smaller(*offset, random_below(&thread->random, 32768));
	*offset = smaller(*offset, options.file_size - 1) & ~(align - 1);
	return smaller(random_length(thread, align, LENGTH_MAX), options.file_size - *offset);
}

static void race_pread(struct thread *thread, struct file *file, int *descriptor, uint64_t align, const char *how)
{
	uint64_t offset, since;
	size_t length = race_range(thread, file, align, &offset);
	ssize_t got;

	pthread_rwlock_rdlock(&file->handles);
	since = reading_since(file);
	got = pread(*descriptor, thread->data, length, (off_t)offset);
	pthread_rwlock_unlock(&file->handles);
	verify_read(thread, file, since, offset, thread->data, length, got, how);
}

static void race_read(struct thread *thread, struct file *file)
{
	race_pread(thread, file, &file->buffered, 1, "race-read");
}

static void race_direct(struct thread *thread, struct file *file)
{
	race_pread(thread, file, &file->direct, larger(direct_bytes, block_bytes), "race-direct");
}

/* Pages fault in one by one, or with those around; SIGBUS is right only where the size is in flight. */
static void race_map(struct thread *thread, struct file *file)
{
	uint64_t offset, since, size;
	size_t length, got;
	unsigned char *map;

	length = race_range(thread, file, PAGE_BYTES, &offset);
	length = (length + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
	pthread_rwlock_rdlock(&file->handles);
	pthread_rwlock_rdlock(&file->model);
	since = file->done;
	size = file->size;
	pthread_rwlock_unlock(&file->model);
	length = offset < size ? smaller(length, size - offset) : 0;
	map = length ? mmap(NULL, length, PROT_READ, MAP_SHARED, file->buffered, (off_t)offset) : MAP_FAILED;
	pthread_rwlock_unlock(&file->handles);
	if (!length)
		return;
	if (map == MAP_FAILED)
		unexpected(file, "mmap");
	if (one_in(thread, 2))
		madvise(map, length, MADV_RANDOM);
	got = map_copy(thread->data, map, length);
	munmap(map, length);
	if (got < length)
		thread->page_faults_refused++;
	verify_read(thread, file, since, offset, thread->data, got, (ssize_t)got, "race-map");
	if (got == length)
		return;
	pthread_rwlock_rdlock(&file->model);
	if (!excluded(file, since, offset + got, offset + length))
		unexpected(file, "race-map: SIGBUS at %llu", (unsigned long long)(offset + got));
	pthread_rwlock_unlock(&file->model);
}

static void race_advise(struct thread *thread, struct file *file)
{
	uint64_t offset;
	size_t length = race_range(thread, file, PAGE_BYTES, &offset);

	pthread_rwlock_rdlock(&file->handles);
	switch (random_below(&thread->random, 4)) {
	case 0: posix_fadvise(file->buffered, 0, 0, POSIX_FADV_DONTNEED); break;
	case 1: posix_fadvise(file->buffered, (off_t)offset, (off_t)length, POSIX_FADV_WILLNEED); break;
	case 2: sync_file_range(file->buffered, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE); break;
	default: readahead(file->buffered, (off_t)offset, length);
	}
	pthread_rwlock_unlock(&file->handles);
}

/* Shifting, cloning, direct I/O flush much of a file from the store, so reads and reclaim must outnumber them. */
struct operation operations[] = {
	{ "read", 60, 0, read_plain },
	{ "pread", 120, 0, read_at },
	{ "scan", 25, 0, read_scan },
	{ "map-read", 40, 0, map_read },
	{ "map-random", 40, 0, map_random },
	{ "direct-read", 15, 0, direct_read },
	{ "write", 60, 0, write_somewhere },
	{ "write-sync", 4, 0, write_sync },
	{ "append", 10, 0, write_append },
	{ "map-write", 30, 0, map_write },
	{ "direct-write", 15, 0, direct_write },
	{ "async-write", 12, 0, direct_async },
	{ "truncate-down", 5, 0, shape_shrink },
	{ "truncate-up", 10, 0, shape_grow },
	{ "punch", 8, 0, shape_punch },
	{ "zero", 5, 0, shape_zero },
	{ "zero-keep", 5, 0, shape_zero_keep },
	{ "collapse", 5, 0, shape_collapse },
	{ "insert", 5, 0, shape_insert },
	{ "allocate", 5, 0, shape_allocate },
	{ "allocate-keep", 5, 0, shape_allocate_keep },
	{ "clone", 2, 0, copy_clone },
	{ "clone-range", 8, 0, copy_clone_range },
	{ "copy-range", 8, 0, copy_range },
	{ "sendfile", 5, 0, copy_sendfile },
	{ "fsync", 5, 0, sync_file },
	{ "fdatasync", 15, 0, sync_data },
	{ "sync-range", 20, 0, sync_part },
	{ "dontneed", 8, 0, cache_advise_dontneed },
	{ "dontneed-part", 15, 0, advise_dontneed_part },
	{ "willneed", 20, 0, advise_willneed },
	{ "random", 4, 0, advise_random },
	{ "sequential", 6, 0, advise_sequential },
	{ "readahead", 15, 0, read_ahead },
	{ "reclaim", 20, 0, cache_reclaim },
	{ "drop-caches", 1, 0, cache_drop },
	{ "reopen", 6, 0, name_reopen },
	{ "recreate", 2, 0, name_recreate },
	{ "rename-over", 2, 0, name_rename_over },
	{ "race-read", 0, 50, race_read },
	{ "race-map", 0, 25, race_map },
	{ "race-direct", 0, 8, race_direct },
	{ "race-advise", 0, 10, race_advise },
};
size_t operations_count = sizeof(operations) / sizeof(operations[0]);
_Static_assert(sizeof(operations) / sizeof(operations[0]) <= OPERATIONS_MAX, "OPERATIONS_MAX is too small");
