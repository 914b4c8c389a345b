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
#include "compressed.h"

namespace tmem {

// How many runs of a client and kind may turn out not to be emptied before it gives up.
static constexpr u32 kFailuresPerCompaction = 16;

// One entry of a run on its way. False: there is no room for it elsewhere.
bool CompressedStore::move_entry(Section &section, Run &run, u32 slot, const Request &request) {
  Place to;
  u32 from_unit;
  {
    Guard guard(section.lock);
    // It may have been freed meanwhile, and may be at any time from here on; its slot
    // is not used again, and nothing else comes to its units.
    if (!run.entry(slot).in_use() || run.entry(slot).is_doomed() || !run.is_sane(slot)) return true;
    from_unit = run.entry(slot).unit;
    const Maybe<Place> place = section.place(request);
    if (!place) return false;
    to = *place;
  }
  to.run->copy(to.slot, run, from_unit);
  const bool moved = engine_.move(BackReference{request.back_reference}, pampd_of(run, slot),
                                  pampd_of(*to.run, to.slot));
  {
    // No run is emptied by that: one is taken, the other has our pin, with
    // which a copy that nobody has seen goes.
    Guard guard(section.lock);
    section.counts.entries_moved += moved;
    moved ? section.drop(run, slot) : section.drop(*to.run, to.slot);
  }
  unpin(*to.run);
  return true;
}

Run *CompressedStore::compact_run(Section &section, u32 client, bool persistent, bool *left_over) {
  Run *run;
  u32 cursor = 0;
  Batch batch;
  {
    Guard guard(section.lock);
    run = section.sparse(client, persistent);
    if (!run) return nullptr;
    if (!take(*run)) {
      *left_over = true;
      return nullptr;
    }
    section.set_out(*run);
    next_batch(section, *run, &cursor, batch);
  }
  bool room = true;
  for (;;) {
    for (u32 i = 0; i < batch.count && room; ++i)
      room = move_entry(section, *run, batch.slots[i],
                        {client, persistent, batch.back_references[i], batch.formats[i], true});
    Guard guard(section.lock);
    if (room) next_batch(section, *run, &cursor, batch);
    if (room && batch.count) continue;
    if (arrive(section, *run, Emptied::kByCompaction, Outcome::kDone)) return run;
    if (!room) section.set_stuck(client, persistent);
    // A page that is read or not yet published; or what the directory says of one is wrong.
    run->left_over = *left_over = room;
    return nullptr;
  }
}

Run *CompressedStore::compact_run(u32 client, bool persistent, bool *left_over) {
  for (Section *section = sections(); section != end_of_sections(); ++section)
    if (Run *run = compact_run(*section, client, persistent, left_over)) return run;
  return nullptr;
}

u64 CompressedStore::compact(u64 frames) {
  u64 freed = 0;
  for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client)
    for (u32 kind = 0; kind < 2; ++kind)
      for (u32 failures = 0; freed < frames && failures < kFailuresPerCompaction;) {
        bool left_over = false;
        Run *run = compact_run(client, kind == 0, &left_over);
        if (run) {
          free_run(run);
          freed += kFramesPerRun;
        } else if (left_over) {
          failures++;
        } else {
          break;
        }
      }
  return freed;
}

}  // namespace tmem
