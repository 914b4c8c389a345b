// SPDX-License-Identifier: GPL-2.0
// The engine of one host: who may store (clients, pools), what is stored
// (index), who keeps the data (the PAM), and what has happened (counters).
//
//   engine.cc       life: host, PAM, clients, pools, tunables
//   page_operations.h, operations.cc   put, get, flush page; flush range and object
//   statistics.cc   sums
//   validate.cc     invariants, for tests
//
// The way of a page. put: enter the pool; let the PAM make its copy, with no
// lock held; publish the pampd in the index, under one bucket's lock; free what
// it replaced. get: take the pampd out of the index (or hold it there), under
// the lock; let the PAM copy the page out, with no lock held; free or release.
#ifndef TMEM_CORE_ENGINE_ENGINE_H
#define TMEM_CORE_ENGINE_ENGINE_H

#include "client.h"
#include "index.h"

namespace tmem {

// C has a function of the same name, so C++ must say "struct" once.
using HostStats = struct tmem_host_stats;

class Engine {
 public:
  // @all: a row of counters, over all pools.
  Engine(const tmem_host_ops &host, tmem_counters *all);
  ~Engine() { control_lock_.destroy(); }

  // ---- Life. Process context; the results are those of abi.h.
  static Result<Engine *> create(const tmem_host_ops *host);
  Outcome destroy();
  int register_pam(const tmem_pam_ops *ops);  // what start() says is passed on
  Result<Client *> create_client(const char *name, u32 weight, u64 limit_frames);
  Outcome configure_client(Client &client, u32 weight, u64 limit_frames);
  void destroy_client(Client &client);
  Result<int> new_pool(Client &client, u32 flags, const u64 *uuid);
  Outcome destroy_pool(Client &client, int id);
  Outcome set_tunable(u32 tunable, u64 value);
  u64 tunable(u32 which) const { return tunables_[which].load_relaxed(); }

  // Whether an operation lets others run between its steps; then it is for process context.
  enum class Breathe { kNever, kBetweenLeaves };

  // ---- Page operations. Any context, never sleep unless asked to breathe.
  Outcome put(Pool &pool, const Oid &oid, Index index, const void *page);
  // A put whose page is missing: it still leaves nothing under the handle.
  Outcome put_nothing(Pool &pool, const Oid &oid, Index index);
  Outcome get(Pool &pool, const Oid &oid, Index index, void *page);
  Outcome flush_page(Pool &pool, const Oid &oid, Index index);
  Outcome flush_range(Pool &pool, const Oid &oid, Index first, Index last, Breathe breathe);
  Outcome flush_object(Pool &pool, const Oid &oid, Breathe breathe);
  // Finds and enters the pool, or counts why not.
  Outcome enter(const Client &client, int id, Pool **pool) {
    const Outcome outcome = client.enter(id, pool);
    if (outcome != Outcome::kDone) count_failed_entry(outcome);
    return outcome;
  }
  void count_bad_argument() { bad_arguments_.fetch_add_relaxed(1); }

  // For the PAM: see tmem_pam_evict.
  bool evict(BackReference back, Pampd pampd) {
    return index_.take_if(back, pampd, Counter::pages_evicted);
  }
  // For the PAM: see tmem_pam_move.
  bool move(BackReference back, Pampd from, Pampd to) { return index_.move_if(back, from, to); }
  u64 compact(u64 frames, u32 node) { return pam_ops_ ? pam_ops_->compact(pam_, frames, node) : 0; }
  u64 shrink(u64 frames, u32 node) { return pam_ops_ ? pam_ops_->shrink(pam_, frames, node) : 0; }
  void offer(u32 node, tmem_offer &offer) const {
    if (pam_ops_) pam_ops_->offer(pam_, node, &offer);
  }
  // For the index, which has found no memory; no lock is held. True: the PAM has given some back, by evicting what is
  // oldest, or, for a persistent page, by moving pages together.
  bool make_room(bool persistent);
  bool resolves(BackReference back, Pampd pampd) const { return index_.resolves(back, pampd); }

  // ---- Statistics.
  static void sum_pool(const Pool &pool, tmem_stats &stats);
  void sum_all(HostStats &stats);
  // One of what sum_all() says: TMEM_VALUE_*.
  u64 value(u32 value);
  void usage(tmem_usage &usage) const;
  Outcome next_pool(u32 *cursor, tmem_pool_info &info);
  Outcome next_client(u32 *cursor, tmem_client_info &info);

  int validate();
  Outcome corrupt_next(u64 count);

