// SPDX-License-Identifier: GPL-2.0
/*
 * suspects.c - which folios may be stale: those that were resident when a
 * change below the page cache ended.
 *
 * While a file may be changing below the page cache it is tainted, and nothing
 * of it is put (page_cache.c). But a change can leave folios behind that have
 * the old content: those that were read in while it was under way, if it failed
 * or was killed before it invalidated them; those that it does not look at at
 * all. The kernel itself serves them until reclaim takes them, and is right
 * again then. So must we.
 *
 * So when a taint ends, the pages that are resident, in the range that may have
 * changed, become suspects. A suspect folio stays in the page cache for as long
 * as it would without us, it is only never put; when it leaves the page cache,
 * for whatever reason, its pages are suspects no more: what is read in
 * afterwards is what the file system has. A file thus loses one round of
 * reclaim, and no folio is dropped.
 *
 * The set. A bit for each page, by index: a folio that migrates, is split, or
 * is copied into a larger one (khugepaged) takes its content along, stays at
 * its indices and passes no removal. The bits of 32 pages are a value in an
 * xarray: to change or to clear them takes no memory, so the tracepoint of
 * removals can, under the page cache's lock. A file of up to 32 pages has them
 * in its record; otherwise 64 words of bits are one node, 576 bytes for 8 MiB.
 *
 * The end of a taint. Whoever changes a file below the page cache holds its
 * i_rwsem until he is done or, with direct I/O, is counted. So: at one moment
 * we see i_rwsem free, then no direct I/O counted, and nobody who may write to
 * the file's blocks without either (a swap file, a quota file, one that a pNFS
 * client has). At that moment nothing was under way but what began later, and
 * what begins later taints anew, which is seen by the number of changes.
 * Whatever was stale then was resident then; what was resident then and still
 * is, is found by a walk that begins afterwards. It is marked, and the taint
 * taken away if the number is what it was. i_rwsem need not be held. The walk
 * needs memory and time, so a worker does it, asked for by the put that found
 * the file tainted, or a moment after the change.
 *
 * In vain. The file may be busy when the worker looks, or change while it walks
 * (it gives up then), or there is no memory. It looks again after SOON, after
 * twice that and so on, seven times, whoever asked: the sooner the taint ends,
 * the less has become resident since the change. After that only who asks anew
 * makes it look, and once in 1.5 s at most until a look has ended the taint. So
 * a file that is written below the page cache all the time costs few walks, and
 * those end early.
 *
 * The worker takes no reference, neither to the inode nor to its file system:
 * it would be the last one at times, with all that follows, and umount would
 * meet it. The inode waits for it instead, in clear_inode(); and the worker
 * waits for nothing, not even memory.
 */
#include "compat.h"

#ifdef TMEM_REDIRECTS

#include <linux/bitops.h>
#include <linux/bits.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "left_out.h"
#include "page_cache.h"

#define WORD_BITS 32
#define BATCH_WORDS 32		/* of suspects that are collected at a time, under the page cache's lock */
#define BATCH_SLOTS 256		/* of the page cache that are looked at meanwhile */
#define SOON (HZ / 50 + 1)	/* after a change: it is over by then, mostly, and little has been read in */
#define TURNS 7			/* the last after SOON << (TURNS - 1), 1.5 s at 250 Hz */
#define LONG_AGO (10 * HZ)	/* what was in vain then is forgotten */
#define FEW_PAGES 4096		/* resident in the range: for more, only a put is worth the walk */

struct batch {
	unsigned int words;
	struct {
		unsigned long number;
		u32 bits;
	} word[BATCH_WORDS];
};

/* Bits of the pages from @first to @last that are in word @number. */
static u32 bits_of(unsigned long number, pgoff_t first, pgoff_t last)
{
	const pgoff_t base = number * WORD_BITS;

	return GENMASK(min_t(pgoff_t, last - base, WORD_BITS - 1), first > base ? first - base : 0);
}

/* ---- marking ---- */

/* Adds pages to @batch; the first that found no room, or @last + 1. */
static pgoff_t collect(struct batch *batch, pgoff_t first, pgoff_t last)
{
	unsigned long number;

	for (number = first / WORD_BITS; number <= last / WORD_BITS; number++) {
		if (!batch->words || batch->word[batch->words - 1].number != number) {
			if (batch->words == BATCH_WORDS)
				return max(first, (pgoff_t)number * WORD_BITS);
			batch->word[batch->words].number = number;
			batch->word[batch->words++].bits = 0;
		}
		batch->word[batch->words - 1].bits |= bits_of(number, first, last);
	}
	return last + 1;
}

