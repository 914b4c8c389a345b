// SPDX-License-Identifier: GPL-2.0
/* The compressed store: sizes, packing, admission, integrity. */
#include "scenarios.h"

/* Pages of every compressed size live side by side, and half of them go again. */
SCENARIO(every_size_comes_back)
{
	struct tmem_oid oid = oid_of(1);
	unsigned int noise, round;
	int pool, result;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	for (round = 0; round < 3; round++) {
		for (noise = 0; noise <= PAGE_WORDS; noise++) {
			if (round && noise % 2 != round % 2)
				continue;	/* stays as it is */
			content_fill_mixed(env->page, noise, noise + round);
			result = tmem_put(env->client, pool, &oid, noise, env->page);
			EXPECT_EQUAL(env, result, TMEM_OK);
		}
		ENGINE_CHECK(env);
		for (noise = 0; noise <= PAGE_WORDS; noise++) {
			/* Odd sizes were replaced in round 1, even ones in round 2. */
			unsigned int version = noise % 2 ? (round > 0) : (round > 1 ? 2 : 0);

			memset(env->page, 0xcc, TMEM_PAGE_BYTES);
			EXPECT_EQUAL(env, tmem_get(env->client, pool, &oid, noise, env->page), TMEM_OK);
			EXPECT(env, content_matches_mixed(env->page, noise, noise + version));
		}
	}
	for (noise = 0; noise <= PAGE_WORDS; noise += 3)
		EXPECT_EQUAL(env, tmem_flush_page(env->client, pool, &oid, noise), TMEM_OK);
	ENGINE_CHECK(env);
	for (noise = 0; noise <= PAGE_WORDS; noise++) {
		result = tmem_get(env->client, pool, &oid, noise, env->page);
		EXPECT_EQUAL(env, result, noise % 3 ? TMEM_OK : TMEM_NOT_FOUND);
		if (!result)
			EXPECT(env, content_matches_mixed(env->page, noise,
							  noise + (noise % 2 ? 1 : 2)));
	}
	engine_stop(env);
}

