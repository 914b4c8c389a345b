// SPDX-License-Identifier: GPL-2.0
/* Pages of one repeated word are kept as that word. */
#include "scenarios.h"

static const unsigned long long words[] = {
	0, 1, ~0ULL, 0x8000000000000000ULL, 0x4141414141414141ULL, 0xdeadbeef00000000ULL, 2, 7, 8,
};

#define WORDS (sizeof(words) / sizeof(*words))

/* Of persistent pages the word is all there is, in the index. */
SCENARIO(same_filled_persistent_pages_use_no_frame)
{
	struct tmem_host_stats stats;
	struct tmem_stats pool_stats;
	unsigned int flavour, i;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		if (!(pool_flavours[flavour] & TMEM_POOL_PERSISTENT))
			continue;
		pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < WORDS; i++)
			EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_SAME_FILLED, words[i]),
				     TMEM_OK);
		tmem_host_stats(env->host, &stats);
		EXPECT_EQUAL(env, stats.usage.entries, 0);
		EXPECT_EQUAL(env, stats.usage.bytes_stored, 0);
		EXPECT_EQUAL(env, injector.compressions, 0);
		EXPECT_EQUAL(env, injector.live_frames, 0);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &pool_stats), TMEM_OK);
		EXPECT_EQUAL(env, pool_stats.pages_same_filled, WORDS);
		EXPECT_EQUAL(env, pool_stats.puts_same_filled, WORDS);
		tmem_shrink(env->host, 1000);
		for (i = 0; i < WORDS; i++)
			EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_SAME_FILLED, words[i]),
				     TMEM_OK);
		ENGINE_CHECK(env);
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
	}
	engine_stop(env);
}

/* Of a client with a limit a few are free; the others go to the store, which refuses them when it must. */
SCENARIO(same_filled_pages_keep_to_a_limit)
{
	enum { limit = 16, uncharged = 64 };
	struct tmem_client *client;
	struct tmem_host_stats stats;
	struct tmem_oid oid = oid_of(1);
	unsigned int i, stored;
	int pool, result = TMEM_OK;

	if (!engine_start(env, NULL, 0))
		return;
	EXPECT_EQUAL(env, tmem_client_create(env->host, "limited", TMEM_WEIGHT_DEFAULT, 0, &client), TMEM_OK);
	pool = tmem_new_pool(client, TMEM_POOL_PERSISTENT, NULL);
	content_fill(env->page, CONTENT_ZERO, 0);
	for (i = 0; i < 2 * uncharged; i++)
		EXPECT_EQUAL(env, tmem_put(client, pool, &oid, i, env->page), i < uncharged ? TMEM_OK : TMEM_REFUSED_LIMIT);
	EXPECT_EQUAL(env, tmem_client_configure(client, TMEM_WEIGHT_DEFAULT, limit), TMEM_OK);
	for (stored = uncharged; stored < 100000; stored++) {
		content_fill(env->page, CONTENT_SAME_FILLED, stored);
		result = tmem_put(client, pool, &oid, stored, env->page);
		if (result)
			break;
	}
	EXPECT_EQUAL(env, result, TMEM_REFUSED_LIMIT);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.entries, stored - uncharged);
	EXPECT_EQUAL(env, stats.usage.bytes_stored, 8 * (stored - uncharged));
	EXPECT_EQUAL(env, stats.usage.frames, limit);
	EXPECT_EQUAL(env, stats.pages.pages_same_filled, uncharged);
	EXPECT_EQUAL(env, injector.compressions, 0);
	for (i = uncharged; i < stored; i++) {
		EXPECT_EQUAL(env, tmem_get(client, pool, &oid, i, env->page), TMEM_OK);
		EXPECT(env, content_matches(env->page, CONTENT_SAME_FILLED, i));
	}
	/* Without one the word is all there is again. */
	EXPECT_EQUAL(env, tmem_client_configure(client, TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT), TMEM_OK);
	content_fill(env->page, CONTENT_SAME_FILLED, 5);
	EXPECT_EQUAL(env, tmem_put(client, pool, &oid, stored, env->page), TMEM_OK);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.pages.pages_same_filled, uncharged + 1);
	ENGINE_CHECK(env);
	tmem_client_destroy(client);
	engine_stop(env);
}

