// SPDX-License-Identifier: GPL-2.0
/* The contract, clause by clause, as a caller sees it. */
#include "scenarios.h"

/* Content that a pool of these flags admits. */
static unsigned int kinds_admitted(unsigned int flags)
{
	return flags & TMEM_POOL_PERSISTENT ? CONTENT_KINDS : CONTENT_FIRST_POOR;
}

SCENARIO(every_page_comes_back)
{
	static const unsigned long long indexes[] = { 0, 1, 15, 16, 17, 0xfffffffULL, ~0ULL };
	unsigned int flavour, kind, i;
	unsigned long long tag = 1;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (kind = 0; kind < kinds_admitted(pool_flavours[flavour]); kind++)
			for (i = 0; i < sizeof(indexes) / sizeof(*indexes); i++, tag++) {
				EXPECT_EQUAL(env, get_data(env, pool, kind, indexes[i], kind, tag),
					     TMEM_NOT_FOUND);
				EXPECT_EQUAL(env, put_data(env, pool, kind, indexes[i], kind, tag),
					     TMEM_OK);
				EXPECT_EQUAL(env, get_data(env, pool, kind, indexes[i], kind, tag),
					     TMEM_OK);
			}
		ENGINE_CHECK(env);
	}
	engine_stop(env);
}

/* Clause 1: of two puts the second is what a get finds, whatever the two pages are. */
SCENARIO(last_put_wins)
{
	unsigned int flavour, first, second, kinds;
	unsigned long long tag = 1;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		kinds = kinds_admitted(pool_flavours[flavour]);
		for (first = 0; first < kinds; first++)
			for (second = 0; second < kinds; second++, tag += 2) {
				EXPECT_EQUAL(env, put_data(env, pool, 7, first, first, tag), TMEM_OK);
				EXPECT_EQUAL(env, put_data(env, pool, 7, first, second, tag + 1),
					     TMEM_OK);
				EXPECT_EQUAL(env, get_data(env, pool, 7, first, second, tag + 1),
					     TMEM_OK);
			}
		ENGINE_CHECK(env);
	}
	engine_stop(env);
}

/* Puts a page that is stored, then one that is refused with @refusal; neither may be found. */
static void expect_refused_put_leaves_nothing(struct scenario_env *env, int pool,
					      unsigned long long index, unsigned int first,
					      unsigned int second, int refusal)
{
	/* The refusal begins with the second put: nothing is set up here. */
	EXPECT_EQUAL(env, put_data(env, pool, 3, index, second, 2), refusal);
	EXPECT_EQUAL(env, get_data(env, pool, 3, index, first, 1), TMEM_NOT_FOUND);
	EXPECT_EQUAL(env, flush_page(env, pool, 3, index), TMEM_NOT_FOUND);
}

/* Clause 1: a refused put leaves nothing, neither its own page nor the one before. */
SCENARIO(refused_put_leaves_nothing)
{
	unsigned int flavour, first;
	struct tmem_stats stats;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		/* An older page in the store, and one in the index alone; with and without neighbours. */
		for (first = CONTENT_SAME_FILLED; first <= CONTENT_PATTERN; first++) {
			EXPECT_EQUAL(env, put_data(env, pool, 3, 2, CONTENT_TEXT, 9), TMEM_OK);

			EXPECT_EQUAL(env, put_data(env, pool, 3, 1, first, 1), TMEM_OK);
			EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_FROZEN, 1), 0);
			expect_refused_put_leaves_nothing(env, pool, 1, first, CONTENT_PATTERN,
							  TMEM_REFUSED_FROZEN);
			EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_FROZEN, 0), 0);

			EXPECT_EQUAL(env, put_data(env, pool, 3, 1, first, 1), TMEM_OK);
			injector.no_workspace = 1;
			expect_refused_put_leaves_nothing(env, pool, 1, first, CONTENT_PATTERN,
							  TMEM_REFUSED_NESTED);
			injector.no_workspace = 0;

			if (pool_flavours[flavour] & TMEM_POOL_PERSISTENT)
				EXPECT_EQUAL(env, tmem_tunable_set(env->host,
						TMEM_TUNABLE_ADMIT_PERSISTENT_PERCENT, 90), 0);
			EXPECT_EQUAL(env, put_data(env, pool, 3, 1, first, 1), TMEM_OK);
			expect_refused_put_leaves_nothing(env, pool, 1, first, CONTENT_RANDOM,
							  TMEM_REFUSED_POOR);
			EXPECT_EQUAL(env, tmem_tunable_set(env->host,
					TMEM_TUNABLE_ADMIT_PERSISTENT_PERCENT, 100), 0);

			EXPECT_EQUAL(env, get_data(env, pool, 3, 2, CONTENT_TEXT, 9), TMEM_OK);
			EXPECT_EQUAL(env, flush_page(env, pool, 3, 2),
				     pool_flavours[flavour] ? TMEM_OK : TMEM_NOT_FOUND);
		}
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.puts_refused_frozen, 3);
		EXPECT_EQUAL(env, stats.puts_refused_nested, 3);
		EXPECT_EQUAL(env, stats.puts_refused_poor, 3);
		EXPECT_EQUAL(env, stats.puts_dropped, 9);
		EXPECT_EQUAL(env, stats.pages, 0);
		ENGINE_CHECK(env);
	}
	engine_stop(env);
}

