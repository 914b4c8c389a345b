/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The boundary of the tmem core: the only header that C and C++ share.
 *
 * The core maps handles to pages. A handle is (pool, object id, index); the
 * page behind it is 4096 bytes that somebody is about to lose. Above the core
 * sit its clients, which put, get and flush; below it sits a host, which
 * lends memory, locks and a codec, and a PAM (page-addressable memory), which
 * keeps the data and hands out a pampd (PAM page descriptor) for each page:
 *
 *       client                client               tmem_put, tmem_get, ...
 *          └────────┬───────────┘
 *               engine and index                   handle -> pampd
 *          ┌────────┴───────────┐
 *      host ops             PAM ops                memory; pampd -> data
 *
 * Rules of this file. It includes nothing. It uses only unsigned int,
 * unsigned long, unsigned long long, int, pointers and plain structs. Every
 * ops table begins with abi_size = sizeof(its struct), so that a table of
 * another age is refused. The C side checks each size and offset at build
 * time (glue/abi_check.c).
 *
 * Contexts. The page operations (put, get, flush page, range and object) and
 * the statistics may be called with interrupts on or off, under any lock of
 * the caller, from process or interrupt context (not NMI), and never sleep.
 * All else (registration, clients, new pool, destroy pool) is for process
 * context and may sleep.
 *
 * Results are 0 or a negative errno value, each with one meaning; see
 * "Results" below. Nothing a caller passes can crash the core.
 */
#ifndef TMEM_CORE_ABI_H
#define TMEM_CORE_ABI_H

