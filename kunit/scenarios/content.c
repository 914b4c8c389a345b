// SPDX-License-Identifier: GPL-2.0
/* The content of test pages: a function of kind and tag, word by word. */
#include "scenarios.h"

unsigned long long scenario_hash(unsigned long long value)
{
	value += 0x9e3779b97f4a7c15ULL;
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
	return value ^ (value >> 31);
}

unsigned long long scenario_random(unsigned long long *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return scenario_hash(*state);
}

unsigned int scenario_below(unsigned long long *state, unsigned int bound)
{
	/* 32 bits times 32 bits: no division, which a 32-bit kernel would miss. */
	return (unsigned int)(((scenario_random(state) >> 32) * bound) >> 32);
}

static unsigned long long noise_word(unsigned long long tag, unsigned int i)
{
	return scenario_hash(scenario_hash(tag) + i);
}

static unsigned long long text_word(unsigned long long tag, unsigned int i)
{
	/* Sixteen "words" of eight letters, in an order that the tag decides. */
	unsigned int choice = (unsigned int)(noise_word(tag, i) & 15);

	return (scenario_hash(choice + 1000) & 0x0f0f0f0f0f0f0f0fULL) | 0x6060606060606060ULL;
}

/* Where and how a nearly same-filled page differs; never in its first word. */
static unsigned long long near_same_word(unsigned long long tag, unsigned int i)
{
	unsigned long long hash = scenario_hash(tag ^ 0x5a5a);
	unsigned int place = 1 + (unsigned int)(hash % (PAGE_WORDS - 1));

	return i == place ? tag ^ (1ULL << (hash >> 58)) : tag;
}

static unsigned long long content_word(unsigned int kind, unsigned long long tag, unsigned int i)
{
	if (kind == CONTENT_ZERO)
		return 0;
	if (i == 0 || kind == CONTENT_SAME_FILLED)
		return tag;
	switch (kind) {
	case CONTENT_NEAR_SAME:
		return near_same_word(tag, i);
	case CONTENT_PATTERN:
		return i % 16 ? noise_word(tag, i % 16) : tag;
	case CONTENT_TEXT:
		return text_word(tag, i);
	case CONTENT_HALF:
		return i < PAGE_WORDS / 2 ? noise_word(tag, i) : 0;
	case CONTENT_POOR:
		return i < PAGE_WORDS / 8 * 7 ? noise_word(tag, i) : 0;
	default:
		return noise_word(tag, i);
	}
}

void content_fill(void *page, unsigned int kind, unsigned long long tag)
{
	unsigned long long *words = page;
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++)
		words[i] = content_word(kind, tag, i);
}

int content_matches(const void *page, unsigned int kind, unsigned long long tag)
{
	const unsigned long long *words = page;
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++)
		if (words[i] != content_word(kind, tag, i))
			return 0;
	return 1;
}

void content_fill_mixed(void *page, unsigned int noise, unsigned long long tag)
{
	unsigned long long *words = page;
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++)
		words[i] = i < noise ? noise_word(tag, i) : 0;
}

int content_matches_mixed(const void *page, unsigned int noise, unsigned long long tag)
{
	const unsigned long long *words = page;
	unsigned int i;

	for (i = 0; i < PAGE_WORDS; i++)
		if (words[i] != (i < noise ? noise_word(tag, i) : 0))
			return 0;
	return 1;
}

unsigned int content_kind_of(unsigned long long tag)
{
	return CONTENT_SAME_FILLED +
	       (unsigned int)(scenario_hash(tag ^ 0xc0) % (CONTENT_FIRST_POOR - CONTENT_SAME_FILLED));
}

unsigned long long content_tag(const void *page)
{
	unsigned long long tag;

	memcpy(&tag, page, sizeof(tag));
	return tag;
}