/* Clause 1, with a budget full of persistent pages. */
SCENARIO(put_refused_by_budget_leaves_nothing)
{
	unsigned int stored, before;
	struct tmem_stats stats;
	int ephemeral, persistent, result, k;

	if (!engine_start(env, NULL, 640))
		return;
	ephemeral = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	/* Same-filled pages need no room; the room goes to incompressible pages. */
	EXPECT_EQUAL(env, put_data(env, ephemeral, 3, 1, CONTENT_SAME_FILLED, 1), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, persistent, 3, 1, CONTENT_SAME_FILLED, 1), TMEM_OK);
	stored = fill_with_persistent_pages(env, persistent, 5, &result);
	EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
	EXPECT(env, stored > 16);

	expect_refused_put_leaves_nothing(env, persistent, 1, CONTENT_SAME_FILLED, CONTENT_RANDOM,
					  TMEM_REFUSED_BUDGET);
	/* Ephemeral runs are separate: at a full budget they get no frame at all. */
	for (k = 0; k < 8; k++)
		result = put_data(env, ephemeral, 3, 100 + k, CONTENT_HALF, 50 + k);
	EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
	expect_refused_put_leaves_nothing(env, ephemeral, 1, CONTENT_SAME_FILLED, CONTENT_HALF,
					  TMEM_REFUSED_BUDGET);

	/* An older page in the store itself: its room may serve the new one, or not. */
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, persistent, &stats), TMEM_OK);
	before = (unsigned int)stats.pages;
	result = put_data(env, persistent, 5, 0, CONTENT_RANDOM, 4711);
	if (result) {
		EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
		EXPECT_EQUAL(env, get_data(env, persistent, 5, 0, CONTENT_RANDOM, 1), TMEM_NOT_FOUND);
		before--;
	} else {
		EXPECT_EQUAL(env, get_data(env, persistent, 5, 0, CONTENT_RANDOM, 4711), TMEM_OK);
	}
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, persistent, &stats), TMEM_OK);
	EXPECT_EQUAL(env, stats.pages, before);
	for (k = 1; k < (int)stored; k++)
		EXPECT_EQUAL(env, get_data(env, persistent, 5, k, CONTENT_RANDOM, k + 1), TMEM_OK);
	engine_stop(env);
}

/* Clause 1, with a client at its limit. */
SCENARIO(put_refused_by_limit_leaves_nothing)
{
	struct tmem_stats stats;
	unsigned int stored;
	int pool, result;

	if (!engine_start(env, NULL, 0))
		return;
	EXPECT_EQUAL(env, tmem_client_configure(env->client, TMEM_WEIGHT_DEFAULT, 16), TMEM_OK);
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	EXPECT_EQUAL(env, put_data(env, pool, 3, 1, CONTENT_SAME_FILLED, 1), TMEM_OK);
	stored = fill_with_persistent_pages(env, pool, 5, &result);
	EXPECT_EQUAL(env, result, TMEM_REFUSED_LIMIT);
	EXPECT(env, stored >= 8 && stored <= 16);
	expect_refused_put_leaves_nothing(env, pool, 1, CONTENT_SAME_FILLED, CONTENT_RANDOM,
					  TMEM_REFUSED_LIMIT);
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
	EXPECT_EQUAL(env, stats.pages, stored);
	EXPECT_EQUAL(env, stats.puts_refused_limit, 2);
	engine_stop(env);
}

/* Clause 2. */
SCENARIO(miss_stays_a_miss)
{
	unsigned int flavour, round;
	int pool;

	if (!engine_start(env, NULL, 640))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_OK);
		EXPECT_EQUAL(env, flush_page(env, pool, 1, 1), TMEM_OK);
		for (round = 0; round < 20; round++) {
			/* Other pages, pressure and tunables do not bring it back. */
			put_data(env, pool, 1, 2 + round, CONTENT_PATTERN, round);
			tmem_shrink(env->host, round % 3);
			tmem_tunable_set(env->host, TMEM_TUNABLE_FROZEN, round & 1);
			EXPECT_EQUAL(env, get_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_NOT_FOUND);
		}
		tmem_tunable_set(env->host, TMEM_TUNABLE_FROZEN, 0);
	}
	engine_stop(env);
}

SCENARIO(miss_leaves_the_page_alone)
{
	unsigned int flavour;
	struct tmem_oid oid = oid_of(1);
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		/* A neighbour in the same leaf, and nothing at all. */
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_OK);
		content_fill(env->page, CONTENT_RANDOM, 77);
		EXPECT_EQUAL(env, tmem_get(env->client, pool, &oid, 0, env->page), TMEM_NOT_FOUND);
		EXPECT(env, content_matches(env->page, CONTENT_RANDOM, 77));
		EXPECT_EQUAL(env, tmem_get(env->client, pool, &oid, 99, env->page), TMEM_NOT_FOUND);
		EXPECT(env, content_matches(env->page, CONTENT_RANDOM, 77));
	}
	engine_stop(env);
}

/* Clause 3. */
SCENARIO(private_ephemeral_get_is_exclusive)
{
	struct tmem_stats stats;
	unsigned int kind;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, 0);
	for (kind = 0; kind < CONTENT_FIRST_POOR; kind++) {
		EXPECT_EQUAL(env, put_data(env, pool, 1, kind, kind, kind), TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, pool, 1, kind, kind, kind), TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, pool, 1, kind, kind, kind), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, flush_page(env, pool, 1, kind), TMEM_NOT_FOUND);
	}
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
	EXPECT_EQUAL(env, stats.pages_taken, CONTENT_FIRST_POOR);
	EXPECT_EQUAL(env, stats.pages, 0);
	engine_stop(env);
}

/* Clause 3, the other half. */
SCENARIO(shared_and_persistent_gets_leave_the_page)
{
	unsigned int flavour, kind, round;
	struct tmem_stats stats;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 1; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (kind = 0; kind < CONTENT_FIRST_POOR; kind++) {
			EXPECT_EQUAL(env, put_data(env, pool, 1, kind, kind, kind), TMEM_OK);
			for (round = 0; round < 3; round++)
				EXPECT_EQUAL(env, get_data(env, pool, 1, kind, kind, kind), TMEM_OK);
		}
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.pages_taken, 0);
		EXPECT_EQUAL(env, stats.gets_hit, 3 * CONTENT_FIRST_POOR);
		for (kind = 0; kind < CONTENT_FIRST_POOR; kind++) {
			EXPECT_EQUAL(env, flush_page(env, pool, 1, kind), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 1, kind, kind, kind), TMEM_NOT_FOUND);
		}
	}
	engine_stop(env);
}

