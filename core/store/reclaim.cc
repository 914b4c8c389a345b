// SPDX-License-Identifier: GPL-2.0
// Where runs come from and where they go: the memory of the compressed store.
//
//                    charge, allocate
//   page frames  ──────────────────────►  a section  ──── its last page goes ────►  page frames
//                                          ▲      │
//          for somebody else, charged anew │      │ set out: no new page
//                                          │      ▼
//                                         the oldest ephemeral run, emptied by eviction
//                                         a sparse run, emptied by compaction (compaction.cc)
//
// A run that somebody empties is on its way: its section's lock decides who does,
// and nobody else empties or retires it meanwhile.
#include "compressed.h"

namespace tmem {

// How often one put may try to have a run emptied before it gives up. Once is enough unless somebody is
// reading in it at this moment, or the budget has been lowered; or a file is being flushed, of
// which a leaf's pages, 256 in up to 37 runs, are not to be had until they are freed.
static constexpr u32 kEvictionsPerPut = 40;
// How many runs that cannot be emptied shrinking passes over before it gives up.
static constexpr u32 kFailuresPerShrink = 48;
// How often it looks whether any run has come back before it tries again.
static constexpr u32 kPollsPerTry = 128;
// So many times at most is a victim passed over because pages of it were read, or because others had it first.
static constexpr u32 kTurns = 16;
static constexpr u32 kLooksInVain = 16;
// How many other sections a put tries, and what makes one worth it: more than what the run that is being filled can have.
static constexpr u32 kSectionsPerPut = 4;
static constexpr u64 kHolesWorthALook = u64{kFramesPerRun} * kPageBytes;
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
  if (!persistent) budget_.add_ephemeral(client);
}

Result<Run *> CompressedStore::charge_and_allocate(const Section &section, u32 client, u32 flags) {
  if (const Outcome verdict = budget_.charge(client); verdict != Outcome::kDone) return verdict;
  if (Run *run = allocate_run(flags | TMEM_ALLOC_ON(section.node()))) return run;
  budget_.uncharge(client);
  return Outcome::kNoMemory;
}

// A run that was emptied, for @client; nullptr, and it is freed, if its budget is gone meanwhile.
Run *CompressedStore::recharge(Run *run, u32 client) {
  if (budget_.charge(client) == Outcome::kDone) return run;
  free_run(run);
  return nullptr;
}

// A run that was obtained is the client's from here on.
CompressedStore::Place CompressedStore::settle(Section &section, Run &run, const Request &request) {
  Guard guard(section.lock);
  adopt(section, run, request.client, request.persistent);
  return section.place_in(run, request);
}

// Into holes of other sections, so that no page goes while there are some: of those that have more than the run that they
// are filling. To fill that one too would bring all CPUs to one lock; but who holds little has all there is in few runs.
Maybe<CompressedStore::Place> CompressedStore::place_elsewhere(Section &section, const Request &request) {
  const bool holds_little =
      budget_.accounts[request.client].frames.load_relaxed() <= 2 * section_count_ * kFramesPerRun;
  const u32 own = static_cast<u32>(&section - sections()), begin = section.lender.load_relaxed();
  u32 locked = 0;
  for (u32 i = 0; i < section_count_ && locked < kSectionsPerPut; ++i) {
    const u32 number = begin + i < section_count_ ? begin + i : begin + i - section_count_;
    Section &other = sections()[number];
    if (number == own || !other.has_place(request)) continue;
    if (!holds_little && other.hole_bytes(request.client, request.persistent) < kHolesWorthALook) continue;
    locked++;
    Guard guard(other.lock);
    const Maybe<Place> place = other.place(request);
    if (!place) continue;
    section.lender.store_relaxed(number);
    return place;
  }
  return {};
}

// What was tried may have made room, or somebody else has, in any section.
Maybe<CompressedStore::Place> CompressedStore::place_or_ask_for_room(const Request &request, bool *asked) {
  for (Section *section = sections(); section != end_of_sections(); ++section) {
    if (!section->has_place(request) && !section->is_compacting(request.client, request.persistent)) continue;
    Guard guard(section->lock);
    if (const Maybe<Place> place = section->place(request)) return place;
    *asked |= section->ask_for_room(request.client, request.persistent);
  }
  return {};
}

