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

// How many runs of a client and kind may turn out not to be emptied before it gives up.
static constexpr u32 kFailuresPerCompaction = 16;

// One entry of a run on its way. If there is no room for it elsewhere, that is noted at once: what comes later makes it untrue.
CompressedStore::Moved CompressedStore::move_entry(Section &section, Run &run, u32 slot, const Request &request,
                                                   u64 asked_before) {
  Place to;
  u32 from_unit;
  {
    Guard guard(section.lock);
    // It may have been freed meanwhile, and may be at any time from here on; its slot
    // is not used again, and nothing else comes to its units.
    if (!run.entry(slot).in_use() || run.entry(slot).is_doomed() || !run.is_sane(slot)) return Moved::kDone;
    from_unit = run.entry(slot).unit;
    if (section.is_wanted(request.client, request.persistent, asked_before)) return Moved::kWanted;
    bool passed_by = false;
    const Maybe<Place> place = section.place(request, &passed_by);
    if (!place)
      return !passed_by && section.set_stuck(request.client, request.persistent) ? Moved::kNoRoom : Moved::kHindered;
    to = *place;
  }
  to.run->copy(to.slot, run, from_unit);
  const bool moved = engine_.move(BackReference{request.back_reference}, pampd_of(run, slot),
                                  pampd_of(*to.run, to.slot));
  {
    // No run is emptied by that: one is taken, the other has our pin, with
    // which a copy that nobody has seen goes.
    Guard guard(section.lock);
    section.counts.entries_moved.add(moved);
    moved ? section.drop(run, slot) : section.drop(*to.run, to.slot);
  }
  unpin(*to.run);
  return Moved::kDone;
}

Run *CompressedStore::compact_run(Section &section, u32 client, bool persistent, NotCompacted *why_not) {
  Run *run;
  u32 cursor = 0;
  u64 asked_before;
  Batch batch;
  {
    Guard guard(section.lock);
    run = section.sparse(client, persistent);
    if (!run) return nullptr;
    asked_before = section.begin_compaction(client, persistent);
    section.set_out(*run);
    next_batch(section, *run, &cursor, batch);
  }
  Moved moved = Moved::kDone;
  for (;;) {
    for (u32 i = 0; i < batch.count && moved == Moved::kDone; ++i)
      moved = move_entry(section, *run, batch.slots[i],
                         {client, persistent, batch.back_references[i], batch.formats[i], true}, asked_before);
    Guard guard(section.lock);
    if (moved == Moved::kDone) next_batch(section, *run, &cursor, batch);
    if (moved == Moved::kDone && batch.count) continue;
    section.end_compaction(client, persistent);
    if (arrive(section, *run, Emptied::kByCompaction, Outcome::kDone, 0)) return run;
    // A page that is read or not yet published; or what the directory says of one is wrong.
    run->left_over = moved == Moved::kDone;
    switch (moved) {
      case Moved::kDone: *why_not = NotCompacted::kLeftOver; break;
      case Moved::kNoRoom: break;
      case Moved::kHindered: *why_not = NotCompacted::kHindered; break;
      case Moved::kWanted: *why_not = NotCompacted::kWanted; break;
    }
    return nullptr;
  }
}

Run *CompressedStore::compact_run(u32 client, bool persistent, u32 node, NotCompacted *why_not) {
  *why_not = NotCompacted::kNone;
  for (Section *section = sections(); section != end_of_sections(); ++section)
    if (is_of(*section, node) && section->may_be_compacted(client, persistent))
      if (Run *run = compact_run(*section, client, persistent, why_not)) return run;
  return nullptr;
}

u64 CompressedStore::compact(u64 frames, u32 node) {
  u64 freed = 0;
  for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client)
    for (u32 kind = 0; kind < 2; ++kind)
      for (u32 failures = 0; freed < frames && failures < kFailuresPerCompaction;) {
        NotCompacted why_not;
        Run *run = compact_run(client, kind == 0, node, &why_not);
        if (run) {
          free_run(run);
          freed += kFramesPerRun;
        } else if (why_not == NotCompacted::kLeftOver || why_not == NotCompacted::kHindered) {
          failures++;
        } else {
          break;
        }
      }
  return freed;
}

}  // namespace tmem
