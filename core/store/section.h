// SPDX-License-Identifier: GPL-2.0
// A section of the compressed store: the runs that one CPU fills, or one in so many.
//
//     CPU 0              CPU 1                  what all share
//   ┌───────────────┐  ┌───────────────┐      ┌─────────────────────────────────┐
//   │ lock          │  │ lock          │      │ lock                            │
//   │ bins of runs  │  │ bins of runs  │ ───► │ budget: what each client holds, │
//   │ counts        │  │ counts        │      │ and its runs, oldest first      │
//   └───────────────┘  └───────────────┘      └─────────────────────────────────┘
//
// So CPUs that put at one time fill different runs, under different locks, and
// meet at the budget only when a run comes or goes, once in some twenty pages.
// A run stays with its section until it is empty; who frees a page takes the
// lock of that section, wherever he runs.
//
// Bins hold runs with free space by how much they have, for each client and
// kind; a new entry goes to the fullest run that surely takes it, so runs fill
// up and holes are used again. Bin i holds runs with at least i * 32 free units,
// 256 bytes; a run that can take nothing more (no slot, or less than that) is in none.
#ifndef TMEM_CORE_STORE_SECTION_H
#define TMEM_CORE_STORE_SECTION_H

#include "../base/list.h"
#include "../base/lock.h"
#include "run.h"

namespace tmem {

class alignas(64) Section {
 public:
  static constexpr u32 kMost = Run::kSectionsMost;

  struct Request {
    u32 client;
    bool persistent;
    u32 back_reference;
    EntryFormat format;
    bool moved = false;  // it is no younger for that
  };
  struct Place {
    Run *run;
    u32 slot;
    bool touch = false;  // the run is not the one that was filled last: it is young again
  };
  struct Counts {
    u64 runs = 0;
    u64 entries = 0;
    u64 entries_raw = 0;
    u64 entries_stored_raw = 0;  // ever
    u64 bytes_stored = 0;
    u64 checksum_bytes = 0;
    u64 packings = 0;
    u64 entries_moved = 0;
    u64 refused_unseen = 0;
  };

  void init(u32 number) {
    lock.init();
    number_ = number;
  }
  void destroy() { lock.destroy(); }

  Lock<Rank::kStore> lock;
  Counts counts TMEM_GUARDED_BY(lock);

  // Room for an entry in the fullest run that surely has it: a slot with its directory
  // entry written, in a run pinned for the caller. *@passed_by: there is room where somebody copies just now.
  Maybe<Place> place(const Request &request, bool *passed_by = nullptr) TMEM_REQUIRES(lock);
  Place place_in(Run &run, const Request &request) TMEM_REQUIRES(lock);
  // The index no longer refers to the entry; what can be is made free. Nobody needs the run any more if it is empty then.
  void drop(Run &run, u32 slot) TMEM_REQUIRES(lock);
  // The last pin is gone: so are the entries that were dropped meanwhile.
  void reap(Run &run) TMEM_REQUIRES(lock);

  // A run with nothing in it comes, or goes.
  void add(Run &run, u32 client, bool persistent) TMEM_REQUIRES(lock);
  void remove(Run &run) TMEM_REQUIRES(lock);
  // Nobody else empties it and nothing new is placed there, and no pampd in it can come to
  // mean another page; and the end of that.
  void set_out(Run &run) TMEM_REQUIRES(lock);
  void set_back(Run &run) TMEM_REQUIRES(lock);

  // The emptiest run, if the holes of the others take what it has and nobody copies into it; not the one
  // that is being filled with ephemeral pages, which would then make them old.
  Run *sparse(u32 client, bool persistent) TMEM_REQUIRES(lock);
  // While runs are compacted they take no page: a put that finds no room wants them back, and that ends every
  // compaction under way, each by itself: it has begun before so many puts had asked. ask_for_room says whether any is.
  u64 begin_compaction(u32 client, bool persistent) TMEM_REQUIRES(lock) {
    Bins &bins = bins_[client][persistent];
    bins.compacting++;
    return bins.asked;
  }
  bool ask_for_room(u32 client, bool persistent) TMEM_REQUIRES(lock) {
    Bins &bins = bins_[client][persistent];
    bins.asked += bins.compacting != 0;
    return bins.compacting != 0;
  }
  bool is_wanted(u32 client, bool persistent, u64 asked_before) const TMEM_REQUIRES(lock) {
    return bins_[client][persistent].asked != asked_before;
  }
  void end_compaction(u32 client, bool persistent) TMEM_REQUIRES(lock) { bins_[client][persistent].compacting--; }
  // A compaction has found no room; it need not be tried again until an entry has gone or a run has come. What others
  // have out of the bins may come back with room, so with any of that it is not known, and false is answered.
  bool set_stuck(u32 client, bool persistent) TMEM_REQUIRES(lock);
  // Frames that compaction would free, about, if holes are worth the copying.
  u64 compactable(u32 client, bool persistent) TMEM_REQUIRES(lock);

  // What the runs in the bins have free; about right without the lock.
  u64 hole_bytes(u32 client, bool persistent) const TMEM_UNCHECKED {
    return bins_[client][persistent].free_units.load_relaxed() * kUnitBytes;
  }

  // The free units behind the entry that was placed last, where the next one may well go; 0: not known. Nobody
  // follows it: it is read without the lock, and the frame may be anybody's by then.
  uptr free_from(u32 client, bool persistent) const TMEM_UNCHECKED { return bins_[client][persistent].free_from.load_relaxed(); }

  // 0, or the number of an invariant that is broken. Nothing else is running.
  int validate_bin_of(const Run &run) const TMEM_REQUIRES(lock);
  int validate_bins(u32 client, bool persistent, u64 runs_in_bins, u64 free_units) const TMEM_REQUIRES(lock);

 private:
  using Bin = List<Run, &Run::in_bin>;
  static constexpr u32 kBins = 128;
  static constexpr u32 kUnitsPerBin = kUnitsPerRun / kBins;
  struct Bins {
    Bin bin[kBins];
    u64 filled[kBins / 64] = {};  // a bit for each bin that is not empty
    Atomic<u64> free_units;       // of all runs in the bins; written under the lock
    u64 runs = 0;
    Run *filled_last = nullptr;
    u32 put_since = 0;  // pages, since a run was made young
    Atomic<uptr> free_from;
    bool stuck = false;  // compaction found no room, and no entry has gone since, nor a run come
    u32 compacting = 0;
    u32 out = 0;    // runs that somebody empties
    u64 asked = 0;  // puts that wanted the room of a run that is compacted, ever
  };

  // 0: none.
  static u32 bin_for(const Run &run) {
    return run.full_directory() ? 0 : min(run.free_units / kUnitsPerBin, kBins - 1);
  }
  Bins &bins_of(const Run &run) TMEM_REQUIRES(lock) { return bins_[run.client][run.persistent]; }
  void into_bin(Run &run) TMEM_REQUIRES(lock);
  void out_of_bin(Run &run, u32 free_units) TMEM_REQUIRES(lock);
  // It had @free_units_before when it came into its bin.
  void change_bin(Run &run, u32 free_units_before) TMEM_REQUIRES(lock);
  void release(Run &run, u32 slot) TMEM_REQUIRES(lock);

  Bins bins_[TMEM_CLIENTS_MAX][2] TMEM_GUARDED_BY(lock);
  u32 number_ = 0;
};

}  // namespace tmem

#endif