/* Ephemeral ones go to the store, which keeps the word only: they pay for their place like any other. */
SCENARIO(same_filled_ephemeral_pages_can_be_evicted)
{
	struct tmem_host_stats stats;
	unsigned int flavour, i;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		if (pool_flavours[flavour] & TMEM_POOL_PERSISTENT)
			continue;
		pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < WORDS; i++)
			EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_SAME_FILLED, words[i]),
				     TMEM_OK);
		tmem_host_stats(env->host, &stats);
		EXPECT_EQUAL(env, stats.usage.entries, WORDS);
		EXPECT_EQUAL(env, stats.usage.bytes_stored, 8 * WORDS);
		EXPECT_EQUAL(env, injector.compressions, 0);
		for (i = 0; i < WORDS; i++)
			EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_SAME_FILLED, words[i]),
				     TMEM_OK);
		for (i = 0; i < WORDS; i++)
			EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_SAME_FILLED, words[i]),
				     TMEM_OK);
		EXPECT(env, tmem_shrink(env->host, ~0ULL) > 0);
		for (i = 0; i < WORDS; i++)
			EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_SAME_FILLED, words[i]),
				     TMEM_NOT_FOUND);
		ENGINE_CHECK(env);
	}
	engine_stop(env);
}

/* One different byte anywhere makes it another page. */
SCENARIO(nearly_same_filled_pages_are_kept_apart)
{
	unsigned int flavour, place, i;
	struct tmem_host_stats stats;
	struct tmem_oid oid = oid_of(1);
	unsigned char *expected;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	expected = env->page_back;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		pool = new_pool(env, pool_flavours[flavour]);
		for (place = 0; place < TMEM_PAGE_BYTES; place += place < 64 || place >= 4032 ? 1 : 61) {
			for (i = 0; i < 2; i++) {
				memset(expected, i ? 0x55 : 0, TMEM_PAGE_BYTES);
				expected[place] ^= 0x10;
				EXPECT_EQUAL(env, tmem_put(env->client, pool, &oid, place, expected), 0);
				tmem_host_stats(env->host, &stats);
				EXPECT_EQUAL(env, stats.pages.puts_same_filled, 0);
				memset(env->page, 0xcc, TMEM_PAGE_BYTES);
				EXPECT_EQUAL(env, tmem_get(env->client, pool, &oid, place, env->page), 0);
				EXPECT_EQUAL(env, memcmp(env->page, expected, TMEM_PAGE_BYTES), 0);
			}
		}
	}
	engine_stop(env);
}

SCENARIO(same_filled_may_be_switched)
{
	struct tmem_host_stats stats;
	unsigned int i;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	pool = new_pool(env, TMEM_POOL_PERSISTENT);
	EXPECT_EQUAL(env, put_data(env, pool, 1, 100, CONTENT_SAME_FILLED, 3), TMEM_OK);
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_SAME_FILLED, 0), TMEM_OK);
	for (i = 0; i < WORDS; i++)
		EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_SAME_FILLED, words[i]), TMEM_OK);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.entries, WORDS);
	EXPECT_EQUAL(env, stats.pages.pages_same_filled, 1);
	for (i = 0; i < WORDS; i++)
		EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_SAME_FILLED, words[i]), TMEM_OK);
	EXPECT_EQUAL(env, get_data(env, pool, 1, 100, CONTENT_SAME_FILLED, 3), TMEM_OK);
	/* Back on: what is in the store may be replaced by a word, and so on. */
	EXPECT_EQUAL(env, tmem_tunable_set(env->host, TMEM_TUNABLE_SAME_FILLED, 1), TMEM_OK);
	for (i = 0; i < WORDS; i++)
		EXPECT_EQUAL(env, put_data(env, pool, 1, i, CONTENT_SAME_FILLED, ~words[i]), TMEM_OK);
	for (i = 0; i < WORDS; i++)
		EXPECT_EQUAL(env, get_data(env, pool, 1, i, CONTENT_SAME_FILLED, ~words[i]), TMEM_OK);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.usage.entries, 0);
	EXPECT_EQUAL(env, stats.pages.pages_same_filled, WORDS + 1);
	engine_stop(env);
}

SCENARIO(same_filled_replaces_and_is_replaced)
{
	struct tmem_stats stats;
	unsigned int flavour, in_index;
	int pool;

	if (!engine_start(env, NULL, 0))
		return;
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		in_index = !!(pool_flavours[flavour] & TMEM_POOL_PERSISTENT);
		pool = new_pool(env, pool_flavours[flavour]);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_SAME_FILLED, 1), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_SAME_FILLED, 2), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_TEXT, 3), TMEM_OK);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.pages_same_filled, 0);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 1, CONTENT_SAME_FILLED, 4), TMEM_OK);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.pages_same_filled, in_index);
		EXPECT_EQUAL(env, stats.puts_same_filled, 3 * in_index);
		EXPECT_EQUAL(env, stats.puts_replaced, 3);
		EXPECT_EQUAL(env, get_data(env, pool, 1, 1, CONTENT_SAME_FILLED, 4), TMEM_OK);
		EXPECT_EQUAL(env, put_data(env, pool, 1, 2, CONTENT_ZERO, 0), TMEM_OK);
		EXPECT_EQUAL(env, flush_object(env, pool, 1), TMEM_OK);
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, pool, &stats), TMEM_OK);
		EXPECT_EQUAL(env, stats.pages_same_filled, 0);
		ENGINE_CHECK(env);
	}
	engine_stop(env);
}