Result<CompressedStore::Place> CompressedStore::reserve_with_run(Section &section, const Request &request) {
  // Without the budget nothing is charged, and no new run had: so holes come first, at the price of a look.
  bool looked_elsewhere = budget_.has_room(request.client) != Outcome::kDone;
  if (looked_elsewhere)
    if (const Maybe<Place> place = place_elsewhere(section, request)) return *place;
  Outcome verdict = Outcome::kNoMemory;
  for (u32 attempt = 0; attempt < kEvictionsPerPut; ++attempt) {
    const u64 comings = common_.comings.load_acquire();
    const Result<Run *> fresh = charge_and_allocate(section, request.client, 0);
    if (fresh.ok()) return settle(section, *fresh.value(), request);
    // No room, or no memory: the oldest ephemeral run pays; if there is none, holes do.
    verdict = fresh.outcome();
    if (!looked_elsewhere) {
      looked_elsewhere = true;
      if (const Maybe<Place> place = place_elsewhere(section, request)) return *place;
    }
    bool nothing_left = false;
    Run *run = evict_run(verdict, request.client, TMEM_ANY_NODE, &nothing_left);
    if (nothing_left) {
      NotCompacted why_not;
      run = compact_run(request.client, request.persistent, TMEM_ANY_NODE, &why_not);
      nothing_left = !run && why_not == NotCompacted::kNone;
    }
    if (run && section_of(*run).node() != section.node()) {
      // The frames of another node are worth as much as new ones of this.
      free_run(run);
      continue;
    }
    if (run && (run = recharge(run, request.client))) return settle(section, *run, request);
    bool asked = false;
    if (const Maybe<Place> place = place_or_ask_for_room(request, &asked)) return *place;
    if (nothing_left && !asked && !may_come_back(comings)) break;
    // Who empties a run, on another CPU, needs about a microsecond for the entry that it is at.
    for (u32 i = 0; i < kPollsPerTry && common_.comings.load_relaxed() == comings; ++i) continue;
  }
  // The reclaim reserves come last, and only for what gives back more than it takes.
  if (verdict == Outcome::kNoMemory && request.persistent && !request.format.is_raw()) {
    const Result<Run *> reserved = charge_and_allocate(section, request.client, TMEM_ALLOC_RESERVES);
    if (reserved.ok()) {
      static_cast<void>(frames_from_reserves_.fetch_add_relaxed(kFramesPerRun));
      return settle(section, *reserved.value(), request);
    }
    verdict = reserved.outcome();
  }
  return verdict;
}

// Whether it is worth another try, though nothing was found to be emptied: another CPU has a run on its way,
// such as the one that was to be compacted, or one is back or gone since @comings_before.
bool CompressedStore::may_come_back(u64 comings_before) const {
  return common_.on_their_way.load_acquire() != 0 || common_.comings.load_acquire() != comings_before;
}

// ---- Going

void CompressedStore::uncharge(const Run &run) {
  if (!run.persistent) budget_.remove_ephemeral(run.client);
  budget_.uncharge(run.client);
  static_cast<void>(common_.comings.fetch_add_release(1));
}

// Its last page may have gone. True: it is nobody's, charged to nobody, and the caller's to free.
// Who empties it deals himself with a run that is empty in his hands.
bool CompressedStore::retire_if_empty(Section &section, Run &run) {
  if (!run.empty() || run.on_its_way) return false;
  section.remove(run);
  uncharge(run);
  return true;
}

