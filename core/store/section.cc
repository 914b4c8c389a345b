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
  const u32 first = (units + 1 + kUnitsPerBin - 1) / kUnitsPerBin;
  u32 looked_at = 0;
  for (u32 group = first / 64; group < kBins / 64; ++group) {
    u64 left = bins.filled[group];
    if (group == first / 64) left &= ~u64{0} << first % 64;
    for (; left; left &= left - 1) {
      const Bin &bin = bins.bin[group * 64 + lowest_bit(left)];
      for (Run *run = bin.front(); run; run = bin.after(*run)) {
        const bool packs = !run->fits_at_tail(units);
        if (run->has_room(units) && (!packs || (run->pack() && run->fits_at_tail(units)))) {
          counts.packings += packs;
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
  run.left_over = false;
  change_bin(run, free_units);
  run.pins.pin_locked();
  counts.entries++;
  counts.entries_raw += request.format.is_raw();
  counts.entries_stored_raw += request.format.is_raw() && !request.moved;
  counts.bytes_stored += request.format.bytes();
  counts.checksum_bytes += request.format.checksum_bytes();
  if (request.moved) return {&run, slot};
  Bins &bins = bins_of(run);
  if (run.tail < kUnitsPerRun) bins.free_from.store_relaxed(reinterpret_cast<uptr>(run.address(run.tail)));
  if (run.persistent) return {&run, slot};
  const bool touch = bins.filled_last != &run || ++bins.put_since >= kPagesPerTouch;
  bins.filled_last = &run;
  if (touch) bins.put_since = 0;
  return {&run, slot, touch};
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
  counts.entries--;
  counts.entries_raw -= format.is_raw();
  counts.bytes_stored -= format.bytes();
  counts.checksum_bytes -= format.checksum_bytes();
  run.remove(slot);
  run.left_over = false;
  bins_of(run).stuck = false;
}

// ---- Runs

void Section::add(Run &run, u32 client, bool persistent) {
  run.client = static_cast<u8>(client);
  run.persistent = persistent;
  run.section = static_cast<u8>(number_);
  into_bin(run);
  bins_of(run).stuck = false;
  counts.runs++;
}

void Section::remove(Run &run) {
  out_of_bin(run, run.free_units);
  Bins &bins = bins_of(run);
  if (bins.filled_last == &run) bins.filled_last = nullptr;
  bins.out -= run.on_its_way;
  counts.runs--;
}

void Section::set_out(Run &run) {
  out_of_bin(run, run.free_units);
  run.on_its_way = true;
  bins_of(run).out++;
}

void Section::set_back(Run &run) {
  run.on_its_way = false;
  bins_of(run).out--;
  into_bin(run);
}

Run *Section::sparse(u32 client, bool persistent) {
  const Bins &bins = bins_[client][persistent];
  if (bins.stuck) return nullptr;
  const u64 free_units = bins.free_units.load_relaxed();
  u32 looked_at = 0;
  for (u32 group = kBins / 64; group-- > 0;)
    for (u64 left = bins.filled[group]; left;) {
      const u32 number = highest_bit(left);
      left &= ~(u64{1} << number);
      const Bin &bin = bins.bin[group * 64 + number];
      for (Run *run = bin.front(); run; run = bin.after(*run)) {
        const u32 used = kUnitsPerRun - run->free_units;
        if (free_units - run->free_units < used || looked_at++ == kCandidates) return nullptr;
        // A pin may be a writer's, and what he has not written must not be copied:
        // he could publish it between the copy and the move.
        if (!run->pins.any() && !run->left_over && (persistent || bins.filled_last != run)) return run;
      }
    }
  return nullptr;
}

bool Section::set_stuck(u32 client, bool persistent) {
  Bins &bins = bins_[client][persistent];
  if (bins.out == 1) bins.stuck = true;  // the one that was to be emptied
  return bins.stuck;
}

// Holes are worth the copying when they are a quarter of their runs.
u64 Section::compactable(u32 client, bool persistent) {
  const Bins &bins = bins_[client][persistent];
  const u64 free_units = bins.free_units.load_relaxed();
  if (free_units * 4 <= bins.runs * kUnitsPerRun || !sparse(client, persistent)) return 0;
  return free_units / kUnitsPerRun * kFramesPerRun;
}

// ---- Bins

void Section::into_bin(Run &run) {
  const u32 number = bin_for(run);
  if (number == 0) return;
  Bins &bins = bins_of(run);
  run.bin = static_cast<u8>(number);
  bins.bin[number].push_back(run);
  bins.filled[number / 64] |= u64{1} << number % 64;
  bins.free_units.store_relaxed(bins.free_units.load_relaxed() + run.free_units);
  bins.runs++;
}

void Section::out_of_bin(Run &run, u32 free_units) {
  if (!run.in_bin.linked()) return;
  Bins &bins = bins_of(run);
  Bin &bin = bins.bin[run.bin];
  bin.remove(run);
  if (bin.empty()) bins.filled[run.bin / 64] &= ~(u64{1} << run.bin % 64);
  bins.free_units.store_relaxed(bins.free_units.load_relaxed() - free_units);
  bins.runs--;
}

void Section::change_bin(Run &run, u32 free_units_before) {
  if (run.on_its_way) return;
  if (run.in_bin.linked() && bin_for(run) == run.bin) {
    Atomic<u64> &sum = bins_of(run).free_units;
    sum.store_relaxed(sum.load_relaxed() + run.free_units - free_units_before);
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

int Section::validate_bins(u32 client, bool persistent, u64 runs_in_bins, u64 free_units) const {
  const Bins &bins = bins_[client][persistent];
  if (bins.out || bins.compacting) return 120;
  return bins.runs == runs_in_bins && bins.free_units.load_relaxed() == free_units ? 0 : 118;
}

}  // namespace tmem
