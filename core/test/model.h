// SPDX-License-Identifier: GPL-2.0
// A plain reference beside the engine: random operations on both, and after
// every one the two must agree and all invariants hold.
//
// The reference of a pool is a map from handle to what was put there last. An
// ephemeral page may vanish, so a miss is never wrong there, but it is
// remembered: the page must not come back. A persistent page must be there.
// What a hit returns is compared byte for byte, in every pool. Now and then, and
// whenever entries have been moved together, every page is read that can be
// read without taking it away.
//
// Clients with weights and limits come and go, share pools by uuid and leave
// them. While the budget has room, nobody's pages go for another one's put; and
// no put is stored that takes a client's persistent pages above its limit.
//
// Where the operations come from is open: a seed (model_test.cc) or the bytes
// of a fuzzer (core/fuzz/). So is when allocations fail.
#ifndef TMEM_CORE_TEST_MODEL_H
#define TMEM_CORE_TEST_MODEL_H

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../../kunit/scenarios/scenarios.h"

namespace tmem_test {

using u64 = unsigned long long;

// Where a test takes its decisions from.
class Choices {
 public:
  virtual ~Choices() = default;
  // Below @bound, which is not 0.
  virtual unsigned int below(unsigned int bound) = 0;
  // No more to be had; below() answers 0 then.
  virtual bool exhausted() const { return false; }
};

class SeededChoices final : public Choices {
 public:
  explicit SeededChoices(u64 seed) : state_(scenario_hash(seed)) {}
  unsigned int below(unsigned int bound) override { return scenario_below(&state_, bound); }

 private:
  u64 state_;
};

// What a run has met; each configuration of model_test.cc asks for a share of what it is for.
struct Reached {
  u64 steps = 0;
  u64 puts_when_full = 0;            // the budget had no room for one more run
  u64 puts_evicting = 0;             // pages went for them
  u64 shrinks = 0, compactions = 0;  // that gave frames back
  tmem_stats pages = {};
  tmem_usage store = {};
};

struct ModelOptions {
  bool plain = false;              // the plain PAM instead of the compressed store
  u64 memory_frames = 320;         // a fifth of it is the budget
  unsigned int flavours = 0xf;     // a bit for each of pool_flavours
  bool corrupt = false;            // flip bits in stored copies
  bool failures = false;           // let allocations fail, now and then
  bool tunables = false;           // turn every knob
  bool clients = false;            // several clients, with weights and limits, that come and go
  bool narrow = false;             // few handles: many duplicates
  bool filling = false;            // pools and objects stay, so that what is put fills the budget
  bool cpus = false;               // it runs now on this CPU, now on that, and the store has a section for each
};

class Model {
 public:
  Model(const ModelOptions &options, Choices &choices);
  ~Model();
  Model(const Model &) = delete;
  Model &operator=(const Model &) = delete;

  // One random operation and all checks. False if anything was wrong, now or before.
  bool step();
  // Takes everything apart, with the last checks.
  bool finish();
  bool good() const { return wrong_.empty(); }
  // What was wrong, and the operations that led there.
  std::string report() const;
  unsigned int steps() const { return steps_; }
  // Complete after finish().
  const Reached &reached() const { return reached_; }

 private:
  struct Key {
    unsigned int oid, index;
    auto operator<=>(const Key &) const = default;
  };
  struct Page {
    u64 tag;
    unsigned int kind;
    bool corrupt;
    u64 bytes;  // as stored, at least
  };
  struct Pool {
    unsigned int flags;
    std::array<u64, 2> uuid;
    unsigned int sharers = 0;
    unsigned int owner = 0;  // serial of the client that made it: its pages are accounted to that one
    std::map<Key, Page> pages;
    tmem_stats seen = {};  // what the answers said, counter by counter
    bool persistent() const { return flags & TMEM_POOL_PERSISTENT; }
    bool shared() const { return flags & TMEM_POOL_SHARED; }
  };
  struct Client {
    tmem_client *client = nullptr;
    unsigned int serial = 0;  // no two ever had the same
    u64 limit = TMEM_NO_LIMIT;
    u64 limit_max = 0;  // ever: what was held under another limit may stay
  };
  struct Name {
    unsigned int client;  // in clients_
    int id;
    std::shared_ptr<Pool> pool;
  };

  void put();
  void get();
  void get_page(const Name &name, const Key &key);
  void read_everything();
  void flush_page();
  void flush_range();
  void flush_object();
  void shrink();
  void compact();
  void set_tunable();
  void make_pool();
  void destroy_pool();
  void change_clients();
  void use_bad_id();
  void compare_statistics();

  void make_client(unsigned int slot);
  Name *any_name();
  Key any_key();
  Key any_key_of(const Pool &pool);
  void expect(bool condition, const char *what);
  void note(std::string text);
  const Client *owner_of(const Pool &pool) const;
  void check_limit(const Pool &pool);
  // A limit is the pool's client's, and it has had what is free of charge.
  bool must_charge(const Name &name) const;
  void note_evictions();
  void check_evictions_for(const Pool &pool);
  bool memory_failed() const { return injector.failures > failures_before_; }

  const ModelOptions options_;
  Choices &choices_;
  scenario_env env_ = {};
  tmem_host *host_ = nullptr;
  std::array<Client, 3> clients_;
  std::vector<Name> names_;
  std::deque<Name> dead_;  // the pool is gone, the client is not
  Reached reached_;
  unsigned int puts_in_100_ = 0;  // steps, for a while: now the budget fills, now it empties
  tmem_stats past_ = {};   // sum of what all pools have seen, past ones included
  std::map<const Pool *, u64> evicted_before_;  // pages, by pool, before a put
  u64 all_evicted_before_ = 0;                  // pages, of all pools
  u64 unseen_before_ = 0;                       // puts that were refused unseen
  u64 room_before_ = 0;                         // frames left in the budget
  u64 tunables_[TMEM_TUNABLES_COUNT];
  u64 next_tag_ = 1;
  u64 bad_arguments_ = 0;
  long long failures_before_ = 0;
  unsigned int steps_ = 0;
  unsigned int client_names_ = 0;
  std::deque<std::string> log_;
  std::string wrong_;
  alignas(8) unsigned char page_[TMEM_PAGE_BYTES];
  alignas(8) unsigned char copy_[TMEM_PAGE_BYTES];
};

}  // namespace tmem_test

#endif
