// SPDX-License-Identifier: GPL-2.0
// The compressed store: the PAM that tmem is for.
//
// Pages are compressed one by one and packed into runs (run.h). Runs with free
// space lie in bins by how much they have; a new entry goes to the fullest run
// that surely takes it, so runs fill up and holes are used again. Each client
// and kind has its own bins. A put touches its run, so ephemeral runs are
// ordered by when they were last filled, and eviction takes them whole from
// the other end: all entries of a run are taken out of the index by their back
// references, and its eight frames are used again at once or given back.
//
// Compaction (compaction.cc) empties runs without losing a page: it copies the
// entries of the emptiest run into holes of others and has the index point
// there, one entry at a time.
//
// What it costs: 8 bytes of directory an entry, 4 for its checksum, rounding up
// to 8, and a descriptor of 112 bytes a run of about twenty. What limits it: one
// lock for all, taken once to put and once to free a page, held over a few list
// operations, at worst over packing 32 KiB.
//
// Compressing, checking and decompressing are done with no lock held. The run
// is pinned meanwhile, and reading a page that stays takes no lock at all.
#ifndef TMEM_CORE_STORE_COMPRESSED_H
#define TMEM_CORE_STORE_COMPRESSED_H

#include "../base/packed.h"
#include "../engine/engine.h"
#include "budget.h"
#include "run.h"

namespace tmem {

class CompressedStore {
 public:
  explicit CompressedStore(Engine &engine) : engine_(engine), host_(engine.host()) { lock_.init(); }
  ~CompressedStore() { lock_.destroy(); }

  Result<Pampd> create(const tmem_pam_page &page);
  void hold(Pampd pampd) { pin(*place_of(pampd).run); }
  void release(Pampd pampd) { unpin(*place_of(pampd).run); }
  Outcome get_data(Pampd pampd, void *page);
  void free(Pampd pampd);

  u64 shrink(u64 frames);
  u64 compact(u64 frames);
  u64 compactable();
  void set_limit(u64 frames);
  void set_client(u32 client, u32 weight, u64 limit_frames);
  void usage(tmem_usage &usage);
  void client_usage(u32 client, tmem_client_usage &usage);

  const tmem_host_ops &host() const { return host_; }
  int validate();
  void corrupt_next(u64 count) { corrupt_next_.store_relaxed(count); }

 private:
  using RunBudget = Budget<Run, &Run::in_account, kFramesPerRun>;
  using Bin = List<Run, &Run::in_bin>;

  // Bin i holds runs with at least i * 32 free units, 256 bytes; a run that can
  // take nothing more (no slot, or less than that) is in none.
  static constexpr u32 kBins = 128;
  static constexpr u32 kUnitsPerBin = kUnitsPerRun / kBins;
  struct Bins {
    Bin bin[kBins];
    u64 filled[kBins / 64] = {};  // a bit for each bin that is not empty
    u64 free_units = 0;           // of all runs in the bins
    u64 runs = 0;
    bool stuck = false;  // compaction found no room, and no entry has gone since
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
    u32 back_reference;
    EntryFormat format;
    bool moved = false;  // it is no younger for that
  };

  static Pampd pampd_of(const Run &run, u32 slot) { return Pampd{Packed<Run>(run, slot).bits()}; }
  static Place place_of(Pampd pampd) {
    const Packed<Run> packed(pampd.value);
    return {packed.address(), packed.beside()};
  }

  // Pins of a run that cannot go away: the caller owns or holds an entry of it.
  void pin(Run &run);
  void unpin(Run &run);

  // The page as it will be stored: in @buffers, or the page itself.
  Result<Encoded> encode(const tmem_pam_page &page, const tmem_codec_buffers &buffers) const;
  // Room for an entry: a slot with its directory entry written, in a pinned run.
  Result<Place> reserve(const Request &request);
  Maybe<Place> place_locked(const Request &request) TMEM_REQUIRES(lock_);
  Place place_in(Run &run, const Request &request) TMEM_REQUIRES(lock_);
  Outcome read(const Run &run, u32 slot, void *bounce, void *page);