SCENARIO(usage_adds_up)
{
	struct tmem_host_stats empty, full, after;
	unsigned long long leaf_bytes = 0;
	struct tmem_client *other;
	unsigned int i;
	int pool, ephemeral;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	ephemeral = new_pool(env, 0);
	tmem_host_stats(env->host, &empty);
	EXPECT_EQUAL(env, empty.usage.frames_limit, ENGINE_FRAMES_DEFAULT / 5);
	EXPECT_EQUAL(env, empty.usage.entries, 0);
	for (i = 0; i < 100; i++) {
		EXPECT_EQUAL(env, put_data(env, pool, i, i, CONTENT_TEXT, i), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, i, i + 1, CONTENT_RANDOM, i), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, ephemeral, i, i, CONTENT_PATTERN, i), TMEM_OK);
	}
	tmem_host_stats(env->host, &full);
	EXPECT_EQUAL(env, full.usage.entries, 300);
	EXPECT_EQUAL(env, full.usage.entries_raw, 100);
	EXPECT_EQUAL(env, full.usage.entries_stored_raw, 100);
	EXPECT_EQUAL(env, full.usage.checksum_bytes, 300 * 4);
	EXPECT(env, full.usage.bytes_stored >= 100ULL * TMEM_PAGE_BYTES);
	EXPECT(env, full.usage.bytes_stored < 200ULL * TMEM_PAGE_BYTES);
	EXPECT(env, full.usage.frames * TMEM_PAGE_BYTES >= full.usage.bytes_stored);
	EXPECT_EQUAL(env, full.usage.frames, injector.live_frames);
	EXPECT(env, full.usage.frames_ephemeral > 0);
	EXPECT(env, full.usage.frames_ephemeral < full.usage.frames);
	EXPECT(env, full.usage.metadata_bytes > 0);
	EXPECT_EQUAL(env, tmem_shrinkable(env->host), full.usage.frames_ephemeral);
	EXPECT_EQUAL(env, full.pages.objects, 200);
	EXPECT_EQUAL(env, full.index_bytes, full.leaf_bytes + full.object_bytes);
	EXPECT_EQUAL(env, full.object_bytes, 200 * tmem_kind_bytes(TMEM_KIND_OBJECT));
	for (i = 0; i < TMEM_LEAF_CLASSES; i++)
		leaf_bytes += injector.live_objects[TMEM_KIND_LEAF + i] * tmem_kind_bytes(TMEM_KIND_LEAF + i);
	EXPECT_EQUAL(env, full.leaf_bytes, leaf_bytes);
	/* Whatever is there for good, to the byte. */
	EXPECT(env, full.usage.store_bytes > 0);
	EXPECT_EQUAL(env, empty.table_bytes, full.table_bytes);
	EXPECT_EQUAL(env, full.table_bytes, injector.live_table_bytes);
	EXPECT_EQUAL(env, tmem_client_create(env->host, "other", 1, TMEM_NO_LIMIT, &other), TMEM_OK);
	tmem_host_stats(env->host, &after);
	EXPECT(env, after.table_bytes > full.table_bytes);
	EXPECT_EQUAL(env, after.table_bytes, injector.live_table_bytes);
	tmem_client_destroy(other);

	for (i = 0; i < 100; i++) {
		EXPECT_EQUAL(env, flush_object(env, pool, i), TMEM_OK);
		EXPECT_EQUAL(env, get_data(env, ephemeral, i, i, CONTENT_PATTERN, i), TMEM_OK);
	}
	tmem_host_stats(env->host, &after);
	EXPECT_EQUAL(env, after.usage.entries, 0);
	EXPECT_EQUAL(env, after.usage.entries_raw, 0);
	EXPECT_EQUAL(env, after.usage.entries_stored_raw, 100);
	EXPECT_EQUAL(env, after.usage.checksum_bytes, 0);
	EXPECT_EQUAL(env, after.usage.bytes_stored, 0);
	EXPECT_EQUAL(env, after.usage.frames, injector.live_frames);
	EXPECT(env, after.usage.frames <= 16);
	EXPECT_EQUAL(env, after.index_bytes, empty.index_bytes);
	engine_stop(env);
}

SCENARIO(incompressible_pages)
{
	struct tmem_host_stats stats;
	int ephemeral, persistent;
	unsigned int i;

	if (!engine_start(env, NULL, 0))
		return;
	ephemeral = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	for (i = 0; i < 30; i++) {
		EXPECT_EQUAL(env, put_data(env, ephemeral, 1, i, CONTENT_RANDOM, i), TMEM_REFUSED_POOR);
		EXPECT_EQUAL(env, put_data(env, ephemeral, 1, i, CONTENT_POOR, i), TMEM_REFUSED_POOR);
		EXPECT_EQUAL(env, put_data(env, persistent, 1, i, CONTENT_RANDOM, i), TMEM_OK);
	}
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.entries_raw, 30);
	EXPECT_EQUAL(env, stats.usage.entries_stored_raw, 30);
	EXPECT_EQUAL(env, stats.usage.bytes_stored, 30 * TMEM_PAGE_BYTES);
	/* A compressor that fails is a page that does not compress. */
	injector.compress_fails = 1;
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 40, CONTENT_TEXT, 40), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 40, CONTENT_TEXT, 40), TMEM_REFUSED_POOR);
	injector.compress_fails = 0;
	EXPECT_EQUAL(env, get_data(env, persistent, 1, 40, CONTENT_TEXT, 40), TMEM_OK);
	for (i = 0; i < 30; i++)
		EXPECT_EQUAL(env, get_data(env, persistent, 1, i, CONTENT_RANDOM, i), TMEM_OK);
	/* Whether it is stored raw was decided once: moving it is no new decision. */
	for (i = 0; i < 210; i++)
		EXPECT_EQUAL(env, put_data(env, persistent, 2, i, CONTENT_RANDOM, i), TMEM_OK);
	for (i = 0; i < 210; i++)
		if (i % 3)
			EXPECT_EQUAL(env, flush_page(env, persistent, 2, i), TMEM_OK);
	tmem_compact(env->host, ~0ULL);
	tmem_host_stats(env->host, &stats);
	EXPECT(env, stats.usage.entries_moved > 0);
	EXPECT_EQUAL(env, stats.usage.entries_raw, 31 + 70);
	EXPECT_EQUAL(env, stats.usage.entries_stored_raw, 31 + 210);
	engine_stop(env);
}

