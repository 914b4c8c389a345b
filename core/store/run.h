// SPDX-License-Identifier: GPL-2.0
// A run: four page frames that are one space of 16 KiB for compressed pages.
//
//   frame 0           frame 1           frame 2           frame 3
//   ┌───────┬────────┬┴───┬────┬───────┬┴─────┬──────────┬┴────────────────┐
//   │ entry │ entry  │ entry   │ hole  │ entry│  entry   │      free       │
//   └───────┴────────┴─────────┴───────┴──────┴──────────┴─────────────────┘
//   units of 16 bytes, 1024 of them                      ^ tail
//
//   entry = header (16 bytes, never across a frame) + data, rounded up to units
//
// An entry may cross from one frame to the next, so that little is lost at
// frame ends; its data is then copied through a bounce page on the way out.
// The run's descriptor has a directory of 64 slots with the unit each entry
// begins at, and a pampd is (address of the run | slot). So entries can be
// packed together when holes must be joined, and no pampd changes: the slotted
// page of data bases. Nobody may be reading or writing in the run meanwhile:
// whoever copies without the store's lock pins the run.
//
// A run holds pages of one client and one kind only. That is what lets
// eviction free whole frames: an ephemeral run has nothing in it that must stay.
#ifndef TMEM_CORE_STORE_RUN_H
#define TMEM_CORE_STORE_RUN_H

#include "../base/list.h"
#include "../base/outcome.h"

namespace tmem {

inline constexpr u32 kFramesPerRun = 4;
inline constexpr u32 kUnitBytes = 16;
inline constexpr u32 kUnitsPerFrame = kPageBytes / kUnitBytes;
inline constexpr u32 kUnitsPerRun = kFramesPerRun * kUnitsPerFrame;
inline constexpr u32 kSlotsPerRun = 64;

// In front of each entry's data.
struct EntryHeader {
  u64 back_reference;
  u32 checksum;
  u32 references;
};
static_assert(sizeof(EntryHeader) == kUnitBytes);

// How an entry is stored, in 16 bits of the run's directory. It is kept apart
// from the data, so that a damaged frame cannot make us read or move too much.
class EntryFormat {
 public:
  EntryFormat() = default;
  static constexpr EntryFormat compressed(u32 bytes) { return EntryFormat(bytes); }
  static constexpr EntryFormat raw() { return EntryFormat(kPageBytes); }
  static constexpr EntryFormat same_filled() { return EntryFormat(sizeof(u64) | kSameFilled); }
  constexpr EntryFormat with_checksum() const { return EntryFormat(bits_ | kHasChecksum); }

  constexpr u32 bytes() const { return bits_ & kBytes; }
  constexpr bool is_raw() const { return bytes() == kPageBytes; }
  constexpr bool is_same_filled() const { return bits_ & kSameFilled; }
  constexpr bool has_checksum() const { return bits_ & kHasChecksum; }
  constexpr u32 units() const { return 1 + (bytes() + kUnitBytes - 1) / kUnitBytes; }

 private:
  constexpr explicit EntryFormat(u32 bits) : bits_(static_cast<u16>(bits)) {}
  static constexpr u16 kBytes = 0x1fff;
  static constexpr u16 kSameFilled = 0x4000;
  static constexpr u16 kHasChecksum = 0x8000;

  u16 bits_;
};
static_assert(sizeof(EntryFormat) == 2 && EntryFormat::raw().bytes() == kPageBytes);

struct alignas(64) Run {
  void *frames[kFramesPerRun];
  ListNode in_account;      // a list of the budget's; not linked while being evicted
  ListNode in_bin;          // runs with about as much free space
  u64 used_slots = 0;       // a bit for each slot that has an entry
  u32 pins = 0;             // copies under way, in or out: entries must not move
  u16 free_units = kUnitsPerRun;
  u16 tail = 0;             // all units from here on are free
  u8 client = 0;
  bool persistent = false;
  bool evicting = false;    // takes no new entry; not on any list
  u8 bin = 0;
  u16 unit_of[kSlotsPerRun];
  EntryFormat format_of[kSlotsPerRun];

  bool empty() const { return used_slots == 0; }
  bool full_directory() const { return used_slots == ~u64{0}; }
  EntryHeader &header(u32 slot) const {
    return *reinterpret_cast<EntryHeader *>(address(unit_of[slot]));
  }
  u8 *address(u32 unit) const {
    return static_cast<u8 *>(frames[unit / kUnitsPerFrame]) + unit % kUnitsPerFrame * kUnitBytes;
  }

  // Can an entry of so many units be placed, perhaps after pack()?
  bool has_room(u32 units) const {
    return !full_directory() && units <= free_units && (fits_at_tail(units) || pins == 0);
  }
  bool fits_at_tail(u32 units) const { return tail + units <= kUnitsPerRun; }

  // Reserves a slot and units at the tail; the caller writes the header and the data.
  u32 place(EntryFormat format);
  // Forgets the slot's entry.
  void remove(u32 slot);
  // Moves all entries to the front, in their order. No pins.
  void pack();
  // Back to a fresh run of the same frames.
  void reset();

  // The entry's data: in place if it is in one frame, else copied to @bounce.
  const u8 *data(u32 slot, void *bounce) const;
  // Whether data() would need the bounce page.
  bool crosses(u32 slot) const;
  void write_data(u32 slot, const void *from);

 private:
  void move(u32 from_unit, u32 to_unit, u32 units);
};
static_assert(sizeof(Run) == 384);

}  // namespace tmem

#endif
