// SPDX-License-Identifier: GPL-2.0
// Runs and pins by themselves: a run beside a plain model of it, pins step by
// step and by threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "seeds.h"
#include "store/run.h"

namespace {

using tmem::EntryFormat;
using tmem::kFramesPerRun;
using tmem::kPageBytes;
using tmem::kSlotsPerRun;
using tmem::kUnitBytes;
using tmem::kUnitsPerFrame;
using tmem::kUnitsPerRun;
using tmem::Pins;
using tmem::Run;
using tmem::u16;
using tmem::u32;
using tmem::u64;
using tmem::u8;

// ---- Run

// A run with frames that are not neighbours, each of exactly its size; or with neighbours, in the order given.
class OwnedRun {
 public:
  OwnedRun() {
    for (void *&frame : run.frames) frame = apart_.emplace_back(new_frames(1)).get();
  }
  explicit OwnedRun(const std::array<u32, kFramesPerRun> &order) : together_(new_frames(kFramesPerRun)) {
    for (u32 i = 0; i < kFramesPerRun; ++i)
      run.frames[i] = static_cast<u8 *>(together_.get()) + order[i] * kPageBytes;
  }
  Run run;

 private:
  struct Delete {
    void operator()(void *frames) const { ::operator delete(frames, std::align_val_t{kPageBytes}); }
  };
  using Frames = std::unique_ptr<void, Delete>;
  static Frames new_frames(u32 count) {
    Frames frames(::operator new(count * kPageBytes, std::align_val_t{kPageBytes}));
    std::memset(frames.get(), 0xa5, count * kPageBytes);
    return frames;
  }
  std::vector<Frames> apart_;
  Frames together_;
};

std::vector<u8> noise(u32 bytes, u64 seed) {
  std::mt19937_64 random(seed);
  std::vector<u8> made(bytes);
  for (u8 &byte : made) byte = static_cast<u8>(random());
  return made;
}

u32 checksum_of(u64 seed) { return static_cast<u32>(seed * 0x9e3779b9); }

EntryFormat format_of(u32 bytes, bool checksum) {
  const EntryFormat format = EntryFormat::compressed(bytes);
  return checksum ? format.with_checksum() : format;
}

void expect_holds(const Run &run, u32 slot, u64 seed, EntryFormat format) {
  ASSERT_TRUE(run.entry(slot).in_use());
  ASSERT_TRUE(run.is_sane(slot));
  ASSERT_EQ(run.entry(slot).back_reference, static_cast<u32>(seed));
  ASSERT_EQ(run.entry(slot).format.bytes(), format.bytes());
  ASSERT_EQ(run.entry(slot).format.has_checksum(), format.has_checksum());
  if (format.has_checksum()) {
    ASSERT_EQ(run.checksum(slot), checksum_of(seed));
  }
  alignas(8) u8 bounce[kPageBytes];
  const u8 *data = run.data(slot, bounce);
  ASSERT_EQ(data == bounce, run.crosses(slot));
  const std::vector<u8> expected = noise(format.bytes(), seed);
  ASSERT_EQ(std::memcmp(data, expected.data(), expected.size()), 0) << expected.size() << " bytes";
}

u32 store(Run &run, u32 bytes, u64 seed, bool checksum) {
  const u32 slot = run.place(static_cast<u32>(seed), format_of(bytes, checksum));
  run.write(slot, checksum_of(seed), noise(bytes, seed).data());
  return slot;
}

TEST(EntryFormatTest, SaysWhatItIs) {
  EXPECT_FALSE(EntryFormat().in_use());
  for (u32 bytes = 1; bytes <= kPageBytes; ++bytes) {
    const EntryFormat format = EntryFormat::compressed(bytes);
    ASSERT_TRUE(format.in_use());
    ASSERT_EQ(format.bytes(), bytes);
    ASSERT_EQ(format.is_raw(), bytes == kPageBytes);
    ASSERT_FALSE(format.has_checksum() || format.is_same_filled());
    ASSERT_EQ(format.units(), (bytes + 7) / 8);
    ASSERT_EQ(format.with_checksum().units(), (bytes + 4 + 7) / 8);
    ASSERT_EQ(format.with_checksum().bytes(), bytes);
  }
  EXPECT_TRUE(EntryFormat::raw().is_raw());
  EXPECT_TRUE(EntryFormat::same_filled().with_checksum().is_same_filled());
  EXPECT_EQ(EntryFormat::same_filled().bytes(), 8u);
}

struct Kept {
  u64 seed;
  EntryFormat format;
};

void expect_same(const Run &run, const std::map<u32, Kept> &kept) {
  u32 units = 0;
  for (const auto &[slot, entry] : kept) {
    expect_holds(run, slot, entry.seed, entry.format);
    units += entry.format.units();
  }
  ASSERT_EQ(run.entries, kept.size());
  ASSERT_EQ(units + run.slots_made + run.free_units, kUnitsPerRun);
  ASSERT_LE(run.tail + run.slots_made, kUnitsPerRun);
}

TEST(RunTest, AgreesWithAModel) {
  std::mt19937_64 random(tmem_test::first_seed());
  u32 packed = 0, crossed = 0, refused = 0, emptied = 0;
  for (u32 round = 0; round < 8; ++round) {
    OwnedRun apart, paired({4, 5, 2, 3, 6, 7, 0, 1});
    tmem::Run &run = round % 4 < 2 ? apart.run : paired.run;
    std::map<u32, Kept> kept;
    u64 next = 1;
    // Large and small ones by turns, so that holes come to be and are joined.
    const u32 bytes_max = round % 2 ? kPageBytes : 200;
    for (u32 step = 0; step < 600; ++step) {
      const bool draining = step % 200 >= 150;
      if (!kept.empty() && (draining || random() % 3 == 0)) {
        auto victim = kept.begin();
        std::advance(victim, random() % kept.size());
        run.remove(victim->first);
        kept.erase(victim);
        emptied += kept.empty();
      } else {
        const u32 bytes = 1 + static_cast<u32>(random() % bytes_max);
        const bool checksum = random() % 2;
        const u32 units = format_of(bytes, checksum).units();
        if (!run.has_room(units)) {
          refused++;
          ASSERT_TRUE(run.full_directory() || run.free_units < run.units_with_slot(units));
          continue;
        }
        if (!run.fits_at_tail(units)) {
          ASSERT_TRUE(run.pack());
          ASSERT_TRUE(run.fits_at_tail(units));
          packed++;
        }
        const u64 seed = next++;
        const u32 slot = store(run, bytes, seed, checksum);
        ASSERT_TRUE(kept.insert({slot, {seed, format_of(bytes, checksum)}}).second) << "a slot in use is given again";
        crossed += run.crosses(slot);
      }
      expect_same(run, kept);
      if (HasFatalFailure()) return;
    }
  }
  // What this is about has happened.
  EXPECT_GT(packed, 10u);
  EXPECT_GT(crossed, 10u);
  EXPECT_GT(refused, 10u);
  EXPECT_GT(emptied, 0u);
}

// Where a frame ends, byte by byte, with and without a checksum in front.
TEST(RunTest, DataCrossesFramesWhole) {
  for (const bool checksum : {false, true})
    for (u32 before = kPageBytes - 40; before <= kPageBytes; before += 8)
      for (u32 bytes : {1u, 4u, 7u, 8u, 9u, 30u, 36u, 41u, 4000u, 4090u, 4096u}) {
        OwnedRun owned;
        const u32 first = store(owned.run, before, 1, false);
        const u32 slot = store(owned.run, bytes, 2, checksum);
        const u32 begin = before + (checksum ? 4 : 0);
        EXPECT_EQ(owned.run.crosses(slot), begin / kPageBytes != (begin + bytes - 1) / kPageBytes);
        expect_holds(owned.run, slot, 2, format_of(bytes, checksum));
        expect_holds(owned.run, first, 1, format_of(before, false));
        ASSERT_FALSE(HasFatalFailure()) << before << " " << bytes << " " << checksum;
      }
}

// Between neighbours in memory it is in one piece, and read without the bounce page.
TEST(RunTest, NeighboursHoldOnePiece) {
  for (const bool checksum : {false, true})
    for (u32 frame = 0; frame + 1 < kFramesPerRun; ++frame) {
      // 3 and 4 are neighbours in neither order, the others are in one.
      OwnedRun forwards({0, 1, 2, 3, 7, 4, 5, 6}), backwards({6, 5, 4, 7, 3, 2, 1, 0});
      for (OwnedRun *owned : {&forwards, &backwards}) {
        tmem::Run &run = owned->run;
        for (u32 i = 0; i < frame; ++i) store(run, kPageBytes, i, false);
        store(run, kPageBytes - 80, 100, false);
        const u32 slot = store(run, 3000, 200, checksum);
        const u32 after = store(run, 500, 300, checksum);
        EXPECT_EQ(run.crosses(slot), owned == &backwards || frame == 3 || frame == 4) << frame;
        expect_holds(run, slot, 200, format_of(3000, checksum));
        expect_holds(run, after, 300, format_of(500, checksum));
        ASSERT_FALSE(HasFatalFailure()) << frame << " " << checksum;
      }
    }
}

TEST(RunTest, FramesAreOrdered) {
  std::mt19937_64 random(tmem_test::first_seed());
  std::array<u32, kFramesPerRun> order = {7, 6, 5, 4, 3, 2, 1, 0};
  for (u32 round = 0; round < 100; ++round) {
    OwnedRun owned(order);
    owned.run.order_frames();
    for (u32 i = 1; i < kFramesPerRun; ++i)
      ASSERT_EQ(owned.run.frames[i], static_cast<u8 *>(owned.run.frames[i - 1]) + kPageBytes);
    std::shuffle(order.begin(), order.end(), random);
  }
}

// All of an entry, wherever either lies.
TEST(RunTest, CopyTakesAllOfAnEntry) {
  for (const bool checksum : {false, true})
    for (u32 from_before : {8u, 2048u, 4064u, 4096u})
      for (u32 to_before : {16u, 1000u, 4072u, 4096u})
        for (u32 bytes : {3u, 100u, 2000u, 4095u}) {
          OwnedRun from, to;
          store(from.run, from_before, 1, false);
          store(to.run, to_before, 2, false);
          const u32 source = store(from.run, bytes, 3, checksum);
          const u32 slot = to.run.place(3, from.run.entry(source).format);
          const u32 after = store(to.run, 100, 4, true);
          to.run.copy(slot, from.run, from.run.entry(source).unit);
          expect_holds(to.run, slot, 3, format_of(bytes, checksum));
          expect_holds(to.run, after, 4, format_of(100, true));
          ASSERT_FALSE(HasFatalFailure()) << from_before << " " << to_before << " " << bytes;
        }
}

TEST(RunTest, DirectoryEnds) {
  OwnedRun owned;
  tmem::Run &run = owned.run;
  for (u32 i = 0; i < kSlotsPerRun; ++i) {
    ASSERT_TRUE(run.has_room(1));
    ASSERT_EQ(store(run, 8, i, false), i);
  }
  EXPECT_TRUE(run.full_directory());
  EXPECT_FALSE(run.has_room(1));
  EXPECT_GT(run.free_units, kUnitsPerRun / 2);
  run.remove(77);
  run.remove(3);
  EXPECT_TRUE(run.has_room(1));
  // Slots that are free are used again, and cost no more of the directory.
  EXPECT_EQ(run.units_with_slot(5), 5u);
  const u32 one = store(run, 40, 1000, false), other = store(run, 40, 1001, false);
  EXPECT_EQ(one + other, 80u);
  EXPECT_TRUE(run.full_directory());
  for (u32 slot = 0; slot < kSlotsPerRun; ++slot) run.remove(slot);
  // With the last entry the directory goes too.
  EXPECT_TRUE(run.empty());
  EXPECT_EQ(run.free_units, kUnitsPerRun);
  EXPECT_EQ(run.slots_made, 0u);
}

// Packing is the one thing that moves data: not while anybody reads or writes there.
TEST(RunTest, PackingWaitsForPins) {
  OwnedRun owned;
  tmem::Run &run = owned.run;
  std::vector<u32> slots;
  for (u32 i = 0; i < 7; ++i) slots.push_back(store(run, kPageBytes, i, false));
  const u32 last = store(run, 4000, 7, false);
  run.remove(slots[2]);
  const u16 place = run.entry(last).unit;
  ASSERT_TRUE(run.pins.try_pin());
  EXPECT_FALSE(run.has_room(kUnitsPerFrame - 10));
  EXPECT_FALSE(run.pack());
  EXPECT_EQ(run.entry(last).unit, place);
  expect_holds(run, last, 7, format_of(4000, false));
  EXPECT_TRUE(run.pins.any());
  ASSERT_TRUE(run.pins.try_unpin());
  EXPECT_TRUE(run.has_room(kUnitsPerFrame - 10));
  EXPECT_TRUE(run.pack());
  EXPECT_LT(run.entry(last).unit, place);
  expect_holds(run, last, 7, format_of(4000, false));
  // Afterwards it can be pinned as before.
  EXPECT_TRUE(run.pins.try_pin());
  EXPECT_TRUE(run.pins.try_unpin());
}

// One of the 64 bits of a slot's directory entry.
void flip(tmem::Run &run, u32 slot, u32 bit) { reinterpret_cast<u8 *>(&run.entry(slot))[bit / 8] ^= u8(1u << bit % 8); }

// One wrong bit anywhere in the directory of a full run with a hole: what is packed all the same is whole, the rest
// stays where it was, and nothing is written beside the frames (ASan looks).
TEST(RunTest, DamagedDirectoryIsNotFollowed) {
  const u32 bytes = 1138, entries = 28;
  for (u32 damaged = 0; damaged < entries; ++damaged)
    for (u32 bit = 0; bit < 64; ++bit) {
      OwnedRun owned;
      tmem::Run &run = owned.run;
      for (u32 i = 0; i < entries; ++i) ASSERT_EQ(store(run, bytes, i, true), i);
      run.remove(14);
      flip(run, damaged, bit);
      // Of the 32 bits that are sealed any one shows; a back reference is the index's to judge.
      ASSERT_EQ(run.entry(damaged).is_sealed(), bit < 32) << bit;
      const bool packed = run.pack();
      // Of the free slot nothing is believed but whether it is in use.
      ASSERT_EQ(packed, bit < 32 || (damaged == 14 && (bit < 48 || bit > 60))) << damaged << " " << bit;
      ASSERT_FALSE(run.pins.any());
      for (u32 i = 0; i < entries; ++i) {
        if (i != 14 && i != damaged) expect_holds(run, i, i, format_of(bytes, true));
      }
      if (HasFatalFailure()) return;
    }
}

// More than one wrong bit, so that each entry looks possible; together they are not.
TEST(RunTest, ImpossibleDirectoryMovesNothing) {
  const auto damage = [](tmem::Run &run, u32 slot, u32 unit, u32 bytes) {
    run.entry(slot) = tmem::Entry(run.entry(slot).back_reference, unit, format_of(bytes, true));
    ASSERT_TRUE(run.is_sane(slot));
  };
  // Longer than it was, over the next one; over another; beyond the tail.
  for (const auto &[unit, bytes] : {std::pair<u32, u32>{143, 3186}, {0, 1138}, {100, 1138}, {4000, 700}}) {
    OwnedRun owned;
    tmem::Run &run = owned.run;
    for (u32 i = 0; i < 24; ++i) store(run, 1138, i, true);
    run.remove(12);
    damage(run, 1, unit, bytes);
    EXPECT_FALSE(run.pack()) << unit << " " << bytes;
    EXPECT_FALSE(run.pins.any());
    for (u32 i = 2; i < 24; ++i) {
      if (i != 12) expect_holds(run, i, i, format_of(1138, true));
    }
  }
}

// The list of free slots leads to free slots only, whatever is written in it.
TEST(RunTest, DamagedFreeListGivesNoSlotTwice) {
  for (u32 bit = 0; bit < 64; ++bit)
    for (const bool seal : {false, true}) {
      OwnedRun owned;
      tmem::Run &run = owned.run;
      std::map<u32, Kept> kept;
      for (u32 i = 0; i < 6; ++i) kept[store(run, 500, i, true)] = {i, format_of(500, true)};
      for (const u32 slot : {4u, 1u, 3u}) {
        run.remove(slot);
        kept.erase(slot);
      }
      // 3 is first, then 1, then 4.
      flip(run, 3, bit);
      if (seal) run.entry(3) = tmem::Entry(run.entry(3).back_reference, run.entry(3).unit, EntryFormat());
      for (u64 seed = 10; seed < 16; ++seed) {
        const u32 slot = store(run, 500, seed, true);
        ASSERT_LT(slot, run.slots_made);
        ASSERT_TRUE(kept.insert({slot, {seed, format_of(500, true)}}).second) << bit << ": " << slot << " is in use";
      }
      for (const auto &[slot, entry] : kept) expect_holds(run, slot, entry.seed, entry.format);
      if (HasFatalFailure()) return;
    }
}

// ---- Pins

TEST(PinsTest, DoomWaitsForTheLastPin) {
  Pins pins;
  EXPECT_FALSE(pins.any());
  EXPECT_FALSE(pins.doom()) << "nobody reads: it goes at once";
  ASSERT_TRUE(pins.try_pin());
  ASSERT_TRUE(pins.try_pin());
  EXPECT_TRUE(pins.any());
  EXPECT_TRUE(pins.doom());
  EXPECT_TRUE(pins.doom());
  EXPECT_FALSE(pins.try_unpin()) << "somebody must see to the doomed";
  EXPECT_FALSE(pins.unpin_locked());
  EXPECT_TRUE(pins.unpin_locked());
  EXPECT_FALSE(pins.any());
  // A new pin before the doomed have gone: its holder sees to them.
  ASSERT_TRUE(pins.try_pin());
  EXPECT_FALSE(pins.end_doom());
  EXPECT_FALSE(pins.try_unpin());
  EXPECT_TRUE(pins.unpin_locked());
  EXPECT_TRUE(pins.end_doom());
  EXPECT_TRUE(pins.try_pin());
  EXPECT_TRUE(pins.try_unpin());
}

TEST(PinsTest, MovesAndPinsExcludeEachOther) {
  Pins pins;
  ASSERT_TRUE(pins.try_pin());
  EXPECT_FALSE(pins.begin_move());
  ASSERT_TRUE(pins.try_unpin());
  ASSERT_TRUE(pins.begin_move());
  EXPECT_FALSE(pins.try_pin());
  EXPECT_FALSE(pins.any());
  pins.end_move();
  EXPECT_TRUE(pins.try_pin());
  EXPECT_TRUE(pins.try_unpin());
  pins.pin_locked();
  EXPECT_TRUE(pins.any());
  EXPECT_TRUE(pins.try_unpin());
}

// Readers look at what a mover moves and what a freer frees, as the store does it;
// its lock is the mutex. Under TSan a pin that does not order is a race here.
TEST(PinsTest, ReadersSeeNothingMove) {
  constexpr u32 kLooks = 20000;
  Pins pins;
  std::mutex lock;
  u64 left = 1, right = 1;  // equal whenever somebody may look
  u32 asked = 0, doomed = 0, delayed = 0, freed = 0, moves = 0;
  std::atomic<u32> torn{0}, looks{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (u32 number = 0; number < 2; ++number)
    readers.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
        looks.fetch_add(1, std::memory_order_relaxed);
        if (!pins.try_pin()) {
          const std::lock_guard guard(lock);
          pins.pin_locked();
        }
        const u64 seen = left;
        std::this_thread::yield();
        if (right != seen) torn++;
        if (!pins.try_unpin()) {
          const std::lock_guard guard(lock);
          if (pins.unpin_locked() && pins.end_doom()) {
            freed += doomed;
            doomed = 0;
          }
        }
        std::this_thread::yield();
      }
    });
  for (u32 round = 0; looks.load(std::memory_order_relaxed) < kLooks; ++round) {
    std::this_thread::yield();
    const std::lock_guard guard(lock);
    if (round % 8 == 0) {
      asked++;
      if (pins.doom()) {
        doomed++;
        delayed++;
      } else {
        freed++;
      }
    } else if (pins.begin_move()) {
      left++;
      right++;
      moves++;
      pins.end_move();
    }
  }
  stop = true;
  for (std::thread &reader : readers) reader.join();
  EXPECT_EQ(torn, 0u);
  EXPECT_EQ(freed, asked);
  EXPECT_EQ(doomed, 0u);
  EXPECT_FALSE(pins.any());
  // Depends on how the machine divides its time, so nothing is asked of it.
  RecordProperty("moves", std::to_string(moves));
  RecordProperty("delayed", std::to_string(delayed));
}

}  // namespace