SCENARIO(admission_thresholds)
{
	int ephemeral, persistent;

	if (!engine_start(env, NULL, 0))
		return;
	ephemeral = new_pool(env, 0);
	persistent = new_pool(env, TMEM_POOL_PERSISTENT);
	/* CONTENT_HALF compresses to a little over half, CONTENT_POOR to about 88 percent. */
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 1, CONTENT_HALF, 1), TMEM_OK);
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_ADMIT_EPHEMERAL_PERCENT, 40), 0);
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 1, CONTENT_HALF, 1), TMEM_REFUSED_POOR);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 1, CONTENT_HALF, 1), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 1, CONTENT_PATTERN, 1), TMEM_OK);
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_ADMIT_EPHEMERAL_PERCENT, 95), 0);
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 1, CONTENT_POOR, 1), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 2, CONTENT_RANDOM, 1), TMEM_REFUSED_POOR);
	EXPECT_EQUAL(env, get_data(env, ephemeral, 1, 1, CONTENT_POOR, 1), TMEM_OK);
	/* At 100 an ephemeral page need only compress at all. */
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_ADMIT_EPHEMERAL_PERCENT, 100), 0);
	EXPECT_EQUAL(env, put_data(env, ephemeral, 1, 3, CONTENT_POOR, 1), TMEM_OK);

	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_ADMIT_PERSISTENT_PERCENT, 40), 0);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 2, CONTENT_HALF, 1), TMEM_REFUSED_POOR);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 3, CONTENT_RANDOM, 1), TMEM_REFUSED_POOR);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 4, CONTENT_PATTERN, 1), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, persistent, 1, 5, CONTENT_SAME_FILLED, 1), TMEM_OK);
	/* What is in already stays. */
	EXPECT_EQUAL(env, get_data(env, persistent, 1, 1, CONTENT_HALF, 1), TMEM_OK);
	engine_stop(env);
}

/* A sound page is read whatever the switch was when it came in, and is now. */
SCENARIO(checksum_may_be_switched)
{
	unsigned int put_with, get_with, kind;
	struct tmem_host_stats stats;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	for (put_with = 0; put_with < 2; put_with++)
		for (get_with = 0; get_with < 2; get_with++)
			for (kind = 0; kind < CONTENT_KINDS; kind++) {
				tmem_tunable_set(env->host, TMEM_TUNABLE_CHECKSUM, put_with);
				EXPECT_EQUAL(env, put_data(env, pool, 1, kind, kind, 3), TMEM_OK);
				tmem_tunable_set(env->host, TMEM_TUNABLE_CHECKSUM, get_with);
				EXPECT_EQUAL(env, get_data(env, pool, 1, kind, kind, 3), TMEM_OK);
				tmem_host_stats(env->host, &stats);
				if (kind == CONTENT_KINDS - 1)
					EXPECT_EQUAL(env, stats.usage.checksum_bytes,
						     put_with ? stats.usage.entries * 4 : 0);
			}
	/* On both times, a wrong checksum is seen even if the page decodes. */
	tmem_tunable_set(env->host, TMEM_TUNABLE_CHECKSUM, 1);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_OK);
	injector.checksum_twist = 1;
	EXPECT_EQUAL(env, get_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_CORRUPT);
	injector.checksum_twist = 0;
	EXPECT_EQUAL(env, get_data(env, pool, 1, 1, CONTENT_TEXT, 1), TMEM_OK);
	engine_stop(env);
}

