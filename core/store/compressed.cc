// SPDX-License-Identifier: GPL-2.0
#include "compressed.h"

#include "../engine/same_filled.h"
#include "stores.h"

namespace tmem {

// A compressed page this large takes as much of a run as a raw one, which is read back faster.
static constexpr u32 kRawFrom = kPageBytes - kUnitBytes + 1;
// How many runs one put may try to evict before it gives up. One is enough unless somebody is
// reading in it at this moment, or the budget has been lowered; or a file is being flushed, of
// which a leaf's pages, 256 in up to 37 runs, are not to be had until they are freed.
static constexpr u32 kEvictionsPerPut = 40;
// How many runs that cannot be emptied shrinking passes over before it gives up.
static constexpr u32 kFailuresPerShrink = 48;
// How many frames are evicted before others get a turn, in process context.
static constexpr u64 kFramesPerBatch = 64;
// How many pinned runs a put looks at before it takes a new run.
static constexpr u32 kRunsPerSearch = 8;

// ---- Pins

void CompressedStore::pin(Run &run) {
  if (run.pins.try_pin()) return;
  Guard guard(lock_);  // nothing moves under it
  run.pins.pin_locked();
}

void CompressedStore::unpin(Run &run) {
  if (run.pins.try_unpin()) return;
  bool emptied = false;
  {
    Guard guard(lock_);
    if (run.pins.unpin_locked()) emptied = reap_locked(run);
  }
  if (emptied) free_run(&run);
}

// ---- In

Result<CompressedStore::Encoded> CompressedStore::encode(const tmem_pam_page &page,
                                                         const tmem_codec_buffers &buffers) const {
  if (!buffers.workspace) return Outcome::kRefusedNested;
  u64 word;
  // The engine keeps persistent ones by itself.
  if (!page.persistent && engine_.tunable(TMEM_TUNABLE_SAME_FILLED) &&
      is_same_filled(page.data, &word)) {
    __builtin_memcpy(buffers.output, &word, sizeof(word));
    return Encoded{buffers.output, EntryFormat::same_filled()};
  }
  unsigned long bytes = 0;
  if (host_.compress(page.data, buffers.output, &bytes, buffers.workspace) != 0 || bytes == 0)
    bytes = kPageBytes;
  const u64 percent = engine_.tunable(page.persistent ? TMEM_TUNABLE_ADMIT_PERSISTENT_PERCENT
                                                      : TMEM_TUNABLE_ADMIT_EPHEMERAL_PERCENT);
  if (!RunBudget::admits(min<u64>(bytes, kPageBytes), page.persistent != 0, percent))
    return Outcome::kRefusedPoor;
  if (bytes >= kRawFrom && page.persistent) return Encoded{page.data, EntryFormat::raw()};
  return Encoded{buffers.output, EntryFormat::compressed(static_cast<u32>(bytes))};
}

Result<Pampd> CompressedStore::create(const tmem_pam_page &page) {
  // The buffers are this CPU's until codec_end: the encoded page lives in them.
  const tmem_codec_buffers buffers = host_.codec_begin();
  Result<Pampd> created = Outcome::kNoMemory;
  const Result<Encoded> encoded = encode(page, buffers);
  if (encoded.ok()) {
    auto [data, format] = encoded.value();
    u32 checksum = 0;
    if (engine_.tunable(TMEM_TUNABLE_CHECKSUM)) {
      checksum = host_.checksum(data, format.bytes());
      format = format.with_checksum();
    }
    const Result<Place> place = reserve(
        {page.client, page.persistent != 0, static_cast<u32>(page.back_reference), format});
    if (place.ok()) {
      const auto [run, slot] = place.value();
      run->write(slot, checksum, data);
      corrupt_if_asked(*run, slot);
      created = pampd_of(*run, slot);
      unpin(*run);
    } else {
      created = place.outcome();
    }
  } else {
    created = encoded.outcome();
  }
  host_.codec_end();
  return created;
}

Result<CompressedStore::Place> CompressedStore::reserve(const Request &request) {
  {
    Guard guard(lock_);
    if (const Maybe<Place> place = place_locked(request)) return *place;
  }
  const Result<Run *> run = obtain_run(request);
  Guard guard(lock_);
  if (!run.ok()) {
    // What was tried may have made room all the same.
    const Maybe<Place> place = place_locked(request);
    return place ? Result<Place>(*place) : run.outcome();
  }
  adopt(*run.value(), request.client, request.persistent);
  return place_in(*run.value(), request);
}

// In the fullest run that surely has room, if there is one.
Maybe<CompressedStore::Place> CompressedStore::place_locked(const Request &request) {
  const Bins &bins = bins_[request.client][request.persistent ? 1 : 0];
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
          packings_ += packs;
          return place_in(*run, request);
        }
        if (++looked_at == kRunsPerSearch) return {};
      }
    }
  }
  return {};
}