  // A run for this client, charged to it: new frames, or an emptied run's.
  Result<Run *> obtain_run(const Request &request);
  Result<Run *> charge_and_allocate(u32 client, u32 flags);
  Run *recharge(Run *run, u32 client);
  Run *allocate_run(u32 flags);
  void free_run(Run *run);
  void adopt(Run &run, u32 client, bool persistent) TMEM_REQUIRES(lock_);

  // A run on its way out: nobody else empties it and nothing new is placed there,
  // and no pampd in it can come to mean another page.
  void set_out_locked(Run &run) TMEM_REQUIRES(lock_);
  // True: it is empty, nobody's, and charged to nobody. False: its turn comes again.
  bool arrive_locked(Run &run) TMEM_REQUIRES(lock_);
  // Up to kBatch entries of a run on its way, from *@cursor on.
  static constexpr u32 kBatch = 32;
  struct Batch {
    u32 count = 0;
    u16 slots[kBatch];
    u32 back_references[kBatch];
    EntryFormat formats[kBatch];
  };
  void next_batch(const Run &run, u32 *cursor, Batch &batch) TMEM_REQUIRES(lock_);

  // Empties the run that pays for @reason. It is then nobody's, and charged to nobody.
  u64 evict_frames(u64 frames, Outcome reason);
  Run *evict_run(Outcome reason, u32 client, bool *nothing_left);
  // The same without losing a page, if other runs of the client and kind have room.
  // Empties one sparse run into the holes of others. nullptr: there is none, or *@left_over, and
  // something in it could not be moved; the next call takes another.
  Run *compact_run(u32 client, bool persistent, bool *left_over);
  Run *choose_sparse_locked(u32 client, bool persistent) TMEM_REQUIRES(lock_);
  bool move_entry(Run &run, u32 slot, const Request &request);

  // The index no longer refers to the entry. True: its run was emptied by that, and is to be freed.
  [[nodiscard]] bool drop_locked(Run &run, u32 slot) TMEM_REQUIRES(lock_);
  [[nodiscard]] bool reap_locked(Run &run) TMEM_REQUIRES(lock_);
  [[nodiscard]] bool retire_if_empty_locked(Run &run) TMEM_REQUIRES(lock_);
  void release_entry_locked(Run &run, u32 slot) TMEM_REQUIRES(lock_);
  void into_bin(Run &run) TMEM_REQUIRES(lock_);
  void out_of_bin(Run &run) TMEM_REQUIRES(lock_);
  Bins &bins_of(const Run &run) TMEM_REQUIRES(lock_) { return bins_[run.client][run.persistent]; }

  void corrupt_if_asked(Run &run, u32 slot);
  int validate_run(const Run &run) TMEM_REQUIRES(lock_);

  Engine &engine_;
  const tmem_host_ops &host_;
  Atomic<u64> corrupt_next_;
  Atomic<u64> checksum_errors_;
  Atomic<u64> decoder_errors_;
  Atomic<u64> frames_from_reserves_;

  Lock<Rank::kStore> lock_;
  RunBudget budget_ TMEM_GUARDED_BY(lock_);
  Bins bins_[TMEM_CLIENTS_MAX][2] TMEM_GUARDED_BY(lock_);
  u64 entries_ TMEM_GUARDED_BY(lock_) = 0;
  u64 entries_raw_ TMEM_GUARDED_BY(lock_) = 0;
  u64 entries_stored_raw_ TMEM_GUARDED_BY(lock_) = 0;
  u64 bytes_stored_ TMEM_GUARDED_BY(lock_) = 0;
  u64 checksum_bytes_ TMEM_GUARDED_BY(lock_) = 0;
  u64 runs_ TMEM_GUARDED_BY(lock_) = 0;
  u64 on_their_way_ TMEM_GUARDED_BY(lock_) = 0;
  u64 packings_ TMEM_GUARDED_BY(lock_) = 0;
  u64 entries_moved_ TMEM_GUARDED_BY(lock_) = 0;
  u64 frames_compacted_ TMEM_GUARDED_BY(lock_) = 0;
  u64 frames_evicted_ TMEM_GUARDED_BY(lock_) = 0;
  u64 evicted_for_limit_ TMEM_GUARDED_BY(lock_) = 0;
  u64 evicted_for_memory_ TMEM_GUARDED_BY(lock_) = 0;
};

}  // namespace tmem

#endif
