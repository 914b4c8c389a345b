// SPDX-License-Identifier: GPL-2.0
/*
 * Many threads on the same pages, with every page's content verified.
 *
 * A page says what it is: its first word, the tag, is (pool, owner, cell,
 * version). One thread owns a handle: it alone puts and flushes it, with
 * growing versions, and notes before and after what it does. Anybody may get
 * it. So a reader that noted the floor before its get and the last version
 * begun after it knows exactly which versions it may see.
 */
#include "scenarios.h"

#define WORKERS 3
#define CELLS 24
#define RING 64

/* One handle and what its owner says of it. */
struct cell {
	unsigned int begun;		/* version of the last put begun */
	unsigned int floor;		/* no get that begins now may find an older one */
	int present;			/* owner only: the last put was stored, and no flush since */
	unsigned int taken[RING];	/* exclusive pools: versions handed out already */
};

struct arena;

struct worker {
	struct arena *arena;
	struct platform_thread *thread;
	unsigned int number;
	unsigned long long random;
	unsigned char *page;
};

struct arena {
	struct scenario_env *env;
	unsigned int steps;
	unsigned int hits;
	unsigned int stop;
	unsigned int poor_pages;	/* the PAM refuses incompressible ephemeral pages */
	int pool[POOL_FLAVOURS];
	struct worker worker[WORKERS + 1];
	struct cell cell[POOL_FLAVOURS][WORKERS][CELLS];
};

/* An engine whose store has a part for each CPU, as the kernel's has. */
static int start(struct scenario_env *env, const struct tmem_pam_ops *pam, unsigned long long frames)
{
	injector.every_cpu = 1;
	return engine_start(env, pam, frames);
}

static unsigned long long tag_of(unsigned int flavour, unsigned int owner, unsigned int cell,
				 unsigned int version)
{
	return 0xa000000000000000ULL | (unsigned long long)flavour << 56 |
	       (unsigned long long)owner << 48 | (unsigned long long)cell << 32 | version;
}

/* Even cells lie in one object of all owners, leaf by leaf; odd ones in an object of the owner's. */
static struct tmem_oid oid_of_cell(unsigned int owner, unsigned int cell)
{
	return oid_of(cell % 2 ? 1 + owner : 0);
}

static unsigned long long index_of_cell(unsigned int owner, unsigned int cell)
{
	return cell % 2 ? cell * 5ULL : cell * (unsigned long long)WORKERS + owner;
}

static void put_cell(struct worker *worker, unsigned int flavour, unsigned int number)
{
	struct arena *arena = worker->arena;
	struct cell *cell = &arena->cell[flavour][worker->number][number];
	struct tmem_oid oid = oid_of_cell(worker->number, number);
	unsigned int version = cell->begun + 1;
	unsigned long long tag = tag_of(flavour, worker->number, number, version);
	unsigned int kind = content_kind_of(tag);
	int result;

	/* Now and then a page that an ephemeral pool refuses. */
	if (scenario_below(&worker->random, 16) == 0 && arena->poor_pages &&
	    !(pool_flavours[flavour] & TMEM_POOL_PERSISTENT))
		kind = CONTENT_RANDOM;
	content_fill(worker->page, kind, tag);
	store_shared(&cell->begun, version);
	result = tmem_put(arena->env->client, arena->pool[flavour], &oid,
			  index_of_cell(worker->number, number), worker->page);
	store_shared(&cell->floor, result ? version + 1 : version);
	cell->present = !result;
	if (result != TMEM_OK && result != TMEM_REFUSED_POOR && result != TMEM_REFUSED_FROZEN &&
	    result != TMEM_REFUSED_BUDGET && result != TMEM_REFUSED_LIMIT && result != TMEM_NO_MEMORY)
		EXPECT_EQUAL(arena->env, result, TMEM_OK);
}