CompressedStore::Place CompressedStore::place_in(Run &run, const Request &request) {
  out_of_bin(run);
  const u32 slot = run.place(request.back_reference, request.format);
  run.left_over = 0;
  into_bin(run);
  run.pins.pin_locked();
  if (!run.persistent && !request.moved) budget_.touch(run, run.client);
  entries_++;
  entries_raw_ += request.format.is_raw();
  entries_stored_raw_ += request.format.is_raw() && !request.moved;
  bytes_stored_ += request.format.bytes();
  checksum_bytes_ += request.format.checksum_bytes();
  return {&run, slot};
}

// ---- Out

Outcome CompressedStore::get_data(Pampd pampd, void *page) {
  const auto [run, slot] = place_of(pampd);
  pin(*run);
  Outcome outcome = Outcome::kCorrupt;
  if (!run->is_sane(slot)) {
    decoder_errors_.fetch_add_relaxed(1);
  } else if (run->crosses(slot)) {
    // Only an entry in two frames that are not neighbours needs the bounce page of this CPU.
    outcome = read(*run, slot, host_.codec_begin().bounce, page);
    host_.codec_end();
  } else {
    outcome = read(*run, slot, nullptr, page);
  }
  unpin(*run);
  return outcome;
}

Outcome CompressedStore::read(const Run &run, u32 slot, void *bounce, void *page) {
  const EntryFormat format = run.entry(slot).format;
  const u8 *data = run.data(slot, bounce);
  if (format.has_checksum() && host_.checksum(data, format.bytes()) != run.checksum(slot)) {
    checksum_errors_.fetch_add_relaxed(1);
    return Outcome::kCorrupt;
  }
  if (format.is_same_filled()) {
    fill(page, load_word(data, 0));
  } else if (format.is_raw()) {
    __builtin_memcpy(page, data, kPageBytes);
  } else if (host_.decompress(data, format.bytes(), page) != 0) {
    decoder_errors_.fetch_add_relaxed(1);
    return Outcome::kCorrupt;
  }
  return Outcome::kDone;
}

void CompressedStore::free(Pampd pampd) {
  const auto [run, slot] = place_of(pampd);
  bool emptied;
  {
    Guard guard(lock_);
    emptied = drop_locked(*run, slot);
  }
  if (emptied) free_run(run);
}

bool CompressedStore::drop_locked(Run &run, u32 slot) {
  if (run.pins.doom()) {
    run.entry(slot).back_reference = Entry::kDoomed;
    return false;
  }
  release_entry_locked(run, slot);
  return retire_if_empty_locked(run);
}

// The last pin is gone: so are the entries that were freed meanwhile.
bool CompressedStore::reap_locked(Run &run) {
  if (!run.pins.end_doom()) return false;
  for (u32 slot = 0; slot < run.slots_made; ++slot)
    if (run.entry(slot).in_use() && run.entry(slot).is_doomed()) release_entry_locked(run, slot);
  return retire_if_empty_locked(run);
}

// Whoever has it on its way deals itself with a run that empties in his hands.
bool CompressedStore::retire_if_empty_locked(Run &run) {
  if (!run.empty() || run.on_its_way) return false;
  out_of_bin(run);
  budget_.delist(run, run.client, run.persistent);
  budget_.uncharge(run.client);
  runs_--;
  return true;
}

void CompressedStore::release_entry_locked(Run &run, u32 slot) {
  const EntryFormat format = run.entry(slot).format;
  entries_--;
  entries_raw_ -= format.is_raw();
  bytes_stored_ -= format.bytes();
  checksum_bytes_ -= format.checksum_bytes();
  out_of_bin(run);
  run.remove(slot);
  if (!run.on_its_way) into_bin(run);
  bins_of(run).stuck = false;
  run.left_over = 0;
}

// ---- Bins

void CompressedStore::into_bin(Run &run) {
  const u32 bin = min(run.free_units / kUnitsPerBin, kBins - 1);
  if (bin == 0 || run.full_directory()) return;
  Bins &bins = bins_of(run);
  run.bin = bin & (kBins - 1);
  bins.bin[bin].push_back(run);
  bins.filled[bin / 64] |= u64{1} << bin % 64;
  bins.free_units += run.free_units;
  bins.runs++;
}

