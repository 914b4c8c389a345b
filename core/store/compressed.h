// SPDX-License-Identifier: GPL-2.0
// The compressed store: the PAM that tmem is for.
//
// Pages are compressed one by one and packed into runs (run.h). Runs with free
// space lie in bins by how much they have; a new entry goes to the fullest run
// that surely takes it, so runs fill up and holes are used again. Each client
// and kind has its own bins. A put touches its run, so ephemeral runs are
// ordered by when they were last filled, and eviction takes them whole from
// the other end: all entries of a run are taken out of the index by their back
// references, and its four frames are used again at once or given back.
//
// What it costs: 16 bytes of header an entry, a descriptor of 384 bytes a run,
// rounding up to 16 bytes. What limits it: one lock for all (held over a few
// list operations, at worst over packing 16 KiB), and 64 entries to a run.
//
// Compressing, checking and decompressing are done with no lock held. The run
// is pinned meanwhile, and the entry kept by the caller's reference.
#ifndef TMEM_CORE_STORE_COMPRESSED_H
#define TMEM_CORE_STORE_COMPRESSED_H

#include "../engine/engine.h"
#include "budget.h"
#include "run.h"

namespace tmem {

class CompressedStore {
 public:
  explicit CompressedStore(Engine &engine) : engine_(engine), host_(engine.host()) { lock_.init(); }
  ~CompressedStore() { lock_.destroy(); }

  Result<Pampd> create(const tmem_pam_page &page);
  void hold(Pampd pampd);
  Outcome get_data(Pampd pampd, void *page);
  void free(Pampd pampd);

  u64 shrink(u64 frames);
  void set_limit(u64 frames);
  void set_client(u32 client, u32 weight, u64 limit_frames);
  void usage(tmem_usage &usage);

  const tmem_host_ops &host() const { return host_; }
  int validate();
  void corrupt_next(u64 count) { corrupt_next_.store_relaxed(count); }

 private:
  using RunBudget = Budget<Run, &Run::in_account, kFramesPerRun>;
  using Bin = List<Run, &Run::in_bin>;

  // Bin i holds runs with at least i * 16 free units; a run that can take
  // nothing more (no slot, or under 16 free units) is in none.
  static constexpr u32 kBins = 64;
  static constexpr u32 kUnitsPerBin = kUnitsPerRun / kBins;
  struct Bins {
    Bin bin[kBins];
    u64 filled = 0;  // a bit for each bin that is not empty
  };

  struct Place {
    Run *run;
    u32 slot;
  };
  struct Encoded {
    const void *data;
    EntryFormat format;
  };
  struct Request {
    u32 client;
    bool persistent;
    EntryFormat format;
    EntryHeader header;
  };

  static Pampd pampd_of(const Run &run, u32 slot) {
    return Pampd{reinterpret_cast<uptr>(&run) | slot};
  }
  static Place place_of(Pampd pampd) {
    const uptr bits = static_cast<uptr>(pampd.value);
    return {reinterpret_cast<Run *>(bits & ~uptr{kSlotsPerRun - 1}),
            static_cast<u32>(bits & (kSlotsPerRun - 1))};
  }

  // The page as it will be stored: in @buffers, or the page itself.
  Result<Encoded> encode(const tmem_pam_page &page, const tmem_codec_buffers &buffers) const;
  // Room for an entry: a slot with its header written, in a pinned run.
  Result<Place> reserve(const Request &request);
  bool place_locked(const Request &request, Place &place) TMEM_REQUIRES(lock_);
  Place place_in(Run &run, const Request &request) TMEM_REQUIRES(lock_);

  // A run for this client, charged to it: new frames, or an evicted run's.
  Result<Run *> obtain_run(const Request &request);
  Result<Run *> charge_and_allocate(u32 client, u32 flags);
  Run *allocate_run(u32 flags);
  void free_run(Run *run);
  // Empties the run that pays for @reason. It is then nobody's, and charged to nobody.
  Run *evict_run(Outcome reason, u32 client, bool *nothing_left);
  void adopt(Run &run, u32 client, bool persistent) TMEM_REQUIRES(lock_);

  void release_entry_locked(Run &run, u32 slot) TMEM_REQUIRES(lock_);
  void into_bin(Run &run) TMEM_REQUIRES(lock_);
  void out_of_bin(Run &run) TMEM_REQUIRES(lock_);
  Bins &bins_of(const Run &run) TMEM_REQUIRES(lock_) { return bins_[run.client][run.persistent]; }

  void corrupt_if_asked(Run &run, u32 slot);

  Engine &engine_;
  const tmem_host_ops &host_;
  Atomic<u64> corrupt_next_;
  Atomic<u64> checksum_errors_;
  Atomic<u64> decoder_errors_;

  Lock<Rank::kStore> lock_;
  RunBudget budget_ TMEM_GUARDED_BY(lock_);
  Bins bins_[TMEM_CLIENTS_MAX][2] TMEM_GUARDED_BY(lock_);
  u64 entries_ TMEM_GUARDED_BY(lock_) = 0;
  u64 entries_raw_ TMEM_GUARDED_BY(lock_) = 0;
  u64 bytes_stored_ TMEM_GUARDED_BY(lock_) = 0;
  u64 runs_ TMEM_GUARDED_BY(lock_) = 0;
  u64 evictions_under_way_ TMEM_GUARDED_BY(lock_) = 0;
  u64 frames_evicted_ TMEM_GUARDED_BY(lock_) = 0;
  u64 compactions_ TMEM_GUARDED_BY(lock_) = 0;
};

}  // namespace tmem

#endif
