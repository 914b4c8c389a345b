// SPDX-License-Identifier: GPL-2.0
/*
 * swap_redirect.c - hook family: swapped-out pages, by redirected functions.
 *
 * For kernels on which a module cannot register with frontswap, or that have
 * none. The places are the same: where a page is about to be written to the
 * swap device, read from it, or its slot is freed. Up to 6.5 they are the
 * functions of frontswap, which zswap sits behind; from 6.6 on, those of zswap,
 * which are called whether zswap is on or not.
 *
 * Rules for both:
 *
 * - Store: all pages of a folio or none. Taken: what zswap has in those slots
 *   is stale, and is invalidated. Refused: we keep nothing of those slots, and
 *   zswap is asked, as a second tier; then comes the disk.
 * - Load: the page stays with us until its slot is freed, as it would on a disk.
 *   But while the budget refuses pages, what is in memory again is not kept
 *   twice: we give our copy up, and the page is dirty, to be offered again. Only
 *   in the swap cache, which does not let a dirty page go without writing it; a
 *   page that is read past the swap cache may be thrown away and read again.
 * - Swapoff reads every page back, then ends the area.
 *
 * A folio of several pages that is swapped in at once may have slots that we
 * have and others that are elsewhere, and nobody could put it together. The
 * kernel reads single pages where zswap might have one, and asks
 * zswap_never_enabled() for that; which we answer with no. Should one that was
 * made before we came still ask, it gets all its pages or an I/O error.
 *
 * Order: first what frees, then what reads, then what writes; and back.
 */
#define pr_fmt(fmt) "tmem: " fmt

#include "compat.h"
#include "glue.h"

#if !defined(TMEM_REDIRECT_FRONTSWAP) && !defined(TMEM_REDIRECT_ZSWAP)

#ifndef TMEM_NO_REDIRECTS
#define TMEM_NO_REDIRECTS "the swap functions of this kernel are not known"
#endif

/**
 * tmem_swap_redirect_attach - say why there is nothing to attach to
 * @client: unused
 *
 * Context: Any.
 * Return: Not attached.
 */
struct tmem_attachment tmem_swap_redirect_attach(struct tmem_client *client)
{
	return (struct tmem_attachment){ .how = TMEM_NO_REDIRECTS };
}

/**
 * tmem_swap_redirect_detach - nothing was attached
 *
 * Context: Any.
 */
void tmem_swap_redirect_detach(void)
{
}

#else

#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/printk.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "redirect.h"
#include "swap_area.h"

TMEM_HOOK_FAMILY();

static bool working;		/* stores are wanted */
/* Stores for which there must be room before pages are kept twice again; a race costs a page's place. */
#define STORES_AFTER_A_REFUSAL 1024
static unsigned int crowded;

/* Offers the pages of a folio; true if we have them now. */
static bool take(swp_entry_t first, struct page *pages, unsigned int count)
{
	const unsigned int type = swp_type(first);

	if (READ_ONCE(working)) {
		const int result = tmem_swap_store(type, swp_offset(first), pages, count);
		const unsigned int left = READ_ONCE(crowded);

		if (result == TMEM_REFUSED_BUDGET)
			WRITE_ONCE(crowded, STORES_AFTER_A_REFUSAL);
		else if (left)
			WRITE_ONCE(crowded, left - 1);
		if (result == TMEM_OK)
			return true;
		tmem_swap_area_want(type);
	} else {
		tmem_swap_invalidate(type, swp_offset(first), count);
	}
	return false;
}

/* Reads a slot into a folio of one page. */
static int give(swp_entry_t entry, struct folio *folio)
{
	const int result = tmem_swap_load(swp_type(entry), swp_offset(entry), folio_page(folio, 0));

	if (result == TMEM_OK && READ_ONCE(crowded) && folio_test_swapcache(folio)) {
		if (!tmem_left_out("dirty"))
			folio_mark_dirty(folio);
		tmem_swap_invalidate(swp_type(entry), swp_offset(entry), 1);
		tmem_swap_count(swap_copies_given_up);
	}
	return result;
}

#ifdef TMEM_REDIRECT_FRONTSWAP

