// SPDX-License-Identifier: GPL-2.0
/*
 * fault-reader - reads a file or device through a mapping, page by page and without readahead.
 *
 *   fault-reader FILE FIRST-PAGE PAGES
 *
 * Each page that is not in memory is waited for inside the fault, in filemap_read_folio().
 * Exit: 0, or 4 usage or set-up.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int count, char **arguments)
{
	const long page_bytes = sysconf(_SC_PAGESIZE);
	const volatile unsigned char *map;
	long first, pages;
	int file;

	if (count != 4) {
		fprintf(stderr, "usage: fault-reader FILE FIRST-PAGE PAGES\n");
		return 4;
	}
	first = atol(arguments[2]);
	pages = atol(arguments[3]);
	file = open(arguments[1], O_RDONLY | O_CLOEXEC);
	map = mmap(NULL, (size_t)(pages * page_bytes), PROT_READ, MAP_SHARED, file, first * page_bytes);
	if (map == MAP_FAILED || madvise((void *)map, (size_t)(pages * page_bytes), MADV_RANDOM)) {
		perror(arguments[1]);
		return 4;
	}
	for (long page = 0; page < pages; page++)
		(void)map[page * page_bytes];
	return 0;
}