/* Clause 4. */
SCENARIO(persistent_pages_survive_pressure)
{
	enum { kept = 60, flood = 1500 };
	int persistent, ephemeral;
	unsigned int i;

	if (!engine_start(env, NULL, 1024))
		return;
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	ephemeral = new_pool(env, 0);
	for (i = 0; i < kept; i++)
		EXPECT_EQUAL(env, put_data(env, persistent, 1, i, i % CONTENT_KINDS, 100 + i), TMEM_OK);
	for (i = 0; i < flood; i++) {
		put_data(env, ephemeral, i % 5, i, CONTENT_TEXT, i);
		if (i % 100 == 0) {
			tmem_shrink(env->host, 1000);
			EXPECT_EQUAL(env, tmem_validate(env->host), 0);
		}
	}
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_MAX_POOL_PERCENT, 1), 0);
	tmem_shrink(env->host, ~0ULL);
	for (i = 0; i < kept; i++)
		EXPECT_EQUAL(env, get_data(env, persistent, 1, i, i % CONTENT_KINDS, 100 + i), TMEM_OK);
	engine_stop(env);
}

/* Clause 6: decoder and checksum errors, from any kind of pool. */
SCENARIO(corrupt_page_is_never_served)
{
	unsigned int flavour, way, flags;
	struct tmem_stats stats;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		flags = pool_flavours[flavour];
		pool = new_pool(env, flags);
		for (way = 0; way < 2; way++) {
			EXPECT_EQUAL(env, put_data(env, pool, 1, way, CONTENT_TEXT, 1), TMEM_OK);
			if (way == 0)
				injector.decompress_fails = 1;
			else
				injector.checksum_twist = 0x100;
			EXPECT_EQUAL(env, get_data(env, pool, 1, way, CONTENT_TEXT, 1), TMEM_CORRUPT);
			if (flags & TMEM_POOL_PERSISTENT)
				/* It stays, and stays an error, until somebody replaces it. */
				EXPECT_EQUAL(env, get_data(env, pool, 1, way, CONTENT_TEXT, 1),
					     TMEM_CORRUPT);
			else
				EXPECT_EQUAL(env, get_data(env, pool, 1, way, CONTENT_TEXT, 1),
					     TMEM_NOT_FOUND);
			injector.decompress_fails = 0;
			injector.checksum_twist = 0;
			EXPECT_EQUAL(env, put_data(env, pool, 1, way, CONTENT_TEXT, 2), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 1, way, CONTENT_TEXT, 2), TMEM_OK);
		}
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.gets_corrupt, flags & TMEM_POOL_PERSISTENT ? 4 : 2);
		EXPECT_EQUAL(env, stats.pages_corrupt, flags & TMEM_POOL_PERSISTENT ? 0 : 2);
		ENGINE_CHECK(env);
	}
	engine_stop(env);
}

/* Clause 6, with one bit of the stored copy flipped; in builds that can do so. */
SCENARIO(corrupt_bit_is_found)
{
	struct tmem_host_stats stats;
	unsigned int flavour, kind, kinds, found = 0;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		kinds = kinds_admitted(pool_flavours[flavour]);
		for (kind = CONTENT_NEAR_SAME; kind < kinds; kind++) {
			if (tmem_debug_corrupt(env->host, 1))
				break;
			EXPECT_EQUAL(env, put_data(env, pool, 1, kind, kind, 5), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 1, kind, kind, 5), TMEM_CORRUPT);
			found++;
			/* Only the one: its neighbour is sound. */
			EXPECT_EQUAL(env, put_data(env, pool, 2, kind, kind, 6), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 2, kind, kind, 6), TMEM_OK);
			EXPECT_EQUAL(env, flush_page(env, pool, 1, kind),
				     pool_flavours[flavour] & TMEM_POOL_PERSISTENT ? TMEM_OK
										 : TMEM_NOT_FOUND);
		}
	}
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.pages.gets_corrupt, found);
	EXPECT_EQUAL(env, stats.usage.checksum_errors + stats.usage.decoder_errors, found);
	engine_stop(env);
}

SCENARIO(flush_removes_one_page)
{
	unsigned int flavour, kind;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (kind = 0; kind < CONTENT_FIRST_POOR; kind++) {
			EXPECT_EQUAL(env, put_data(env, pool, 1, 8, kind, 1), TMEM_OK);
			EXPECT_EQUAL(env, put_data(env, pool, 1, 9, kind, 2), TMEM_OK);
			EXPECT_EQUAL(env, put_data(env, pool, 2, 8, kind, 3), TMEM_OK);
			EXPECT_EQUAL(env, flush_page(env, pool, 1, 8), TMEM_OK);
			EXPECT_EQUAL(env, flush_page(env, pool, 1, 8), TMEM_NOT_FOUND);
			EXPECT_EQUAL(env, get_data(env, pool, 1, 8, kind, 1), TMEM_NOT_FOUND);
			EXPECT_EQUAL(env, get_data(env, pool, 1, 9, kind, 2), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 2, 8, kind, 3), TMEM_OK);
		}
	}
	engine_stop(env);
}