TMEM_ORIGINAL(void, __frontswap_invalidate_page, (unsigned int type, pgoff_t offset));
static void our___frontswap_invalidate_page(unsigned int type, pgoff_t offset)
{
	tmem_hook_enter();
	tmem_swap_invalidate(type, offset, 1);
	static_call(original___frontswap_invalidate_page)(type, offset);
	tmem_hook_leave();
}

TMEM_ORIGINAL(void, __frontswap_invalidate_area, (unsigned int type));
static void our___frontswap_invalidate_area(unsigned int type)
{
	tmem_hook_enter();
	tmem_swap_area_end(type);
	static_call(original___frontswap_invalidate_area)(type);
	tmem_hook_leave();
}

TMEM_ORIGINAL(int, __frontswap_load, (struct page *page));
static int our___frontswap_load(struct page *page)
{
	const swp_entry_t entry = { .val = page_private(page) };
	int result, error = 0;

	tmem_hook_enter();
	result = give(entry, page_folio(page));
	if (unlikely(result == TMEM_CORRUPT))
		tmem_fail_read(page);
	else if (result != TMEM_OK)
		error = static_call(original___frontswap_load)(page);
	tmem_hook_leave();
	return error;
}

TMEM_ORIGINAL(int, __frontswap_store, (struct page *page));
static int our___frontswap_store(struct page *page)
{
	const swp_entry_t entry = { .val = page_private(page) };
	const unsigned int count = thp_nr_pages(page);
	unsigned int i;
	int error = 0;

	tmem_hook_enter();
	if (take(entry, page, count))
		for (i = 0; i < count; i++)
			static_call(original___frontswap_invalidate_page)(swp_type(entry),
									   swp_offset(entry) + i);
	else
		error = static_call(original___frontswap_store)(page);
	tmem_hook_leave();
	return error;
}

static struct tmem_redirect redirects[] = {
	TMEM_REDIRECT(__frontswap_invalidate_page),
	TMEM_REDIRECT(__frontswap_invalidate_area),
	TMEM_REDIRECT(__frontswap_load),
	TMEM_REDIRECT(__frontswap_store),
};
#define HOW "redirected frontswap functions"

#else /* TMEM_REDIRECT_ZSWAP */

#ifdef TMEM_ZSWAP_LOAD_UNLOCKS
/* 0 or an errno value, and the folio is unlocked; or -ENOENT: not there, and it stays locked. */
typedef int zswap_load_t;
#define ZSWAP_NOT_THERE (-ENOENT)
static zswap_load_t loaded(struct folio *folio, bool good)
{
	if (good)
		folio_mark_uptodate(folio);
	folio_unlock(folio);
	return good ? 0 : -EIO;
}
#else
/* Whether it was there; the caller unlocks, and a folio that is not uptodate then is an I/O error. */
typedef bool zswap_load_t;
#define ZSWAP_NOT_THERE false
static zswap_load_t loaded(struct folio *folio, bool good)
{
	if (good)
		folio_mark_uptodate(folio);
	return true;
}
#endif

TMEM_ORIGINAL(void, zswap_invalidate, (swp_entry_t entry));
static void our_zswap_invalidate(swp_entry_t entry)
{
	tmem_hook_enter();
	tmem_swap_invalidate(swp_type(entry), swp_offset(entry), 1);
	static_call(original_zswap_invalidate)(entry);
	tmem_hook_leave();
}

#ifdef TMEM_SLOTS_FREED_SILENTLY

/* The one function that every freed slot passes, those of large folios too. */
TMEM_ORIGINAL(void, clear_shadow_from_swap_cache, (int type, unsigned long first, unsigned long last));
static void our_clear_shadow_from_swap_cache(int type, unsigned long first, unsigned long last)
{
	tmem_hook_enter();
	tmem_swap_invalidate(type, first, last - first + 1);
	static_call(original_clear_shadow_from_swap_cache)(type, first, last);
	tmem_hook_leave();
}

#endif

TMEM_ORIGINAL(void, zswap_swapoff, (int type));
static void our_zswap_swapoff(int type)
{
	tmem_hook_enter();
	tmem_swap_area_end(type);
	static_call(original_zswap_swapoff)(type);
	tmem_hook_leave();
}