static void flush_cell(struct worker *worker, unsigned int flavour, unsigned int number)
{
	struct arena *arena = worker->arena;
	struct cell *cell = &arena->cell[flavour][worker->number][number];
	struct tmem_oid oid = oid_of_cell(worker->number, number);
	int result;

	result = tmem_flush_page(arena->env->client, arena->pool[flavour], &oid,
				 index_of_cell(worker->number, number));
	store_shared(&cell->floor, cell->begun + 1);
	if (pool_flavours[flavour] & TMEM_POOL_PERSISTENT)
		EXPECT_EQUAL(arena->env, result, cell->present ? TMEM_OK : TMEM_NOT_FOUND);
	else
		EXPECT(arena->env, result == TMEM_OK || result == TMEM_NOT_FOUND);
	cell->present = 0;
}

static void flush_own_object(struct worker *worker, unsigned int flavour)
{
	struct arena *arena = worker->arena;
	struct tmem_oid oid = oid_of_cell(worker->number, 1);
	struct cell *cell;
	unsigned int number;

	tmem_flush_object(arena->env->client, arena->pool[flavour], &oid);
	for (number = 1; number < CELLS; number += 2) {
		cell = &arena->cell[flavour][worker->number][number];
		store_shared(&cell->floor, cell->begun + 1);
		cell->present = 0;
	}
}

static void get_cell(struct worker *worker, unsigned int flavour, unsigned int owner,
		     unsigned int number)
{
	struct arena *arena = worker->arena;
	struct scenario_env *env = arena->env;
	struct cell *cell = &arena->cell[flavour][owner][number];
	struct tmem_oid oid = oid_of_cell(owner, number);
	unsigned int floor, begun, version, before;
	unsigned long long tag;
	int result;

	floor = load_shared(&cell->floor);
	result = tmem_get(env->client, arena->pool[flavour], &oid, index_of_cell(owner, number),
			  worker->page);
	begun = load_shared(&cell->begun);
	if (result) {
		EXPECT_EQUAL(env, result, TMEM_NOT_FOUND);
		/* A persistent page is there if its owner, who is asking, put it. */
		if (owner == worker->number && pool_flavours[flavour] & TMEM_POOL_PERSISTENT)
			EXPECT_EQUAL(env, cell->present, 0);
		return;
	}
	add_shared(&arena->hits, 1);
	tag = content_tag(worker->page);
	version = (unsigned int)tag;
	/* This handle's page, whole, neither stale nor from the future. */
	EXPECT_EQUAL(env, tag, tag_of(flavour, owner, number, version));
	EXPECT(env, content_matches(worker->page, content_kind_of(tag), tag));
	EXPECT(env, version >= floor);
	EXPECT(env, version <= begun);
	if (pool_flavours[flavour] == 0) {
		/* Clause 3: one put serves one get. */
		before = __atomic_exchange_n(&cell->taken[version % RING], version, __ATOMIC_SEQ_CST);
		EXPECT(env, before != version);
	}
}

static void work(void *argument)
{
	struct worker *worker = argument;
	struct arena *arena = worker->arena;
	unsigned int step, flavour, number, owner;

	for (step = 0; step < arena->steps; step++) {
		flavour = scenario_below(&worker->random, POOL_FLAVOURS);
		number = scenario_below(&worker->random, CELLS);
		owner = scenario_below(&worker->random, WORKERS);
		platform_yield();
		switch (scenario_below(&worker->random, 20)) {
		case 0:
			flush_own_object(worker, flavour);
			break;
		case 1:
		case 2:
			flush_cell(worker, flavour, number);
			break;
		case 3:
		case 4:
		case 5:
			get_cell(worker, flavour, worker->number, number);
			break;
		case 6:
		case 7:
		case 8:
		case 9:
		case 10:
			get_cell(worker, flavour, owner, number);
			break;
		default:
			put_cell(worker, flavour, number);
			break;
		}
	}
}