SCENARIO(flush_object_removes_one_object)
{
	struct tmem_stats stats;
	unsigned int flavour, i;
	int pool, other;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		other = new_pool(env, pool_flavours[flavour]);
		/* Dense, sparse and far pages of two objects, and of one with the same id elsewhere. */
		for (i = 0; i < 40; i++) {
			unsigned long long index = i < 20 ? i : (unsigned long long)i << (i % 56);

			EXPECT_EQUAL(env, put_data(env, pool, 1, index, CONTENT_PATTERN, i), TMEM_OK);
			EXPECT_EQUAL(env, put_data(env, pool, 2, index, CONTENT_PATTERN, i), TMEM_OK);
			EXPECT_EQUAL(env, put_data(env, other, 1, index, CONTENT_PATTERN, i), TMEM_OK);
		}
		EXPECT_EQUAL(env, flush_object(env, pool, 1), TMEM_OK);
		EXPECT_EQUAL(env, flush_object(env, pool, 1), TMEM_NOT_FOUND);
		ENGINE_CHECK(env);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.objects, 1);
		EXPECT_EQUAL(env, stats.object_flushes_found, 1);
		EXPECT_EQUAL(env, stats.object_flushes_missed, 1);
		for (i = 0; i < 40; i++) {
			unsigned long long index = i < 20 ? i : (unsigned long long)i << (i % 56);

			EXPECT_EQUAL(env, get_data(env, pool, 1, index, CONTENT_PATTERN, i),
				     TMEM_NOT_FOUND);
			EXPECT_EQUAL(env, get_data(env, pool, 2, index, CONTENT_PATTERN, i), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, other, 1, index, CONTENT_PATTERN, i), TMEM_OK);
		}
	}
	engine_stop(env);
}

/* Where the pages of the range test are: a dense run at either end of the index space. */
static unsigned long long index_at_ends(unsigned int number)
{
	return number < 48 ? number : ~0ULL - (63 - number);
}

/* Exactly the range goes, whatever its edges, and nothing of another object. */
SCENARIO(flush_range_removes_the_range)
{
	static const struct {
		unsigned long long first, last;
	} ranges[] = {
		{ 0, 0 }, { 3, 3 }, { 15, 16 }, { 5, 40 }, { 16, 31 }, { 0, 5000 }, { 47, 5000 },
		{ 7, 6 }, { 60, 5000 }, { ~0ULL, ~0ULL }, { ~0ULL - 20, ~0ULL }, { ~0ULL - 5, ~0ULL - 2 },
	};
	const struct tmem_oid oid = oid_of(1);
	struct tmem_stats stats;
	unsigned int flavour, r, i;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (r = 0; r < sizeof(ranges) / sizeof(ranges[0]); r++) {
			const unsigned long long first = ranges[r].first, last = ranges[r].last;
			unsigned int removed = 0;

			for (i = 0; i < 64; i++) {
				const unsigned long long index = index_at_ends(i);

				EXPECT_EQUAL(env, put_data(env, pool, 1, index, CONTENT_PATTERN, i), TMEM_OK);
				EXPECT_EQUAL(env, put_data(env, pool, 2, index, CONTENT_PATTERN, i), TMEM_OK);
				removed += index >= first && index <= last;
			}
			EXPECT_EQUAL(env, tmem_flush_range(env->client, pool, &oid, first, last),
				     removed ? TMEM_OK : TMEM_NOT_FOUND);
			ENGINE_CHECK(env);
			for (i = 0; i < 64; i++) {
				const unsigned long long index = index_at_ends(i);
				const int gone = index >= first && index <= last;

				EXPECT_EQUAL(env, get_data(env, pool, 1, index, CONTENT_PATTERN, i),
					     gone ? TMEM_NOT_FOUND : TMEM_OK);
				EXPECT_EQUAL(env, get_data(env, pool, 2, index, CONTENT_PATTERN, i), TMEM_OK);
			}
			flush_object(env, pool, 1);
			flush_object(env, pool, 2);
		}
		/* All of an object that is not there: over at once. */
		EXPECT_EQUAL(env, tmem_flush_range(env->client, pool, &oid, 0, ~0ULL), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.flushes, sizeof(ranges) / sizeof(ranges[0]) + 1);
		EXPECT_EQUAL(env, stats.flushes, stats.flushes_found + stats.flushes_missed);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
	}
	engine_stop(env);
}

typedef int (*range_flusher)(struct tmem_client *client, int pool, const struct tmem_oid *oid,
			     unsigned long long first, unsigned long long last);

/*
 * However wide the range, the flush ends: a step for each leaf of 256 indices
 * would be 2^43 of them and more. Of a persistent pool, all is flushed, or a range that can be walked.
 */