/* Some residents of [*next, last]; true if these were the last. Moves *next on. */
static bool collect_residents(struct batch *batch, struct address_space *mapping, pgoff_t *next,
			      pgoff_t last)
{
	XA_STATE(slots, &mapping->i_pages, *next);
	unsigned int looked_at = 0;
	void *entry;
	bool over = true;

	batch->words = 0;
	xas_lock_irq(&slots);
	xas_for_each(&slots, entry, last) {
		struct folio *folio = entry;
		pgoff_t end;

		if (looked_at++ == BATCH_SLOTS) {
			*next = slots.xa_index;
			over = false;
			break;
		}
		/* What reclaim has left behind is no folio. */
		if (xa_is_value(entry))
			continue;
		end = min_t(pgoff_t, last, folio->index + folio_nr_pages(folio) - 1);
		*next = collect(batch, max(*next, folio->index), end);
		if (*next <= end) {
			over = false;
			break;
		}
	}
	xas_unlock_irq(&slots);
	return over;
}

static int add_word(struct tmem_cached_file *file, unsigned long number, u32 bits, gfp_t how)
{
	XA_STATE(word, &file->suspects, number);

	do {
		void *old;

		xas_lock_irq(&word);
		old = xas_load(&word);
		xas_store(&word, xa_mk_value(bits | (old ? xa_to_value(old) : 0)));
		xas_unlock_irq(&word);
	} while (xas_nomem(&word, how | __GFP_NOWARN));
	return xas_error(&word);
}

/* Makes suspects of what is resident; not all of it if there is no memory, or if *@changes is not @number any more. */
static int mark_residents(struct tmem_cached_file *file, pgoff_t first, pgoff_t last, gfp_t how,
			  const unsigned int *changes, unsigned int number)
{
	struct batch batch;
	bool any = false, over;

	if (tmem_left_out("suspects"))
		return 0;
	do {
		unsigned int i;

		if (changes && READ_ONCE(*changes) != number)
			return -EAGAIN;
		over = collect_residents(&batch, file->mapping, &first, last);
		for (i = 0; i < batch.words; i++) {
			const int error = add_word(file, batch.word[i].number, batch.word[i].bits, how);

			if (error)
				return error;
			this_cpu_add(tmem_page_cache_events.count[TMEM_EVENT_pages_suspected],
				     hweight32(batch.word[i].bits));
			any = true;
		}
		cond_resched();
	} while (!over);
	if (any)
		tmem_saw(files_suspected);
	return 0;
}

/* A pNFS client has been told where the file's blocks are, and writes to them when it likes. */
static bool has_layout(struct inode *inode)
{
	struct file_lock_context *context = smp_load_acquire(&inode->i_flctx);
	const TMEM_LEASE *lease;
	bool has = false;

	if (!context || list_empty(&context->flc_lease))
		return false;
	spin_lock(&context->flc_lock);
	list_for_each_entry(lease, &context->flc_lease, tmem_lease_list)
		has |= !!(lease->tmem_lease_flags & FL_LAYOUT);
	spin_unlock(&context->flc_lock);
	return has;
}

/**
 * tmem_may_be_changing - whether somebody may be changing a file's blocks below the page cache
 * @inode: the file's
 *
 * If not, there was a moment during the call at which nobody was but who has tainted the file
 * since.
 *
 * Context: Process context. Does not sleep.
 * Return: Whether it may be.
 */
bool tmem_may_be_changing(struct inode *inode)
{
	/*
	 * What the caller has read comes before, and i_rwsem before the count: direct I/O is
	 * counted, then lets go of it.
	 */
	smp_mb();
	if (inode_is_locked(inode))
		return true;
	smp_mb();
	return atomic_read(&inode->i_dio_count) || tmem_is_excluded(inode) || has_layout(inode);
}

/**
 * tmem_suspect_residents - what is resident may be stale, and nothing is known of what will be
 * @file: the file
 * @first: first index
 * @last: last index; may be far beyond the end of the file
 *
 * Where somebody may be changing the file, or for want of memory, it is tainted. The caller flushes
 * the range afterwards.
 *
 * Context: Process context. May sleep. The caller keeps the inode from ending.
 */