/* Everything that may go on beside the page operations. */
static void disturb(void *argument)
{
	struct worker *worker = argument;
	struct arena *arena = worker->arena;
	struct scenario_env *env = arena->env;
	unsigned long long puts = 0;
	struct tmem_host_stats stats;
	struct tmem_pool_info info;
	unsigned int round = 0, cursor, i;
	struct tmem_stats pool_stats;
	struct tmem_oid oid;
	int pool;

	while (!load_shared(&arena->stop)) {
		round++;
		if (scenario_below(&worker->random, 2))
			tmem_compact(env->host, 64);
		else
			tmem_shrink(env->host, scenario_below(&worker->random, 8));
		tmem_host_stats(env->host, &stats);
		EXPECT(env, stats.pages.puts >= puts);
		puts = stats.pages.puts;
		EXPECT_EQUAL(env, tmem_pool_stats(env->client, arena->pool[round % POOL_FLAVOURS],
						  &pool_stats), TMEM_OK);
		cursor = 0;
		while (!tmem_next_pool(env->host, &cursor, &info))
			EXPECT(env, info.sharers == 1);
		/* A pool of our own, with the same handles as the others' pages. */
		pool = tmem_new_pool(env->client, round % 2, NULL);
		for (i = 0; i < 20 && pool >= 0; i++) {
			oid = oid_of(i % 4);
			content_fill(worker->page, CONTENT_PATTERN, i);
			tmem_put(env->client, pool, &oid, i, worker->page);
			memset(worker->page, 0, 16);
			if (tmem_get(env->client, pool, &oid, i, worker->page) == TMEM_OK)
				EXPECT(env, content_matches(worker->page, CONTENT_PATTERN, i));
		}
		if (pool >= 0)
			EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
		switch (round % 8) {
		case 0:
			tmem_tunable_set(env->host, TMEM_TUNABLE_FROZEN, 1);
			tmem_tunable_set(env->host, TMEM_TUNABLE_FROZEN, 0);
			break;
		case 1:
			tmem_tunable_set(env->host, TMEM_TUNABLE_MAX_POOL_PERCENT, 10 + round % 20);
			break;
		case 2:
			tmem_tunable_set(env->host, TMEM_TUNABLE_SAME_FILLED, round / 8 % 2);
			break;
		case 3:
			tmem_tunable_set(env->host, TMEM_TUNABLE_CHECKSUM, round / 16 % 2);
			break;
		case 4:
			tmem_client_configure(env->client, 1 + round % 100,
					      round % 16 ? TMEM_NO_LIMIT : 64);
			break;
		}
		platform_pause();
	}
}

static void free_workers(struct worker *worker, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		platform_release(worker[i].page);
}

/* Gives each worker a page and a random stream of its own; 0 if there is no memory. */
static int prepare_workers(struct scenario_env *env, struct arena *arena, struct worker *worker,
			   unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		worker[i].arena = arena;
		worker[i].number = i;
		worker[i].random = scenario_random(&env->random);
		worker[i].page = platform_allocate(TMEM_PAGE_BYTES);
		if (!worker[i].page) {
			free_workers(worker, i);
			scenario_fail(env, __FILE__, __LINE__, "no memory for the workers");
			return 0;
		}
	}
	return 1;
}

static void run_arena(struct scenario_env *env, const struct tmem_pam_ops *pam,
		      unsigned long long frames, unsigned int steps)
{
	struct arena *arena = platform_allocate(sizeof(*arena));
	unsigned int i;

	REQUIRE(env, arena != NULL);
	if (!start(env, pam, frames))
		goto out;
	arena->env = env;
	arena->poor_pages = pam == tmem_compressed_pam();
	arena->steps = steps * env->effort;
	for (i = 0; i < POOL_FLAVOURS; i++)
		arena->pool[i] = new_pool(env, pool_flavours[i]);
	if (prepare_workers(env, arena, arena->worker, WORKERS + 1)) {
		for (i = 0; i <= WORKERS; i++) {
			arena->worker[i].thread = platform_thread_start(i < WORKERS ? work : disturb,
									&arena->worker[i]);
			EXPECT(env, arena->worker[i].thread != NULL);
		}
		for (i = 0; i <= WORKERS; i++) {
			if (i == WORKERS)
				store_shared(&arena->stop, 1);
			if (arena->worker[i].thread)
				platform_thread_join(arena->worker[i].thread);
		}
		EXPECT(env, arena->hits > 0);
		free_workers(arena->worker, WORKERS + 1);
	}
	/* At rest all identities hold again. */
	engine_stop(env);
out:
	platform_release(arena);
}

SCENARIO(mixed_operations)
{
	run_arena(env, tmem_compressed_pam(), 0, 2500);
}