TMEM_ORIGINAL(bool, zswap_never_enabled, (void));
static bool our_zswap_never_enabled(void)
{
	return false;
}

TMEM_ORIGINAL(zswap_load_t, zswap_load, (struct folio *folio));

/* A folio of several pages: see the head of this file. */
static zswap_load_t load_large(struct folio *folio)
{
	const swp_entry_t first = folio->swap;
	const unsigned int count = folio_nr_pages(folio);
	unsigned int i, found = 0, good = 0;

	for (i = 0; i < count; i++) {
		int result = tmem_swap_load(swp_type(first), swp_offset(first) + i,
					    folio_page(folio, i));

		good += result == TMEM_OK;
		found += result == TMEM_OK || result == TMEM_CORRUPT;
	}
	if (good == count)
		return loaded(folio, true);
	if (found) {
		pr_err_ratelimited("swap area %u, slot %lu: %u of %u pages of a folio are in tmem; it cannot be read in one piece\n",
				   swp_type(first), swp_offset(first), found, count);
		return loaded(folio, false);
	}
	/* zswap warns of a large folio, unless it was never on. */
	if (static_call(original_zswap_never_enabled)())
		return ZSWAP_NOT_THERE;
	return static_call(original_zswap_load)(folio);
}

static zswap_load_t our_zswap_load(struct folio *folio)
{
	zswap_load_t answer;
	int result;

	tmem_hook_enter();
	if (unlikely(folio_test_large(folio))) {
		answer = load_large(folio);
	} else {
		result = give(folio->swap, folio);
		if (result == TMEM_OK || result == TMEM_CORRUPT)
			answer = loaded(folio, result == TMEM_OK);
		else
			answer = static_call(original_zswap_load)(folio);
	}
	tmem_hook_leave();
	return answer;
}

TMEM_ORIGINAL(bool, zswap_store, (struct folio *folio));
static bool our_zswap_store(struct folio *folio)
{
	const swp_entry_t first = folio->swap;
	const unsigned int count = folio_nr_pages(folio);
	bool stored = true;
	unsigned int i;

	tmem_hook_enter();
	if (take(first, folio_page(folio, 0), count))
		for (i = 0; i < count; i++)
			static_call(original_zswap_invalidate)(swp_entry(swp_type(first),
									 swp_offset(first) + i));
	else
		stored = static_call(original_zswap_store)(folio);
	tmem_hook_leave();
	return stored;
}

static struct tmem_redirect redirects[] = {
	TMEM_REDIRECT(zswap_invalidate),
#ifdef TMEM_SLOTS_FREED_SILENTLY
	TMEM_REDIRECT(clear_shadow_from_swap_cache),
#endif
	TMEM_REDIRECT(zswap_swapoff),
	TMEM_REDIRECT(zswap_load),
	TMEM_REDIRECT(zswap_never_enabled),
	TMEM_REDIRECT(zswap_store),
};
#define HOW "redirected zswap functions"

#endif

static bool attached;

static void disarm(void)
{
	WRITE_ONCE(working, false);
	tmem_redirect_disarm(redirects, ARRAY_SIZE(redirects));
	tmem_hooks_quiesce();
	tmem_swap_stop();
}

/**
 * tmem_swap_redirect_attach - take the pages of every swap area
 * @client: owns the pools; lives until tmem_swap_redirect_detach() has returned
 *
 * Context: Process context. May sleep.
 * Return: Attached, or the reason why not; then everything is as before.
 */
struct tmem_attachment tmem_swap_redirect_attach(struct tmem_client *client)
{
	static char why[128];

	tmem_swap_start(client, true);
	if (tmem_redirect_arm(redirects, ARRAY_SIZE(redirects), why, sizeof(why))) {
		disarm();
		return (struct tmem_attachment){ .how = why };
	}
	attached = true;
	WRITE_ONCE(working, true);
	return (struct tmem_attachment){ .attached = true, .how = HOW };
}

/**
 * tmem_swap_redirect_detach - let go of every function
 *
 * No area has a pool: each would pin the module.
 *
 * Context: Process context. Sleeps until no task is in a function of ours.
 */
void tmem_swap_redirect_detach(void)
{
	if (!attached)
		return;
	disarm();
	attached = false;
}

#endif
