// SPDX-License-Identifier: GPL-2.0
// A run: eight page frames that are one space of 32 KiB for compressed pages.
//
//   frame 0           frame 1                         frame 7
//   ┌───────┬────────┬┴───┬────┬───────┬───    ───┬───┴───────────┬─────────┐
//   │ entry │ entry  │ entry   │ hole  │ entry  ..│     free      │  2 1 0  │
//   └───────┴────────┴─────────┴───────┴───    ───┴───────────────┴─────────┘
//   units of 8 bytes, 4096 of them                ^ tail            directory
//
// Entries grow from the front, and the directory, one unit for each of them,
// from the end: an entry costs what it needs, whether it is of eight bytes or
// of a page. An entry may cross from one frame to the next, so that little is
// lost at frame ends. The frames are in the order of their addresses: where the
// two are neighbours in memory too, as most are that were allocated together,
// its data is read in place, otherwise copied through a bounce page on the way
// out. It is the slotted page of data bases: a pampd is the run's address and
// a slot number, so entries can be packed together when holes must be joined,
// and no pampd changes.
//
// A run holds pages of one client and one kind only. That is what lets
// eviction free whole frames: an ephemeral run has nothing in it that must stay.
//
// Pins keep entries where they are. Whoever reads or writes data without the
// store's lock has a pin on the run; an entry that is freed while anybody has
// is doomed, and goes when the last pin does.
#ifndef TMEM_CORE_STORE_RUN_H
#define TMEM_CORE_STORE_RUN_H

#include "../base/atomic.h"
#include "../base/list.h"
#include "../base/outcome.h"

namespace tmem {

inline constexpr u32 kFramesPerRun = 8;
inline constexpr u32 kUnitBytes = 8;
inline constexpr u32 kUnitsPerFrame = kPageBytes / kUnitBytes;
inline constexpr u32 kUnitsPerRun = kFramesPerRun * kUnitsPerFrame;
// Their directory lies in the last frame, and packing sorts them in a few µs.
inline constexpr u32 kSlotsPerRun = 256;

// How an entry is stored, in 16 bits.
class EntryFormat {
 public:
  constexpr EntryFormat() : bits_(0) {}
  static constexpr EntryFormat compressed(u32 bytes) { return EntryFormat(bytes); }
  static constexpr EntryFormat raw() { return EntryFormat(kPageBytes); }
  static constexpr EntryFormat same_filled() { return EntryFormat(sizeof(u64) | kSameFilled); }
  constexpr EntryFormat with_checksum() const { return EntryFormat(bits_ | kHasChecksum); }

  constexpr bool in_use() const { return bytes() != 0; }
  constexpr u32 bytes() const { return bits_ & kBytes; }
  constexpr bool is_raw() const { return bytes() == kPageBytes; }
  constexpr bool is_same_filled() const { return bits_ & kSameFilled; }
  constexpr bool has_checksum() const { return bits_ & kHasChecksum; }
  // The checksum, if there is one, stands in front of the data.
  constexpr u32 checksum_bytes() const { return has_checksum() ? sizeof(u32) : 0; }
  constexpr u32 units() const { return (checksum_bytes() + bytes() + kUnitBytes - 1) / kUnitBytes; }

  // Together with @unit it has an even number of ones: so one wrong bit shows.
  constexpr EntryFormat sealed(u16 unit) const {
    const u32 open = bits_ & ~u32{kSeal};
    return EntryFormat(open | (odd(open ^ unit) ? kSeal : 0));
  }
  constexpr bool is_sealed(u16 unit) const { return !odd(u32{bits_} ^ unit); }

 private:
  static constexpr bool odd(u32 bits) {
    bits ^= bits >> 8;
    bits ^= bits >> 4;
    return 0x6996u >> (bits & 15) & 1;
  }
  constexpr explicit EntryFormat(u32 bits) : bits_(static_cast<u16>(bits)) {}
  static constexpr u16 kBytes = 0x1fff;
  static constexpr u16 kSeal = 0x2000;
  static constexpr u16 kSameFilled = 0x4000;
  static constexpr u16 kHasChecksum = 0x8000;