SCENARIO(mixed_operations_on_plain_pages)
{
	run_arena(env, tmem_plain_pam(), 600, 2000);
}

/* The same with hardly any memory: nearly every put evicts. */
SCENARIO(eviction_races_with_gets)
{
	run_arena(env, tmem_compressed_pam(), 320, 2500);
}

/* ---- Exclusive gets ------------------------------------------------------------- */

#define PRIZES 150

struct contest {
	struct scenario_env *env;
	int pool;
	unsigned int won[PRIZES];
};

struct contestant {
	struct contest *contest;
	struct platform_thread *thread;
	unsigned char *page;
};

static void contend(void *argument)
{
	struct contestant *contestant = argument;
	struct contest *contest = contestant->contest;
	struct tmem_oid oid = oid_of(1);
	unsigned int i;

	for (i = 0; i < PRIZES; i++) {
		platform_yield();
		if (tmem_get(contest->env->client, contest->pool, &oid, i, contestant->page))
			continue;
		add_shared(&contest->won[i], 1);
		EXPECT(contest->env, content_matches(contestant->page, content_kind_of(i), i));
	}
}

SCENARIO(exclusive_gets_race)
{
	struct contestant contestant[WORKERS];
	struct contest *contest = platform_allocate(sizeof(*contest));
	unsigned int round, i;

	memset(contestant, 0, sizeof(contestant));
	REQUIRE(env, contest != NULL);
	if (!start(env, NULL, 0))
		goto out;
	contest->env = env;
	contest->pool = new_pool(env, 0);
	for (i = 0; i < WORKERS; i++) {
		contestant[i].contest = contest;
		contestant[i].page = platform_allocate(TMEM_PAGE_BYTES);
		EXPECT(env, contestant[i].page != NULL);
	}
	for (round = 0; round < 6 * env->effort; round++) {
		for (i = 0; i < PRIZES; i++) {
			contest->won[i] = 0;
			EXPECT_EQUAL(env, put_data(env, contest->pool, 1, i, content_kind_of(i), i), 0);
		}
		for (i = 0; i < WORKERS; i++)
			contestant[i].thread = contestant[i].page
				? platform_thread_start(contend, &contestant[i]) : NULL;
		for (i = 0; i < WORKERS; i++)
			if (contestant[i].thread)
				platform_thread_join(contestant[i].thread);
		for (i = 0; i < PRIZES; i++)
			EXPECT_EQUAL(env, contest->won[i], 1);
		ENGINE_CHECK(env);
	}
	engine_stop(env);
out:
	for (i = 0; i < WORKERS; i++)
		platform_release(contestant[i].page);
	platform_release(contest);
}

/* ---- Puts of one handle ------------------------------------------------------------ */

#define TARGETS 3

struct collision {
	struct scenario_env *env;
	int pool;
	unsigned int steps;
};

struct collider {
	struct collision *collision;
	struct platform_thread *thread;
	unsigned char *page;
	unsigned int number;
	unsigned int last[TARGETS];
};

static void collide(void *argument)
{
	struct collider *collider = argument;
	struct collision *collision = collider->collision;
	struct scenario_env *env = collision->env;
	unsigned int step, target;
	unsigned long long tag;
	struct tmem_oid oid = oid_of(1);

	for (step = 1; step <= collision->steps; step++) {
		platform_yield();
		target = step % TARGETS;
		tag = tag_of(0, collider->number, target, step);
		content_fill(collider->page, content_kind_of(tag), tag);
		EXPECT_EQUAL(env, tmem_put(env->client, collision->pool, &oid, target, collider->page),
			     TMEM_OK);
		collider->last[target] = step;
		target = (step * 7) % TARGETS;
		if (tmem_get(env->client, collision->pool, &oid, target, collider->page))
			continue;
		tag = content_tag(collider->page);
		EXPECT_EQUAL(env, tag >> 32 & 0xff, target);
		EXPECT(env, content_matches(collider->page, content_kind_of(tag), tag));
	}
}