/*
 * The host's checksum: the same bytes have the same one wherever they lie, and
 * a change of any one word or byte gives another, as does any other length.
 * What is summed ends where its memory does, so that KASAN and ASan see a read
 * beyond it.
 */
static void expect_checksum_sees_changes(struct scenario_env *env, unsigned long bytes, unsigned long offset)
{
	unsigned int (*const checksum)(const void *, unsigned long) = platform_host_ops()->checksum;
	unsigned char *const aligned = platform_allocate(bytes), *const memory = platform_allocate(offset + bytes);
	unsigned char *const data = memory + offset;
	unsigned int sum, same = 0;
	unsigned long i, j, random;

	REQUIRE(env, aligned && memory);
	for (i = 0; i < bytes; i++)
		aligned[i] = data[i] = (unsigned char)scenario_random(&env->random);
	sum = checksum(data, bytes);
	EXPECT(env, checksum(aligned, bytes) == sum);
	EXPECT(env, checksum(data + 1, bytes - 1) != sum);
	/* A zero more is another length, and nothing else. */
	data[bytes - 1] = 0;
	EXPECT(env, checksum(data, bytes - 1) != checksum(data, bytes));
	data[bytes - 1] = aligned[bytes - 1];
	for (i = 0; i < bytes; i++) {
		random = scenario_random(&env->random) | 1;
		data[i] ^= 1U << (random >> 8) % 8;
		same += checksum(data, bytes) == sum;
		data[i] = aligned[i];
		if (i % 8 || bytes - i < 8)
			continue;
		for (j = 0; j < 8; j++)
			data[i + j] ^= (unsigned char)(random >> 8 * j);
		same += checksum(data, bytes) == sum;
		for (j = 0; j < 8; j++)
			data[i + j] = aligned[i + j];
	}
	EXPECT_EQUAL(env, same, 0);
	EXPECT(env, checksum(data, bytes) == sum);
	platform_release(memory);
	platform_release(aligned);
}

SCENARIO(checksum_sees_every_change)
{
	static const unsigned short sizes[] = { 100, 255, 1000, 1550, 4095, 4096 };
	unsigned int i;

	for (i = 1; i < 80; i++)
		expect_checksum_sees_changes(env, i, i % 8);
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		expect_checksum_sees_changes(env, sizes[i], (i * 3 + 4) % 8);
}

/* Holes left by flushes at random are filled again: by packing runs together if need be. */
SCENARIO(holes_are_used_again)
{
	enum { frames = 2560, pages_max = 4000 };
	unsigned int stored = 0, freed = 0, again = 0, i;
	unsigned long long random = env->random;
	struct tmem_host_stats full, after;
	unsigned char *present;
	int pool, result;

	present = platform_allocate(2 * pages_max);
	REQUIRE(env, present != NULL);
	if (!engine_start(env, NULL, frames))
		goto out;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	do {
		result = put_data(env, pool, 1, stored, stored % 2 ? CONTENT_TEXT : CONTENT_HALF, stored);
		if (!result)
			present[stored++] = 1;
	} while (!result && stored < pages_max);
	EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
	tmem_host_stats(env->host, &full);
	EXPECT(env, full.usage.frames <= full.usage.frames_limit);
	for (i = 0; i < stored; i++)
		if (scenario_random(&random) & 1) {
			EXPECT_EQUAL(env, flush_page(env, pool, 1, i), TMEM_OK);
			present[i] = 0;
			freed++;
		}
	ENGINE_CHECK(env);
	do {
		i = stored + again;
		result = put_data(env, pool, 1, i, i % 2 ? CONTENT_TEXT : CONTENT_HALF, i);
		if (!result) {
			present[i] = 1;
			again++;
		}
	} while (!result && i + 1 < 2 * pages_max);
	EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
	EXPECT(env, again >= freed / 10 * 8);
	ENGINE_CHECK(env);
	for (i = 0; i < stored + again; i++)
		EXPECT_EQUAL(env, get_data(env, pool, 1, i, i % 2 ? CONTENT_TEXT : CONTENT_HALF, i),
			     present[i] ? TMEM_OK : TMEM_NOT_FOUND);
	tmem_host_stats(env->host, &after);
	EXPECT(env, after.usage.frames <= after.usage.frames_limit);
	engine_stop(env);
out:
	platform_release(present);
}

