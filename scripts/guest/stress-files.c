// SPDX-License-Identifier: GPL-2.0
/*
 * stress-files - everything a program can do to files, against a model that knows what each byte must be.
 *
 *   stress-files DIR SECONDS SEED
 *
 * Keeps FILES files of up to FILE_PAGES pages in DIR. A page of a file is generate_page(its key) up to its
 * "cut", zeros after it; the key is made of the file, a version and the seed, and a version is never used
 * twice. Whatever an operation does to the file it does to the model; everything read is compared whole.
 * Before it ends it checks all files three times: from the page cache, after dropping them from it, and
 * with direct reads.
 *
 * The last line is "files: done: operations=N ... wrong_pages=N".
 * Exit: 0 every byte was right, 1 not, 4 it could not be tried.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "verify.h"

#define FILES 10
#define FILE_PAGES 160
#define FILE_BYTES_MAX (FILE_PAGES * PAGE_BYTES)
#define RUN_PAGES_MAX 32
#define WRONG_PAGES_MAX 20

struct page {
	uint32_t version;	/* 0: a hole */
	uint32_t cut;		/* bytes of the version that are there; zeros follow */
};

struct file {
	int cached, direct;	/* descriptors; direct with O_DIRECT */
	size_t bytes;
	uint32_t identity;	/* goes into the keys of its pages; moves with the file on rename */
	struct page pages[FILE_PAGES];
};

static const char *dir;
static uint64_t seed, random_state;
static uint32_t version_last;
static struct file files[FILES];
static uint64_t operations, pages_checked, pages_written, wrong_pages;
static unsigned char run[RUN_PAGES_MAX * PAGE_BYTES] __attribute__((aligned(4096)));
static unsigned char expected[PAGE_BYTES] __attribute__((aligned(4096)));

static const char *name_of(size_t number)
{
	static char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s/file%zu", dir, number);
	return name;
}

static size_t pages_of(const struct file *file)
{
	return (file->bytes + PAGE_BYTES - 1) / PAGE_BYTES;
}

static void open_file(size_t number, int flags)
{
	struct file *file = &files[number];
	const char *name = name_of(number);

	file->cached = open(name, O_RDWR | O_CLOEXEC | flags, 0600);
	file->direct = open(name, O_RDWR | O_CLOEXEC | O_DIRECT);
	if (file->cached < 0 || file->direct < 0)
		die("cannot open %s", name);
}

static void close_file(size_t number)
{
	close(files[number].cached);
	close(files[number].direct);
}

static void expect(const struct file *file, size_t page)
{
	const struct page *model = &file->pages[page];

	if (!model->version) {
		memset(expected, 0, PAGE_BYTES);
		return;
	}
	generate_page(expected, mix(seed ^ ((uint64_t)file->identity << 32 | model->version)));
	memset(expected + model->cut, 0, PAGE_BYTES - model->cut);
}

/* Compares @bytes of page @page as they were found by @how. */
static void compare(const struct file *file, size_t page, const void *found, size_t bytes, const char *how)
{
	size_t wrong;

	expect(file, page);
	pages_checked++;
	if (!memcmp(found, expected, bytes))
		return;
	wrong = bytes_wrong(found, expected, bytes);
	printf("WRONG: file%zu page %zu version %u, %s: %zu of %zu bytes (operation %llu, seed %llu)\n",
	       (size_t)(file - files), page, file->pages[page].version, how, wrong, bytes,
	       (unsigned long long)operations, (unsigned long long)seed);
	if (++wrong_pages >= WRONG_PAGES_MAX) {
		printf("files: stopped after %d wrong pages\n", WRONG_PAGES_MAX);
		exit(1);
	}
}

/* Checks a run of pages read with @descriptor. */
static void check_run(struct file *file, int descriptor, size_t first, size_t count, const char *how)
{
	ssize_t got = pread(descriptor, run, count * PAGE_BYTES, (off_t)(first * PAGE_BYTES));
	size_t left = file->bytes > first * PAGE_BYTES ? file->bytes - first * PAGE_BYTES : 0;

	if (left > count * PAGE_BYTES)
		left = count * PAGE_BYTES;
	if (got < 0)
		die("%s of %s", how, name_of((size_t)(file - files)));
	if ((size_t)got != left) {
		printf("WRONG: file%zu: %s of %zu bytes at page %zu gave %zd\n", (size_t)(file - files), how,
		       left, first, got);
		wrong_pages++;
		return;
	}
	for (size_t at = 0; at < left; at += PAGE_BYTES)
		compare(file, first + at / PAGE_BYTES, run + at, left - at < PAGE_BYTES ? left - at : PAGE_BYTES, how);
}

