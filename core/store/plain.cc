// SPDX-License-Identifier: GPL-2.0
// The plain store: one page frame for each page, nothing compressed. It is for
// tests and the simplest complete PAM to read: a budget, a list in order of
// arrival for eviction, a count of references.
#include "../engine/engine.h"
#include "budget.h"
#include "plain_page.h"
#include "stores.h"

namespace tmem {

class PlainStore {
 public:
  explicit PlainStore(Engine &engine) : engine_(engine), host_(engine.host()) { lock_.init(); }
  ~PlainStore() { lock_.destroy(); }

  Result<Pampd> create(const tmem_pam_page &page) {
    const Result<PlainPage *> obtained = obtain(page.client, page.persistent);
    if (!obtained.ok()) return obtained.outcome();
    PlainPage *plain = obtained.value();
    __builtin_memcpy(plain->frame, page.data, kPageBytes);
    plain->back_reference = page.back_reference;
    plain->client = page.client;
    plain->persistent = page.persistent;
    Guard guard(lock_);
    enlist(*plain);
    entries_++;
    entries_stored_++;
    return Pampd{reinterpret_cast<uptr>(plain)};
  }

  void hold(Pampd pampd) {
    Guard guard(lock_);
    page_of(pampd)->references++;
  }

  void get_data(Pampd pampd, void *page) {
    __builtin_memcpy(page, page_of(pampd)->frame, kPageBytes);
  }

  // One reference less: a holder's, or the index's.
  void free(Pampd pampd) {
    PlainPage *plain = page_of(pampd);
    {
      Guard guard(lock_);
      if (--plain->references) return;
      if (plain->listed) delist(*plain);
      budget_.uncharge(plain->client);
      entries_--;
    }
    give_back(plain);
  }

  u64 shrink(u64 frames) { return evict_frames(frames, Outcome::kNoMemory); }

  u64 evict_frames(u64 frames, Outcome reason) {
    u64 freed = 0;
    for (u32 failures = 0; freed < frames && failures < kFailuresMax;) {
      bool nothing_left = false;
      if (evict(reason, 0, &nothing_left))
        freed++;
      else if (nothing_left)
        break;
      else
        failures++;
    }
    return freed;
  }

  void set_limit(u64 frames) {
    for (;;) {
      const u64 excess = budget_.set_limit(frames);
      if (excess == 0 || evict_frames(min(excess, kFramesPerBatch), Outcome::kRefusedBudget) == 0)
        return;
      host_.breathe();
    }
  }

  void set_client(u32 client, u32 weight, u64 limit_frames) {
    if (client >= TMEM_CLIENTS_MAX) return;
    const auto &account = budget_.accounts[client];
    budget_.accounts[client].weight.store_relaxed(weight);
    static_cast<void>(budget_.set_limit_of(client, limit_frames));
    for (u32 failures = 0; failures < kFailuresMax;) {
      if (account.frames.load_relaxed() <= account.limit.load_relaxed()) return;
      bool nothing_left = false;
      if (!evict(Outcome::kRefusedLimit, client, &nothing_left)) {
        if (nothing_left) return;
        failures++;
      }
      host_.breathe();
    }
  }

  void usage(tmem_usage &usage) {
    Guard guard(lock_);
    usage.frames = budget_.frames.load_relaxed();
    usage.frames_limit = budget_.limit.load_relaxed();
    usage.frames_ephemeral = budget_.ephemeral_frames();
    usage.frames_evicted = frames_evicted_;
    usage.frames_from_reserves = frames_from_reserves_;
    usage.entries = entries_;
    usage.entries_raw = entries_;
    usage.entries_stored_raw = entries_stored_;
    usage.bytes_stored = entries_ * kPageBytes;
    usage.metadata_bytes = entries_ * sizeof(PlainPage);
    usage.store_bytes = sizeof(PlainStore);
  }

  void client_usage(u32 client, tmem_client_usage &usage) const { budget_.report(client, usage); }
  u64 ephemeral_frames() const { return budget_.ephemeral_frames(); }