/* One of the two wins whole, and at the end one of the last ones has won. */
SCENARIO(puts_of_one_handle_race)
{
	struct collider collider[WORKERS];
	struct collision collision;
	unsigned int i, flavour, target, winner;
	unsigned long long tag;
	struct tmem_oid oid = oid_of(1);

	memset(collider, 0, sizeof(collider));
	for (i = 0; i < WORKERS; i++) {
		collider[i].collision = &collision;
		collider[i].number = i;
		collider[i].page = platform_allocate(TMEM_PAGE_BYTES);
		EXPECT(env, collider[i].page != NULL);
	}
	for (flavour = 0; flavour < POOL_FLAVOURS; flavour++) {
		if (!start(env, NULL, 0))
			break;
		collision.env = env;
		collision.steps = 400 * env->effort;
		collision.pool = new_pool(env, pool_flavours[flavour]);
		for (i = 0; i < WORKERS; i++)
			collider[i].thread = collider[i].page
				? platform_thread_start(collide, &collider[i]) : NULL;
		for (i = 0; i < WORKERS; i++)
			if (collider[i].thread)
				platform_thread_join(collider[i].thread);
		ENGINE_CHECK(env);
		for (target = 0; target < TARGETS && pool_flavours[flavour]; target++) {
			EXPECT_EQUAL(env, tmem_get(env->client, collision.pool, &oid, target, env->page),
				     TMEM_OK);
			tag = content_tag(env->page);
			winner = (unsigned int)(tag >> 48 & 0xff);
			REQUIRE(env, winner < WORKERS);
			EXPECT_EQUAL(env, (unsigned int)tag, collider[winner].last[target]);
			EXPECT(env, content_matches(env->page, content_kind_of(tag), tag));
		}
		engine_stop(env);
	}
	for (i = 0; i < WORKERS; i++)
		platform_release(collider[i].page);
}

/* ---- Flush object against puts, and against flush object ------------------------------ */

#define TILES 80

struct deluge {
	struct scenario_env *env;
	int pool;
	unsigned int steps, stop;
	unsigned int done[TILES];	/* version of the last put that has returned */
};

struct flusher {
	struct deluge *deluge;
	struct platform_thread *thread;
	unsigned char *page;
	unsigned int done_before[TILES];
};

static void pour(void *argument)
{
	struct flusher *flusher = argument;
	struct deluge *deluge = flusher->deluge;
	struct tmem_oid oid = oid_of(1);
	unsigned int step, tile;
	unsigned long long tag;

	for (step = 1; step <= deluge->steps; step++) {
		platform_yield();
		tile = step * 29 % TILES;
		tag = tag_of(0, 0, tile, step);
		content_fill(flusher->page, content_kind_of(tag), tag);
		EXPECT_EQUAL(deluge->env, tmem_put(deluge->env->client, deluge->pool, &oid,
						   tile * 6ULL, flusher->page), TMEM_OK);
		store_shared(&deluge->done[tile], step);
	}
	store_shared(&deluge->stop, 1);
}

/* What was there when the call began is gone when it returns, though others flush as well. */
static void flush_all(void *argument)
{
	struct flusher *flusher = argument;
	struct deluge *deluge = flusher->deluge;
	struct scenario_env *env = deluge->env;
	struct tmem_oid oid = oid_of(1);
	unsigned long long tag;
	unsigned int tile;

	while (!load_shared(&deluge->stop)) {
		platform_yield();
		for (tile = 0; tile < TILES; tile++)
			flusher->done_before[tile] = load_shared(&deluge->done[tile]);
		tmem_flush_object(env->client, deluge->pool, &oid);
		for (tile = 0; tile < TILES; tile++) {
			if (tmem_get(env->client, deluge->pool, &oid, tile * 6ULL, flusher->page))
				continue;
			tag = content_tag(flusher->page);
			EXPECT(env, (unsigned int)tag > flusher->done_before[tile]);
			EXPECT(env, content_matches(flusher->page, content_kind_of(tag), tag));
		}
	}
}