  u16 bits_;
};
static_assert(sizeof(EntryFormat) == 2 && EntryFormat::raw().bytes() == kPageBytes);

// One unit of the directory. Who has a pin may read unit and format of the entry
// that he owns or holds; the rest is guarded by the store's lock.
struct Entry {
  // No back reference is all ones: the index has no eighth chain in a bucket.
  static constexpr u32 kDoomed = ~u32{0};

  Entry(u32 its_back_reference, u32 its_unit, EntryFormat its_format)
      : back_reference(its_back_reference),
        unit(static_cast<u16>(its_unit)),
        format(its_format.sealed(unit)) {}

  bool in_use() const { return format.in_use(); }
  bool is_doomed() const { return back_reference == kDoomed; }
  bool is_sealed() const { return format.is_sealed(unit); }

  u32 back_reference;  // or kDoomed
  u16 unit;            // where it begins; of a free slot: the next free one
  EntryFormat format;  // of a free slot: not in_use()
};
static_assert(sizeof(Entry) == kUnitBytes);

// How many copy into or out of the run without the store's lock, and what that delays.
class Pins {
 public:
  // Takes a pin without the store's lock. False: entries are being moved; take the
  // lock, under which nothing moves, and use pin_locked.
  bool try_pin() {
    u32 state = state_.load_relaxed();
    do {
      if (state & kMoving) return false;
    } while (!state_.compare_exchange(state, state + 1));
    return true;
  }
  // Gives a pin back. False: something waits for it; take the lock and use unpin_locked.
  bool try_unpin() {
    u32 state = state_.load_relaxed();
    do {
      TMEM_ASSERT((state & kCount) != 0);
      if (state & kDoomed) return false;
    } while (!state_.compare_exchange(state, state - 1));
    return true;
  }

  // The rest is called under the store's lock, which orders what is done by those who hold it.
  void pin_locked() { static_cast<void>(state_.fetch_add_relaxed(1)); }
  // True: it was the last, and there are doomed entries.
  bool unpin_locked() { return state_.fetch_sub_relaxed(1) == (kDoomed | 1); }
  bool any() const { return (state_.load_acquire() & kCount) != 0; }
  // True: somebody has a pin, and whoever has it last will see that there are doomed entries.
  bool doom() {
    u32 state = state_.load_acquire();
    do {
      if ((state & kCount) == 0) return false;
    } while (!state_.compare_exchange(state, state | kDoomed));
    return true;
  }
  // After unpin_locked said true: the doomed may go. False: there is a new pin, whose holder will see to it.
  bool end_doom() {
    u32 doomed = kDoomed;
    return state_.compare_exchange(doomed, 0);
  }
  // Keeps everybody from taking a pin without the lock; false if somebody has one.
  bool begin_move() {
    u32 none = 0;
    return state_.compare_exchange(none, kMoving);
  }
  void end_move() { state_.store_release(0); }

 private:
  static constexpr u32 kMoving = u32{1} << 31;
  static constexpr u32 kDoomed = u32{1} << 30;
  static constexpr u32 kCount = kDoomed - 1;

  Atomic<u32> state_;
};

// Two cache lines: what two CPUs fill at one time they do not share.
struct alignas(64) Run {
  void *frames[kFramesPerRun];
  // Constant from its first page to its last.
  bool persistent = false;
  u8 client = 0;
  u8 section = 0;
  Atomic<bool> read;  // an ephemeral page of it was, and stayed, since the last victim was looked for
  Pins pins;
  // The rest is guarded by its section's lock.
  u32 age = 0;                    // the clock's time when it was filled last
  ListNode in_order;              // of its section, client and kind; of ephemeral ones the least recently filled first
  ListNode in_bin;                // runs with about as much free space
  u16 free_units = kUnitsPerRun;  // neither data nor directory
  u16 tail = 0;                   // all units from here to the directory are free
  u16 slots_made = 0;             // the directory's length
  u16 free_slot = kNoSlot;        // first of the free ones in it
  u16 entries = 0;
  u8 bin = 0;
  bool on_its_way = false;  // somebody empties it: takes no new entry, is in no bin
  bool left_over = false;   // compaction could not empty it, and nothing has come or gone since

