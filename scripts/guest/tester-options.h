/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sizes and lists of operations from the command lines of file-tester and swap-tester. Each says by
 * usage() what is wrong with its own.
 */
#ifndef TESTER_OPTIONS_H
#define TESTER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void __attribute__((noreturn)) usage(const char *what);

/* A number; with K or M after it, of KiB or MiB. */
static inline uint64_t size_option(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*end == 'K' || *end == 'M')
		value <<= *end++ == 'K' ? 10 : 20;
	if (end == text || *end)
		usage(text);
	return value;
}

/* Marks in @named which of @count names stand in a list with commas. */
static inline void names_option(char *list, const char *(*name_of)(size_t), size_t count, bool *named)
{
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		size_t at = 0;

		while (at < count && strcmp(name_of(at), name))
			at++;
		if (at == count)
			usage(name);
		named[at] = true;
	}
}

#endif /* TESTER_OPTIONS_H */
