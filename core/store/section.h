// SPDX-License-Identifier: GPL-2.0
// A section of the compressed store: the runs that one CPU fills, or one in so many.
//
//     CPU 0              CPU 1                  what all share
//   ┌──────────────────────┐  ┌──────────────────────┐      ┌─────────────────────────────────┐
//   │ lock                 │  │ lock                 │      │ no lock                         │
//   │ bins of runs         │  │ bins of runs         │ ───► │ budget: what each client holds  │
//   │ runs, oldest first   │  │ runs, oldest first   │      │ clock: runs that have come      │
//   │ counts               │  │ counts               │      │ how many are being emptied      │
//   └──────────────────────┘  └──────────────────────┘      └─────────────────────────────────┘
//
// So CPUs that put at one time fill different runs, under different locks. They
// meet only in the counts of the budget and at the clock, when a run comes or
// goes, once in some twenty pages. A run stays with its section until it is empty; who
// frees a page takes the lock of that section, wherever he runs.
//
// Each run has the time at which it was filled last, and each section says of each client
// how old its oldest is. So whoever looks for the oldest of all compares the sections,
// and takes the lock of one. The clock goes on by one with each run that comes: what is
// filled between two is equally young.
//
// What others ask of a section without its lock, one client's and kind's in one cache
// line: how old, how much free, whether there is surely a run with so much.
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
  };
  // Written under the lock, and read without.
  struct Counts {
    Atomic<u64> runs;
    Atomic<u64> ephemeral_runs;
    Atomic<u64> entries;
    Atomic<u64> entries_raw;
    Atomic<u64> entries_stored_raw;  // ever
    Atomic<u64> bytes_stored;
    Atomic<u64> checksum_bytes;
    Atomic<u64> packings;
    Atomic<u64> entries_moved;
  };
  // What all sections share.
  struct alignas(64) Common {
    Atomic<u32> clock;          // runs that have come
    Atomic<u32> on_their_way;   // runs that somebody empties: raised before one is out of order, lowered when it is back or gone
    Atomic<u64> comings;        // runs that are back or gone, and frames that were given back, ever
  };

  void init(u32 number, u32 node, Common &common) {
    lock.init();
    number_ = number;
    node_ = node;
    common_ = &common;
  }
  void destroy() { lock.destroy(); }
  // The memory node of the CPUs that fill it.
  u32 node() const { return node_; }

  Lock<Rank::kStore> lock;
  Counts counts;
  Atomic<u64> refused_unseen;  // ever; written by any CPU of the section
  Atomic<u32> lender;          // the section whose holes took a page last, that had no room here

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
  // mean another page; and the end of that. @young: its turn to be evicted does not come next.
  void set_out(Run &run) TMEM_REQUIRES(lock);
  void set_back(Run &run, bool young) TMEM_REQUIRES(lock);

  // How old the client's oldest ephemeral run is that nobody empties: kNone, or comparable by is_older(). Needs no lock.
  static constexpr u64 kNone = 0;
  u64 oldest(u32 client) const TMEM_UNCHECKED { return bins_[client][0].oldest.load_acquire(); }
  static bool is_older(u64 a, u64 b) { return static_cast<int>(static_cast<u32>(a) - static_cast<u32>(b)) < 0; }
  // That run, set out. nullptr: there is none, or, unless @turns are up, pages of it were read that stay when they are (shared
  // pools), and it has another turn. The idea is that of the clock, and the kernel's referenced pages.
  Run *set_oldest_out(u32 client, bool turns_are_up) TMEM_REQUIRES(lock);

  // The emptiest run, if the holes of the others take what it has and nobody copies into it; not the one
  // that is being filled with ephemeral pages, which would then make them old.
  Run *sparse(u32 client, bool persistent) TMEM_REQUIRES(lock);
  // While runs are compacted they take no page: a put that finds no room wants them back, and that ends every
  // compaction under way, each by itself: it has begun before so many puts had asked. ask_for_room says whether any is.
  u64 begin_compaction(u32 client, bool persistent) TMEM_REQUIRES(lock) {
    Bins &bins = bins_[client][persistent];
    bins.compacting.add(1);
    return bins.asked;
  }
  bool ask_for_room(u32 client, bool persistent) TMEM_REQUIRES(lock) {
    Bins &bins = bins_[client][persistent];
    const bool compacting = bins.compacting.load_relaxed() != 0;
    bins.asked += compacting;
    return compacting;
  }
  bool is_wanted(u32 client, bool persistent, u64 asked_before) const TMEM_REQUIRES(lock) {
    return bins_[client][persistent].asked != asked_before;
  }
  void end_compaction(u32 client, bool persistent) TMEM_REQUIRES(lock) {
    bins_[client][persistent].compacting.add(~u32{0});
  }
  // A compaction has found no room; it need not be tried again until an entry has gone or a run has come. What others
  // have out of the bins may come back with room, so with any of that it is not known, and false is answered.
  bool set_stuck(u32 client, bool persistent) TMEM_REQUIRES(lock);
  // Whether sparse() is worth the lock.
  bool may_be_compacted(u32 client, bool persistent) const TMEM_UNCHECKED {
    const Bins &bins = bins_[client][persistent];
    return bins.free_units.load_relaxed() >= kUnitsPerRun && !bins.stuck.load_relaxed();
  }
  // Frames that compaction would free, about, if holes are worth the copying. Needs no lock.
  u64 compactable(u32 client, bool persistent) const;

  // What the runs in the bins have free; about right without the lock.
  u64 hole_bytes(u32 client, bool persistent) const TMEM_UNCHECKED {
    return bins_[client][persistent].free_units.load_relaxed() * kUnitBytes;
  }
  // Whether place() would probably find room, or somebody could be asked for some. Needs no lock.
  bool has_place(const Request &request) const TMEM_UNCHECKED {
    const Bins &bins = bins_[request.client][request.persistent];
    const u32 first = first_bin(request);
    for (u32 group = first / 64; group < kBins / 64; ++group) {
      const u64 mask = group == first / 64 ? ~u64{0} << first % 64 : ~u64{0};
      if (bins.filled[group].load_relaxed() & mask) return true;
    }
    return false;
  }
  bool is_compacting(u32 client, bool persistent) const TMEM_UNCHECKED {
    return bins_[client][persistent].compacting.load_relaxed() != 0;
  }

  // The free units behind the entry that was placed last, where the next one may well go; 0: not known. Nobody
  // follows it: it is read without the lock, and the frame may be anybody's by then.
  uptr free_from(u32 client, bool persistent) const TMEM_UNCHECKED { return bins_[client][persistent].free_from.load_relaxed(); }

  // 0, or the number of an invariant that is broken. Nothing else is running.
  int validate_bin_of(const Run &run) const TMEM_REQUIRES(lock);
  int validate_bins(u32 client, bool persistent) const TMEM_REQUIRES(lock);
  const List<Run, &Run::in_order> &in_order(u32 client, bool persistent) const TMEM_REQUIRES(lock) {
    return bins_[client][persistent].order;
  }

 private:
  using Bin = List<Run, &Run::in_bin>;
  static constexpr u32 kBins = 128;
  static constexpr u32 kUnitsPerBin = kUnitsPerRun / kBins;
  struct alignas(64) Bins {
    // Read without the lock; one cache line.
    Atomic<u64> filled[kBins / 64];  // a bit for each bin that is not empty
    Atomic<u64> free_units;          // of all runs in the bins
    Atomic<uptr> free_from;
    Atomic<u64> oldest;              // kNone, or kListed and the age of the first in order
    Atomic<u32> runs;                // in the bins
    Atomic<u32> compacting;
    Atomic<bool> stuck;  // compaction found no room, or no run to empty; no entry has gone since, nor a run come
    // The rest is not.
    Bin bin[kBins];
    List<Run, &Run::in_order> order;  // all its runs
    Run *filled_last = nullptr;
    u32 put_since = 0;  // pages, since a run was made young
    u32 out = 0;        // runs that somebody empties
    u64 asked = 0;      // puts that wanted the room of a run that is compacted, ever
  };
  static constexpr u64 kListed = u64{1} << 32;

  // 0: none.
  static u32 bin_for(const Run &run) {
    return run.full_directory() ? 0 : min(run.free_units / kUnitsPerBin, kBins - 1);
  }
  // The first that surely takes it.
  static u32 first_bin(const Request &request) { return (request.format.units() + kUnitsPerBin) / kUnitsPerBin; }
  Bins &bins_of(const Run &run) TMEM_REQUIRES(lock) { return bins_[run.client][run.persistent]; }
  static Run *first_in_order(const Bins &bins);
  static void note_oldest(Bins &bins);
  void make_young(Run &run) TMEM_REQUIRES(lock);
  void into_bin(Run &run) TMEM_REQUIRES(lock);
  void out_of_bin(Run &run, u32 free_units) TMEM_REQUIRES(lock);
  // It had @free_units_before when it came into its bin.
  void change_bin(Run &run, u32 free_units_before) TMEM_REQUIRES(lock);
  void release(Run &run, u32 slot) TMEM_REQUIRES(lock);

  Bins bins_[TMEM_CLIENTS_MAX][2] TMEM_GUARDED_BY(lock);
  u32 number_ = 0;
  u32 node_ = 0;
  Common *common_ = nullptr;
};

}  // namespace tmem

#endif