  static constexpr u16 kNoSlot = 0xffff;
  static constexpr u32 kSectionsMost = 64;

  // Of a new run: neighbours in memory become neighbours here.
  void order_frames();

  bool empty() const { return entries == 0; }
  // Whether it was read since it was asked last.
  bool forget_read() {
    if (!read.load_relaxed()) return false;
    read.store_relaxed(false);
    return true;
  }
  u8 *address(u32 unit) const {
    return static_cast<u8 *>(frames[unit / kUnitsPerFrame]) + unit % kUnitsPerFrame * kUnitBytes;
  }
  Entry &entry(u32 slot) const {
    return *reinterpret_cast<Entry *>(address(kUnitsPerRun - 1 - slot));
  }
  // Whether what the directory says of the slot can be true: the frames may have been damaged.
  bool is_sane(u32 slot) const {
    const Entry &of_slot = entry(slot);
    return of_slot.is_sealed() && of_slot.format.bytes() - 1u < kPageBytes &&
           of_slot.unit + of_slot.format.units() <= kUnitsPerRun &&
           (!of_slot.format.is_same_filled() || of_slot.format.bytes() == sizeof(u64));
  }

  bool full_directory() const { return free_slot == kNoSlot && slots_made == kSlotsPerRun; }
  // Units that an entry of @units takes, its place in the directory included.
  u32 units_with_slot(u32 units) const { return units + (free_slot == kNoSlot); }
  bool fits_at_tail(u32 units) const {
    return tail + units_with_slot(units) + slots_made <= kUnitsPerRun;
  }
  // Can an entry of so many units be placed, perhaps after pack()?
  bool has_room(u32 units) const {
    return !full_directory() && units_with_slot(units) <= free_units &&
           (fits_at_tail(units) || !pins.any());
  }

  // Reserves a slot and units at the tail; the caller writes the data. There is room there.
  u32 place(u32 back_reference, EntryFormat format);
  // Forgets the slot's entry.
  void remove(u32 slot);
  // Moves all entries to the front, in their order. False: somebody has a pin, or
  // what the directory says cannot be true; nothing has moved.
  bool pack();
  // Back to a fresh run of the same frames.
  void reset();

  u32 checksum(u32 slot) const { return *reinterpret_cast<u32 *>(address(entry(slot).unit)); }
  // The entry's data: in place if it is in one piece, else copied to @bounce.
  const u8 *data(u32 slot, void *bounce) const;
  // Whether it is in two pieces, so that data() needs the bounce page.
  bool crosses(u32 slot) const;
  void write(u32 slot, u32 checksum, const void *from);
  // All of @other's entry @from, data and checksum, into @slot, of the same format.
  void copy(u32 slot, const Run &other, u32 from_unit);

 private:
  u32 data_byte(u32 slot) const {
    return entry(slot).unit * kUnitBytes + entry(slot).format.checksum_bytes();
  }
  u8 *byte_address(u32 byte) const {
    return static_cast<u8 *>(frames[byte / kPageBytes]) + byte % kPageBytes;
  }
  // The free slot after @slot; none if the directory is damaged there, and those behind are lost until the run is empty.
  u16 next_free(u32 slot) const;
  void move(const Run &from_run, u32 from_unit, u32 to_unit, u32 units);
};
static_assert(sizeof(Run) == 128);

}  // namespace tmem

#endif
