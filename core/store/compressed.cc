// SPDX-License-Identifier: GPL-2.0
#include "compressed.h"

#include "../engine/same_filled.h"
#include "stores.h"

namespace tmem {

// A compressed page this large takes as much of a run as a raw one, which is read back faster.
static constexpr u32 kRawFrom = kPageBytes - kUnitBytes + 1;

CompressedStore::CompressedStore(Engine &engine, Layout &layout)
    : engine_(engine), host_(engine.host()), section_count_(layout.sections()) {
  refusals_lock_.init();
  for (u32 i = 0; i < section_count_; ++i) {
    (new (Placement{sections() + i}) Section)->init(i, layout.node_of_section(i), common_);
    host_.breathe();  // it has 4096 lists
  }
  u8 *of_cpu = reinterpret_cast<u8 *>(end_of_sections());
  for (u32 cpu = 0; cpu < host_.cpu_count; ++cpu) of_cpu[cpu] = static_cast<u8>(layout.next_section(host_.node_of(cpu)));
}

CompressedStore::~CompressedStore() {
  for (Section *section = sections(); section != end_of_sections(); ++section) {
    section->destroy();
    section->~Section();
    host_.breathe();
  }
  refusals_lock_.destroy();
}

// How much a put brings near: of the page, before the processor sees by itself that it is read in order, and of a
// run, before it is known how much will be written.
static constexpr u32 kLineBytes = 64;
static constexpr u32 kLinesOfPage = 8;
static constexpr u32 kLinesOfRun = 24;

// ---- Pins

void CompressedStore::pin(Run &run) {
  if (run.pins.try_pin()) return;
  Guard guard(section_of(run).lock);  // nothing moves under it
  run.pins.pin_locked();
}

void CompressedStore::unpin(Run &run) {
  if (run.pins.try_unpin()) return;
  Section &section = section_of(run);
  bool emptied = false;
  {
    Guard guard(section.lock);
    if (run.pins.unpin_locked()) {
      section.reap(run);
      emptied = retire_if_empty(section, run);
    }
  }
  if (emptied) free_run(&run);
}

// After a hold, which is a hit in a pool where pages stay: they are not to go as if nobody wanted them.
void CompressedStore::release(Pampd pampd) {
  Run &run = *place_of(pampd).run;
  if (!run.persistent) run.read.store_relaxed(true);
  unpin(run);
}

// ---- In

Result<CompressedStore::Encoded> CompressedStore::encode(const tmem_pam_page &page,
                                                         const tmem_codec_buffers &buffers) const {
  if (!buffers.workspace) return Outcome::kRefusedNested;
  u64 word;
  // Persistent ones of a client without a limit do not come here: the engine keeps them by itself.
  if (engine_.tunable(TMEM_TUNABLE_SAME_FILLED) && is_same_filled(page.data, &word)) {
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

// Where the page may well be written to is in no cache, while the compressor needs nothing from there: so it is fetched meanwhile.
void CompressedStore::bring_near(const Section &section, const tmem_pam_page &page) {
  for (u32 line = 0; line < kLinesOfPage; ++line)
    __builtin_prefetch(static_cast<const u8 *>(page.data) + line * kLineBytes);
  const uptr from = section.free_from(page.client, page.persistent != 0);
  if (!from) return;
  for (u32 line = 0; line < kLinesOfRun; ++line)
    __builtin_prefetch(reinterpret_cast<const void *>(from + line * kLineBytes), 1);
}

Result<Pampd> CompressedStore::create(const tmem_pam_page &page) {
  Section &section = section_of_this_cpu();
  if (const Outcome reason = refuse_unseen(section, page.client, page.persistent != 0); reason != Outcome::kDone)
    return reason;
  bring_near(section, page);
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
        section, {page.client, page.persistent != 0, static_cast<u32>(page.back_reference), format});
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

Result<CompressedStore::Place> CompressedStore::reserve(Section &section, const Request &request) {
  if (section.has_place(request)) {
    Guard guard(section.lock);
    if (const Maybe<Place> place = section.place(request)) return *place;
  }
  const Result<Place> place = reserve_with_run(section, request);
  if (!place.ok()) note_refusal(place.outcome(), request);
  return place;
}

// ---- Refusals

u64 CompressedStore::hole_bytes(u32 client, bool persistent) const {
  u64 bytes = 0;
  for (const Section *section = sections(); section != end_of_sections(); ++section)
    bytes += section->hole_bytes(client, persistent);
  return bytes;
}

// Pages of this client and kind find no room: so this one is not compressed first.
Outcome CompressedStore::refuse_unseen(Section &section, u32 client, bool persistent) {
  const u32 bit = refusing_bit(client, persistent);
  if (!(refusing_.load_relaxed() & bit)) return Outcome::kDone;
  const u64 bytes = hole_bytes(client, persistent);
  Outcome reason = budget_.standing_refusal(client, persistent, bytes);
  if (reason == Outcome::kDone) {
    Guard guard(refusals_lock_);
    reason = budget_.refusal(client, persistent, bytes);
    if (reason == Outcome::kDone) refusing_.store_relaxed(refusing_.load_relaxed() & ~bit);
  }
  if (reason != Outcome::kDone) static_cast<void>(section.refused_unseen.fetch_add_relaxed(1));
  return reason;
}

// No room was found. A large page may be unlucky; if a common one is, so will be the next.
void CompressedStore::note_refusal(Outcome reason, const Request &request) {
  if (reason != Outcome::kRefusedBudget && reason != Outcome::kRefusedLimit) return;
  u64 entries = 0, bytes_stored = 0;
  for (const Section *section = sections(); section != end_of_sections(); ++section) {
    entries += section->counts.entries.load_relaxed();
    bytes_stored += section->counts.bytes_stored.load_relaxed();
  }
  if (request.format.bytes() * entries > bytes_stored) return;
  const u64 bytes = hole_bytes(request.client, request.persistent);
  Guard guard(refusals_lock_);
  budget_.refuse(reason, request.client, request.persistent, bytes);
  refusing_.store_relaxed(refusing_.load_relaxed() | refusing_bit(request.client, request.persistent));
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

// The checksum comes last: by then what it is of is in the nearest cache, and the decoder, which is safe for any input,
// has waited for memory while it computed. A checksum before would wait for memory alone, and cost two to four times as much.
Outcome CompressedStore::read(const Run &run, u32 slot, void *bounce, void *page) {
  const EntryFormat format = run.entry(slot).format;
  const u8 *data = run.data(slot, bounce);
  bool decoded = true;
  if (format.is_same_filled()) {
    fill(page, load_word(data, 0));
  } else if (format.is_raw()) {
    __builtin_memcpy(page, data, kPageBytes);
  } else {
    decoded = host_.decompress(data, format.bytes(), page) == 0;
  }
  if (format.has_checksum() && host_.checksum(data, format.bytes()) != run.checksum(slot)) {
    checksum_errors_.fetch_add_relaxed(1);
    return Outcome::kCorrupt;
  }
  if (!decoded) {
    decoder_errors_.fetch_add_relaxed(1);
    return Outcome::kCorrupt;
  }
  return Outcome::kDone;
}

void CompressedStore::free(Pampd pampd) {
  const auto [run, slot] = place_of(pampd);
  Section &section = section_of(*run);
  bool emptied;
  {
    Guard guard(section.lock);
    section.drop(*run, slot);
    emptied = retire_if_empty(section, *run);
  }
  if (emptied) free_run(run);
}

// ---- Reporting and tests

void CompressedStore::usage(tmem_usage &usage) const {
  u64 runs = 0;
  for (const Section *section = sections(); section != end_of_sections(); ++section) {
    const Section::Counts &counts = section->counts;
    runs += counts.runs.load_relaxed();
    usage.entries += counts.entries.load_relaxed();
    usage.entries_raw += counts.entries_raw.load_relaxed();
    usage.entries_stored_raw += counts.entries_stored_raw.load_relaxed();
    usage.bytes_stored += counts.bytes_stored.load_relaxed();
    usage.checksum_bytes += counts.checksum_bytes.load_relaxed();
    usage.packings += counts.packings.load_relaxed();
    usage.entries_moved += counts.entries_moved.load_relaxed();
    usage.puts_refused_unseen += section->refused_unseen.load_relaxed();
  }
  tmem_offer offered = {};
  offer(TMEM_ANY_NODE, offered);
  usage.frames_compactable = offered.frames_compactable;
  usage.metadata_bytes = runs * sizeof(Run);
  usage.directory_bytes = usage.entries * sizeof(Entry);
  usage.store_bytes = bytes();
  usage.frames_from_reserves = frames_from_reserves_.load_relaxed();
  usage.checksum_errors = checksum_errors_.load_relaxed();
  usage.decoder_errors = decoder_errors_.load_relaxed();
  usage.frames = budget_.frames.load_relaxed();
  usage.frames_limit = budget_.limit.load_relaxed();
  usage.frames_ephemeral = budget_.ephemeral_frames();
  usage.frames_evicted = frames_evicted_.load_relaxed();
  usage.frames_evicted_for_limit = evicted_for_limit_.load_relaxed();
  usage.frames_evicted_for_memory = evicted_for_memory_.load_relaxed();
  usage.frames_compacted = frames_compacted_.load_relaxed();
}

// Two cache lines of a section for a client that has anything, and one more.
void CompressedStore::offer(u32 node, tmem_offer &offer) const {
  u32 clients = 0;
  for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client)
    clients |= u32{budget_.accounts[client].frames.load_relaxed() != 0} << client;
  for (const Section *section = sections(); section != end_of_sections(); ++section) {
    if (!is_of(*section, node)) continue;
    offer.frames_ephemeral += section->counts.ephemeral_runs.load_relaxed() * kFramesPerRun;
    for (u32 left = clients; left; left &= left - 1)
      for (u32 kind = 0; kind < 2; ++kind) offer.frames_compactable += section->compactable(lowest_bit(left), kind != 0);
  }
}

void CompressedStore::client_usage(u32 client, tmem_client_usage &usage) const { budget_.report(client, usage); }

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

int CompressedStore::validate_run(const Section &section, const Run &run) {
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
  return section.validate_bin_of(run);
}

// Only tests call it and nothing else runs, so nothing is locked.
int CompressedStore::validate() TMEM_UNCHECKED {
  u64 frames[TMEM_CLIENTS_MAX] = {}, ephemeral_frames[TMEM_CLIENTS_MAX] = {}, all_frames = 0;
  for (Section *section = sections(); section != end_of_sections(); ++section) {
    const Section::Counts &counts = section->counts;
    u64 runs = 0, ephemeral_runs = 0, entries = 0, bytes_stored = 0, checksum_bytes = 0;
    for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client)
      for (u32 kind = 0; kind < 2; ++kind) {
        const bool persistent = kind != 0;
        const auto &order = section->in_order(client, persistent);
        for (const Run *run = order.front(); run; run = order.after(*run)) {
          if (run->client != client || run->persistent != persistent || &section_of(*run) != section) return 101;
          if (const int broken = validate_run(*section, *run)) return broken;
          runs++;
          ephemeral_runs += !persistent;
          frames[client] += kFramesPerRun;
          if (!persistent) ephemeral_frames[client] += kFramesPerRun;
          entries += run->entries;
          for (u32 slot = 0; slot < run->slots_made; ++slot)
            if (const EntryFormat format = run->entry(slot).format; format.in_use()) {
              bytes_stored += format.bytes();
              checksum_bytes += format.checksum_bytes();
            }
        }
        if (const int broken = section->validate_bins(client, persistent)) return broken;
      }
    if (counts.runs.load_relaxed() != runs || counts.ephemeral_runs.load_relaxed() != ephemeral_runs ||
        counts.entries.load_relaxed() != entries || counts.bytes_stored.load_relaxed() != bytes_stored)
      return 114;
    if (counts.checksum_bytes.load_relaxed() != checksum_bytes) return 119;
  }
  for (u32 client = 0; client < TMEM_CLIENTS_MAX; ++client) {
    const RunBudget::Account &account = budget_.accounts[client];
    if (account.frames.load_relaxed() != frames[client] ||
        account.ephemeral_frames.load_relaxed() != ephemeral_frames[client])
      return 112;
    all_frames += frames[client];
  }
  return all_frames == budget_.frames.load_relaxed() && common_.on_their_way.load_relaxed() == 0 ? 0 : 113;
}

// ---- The PAM ops

namespace compressed_pam {

static CompressedStore &store_of(void *pam) { return *static_cast<CompressedStore *>(pam); }

static int start(tmem_host *host, void **pam) {
  const tmem_host_ops &ops = host->host();
  Layout layout(ops.cpu_count, ops.memory_frames, ops.node_of);
  void *memory = ops.table_alloc(CompressedStore::bytes_with(layout.sections(), ops.cpu_count));
  if (!memory) return TMEM_NO_MEMORY;
  *pam = new (Placement{memory}) CompressedStore(*host, layout);
  return TMEM_OK;
}

static void stop(void *pam) {
  CompressedStore &store = store_of(pam);
  const tmem_host_ops &host = store.host();
  const u64 bytes = store.bytes();
  store.~CompressedStore();
  host.table_free(pam, bytes);
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
static unsigned long long shrink(void *pam, unsigned long long frames, unsigned int node) {
  return store_of(pam).shrink(frames, node);
}
static unsigned long long compact(void *pam, unsigned long long frames, unsigned int node) {
  return store_of(pam).compact(frames, node);
}
static void offer(void *pam, unsigned int node, tmem_offer *offer) { store_of(pam).offer(node, *offer); }
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
                                      compact,              set_limit, set_client, usage, client_usage, offer};

}  // namespace compressed_pam

int validate_compressed_store(void *pam) { return compressed_pam::store_of(pam).validate(); }
void corrupt_next_in_compressed_store(void *pam, u64 count) {
  compressed_pam::store_of(pam).corrupt_next(count);
}

}  // namespace tmem

const tmem_pam_ops *tmem_compressed_pam(void) { return &tmem::compressed_pam::kOps; }