  const tmem_host_ops &host() const { return host_; }
  u64 frames_limit() const;

 private:
  void count_failed_entry(Outcome outcome);
  Pool *acquire_pool();
  Pool *make_pool();
  void free_pool(Pool *pool);
  void retire_pool(Pool &pool);
  Pool *find_shared(u32 flags, const u64 *uuid) TMEM_REQUIRES(control_lock_);
  u32 list_of(const u64 *uuid) const {
    const u64 mixed = ((uuid[0] ^ host_.hash_seed) * 0x9e3779b97f4a7c15 ^ uuid[1]) * 0xd1b54a32d192ed03;
    return static_cast<u32>(mixed >> 40) & ((1u << kSharedListBits) - 1);
  }
  void apply_limit();
  void flush_pool(Pool &pool);
  u64 flush_object_counted(Pool &pool, const Oid &oid, Breathe breathe);
  u64 flush_range_counted(Pool &pool, const Oid &oid, Index first, Index last, Breathe breathe);
  void free_words(const TakenPages &taken, Pool &pool);
  u64 free_leaf_with_words(Leaf *leaf, Pool &pool, Breathe breathe);
  // What a client may have, as its owner said last.
  struct Share {
    u32 weight = TMEM_WEIGHT_DEFAULT;
    u64 limit_frames = TMEM_NO_LIMIT;
    u64 version = 0;
  };
  void configure(u32 client, u32 weight, u64 limit_frames);
  // Of a same-filled page that is counted already: see uncharged.h.
  bool may_keep_in_index_alone(Pool &pool) const {
    return !(limited_clients_.load_relaxed() >> pool.client() & 1) ||
           pool.uncharged.may_stay(limit_term_.load_relaxed(), host_.cpu_count,
                                   [&] { return pool.counters.sum(Counter::level_same_filled); });
  }
  void free_word(Word word, Pool &pool);
  Outcome put_same_filled(Pool &pool, const Oid &oid, Index index, u64 value);
  Outcome fail_put_of(Word word, Pool &pool, const Oid &oid, Index index);
  Outcome fail_put(Pool &pool, const Oid &oid, Index index, Outcome outcome);
  Outcome serve_same_filled(Pool &pool, u64 value, void *page);
  Outcome drop_corrupt(Pool &pool, const Oid &oid, Index index, Pampd pampd);
  bool keeps_in_compressed_store() const;
  u64 table_bytes(u64 store_bytes) const;

  const tmem_host_ops &host_;
  const tmem_pam_ops *pam_ops_ = nullptr;  // set once, before the first client
  void *pam_ = nullptr;
  PoolTable pools_;  // grows under control_lock_
  PageIndex index_;
  Atomic<u64> tunables_[TMEM_TUNABLES_COUNT];
  const Counters all_;  // over all pools ever made: each counts here too
  Atomic<u64> bad_arguments_;
  Atomic<u64> going_away_;
  Atomic<u32> limited_clients_;  // a bit for the number of each client that has a limit
  static_assert(TMEM_CLIENTS_MAX <= 32);
  Atomic<u32> limit_term_;  // grows when a client gets a limit; written under control_lock_

  Lock<Rank::kControl> control_lock_;
  Client *clients_[TMEM_CLIENTS_MAX] TMEM_GUARDED_BY(control_lock_) = {};
  Share shares_[TMEM_CLIENTS_MAX] TMEM_GUARDED_BY(control_lock_);
  // Pools whose pages are accounted to each number, until the last page is freed: a shared pool may outlive who made it.
  u32 accounted_pools_[TMEM_CLIENTS_MAX] TMEM_GUARDED_BY(control_lock_) = {};
  Pool *idle_pools_ TMEM_GUARDED_BY(control_lock_) = nullptr;
  // By uuid, so that who joins looks at few: there may be as many as clients and pools of each, 16384.
  static constexpr u32 kSharedListBits = 8;
  List<Pool, &Pool::in_shared> shared_pools_[1u << kSharedListBits] TMEM_GUARDED_BY(control_lock_);
  u32 next_serial_ TMEM_GUARDED_BY(control_lock_) = 0;
  Atomic<u32> open_pools_, live_clients_;  // written under control_lock_
  Atomic<Pool *> all_pools_;  // all in pools_; grows at its head under control_lock_; read without
};

}  // namespace tmem

// What C calls a host and a client.
struct tmem_host : tmem::Engine {
  using Engine::Engine;
};
struct tmem_client : tmem::Client {
  using Client::Client;
};

#endif