/* The worst that a store of whole size classes would do is 1/2; this one must be well above. */
SCENARIO(packing_is_dense)
{
	struct tmem_host_stats stats;
	unsigned int noise, i;
	struct tmem_oid oid = oid_of(1);
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	for (i = 0; i < 2000; i++) {
		noise = 20 + (i * 37) % 380;
		content_fill_mixed(env->page, noise, i);
		EXPECT_EQUAL(env, tmem_put(env->client, pool, &oid, i, env->page), TMEM_OK);
	}
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.entries, 2000);
	EXPECT(env, stats.usage.bytes_stored * 100 >= stats.usage.frames * TMEM_PAGE_BYTES * 85);
	engine_stop(env);
}

/* Half of the pages go, at random; what is left moves together, and every byte of it is there. */
SCENARIO(compaction_loses_nothing)
{
	enum { pages = 3000 };
	struct tmem_host_stats before, after;
	unsigned int flavour, i, left;
	unsigned long long freed, seed;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < pages; i++)
			EXPECT_EQUAL(env, put_data(env, pool, i % 7, i, i % 2 ? CONTENT_TEXT : CONTENT_PATTERN, i), TMEM_OK);
		seed = flavour;
		left = pages;
		for (i = 0; i < pages; i++)
			if (scenario_hash(i ^ seed << 20) & 1) {
				EXPECT_EQUAL(env, flush_page(env, pool, i % 7, i), TMEM_OK);
				left--;
			}
		tmem_host_stats(env->host, &before);
		/* No more than is asked for, but for the rest of a run. */
		freed = tmem_compact(env->host, 1);
		EXPECT(env, freed >= 1 && freed <= 8);
		freed += tmem_compact(env->host, ~0ULL);
		EXPECT_EQUAL(env, tmem_compact(env->host, ~0ULL), 0);
		ENGINE_CHECK(env);
		tmem_host_stats(env->host, &after);
		EXPECT_EQUAL(env, after.usage.entries, left);
		EXPECT_EQUAL(env, after.usage.bytes_stored, before.usage.bytes_stored);
		EXPECT_EQUAL(env, before.usage.frames - after.usage.frames, freed);
		EXPECT_EQUAL(env, after.usage.frames_compacted - before.usage.frames_compacted, freed);
		EXPECT(env, after.usage.entries_moved > before.usage.entries_moved);
		EXPECT_EQUAL(env, after.usage.frames, injector.live_frames);
		EXPECT_EQUAL(env, after.pages.pages_evicted, 0);
		/* What is left fills nine tenths of its frames. */
		EXPECT(env, after.usage.bytes_stored * 10 >= after.usage.frames * TMEM_PAGE_BYTES * 9);
		for (i = 0; i < pages; i++)
			EXPECT_EQUAL(env, get_data(env, pool, i % 7, i, i % 2 ? CONTENT_TEXT : CONTENT_PATTERN, i),
				     scenario_hash(i ^ seed << 20) & 1 ? TMEM_NOT_FOUND : TMEM_OK);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
	}
	engine_stop(env);
}

