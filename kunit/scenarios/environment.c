// SPDX-License-Identifier: GPL-2.0
/* The environment of a scenario: expectations, engines, and the injector between engine and host. */
#include "scenarios.h"

/* ---- Expectations ---------------------------------------------------------- */

#define FAILURES_SHOWN_MAX 12

void scenario_fail(struct scenario_env *env, const char *file, int line, const char *text)
{
	unsigned int failures = add_shared(&env->failures, 1);

	/* A broken engine fails everywhere: the first lines say what is wrong. */
	if (failures <= FAILURES_SHOWN_MAX)
		platform_fail(env, file, line, "%s", text);
}

void scenario_expect_equal(struct scenario_env *env, const char *file, int line, const char *text,
			   long long actual, long long expected)
{
	if (actual == expected)
		return;
	if (add_shared(&env->failures, 1) <= FAILURES_SHOWN_MAX)
		platform_fail(env, file, line, "%s is %lld, not %lld", text, actual, expected);
}

void scenario_run(struct scenario_env *env, void (*scenario)(struct scenario_env *env),
		  unsigned long long seed)
{
	env->failures = 0;
	env->random = seed;
	env->host = NULL;
	env->client = NULL;
	env->page = platform_allocate(TMEM_PAGE_BYTES);
	env->page_back = platform_allocate(TMEM_PAGE_BYTES);
	injector_reset();
	if (env->page && env->page_back)
		scenario(env);
	else
		scenario_fail(env, __FILE__, __LINE__, "no memory for the scenario itself");
	injector_heal();
	if (env->host)
		engine_stop(env);
	platform_release(env->page);
	platform_release(env->page_back);
}

/* ---- Gates ------------------------------------------------------------------- */

void gate_pass(struct gate *gate)
{
	store_shared(&gate->waiting, 1);
	while (!load_shared(&gate->open))
		platform_pause();
}

void gate_await(struct gate *gate)
{
	while (!load_shared(&gate->waiting))
		platform_pause();
}

void gate_open(struct gate *gate)
{
	store_shared(&gate->open, 1);
}

/* ---- The injector -------------------------------------------------------------- */

struct injector injector;

static struct tmem_host_ops injected_ops;
static const struct tmem_host_ops *base_ops;

void injector_reset(void)
{
	memset(&injector, 0, sizeof(injector));
}

void injector_fail(unsigned int what, long long after, long long count)
{
	store_shared(&injector.fail_what, 0);
	store_shared(&injector.allocations, 0);
	store_shared(&injector.failures, 0);
	store_shared(&injector.fail_after, after);
	store_shared(&injector.fail_count, count);
	store_shared(&injector.fail_what, what);
}

void injector_heal(void)
{
	store_shared(&injector.fail_what, 0);
	store_shared(&injector.no_workspace, 0);
	store_shared(&injector.compress_fails, 0);
	store_shared(&injector.decompress_fails, 0);
	store_shared(&injector.checksum_twist, 0);
	store_shared(&injector.fail_ordinary, 0);
}

static int injector_refuses(unsigned int what)
{
	long long number, after, count;

	if (!(load_shared(&injector.fail_what) & what))
		return 0;
	number = add_shared(&injector.allocations, 1);
	after = load_shared(&injector.fail_after);
	count = load_shared(&injector.fail_count);
	if (number <= after || (count >= 0 && number > after + count))
		return 0;
	add_shared(&injector.failures, 1);
	return 1;
}

/* Notes what an allocation may use; 1 if it is to fail for that. */
static int injector_refuses_flags(unsigned int flags)
{
	if (flags & TMEM_ALLOC_RESERVES) {
		count_shared(&injector.reserves_used, 1);
		return 0;
	}
	if (!load_shared(&injector.fail_ordinary))
		return 0;
	count_shared(&injector.failures, 1);
	return 1;
}

static void *injected_object_alloc(unsigned int kind, unsigned int flags)
{
	void *object;

	if (injector_refuses_flags(flags) || injector_refuses(INJECT_OBJECTS))
		return NULL;
	object = base_ops->object_alloc(kind, flags);
	if (object && kind < TMEM_KINDS)
		count_shared(&injector.live_objects[kind], 1);
	return object;
}

static void injected_object_free(unsigned int kind, void *object)
{
	if (kind < TMEM_KINDS)
		count_shared(&injector.live_objects[kind], -1);
	base_ops->object_free(kind, object);
}