void tmem_suspect_residents(struct tmem_cached_file *file, pgoff_t first, pgoff_t last)
{
	if (tmem_may_be_changing(file->mapping->host) || mark_residents(file, first, last, GFP_NOFS, NULL, 0)) {
		tmem_cached_file_taint(file, first, last);
		return;
	}
	/* Who looked for suspects before these were marked, and puts now, sees it by this. */
	spin_lock(&file->lock);
	smp_wmb();
	WRITE_ONCE(file->changes, file->changes + 1);
	spin_unlock(&file->lock);
	smp_mb();
}

/* ---- asking ---- */

/**
 * tmem_is_suspect - whether any page of a folio may be stale
 * @file: the file
 * @index: the folio's first page
 * @count: its pages
 *
 * Context: Any.
 * Return: Whether one may be.
 */
bool tmem_is_suspect(struct tmem_cached_file *file, pgoff_t index, unsigned long count)
{
	const pgoff_t last = index + count - 1;
	unsigned long number;

	if (xa_empty(&file->suspects))
		return false;
	for (number = index / WORD_BITS; number <= last / WORD_BITS; number++) {
		const void *word = xa_load(&file->suspects, number);

		if (word && xa_to_value(word) & bits_of(number, index, last))
			return true;
	}
	return false;
}

/**
 * tmem_suspects_gone - a folio leaves the page cache: its pages are no suspects any more
 * @file: the file
 * @index: the folio's first page
 * @count: its pages
 *
 * Context: Under the lock of the page cache, with interrupts off. Allocates nothing.
 */
void tmem_suspects_gone(struct tmem_cached_file *file, pgoff_t index, unsigned long count)
{
	const pgoff_t last = index + count - 1;
	unsigned long number, flags;

	if (xa_empty(&file->suspects))
		return;
	xa_lock_irqsave(&file->suspects, flags);
	for (number = index / WORD_BITS; number <= last / WORD_BITS; number++) {
		XA_STATE(word, &file->suspects, number);
		const void *old = xas_load(&word);
		unsigned long bits;

		if (!old)
			continue;
		bits = xa_to_value(old) & ~(unsigned long)bits_of(number, index, last);
		/*
		 * There is a node already, or it is the one word of the record: nothing is
		 * allocated.
		 */
		xas_store(&word, bits ? xa_mk_value(bits) : NULL);
	}
	xa_unlock_irqrestore(&file->suspects, flags);
}

/* ---- the end of a taint ---- */

/*
 * By turn: 0 is looked at now, the others later and later. Within a list all wait equally long, so
 * its first is due first.
 */
static struct list_head asked[TURNS + 1];
static DEFINE_SPINLOCK(asked_lock);
static struct tmem_cached_file *at_work;	/* what the worker has taken from a list */
static bool stopped = true;			/* these two under asked_lock */
static DECLARE_WAIT_QUEUE_HEAD(left_alone);

static void end_taints(struct work_struct *work);
static DECLARE_DELAYED_WORK(end_work, end_taints);

/* Takes the taint away if the change is over; whether there is none now. The caller keeps the inode from ending. */
static bool try_to_end(struct tmem_cached_file *file)
{
	unsigned int changes;
	pgoff_t first, last;
	bool tainted;

	spin_lock(&file->lock);
	tainted = file->tainted;
	changes = file->changes;
	first = file->first;
	last = file->last;
	spin_unlock(&file->lock);
	if (!tainted)
		return true;
	if (tmem_may_be_changing(file->mapping->host) ||
	    mark_residents(file, first, last, GFP_NOWAIT, &file->changes, changes))
		return false;
	spin_lock(&file->lock);
	if (file->changes == changes) {
		smp_store_release(&file->tainted, false);
		tainted = false;
	}
	spin_unlock(&file->lock);
	return !tainted;
}

/* The file that is due first, and NULL if none waits. Under asked_lock. */
static struct tmem_cached_file *next_asked(void)
{
	struct tmem_cached_file *file, *next = NULL;
	unsigned int turn;

	for (turn = 0; turn <= TURNS; turn++) {
		file = list_first_entry_or_null(&asked[turn], struct tmem_cached_file, asked);
		if (file && (!next || time_before(file->due, next->due)))
			next = file;
	}
	return next;
}

/* The worker comes when the next file is due. Under asked_lock. */
static void call_worker(void)
{
	const struct tmem_cached_file *next = next_asked();

	if (next)
		mod_delayed_work(tmem_unbound_wq, &end_work,
				 time_after(next->due, jiffies) ? next->due - jiffies : 0);
}