SCENARIO(flush_range_of_any_width)
{
	static const range_flusher flushers[] = { tmem_flush_range, tmem_flush_range_slowly };
	const unsigned long long far = 1ULL << 51, walked = 1ULL << 20;
	const struct tmem_oid oid = oid_of(1);
	struct tmem_host_stats before, after;
	unsigned int flavour, f;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		const int persistent = (pool_flavours[flavour] & TMEM_POOL_PERSISTENT) != 0;
		const int pool = new_pool(env, pool_flavours[flavour]);

		for (f = 0; f < sizeof(flushers) / sizeof(flushers[0]); f++) {
			const range_flusher flush = flushers[f];

			EXPECT_EQUAL(env, put_data(env, pool, 1, 0, CONTENT_PATTERN, 1), TMEM_OK);
			EXPECT_EQUAL(env, put_data(env, pool, 1, far, CONTENT_PATTERN, 2), TMEM_OK);
			EXPECT_EQUAL(env, put_data(env, pool, 2, far, CONTENT_PATTERN, 3), TMEM_OK);
			/* The widest that is always walked: exact. */
			EXPECT_EQUAL(env, flush(env->client, pool, &oid, 1, walked), TMEM_NOT_FOUND);
			EXPECT_EQUAL(env, flush(env->client, pool, &oid, far - walked + 1, far), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 1, far, CONTENT_PATTERN, 2), TMEM_NOT_FOUND);
			EXPECT_EQUAL(env, put_data(env, pool, 1, far, CONTENT_PATTERN, 2), TMEM_OK);
			tmem_host_stats(env->host, &before);
			EXPECT_EQUAL(env, flush(env->client, pool, &oid, 1, ~0ULL),
				     persistent ? TMEM_BAD_ARGUMENT : TMEM_OK);
			EXPECT_EQUAL(env, flush(env->client, pool, &oid, 1, walked + 1),
				     persistent ? TMEM_BAD_ARGUMENT : TMEM_NOT_FOUND);
			tmem_host_stats(env->host, &after);
			EXPECT_EQUAL(env, after.bad_arguments - before.bad_arguments, persistent ? 2 : 0);
			EXPECT_EQUAL(env, after.pages.flushes - before.pages.flushes, persistent ? 0 : 2);
			EXPECT_EQUAL(env, after.pages.flushes_widened, before.pages.flushes_widened + !persistent);
			if (persistent) {
				EXPECT_EQUAL(env, get_data(env, pool, 1, 0, CONTENT_PATTERN, 1), TMEM_OK);
				EXPECT_EQUAL(env, get_data(env, pool, 1, far, CONTENT_PATTERN, 2), TMEM_OK);
			} else {
				EXPECT_EQUAL(env, get_data(env, pool, 1, far, CONTENT_PATTERN, 2),
					     TMEM_NOT_FOUND);
			}
			/* Everything: of either kind of pool. */
			EXPECT_EQUAL(env, put_data(env, pool, 1, 5, CONTENT_PATTERN, 4), TMEM_OK);
			EXPECT_EQUAL(env, put_data(env, pool, 1, far, CONTENT_PATTERN, 2), TMEM_OK);
			EXPECT_EQUAL(env, flush(env->client, pool, &oid, 0, ~0ULL), TMEM_OK);
			EXPECT_EQUAL(env, get_data(env, pool, 1, 5, CONTENT_PATTERN, 4), TMEM_NOT_FOUND);
			EXPECT_EQUAL(env, get_data(env, pool, 1, far, CONTENT_PATTERN, 2), TMEM_NOT_FOUND);
			EXPECT_EQUAL(env, flush(env->client, pool, &oid, 0, ~0ULL), TMEM_NOT_FOUND);
			ENGINE_CHECK(env);
			/* That was asked for, not wider than that. */
			tmem_host_stats(env->host, &before);
			EXPECT_EQUAL(env, before.pages.flushes_widened, after.pages.flushes_widened);
			EXPECT_EQUAL(env, get_data(env, pool, 2, far, CONTENT_PATTERN, 3), TMEM_OK);
			flush_object(env, pool, 2);
		}
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
	}
	engine_stop(env);
}

/* Hundreds of leaves of one object go, others run in between if that is asked for, and the object can be used at once. */
SCENARIO(flush_object_of_a_huge_object)
{
	enum { pages = 3000, leaves = pages * 16 / 256 };
	const struct tmem_oid oid = oid_of(1);
	struct tmem_stats stats;
	unsigned int i, slowly;
	long long breaths;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	for (slowly = 0; slowly < 2; slowly++) {
		for (i = 0; i < pages; i++)
			EXPECT_EQUAL(env, put_data(env, pool, 1, i * 16ULL, CONTENT_SAME_FILLED, i), TMEM_OK);
		for (i = 0; i < 100; i++)
			EXPECT_EQUAL(env, put_data(env, pool, 1, i * 16ULL + 1, CONTENT_PATTERN, i), TMEM_OK);
		breaths = injector.breaths;
		EXPECT_EQUAL(env, slowly ? tmem_flush_object_slowly(env->client, pool, &oid) :
					   tmem_flush_object(env->client, pool, &oid), TMEM_OK);
		EXPECT(env, slowly ? injector.breaths - breaths >= leaves : injector.breaths == breaths);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.pages, 0);
		EXPECT_EQUAL(env, stats.objects, 0);
		EXPECT_EQUAL(env, stats.pages_flushed, (slowly + 1) * (pages + 100));
		EXPECT_EQUAL(env, stats.object_flushes_found, slowly + 1);
	}
	EXPECT_EQUAL(env, tmem_flush_object_slowly(env->client, pool, &oid), TMEM_NOT_FOUND);
	EXPECT_EQUAL(env, tmem_flush_object_slowly(env->client, pool, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 5, CONTENT_TEXT, 1), TMEM_OK);
	EXPECT_EQUAL(env, get_data(env, pool, 1, 5, CONTENT_TEXT, 1), TMEM_OK);
	engine_stop(env);
}

static struct tmem_oid odd_oid(unsigned int number)
{
	static const unsigned long long a = 0x1234567890abcdefULL, b = 0xfedcba0987654321ULL;
	struct tmem_oid oid = { { a, b, 0 } };

	if (number < 192) {
		oid.word[number / 64] ^= 1ULL << (number % 64);
		return oid;
	}
	/* What a hash that only mixes the words by xor or sum would confuse. */
	switch (number) {
	case 192:
		break;
	case 193:
		oid.word[0] = b;
		oid.word[1] = a;
		break;
	case 194:
		oid.word[0] = a ^ b;
		oid.word[1] = 0;
		break;
	case 195:
		oid.word[0] = a + b;
		oid.word[1] = 0;
		break;
	case 196:
		oid.word[0] = 0;
		oid.word[2] = a;
		break;
	case 197:
		oid.word[0] = 0;
		oid.word[1] = 0;
		break;
	default:
		oid.word[0] = ~0ULL;
		oid.word[1] = ~0ULL;
		oid.word[2] = ~0ULL;
		break;
	}
	return oid;
}

/* Seed fault 20: ids that differ anywhere in 192 bits are different objects. */
SCENARIO(every_bit_of_an_oid_counts)
{
	enum { oids = 199 };
	struct tmem_stats stats;
	struct tmem_oid oid;
	unsigned int i, k;
	int pool, result;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	for (i = 0; i < oids; i++) {
		oid = odd_oid(i);
		content_fill(env->page, CONTENT_SAME_FILLED, i + 1);
		EXPECT_EQUAL(env, tmem_put(env->client, pool, &oid, 7, env->page), TMEM_OK);
	}
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
	EXPECT_EQUAL(env, stats.objects, oids);
	EXPECT_EQUAL(env, stats.pages, oids);
	EXPECT_EQUAL(env, stats.puts_replaced, 0);
	for (i = 0; i < oids; i++) {
		oid = odd_oid(i);
		EXPECT_EQUAL(env, tmem_get(env->client, pool, &oid, 7, env->page), TMEM_OK);
		EXPECT(env, content_matches(env->page, CONTENT_SAME_FILLED, i + 1));
	}
	/* One object goes, all others stay. */
	for (i = 0; i < oids; i += 14) {
		oid = odd_oid(i);
		EXPECT_EQUAL(env, tmem_flush_object(env->client, pool, &oid), TMEM_OK);
		for (k = 0; k < oids; k++) {
			oid = odd_oid(k);
			result = tmem_get(env->client, pool, &oid, 7, env->page);
			EXPECT_EQUAL(env, result,
				     k <= i && k % 14 == 0 ? TMEM_NOT_FOUND : TMEM_OK);
		}
	}
	engine_stop(env);
}

