/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is written: each 8-byte word is a function of (serial of the file, version, offset), so that a word found can
 * be told from all that ever were there. A version is never written twice to a file, a serial never given twice.
 *
 * The kinds, by version, take the store through all of its paths: text-like, half random, plain numbers (serial, version
 * and offset can be read in a dump), one repeated word; each eighth version is random, which tmem does not keep, so
 * that the first version is one that it does. Zeros are never written, only holes have them.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include "verify.h"

static inline uint64_t pattern_word(uint32_t serial, uint32_t version, uint64_t word)
{
	uint64_t base = mix(((uint64_t)serial << 32 | version) + HASH_SEED);

	switch (version & 3) {
	case 0:
		return 0x4040404040404040ULL | ((base >> (word % 13)) & 0x1f1f1f1f1f1f1f1fULL);
	case 1:
		return (version & 7) == 5 || word % 2 ? mix(base + word) | 1 : base | 1;
	case 2:
		return (uint64_t)(serial & 0xfff) << 52 | (uint64_t)(version & 0xffffff) << 28 | (word & 0xfffffff);
	default:
		return base | 1;
	}
}

static inline void pattern_fill(void *to, uint32_t serial, uint32_t version, uint64_t offset, size_t length)
{
	unsigned char *at = to;

	for (; offset % 8 == 0 && length >= 8; at += 8, offset += 8, length -= 8) {
		uint64_t word = pattern_word(serial, version, offset / 8);

		memcpy(at, &word, 8);
	}
	while (length) {
		uint64_t word = pattern_word(serial, version, offset / 8);
		size_t skip = offset % 8, part = 8 - skip < length ? 8 - skip : length;

		memcpy(at, (unsigned char *)&word + skip, part);
		at += part;
		offset += part;
		length -= part;
	}
}

#endif