static void *injected_frame_alloc(unsigned int flags)
{
	void *frame;

	if (injector_refuses_flags(flags) || injector_refuses(INJECT_FRAMES))
		return NULL;
	frame = base_ops->frame_alloc(flags);
	if (frame)
		count_shared(&injector.live_frames, 1);
	return frame;
}

static void injected_frame_free(void *frame)
{
	count_shared(&injector.live_frames, -1);
	base_ops->frame_free(frame);
}

static void *injected_table_alloc(unsigned long bytes)
{
	void *table;

	if (injector_refuses(INJECT_TABLES))
		return NULL;
	table = base_ops->table_alloc(bytes);
	if (table) {
		count_shared(&injector.live_tables, 1);
		count_shared(&injector.live_table_bytes, (long long)bytes);
	}
	return table;
}

static void injected_table_free(void *table, unsigned long bytes)
{
	if (table) {
		count_shared(&injector.live_tables, -1);
		count_shared(&injector.live_table_bytes, -(long long)bytes);
	}
	base_ops->table_free(table, bytes);
}

/* A row counts as a table, of what a CPU's part of it takes. */
static struct tmem_counters *injected_counters_alloc(unsigned int cells)
{
	struct tmem_counters *counters;

	if (injector_refuses(INJECT_TABLES))
		return NULL;
	counters = base_ops->counters_alloc(cells);
	if (counters) {
		add_shared(&injector.live_tables, 1);
		add_shared(&injector.live_table_bytes, (long long)cells * injected_ops.cpu_count * 8);
	}
	return counters;
}

static void injected_counters_free(struct tmem_counters *counters, unsigned int cells)
{
	if (counters) {
		add_shared(&injector.live_tables, -1);
		add_shared(&injector.live_table_bytes, -(long long)cells * injected_ops.cpu_count * 8);
	}
	base_ops->counters_free(counters, cells);
}

static void injected_breathe(void)
{
	count_shared(&injector.breaths, 1);
	base_ops->breathe();
}

static struct tmem_codec_buffers injected_codec_begin(void)
{
	struct tmem_codec_buffers buffers = base_ops->codec_begin();

	count_shared(&injector.codec_open, 1);
	if (load_shared(&injector.no_workspace)) {
		buffers.workspace = NULL;
		buffers.output = NULL;
	}
	return buffers;
}

static void injected_codec_end(void)
{
	count_shared(&injector.codec_open, -1);
	base_ops->codec_end();
}

static int injected_compress(const void *page, void *output, unsigned long *output_bytes,
			     void *workspace)
{
	void (*hook)(void *) = load_shared(&injector.on_compress);
	int result;

	count_shared(&injector.compressions, 1);
	result = base_ops->compress(page, output, output_bytes, workspace);
	if (hook) {
		store_shared(&injector.on_compress, (void (*)(void *))NULL);
		platform_interrupt(hook, injector.on_compress_argument);
	}
	return load_shared(&injector.compress_fails) ? -1 : result;
}

static int injected_decompress(const void *input, unsigned long input_bytes, void *page)
{
	count_shared(&injector.decompressions, 1);
	if (load_shared(&injector.decompress_fails))
		return -1;
	return base_ops->decompress(input, input_bytes, page);
}

static unsigned int injected_checksum(const void *data, unsigned long bytes)
{
	return base_ops->checksum(data, bytes) ^ load_shared(&injector.checksum_twist);
}

static void injected_evicted(unsigned int client, int reason, unsigned int frames)
{
	add_shared(&injector.frames_evicted, frames);
	base_ops->evicted(client, reason, frames);
}

const struct tmem_host_ops *injector_ops(unsigned long long memory_frames)
{
	base_ops = platform_host_ops();
	injected_ops = *base_ops;
	injected_ops.memory_frames = memory_frames;
	if (!injector.every_cpu)
		injected_ops.cpu_count = 1;
	injected_ops.object_alloc = injected_object_alloc;
	injected_ops.object_free = injected_object_free;
	injected_ops.frame_alloc = injected_frame_alloc;
	injected_ops.frame_free = injected_frame_free;
	injected_ops.table_alloc = injected_table_alloc;
	injected_ops.table_free = injected_table_free;
	injected_ops.counters_alloc = injected_counters_alloc;
	injected_ops.counters_free = injected_counters_free;
	injected_ops.breathe = injected_breathe;
	injected_ops.codec_begin = injected_codec_begin;
	injected_ops.codec_end = injected_codec_end;
	injected_ops.compress = injected_compress;
	injected_ops.decompress = injected_decompress;
	injected_ops.checksum = injected_checksum;
	injected_ops.evicted = injected_evicted;
	return &injected_ops;
}

