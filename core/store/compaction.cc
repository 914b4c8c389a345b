// SPDX-License-Identifier: GPL-2.0
// Compaction: runs are emptied without losing a page.
//
//   emptiest run           fullest that has room        index
//   ┌─────┬──────┬──┐      ┌───┬──────┬───┬────┐
//   │  A  │ hole │ B│  ──► │   │  A'  │   │    │        A ──► A', then A goes
//   └─────┴──────┴──┘      └───┴──────┴───┴────┘
//
// An entry is copied first and published after, by its back reference and only
// if the index still holds the old pampd; whoever reads the old copy has its
// run pinned, and that entry goes when he has done. So a get meets the page
// here or there, never nowhere, and nobody waits for a move.
//
// While a run is emptied no put finds the room in it. One that finds none at all says
// so, and the compaction ends after the entry that it is at: room for the page that
// is there goes before frames for others. What a put waits for so is bounded by
// how often it tries, since who compacts may be a thread that it has interrupted.
#include "compressed.h"

namespace tmem {

// How many runs are looked at for one that can be emptied.
static constexpr u32 kCandidates = 8;
// How many runs of a client and kind may turn out not to be emptied before it gives up.
static constexpr u32 kFailuresPerCompaction = 16;

// The emptiest run of the client and kind, if the holes of the others take what it has.
Run *CompressedStore::choose_sparse_locked(u32 client, bool persistent) {
  const Bins &bins = bins_[client][persistent];
  if (bins.stuck) return nullptr;
  u32 looked_at = 0;
  for (u32 group = kBins / 64; group-- > 0;)
    for (u64 left = bins.filled[group]; left;) {
      const u32 number = highest_bit(left);
      left &= ~(u64{1} << number);
      const Bin &bin = bins.bin[group * 64 + number];
      for (Run *run = bin.front(); run; run = bin.after(*run)) {
        const u32 used = kUnitsPerRun - run->free_units;
        if (bins.free_units - run->free_units < used || looked_at++ == kCandidates) return nullptr;
        // A pin may be a writer's, and what he has not written must not be copied:
        // he could publish it between the copy and the move. And the run that is
        // being filled would make its pages old.
        if (!run->pins.any() && !run->left_over && (persistent || !budget_.is_youngest(*run, client))) return run;
      }
    }
  return nullptr;
}

// One entry of a run on its way. False: there is no room for it elsewhere, or a put wants the run's.
bool CompressedStore::move_entry(Run &run, u32 slot, const Request &request) {
  Place to;
  u32 from_unit;
  {
    Guard guard(lock_);
    // It may have been freed meanwhile, and may be at any time from here on; its slot
    // is not used again, and nothing else comes to its units.
    if (!run.entry(slot).in_use() || run.entry(slot).is_doomed() || !run.is_sane(slot)) return true;
    from_unit = run.entry(slot).unit;
    if (bins_[request.client][request.persistent].wanted) return false;
    const Maybe<Place> place = place_locked(request);
    if (!place) return false;
    to = *place;
  }
  to.run->copy(to.slot, run, from_unit);
  const bool moved = engine_.move(BackReference{request.back_reference}, pampd_of(run, slot),
                                  pampd_of(*to.run, to.slot));
  {
    // No run is emptied by that: one is on its way, the other has our pin, with
    // which a copy that nobody has seen goes.
    Guard guard(lock_);
    entries_moved_ += moved;
    static_cast<void>(moved ? drop_locked(run, slot) : drop_locked(*to.run, to.slot));
  }
  unpin(*to.run);
  return true;
}

Run *CompressedStore::compact_run(u32 client, bool persistent, NotCompacted *why_not) {
  Run *run;
  u32 cursor = 0;
  Batch batch;
  {
    Guard guard(lock_);
    run = choose_sparse_locked(client, persistent);
    *why_not = NotCompacted::kNone;
    if (!run) return nullptr;
    bins_[client][persistent].compacting++;
    set_out_locked(*run);
    next_batch(*run, &cursor, batch);
  }
  bool room = true;
  for (;;) {
    for (u32 i = 0; i < batch.count && room; ++i)
      room = move_entry(*run, batch.slots[i],
                        {client, persistent, batch.back_references[i], batch.formats[i], true});
    Guard guard(lock_);
    if (room) next_batch(*run, &cursor, batch);
    if (room && batch.count) continue;
    Bins &bins = bins_[client][persistent];
    const bool wanted = bins.wanted;
    bins.compacting--;
    bins.wanted = false;
    if (!arrive_locked(*run)) {
      bins.stuck = !room && !wanted;
      // A page that is read or not yet published; or what the directory says of one is wrong.
      run->left_over = room;
      *why_not = room ? NotCompacted::kLeftOver : wanted ? NotCompacted::kWanted : NotCompacted::kNone;
      return nullptr;
    }
    frames_compacted_ += kFramesPerRun;
    return run;
  }
}

u64 CompressedStore::compact(u64 frames) {
  u64 freed = 0;
  for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client)
    for (u32 kind = 0; kind < 2; ++kind)
      for (u32 failures = 0; freed < frames && failures < kFailuresPerCompaction;) {
        NotCompacted why_not;
        Run *run = compact_run(client, kind == 0, &why_not);
        if (run) {
          free_run(run);
          freed += kFramesPerRun;
        } else if (why_not == NotCompacted::kLeftOver) {
          failures++;
        } else {
          break;
        }
      }
  return freed;
}

// Holes are worth the copying when they are a quarter of their runs.
u64 CompressedStore::compactable() {
  Guard guard(lock_);
  u64 runs = 0;
  for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client)
    for (u32 kind = 0; kind < 2; ++kind) {
      const Bins &bins = bins_[client][kind];
      if (bins.free_units * 4 > bins.runs * kUnitsPerRun && choose_sparse_locked(client, kind))
        runs += bins.free_units / kUnitsPerRun;
    }
  return runs * kFramesPerRun;
}

}  // namespace tmem
