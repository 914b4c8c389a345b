// SPDX-License-Identifier: GPL-2.0
#include "compressed.h"

#include "../engine/same_filled.h"
#include "stores.h"

namespace tmem {

// A compressed page this large takes as much of a run as three to a run, and
// so does a raw one, which is read back faster.
static constexpr u32 kRawFrom = kPageBytes - kUnitBytes + 1;
// How many runs one put may evict before it gives up. One is enough unless
// somebody is reading in it at this moment, or the budget has been lowered.
static constexpr u32 kEvictionsPerPut = 8;
// How many runs that cannot be emptied shrinking passes over before it gives up.
static constexpr u32 kFailuresPerShrink = 16;
// How many frames are evicted before others get a turn, in process context.
static constexpr u64 kFramesPerBatch = 64;
// How many pinned runs a put looks at before it takes a new run.
static constexpr u32 kRunsPerSearch = 8;

// ---- In

Result<CompressedStore::Encoded> CompressedStore::encode(const tmem_pam_page &page,
                                                         const tmem_codec_buffers &buffers) const {
  if (!buffers.workspace) return Outcome::kRefusedNested;
  u64 word;
  if (engine_.tunable(TMEM_TUNABLE_SAME_FILLED) && is_same_filled(page.data, &word)) {
    __builtin_memcpy(buffers.output, &word, sizeof(word));
    return Encoded{buffers.output, EntryFormat::same_filled()};
  }
  unsigned long bytes = 0;
  if (host_.compress(page.data, buffers.output, &bytes, buffers.workspace) != 0 || bytes == 0)
    bytes = kPageBytes;
  const u64 admit = engine_.tunable(page.persistent ? TMEM_TUNABLE_ADMIT_PERSISTENT_PERCENT
                                                    : TMEM_TUNABLE_ADMIT_EPHEMERAL_PERCENT);
  const bool poor = min<u64>(bytes, kPageBytes) * 100 > admit * kPageBytes;
  if (poor || (bytes >= kPageBytes && !page.persistent)) return Outcome::kRefusedPoor;
  if (bytes >= kRawFrom && page.persistent) return Encoded{page.data, EntryFormat::raw()};
  return Encoded{buffers.output, EntryFormat::compressed(static_cast<u32>(bytes))};
}

Result<Pampd> CompressedStore::create(const tmem_pam_page &page) {
  // The buffers are this CPU's until codec_end: the encoded page lives in them.
  const tmem_codec_buffers buffers = host_.codec_begin();
  Result<Pampd> created = Outcome::kNoMemory;
  const Result<Encoded> encoded = encode(page, buffers);
  if (encoded.ok()) {
    const auto [data, format] = encoded.value();
    Request request{page.client, page.persistent != 0, format, {page.back_reference, 0, 1}};
    if (engine_.tunable(TMEM_TUNABLE_CHECKSUM)) {
      request.header.checksum = host_.checksum(data, format.bytes());
      request.format = format.with_checksum();
    }
    const Result<Place> place = reserve(request);
    if (place.ok()) {
      const auto [run, slot] = place.value();
      run->write_data(slot, data);
      corrupt_if_asked(*run, slot);
      Guard guard(lock_);
      run->pins--;
      created = pampd_of(*run, slot);
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
    Place place;
    if (place_locked(request, place)) return place;
  }
  const Result<Run *> run = obtain_run(request);
  if (!run.ok()) return run.outcome();
  Guard guard(lock_);
  adopt(*run.value(), request.client, request.persistent);
  return place_in(*run.value(), request);
}

bool CompressedStore::place_locked(const Request &request, Place &place) {
  const Bins &bins = bins_[request.client][request.persistent ? 1 : 0];
  const u32 units = request.format.units();
  const u32 first = (units + kUnitsPerBin - 1) / kUnitsPerBin;
  u32 looked_at = 0;
  for (u64 left = bins.filled & ~u64{0} << first; left; left &= left - 1) {
    const Bin &bin = bins.bin[lowest_bit(left)];
    for (Run *run = bin.front(); run; run = bin.after(*run)) {
      if (run->has_room(units)) {
        place = place_in(*run, request);
        return true;
      }
      if (++looked_at == kRunsPerSearch) return false;
    }
  }
  return false;
}

CompressedStore::Place CompressedStore::place_in(Run &run, const Request &request) {
  if (!run.fits_at_tail(request.format.units())) compactions_++;
  out_of_bin(run);
  const u32 slot = run.place(request.format);
  into_bin(run);
  run.header(slot) = request.header;
  run.pins++;
  if (!run.persistent) budget_.touch(run, run.client);
  entries_++;
  entries_raw_ += request.format.is_raw();
  bytes_stored_ += request.format.bytes();
  return {&run, slot};
}

// ---- Out

void CompressedStore::hold(Pampd pampd) {
  const auto [run, slot] = place_of(pampd);
  Guard guard(lock_);
  run->header(slot).references++;
}

Outcome CompressedStore::get_data(Pampd pampd, void *page) {
  const auto [run, slot] = place_of(pampd);
  u32 checksum;
  {
    Guard guard(lock_);
    checksum = run->header(slot).checksum;
    run->pins++;
  }
  const EntryFormat format = run->format_of[slot];
  // Only an entry that crosses a frame's end needs the bounce page of this CPU.
  const bool bounced = run->crosses(slot);
  void *bounce = bounced ? host_.codec_begin().bounce : nullptr;
  const u8 *data = run->data(slot, bounce);

  Outcome outcome = Outcome::kDone;
  if (format.has_checksum() && host_.checksum(data, format.bytes()) != checksum) {
    checksum_errors_.fetch_add_relaxed(1);
    outcome = Outcome::kCorrupt;
  } else if (format.is_same_filled()) {
    fill(page, load_word(data, 0));
  } else if (format.is_raw()) {
    __builtin_memcpy(page, data, kPageBytes);
  } else if (host_.decompress(data, format.bytes(), page) != 0) {
    decoder_errors_.fetch_add_relaxed(1);
    outcome = Outcome::kCorrupt;
  }
  if (bounced) host_.codec_end();
  Guard guard(lock_);
  run->pins--;
  return outcome;
}

void CompressedStore::free(Pampd pampd) {
  const auto [run, slot] = place_of(pampd);
  {
    Guard guard(lock_);
    if (--run->header(slot).references) return;
    release_entry_locked(*run, slot);
    // The evictor deals itself with a run that empties in its hands.
    if (!run->empty() || run->evicting) return;
    out_of_bin(*run);
    budget_.delist(*run, run->client, run->persistent);
    budget_.uncharge(run->client);
    runs_--;
  }
  free_run(run);
}

void CompressedStore::release_entry_locked(Run &run, u32 slot) {
  const EntryFormat format = run.format_of[slot];
  entries_--;
  entries_raw_ -= format.is_raw();
  bytes_stored_ -= format.bytes();
  out_of_bin(run);
  run.remove(slot);
  if (!run.evicting) into_bin(run);
}

// ---- Bins

void CompressedStore::into_bin(Run &run) {
  const u32 bin = min(run.free_units / kUnitsPerBin, kBins - 1);
  if (bin == 0 || run.full_directory()) return;
  Bins &bins = bins_of(run);
  run.bin = static_cast<u8>(bin);
  bins.bin[bin].push_back(run);
  bins.filled |= u64{1} << bin;
}

void CompressedStore::out_of_bin(Run &run) {
  if (!run.in_bin.linked()) return;
  Bins &bins = bins_of(run);
  Bin &bin = bins.bin[run.bin];
  bin.remove(run);
  if (bin.empty()) bins.filled &= ~(u64{1} << run.bin);
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
  return run;
}

void CompressedStore::free_run(Run *run) {
  for (void *frame : run->frames) host_.frame_free(frame);
  host_.object_free(TMEM_KIND_RUN, run);
}

void CompressedStore::adopt(Run &run, u32 client, bool persistent) {
  run.client = static_cast<u8>(client);
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

Result<Run *> CompressedStore::obtain_run(const Request &request) {
  Outcome verdict = Outcome::kNoMemory;
  for (u32 attempt = 0; attempt < kEvictionsPerPut; ++attempt) {
    const Result<Run *> fresh = charge_and_allocate(request.client, 0);
    if (fresh.ok()) return fresh;
    // No room, or no memory: the oldest ephemeral run pays.
    verdict = fresh.outcome();
    bool nothing_left = false;
    Run *run = evict_run(verdict, request.client, &nothing_left);
    if (nothing_left) break;
    if (!run) continue;
    {
      Guard guard(lock_);
      if (budget_.charge(request.client) == Outcome::kDone) return run;
    }
    free_run(run);
  }
  // The reclaim reserves come last, and only for what gives back more than it takes.
  if (verdict == Outcome::kNoMemory && request.persistent && !request.format.is_raw())
    return charge_and_allocate(request.client, TMEM_ALLOC_RESERVES);
  return verdict;
}

Run *CompressedStore::evict_run(Outcome reason, u32 client, bool *nothing_left) {
  Run *run;
  u64 slots, taken = 0;
  u64 back_references[kSlotsPerRun];
  {
    Guard guard(lock_);
    run = budget_.victim(reason, client);
    if (!run) {
      // What another CPU is emptying right now may come back.
      *nothing_left = evictions_under_way_ == 0;
      return nullptr;
    }
    evictions_under_way_++;
    budget_.delist(*run, run->client, run->persistent);
    out_of_bin(*run);
    run->evicting = true;
    slots = run->used_slots;
    for (u64 left = slots; left; left &= left - 1) {
      const u32 slot = lowest_bit(left);
      back_references[slot] = run->header(slot).back_reference;
    }
  }
  // Bottom-up, with no lock of ours held. A slot that is freed meanwhile is
  // not given to another page, so its pampd cannot come to mean another one.
  for (u64 left = slots; left; left &= left - 1) {
    const u32 slot = lowest_bit(left);
    if (engine_.evict(BackReference{back_references[slot]}, pampd_of(*run, slot)))
      taken |= u64{1} << slot;
  }
  Guard guard(lock_);
  evictions_under_way_--;
  for (u64 left = taken; left; left &= left - 1) {
    const u32 slot = lowest_bit(left);
    if (--run->header(slot).references == 0) release_entry_locked(*run, slot);
  }
  if (!run->empty()) {
    // Some page is being read, or not yet published: the run's turn comes again.
    run->evicting = false;
    budget_.enlist(*run, run->client, run->persistent);
    into_bin(*run);
    return nullptr;
  }
  budget_.uncharge(run->client);
  runs_--;
  frames_evicted_ += kFramesPerRun;
  run->reset();
  return run;
}

u64 CompressedStore::shrink(u64 frames) {
  u64 freed = 0;
  bool nothing_left = false;
  for (u32 failures = 0; freed < frames && failures < kFailuresPerShrink;) {
    Run *run = evict_run(Outcome::kNoMemory, 0, &nothing_left);
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
    if (excess == 0 || shrink(min(excess, kFramesPerBatch)) == 0) return;
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
  Guard guard(lock_);
  usage.frames = budget_.frames;
  usage.frames_limit = budget_.limit;
  usage.frames_ephemeral = budget_.ephemeral_frames();
  usage.frames_evicted = frames_evicted_;
  usage.entries = entries_;
  usage.entries_raw = entries_raw_;
  usage.bytes_stored = bytes_stored_;
  usage.compactions = compactions_;
  usage.checksum_errors = checksum_errors_.load_relaxed();
  usage.decoder_errors = decoder_errors_.load_relaxed();
  usage.metadata_bytes = runs_ * sizeof(Run);
}

void CompressedStore::corrupt_if_asked(Run &run, u32 slot) {
#ifdef TMEM_DEBUG
  u64 left = corrupt_next_.load_relaxed();
  do {
    if (left == 0) return;
  } while (!corrupt_next_.compare_exchange(left, left - 1));
  *run.address(run.unit_of[slot] + 1u + run.format_of[slot].bytes() / 2 / kUnitBytes) ^= 0x10;
#else
  static_cast<void>(run), static_cast<void>(slot);
#endif
}

// Only tests call it and nothing else runs, so it may hold the lock long.
int CompressedStore::validate() {
  Guard guard(lock_);
  u64 frames = 0, entries = 0, bytes = 0, runs = 0;
  for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client) {
    RunBudget::Account &account = budget_.accounts[client];
    u64 account_frames = 0, ephemeral_frames = 0;
    for (u32 kind = 0; kind < 2; ++kind) {
      const bool persistent = kind;
      RunBudget::Blocks &blocks = persistent ? account.persistent : account.ephemeral;
      for (const Run *run = blocks.front(); run; run = blocks.after(*run)) {
        runs++;
        account_frames += kFramesPerRun;
        if (!persistent) ephemeral_frames += kFramesPerRun;
        if (run->client != client || run->persistent != persistent) return 101;
        if (run->evicting || run->pins) return 102;
        if (run->empty()) return 103;
        u8 owner[kUnitsPerRun / 8] = {};
        u32 used = 0;
        for (u64 left = run->used_slots; left; left &= left - 1) {
          const u32 slot = lowest_bit(left);
          const EntryHeader &header = run->header(slot);
          const EntryFormat format = run->format_of[slot];
          if (header.references != 1) return 104;
          if (format.bytes() == 0 || format.bytes() > kPageBytes) return 105;
          const u32 units = format.units();
          if (run->unit_of[slot] + units > run->tail) return 106;
          for (u32 unit = run->unit_of[slot]; unit < run->unit_of[slot] + units; ++unit) {
            if (owner[unit / 8] >> unit % 8 & 1) return 107;  // two entries overlap
            owner[unit / 8] = static_cast<u8>(owner[unit / 8] | 1u << unit % 8);
          }
          used += units;
          entries++;
          bytes += format.bytes();
          if (!engine_.resolves(BackReference{header.back_reference}, pampd_of(*run, slot)))
            return 108;
        }
        if (used + run->free_units != kUnitsPerRun) return 109;
        const bool wants_bin = run->free_units / kUnitsPerBin > 0 && !run->full_directory();
        if (wants_bin != run->in_bin.linked()) return 110;
        if (wants_bin && run->bin != min(run->free_units / kUnitsPerBin, kBins - 1)) return 111;
      }
    }
    if (account_frames != account.frames || ephemeral_frames != account.ephemeral_frames) return 112;
    frames += account_frames;
  }
  if (frames != budget_.frames) return 113;
  if (entries != entries_ || bytes != bytes_stored_ || runs != runs_) return 114;
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
static void free(void *pam, unsigned long long pampd) { store_of(pam).free(Pampd{pampd}); }
static unsigned long long shrink(void *pam, unsigned long long frames) {
  return store_of(pam).shrink(frames);
}
static void set_limit(void *pam, unsigned long long frames) { store_of(pam).set_limit(frames); }
static void set_client(void *pam, unsigned int client, unsigned int weight,
                       unsigned long long limit_frames) {
  store_of(pam).set_client(client, weight, limit_frames);
}
static void usage(void *pam, tmem_usage *usage) { store_of(pam).usage(*usage); }

static constexpr tmem_pam_ops kOps = {sizeof(tmem_pam_ops), 0,    start,  stop,      create,
                                      hold,                 get_data, free, shrink, set_limit,
                                      set_client,           usage};

}  // namespace compressed_pam

int validate_compressed_store(void *pam) { return compressed_pam::store_of(pam).validate(); }
void corrupt_next_in_compressed_store(void *pam, u64 count) {
  compressed_pam::store_of(pam).corrupt_next(count);
}

}  // namespace tmem

const tmem_pam_ops *tmem_compressed_pam(void) { return &tmem::compressed_pam::kOps; }