/* Seed fault 18: an index has 64 bits. */
SCENARIO(every_bit_of_an_index_counts)
{
	struct tmem_stats stats;
	unsigned int bit;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 0, CONTENT_SAME_FILLED, 1000), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, pool, 1, ~0ULL, CONTENT_SAME_FILLED, 1001), TMEM_OK);
	for (bit = 0; bit < 64; bit++) {
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1ULL << bit, CONTENT_SAME_FILLED, bit + 1),
			     TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 1, ~(1ULL << bit), CONTENT_SAME_FILLED,
					   bit + 101), TMEM_OK);
	}
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
	EXPECT_EQUAL(env, stats.pages, 130);
	EXPECT_EQUAL(env, stats.objects, 1);
	for (bit = 0; bit < 64; bit++) {
		EXPECT_EQUAL(env, get_data(env, pool, 1, 1ULL << bit, CONTENT_SAME_FILLED, bit + 1),
			     TMEM_OK);
		EXPECT_EQUAL(env, flush_page(env, pool, 1, ~(1ULL << bit)), TMEM_OK);
	}
	EXPECT_EQUAL(env, get_data(env, pool, 1, 0, CONTENT_SAME_FILLED, 1000), TMEM_OK);
	EXPECT_EQUAL(env, get_data(env, pool, 1, ~0ULL, CONTENT_SAME_FILLED, 1001), TMEM_OK);
	engine_stop(env);
}

/* Clause 9: the page operations and the statistics may be called with interrupts off. */
SCENARIO(interrupts_may_be_off)
{
	struct tmem_host_stats stats;
	struct tmem_stats pool_stats;
	unsigned int flavour, i;
	unsigned long state;
	int pool;

	if (!engine_start(env, NULL, 640))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < 200; i++) {
			state = platform_interrupts_off();
			put_data(env, pool, i % 3, i, content_kind_of(i), i);
			get_data(env, pool, i % 3, i / 2, content_kind_of(i / 2), i / 2);
			flush_page(env, pool, i % 3, i / 3);
			if (i % 50 == 49) {
				flush_object(env, pool, i % 3);
				tmem_host_stats(env->host, &stats);
				tmem_pool_stats(env->client, pool, &pool_stats);
				tmem_shrink(env->host, 2);
				tmem_shrinkable(env->host);
			}
			platform_interrupts_on(state);
		}
		ENGINE_CHECK(env);
	}
	engine_stop(env);
}

struct interruption {
	struct scenario_env *env;
	unsigned char *page;
	int pool;
	int put_result, get_result, same_filled_result, flush_result, object_result;
};

static void interrupt_a_put(void *argument)
{
	struct interruption *interruption = argument;
	struct tmem_client *client = interruption->env->client;
	struct tmem_oid oid = oid_of(1);
	unsigned char *page = interruption->page;
	int pool = interruption->pool;

	content_fill(page, CONTENT_TEXT, 21);
	interruption->put_result = tmem_put(client, pool, &oid, 21, page);
	content_fill(page, CONTENT_SAME_FILLED, 22);
	interruption->same_filled_result = tmem_put(client, pool, &oid, 22, page);
	interruption->get_result = tmem_get(client, pool, &oid, 20, page);
	if (!interruption->get_result && !content_matches(page, CONTENT_TEXT, 20))
		interruption->get_result = TMEM_CORRUPT;
	interruption->flush_result = tmem_flush_page(client, pool, &oid, 19);
	oid = oid_of(2);
	interruption->object_result = tmem_flush_object(client, pool, &oid);
}

/*
 * An interrupt that finds the compressor taken may put nothing that needs it,
 * but gets and flushes; the put it interrupted is not disturbed.
 */
SCENARIO(interrupt_in_the_middle_of_a_put)
{
	struct interruption interruption;
	struct tmem_stats stats;
	unsigned int flavour;
	int pool;

	memset(&interruption, 0, sizeof(interruption));
	interruption.env = env;
	interruption.page = platform_allocate(TMEM_PAGE_BYTES);
	REQUIRE(env, interruption.page != NULL);
	if (!engine_start(env, NULL, 0))
		goto out;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		interruption.pool = pool;
		EXPECT_EQUAL(env, put_data(env, pool, 1, 19, CONTENT_TEXT, 19), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 20, CONTENT_TEXT, 20), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 21, CONTENT_TEXT, 1), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 2, 1, CONTENT_TEXT, 23), TMEM_OK);
		injector.on_compress_argument = &interruption;
		injector.on_compress = interrupt_a_put;
		EXPECT_EQUAL(env, put_data(env, pool, 1, 30, CONTENT_TEXT, 30), TMEM_OK);
		EXPECT_EQUAL(env, interruption.put_result, TMEM_REFUSED_NESTED);
		/* A word in the index needs no workspace. */
		EXPECT_EQUAL(env, interruption.same_filled_result,
			     pool_flavours[flavour] & TMEM_POOL_PERSISTENT ? TMEM_OK
									 : TMEM_REFUSED_NESTED);
		EXPECT_EQUAL(env, interruption.get_result, TMEM_OK);
		EXPECT_EQUAL(env, interruption.flush_result, TMEM_OK);
		EXPECT_EQUAL(env, interruption.object_result, TMEM_OK);

		EXPECT_EQUAL(env, get_data(env, pool, 1, 30, CONTENT_TEXT, 30), TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 19, CONTENT_TEXT, 19), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 21, CONTENT_TEXT, 1), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 22, CONTENT_SAME_FILLED, 22),
			     interruption.same_filled_result ? TMEM_NOT_FOUND : TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, pool, 2, 1, CONTENT_TEXT, 23), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.puts_refused_nested, interruption.same_filled_result ? 2 : 1);
	}
	engine_stop(env);