// True: it is empty, nobody's, and charged to nobody. False: its turn comes again, but not next.
// @pages: how many eviction has taken out of it.
bool CompressedStore::arrive(Section &section, Run &run, Emptied how, Outcome reason, u64 pages) {
  const bool empty = run.empty();
  RunBudget::Account &account = budget_.accounts[run.client];
  if (pages) static_cast<void>(account.pages_evicted.fetch_add_relaxed(pages));
  if (!empty) {
    // Some page is being read, or not yet published, or had no room elsewhere.
    section.set_back(run, how == Emptied::kByEviction);
    static_cast<void>(common_.comings.fetch_add_release(1));
  } else {
    if (how == Emptied::kByCompaction) {
      static_cast<void>(frames_compacted_.fetch_add_relaxed(kFramesPerRun));
    } else {
      static_cast<void>(frames_evicted_.fetch_add_relaxed(kFramesPerRun));
      static_cast<void>(account.frames_evicted.fetch_add_relaxed(kFramesPerRun));
      if (reason == Outcome::kRefusedLimit) static_cast<void>(evicted_for_limit_.fetch_add_relaxed(kFramesPerRun));
      if (reason == Outcome::kNoMemory) static_cast<void>(evicted_for_memory_.fetch_add_relaxed(kFramesPerRun));
    }
    section.remove(run);
    run.reset();
    uncharge(run);
  }
  static_cast<void>(common_.on_their_way.fetch_sub_release(1));
  return empty;
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

// The section whose oldest ephemeral run of the client is the oldest, of those of the node; nullptr if none has any.
Section *CompressedStore::with_oldest(u32 client, u32 node) {
  Section *found = nullptr;
  u64 age = Section::kNone;
  for (Section *section = sections(); section != end_of_sections(); ++section) {
    const u64 oldest = section->oldest(client);
    if (oldest == Section::kNone || !is_of(*section, node) || (found && !Section::is_older(oldest, age))) continue;
    found = section;
    age = oldest;
  }
  return found;
}

// The run that pays, and the first pages of it. nullptr: there is none, or others had it first.
Run *CompressedStore::set_victim_out(Outcome reason, u32 client, u32 node, Batch &batch, u32 *cursor) {
  u32 without = 0, turns = 0;
  for (u32 look = 0; look < kTurns + kLooksInVain;) {
    const u32 payer = budget_.payer(reason, client, without);
    if (payer == TMEM_CLIENTS_MAX) return nullptr;
    Section *section = with_oldest(payer, node);
    if (!section) {
      without |= 1u << payer;
      continue;
    }
    Guard guard(section->lock);
    if (Run *run = section->set_oldest_out(payer, turns >= kTurns)) {
      next_batch(*section, *run, cursor, batch);
      return run;
    }
    turns++, look++;
  }
  return nullptr;
}

Run *CompressedStore::evict_run(Outcome reason, u32 client, u32 node, bool *nothing_left) {
  u64 pages = 0;
  u32 cursor = 0;
  Batch batch;
  const u64 comings = common_.comings.load_acquire();
  Run *run = set_victim_out(reason, client, node, batch, &cursor);
  if (!run) {
    // What another CPU is emptying right now may come back.
    *nothing_left = !may_come_back(comings);
    return nullptr;
  }
  Section &section = section_of(*run);
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

u64 CompressedStore::shrink(u64 frames, u32 node) { return evict_frames(frames, Outcome::kNoMemory, node); }

u64 CompressedStore::evict_frames(u64 frames, Outcome reason, u32 node) {
  u64 freed = 0;
  bool nothing_left = false;
  for (u32 failures = 0; freed < frames && failures < kFailuresPerShrink;) {
    Run *run = evict_run(reason, 0, node, &nothing_left);
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
    const u64 excess = budget_.set_limit(frames);
    if (excess == 0 || evict_frames(min(excess, kFramesPerBatch), Outcome::kRefusedBudget, TMEM_ANY_NODE) == 0) return;
    host_.breathe();
  }
}

void CompressedStore::set_client(u32 client, u32 weight, u64 limit_frames) {
  if (client >= TMEM_CLIENTS_MAX) return;
  RunBudget::Account &account = budget_.accounts[client];
  account.weight.store_relaxed(weight);
  if (budget_.set_limit_of(client, limit_frames) == 0) return;
  for (u32 failures = 0; failures < kFailuresPerShrink;) {
    if (account.frames.load_relaxed() <= account.limit.load_relaxed()) return;
    bool nothing_left = false;
    Run *run = evict_run(Outcome::kRefusedLimit, client, TMEM_ANY_NODE, &nothing_left);
    if (nothing_left) return;
    if (run)
      free_run(run);
    else
      failures++;
    host_.breathe();
  }
}

}  // namespace tmem