int injector_leaks(struct scenario_env *env, const char *file, int line)
{
	unsigned int failures = env->failures;
	unsigned int kind;

	for (kind = 0; kind < TMEM_KINDS; kind++)
		scenario_expect_equal(env, file, line, tmem_kind_name(kind),
				      injector.live_objects[kind], 0);
	scenario_expect_equal(env, file, line, "live frames", injector.live_frames, 0);
	scenario_expect_equal(env, file, line, "live tables", injector.live_tables, 0);
	scenario_expect_equal(env, file, line, "live bytes of tables", injector.live_table_bytes, 0);
	scenario_expect_equal(env, file, line, "codec_begin without end", injector.codec_open, 0);
	return env->failures != failures;
}

/* ---- Engines ---------------------------------------------------------------------- */

int engine_start(struct scenario_env *env, const struct tmem_pam_ops *pam,
		 unsigned long long memory_frames)
{
	int result;

	if (!memory_frames)
		memory_frames = ENGINE_FRAMES_DEFAULT;
	result = tmem_register_host_ops(injector_ops(memory_frames), &env->host);
	EXPECT_EQUAL(env, result, TMEM_OK);
	if (result) {
		env->host = NULL;
		return 0;
	}
	result = tmem_register_pam_ops(env->host, pam ? pam : tmem_compressed_pam());
	EXPECT_EQUAL(env, result, TMEM_OK);
	if (!result) {
		result = tmem_client_create(env->host, "scenario", TMEM_WEIGHT_DEFAULT,
					    TMEM_NO_LIMIT, &env->client);
		EXPECT_EQUAL(env, result, TMEM_OK);
	}
	if (result) {
		tmem_unregister_host(env->host);
		env->host = NULL;
		env->client = NULL;
		return 0;
	}
	return 1;
}

void engine_stop(struct scenario_env *env)
{
	struct tmem_host_stats stats;

	ENGINE_CHECK(env);
	if (env->client)
		tmem_client_destroy(env->client);
	env->client = NULL;
	EXPECT_EQUAL(env, tmem_validate(env->host), 0);
	tmem_host_stats(env->host, &stats);
	EXPECT_EQUAL(env, stats.clients, 0);
	EXPECT_EQUAL(env, stats.pools, 0);
	EXPECT_EQUAL(env, stats.pages.pages, 0);
	EXPECT_EQUAL(env, stats.pages.pages_same_filled, 0);
	EXPECT_EQUAL(env, stats.pages.objects, 0);
	EXPECT_EQUAL(env, stats.usage.entries, 0);
	EXPECT_EQUAL(env, stats.usage.bytes_stored, 0);
	EXPECT_EQUAL(env, stats.index_bytes, 0);
	EXPECT_EQUAL(env, tmem_unregister_host(env->host), TMEM_OK);
	env->host = NULL;
	injector_leaks(env, __FILE__, __LINE__);
}

const char *stats_broken_identity(const struct tmem_stats *stats)
{
	if (stats->puts != stats->puts_stored + stats->puts_refused_poor +
			   stats->puts_refused_budget + stats->puts_refused_limit +
			   stats->puts_refused_nested + stats->puts_refused_frozen +
			   stats->puts_no_memory)
		return "puts = stored + refused + no memory";
	if (stats->gets != stats->gets_hit + stats->gets_missed + stats->gets_corrupt)
		return "gets = hit + missed + corrupt";
	if (stats->flushes != stats->flushes_found + stats->flushes_missed)
		return "flushes = found + missed";
	if (stats->object_flushes != stats->object_flushes_found + stats->object_flushes_missed)
		return "object_flushes = found + missed";
	if (stats->pages != stats->puts_stored - stats->puts_replaced - stats->puts_dropped -
			    stats->pages_taken - stats->pages_flushed - stats->pages_evicted -
			    stats->pages_corrupt)
		return "pages = stored - all the ways to go";
	if (stats->pages_same_filled > stats->pages)
		return "pages_same_filled <= pages";
	if (stats->objects > stats->pages || !stats->objects != !stats->pages)
		return "objects <= pages, and none without the other";
	if (stats->puts_replaced > stats->puts_stored)
		return "puts_replaced <= puts_stored";
	if (stats->puts_same_filled > stats->puts_stored)
		return "puts_same_filled <= puts_stored";
	if (stats->pages_taken > stats->gets_hit)
		return "pages_taken <= gets_hit";
	if (stats->pages_corrupt > stats->gets_corrupt)
		return "pages_corrupt <= gets_corrupt";
	return NULL;
}

