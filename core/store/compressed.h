// SPDX-License-Identifier: GPL-2.0
// The compressed store: the PAM that tmem is for.
//
// Pages are compressed one by one and packed into runs (run.h), which lie in
// sections (section.h), one for a CPU or for several: a put fills a run of its
// CPU's section. A put makes its run young, so ephemeral runs are ordered by when they were
// last filled (or, if their pages stay when they are read, read), and eviction
// takes them whole from the other end: all entries of a run are taken out of
// the index by their back references, and its eight frames are used again at
// once or given back (reclaim.cc).
//
// Compaction (compaction.cc) empties runs without losing a page: it copies the
// entries of the emptiest run of a section into holes of others and has the
// index point there, one entry at a time.
//
// What it costs: 8 bytes of directory an entry, 4 for its checksum, rounding up
// to 8, and a descriptor of 128 bytes a run of about twenty.
//
// Compressing, checking and decompressing are done with no lock held. The run
// is pinned meanwhile, and reading a page that stays takes no lock at all.
// Putting a page takes its section's lock once, freeing it once more.
#ifndef TMEM_CORE_STORE_COMPRESSED_H
#define TMEM_CORE_STORE_COMPRESSED_H

#include "../base/packed.h"
#include "../engine/engine.h"
#include "budget.h"
#include "layout.h"
#include "section.h"

namespace tmem {

class CompressedStore {
 public:
  // @layout: as many sections as lie in memory behind this, and after them a byte for each CPU.
  CompressedStore(Engine &engine, Layout &layout);
  ~CompressedStore();
  static u64 bytes_with(u32 sections, u32 cpus) { return sizeof(CompressedStore) + sections * sizeof(Section) + cpus; }
  u64 bytes() const { return bytes_with(section_count_, host_.cpu_count); }

  Result<Pampd> create(const tmem_pam_page &page);
  void hold(Pampd pampd) { pin(*place_of(pampd).run); }
  void release(Pampd pampd);
  Outcome get_data(Pampd pampd, void *page);
  void free(Pampd pampd);

  u64 shrink(u64 frames, u32 node);
  u64 compact(u64 frames, u32 node);
  void offer(u32 node, tmem_offer &offer) const;
  void set_limit(u64 frames);
  void set_client(u32 client, u32 weight, u64 limit_frames);
  void usage(tmem_usage &usage) const;
  void client_usage(u32 client, tmem_client_usage &usage) const;

  const tmem_host_ops &host() const { return host_; }
  int validate();
  void corrupt_next(u64 count) { corrupt_next_.store_relaxed(count); }

 private:
  using RunBudget = Budget<kFramesPerRun>;
  using Request = Section::Request;
  using Place = Section::Place;

  struct Slot {
    Run *run;
    u32 slot;
  };
  struct Encoded {
    const void *data;
    EntryFormat format;
  };

  static Pampd pampd_of(const Run &run, u32 slot) { return Pampd{Packed<Run>(run, slot).bits()}; }
  static Slot place_of(Pampd pampd) {
    const Packed<Run> packed(pampd.value);
    return {packed.address(), packed.beside()};
  }
  Section *sections() { return reinterpret_cast<Section *>(this + 1); }
  const Section *sections() const { return reinterpret_cast<const Section *>(this + 1); }
  Section *end_of_sections() { return sections() + section_count_; }
  const Section *end_of_sections() const { return sections() + section_count_; }
  Section &section_of_this_cpu() {
    const u8 *of_cpu = reinterpret_cast<const u8 *>(end_of_sections());
    return sections()[of_cpu[min(tmem_this_cpu(), host_.cpu_count - 1)]];
  }
  static bool is_of(const Section &section, u32 node) { return node == TMEM_ANY_NODE || section.node() == node; }
  // Of a run in which the caller owns or holds an entry, or which he empties.
  Section &section_of(const Run &run) { return sections()[run.section]; }

  // Pins of a run that cannot go away: the caller owns or holds an entry of it.
  void pin(Run &run);
  void unpin(Run &run);

  // What pages are refused for without being looked at, or kDone.
  Outcome refuse_unseen(Section &section, u32 client, bool persistent);
  void note_refusal(Outcome reason, const Request &request);
  u64 hole_bytes(u32 client, bool persistent) const;
  static u32 refusing_bit(u32 client, bool persistent) { return 1u << (client * 2 + persistent); }
  static_assert(TMEM_CLIENTS_MAX * 2 <= 32);

