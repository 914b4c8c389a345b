// SPDX-License-Identifier: GPL-2.0
/*
 * demo-readset - reads a file set and checks every byte of it against a manifest.
 *
 *   demo-readset make DIR LIST >MANIFEST    on the host: LIST names files below DIR, one a line
 *   demo-readset check DIR MANIFEST LABEL   in the guest: one progress line every 3 s, a summary at the end
 *
 * A manifest line is "HASH BYTES PATH". Files are read in the manifest's order through the page cache, as
 * any program would. A file whose hash is wrong is read again with O_DIRECT and compared, to count the
 * wrong bytes of its cached copy and to say where they are.
 *
 * Exit: 0 every byte is right, 1 a byte is wrong or a file is short, 4 it could not be tried.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

#include "verify.h"

#define CHUNK_BYTES ((size_t)128 << 10)
#define PROGRESS_SECONDS 3.0

static unsigned char chunk[CHUNK_BYTES] __attribute__((aligned(4096)));

/* The hash of a whole file; *@bytes is how much there was. */
static uint64_t hash_file(const char *path, uint64_t *bytes)
{
	uint64_t hash = HASH_SEED;
	int file = open(path, O_RDONLY | O_CLOEXEC);
	size_t filled = 0;
	ssize_t got;

	if (file < 0)
		die("cannot open %s", path);
	*bytes = 0;
	/* Whole chunks, so that where the hash pads does not depend on how read() slices. */
	while ((got = read(file, chunk + filled, CHUNK_BYTES - filled)) != 0) {
		if (got < 0)
			die("cannot read %s", path);
		*bytes += (uint64_t)got;
		filled += (size_t)got;
		if (filled == CHUNK_BYTES) {
			hash = hash_bytes(hash, chunk, filled);
			filled = 0;
		}
	}
	hash = hash_bytes(hash, chunk, filled);
	close(file);
	return mix(hash ^ *bytes);
}

/* Says where the cached copy differs from the disk's; returns the number of wrong bytes, at least 1. */
static uint64_t explain(const char *path, uint64_t bytes_expected)
{
	static unsigned char direct[CHUNK_BYTES] __attribute__((aligned(4096)));
	int cached_file = open(path, O_RDONLY | O_CLOEXEC);
	int direct_file = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	uint64_t wrong = 0;

	for (off_t at = 0; cached_file >= 0 && direct_file >= 0; at += (off_t)CHUNK_BYTES) {
		ssize_t cached = pread(cached_file, chunk, CHUNK_BYTES, at);
		ssize_t fresh = pread(direct_file, direct, CHUNK_BYTES, at);

		if (cached <= 0 && fresh <= 0)
			break;
		for (ssize_t page = 0; page < cached && page < fresh; page += (ssize_t)PAGE_BYTES) {
			ssize_t left = (cached < fresh ? cached : fresh) - page;
			size_t bad = bytes_wrong(chunk + page, direct + page,
						 left < (ssize_t)PAGE_BYTES ? (size_t)left : PAGE_BYTES);

			if (bad)
				printf("WRONG: %s: page %lld: %zu bytes differ from the disk\n", path,
				       (long long)(at + page) / (long long)PAGE_BYTES, bad);
			wrong += bad;
		}
		if (cached != fresh)
			printf("WRONG: %s: %zd bytes at %lld, the disk has %zd\n", path, cached,
			       (long long)at, fresh);
	}
	if (cached_file >= 0)
		close(cached_file);
	if (direct_file >= 0)
		close(direct_file);
	if (!wrong)
		printf("WRONG: %s (%llu bytes): the hash, but a second reading agrees with the disk\n",
		       path, (unsigned long long)bytes_expected);
	return wrong ? wrong : 1;
}

static void trim(char *line)
{
	line[strcspn(line, "\n")] = '\0';
}

static int make(const char *dir, const char *list_name)
{
	FILE *list = fopen(list_name, "r");
	char name[PATH_MAX], path[2 * PATH_MAX];

	if (!list)
		die("cannot open %s", list_name);
	while (fgets(name, sizeof(name), list)) {
		uint64_t bytes, hash;

		trim(name);
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		hash = hash_file(path, &bytes);
		printf("%016llx %llu %s\n", (unsigned long long)hash, (unsigned long long)bytes, name);
	}
	fclose(list);
	return fflush(stdout) ? 4 : 0;
}

static int check(const char *dir, const char *manifest_name, const char *label)
{
	FILE *manifest = fopen(manifest_name, "r");
	char line[PATH_MAX + 64], path[2 * PATH_MAX];
	uint64_t total = 0, done = 0, files = 0, files_wrong = 0, wrong = 0;
	double begin = seconds_now(), shown = begin, now;
	unsigned long long hash, size;
	int name;

	if (!manifest)
		die("cannot open %s", manifest_name);
	while (fgets(line, sizeof(line), manifest))
		if (sscanf(line, "%llx %llu %n", &hash, &size, &name) == 2)
			total += size;
	rewind(manifest);

	while (fgets(line, sizeof(line), manifest)) {
		uint64_t found, bytes;

		trim(line);
		if (sscanf(line, "%llx %llu %n", &hash, &size, &name) != 2)
			die("bad manifest line: %s", line);
		snprintf(path, sizeof(path), "%s/%s", dir, line + name);
		found = hash_file(path, &bytes);
		files++;
		done += size;
		if (found != hash || bytes != size) {
			files_wrong++;
			wrong += explain(path, size);
		}
		now = seconds_now();
		if (now - shown >= PROGRESS_SECONDS) {
			shown = now;
			printf("%s: %llu of %llu MiB, %llu files, %.0f s, %llu wrong\n", label,
			       (unsigned long long)(done / MIB), (unsigned long long)(total / MIB),
			       (unsigned long long)files, now - begin, (unsigned long long)wrong);
			fflush(stdout);
		}
	}
	printf("%s: done: files=%llu bytes=%llu files_wrong=%llu wrong_bytes=%llu seconds=%.2f\n", label,
	       (unsigned long long)files, (unsigned long long)done, (unsigned long long)files_wrong,
	       (unsigned long long)wrong, seconds_now() - begin);
	fclose(manifest);
	return files_wrong || !files ? 1 : 0;
}

int main(int count, char **arguments)
{
	if (count == 4 && !strcmp(arguments[1], "make"))
		return make(arguments[2], arguments[3]);
	if (count == 5 && !strcmp(arguments[1], "check"))
		return check(arguments[2], arguments[3], arguments[4]);
	fprintf(stderr, "usage: demo-readset make DIR LIST | check DIR MANIFEST LABEL\n");
	return 4;
}