  int validate() {
    Guard guard(lock_);
    u64 frames = 0;
    for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client) {
      u64 account_frames = 0;
      for (const auto &order : order_[client]) {
        for (const PlainPage *plain = order.front(); plain; plain = order.after(*plain)) {
          account_frames++;
          if (plain->references != 1) return 202;
          if (!engine_.resolves(BackReference{plain->back_reference},
                                Pampd{reinterpret_cast<uptr>(plain)}))
            return 203;
        }
      }
      if (account_frames != budget_.accounts[client].frames.load_relaxed()) return 201;
      frames += account_frames;
    }
    return frames == budget_.frames.load_relaxed() && frames == entries_ ? 0 : 204;
  }

  const tmem_host_ops &host() const { return host_; }

 private:
  static constexpr u32 kFailuresMax = 16;
  static constexpr u64 kFramesPerBatch = 64;

  static PlainPage *page_of(Pampd pampd) { return reinterpret_cast<PlainPage *>(pampd.value); }

  Result<PlainPage *> obtain(u32 client, bool persistent) {
    Outcome verdict = Outcome::kNoMemory;
    for (u32 attempt = 0; attempt < kFailuresMax; ++attempt) {
      {
        Guard guard(lock_);
        verdict = budget_.charge(client);
      }
      if (verdict == Outcome::kDone) {
        if (PlainPage *plain = allocate(0)) return plain;
        Guard guard(lock_);
        budget_.uncharge(client);
        verdict = Outcome::kNoMemory;
      }
      bool nothing_left = false;
      static_cast<void>(evict(verdict, client, &nothing_left));
      if (nothing_left) break;
    }
    if (verdict != Outcome::kNoMemory || !persistent) return verdict;
    // The reclaim reserves come last.
    {
      Guard guard(lock_);
      verdict = budget_.charge(client);
    }
    if (verdict != Outcome::kDone) return verdict;
    PlainPage *plain = allocate(TMEM_ALLOC_RESERVES);
    Guard guard(lock_);
    frames_from_reserves_ += plain != nullptr;
    if (plain) return plain;
    budget_.uncharge(client);
    return Outcome::kNoMemory;
  }

  void count_evicted(u32 client) TMEM_REQUIRES(lock_) {
    frames_evicted_++;
    budget_.accounts[client].frames_evicted.add(1);
    budget_.accounts[client].pages_evicted.add(1);
  }

  // Ephemeral frames are those in order: so whose has any has a first one.
  void enlist(PlainPage &plain) TMEM_REQUIRES(lock_) {
    order_[plain.client][plain.persistent].push_back(plain);
    if (!plain.persistent) budget_.add_ephemeral(plain.client);
  }
  void delist(PlainPage &plain) TMEM_REQUIRES(lock_) {
    order_[plain.client][plain.persistent].remove(plain);
    if (!plain.persistent) budget_.remove_ephemeral(plain.client);
  }

  PlainPage *allocate(u32 flags) {
    void *memory = host_.object_alloc(TMEM_KIND_PLAIN_PAGE, flags);
    if (!memory) return nullptr;
    PlainPage *plain = new (Placement{memory}) PlainPage;
    plain->frame = host_.frame_alloc(flags);
    if (plain->frame) return plain;
    host_.object_free(TMEM_KIND_PLAIN_PAGE, plain);
    return nullptr;
  }

  void give_back(PlainPage *plain) {
    host_.frame_free(plain->frame);
    host_.object_free(TMEM_KIND_PLAIN_PAGE, plain);
  }