#ifdef __cplusplus
extern "C" {
#endif

#define TMEM_PAGE_BYTES 4096

/* ---- Results ----------------------------------------------------------- */

/* Equal to the errno values named beside them, on the kernel and on the host. */
#define TMEM_OK 0
#define TMEM_NOT_FOUND (-2)          /* ENOENT: no page under this handle */
#define TMEM_NO_MEMORY (-12)         /* ENOMEM: an allocation failed; nothing is stored */
#define TMEM_BAD_ARGUMENT (-22)      /* EINVAL: NULL pointer, unknown pool id, value out of range */
#define TMEM_TOO_MANY (-23)          /* ENFILE: no client, pool or sharer slot is left */
#define TMEM_GOING_AWAY (-108)       /* ESHUTDOWN: the pool is being destroyed */
#define TMEM_CORRUPT (-74)           /* EBADMSG: checksum or decoder error; the caller's page is garbage */
#define TMEM_IN_USE (-16)            /* EBUSY: something still depends on what is to be removed */
/* Refused by policy; nothing is stored, and the older page is gone too. */
#define TMEM_REFUSED_POOR (-7)       /* E2BIG: it compresses too badly to be worth keeping */
#define TMEM_REFUSED_BUDGET (-28)    /* ENOSPC: max_pool_percent is reached and nothing can be evicted */
#define TMEM_REFUSED_LIMIT (-122)    /* EDQUOT: the client's own limit is reached */
#define TMEM_REFUSED_NESTED (-11)    /* EAGAIN: interrupted a put or get on this CPU; no second workspace */
#define TMEM_REFUSED_FROZEN (-1)     /* EPERM: the tunable "frozen" is set */

/* ---- What the host must link: locks, counters, gates --------------------- */

/*
 * Storage for a lock of the host's. A spinlock_t is one word on a plain
 * kernel and about a dozen with lockdep; the build says which (Kbuild).
 */
#ifndef TMEM_LOCK_WORDS
#define TMEM_LOCK_WORDS 1
#endif
#ifndef TMEM_GATE_WORDS
#define TMEM_GATE_WORDS 8
#endif

struct tmem_lock {
	unsigned long words[TMEM_LOCK_WORDS];
};

/*
 * Ranks: a lock may be taken only while holding locks of smaller rank. The
 * host makes one lockdep class of each, so that an inversion is reported on
 * its first occurrence. The reasons for the order are in core/base/lock.h.
 */
#define TMEM_RANK_CONTROL 0
#define TMEM_RANK_LEAF_BUCKET 1
#define TMEM_RANK_OBJECT_BUCKET 2
#define TMEM_RANK_POOL_OBJECTS 3
#define TMEM_RANK_STORE 4
#define TMEM_RANK_BUDGET 5
#define TMEM_RANKS 6

/* The CPU this runs on, or another: a hint, to keep CPUs apart. Any context. */
unsigned int tmem_this_cpu(void);

/* Prepares @lock in its class. Cannot fail. */
void tmem_lock_init(struct tmem_lock *lock, unsigned int rank);
/* Undoes tmem_lock_init; the lock must be free. */
void tmem_lock_destroy(struct tmem_lock *lock);
/* Spins; returns the interrupt state to give back to tmem_lock_release. */
unsigned long tmem_lock_acquire(struct tmem_lock *lock);
void tmem_lock_release(struct tmem_lock *lock, unsigned long interrupt_state);

/*
 * A row of 64-bit counters, each the sum of what all CPUs have added. Adding
 * is cheap, atomic against interrupts and against other CPUs, in any context;
 * a sum is exact as soon as nobody adds, and who sees an addition in it sees
 * what the adder did before. Rows come from host_ops.counters_alloc.
 */
struct tmem_counters;
void tmem_counters_add(struct tmem_counters *counters, unsigned int cell, unsigned long long delta);
unsigned long long tmem_counters_sum(const struct tmem_counters *counters, unsigned int cell);

/*
 * A gate counts who is inside without a cache line that all CPUs write: each
 * adds to its own part of two counters, @cell (entered) and @cell + 1 (left).
 * It begins closed.
 */
struct tmem_gate {
	unsigned long words[TMEM_GATE_WORDS];
};

void tmem_gate_init(struct tmem_gate *gate, struct tmem_counters *counters, unsigned int cell);
/* Nobody is inside or about to leave any more. Process context, may sleep. */
void tmem_gate_destroy(struct tmem_gate *gate);
void tmem_gate_open(struct tmem_gate *gate);
/* 1: inside, tmem_gate_leave must follow, from any CPU; 0: closed. Any context. */
int tmem_gate_enter(struct tmem_gate *gate);
void tmem_gate_leave(struct tmem_gate *gate);
/* Closes it and sleeps, without spinning, until the last has left. Process context. */
void tmem_gate_close(struct tmem_gate *gate);
int tmem_gate_is_open(const struct tmem_gate *gate);

/* ---- Host ops ----------------------------------------------------------- */

/* Small objects the core allocates, each from a cache of its own. */
#define TMEM_LEAF_CLASSES 10
#define TMEM_KIND_OBJECT 0
#define TMEM_KIND_LEAF 1	/* the smallest class; the others follow */
#define TMEM_KIND_RUN (TMEM_KIND_LEAF + TMEM_LEAF_CLASSES)
#define TMEM_KIND_PLAIN_PAGE (TMEM_KIND_RUN + 1)
#define TMEM_KINDS (TMEM_KIND_PLAIN_PAGE + 1)

/* Size, alignment (bytes) and name of a kind, for the host's caches; 0 or NULL if unknown. */
unsigned long tmem_kind_bytes(unsigned int kind);
unsigned long tmem_kind_alignment(unsigned int kind);
const char *tmem_kind_name(unsigned int kind);

/* Flags of object_alloc and frame_alloc. */
#define TMEM_ALLOC_RESERVES 1	/* the last try for a persistent page: may use the reclaim reserves */
#define TMEM_ALLOC_ON(node) (((node) + 1) << 8)	/* rather of this memory node; without: of the caller's */
/* The node that they say, or TMEM_ANY_NODE. */
#define TMEM_ALLOC_NODE(flags) (((flags) >> 8) - 1)
#define TMEM_ANY_NODE (~0U)

/* One CPU's buffers, lent between codec_begin and codec_end. */
struct tmem_codec_buffers {
	void *workspace;	/* for the compressor; NULL: compression is not possible now */
	void *output;		/* TMEM_CODEC_OUTPUT_BYTES; NULL with workspace */
	void *bounce;		/* one page; never NULL */
};

/* A page that does not compress grows by at most 1/16 + 67 bytes (LZO1X). */
#define TMEM_CODEC_OUTPUT_BYTES (TMEM_PAGE_BYTES + TMEM_PAGE_BYTES / 16 + 67)

struct tmem_host_ops {
	unsigned int abi_size;
	/* CPUs the machine may ever have, at least 1. */
	unsigned int cpu_count;
	/* Page frames of RAM in the machine; max_pool_percent is a part of it. */
	unsigned long long memory_frames;
	/* Any number; keeps outsiders from choosing colliding object ids. */
	unsigned long long hash_seed;

	/*
	 * One uninitialised object of @kind, or NULL. Any context, must not
	 * sleep; called with no lock of the core held. @flags: TMEM_ALLOC_*.
	 */
	void *(*object_alloc)(unsigned int kind, unsigned int flags);
	/* Any context; called with no lock of the core held. */
	void (*object_free)(unsigned int kind, void *object);

	/* The address of a page frame, page aligned, or NULL; as object_alloc. */
	void *(*frame_alloc)(unsigned int flags);
	void (*frame_free)(void *frame);

	/* A zeroed table of @bytes, aligned to 64, or NULL. Process context, may sleep. */
	void *(*table_alloc)(unsigned long bytes);
	void (*table_free)(void *table, unsigned long bytes);

	/* A row of @cells counters, all 0, or NULL. Process context, may sleep. */
	struct tmem_counters *(*counters_alloc)(unsigned int cells);
	void (*counters_free)(struct tmem_counters *counters, unsigned int cells);

	/* Called between the batches of long work in process context; may reschedule. */
	void (*breathe)(void);

	/*
	 * Lends this CPU's buffers and keeps the caller on this CPU until
	 * codec_end. Any context. Never fails: an interrupt that finds the
	 * workspace taken gets a bounce page only. Do not nest in one context.
	 */
	struct tmem_codec_buffers (*codec_begin)(void);
	void (*codec_end)(void);

	/* 0 and *@output_bytes, or nonzero. @output has TMEM_CODEC_OUTPUT_BYTES. */
	int (*compress)(const void *page, void *output, unsigned long *output_bytes,
			void *workspace);
	/* 0 if @input decoded to exactly one page, nonzero if not; never writes past @page. */
	int (*decompress)(const void *input, unsigned long input_bytes, void *page);
	/* A 32-bit checksum. */
	unsigned int (*checksum)(const void *data, unsigned long bytes);

	/*
	 * For whoever watches: a store has evicted so many page frames' worth of
	 * @client's ephemeral pages, because of the budget (TMEM_REFUSED_BUDGET) or a
	 * limit (TMEM_REFUSED_LIMIT) that a put met, or because memory was wanted
	 * (TMEM_NO_MEMORY). Any context, with no lock of the core held.
	 */
	void (*evicted)(unsigned int client, int reason, unsigned int frames);

	/* The memory node of a CPU below cpu_count; always the same, below 2^20. Any context. */
	unsigned int (*node_of)(unsigned int cpu);
};

struct tmem_host;

/*
 * Makes a host: one engine with its index, sized from ops->memory_frames.
 * A kernel module normally has one; tests make as many as they like.
 * @ops must outlive the host. Process context, may sleep.
 * Returns 0 and *@host, TMEM_BAD_ARGUMENT (a NULL member, wrong abi_size, no
 * CPU) or TMEM_NO_MEMORY.
 */
int tmem_register_host_ops(const struct tmem_host_ops *ops, struct tmem_host **host);

/* Frees the host. TMEM_IN_USE while it has clients. */
int tmem_unregister_host(struct tmem_host *host);

/* ---- PAM ops ------------------------------------------------------------ */

struct tmem_oid {
	unsigned long long word[3];
};

/* What create() is told about the page it is to keep. */
struct tmem_pam_page {
	const void *data;			/* TMEM_PAGE_BYTES, valid during the call */
	unsigned long long back_reference;	/* for tmem_pam_evict; below 2^32 */
	unsigned int client;			/* below TMEM_CLIENTS_MAX */
	unsigned int persistent;		/* 1: must stay until freed; 0: may be evicted */
};

/* What a PAM says of itself. */
#define TMEM_USAGE(X)                                                                              \
	X(frames, "page frames that hold data now")                                                \
	X(frames_limit, "page frames the budget allows")                                           \
	X(frames_ephemeral, "page frames that eviction could free")                                \
	X(frames_evicted, "page frames freed or reused by eviction, ever")                         \
	X(frames_evicted_for_limit, "of these, because a client was at its limit")                 \
	X(frames_evicted_for_memory, "of these, because memory was short, here or for others")     \
	X(frames_compacted, "page frames freed or reused by moving their pages to others, ever")   \
	X(frames_from_reserves, "page frames taken with leave to use the reclaim reserves, ever")  \
	X(entries, "pages in the PAM now, not counting same-filled ones")                          \
	X(entries_raw, "of these, stored uncompressed")                                            \
	X(entries_stored_raw, "pages that were stored uncompressed, ever")                         \
	X(entries_moved, "pages moved from one run to another, ever")                              \
	X(puts_refused_unseen, "pages refused without being compressed, because others had just found no room, ever") \
	X(bytes_stored, "bytes of page data as stored now (compressed)")                           \
	X(packings, "runs whose entries were moved together to join their holes, ever")                                  \
	X(checksum_errors, "stored pages whose checksum did not match, ever")                      \
	X(decoder_errors, "stored pages that did not decode to a page, ever")                      \
	X(frames_compactable, "page frames of holes, about, that moving pages could free; 0 while they are few") \
	X(metadata_bytes, "bytes of descriptors kept outside the frames")                         \
	X(directory_bytes, "bytes of the frames that say where the pages in them are")              \
	X(checksum_bytes, "bytes of the frames that are checksums of the pages in them")           \
	X(store_bytes, "bytes of the PAM itself, whatever it holds")

#define TMEM_DECLARE_FIELD(name, meaning) unsigned long long name;
struct tmem_usage {
	TMEM_USAGE(TMEM_DECLARE_FIELD)
};

/* What a PAM says of one client. */
#define TMEM_CLIENT_USAGE(X)                                                                       \
	X(weight, "share of the budget, beside the weights of the others")                         \
	X(limit_frames, "page frames that it may hold; TMEM_NO_LIMIT: as many as the budget allows") \
	X(frames, "page frames that hold its pages now")                                           \
	X(frames_ephemeral, "of these, those that eviction could free")                            \
	X(frames_evicted, "page frames of its own freed or reused by eviction, ever")              \
	X(pages_evicted, "pages of its own that were evicted, ever")

struct tmem_client_usage {
	TMEM_CLIENT_USAGE(TMEM_DECLARE_FIELD)
};

/* What a PAM could give back now, about. */
struct tmem_offer {
	unsigned long long frames_ephemeral;	/* by shrink */
	unsigned long long frames_compactable;	/* by compact; 0 while that is not worth the copying */
};

/*
 * A pampd is any 64-bit value, but no two live pages may have the same one:
 * eviction finds a page by it. The engine never looks into it. A page is
 * there from create to free, and as long after that as anybody holds it.
 */
struct tmem_pam_ops {
	unsigned int abi_size;
	unsigned int reserved;	/* 0 */

	/* Starts an instance for @host. Process context. 0 or a result; *@pam is passed below. */
	int (*start)(struct tmem_host *host, void **pam);
	/* Ends it; no page is left. */
	void (*stop)(void *pam);

	/*
	 * Copies page->data in. Returns 0 and *@pampd, or
	 * TMEM_NO_MEMORY or a TMEM_REFUSED_* result. Any context, no lock of
	 * the engine held. Until the engine has published the pampd,
	 * tmem_pam_evict of it fails and must be tried again later.
	 */
	int (*create)(void *pam, const struct tmem_pam_page *page, unsigned long long *pampd);
	/*
	 * Keeps the page readable, whatever happens to it, until release. Any
	 * context, an index lock is held: short. Cannot fail.
	 */
	void (*hold)(void *pam, unsigned long long pampd);
	/* Undoes one hold. Any context, no lock of the engine held. */
	void (*release)(void *pam, unsigned long long pampd);
	/*
	 * Copies the page out, with no lock of the engine held; the caller
	 * holds it, or has taken it out of the index. 0, or TMEM_CORRUPT and @data is undefined.
	 */
	int (*get_data)(void *pam, unsigned long long pampd, void *data);
	/* The page is out of the index, for good. Any context, no lock of the engine held. */
	void (*free)(void *pam, unsigned long long pampd);

	/*
	 * Evicts ephemeral pages until @frames of @node are given back (TMEM_ANY_NODE: of any);
	 * returns how many were. Any context. The index asks for it too, when it finds no memory.
	 */
	unsigned long long (*shrink)(void *pam, unsigned long long frames, unsigned int node);
	/* The same by moving pages together, losing none. Any context. */
	unsigned long long (*compact)(void *pam, unsigned long long frames, unsigned int node);
	/*
	 * The budget's limit changed, or a client's weight or limit did: evicts
	 * what is over it, breathing in between. Process context.
	 */
	void (*set_limit)(void *pam, unsigned long long frames);
	void (*set_client)(void *pam, unsigned int client, unsigned int weight,
			   unsigned long long limit_frames);
	/* Any context. */
	void (*usage)(void *pam, struct tmem_usage *usage);
	/* Of @client, below TMEM_CLIENTS_MAX; the last two fields only ever grow. Any context. */
	void (*client_usage)(void *pam, unsigned int client, struct tmem_client_usage *usage);
	/* Adds what @node (or TMEM_ANY_NODE) could give to *@offer. Often asked: a few us, and no lock. Any context. */
	void (*offer)(void *pam, unsigned int node, struct tmem_offer *offer);
};

/*
 * Chooses what keeps the data. Must come before the first client; once only
 * per host. Process context. 0, TMEM_BAD_ARGUMENT, TMEM_IN_USE, or what start said.
 */
int tmem_register_pam_ops(struct tmem_host *host, const struct tmem_pam_ops *ops);

/* The stores that come with the core: compressed (the product) and plain (an example). */
const struct tmem_pam_ops *tmem_compressed_pam(void);
const struct tmem_pam_ops *tmem_plain_pam(void);

/*
 * For a PAM: takes the page out of the index if its slot still holds @pampd.
 * 0: it is out, and the PAM's to free.
 * TMEM_NOT_FOUND: somebody else took it first, or it is not published yet.
 * Any context; call with no lock of the PAM held, and keep @pampd from being
 * handed out again meanwhile.
 */
int tmem_pam_evict(struct tmem_host *host, unsigned long long back_reference,
		   unsigned long long pampd);

/*
 * For a PAM that has copied a page to another place: makes the index hold @to
 * where it holds @from. 0: done, and @from is the PAM's to free, when nobody
 * holds it. TMEM_NOT_FOUND: the page went meanwhile, and @to was never seen.
 * Context as tmem_pam_evict.
 */
int tmem_pam_move(struct tmem_host *host, unsigned long long back_reference,
		  unsigned long long from, unsigned long long to);

/* ---- Tunables ----------------------------------------------------------- */

/* X(NAME, name, smallest, largest, default, "meaning, unit") */
#define TMEM_TUNABLES(X)                                                                           \
	X(MAX_POOL_PERCENT, max_pool_percent, 1, 90, 20,                                           \
	  "most RAM that stored pages of both kinds may use, percent")                             \
	X(ADMIT_EPHEMERAL_PERCENT, admit_ephemeral_percent, 1, 100, 85,                            \
	  "refuse a clean file page that compresses to more than this, percent of a page")         \
	X(ADMIT_PERSISTENT_PERCENT, admit_persistent_percent, 1, 100, 100,                         \
	  "refuse a swapped-out page that compresses to more than this, percent; 100 refuses none") \
	X(CHECKSUM, checksum, 0, 1, 1, "store a checksum with each page, checked when it is read back, 0 or 1")      \
	X(SAME_FILLED, same_filled, 0, 1, 1,                                                       \
	  "keep a page of one repeated word as that word, 0 or 1")                           \
	X(FROZEN, frozen, 0, 1, 0, "refuse every put (gets and flushes go on), 0 or 1")

enum tmem_tunable {
#define TMEM_DECLARE_TUNABLE(NAME, name, min, max, initial, meaning) TMEM_TUNABLE_##NAME,
	TMEM_TUNABLES(TMEM_DECLARE_TUNABLE)
	TMEM_TUNABLES_COUNT
};

/* 0 or TMEM_BAD_ARGUMENT (unknown, or out of range: nothing changed). Process context. */
int tmem_tunable_set(struct tmem_host *host, unsigned int tunable, unsigned long long value);
/* The value, or the default if there is no such host; any context. */
unsigned long long tmem_tunable_get(struct tmem_host *host, unsigned int tunable);

/* ---- Clients and pools -------------------------------------------------- */

#define TMEM_CLIENTS_MAX 16
#define TMEM_POOLS_MAX 1024	/* at one time, per client */
#define TMEM_NO_LIMIT (~0ULL)
#define TMEM_WEIGHT_DEFAULT 100
#define TMEM_WEIGHT_MAX 10000

struct tmem_client;

/*
 * A client is somebody with pools of its own: this kernel's hooks, or any
 * other kernel module. @weight (1 to TMEM_WEIGHT_MAX) is its share of the
 * budget: who holds most in proportion to its weight loses ephemeral pages
 * first. @limit_frames caps what it may hold; a put beyond it evicts the
 * client's own oldest ephemeral pages and is refused if there are none. The
 * compressed store holds eight frames at a time: less is none.
 * @name is copied, 15 characters of it. Process context.
 * 0 and *@client, TMEM_BAD_ARGUMENT, TMEM_NO_MEMORY or TMEM_TOO_MANY.
 */
int tmem_client_create(struct tmem_host *host, const char *name, unsigned int weight,
		       unsigned long long limit_frames, struct tmem_client **client);
int tmem_client_configure(struct tmem_client *client, unsigned int weight,
			  unsigned long long limit_frames);
/* Destroys the client's pools and then the client; nobody may use it meanwhile. */
void tmem_client_destroy(struct tmem_client *client);

#define TMEM_POOL_PERSISTENT 1	/* pages stay until flushed; otherwise ephemeral */
#define TMEM_POOL_SHARED 2	/* joined by uuid; gets leave the page where it is */
#define TMEM_POOL_FLAGS (TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED)

/*
 * A new pool. With TMEM_POOL_SHARED, joins the pool of the same @uuid and
 * kind if any client of this host has one (it is then accounted to the one
 * who made it), and its id is this client's own name for it.
 * @uuid may be NULL unless shared. Process context.
 * An id (0 or more), TMEM_BAD_ARGUMENT, TMEM_NO_MEMORY or TMEM_TOO_MANY.
 * An id that has been destroyed is not reused before 2^20 others.
 */
int tmem_new_pool(struct tmem_client *client, unsigned int flags,
		  const unsigned long long uuid[2]);

/*
 * Leaves the pool; the last to leave destroys it: new operations see
 * TMEM_GOING_AWAY, those under way are waited for (asleep), and every page is
 * freed, in batches. 0, TMEM_BAD_ARGUMENT, or TMEM_GOING_AWAY if another call
 * is destroying it already.
 */
int tmem_destroy_pool(struct tmem_client *client, int pool);

/* ---- The page operations ------------------------------------------------ */

/*
 * Stores a copy of @page as the only data under the handle. Whatever the
 * result, the older page under the handle is no longer there afterwards
 * (except when there is no such handle: TMEM_GOING_AWAY, or TMEM_BAD_ARGUMENT
 * for the client, the pool or the object id; a NULL @page removes it too).
 * The host's caller keeps two puts of one handle from racing; if they do
 * race, one of the two wins whole.
 * 0, TMEM_REFUSED_*, TMEM_NO_MEMORY, TMEM_GOING_AWAY, TMEM_BAD_ARGUMENT.
 */
int tmem_put(struct tmem_client *client, int pool, const struct tmem_oid *oid,
	     unsigned long long index, const void *page);

/*
 * Copies the page under the handle to @page. From a private ephemeral pool
 * the page is then gone; from a shared or persistent one it stays.
 * 0, TMEM_NOT_FOUND (@page is untouched), TMEM_CORRUPT (@page is garbage: do
 * not show it to anybody; an ephemeral page is gone, a persistent one keeps
 * answering TMEM_CORRUPT until flushed or put), TMEM_GOING_AWAY, TMEM_BAD_ARGUMENT.
 */
int tmem_get(struct tmem_client *client, int pool, const struct tmem_oid *oid,
	     unsigned long long index, void *page);

/* Removes one page. 0, TMEM_NOT_FOUND, TMEM_GOING_AWAY, TMEM_BAD_ARGUMENT. */
int tmem_flush_page(struct tmem_client *client, int pool, const struct tmem_oid *oid,
		    unsigned long long index);

/*
 * Removes the pages from index @first to @last, both included (none if @last
 * is smaller; 0 to ~0ULL is the whole object). Counts as one flush. Always
 * ends: up to 2^20 indices cost a lock for each 256, stored or not, as long as
 * the object has any page. A wider range that is not the whole object: from an
 * ephemeral pool the whole object may go with it, and does if the range has
 * more than 4096 indices for each 256 of which one is stored; in a persistent
 * pool, where no other page may go, it is TMEM_BAD_ARGUMENT and nothing is removed.
 * Results as tmem_flush_page.
 */
int tmem_flush_range(struct tmem_client *client, int pool, const struct tmem_oid *oid,
		     unsigned long long first, unsigned long long last);
/* The same, letting others run in between. Process context, may sleep. */
int tmem_flush_range_slowly(struct tmem_client *client, int pool, const struct tmem_oid *oid,
			    unsigned long long first, unsigned long long last);

/*
 * Removes every page of the object that was there when the call began; takes
 * no lock for longer than one leaf (256 pages). Results as tmem_flush_page.
 */
int tmem_flush_object(struct tmem_client *client, int pool, const struct tmem_oid *oid);
/* The same, letting others run between leaves. Process context, may sleep. */
int tmem_flush_object_slowly(struct tmem_client *client, int pool, const struct tmem_oid *oid);

/* ---- Memory pressure ---------------------------------------------------- */

/* Evicts oldest ephemeral pages until @frames page frames are free; returns the number freed. */
unsigned long long tmem_shrink(struct tmem_host *host, unsigned long long frames);
/* Moves pages together until @frames page frames are free; loses none; returns the number freed. */
unsigned long long tmem_compact(struct tmem_host *host, unsigned long long frames);
/* Page frames that tmem_compact could free, about; 0 while it is not worth the copying. */
unsigned long long tmem_compactable(struct tmem_host *host);
/* Page frames that tmem_shrink could free at most. */
unsigned long long tmem_shrinkable(struct tmem_host *host);
/*
 * The same of one memory node, or of any (TMEM_ANY_NODE). What is counted to a node are the frames
 * that its CPUs have filled; where it had none free they may lie in another.
 */
unsigned long long tmem_shrink_node(struct tmem_host *host, unsigned int node, unsigned long long frames);
unsigned long long tmem_compact_node(struct tmem_host *host, unsigned int node, unsigned long long frames);
void tmem_offer_of_node(struct tmem_host *host, unsigned int node, struct tmem_offer *offer);

/* ---- Statistics --------------------------------------------------------- */

/*
 * Events, counted per pool and per CPU; exact when nothing is under way.
 *   puts  = puts_stored + every puts_refused_* + puts_no_memory
 *   gets  = gets_hit + gets_missed + gets_corrupt
 *   flushes = flushes_found + flushes_missed, object_flushes likewise
 *   pages now = puts_stored - puts_replaced - puts_dropped - pages_taken
 *               - pages_flushed - pages_evicted - pages_corrupt
 */
#define TMEM_COUNTERS(X)                                                                           \
	X(puts, "puts asked for")                                                                  \
	X(puts_stored, "puts that were stored")                                                    \
	X(puts_refused_poor, "puts refused: compresses too badly")                                 \
	X(puts_refused_budget, "puts refused: max_pool_percent reached, nothing to evict")         \
	X(puts_refused_limit, "puts refused: the client's limit reached")                          \
	X(puts_refused_nested, "puts refused: interrupted another put or get on the same CPU")            \
	X(puts_refused_frozen, "puts refused: frozen")                                             \
	X(puts_no_memory, "puts failed: no memory")                                                \
	X(puts_replaced, "stored puts that replaced an older page")                                \
	X(puts_dropped, "puts not stored that removed an older page")                              \
	X(puts_same_filled, "stored puts of a page of one repeated word, kept in the index alone")                          \
	X(gets, "gets asked for")                                                                  \
	X(gets_hit, "gets that were served")                                                       \
	X(gets_missed, "gets that found nothing")                                                  \
	X(gets_corrupt, "gets that found a page that could not be read back")                      \
	X(flushes, "flushes of a page or range asked for")                                               \
	X(flushes_found, "of these, those that removed pages")                                            \
	X(flushes_missed, "of these, those that found nothing")                                            \
	X(flushes_widened, "flushes of a range that took the whole object, much smaller than the range")   \
	X(object_flushes, "flushes of an object asked for")                                        \
	X(object_flushes_found, "flushes of an object that removed pages")                         \
	X(object_flushes_missed, "flushes of an object that found nothing")                        \
	X(pages_taken, "pages removed by an exclusive get")                                        \
	X(pages_flushed, "pages removed by flush page, range or object, or destroy pool")              \
	X(pages_evicted, "pages removed to make room")                                             \
	X(pages_corrupt, "pages removed because they could not be read back")

/* Levels; "pages" is computed from the counters above. */
#define TMEM_LEVELS(X)                                                                             \
	X(pages, "pages stored now")                                                               \
	X(pages_same_filled, "of these, same-filled ones kept in the index alone")                 \
	X(objects, "objects with at least one page now")

/* What the engine says of itself, over all pools. */
#define TMEM_HOST_VALUES(X)                                                                        \
	X(bad_arguments, "operations answered TMEM_BAD_ARGUMENT, ever")                            \
	X(going_away, "operations answered TMEM_GOING_AWAY, since their pool was being destroyed, ever") \
	X(index_bytes, "bytes of leaves and objects now, without the hash tables")                 \
	X(leaf_bytes, "of these, leaves")                                                          \
	X(object_bytes, "of these, objects")                                                       \
	X(table_bytes, "bytes that are there whatever is stored: hash tables, counters, pools, clients, and store_bytes") \
	X(pools, "pools now")                                                                      \
	X(clients, "clients now")

struct tmem_stats {
	TMEM_COUNTERS(TMEM_DECLARE_FIELD)
	TMEM_LEVELS(TMEM_DECLARE_FIELD)
};

/* Sums over all pools of a host, past ones included. */
struct tmem_host_stats {
	struct tmem_stats pages;
	struct tmem_usage usage;
	TMEM_HOST_VALUES(TMEM_DECLARE_FIELD)
};

/* Each of these values by its name: TMEM_VALUE_puts, ... */
#define TMEM_VALUES(X) TMEM_COUNTERS(X) TMEM_LEVELS(X) TMEM_USAGE(X) TMEM_HOST_VALUES(X)
#define TMEM_ENUMERATE_VALUE(name, meaning) TMEM_VALUE_##name,
enum tmem_value {
	TMEM_VALUES(TMEM_ENUMERATE_VALUE)
	TMEM_VALUES_COUNT
};

struct tmem_pool_info {
	char client_name[16];
	int pool;			/* the client's id for it */
	unsigned int flags;		/* TMEM_POOL_* */
	unsigned int sharers;		/* 1 for a private pool */
	unsigned int reserved;
	unsigned long long uuid[2];
	struct tmem_stats stats;
};

struct tmem_client_info {
	char name[16];
	unsigned int number;		/* what host ops and trace events call it */
	unsigned int reserved;
	struct tmem_client_usage usage;
};

void tmem_host_stats(struct tmem_host *host, struct tmem_host_stats *stats);
/* The one of them that is TMEM_VALUE_*, and 0 if there is none such: looks at no more than that takes. */
unsigned long long tmem_host_value(struct tmem_host *host, unsigned int value);
/* 0, TMEM_BAD_ARGUMENT or TMEM_GOING_AWAY. */
int tmem_pool_stats(struct tmem_client *client, int pool, struct tmem_stats *stats);
/*
 * Walks the pools of all clients: start with *@cursor = 0; 0 fills *@info and
 * moves the cursor, TMEM_NOT_FOUND at the end. Process context.
 */
int tmem_next_pool(struct tmem_host *host, unsigned int *cursor, struct tmem_pool_info *info);
/* Walks the clients in the same way. What a shared pool holds is its maker's. Process context. */
int tmem_next_client(struct tmem_host *host, unsigned int *cursor, struct tmem_client_info *info);

/* ---- For tests (always there, never on a hot path) ---------------------- */

/*
 * Checks every invariant of the index and, for the stores of the core, of the
 * store; nothing else may be running. 0, or a number that names the broken
 * invariant (core/engine/validate.cc). Process context.
 */
int tmem_validate(struct tmem_host *host);

/*
 * Flips one bit in the stored copy of each of the next @count pages that the
 * compressed store takes in (after their checksum was computed).
 * TMEM_BAD_ARGUMENT unless built with TMEM_DEBUG.
 */
int tmem_debug_corrupt(struct tmem_host *host, unsigned long long count);

#ifdef __cplusplus
}
#endif

#endif /* TMEM_CORE_ABI_H */