/* In a full store, holes that are too small each by itself make room together, though nothing can be evicted. */
SCENARIO(holes_make_room_for_persistent_pages)
{
	struct tmem_host_stats stats;
	unsigned int stored, more = 0, i;
	struct tmem_oid oid = oid_of(1);
	int pool, result;

	if (!engine_start(env, NULL, 1280))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	for (stored = 0;; stored++) {
		content_fill(env->page, CONTENT_TEXT, stored);
		result = tmem_put(env->client, pool, &oid, stored, env->page);
		if (result)
			break;
	}
	EXPECT_EQUAL(env, result, TMEM_REFUSED_BUDGET);
	for (i = 0; i < stored; i += 10)
		EXPECT_EQUAL(env, flush_page(env, pool, 1, i), TMEM_OK);
	for (i = 0; i < stored; i++) {
		content_fill(env->page, CONTENT_RANDOM, i);
		if (tmem_put(env->client, pool, &oid, stored + i, env->page))
			break;
		more++;
	}
	tmem_host_stats(env->host, &stats);
	EXPECT(env, stats.usage.frames <= stats.usage.frames_limit);
	EXPECT(env, stats.usage.frames_compacted > 0);
	/* A tenth of the frames became free, and a raw page takes little more than one. */
	EXPECT(env, more >= stats.usage.frames_limit / 20);
	ENGINE_CHECK(env);
	for (i = 0; i < stored; i++)
		if (i % 10)
			EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_TEXT, i), TMEM_OK);
	for (i = 0; i < more; i++)
		EXPECT_EQUAL(env, get_data(env, pool, 1, stored + i, CONTENT_RANDOM, i), TMEM_OK);
	engine_stop(env);
}

/*
 * Where common pages find no room, others are refused without being compressed, an older copy of
 * theirs goes all the same, and it takes more than the room of one page for that to end.
 */
SCENARIO(a_refusal_stands_until_there_is_room)
{
	enum { frames = 10240, budget = frames / 5, part = 64 };
	struct tmem_host_stats stats;
	unsigned int stored, flushed, i;
	long long compressions;
	unsigned long long bytes;
	int pool, files;

	if (!engine_start(env, NULL, frames))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	files = new_pool(env, 0);
	for (stored = 0; put_data(env, pool, 1, stored, CONTENT_TEXT, stored) == TMEM_OK; stored++)
		;
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.puts_refused_unseen, 0);
	EXPECT_EQUAL(env, stats.pages.puts_refused_budget, 1);
	bytes = stats.usage.bytes_stored / stored;

	compressions = injector.compressions;
	for (i = 0; i < 20; i++)
		EXPECT_EQUAL(env, put_data(env, pool, 1, 10 * i, CONTENT_TEXT, 1000 + i), TMEM_REFUSED_BUDGET);
	EXPECT_EQUAL(env, injector.compressions, compressions);
	for (i = 0; i < 20; i++)
		EXPECT_EQUAL(env, get_data(env, pool, 1, 10 * i, CONTENT_TEXT, 10 * i), TMEM_NOT_FOUND);
	tmem_host_stats(env->host, &stats);
	EXPECT(env, stats.usage.puts_refused_unseen >= 10);
	EXPECT_EQUAL(env, stats.usage.puts_refused_unseen, stats.pages.puts_refused_budget - 1);
	/* What needs no room of the store is taken; the other kind has its own say, and is as badly off. */
	EXPECT_EQUAL(env, put_data(env, pool, 1, 0, CONTENT_SAME_FILLED, 7), TMEM_OK);
	EXPECT_EQUAL(env, put_data(env, files, 1, 0, CONTENT_TEXT, 7), TMEM_REFUSED_BUDGET);

	/* Twenty have gone already; one by one, until a page is taken again. */
	for (flushed = 20; put_data(env, pool, 2, 0, CONTENT_TEXT, 3) != TMEM_OK && flushed < stored; flushed++)
		EXPECT_EQUAL(env, flush_page(env, pool, 1, 201 + (flushed - 20) * 3), TMEM_OK);
	EXPECT(env, flushed * bytes > (unsigned long long)budget * TMEM_PAGE_BYTES / part * 9 / 10);
	EXPECT(env, flushed * bytes < (unsigned long long)budget * TMEM_PAGE_BYTES / part * 2);
	EXPECT_EQUAL(env, get_data(env, pool, 2, 0, CONTENT_TEXT, 3), TMEM_OK);
	/* Then as many find room as have gone. */
	for (i = 1; put_data(env, pool, 2, i, CONTENT_TEXT, i) == TMEM_OK; i++)
		;
	EXPECT(env, i * 10 >= flushed * 8);
	engine_stop(env);
}