void CompressedStore::out_of_bin(Run &run) {
  if (!run.in_bin.linked()) return;
  Bins &bins = bins_of(run);
  Bin &bin = bins.bin[run.bin];
  bin.remove(run);
  if (bin.empty()) bins.filled[run.bin / 64] &= ~(u64{1} << run.bin % 64);
  bins.free_units -= run.free_units;
  bins.runs--;
}

// ---- Runs

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

void CompressedStore::adopt(Run &run, u32 client, bool persistent) {
  run.client = client & 15;
  run.persistent = persistent;
  budget_.enlist(run, client, persistent);
  into_bin(run);
  runs_++;
}

Result<Run *> CompressedStore::charge_and_allocate(u32 client, u32 flags) {
  {
    Guard guard(lock_);
    const Outcome verdict = budget_.charge(client);
    if (verdict != Outcome::kDone) return verdict;
  }
  if (Run *run = allocate_run(flags)) return run;
  Guard guard(lock_);
  budget_.uncharge(client);
  return Outcome::kNoMemory;
}

// A run that was emptied, for @client; nullptr, and it is freed, if its budget is gone meanwhile.
Run *CompressedStore::recharge(Run *run, u32 client) {
  {
    Guard guard(lock_);
    if (budget_.charge(client) == Outcome::kDone) return run;
  }
  free_run(run);
  return nullptr;
}

Result<Run *> CompressedStore::obtain_run(const Request &request) {
  Outcome verdict = Outcome::kNoMemory;
  for (u32 attempt = 0; attempt < kEvictionsPerPut; ++attempt) {
    const Result<Run *> fresh = charge_and_allocate(request.client, 0);
    if (fresh.ok()) return fresh;
    // No room, or no memory: the oldest ephemeral run pays; if there is none, holes do.
    verdict = fresh.outcome();
    bool nothing_left = false;
    Run *run = evict_run(verdict, request.client, &nothing_left);
    if (nothing_left) {
      bool left_over = false;
      run = compact_run(request.client, request.persistent, &left_over);
      if (!run && !left_over) break;
    }
    if (run && (run = recharge(run, request.client))) return run;
  }
  // The reclaim reserves come last, and only for what gives back more than it takes.
  if (verdict == Outcome::kNoMemory && request.persistent && !request.format.is_raw()) {
    const Result<Run *> last = charge_and_allocate(request.client, TMEM_ALLOC_RESERVES);
    if (last.ok()) frames_from_reserves_.fetch_add_relaxed(kFramesPerRun);
    return last;
  }
  return verdict;
}

void CompressedStore::set_out_locked(Run &run) {
  on_their_way_++;
  out_of_bin(run);
  run.on_its_way = 1;
}

bool CompressedStore::arrive_locked(Run &run) {
  on_their_way_--;
  if (!run.empty()) {
    // Some page is being read, or not yet published, or had no room elsewhere.
    run.on_its_way = 0;
    into_bin(run);
    return false;
  }
  budget_.delist(run, run.client, run.persistent);
  budget_.uncharge(run.client);
  runs_--;
  run.reset();
  return true;
}