out:
	platform_release(interruption.page);
}

/* Clause 8: whatever a caller passes has an answer, and changes nothing. */
SCENARIO(bad_arguments_are_answered)
{
	static const int bad_ids[] = { -1, -2, 1, 7, 1023, 1024, 0x7fffffff, (int)0x80000000 };
	struct tmem_client *client, *none = NULL;
	struct tmem_host_stats before, after;
	struct tmem_oid oid = oid_of(1);
	struct tmem_pool_info info;
	struct tmem_stats stats;
	unsigned int i, cursor;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	client = env->client;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 0, CONTENT_TEXT, 1), TMEM_OK);
	tmem_host_stats(env->host, &before);

	for (i = 0; i < sizeof(bad_ids) / sizeof(*bad_ids); i++) {
		if (bad_ids[i] == pool)
			continue;
		EXPECT_EQUAL(env, tmem_put(client, bad_ids[i], &oid, 0, env->page), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, tmem_get(client, bad_ids[i], &oid, 0, env->page), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, tmem_flush_page(client, bad_ids[i], &oid, 0), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, tmem_flush_object(client, bad_ids[i], &oid), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, tmem_pool_stats(client, bad_ids[i], &stats), TMEM_BAD_ARGUMENT);
		EXPECT_EQUAL(env, tmem_destroy_pool(client, bad_ids[i]), TMEM_BAD_ARGUMENT);
	}
	EXPECT_EQUAL(env, tmem_put(none, pool, &oid, 0, env->page), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_put(client, pool, NULL, 0, env->page), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_put(client, pool, &oid, 5, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_get(none, pool, &oid, 0, env->page), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_get(client, pool, NULL, 0, env->page), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_get(client, pool, &oid, 0, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_flush_page(none, pool, &oid, 0), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_flush_page(client, pool, NULL, 0), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_flush_object(none, pool, &oid), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_flush_object(client, pool, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_pool_stats(none, pool, &stats), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_pool_stats(client, pool, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_destroy_pool(none, pool), TMEM_BAD_ARGUMENT);

	EXPECT_EQUAL(env, tmem_new_pool(none, 0, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_new_pool(client, TMEM_POOL_SHARED, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_new_pool(client, 4, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_new_pool(client, ~0U, NULL), TMEM_BAD_ARGUMENT);

	EXPECT_EQUAL(env, tmem_client_create(NULL, "x", 1, 1, &none), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_client_create(env->host, "x", 1, 1, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_client_create(env->host, NULL, 1, 1, &none), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_client_create(env->host, "x", 0, 1, &none), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_client_create(env->host, "x", TMEM_WEIGHT_MAX + 1, 1, &none),
		     TMEM_BAD_ARGUMENT);
	EXPECT(env, none == NULL);
	EXPECT_EQUAL(env, tmem_client_configure(NULL, 1, 1), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_client_configure(client, 0, 1), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_client_configure(client, TMEM_WEIGHT_MAX + 1, 1), TMEM_BAD_ARGUMENT);
	tmem_client_destroy(NULL);

#define EXPECT_RANGE(NAME, name, smallest, largest, initial, meaning)                              \
	EXPECT_EQUAL(env, tmem_tunable_get(NULL, TMEM_TUNABLE_##NAME), initial);                   \
	EXPECT_EQUAL(env, tmem_tunable_get(env->host, TMEM_TUNABLE_##NAME), initial);              \
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_##NAME,                         \
					   (unsigned long long)(smallest) - 1), TMEM_BAD_ARGUMENT); \
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_##NAME, (largest) + 1),         \
		     TMEM_BAD_ARGUMENT);                                                           \
	EXPECT_EQUAL(env, tmem_tunable_set(NULL, TMEM_TUNABLE_##NAME, initial), TMEM_BAD_ARGUMENT); \
	EXPECT_EQUAL(env, tmem_tunable_get(env->host, TMEM_TUNABLE_##NAME), initial);              \
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_##NAME, smallest), TMEM_OK);    \
	EXPECT_EQUAL(env, tmem_tunable_get(env->host, TMEM_TUNABLE_##NAME), smallest);             \
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_##NAME, largest), TMEM_OK);     \
	EXPECT_EQUAL(env, tmem_tunable_get(env->host, TMEM_TUNABLE_##NAME), largest);              \
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_##NAME, initial), TMEM_OK);
	TMEM_TUNABLES(EXPECT_RANGE)
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLES_COUNT, 1), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, ~0U, 1), TMEM_BAD_ARGUMENT);
	tmem_tunable_get(env->host, TMEM_TUNABLES_COUNT);
	tmem_tunable_get(env->host, ~0U);

	cursor = 0;
	EXPECT_EQUAL(env, tmem_next_pool(NULL, &cursor, &info), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_next_pool(env->host, NULL, &info), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_next_pool(env->host, &cursor, NULL), TMEM_BAD_ARGUMENT);
	cursor = ~0U;
	EXPECT_EQUAL(env, tmem_next_pool(env->host, &cursor, &info), TMEM_NOT_FOUND);
	cursor = 0x7fffffff;
	EXPECT_EQUAL(env, tmem_next_pool(env->host, &cursor, &info), TMEM_NOT_FOUND);
	tmem_host_stats(env->host, NULL);
	tmem_host_stats(NULL, &after);
	EXPECT_EQUAL(env, tmem_shrink(NULL, 1), 0);
	EXPECT_EQUAL(env, tmem_shrinkable(NULL), 0);
	EXPECT_EQUAL(env, tmem_pam_evict(NULL, 0, 0), TMEM_BAD_ARGUMENT);
	for (i = 0; i < 64; i++) {
		EXPECT_EQUAL(env, tmem_pam_evict(env->host, 1ULL << i, i), TMEM_NOT_FOUND);
		EXPECT_EQUAL(env, tmem_pam_evict(env->host, ~0ULL << i, ~0ULL), TMEM_NOT_FOUND);
	}
	EXPECT_EQUAL(env, tmem_unregister_host(NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_unregister_host(env->host), TMEM_IN_USE);
	EXPECT_EQUAL(env, tmem_register_host_ops(NULL, NULL), TMEM_BAD_ARGUMENT);
	EXPECT_EQUAL(env, tmem_kind_bytes(TMEM_KINDS), 0);
	EXPECT_EQUAL(env, tmem_kind_alignment(~0U), 0);
	EXPECT(env, tmem_kind_name(TMEM_KINDS) == NULL);

	tmem_host_stats(env->host, &after);
	EXPECT(env, after.bad_arguments > before.bad_arguments);
	EXPECT_EQUAL(env, memcmp(&before.pages, &after.pages, sizeof(before.pages)), 0);
	EXPECT_EQUAL(env, before.usage.frames, after.usage.frames);
	EXPECT_EQUAL(env, before.index_bytes, after.index_bytes);
	EXPECT_EQUAL(env, get_data(env, pool, 1, 0, CONTENT_TEXT, 1), TMEM_OK);
	engine_stop(env);
}

/* Clause 1 down to the last case: whatever was put, what was there before is not there any more. */
SCENARIO(put_of_no_page_leaves_nothing)
{
	struct tmem_oid oid = oid_of(1);
	struct tmem_stats stats;
	unsigned int flavour, kind;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (kind = CONTENT_SAME_FILLED; kind <= CONTENT_PATTERN; kind++) {
			EXPECT_EQUAL(env, put_data(env, pool, 1, 1, kind, 1), TMEM_OK);
			EXPECT_EQUAL(env, put_data(env, pool, 1, 2, kind, 2), TMEM_OK);
			EXPECT_EQUAL(env, tmem_put(env->client, pool, &oid, 1, NULL), TMEM_BAD_ARGUMENT);
			EXPECT_EQUAL(env, get_data(env, pool, 1, 1, kind, 1), TMEM_NOT_FOUND);
			EXPECT_EQUAL(env, get_data(env, pool, 1, 2, kind, 2), TMEM_OK);
		}
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.puts_dropped, 3);
		ENGINE_CHECK(env);
	}
	engine_stop(env);
}

/* The counters say exactly what happened. */
SCENARIO(counters_add_up)
{
	struct tmem_stats stats, expected;
	int pool, persistent;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);

	put_data(env, pool, 1, 1, CONTENT_TEXT, 1);		/* stored */
	put_data(env, pool, 1, 1, CONTENT_PATTERN, 2);		/* stored, replaced */
	put_data(env, pool, 1, 1, CONTENT_RANDOM, 3);		/* poor, dropped */
	put_data(env, pool, 1, 1, CONTENT_RANDOM, 3);		/* poor, nothing to drop */
	put_data(env, pool, 1, 2, CONTENT_TEXT, 4);		/* stored */
	put_data(env, pool, 1, 3, CONTENT_PATTERN, 5);		/* stored */
	put_data(env, pool, 2, 3, CONTENT_TEXT, 6);		/* stored */
	put_data(env, pool, 2, 4, CONTENT_TEXT, 7);		/* stored */
	get_data(env, pool, 1, 1, CONTENT_TEXT, 1);		/* missed */
	get_data(env, pool, 1, 2, CONTENT_TEXT, 4);		/* hit, taken */
	get_data(env, pool, 1, 2, CONTENT_TEXT, 4);		/* missed */
	flush_page(env, pool, 2, 3);				/* found */
	flush_page(env, pool, 2, 3);				/* missed */
	flush_object(env, pool, 2);				/* found: one page */
	flush_object(env, pool, 2);				/* missed */
	flush_object(env, pool, 7);				/* missed */
	put_data(env, persistent, 1, 1, CONTENT_ZERO, 1);	/* stored, same-filled */
	get_data(env, persistent, 1, 1, CONTENT_ZERO, 1);	/* hit */

	memset(&expected, 0, sizeof(expected));
	expected.puts = 8;
	expected.puts_stored = 6;
	expected.puts_refused_poor = 2;
	expected.puts_replaced = 1;
	expected.puts_dropped = 1;
	expected.gets = 3;
	expected.gets_hit = 1;
	expected.gets_missed = 2;
	expected.flushes = 2;
	expected.flushes_found = 1;
	expected.flushes_missed = 1;
	expected.object_flushes = 3;
	expected.object_flushes_found = 1;
	expected.object_flushes_missed = 2;
	expected.pages_taken = 1;
	expected.pages_flushed = 2;
	expected.pages = 1;
	expected.objects = 1;
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
#define EXPECT_FIELD(name, meaning) EXPECT_EQUAL(env, stats.name, expected.name);
	TMEM_COUNTERS(EXPECT_FIELD)
	TMEM_LEVELS(EXPECT_FIELD)
	EXPECT_EQUAL(env, tmem_pool_stats(env->client, persistent, &stats), TMEM_OK);
	memset(&expected, 0, sizeof(expected));
	expected.puts = 1;
	expected.puts_stored = 1;
	expected.puts_same_filled = 1;
	expected.gets = 1;
	expected.gets_hit = 1;
	expected.pages = 1;
	expected.pages_same_filled = 1;
	expected.objects = 1;
	TMEM_COUNTERS(EXPECT_FIELD)
	TMEM_LEVELS(EXPECT_FIELD)
#undef EXPECT_FIELD
	engine_stop(env);
}