void engine_check(struct scenario_env *env, const char *file, int line)
{
	unsigned long long pages = 0, objects = 0, same_filled = 0;
	struct tmem_host_stats stats;
	struct tmem_pool_info info;
	unsigned int cursor = 0, shared = 0, pools = 0;
	const char *broken;

	platform_yield();
	scenario_expect_equal(env, file, line, "tmem_validate()", tmem_validate(env->host), 0);
	tmem_host_stats(env->host, &stats);
	broken = stats_broken_identity(&stats.pages);
	if (broken)
		scenario_fail(env, file, line, broken);
	while (!tmem_next_pool(env->host, &cursor, &info)) {
		broken = stats_broken_identity(&info.stats);
		if (broken)
			scenario_fail(env, file, line, broken);
		pages += info.stats.pages;
		objects += info.stats.objects;
		same_filled += info.stats.pages_same_filled;
		shared += info.sharers > 1;
		pools++;
	}
	if (shared)
		return;		/* such a pool is listed once for each sharer */
	scenario_expect_equal(env, file, line, "pools", stats.pools, pools);
	scenario_expect_equal(env, file, line, "pages", stats.pages.pages, pages);
	scenario_expect_equal(env, file, line, "objects", stats.pages.objects, objects);
	scenario_expect_equal(env, file, line, "pages_same_filled", stats.pages.pages_same_filled,
			      same_filled);
	scenario_expect_equal(env, file, line, "entries + pages_same_filled",
			      stats.usage.entries + same_filled, pages);
}

struct tmem_oid oid_of(unsigned long long number)
{
	struct tmem_oid oid;

	oid.word[0] = number;
	oid.word[1] = 0;
	oid.word[2] = 0;
	return oid;
}

int put_data(struct scenario_env *env, int pool, unsigned long long object,
	     unsigned long long index, unsigned int kind, unsigned long long tag)
{
	struct tmem_oid oid = oid_of(object);

	content_fill(env->page, kind, tag);
	return tmem_put(env->client, pool, &oid, index, env->page);
}

int get_data(struct scenario_env *env, int pool, unsigned long long object,
	     unsigned long long index, unsigned int kind, unsigned long long tag)
{
	struct tmem_oid oid = oid_of(object);
	int result;

	memset(env->page_back, 0xcc, TMEM_PAGE_BYTES);
	result = tmem_get(env->client, pool, &oid, index, env->page_back);
	if (!result)
		EXPECT(env, content_matches(env->page_back, kind, tag));
	return result;
}

int flush_page(struct scenario_env *env, int pool, unsigned long long object,
	       unsigned long long index)
{
	struct tmem_oid oid = oid_of(object);

	return tmem_flush_page(env->client, pool, &oid, index);
}

int flush_object(struct scenario_env *env, int pool, unsigned long long object)
{
	struct tmem_oid oid = oid_of(object);

	return tmem_flush_object(env->client, pool, &oid);
}

unsigned int fill_with_persistent_pages(struct scenario_env *env, int pool,
					unsigned long long object, int *refusal)
{
	unsigned int stored = 0;
	int result;

	do {
		result = put_data(env, pool, object, stored, CONTENT_RANDOM, stored + 1);
		stored += !result;
	} while (!result && stored < ENGINE_FRAMES_DEFAULT);
	*refusal = result;
	return stored;
}

const unsigned int pool_flavours[POOL_FLAVOURS] = {
	0,
	TMEM_POOL_PERSISTENT,
	TMEM_POOL_SHARED,
	TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED,
};

int new_pool(struct scenario_env *env, unsigned int flags)
{
	static unsigned long long uuids;
	unsigned long long uuid[2];
	int pool;

	uuid[0] = add_shared(&uuids, 1);
	uuid[1] = 0x746d656d;
	pool = tmem_new_pool(env->client, flags, uuid);
	EXPECT(env, pool >= 0);
	return pool;
}