SCENARIO(flush_object_races_with_puts)
{
	struct flusher *flusher = platform_allocate(WORKERS * sizeof(*flusher));
	struct deluge *deluge = platform_allocate(sizeof(*deluge));
	unsigned int i;

	if (!flusher || !deluge || !start(env, NULL, 0)) {
		EXPECT(env, flusher && deluge);
		goto out;
	}
	deluge->env = env;
	deluge->steps = 2500 * env->effort;
	deluge->pool = new_pool(env, TMEM_POOL_PERSISTENT);
	for (i = 0; i < WORKERS; i++) {
		flusher[i].deluge = deluge;
		flusher[i].page = platform_allocate(TMEM_PAGE_BYTES);
		EXPECT(env, flusher[i].page != NULL);
		if (flusher[i].page)
			flusher[i].thread = platform_thread_start(i ? flush_all : pour, &flusher[i]);
		if (!flusher[i].thread)
			store_shared(&deluge->stop, 1);
	}
	for (i = 0; i < WORKERS; i++) {
		if (flusher[i].thread)
			platform_thread_join(flusher[i].thread);
		platform_release(flusher[i].page);
	}
	engine_stop(env);
out:
	platform_release(flusher);
	platform_release(deluge);
}

/* ---- Destroy against everything --------------------------------------------------------- */

struct ruin {
	struct scenario_env *env;
	unsigned int stop;
	int pool;			/* the present one, or one just destroyed */
	unsigned int outlived;		/* operations that met a destroyed pool */
};

struct visitor {
	struct ruin *ruin;
	struct platform_thread *thread;
	unsigned char *page;
	unsigned long long random;
};

static int is_an_answer(int result)
{
	return result == TMEM_OK || result == TMEM_NOT_FOUND || result == TMEM_GOING_AWAY ||
	       result == TMEM_BAD_ARGUMENT || result == TMEM_REFUSED_BUDGET;
}

static void visit(void *argument)
{
	struct visitor *visitor = argument;
	struct ruin *ruin = visitor->ruin;
	struct scenario_env *env = ruin->env;
	struct tmem_stats stats;
	unsigned int index;
	unsigned long long tag;
	struct tmem_oid oid;
	int pool, result;

	while (!load_shared(&ruin->stop)) {
		platform_yield();
		pool = load_shared(&ruin->pool);
		index = scenario_below(&visitor->random, 64);
		oid = oid_of(index % 3);
		/* A page says which pool it belongs to: it may show up in no other. */
		tag = (unsigned long long)(unsigned int)pool << 32 | 0x80000000U | index;
		switch (scenario_below(&visitor->random, 8)) {
		case 0:
			result = tmem_flush_page(env->client, pool, &oid, index);
			break;
		case 1:
			result = tmem_flush_object(env->client, pool, &oid);
			break;
		case 2:
			result = tmem_pool_stats(env->client, pool, &stats);
			break;
		case 3:
		case 4:
			result = tmem_get(env->client, pool, &oid, index, visitor->page);
			if (!result)
				EXPECT(env, content_matches(visitor->page, content_kind_of(tag), tag));
			break;
		case 5:
			tmem_shrink(env->host, 4), tmem_compact(env->host, 64);
			result = TMEM_OK;
			break;
		default:
			content_fill(visitor->page, content_kind_of(tag), tag);
			result = tmem_put(env->client, pool, &oid, index, visitor->page);
			break;
		}
		EXPECT(env, is_an_answer(result));
		if (result == TMEM_GOING_AWAY || result == TMEM_BAD_ARGUMENT)
			add_shared(&ruin->outlived, 1);
	}
}

SCENARIO(destroy_races_with_everything)
{
	struct visitor visitor[WORKERS];
	struct ruin ruin;
	unsigned int i, round;
	int pool;

	memset(visitor, 0, sizeof(visitor));
	memset(&ruin, 0, sizeof(ruin));
	if (!start(env, NULL, 1024))
		return;
	ruin.env = env;
	ruin.pool = new_pool(env, 0);
	for (i = 0; i < WORKERS; i++) {
		visitor[i].ruin = &ruin;
		visitor[i].random = scenario_random(&env->random);
		visitor[i].page = platform_allocate(TMEM_PAGE_BYTES);
		EXPECT(env, visitor[i].page != NULL);
		if (visitor[i].page)
			visitor[i].thread = platform_thread_start(visit, &visitor[i]);
	}
	for (round = 0; round < 150 * env->effort; round++) {
		/* Long enough for some pages, and sometimes hardly at all. */
		if (round % 3)
			platform_pause();
		pool = ruin.pool;
		EXPECT_EQUAL(env, tmem_destroy_pool(env->client, pool), TMEM_OK);
		store_shared(&ruin.pool, new_pool(env, pool_flavours[round % POOL_FLAVOURS]));
	}
	store_shared(&ruin.stop, 1);
	for (i = 0; i < WORKERS; i++) {
		if (visitor[i].thread)
			platform_thread_join(visitor[i].thread);
		platform_release(visitor[i].page);
	}
	engine_stop(env);
}

