// SPDX-License-Identifier: GPL-2.0
#include "section.h"

namespace tmem {

// How many pinned runs a put looks at before it takes a new run.
static constexpr u32 kRunsPerSearch = 8;
// How many runs are looked at for one that can be emptied.
static constexpr u32 kCandidates = 8;
// Among so many pages put into the run that was filled last, one makes it young again: others may fill theirs meanwhile.
static constexpr u32 kPagesPerTouch = 8;

// ---- In

Maybe<Section::Place> Section::place(const Request &request, bool *passed_by) {
  const Bins &bins = bins_[request.client][request.persistent];
  const u32 units = request.format.units();
  const u32 first = first_bin(request);
  u32 looked_at = 0;
  for (u32 group = first / 64; group < kBins / 64; ++group) {
    u64 left = bins.filled[group].load_relaxed();
    if (group == first / 64) left &= ~u64{0} << first % 64;
    for (; left; left &= left - 1) {
      const Bin &bin = bins.bin[group * 64 + lowest_bit(left)];
      for (Run *run = bin.front(); run; run = bin.after(*run)) {
        const bool packs = !run->fits_at_tail(units);
        if (run->has_room(units) && (!packs || (run->pack() && run->fits_at_tail(units)))) {
          counts.packings.add(packs);
          return place_in(*run, request);
        }
        if (passed_by) *passed_by |= run->pins.any();
        if (++looked_at == kRunsPerSearch) return {};
      }
    }
  }
  return {};
}

Section::Place Section::place_in(Run &run, const Request &request) {
  const u32 free_units = run.free_units;
  const u32 slot = run.place(request.back_reference, request.format);
  if (run.left_over) bins_of(run).stuck.store_relaxed(false);
  run.left_over = false;
  change_bin(run, free_units);
  run.pins.pin_locked();
  counts.entries.add(1);
  counts.entries_raw.add(request.format.is_raw());
  counts.entries_stored_raw.add(request.format.is_raw() && !request.moved);
  counts.bytes_stored.add(request.format.bytes());
  counts.checksum_bytes.add(request.format.checksum_bytes());
  if (request.moved) return {&run, slot};
  Bins &bins = bins_of(run);
  if (run.tail < kUnitsPerRun) bins.free_from.store_relaxed(reinterpret_cast<uptr>(run.address(run.tail)));
  if (run.persistent) return {&run, slot};
  const bool young = bins.filled_last != &run || ++bins.put_since >= kPagesPerTouch;
  if (bins.filled_last != &run) bins.stuck.store_relaxed(false);  // the other one may be emptied now
  bins.filled_last = &run;
  if (young) {
    bins.put_since = 0;
    make_young(run);
  }
  return {&run, slot};
}

// ---- Out

void Section::drop(Run &run, u32 slot) {
  if (run.pins.doom()) {
    run.entry(slot).back_reference = Entry::kDoomed;
    return;
  }
  const u32 free_units = run.free_units;
  release(run, slot);
  change_bin(run, free_units);
}

void Section::reap(Run &run) {
  if (!run.pins.end_doom()) return;
  const u32 free_units = run.free_units;
  for (u32 slot = 0; slot < run.slots_made; ++slot)
    if (run.entry(slot).in_use() && run.entry(slot).is_doomed()) release(run, slot);
  change_bin(run, free_units);
}

void Section::release(Run &run, u32 slot) {
  const EntryFormat format = run.entry(slot).format;
  counts.entries.add(~u64{0});
  counts.entries_raw.add(-u64{format.is_raw()});
  counts.bytes_stored.add(-u64{format.bytes()});
  counts.checksum_bytes.add(-u64{format.checksum_bytes()});
  run.remove(slot);
  run.left_over = false;
  bins_of(run).stuck.store_relaxed(false);
}

// ---- Runs

void Section::add(Run &run, u32 client, bool persistent) {
  run.client = static_cast<u8>(client);
  run.persistent = persistent;
  run.section = static_cast<u8>(number_);
  into_bin(run);
  run.age = common_->clock.fetch_add_relaxed(1) + 1;
  bins_of(run).order.push_back(run);
  note_oldest(bins_of(run));
  bins_of(run).stuck.store_relaxed(false);
  counts.runs.add(1);
  counts.ephemeral_runs.add(!persistent);
}

void Section::remove(Run &run) {
  out_of_bin(run, run.free_units);
  Bins &bins = bins_of(run);
  if (bins.filled_last == &run) bins.filled_last = nullptr;
  bins.out -= run.on_its_way;
  if (run.in_order.linked()) bins.order.remove(run);
  note_oldest(bins);
  counts.runs.add(~u64{0});
  counts.ephemeral_runs.add(-u64{!run.persistent});
}

void Section::set_out(Run &run) {
  TMEM_ASSERT(!run.on_its_way);
  static_cast<void>(common_->on_their_way.fetch_add_relaxed(1));
  out_of_bin(run, run.free_units);
  run.on_its_way = true;
  bins_of(run).out++;
  note_oldest(bins_of(run));
}

void Section::set_back(Run &run, bool young) {
  run.on_its_way = false;
  bins_of(run).out--;
  into_bin(run);
  if (young)
    make_young(run);
  else
    note_oldest(bins_of(run));
}

// ---- Order of eviction

// Who compacts a run leaves it at its place; there are few. Who evicts one takes it out.
Run *Section::first_in_order(const Bins &bins) {
  Run *run = bins.order.front();
  while (run && run->on_its_way) run = bins.order.after(*run);
  return run;
}

// Whoever sees that there is none sees what was raised before.
void Section::note_oldest(Bins &bins) {
  const Run *oldest = first_in_order(bins);
  bins.oldest.store_release(oldest ? kListed | oldest->age : kNone);
}

// The clock never goes back for whoever has the lock: so the order is one of age.
void Section::make_young(Run &run) {
  Bins &bins = bins_of(run);
  run.age = common_->clock.load_relaxed();
  if (run.in_order.linked()) bins.order.remove(run);
  bins.order.push_back(run);
  note_oldest(bins);
}

Run *Section::set_oldest_out(u32 client, bool turns_are_up) {
  Run *run = first_in_order(bins_[client][0]);
  if (!run) return nullptr;
  if (!turns_are_up && run->forget_read()) {
    make_young(*run);
    return nullptr;
  }
  bins_[client][0].order.remove(*run);
  set_out(*run);
  return run;
}

// ---- Compaction

Run *Section::sparse(u32 client, bool persistent) {
  Bins &bins = bins_[client][persistent];
  // Then what a run has, 4096 units less its free ones, is more than the others have free.
  if (bins.stuck.load_relaxed() || bins.free_units.load_relaxed() < kUnitsPerRun) return nullptr;
  bool pinned = false;
  u32 looked_at = 0;
  for (u32 group = kBins / 64; group-- > 0;)
    for (u64 left = bins.filled[group].load_relaxed(); left;) {
      const u32 number = highest_bit(left);
      left &= ~(u64{1} << number);
      const Bin &bin = bins.bin[group * 64 + number];
      for (Run *run = bin.front(); run; run = bin.after(*run)) {
        // A pin may be a writer's, and what he has not written must not be copied:
        // he could publish it between the copy and the move.
        const bool pins = run->pins.any();
        if (!pins && !run->left_over && (persistent || bins.filled_last != run)) return run;
        pinned |= pins;
        if (++looked_at < kCandidates) continue;
        bins.stuck.store_relaxed(!pinned && bins.out == 0);
        return nullptr;
      }
    }
  bins.stuck.store_relaxed(!pinned && bins.out == 0);
  return nullptr;
}

bool Section::set_stuck(u32 client, bool persistent) {
  Bins &bins = bins_[client][persistent];
  if (bins.out == 1) bins.stuck.store_relaxed(true);  // the one that was to be emptied
  return bins.stuck.load_relaxed();
}

// Holes are worth the copying when they are a quarter of their runs. That they cannot be had compaction finds out.
u64 Section::compactable(u32 client, bool persistent) const TMEM_UNCHECKED {
  const Bins &bins = bins_[client][persistent];
  const u64 free_units = bins.free_units.load_relaxed();
  if (free_units * 4 <= u64{bins.runs.load_relaxed()} * kUnitsPerRun || bins.stuck.load_relaxed()) return 0;
  return free_units / kUnitsPerRun * kFramesPerRun;
}

// ---- Bins

void Section::into_bin(Run &run) {
  const u32 number = bin_for(run);
  if (number == 0) return;
  Bins &bins = bins_of(run);
  run.bin = static_cast<u8>(number);
  bins.bin[number].push_back(run);
  Atomic<u64> &filled = bins.filled[number / 64];
  filled.store_relaxed(filled.load_relaxed() | u64{1} << number % 64);
  bins.free_units.add(run.free_units);
  bins.runs.add(1);
}

void Section::out_of_bin(Run &run, u32 free_units) {
  if (!run.in_bin.linked()) return;
  Bins &bins = bins_of(run);
  Bin &bin = bins.bin[run.bin];
  bin.remove(run);
  Atomic<u64> &filled = bins.filled[run.bin / 64];
  if (bin.empty()) filled.store_relaxed(filled.load_relaxed() & ~(u64{1} << run.bin % 64));
  bins.free_units.add(-u64{free_units});
  bins.runs.add(~u32{0});
}

void Section::change_bin(Run &run, u32 free_units_before) {
  if (run.on_its_way) return;
  if (run.in_bin.linked() && bin_for(run) == run.bin) {
    bins_of(run).free_units.add(u64{run.free_units} - free_units_before);
    return;
  }
  out_of_bin(run, free_units_before);
  into_bin(run);
}

// ---- Tests

int Section::validate_bin_of(const Run &run) const {
  const u32 number = bin_for(run);
  if ((number != 0) != run.in_bin.linked()) return 110;
  return number && run.bin != number ? 111 : 0;
}

int Section::validate_bins(u32 client, bool persistent) const {
  const Bins &bins = bins_[client][persistent];
  if (bins.out || bins.compacting.load_relaxed()) return 120;
  u64 runs = 0, free_units = 0;
  const Run *before = nullptr;
  for (const Run *run = bins.order.front(); run; run = bins.order.after(*run)) {
    if (before && is_older(run->age, before->age)) return 121;
    before = run;
    if (!run->in_bin.linked()) continue;
    runs++;
    free_units += run->free_units;
  }
  const Run *oldest = bins.order.front();
  if (bins.oldest.load_relaxed() != (oldest ? kListed | oldest->age : kNone)) return 122;
  for (u32 number = 0; number < kBins; ++number)
    if (bins.bin[number].empty() == (bins.filled[number / 64].load_relaxed() >> number % 64 & 1)) return 123;
  return bins.runs.load_relaxed() == runs && bins.free_units.load_relaxed() == free_units ? 0 : 118;
}

}  // namespace tmem
