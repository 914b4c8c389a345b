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

struct EntryHeader {
  u64 back_reference;
  u32 checksum;
  u16 size;  // bytes of data; kPageBytes: raw; kHasChecksum may be added
  u16 references;

  static constexpr u16 kHasChecksum = 0x8000;

  u32 bytes() const { return size & ~u32{kHasChecksum}; }
  bool has_checksum() const { return size & kHasChecksum; }
  bool raw() const { return bytes() == kPageBytes; }
  u32 units() const { return units_for(bytes()); }

  static constexpr u32 units_for(u32 bytes) {
    return 1 + (bytes + kUnitBytes - 1) / kUnitBytes;
  }
};
static_assert(sizeof(EntryHeader) == kUnitBytes);

struct alignas(64) Run {
  void *frames[kFramesPerRun];
  ListNode in_account;      // a list of the budget's; not linked while being evicted
  ListNode in_bin;          // runs with about as much free space
  u64 used_slots = 0;       // a bit for each slot that has an entry
  u16 free_units = kUnitsPerRun;
  u16 tail = 0;             // all units from here on are free
  u16 pins = 0;             // copies under way, in or out: entries must not move
  u8 client = 0;
  bool persistent = false;
  bool evicting = false;    // takes no new entry; not on any list
  u8 bin = 0;
  u16 unit_of[kSlotsPerRun];

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
  u32 place(u32 units);
  // Forgets the slot's entry, which takes up so many units.
  void remove(u32 slot, u32 units);
  // Moves all entries to the front, in their order. No pins.
  void pack();
  // Back to a fresh run of the same frames.
  void reset();

  // The entry's data: in place if it is in one frame, else copied to @bounce.
  const u8 *data(u32 slot, u32 bytes, void *bounce) const;
  // Whether data() would need the bounce page.
  bool crosses(u32 slot, u32 bytes) const;
  void write_data(u32 slot, const void *from, u32 bytes);

 private:
  void move(u32 from_unit, u32 to_unit, u32 units);
};
static_assert(sizeof(Run) == 256);

}  // namespace tmem

#endif