  // The page as it will be stored: in @buffers, or the page itself.
  Result<Encoded> encode(const tmem_pam_page &page, const tmem_codec_buffers &buffers) const;
  static void bring_near(const Section &section, const tmem_pam_page &page);
  // Room for an entry: a slot with its directory entry written, in a pinned run.
  Result<Place> reserve(Section &section, const Request &request);
  // The same when no run of the section has room: in one of new frames, or an emptied one, or where room came meanwhile.
  Result<Place> reserve_with_run(Section &section, const Request &request);
  Place settle(Section &section, Run &run, const Request &request);
  Maybe<Place> place_elsewhere(Section &section, const Request &request);
  // *@asked: a compaction was asked to give its room back.
  Maybe<Place> place_or_ask_for_room(const Request &request, bool *asked);
  Outcome read(const Run &run, u32 slot, void *bounce, void *page);

  // A run for this client, charged to it: new frames, or an emptied run's.
  Result<Run *> charge_and_allocate(const Section &section, u32 client, u32 flags);
  Run *recharge(Run *run, u32 client);
  void uncharge(const Run &run);
  Run *allocate_run(u32 flags);
  void free_run(Run *run);
  void adopt(Section &section, Run &run, u32 client, bool persistent) TMEM_REQUIRES(section.lock);

  // Up to kBatch entries of a run on its way, from *@cursor on.
  static constexpr u32 kBatch = 32;
  struct Batch {
    u32 count = 0;
    u16 slots[kBatch];
    u32 back_references[kBatch];
    EntryFormat formats[kBatch];
  };
  static void next_batch(const Section &section, const Run &run, u32 *cursor, Batch &batch) TMEM_REQUIRES(section.lock);

  // The way of a run that is emptied: set out in its section, so that nobody else empties it;
  // arrived, and then it is nobody's and charged to nobody, or still has pages, and its turn comes again.
  enum class Emptied { kByEviction, kByCompaction };
  bool arrive(Section &section, Run &run, Emptied how, Outcome reason, u64 pages) TMEM_REQUIRES(section.lock);
  bool retire_if_empty(Section &section, Run &run) TMEM_REQUIRES(section.lock);

  // Empties the run that pays for @reason. It is then nobody's, and charged to nobody.
  u64 evict_frames(u64 frames, Outcome reason, u32 node);
  Run *evict_run(Outcome reason, u32 client, u32 node, bool *nothing_left);
  Run *set_victim_out(Outcome reason, u32 client, u32 node, Batch &batch, u32 *cursor);
  Section *with_oldest(u32 client, u32 node);
  // The same without losing a page: empties one sparse run of the client and kind into the holes of others, in
  // its section. nullptr: why not.
  enum class NotCompacted {
    kNone,      // there is none whose pages would have room
    kLeftOver,  // something in it could not be moved; the next call takes another
    kHindered,  // room was missing while others had some out of the bins, or pinned: it may be there the next time
    kWanted,    // a put needed its room, and has it now
  };
  Run *compact_run(Section &section, u32 client, bool persistent, NotCompacted *why_not);
  Run *compact_run(u32 client, bool persistent, u32 node, NotCompacted *why_not);
  bool may_come_back(u64 comings_before) const;
  enum class Moved { kDone, kNoRoom, kHindered, kWanted };
  Moved move_entry(Section &section, Run &run, u32 slot, const Request &request, u64 asked_before);

  void corrupt_if_asked(Run &run, u32 slot);
  int validate_run(const Section &section, const Run &run) TMEM_REQUIRES(section.lock);

  Engine &engine_;
  const tmem_host_ops &host_;
  const u32 section_count_;
  Atomic<u64> corrupt_next_;
  Atomic<u64> checksum_errors_;
  Atomic<u64> decoder_errors_;
  Atomic<u64> frames_from_reserves_;
  Atomic<u32> refusing_;  // a bit for each client and kind that the budget may be refusing; written under refusals_lock_

  RunBudget budget_;
  Section::Common common_;
  alignas(64) Atomic<u64> frames_compacted_;
  Atomic<u64> frames_evicted_;
  Atomic<u64> evicted_for_limit_;
  Atomic<u64> evicted_for_memory_;
  Lock<Rank::kBudget> refusals_lock_;  // when a refusal begins, changes or ends; that one stands is seen without
};

}  // namespace tmem

#endif
