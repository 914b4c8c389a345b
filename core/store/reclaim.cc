// SPDX-License-Identifier: GPL-2.0
// Where runs come from and where they go: the memory of the compressed store.
//
//                    charge, allocate
//   page frames  ──────────────────────►  a section  ──── its last page goes ────►  page frames
//                                          ▲      │
//          for somebody else, charged anew │      │ taken, set out: no new page
//                                          │      ▼
//                                         the oldest ephemeral run, emptied by eviction
//                                         a sparse run, emptied by compaction (compaction.cc)
//
// A run that somebody empties is taken: the budget's lock decides who does. It
// keeps its place in the budget's list meanwhile, and nobody retires it.
#include "compressed.h"

namespace tmem {

// How often one put may try to have a run emptied before it gives up. Once is enough unless somebody is
// reading in it at this moment, or the budget has been lowered; or a file is being flushed, of
// which a leaf's pages, 256 in up to 37 runs, are not to be had until they are freed.
static constexpr u32 kEvictionsPerPut = 40;
// How many runs that cannot be emptied shrinking passes over before it gives up.
static constexpr u32 kFailuresPerShrink = 48;
// How many frames are evicted before others get a turn, in process context.
static constexpr u64 kFramesPerBatch = 64;

// ---- Coming

Run *CompressedStore::allocate_run(u32 flags) {
  void *memory = host_.object_alloc(TMEM_KIND_RUN, flags);
  if (!memory) return nullptr;
  Run *run = new (Placement{memory}) Run;
  for (u32 i = 0; i < kFramesPerRun; ++i) {
    run->frames[i] = host_.frame_alloc(flags);
    if (run->frames[i]) continue;
    while (i > 0) host_.frame_free(run->frames[--i]);
    host_.object_free(TMEM_KIND_RUN, run);
    return nullptr;
  }
  run->order_frames();
  return run;
}

void CompressedStore::free_run(Run *run) {
  for (void *frame : run->frames) host_.frame_free(frame);
  host_.object_free(TMEM_KIND_RUN, run);
}

void CompressedStore::adopt(Section &section, Run &run, u32 client, bool persistent) {
  section.add(run, client, persistent);
  Guard guard(budget_lock_);
  budget_.enlist(run, client, persistent);
}

Result<Run *> CompressedStore::charge_and_allocate(u32 client, u32 flags) {
  {
    Guard guard(budget_lock_);
    const Outcome verdict = budget_.charge(client);
    if (verdict != Outcome::kDone) return verdict;
  }
  if (Run *run = allocate_run(flags)) return run;
  Guard guard(budget_lock_);
  budget_.uncharge(client);
  return Outcome::kNoMemory;
}

// A run that was emptied, for @client; nullptr, and it is freed, if its budget is gone meanwhile.
Run *CompressedStore::recharge(Run *run, u32 client) {
  {
    Guard guard(budget_lock_);
    if (budget_.charge(client) == Outcome::kDone) return run;
  }
  free_run(run);
  return nullptr;
}

// A run that was obtained is the client's from here on.
CompressedStore::Place CompressedStore::settle(Section &section, Run &run, const Request &request) {
  Guard guard(section.lock);
  adopt(section, run, request.client, request.persistent);
  return section.place_in(run, request);
}

// Who holds little has it in few sections, and what is in the others must not go for want of a look at them.
Maybe<CompressedStore::Place> CompressedStore::place_elsewhere(const Section &section, const Request &request) {
  {
    Guard guard(budget_lock_);
    if (budget_.accounts[request.client].frames > 2 * (section_mask_ + 1) * kFramesPerRun) return {};
  }
  for (Section *other = sections(); other != end_of_sections(); ++other) {
    if (other == &section) continue;
    Guard guard(other->lock);
    if (const Maybe<Place> place = other->place(request)) return place;
  }
  return {};
}

// What was tried may have made room, or somebody else has, in any section.
Maybe<CompressedStore::Place> CompressedStore::place_or_ask_for_room(const Request &request, bool *asked) {
  for (Section *section = sections(); section != end_of_sections(); ++section) {
    Guard guard(section->lock);
    if (const Maybe<Place> place = section->place(request)) return place;
    *asked |= section->ask_for_room(request.client, request.persistent);
  }
  return {};
}

Result<CompressedStore::Place> CompressedStore::reserve_with_run(Section &section, const Request &request) {
  Outcome verdict = Outcome::kNoMemory;
  for (u32 attempt = 0; attempt < kEvictionsPerPut; ++attempt) {
    const Result<Run *> fresh = charge_and_allocate(request.client, 0);
    if (fresh.ok()) return settle(section, *fresh.value(), request);
    // No room, or no memory: the oldest ephemeral run pays; if there is none, holes do.
    verdict = fresh.outcome();
    if (attempt == 0)
      if (const Maybe<Place> place = place_elsewhere(section, request)) return *place;
    bool nothing_left = false;
    Run *run = evict_run(verdict, request.client, &nothing_left);
    if (nothing_left) {
      NotCompacted why_not;
      run = compact_run(request.client, request.persistent, &why_not);
      nothing_left = !run && why_not == NotCompacted::kNone;
    }
    if (run && (run = recharge(run, request.client))) return settle(section, *run, request);
    bool asked = false;
    if (const Maybe<Place> place = place_or_ask_for_room(request, &asked)) return *place;
    if (nothing_left && !asked && !may_come_back(verdict, request.client)) break;
  }
  // The reclaim reserves come last, and only for what gives back more than it takes.
  if (verdict == Outcome::kNoMemory && request.persistent && !request.format.is_raw()) {
    const Result<Run *> reserved = charge_and_allocate(request.client, TMEM_ALLOC_RESERVES);
    if (reserved.ok()) {
      frames_from_reserves_.fetch_add_relaxed(kFramesPerRun);
      return settle(section, *reserved.value(), request);
    }
    verdict = reserved.outcome();
  }
  return verdict;
}

// Whether it is worth another try, though nothing was found to be emptied: another CPU has a run on its way,
// such as the one that was to be compacted, or has given one back since room was asked for.
bool CompressedStore::may_come_back(Outcome reason, u32 client) {
  Guard guard(budget_lock_);
  return on_their_way_ != 0 || (reason != Outcome::kNoMemory && budget_.has_room(client) == Outcome::kDone);
}

// ---- Going

// Its last page may have gone. True: it is nobody's, charged to nobody, and the caller's to free.
// Who has taken it deals himself with a run that empties in his hands.
bool CompressedStore::retire_if_empty(Section &section, Run &run) {
  if (!run.empty()) return false;
  {
    Guard guard(budget_lock_);
    if (run.taken) return false;
    budget_.delist(run, run.client, run.persistent);
    budget_.uncharge(run.client);
  }
  section.remove(run);
  return true;
}

// False: somebody else empties it.
bool CompressedStore::take(Run &run) {
  Guard guard(budget_lock_);
  if (run.taken) return false;
  run.taken = true;
  on_their_way_++;
  return true;
}

// True: it is empty, nobody's, and charged to nobody. False: its turn comes again, but not next.
// @pages: how many eviction has taken out of it.
bool CompressedStore::arrive(Section &section, Run &run, Emptied how, Outcome reason, u64 pages) {
  const bool empty = run.empty();
  // Some page is being read, or not yet published, or had no room elsewhere.
  if (!empty) section.set_back(run);
  {
    Guard guard(budget_lock_);
    run.taken = false;
    on_their_way_--;
    budget_.accounts[run.client].pages_evicted += pages;
    if (!empty) {
      if (how == Emptied::kByEviction) budget_.touch(run, run.client);
      return false;
    }
    budget_.delist(run, run.client, run.persistent);
    budget_.uncharge(run.client);
    if (how == Emptied::kByCompaction) {
      frames_compacted_ += kFramesPerRun;
    } else {
      frames_evicted_ += kFramesPerRun;
      budget_.accounts[run.client].frames_evicted += kFramesPerRun;
      if (reason == Outcome::kRefusedLimit) evicted_for_limit_ += kFramesPerRun;
      if (reason == Outcome::kNoMemory) evicted_for_memory_ += kFramesPerRun;
    }
  }
  section.remove(run);
  run.reset();
  return true;
}

void CompressedStore::next_batch(const Section &, const Run &run, u32 *cursor, Batch &batch) {
  batch.count = 0;
  for (; *cursor < run.slots_made && batch.count < kBatch; ++*cursor) {
    const Entry &entry = run.entry(*cursor);
    if (!entry.in_use() || entry.is_doomed()) continue;
    batch.slots[batch.count] = static_cast<u16>(*cursor);
    batch.formats[batch.count] = entry.format;
    batch.back_references[batch.count++] = entry.back_reference;
  }
}

Run *CompressedStore::evict_run(Outcome reason, u32 client, bool *nothing_left) {
  Run *run;
  {
    Guard guard(budget_lock_);
    run = budget_.victim(reason, client);
    if (!run) {
      // What another CPU is emptying right now may come back.
      *nothing_left = on_their_way_ == 0;
      return nullptr;
    }
    run->taken = true;
    on_their_way_++;
  }
  Section &section = section_of(*run);
  u64 pages = 0;
  u32 cursor = 0;
  Batch batch;
  {
    Guard guard(section.lock);
    section.set_out(*run);
    next_batch(section, *run, &cursor, batch);
  }
  for (;;) {
    // Bottom-up, with no lock of ours held.
    u32 taken = 0;
    for (u32 i = 0; i < batch.count; ++i)
      if (engine_.evict(BackReference{batch.back_references[i]}, pampd_of(*run, batch.slots[i])))
        batch.slots[taken++] = batch.slots[i];
    Guard guard(section.lock);
    for (u32 i = 0; i < taken; ++i) section.drop(*run, batch.slots[i]);
    pages += taken;
    next_batch(section, *run, &cursor, batch);
    if (batch.count) continue;
    if (!arrive(section, *run, Emptied::kByEviction, reason, pages)) return nullptr;
    break;
  }
  host_.evicted(run->client, to_abi(reason), kFramesPerRun);
  return run;
}

u64 CompressedStore::shrink(u64 frames) { return evict_frames(frames, Outcome::kNoMemory); }

u64 CompressedStore::evict_frames(u64 frames, Outcome reason) {
  u64 freed = 0;
  bool nothing_left = false;
  for (u32 failures = 0; freed < frames && failures < kFailuresPerShrink;) {
    Run *run = evict_run(reason, 0, &nothing_left);
    if (nothing_left) break;
    if (!run) {
      failures++;
      continue;
    }
    free_run(run);
    freed += kFramesPerRun;
  }
  return freed;
}

void CompressedStore::set_limit(u64 frames) {
  for (;;) {
    u64 excess;
    {
      Guard guard(budget_lock_);
      budget_.limit = frames;
      excess = budget_.frames > frames ? budget_.frames - frames : 0;
    }
    if (excess == 0 || evict_frames(min(excess, kFramesPerBatch), Outcome::kRefusedBudget) == 0)
      return;
    host_.breathe();
  }
}

void CompressedStore::set_client(u32 client, u32 weight, u64 limit_frames) {
  if (client >= TMEM_CLIENTS_MAX) return;
  {
    Guard guard(budget_lock_);
    budget_.accounts[client].weight = weight;
    budget_.accounts[client].limit = limit_frames;
  }
  for (u32 failures = 0; failures < kFailuresPerShrink;) {
    {
      Guard guard(budget_lock_);
      if (budget_.accounts[client].frames <= budget_.accounts[client].limit) return;
    }
    bool nothing_left = false;
    Run *run = evict_run(Outcome::kRefusedLimit, client, &nothing_left);
    if (nothing_left) return;
    if (run)
      free_run(run);
    else
      failures++;
    host_.breathe();
  }
}

}  // namespace tmem