/* Gives the page a new version and leaves its data in @page. */
static void renew(struct file *file, size_t number, void *page)
{
	file->pages[number] = (struct page){ ++version_last, PAGE_BYTES };
	expect(file, number);
	memcpy(page, expected, PAGE_BYTES);
	pages_written++;
}

static void grow_to(struct file *file, size_t bytes)
{
	if (bytes > file->bytes)
		file->bytes = bytes;
}

static void write_run(struct file *file, int descriptor, size_t first, size_t count)
{
	for (size_t i = 0; i < count; i++)
		renew(file, first + i, run + i * PAGE_BYTES);
	if (pwrite(descriptor, run, count * PAGE_BYTES, (off_t)(first * PAGE_BYTES)) != (ssize_t)(count * PAGE_BYTES))
		die("cannot write %s", name_of((size_t)(file - files)));
	grow_to(file, (first + count) * PAGE_BYTES);
}

/* Maps the file and reads or rewrites pages through the mapping. */
static void use_mapping(struct file *file, size_t touches, int write)
{
	size_t whole_pages = file->bytes / PAGE_BYTES;
	unsigned char *map;

	if (!whole_pages)
		return;
	map = mmap(NULL, whole_pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file->cached, 0);
	if (map == MAP_FAILED)
		die("cannot map");
	if (random_below(&random_state, 2))
		madvise(map, whole_pages * PAGE_BYTES, MADV_RANDOM);
	for (size_t i = 0; i < touches; i++) {
		size_t page = random_below(&random_state, whole_pages);

		compare(file, page, map + page * PAGE_BYTES, PAGE_BYTES, "mapping");
		if (write)
			renew(file, page, map + page * PAGE_BYTES);
	}
	if (write && random_below(&random_state, 4) == 0)
		msync(map, whole_pages * PAGE_BYTES, MS_SYNC);
	munmap(map, whole_pages * PAGE_BYTES);
}

static void resize(struct file *file, size_t bytes)
{
	if (ftruncate(file->cached, (off_t)bytes))
		die("cannot truncate");
	for (size_t page = bytes / PAGE_BYTES; page < FILE_PAGES; page++) {
		size_t kept = page == bytes / PAGE_BYTES ? bytes % PAGE_BYTES : 0;

		if (file->pages[page].cut > kept)
			file->pages[page].cut = (uint32_t)kept;
		if (!kept)
			file->pages[page] = (struct page){ 0, 0 };
	}
	file->bytes = bytes;
}

static void punch(struct file *file, size_t first, size_t count)
{
	if (fallocate(file->cached, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * PAGE_BYTES),
		      (off_t)(count * PAGE_BYTES)))
		die("cannot punch a hole");
	memset(&file->pages[first], 0, count * sizeof(file->pages[0]));
}

/* Zeroes a range without freeing its blocks. */
static void zero(struct file *file, size_t first, size_t count)
{
	if (fallocate(file->cached, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)(first * PAGE_BYTES),
		      (off_t)(count * PAGE_BYTES)))
		die("cannot zero a range");
	memset(&file->pages[first], 0, count * sizeof(file->pages[0]));
}

/* Takes pages out of the middle, or puts zero pages in; every later page changes its index. */
static void shift(struct file *file, size_t first, size_t count, int insert)
{
	size_t pages = pages_of(file), from = first + (insert ? 0 : count), to = first + (insert ? count : 0);

	if (insert ? first >= file->bytes / PAGE_BYTES || pages + count > FILE_PAGES :
		     (first + count) * PAGE_BYTES >= file->bytes)
		return;
	if (fallocate(file->cached, insert ? FALLOC_FL_INSERT_RANGE : FALLOC_FL_COLLAPSE_RANGE,
		      (off_t)(first * PAGE_BYTES), (off_t)(count * PAGE_BYTES)))
		die("cannot shift a range");
	memmove(&file->pages[to], &file->pages[from], (pages - from) * sizeof(file->pages[0]));
	memset(&file->pages[insert ? first : pages - count], 0, count * sizeof(file->pages[0]));
	if (insert)
		file->bytes += count * PAGE_BYTES;
	else
		file->bytes -= count * PAGE_BYTES;
}