void CompressedStore::next_batch(const Run &run, u32 *cursor, Batch &batch) {
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
  u32 cursor = 0;
  Batch batch;
  {
    Guard guard(lock_);
    run = budget_.victim(reason, client);
    if (!run) {
      // What another CPU is emptying right now may come back.
      *nothing_left = on_their_way_ == 0;
      return nullptr;
    }
    set_out_locked(*run);
    next_batch(*run, &cursor, batch);
  }
  for (;;) {
    // Bottom-up, with no lock of ours held.
    u32 taken = 0;
    for (u32 i = 0; i < batch.count; ++i)
      if (engine_.evict(BackReference{batch.back_references[i]}, pampd_of(*run, batch.slots[i])))
        batch.slots[taken++] = batch.slots[i];
    Guard guard(lock_);
    for (u32 i = 0; i < taken; ++i) static_cast<void>(drop_locked(*run, batch.slots[i]));
    budget_.accounts[run->client].pages_evicted += taken;
    next_batch(*run, &cursor, batch);
    if (batch.count) continue;
    if (!arrive_locked(*run)) {
      // Not the next one again: what is in the way may take its time.
      budget_.touch(*run, run->client);
      return nullptr;
    }
    frames_evicted_ += kFramesPerRun;
    budget_.accounts[run->client].frames_evicted += kFramesPerRun;
    if (reason == Outcome::kRefusedLimit) evicted_for_limit_ += kFramesPerRun;
    if (reason == Outcome::kNoMemory) evicted_for_memory_ += kFramesPerRun;
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
      Guard guard(lock_);
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
    Guard guard(lock_);
    budget_.accounts[client].weight = weight;
    budget_.accounts[client].limit = limit_frames;
  }
  for (u32 failures = 0; failures < kFailuresPerShrink;) {
    {
      Guard guard(lock_);
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

// ---- Reporting and tests

void CompressedStore::usage(tmem_usage &usage) {
  usage.frames_compactable = compactable();
  Guard guard(lock_);
  usage.frames = budget_.frames;
  usage.frames_limit = budget_.limit;
  usage.frames_ephemeral = budget_.ephemeral_frames();
  usage.frames_evicted = frames_evicted_;
  usage.frames_evicted_for_limit = evicted_for_limit_;
  usage.frames_evicted_for_memory = evicted_for_memory_;
  usage.frames_compacted = frames_compacted_;
  usage.frames_from_reserves = frames_from_reserves_.load_relaxed();
  usage.entries = entries_;
  usage.entries_raw = entries_raw_;
  usage.entries_stored_raw = entries_stored_raw_;
  usage.entries_moved = entries_moved_;
  usage.bytes_stored = bytes_stored_;
  usage.compactions = packings_;
  usage.checksum_errors = checksum_errors_.load_relaxed();
  usage.decoder_errors = decoder_errors_.load_relaxed();
  usage.metadata_bytes = runs_ * sizeof(Run);
  usage.directory_bytes = entries_ * sizeof(Entry);
  usage.checksum_bytes = checksum_bytes_;
  usage.store_bytes = sizeof(CompressedStore);
}

void CompressedStore::client_usage(u32 client, tmem_client_usage &usage) {
  Guard guard(lock_);
  budget_.report(client, usage);
}

void CompressedStore::corrupt_if_asked(Run &run, u32 slot) {
#ifdef TMEM_DEBUG
  u64 left = corrupt_next_.load_relaxed();
  do {
    if (left == 0) return;
  } while (!corrupt_next_.compare_exchange(left, left - 1));
  const Entry &entry = run.entry(slot);
  // In the data, not in the checksum in front of it.
  *run.address(entry.unit + (entry.format.checksum_bytes() + entry.format.bytes()) / 2 / kUnitBytes) ^= 0x10;
#else
  static_cast<void>(run), static_cast<void>(slot);
#endif
}

int CompressedStore::validate_run(const Run &run) {
  if (run.on_its_way || run.pins.any()) return 102;
  if (run.empty()) return 103;
  u8 owner[kUnitsPerRun / 8] = {};
  u32 used = 0, entries = 0, free_slots = 0;
  for (u32 slot = 0; slot < run.slots_made; ++slot) {
    const Entry &entry = run.entry(slot);
    if (!entry.in_use()) continue;
    if (entry.is_doomed()) return 104;
    if (!run.is_sane(slot)) return 105;
    const u32 units = entry.format.units();
    if (entry.unit + units > run.tail) return 106;
    for (u32 unit = entry.unit; unit < entry.unit + units; ++unit) {
      if (owner[unit / 8] >> unit % 8 & 1) return 107;  // two entries overlap
      owner[unit / 8] |= static_cast<u8>(1u << unit % 8);
    }
    used += units;
    entries++;
    if (!engine_.resolves(BackReference{entry.back_reference}, pampd_of(run, slot))) return 108;
  }
  for (u32 slot = run.free_slot; slot != Run::kNoSlot; slot = run.entry(slot).unit)
    if (slot >= run.slots_made || run.entry(slot).in_use() || ++free_slots > run.slots_made)
      return 115;
  if (entries != run.entries || entries + free_slots != run.slots_made) return 116;
  if (used + run.slots_made + run.free_units != kUnitsPerRun) return 109;
  if (run.tail + run.slots_made > kUnitsPerRun) return 117;
  const bool wants_bin = run.free_units / kUnitsPerBin > 0 && !run.full_directory();
  if (wants_bin != run.in_bin.linked()) return 110;
  if (wants_bin && run.bin != min(run.free_units / kUnitsPerBin, kBins - 1)) return 111;
  return 0;
}

// Only tests call it and nothing else runs, so it may hold the lock long.
int CompressedStore::validate() {
  Guard guard(lock_);
  u64 frames = 0, entries = 0, bytes = 0, checksum_bytes = 0, runs = 0;
  for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client) {
    RunBudget::Account &account = budget_.accounts[client];
    u64 account_frames = 0, ephemeral_frames = 0;
    for (u32 kind = 0; kind < 2; ++kind) {
      const bool persistent = kind;
      RunBudget::Blocks &blocks = persistent ? account.persistent : account.ephemeral;
      u64 in_bins = 0, free_units = 0;
      for (const Run *run = blocks.front(); run; run = blocks.after(*run)) {
        if (run->client != client || run->persistent != persistent) return 101;
        if (const int broken = validate_run(*run)) return broken;
        runs++;
        account_frames += kFramesPerRun;
        if (!persistent) ephemeral_frames += kFramesPerRun;
        entries += run->entries;
        for (u32 slot = 0; slot < run->slots_made; ++slot)
          if (const EntryFormat format = run->entry(slot).format; format.in_use()) {
            bytes += format.bytes();
            checksum_bytes += format.checksum_bytes();
          }
        if (!run->in_bin.linked()) continue;
        in_bins++;
        free_units += run->free_units;
      }
      const Bins &bins = bins_[client][kind];
      if (bins.runs != in_bins || bins.free_units != free_units) return 118;
    }
    if (account_frames != account.frames || ephemeral_frames != account.ephemeral_frames) return 112;
    frames += account_frames;
  }
  if (frames != budget_.frames || on_their_way_) return 113;
  if (entries != entries_ || bytes != bytes_stored_ || runs != runs_) return 114;
  if (checksum_bytes != checksum_bytes_) return 119;
  return 0;
}

// ---- The PAM ops

namespace compressed_pam {

static CompressedStore &store_of(void *pam) { return *static_cast<CompressedStore *>(pam); }

static int start(tmem_host *host, void **pam) {
  void *memory = host->host().table_alloc(sizeof(CompressedStore));
  if (!memory) return TMEM_NO_MEMORY;
  *pam = new (Placement{memory}) CompressedStore(*host);
  return TMEM_OK;
}

static void stop(void *pam) {
  CompressedStore &store = store_of(pam);
  const tmem_host_ops &host = store.host();
  store.~CompressedStore();
  host.table_free(pam, sizeof(CompressedStore));
}

static int create(void *pam, const tmem_pam_page *page, unsigned long long *pampd) {
  const Result<Pampd> created = store_of(pam).create(*page);
  if (created.ok()) *pampd = created.value().value;
  return to_abi(created.outcome());
}
static void hold(void *pam, unsigned long long pampd) { store_of(pam).hold(Pampd{pampd}); }
static int get_data(void *pam, unsigned long long pampd, void *data) {
  return to_abi(store_of(pam).get_data(Pampd{pampd}, data));
}
static void release(void *pam, unsigned long long pampd) { store_of(pam).release(Pampd{pampd}); }
static void free(void *pam, unsigned long long pampd) { store_of(pam).free(Pampd{pampd}); }
static unsigned long long shrink(void *pam, unsigned long long frames) {
  return store_of(pam).shrink(frames);
}
static unsigned long long compact(void *pam, unsigned long long frames) {
  return store_of(pam).compact(frames);
}
static void set_limit(void *pam, unsigned long long frames) { store_of(pam).set_limit(frames); }
static void set_client(void *pam, unsigned int client, unsigned int weight,
                       unsigned long long limit_frames) {
  store_of(pam).set_client(client, weight, limit_frames);
}
static void usage(void *pam, tmem_usage *usage) { store_of(pam).usage(*usage); }
static void client_usage(void *pam, unsigned int client, tmem_client_usage *usage) {
  store_of(pam).client_usage(client, *usage);
}

static constexpr tmem_pam_ops kOps = {sizeof(tmem_pam_ops), 0,    start,  stop,    create,
                                      hold,                 release, get_data, free, shrink,
                                      compact,              set_limit, set_client, usage, client_usage};

}  // namespace compressed_pam

int validate_compressed_store(void *pam) { return compressed_pam::store_of(pam).validate(); }
void corrupt_next_in_compressed_store(void *pam, u64 count) {
  compressed_pam::store_of(pam).corrupt_next(count);
}

}  // namespace tmem

const tmem_pam_ops *tmem_compressed_pam(void) { return &tmem::compressed_pam::kOps; }