static unsigned long wait_of(unsigned int turn)
{
	return turn ? (unsigned long)SOON << (turn - 1) : 0;
}

/* Under asked_lock; the file is in no list. */
static void add_asked(struct tmem_cached_file *file, unsigned int turn)
{
	file->due = jiffies + wait_of(turn);
	list_add_tail(&file->asked, &asked[turn]);
}

/* One that is due, now @at_work; NULL: none is, the worker will be called. */
static struct tmem_cached_file *take_asked(void)
{
	struct tmem_cached_file *file;

	spin_lock(&asked_lock);
	file = next_asked();
	if (file && time_after(file->due, jiffies)) {
		file = NULL;
		call_worker();
	}
	if (file)
		list_del_init(&file->asked);
	at_work = file;
	spin_unlock(&asked_lock);
	return file;
}

/* It has been looked at. From here on it may be asked for, but not at once. */
static void put_back(struct tmem_cached_file *file, bool ended)
{
	const bool again = !ended && file->turn < TURNS && !tmem_left_out("look_again");

	spin_lock(&asked_lock);
	at_work = NULL;
	file->turn = ended ? 0 : min(file->turn + 1, (unsigned int)TURNS);
	if (list_empty(&file->asked)) {
		if (again && !stopped)
			add_asked(file, file->turn);
		else
			file->due = jiffies + wait_of(file->turn);
	}
	spin_unlock(&asked_lock);
	wake_up_all(&left_alone);
}

static bool is_at_work(const struct tmem_cached_file *file)
{
	bool is;

	spin_lock(&asked_lock);
	is = at_work == file;
	spin_unlock(&asked_lock);
	return is;
}

static void end_taints(struct work_struct *work)
{
	struct tmem_cached_file *file;

	while ((file = take_asked())) {
		put_back(file, try_to_end(file));
		cond_resched();
	}
}

/**
 * tmem_taint_ask - the taint of a file may be over: see to it
 * @file: the file
 * @soon: a change has just ended, or is about to; otherwise a put was refused
 *
 * Context: Any but interrupts. Does not sleep. The caller keeps the inode from ending.
 */
void tmem_taint_ask(struct tmem_cached_file *file, bool soon)
{
	unsigned int turn;

	if (!list_empty(&file->asked) ||
	    (soon && min(file->mapping->nrpages, file->last - file->first) > FEW_PAGES))
		return;
	spin_lock(&asked_lock);
	if (!stopped && list_empty(&file->asked)) {
		if (time_after(jiffies, file->due + LONG_AGO))
			file->turn = 0;
		turn = file->turn;
		if (soon)
			turn = max(turn, 1U);
		else if (!time_after(file->due, jiffies))
			turn = 0;
		add_asked(file, turn);
		call_worker();
	}
	spin_unlock(&asked_lock);
}

/**
 * tmem_taint_unask - a file ends
 * @file: the file
 *
 * Context: Process context. Sleeps while the worker walks its folios, if it does. The worker does
 * not meet the record when this returns.
 */
void tmem_taint_unask(struct tmem_cached_file *file)
{
	bool busy;

	/* The worker may put it back meanwhile, a few times. */
	do {
		spin_lock(&asked_lock);
		list_del_init(&file->asked);
		busy = at_work == file;
		spin_unlock(&asked_lock);
		if (busy)
			wait_event(left_alone, !is_at_work(file));
	} while (busy);
}

/**
 * tmem_suspects_start - from now on taints can end
 *
 * Context: Process context.
 */
void tmem_suspects_start(void)
{
	unsigned int turn;

	for (turn = 0; turn <= TURNS; turn++)
		INIT_LIST_HEAD(&asked[turn]);
	spin_lock(&asked_lock);
	stopped = false;
	spin_unlock(&asked_lock);
}

/**
 * tmem_suspects_stop - no taint ends any more
 *
 * The hooks are still there, clear_inode() above all: what is in the list is alive.
 *
 * Context: Process context. Sleeps until the worker is done.
 */
void tmem_suspects_stop(void)
{
	struct tmem_cached_file *file;

	/* Nothing is added any more, so the list gets shorter each time. */
	spin_lock(&asked_lock);
	stopped = true;
	while ((file = next_asked()))
		list_del_init(&file->asked);
	spin_unlock(&asked_lock);
	cancel_delayed_work_sync(&end_work);
}

#endif /* TMEM_REDIRECTS */