static void recreate(size_t number)
{
	struct file *file = &files[number];

	close_file(number);
	if (unlink(name_of(number)))
		die("cannot remove %s", name_of(number));
	memset(file->pages, 0, sizeof(file->pages));
	file->bytes = 0;
	open_file(number, O_CREAT | O_EXCL);
}

/* Two files change names; their data goes with the inodes. */
static void exchange(size_t one, size_t other)
{
	char name_one[PATH_MAX], name_other[PATH_MAX];
	struct file swap;

	if (one == other)
		return;
	strcpy(name_one, name_of(one));
	strcpy(name_other, name_of(other));
	if (renameat2(AT_FDCWD, name_one, AT_FDCWD, name_other, RENAME_EXCHANGE))
		die("cannot exchange names");
	swap = files[one];
	files[one] = files[other];
	files[other] = swap;
}

/* Makes the pages clean and drops them: what tmem is there for. */
static void drop(struct file *file)
{
	if (fdatasync(file->cached))
		die("cannot sync");
	posix_fadvise(file->cached, 0, 0, POSIX_FADV_DONTNEED);
}

static void step(void)
{
	size_t number = random_below(&random_state, FILES);
	struct file *file = &files[number];
	size_t first = random_below(&random_state, FILE_PAGES);
	size_t count = 1 + random_below(&random_state, RUN_PAGES_MAX);

	if (first + count > FILE_PAGES)
		count = FILE_PAGES - first;
	operations++;
	switch (random_below(&random_state, 40)) {
	case 0: case 1: case 2: case 3: case 4: case 5:
		write_run(file, file->cached, first, count);
		break;
	case 6:
		write_run(file, file->direct, first, count);
		break;
	case 7: case 8:
		use_mapping(file, count, 1);
		break;
	case 9: case 10: case 11:
		use_mapping(file, count, 0);
		break;
	case 12: case 13: case 14:
		drop(file);
		break;
	case 15:
		resize(file, random_below(&random_state, FILE_BYTES_MAX));
		break;
	case 16:
		resize(file, first * PAGE_BYTES);
		break;
	case 17: case 18:
		punch(file, first, count);
		break;
	case 19:
		zero(file, first, count);
		break;
	case 20: case 21:
		shift(file, first, count, operations % 2 == 0);
		break;
	case 22:
		recreate(number);
		break;
	case 23:
		exchange(number, random_below(&random_state, FILES));
		break;
	case 24:
		fsync(file->cached);
		break;
	case 25: case 26:
		check_run(file, file->direct, first, count, "direct read");
		break;
	case 27:
		close_file(number);
		open_file(number, 0);
		break;
	default:
		check_run(file, file->cached, first, count, "read");
	}
}

static void check_all(int direct, const char *how)
{
	for (size_t number = 0; number < FILES; number++)
		for (size_t first = 0; first < FILE_PAGES; first += RUN_PAGES_MAX)
			check_run(&files[number], direct ? files[number].direct : files[number].cached, first,
				  RUN_PAGES_MAX, how);
}

int main(int count, char **arguments)
{
	double end;

	if (count != 4) {
		fprintf(stderr, "usage: stress-files DIR SECONDS SEED\n");
		return 4;
	}
	dir = arguments[1];
	end = seconds_now() + (double)number(arguments[2], "SECONDS");
	seed = mix(number(arguments[3], "SEED"));
	random_state = seed;
	for (size_t number = 0; number < FILES; number++) {
		files[number].identity = (uint32_t)number + 1;
		open_file(number, O_CREAT | O_TRUNC);
	}
	while (seconds_now() < end)
		step();
	check_all(0, "last read");
	for (size_t number = 0; number < FILES; number++)
		drop(&files[number]);
	check_all(0, "last read after dropping");
	check_all(1, "last direct read");
	printf("files: done: operations=%llu pages_written=%llu pages_checked=%llu wrong_pages=%llu\n",
	       (unsigned long long)operations, (unsigned long long)pages_written,
	       (unsigned long long)pages_checked, (unsigned long long)wrong_pages);
	return wrong_pages ? 1 : 0;
}