  // Takes the oldest page that pays for @reason out of the index and frees it.
  bool evict(Outcome reason, u32 client, bool *nothing_left) {
    PlainPage *plain;
    {
      Guard guard(lock_);
      const u32 payer = budget_.payer(reason, client);
      if (payer == TMEM_CLIENTS_MAX) {
        *nothing_left = true;
        return false;
      }
      plain = order_[payer][0].front();
      delist(*plain);
      plain->listed = false;
      plain->references++;  // ours, so that its pampd is not handed out again meanwhile
    }
    const Pampd pampd{reinterpret_cast<uptr>(plain)};
    const bool taken = engine_.evict(BackReference{plain->back_reference}, pampd);
    {
      Guard guard(lock_);
      if (taken)
        count_evicted(plain->client);
      else {
        plain->listed = true;
        enlist(*plain);
      }
    }
    if (taken) {
      host_.evicted(plain->client, to_abi(reason), 1);
      free(pampd);  // the index's reference
    }
    free(pampd);  // ours
    return taken;
  }

  Engine &engine_;
  const tmem_host_ops &host_;
  Lock<Rank::kStore> lock_;
  Budget<1> budget_;
  List<PlainPage, &PlainPage::in_order> order_[TMEM_CLIENTS_MAX][2] TMEM_GUARDED_BY(lock_);
  u64 entries_ TMEM_GUARDED_BY(lock_) = 0;
  u64 frames_evicted_ TMEM_GUARDED_BY(lock_) = 0;
  u64 entries_stored_ TMEM_GUARDED_BY(lock_) = 0;
  u64 frames_from_reserves_ TMEM_GUARDED_BY(lock_) = 0;
};

namespace plain_pam {

static PlainStore &store_of(void *pam) { return *static_cast<PlainStore *>(pam); }

static int start(tmem_host *host, void **pam) {
  void *memory = host->host().table_alloc(sizeof(PlainStore));
  if (!memory) return TMEM_NO_MEMORY;
  *pam = new (Placement{memory}) PlainStore(*host);
  return TMEM_OK;
}

static void stop(void *pam) {
  PlainStore &store = store_of(pam);
  const tmem_host_ops &host = store.host();
  store.~PlainStore();
  host.table_free(pam, sizeof(PlainStore));
}

static int create(void *pam, const tmem_pam_page *page, unsigned long long *pampd) {
  const Result<Pampd> created = store_of(pam).create(*page);
  if (created.ok()) *pampd = created.value().value;
  return to_abi(created.outcome());
}
static void hold(void *pam, unsigned long long pampd) { store_of(pam).hold(Pampd{pampd}); }
static int get_data(void *pam, unsigned long long pampd, void *data) {
  store_of(pam).get_data(Pampd{pampd}, data);
  return TMEM_OK;
}
static void release(void *pam, unsigned long long pampd) { store_of(pam).free(Pampd{pampd}); }
static void free(void *pam, unsigned long long pampd) { store_of(pam).free(Pampd{pampd}); }
// It knows no nodes.
static unsigned long long shrink(void *pam, unsigned long long frames, unsigned int) {
  return store_of(pam).shrink(frames);
}
// A page has a frame of its own: there are no holes.
static unsigned long long compact(void *, unsigned long long, unsigned int) { return 0; }
static void offer(void *pam, unsigned int, tmem_offer *offer) { offer->frames_ephemeral += store_of(pam).ephemeral_frames(); }
static void set_limit(void *pam, unsigned long long frames) { store_of(pam).set_limit(frames); }
static void set_client(void *pam, unsigned int client, unsigned int weight,
                       unsigned long long limit_frames) {
  store_of(pam).set_client(client, weight, limit_frames);
}
static void usage(void *pam, tmem_usage *usage) { store_of(pam).usage(*usage); }
static void client_usage(void *pam, unsigned int client, tmem_client_usage *usage) {
  store_of(pam).client_usage(client, *usage);
}

static constexpr tmem_pam_ops kOps = {sizeof(tmem_pam_ops), 0,    start,  stop,    create,
                                      hold,                 release, get_data, free, shrink,
                                      compact,              set_limit, set_client, usage, client_usage, offer};

}  // namespace plain_pam

int validate_plain_store(void *pam) { return plain_pam::store_of(pam).validate(); }

}  // namespace tmem

const tmem_pam_ops *tmem_plain_pam(void) { return &tmem::plain_pam::kOps; }