/* ---- Clients that come and go -------------------------------------------------------------- */

struct guest {
	struct scenario_env *env;
	struct platform_thread *thread;
	unsigned char *page;
	unsigned int number, rounds;
};

static void come_and_go(void *argument)
{
	static const unsigned long long uuid[2] = { 77, 88 };
	struct guest *guest = argument;
	struct scenario_env *env = guest->env;
	struct tmem_host_stats stats;
	struct tmem_pool_info info;
	struct tmem_client *client;
	unsigned int round, i, cursor;
	unsigned long long tag;
	struct tmem_oid oid;
	int own, shared, result;

	for (round = 0; round < guest->rounds; round++) {
		platform_yield();
		result = tmem_client_create(env->host, "guest", 1 + round % 50, TMEM_NO_LIMIT, &client);
		EXPECT_EQUAL(env, result, TMEM_OK);
		if (result)
			return;
		own = tmem_new_pool(client, TMEM_POOL_PERSISTENT, NULL);
		shared = tmem_new_pool(client, TMEM_POOL_SHARED, uuid);
		EXPECT(env, own >= 0 && shared >= 0);
		for (i = 0; i < 30; i++) {
			oid = oid_of(i % 3);
			tag = tag_of(1, guest->number, i, round);
			content_fill(guest->page, content_kind_of(tag), tag);
			EXPECT_EQUAL(env, tmem_put(client, own, &oid, i, guest->page), TMEM_OK);
			/* In the shared pool all guests put the same pages. */
			tag = tag_of(2, 0, i, 0);
			content_fill(guest->page, content_kind_of(tag), tag);
			tmem_put(client, shared, &oid, i, guest->page);
		}
		for (i = 0; i < 30; i++) {
			oid = oid_of(i % 3);
			tag = tag_of(1, guest->number, i, round);
			EXPECT_EQUAL(env, tmem_get(client, own, &oid, i, guest->page), TMEM_OK);
			EXPECT(env, content_matches(guest->page, content_kind_of(tag), tag));
			tag = tag_of(2, 0, i, 0);
			if (!tmem_get(client, shared, &oid, i, guest->page))
				EXPECT(env, content_matches(guest->page, content_kind_of(tag), tag));
		}
		tmem_host_stats(env->host, &stats);
		EXPECT(env, stats.clients >= 2 && stats.clients <= WORKERS + 1);
		cursor = 0;
		while (!tmem_next_pool(env->host, &cursor, &info))
			EXPECT(env, info.sharers >= 1 && info.sharers <= WORKERS);
		if (round % 2)
			EXPECT_EQUAL(env, tmem_destroy_pool(client, shared), TMEM_OK);
		tmem_client_destroy(client);
	}
}

SCENARIO(clients_come_and_go)
{
	struct guest guest[WORKERS];
	unsigned int i;

	memset(guest, 0, sizeof(guest));
	if (!start(env, NULL, 4096))
		return;
	for (i = 0; i < WORKERS; i++) {
		guest[i].env = env;
		guest[i].number = i;
		guest[i].rounds = 15 * env->effort;
		guest[i].page = platform_allocate(TMEM_PAGE_BYTES);
		EXPECT(env, guest[i].page != NULL);
		if (guest[i].page)
			guest[i].thread = platform_thread_start(come_and_go, &guest[i]);
	}
	for (i = 0; i < WORKERS; i++) {
		if (guest[i].thread)
			platform_thread_join(guest[i].thread);
		platform_release(guest[i].page);
	}
	engine_stop(env);
}
