// SPDX-License-Identifier: GPL-2.0
// What the index is made of.
//
//   bucket of leaves              bucket of objects
//     │ next                        │ next
//   ┌─▼──────────────┐  object    ┌─▼────────┐  number  ┌──────┐
//   │ Leaf           ├───────────►│ Object   ├─────────►│ Pool │
//   │ 256 slots      │◄───────────┤ leaves   │◄─────────┤      │
//   │ 1 to 256 words │  neighbours└──────────┘  in_pool └──────┘
//   └────────────────┘
//
// A leaf stands for 256 consecutive indexes of one object. It exists exactly
// while it holds a page, and an object exactly while it has a leaf: there is no
// empty node anywhere, so nothing can be left behind half built.
//
// A leaf comes in ten classes, with room for 1, 4, 8, 16, 32, 64, 96, 128 or (two of
// them) 256 words, in three layouts:
//
//   listed (1 to 32)        header │ a byte for each place: its slot │ words
//   direct (64, 128, 256)   header │ present │ word of slot 0 │ word of slot 1 │ ... │ same-filled
//   mapped (96)             header │ present │ used │ a byte for each slot: its place │ words │ same-filled
//
// A listed leaf is searched eight slots at a time, and its words are in no order, so
// none moves but the last, which fills the gap of a removed one. A direct leaf of
// 64 or 128 words has the first slots only: that is what a file read from its
// front needs. A mapped leaf is for pages that lie anywhere. A bit for each slot says
// where there is a page, and another one, at the end, where the word is the page itself;
// the first class of 256 has only the former. So a lone page costs 64 bytes here, a dense
// file 8.3 a page, a swap area that is two thirds full 12.2. What it costs: growth is a copy.
#ifndef TMEM_CORE_ENGINE_LEAF_H
#define TMEM_CORE_ENGINE_LEAF_H

#include "../base/list.h"
#include "../base/outcome.h"
#include "bucket.h"

namespace tmem {

struct Object;

// What the index knows of a page: a pampd, or the 64 bits it consists of.
struct Word {
  u64 value;
  bool same_filled;
};

inline constexpr u32 kLeafClasses = TMEM_LEAF_CLASSES;
inline constexpr u16 kLeafCapacity[kLeafClasses] = {1, 4, 8, 16, 32, 96, 64, 128, 256, 256};

struct Leaf {
  static constexpr u32 kSlots = 256;
  static constexpr u32 kSlotBits = 8;
  static constexpr u32 kListedLargest = 4;  // the smaller classes are listed too
  static constexpr u32 kMapped = 5;
  static constexpr u32 kShort = 6;          // direct, as are all that follow: the first 64 slots only
  static constexpr u32 kHalf = 7;           // direct, the first 128
  static constexpr u32 kWhole = 8;          // no page of it is same-filled
  static constexpr u32 kWholeSame = 9;
  static constexpr u32 kAlignment = 64;     // of all but listed ones
  static_assert(1u << kSlotBits == kSlots && kLeafCapacity[kWhole] == kSlots && kWholeSame + 1 == kLeafClasses);

  Link<Leaf> next;           // in its bucket; guarded by the bucket's lock, as is
  Object *object = nullptr;  // all that follows but base and neighbours
  const u64 size_class : 8;
  const u64 base : 56;  // index of slot 0, divided by kSlots
  u16 count = 0;        // pages
  u16 same_count = 0;   // of these, the ones whose word is the data itself
  u32 same_listed = 0;  // in a listed leaf, a bit for each place of such a one
  struct {
    Leaf *older = nullptr;
    Leaf *younger = nullptr;
  } neighbours;  // in the object's ring; guarded by the object's bucket

  Leaf(u64 base_of_leaf, u32 its_class) : size_class(its_class), base(base_of_leaf) { prepare(); }

  static constexpr bool is_listed(u32 size_class) { return size_class <= kListedLargest; }
  static constexpr unsigned long bytes_of(u32 size_class) {
    return sizeof(Leaf) + kLeafCapacity[size_class] * sizeof(u64) +
           (is_listed(size_class) ? slot_words(size_class) * sizeof(u64) : sizeof(Bits)) +
           (size_class == kMapped ? sizeof(Map) : 0) +
           (is_listed(size_class) || size_class == kWhole ? 0 : sizeof(Bits));
  }

  bool empty() const { return count == 0; }
  u32 pages() const { return count; }
  u32 capacity() const { return kLeafCapacity[size_class]; }
  bool listed() const { return is_listed(static_cast<u32>(size_class)); }
  bool mapped() const { return size_class == kMapped; }
  bool direct() const { return size_class >= kShort; }
  // A direct leaf in which no page is same-filled: what files and most of swap have.
  bool plain() const { return direct() && same_count == 0; }

  // The slot's page. False: it has none. Of this and the next two only what most operations
  // need is inline, and none of it takes an address: so a caller has its words in registers.
  [[gnu::always_inline]] bool read(u32 slot, Word *word) const {
    if (!plain()) {
      Word found;
      if (!read_any(slot, &found)) return false;
      *word = found;
      return true;
    }
    if (!present().has(slot)) return false;
    *word = {direct_words()[slot], false};
    return true;
  }
  // The same, and the slot has none any more.
  [[gnu::always_inline]] bool take(u32 slot, Word *word) {
    if (!plain()) {
      Word found;
      if (!take_any(slot, &found)) return false;
      *word = found;
      return true;
    }
    if (!present().has(slot)) return false;
    *word = {direct_words()[slot], false};
    present().clear(slot);
    count--;
    return true;
  }
  // Makes @word the slot's page. kReplaced: *@old was it before. kNoRoom: nothing has changed.
  enum class [[nodiscard]] Put : u8 { kAdded, kReplaced, kNoRoom };
  [[gnu::always_inline]] Put put(u32 slot, Word word, Word *old) {
    if (!plain() || word.same_filled) {
      Word found{};
      const Put put = put_any(slot, word, &found);
      *old = found;
      return put;
    }
    if (!reaches(slot)) return Put::kNoRoom;
    u64 &place = direct_words()[slot];
    const u64 before = place;
    place = word.value;
    if (present().has(slot)) {
      *old = {before, false};
      return Put::kReplaced;
    }
    present().set(slot);
    count++;
    return Put::kAdded;
  }
  bool has(u32 slot) const {
    Word word;
    return read(slot, &word);
  }
  // Takes over the pages of @other, which this one, an empty one, has room for.
  void copy_pages(const Leaf &other);

  // Calls visit(slot, word) for each page.
  template <typename Visit>
  void each(Visit visit) const {
    if (listed()) {
      for (u32 place = 0; place < count; ++place)
        visit(u32{slots()[place]}, Word{words()[place], (same_listed >> place & 1) != 0});
      return;
    }
    for (u32 part = 0; part < kParts; ++part)
      for (u64 left = present().part[part]; left; left &= left - 1) {
        const u32 slot = part * 64 + lowest_bit(left);
        visit(slot, Word{words()[mapped() ? map().place[slot] : slot], is_same_filled(slot)});
      }
  }

  // Takes out pages of @first to @last, @most at most, which a listed leaf has not:
  // take(word) for each. Returns the slot to go on with; all before it are done.
  template <typename Take>
  u32 take_range(u32 first, u32 last, u32 most, Take take_word) {
    if (listed()) {
      for (u32 place = count; place-- > 0;) {  // from the end: what fills a gap has been looked at
        if (slots()[place] < first || slots()[place] > last) continue;
        take_word(Word{words()[place], (same_listed >> place & 1) != 0});
        remove_from_list(place);
      }
      return last + 1;
    }
    for (u32 part = first / 64; part <= last / 64; ++part)
      for (u64 left = present().part[part]; left; left &= left - 1) {
        const u32 slot = part * 64 + lowest_bit(left);
        if (slot < first) continue;
        if (slot > last) break;
        if (most-- == 0) return slot;
        Word word{};
        take(slot, &word);
        take_word(word);
      }
    return last + 1;
  }

  // The pages are neighbours: a file read from front to back fills and drains a leaf so.
  bool is_one_stretch() const;

  // The class to grow to when there is no room for a page in @slot. Each step is a copy, so
  // one is skipped where that is cheap; pages at the front stay direct.
  u32 class_when_full(u32 slot, bool same_filled) const;
  // The class to shrink to after a page was taken, or the one it has. A leaf
  // shrinks when three quarters of it are free, to twice what it holds, so that
  // it does not grow again at once; one that drains in sequence will soon be gone
  // and is let be. After a range has gone there is no more to come.
  enum class Taken { kOne, kRange };
  u32 class_when_cleared(Taken taken) const {
    const u32 same = static_cast<u32>(size_class);
    return count * 4u > capacity() || same < kSmallestShrunk ? same : smaller_class(taken);
  }
  // After a page was taken one by one: whether it is time to ask class_when_cleared(). A leaf in use and
  // far from empty is not asked often: once in eight pages, when it is small enough to become smaller.
  bool worth_a_look() const {
    if (!direct()) return true;
    if ((count * 4 - 1) >> size_class > 0) return false;
    return count < kLookedAtAlways || count % kPagesBetweenLooks == 0;
  }

  // For validate(): what is said twice agrees, no slot is there twice, and no two pages have one word.
  bool is_sound() const;

 private:
  static constexpr u32 kParts = kSlots / 64;
  static constexpr u32 kPagesBetweenLooks = 8;
  static constexpr u32 kLookedAtAlways = 8;
  static constexpr u32 kSmallestShrunk = 3;  // below it there is next to nothing to be had
  static constexpr u32 kNowhere = ~0u;

  // A bit for each slot.
  struct Bits {
    u64 part[kParts];

    bool has(u32 slot) const { return part[slot / 64] >> slot % 64 & 1; }
    void set(u32 slot) { part[slot / 64] |= bit(slot); }
    void clear(u32 slot) { part[slot / 64] &= ~bit(slot); }
  };
  // Where the words of a mapped leaf are.
  struct Map {
    u64 used[2];       // a bit for each word that some slot has
    u8 place[kSlots];  // of the slots that hold a page
  };
  static constexpr u32 slot_words(u32 size_class) { return (kLeafCapacity[size_class] + 7u) / 8; }

  static constexpr u64 bit(u32 slot) { return u64{1} << slot % 64; }

  template <typename T>
  const T *after_header(unsigned long offset = 0) const {
    return reinterpret_cast<const T *>(reinterpret_cast<const u8 *>(this + 1) + offset);
  }
  const Bits &present() const { return *after_header<Bits>(); }  // of all but listed ones, as is
  const Bits &same_filled() const {                               // not kWhole
    return *after_header<Bits>(bytes_of(static_cast<u32>(size_class)) - sizeof(Leaf) - sizeof(Bits));
  }
  const Map &map() const { return *after_header<Map>(sizeof(Bits)); }
  const u8 *slots() const { return after_header<u8>(); }
  const u64 *direct_words() const { return after_header<u64>(sizeof(Bits)); }
  const u64 *words() const {
    return listed() ? after_header<u64>() + slot_words(static_cast<u32>(size_class))
                    : after_header<u64>(sizeof(Bits) + (mapped() ? sizeof(Map) : 0));
  }
  Bits &present() { return const_cast<Bits &>(static_cast<const Leaf *>(this)->present()); }
  Bits &same_filled() { return const_cast<Bits &>(static_cast<const Leaf *>(this)->same_filled()); }
  Map &map() { return const_cast<Map &>(static_cast<const Leaf *>(this)->map()); }
  u8 *slots() { return const_cast<u8 *>(static_cast<const Leaf *>(this)->slots()); }
  u64 *direct_words() { return const_cast<u64 *>(static_cast<const Leaf *>(this)->direct_words()); }
  u64 *words() { return const_cast<u64 *>(static_cast<const Leaf *>(this)->words()); }

  // Of a direct leaf: it has the slot. Its capacity is a power of two, or all there is.
  bool reaches(u32 slot) const { return slot >> size_class == 0; }
  static_assert(kLeafCapacity[kShort] == 1u << kShort && kLeafCapacity[kHalf] == 1u << kHalf &&
                kLeafCapacity[kWhole] == 1u << kWhole && kSlots <= 1u << kWholeSame);
  // Of all but listed ones, as are the next three.
  bool is_same_filled(u32 slot) const { return same_count && same_filled().has(slot); }
  void set_bits(u32 slot, bool is_same) {
    present().set(slot);
    count++;
    if (is_same) note_same_filled(slot, true);
  }
  void clear_bits(u32 slot, bool was_same) {
    present().clear(slot);
    count--;
    if (was_same) note_same_filled(slot, false);
  }
  // It was not, or it was.
  void note_same_filled(u32 slot, bool now) {
    same_count = static_cast<u16>(now ? same_count + 1 : same_count - 1);
    now ? same_filled().set(slot) : same_filled().clear(slot);
  }
  void note_listed(u32 place, bool before, bool now) {
    same_count = static_cast<u16>(same_count + now - before);
    same_listed = (same_listed & ~(1u << place)) | u32{now} << place;
  }

  void prepare();
  u32 place_in_list(u32 slot) const;
  void remove_from_list(u32 place);
  u32 free_place() const;
  u32 lowest_slot() const;
  u32 highest_slot() const;
  u32 smaller_class(Taken taken) const;
  bool read_any(u32 slot, Word *word) const;
  bool take_any(u32 slot, Word *word);
  Put put_any(u32 slot, Word word, Word *old);
  Put put_direct(u32 slot, Word word, Word *old);
};
static_assert(sizeof(Leaf) == 48 && Leaf::bytes_of(0) == 64 && Leaf::bytes_of(Leaf::kWhole) == 2128);

// The leaves of an object, oldest first, as a ring: a doubly linked list whose
// ends are neighbours, so that one pointer reaches both. Guarded by the object's bucket.
class Leaves {
 public:
  Leaves() : oldest_base_(0), fills_in_sequence_(0), shard_(0) {}
  ~Leaves() { TMEM_ASSERT(empty()); }
  Leaves(const Leaves &) = delete;
  Leaves &operator=(const Leaves &) = delete;

  bool empty() const { return !oldest_; }
  u32 count() const { return count_; }
  Leaf *oldest() const { return oldest_; }
  // Its base, mostly without a look at the leaf, which may be far away.
  u64 oldest_base() const { return oldest_base_ == kFar ? oldest_->base : oldest_base_; }
  bool says_true_base() const { return oldest_base_ == kFar ? oldest_->base >= kFar : oldest_base_ == oldest_->base; }
  // The next younger one; nullptr after the youngest.
  const Leaf *after(const Leaf &leaf) const {
    return leaf.neighbours.younger == oldest_ ? nullptr : leaf.neighbours.younger;
  }
  // A leaf of it has: one that begins at its first slot is made direct at once.
  bool fills_in_sequence() const { return fills_in_sequence_; }
  void set_fills_in_sequence(bool fills) { fills_in_sequence_ = fills; }
  // In which of its pool's lists the object is; set before anybody else sees it.
  static constexpr u32 kShardBits = 6;
  u32 shard() const { return shard_; }
  void set_shard(u32 shard) { shard_ = shard & ((1u << kShardBits) - 1); }

  void push_youngest(Leaf &leaf) {
    count_++;
    if (!oldest_) {
      leaf.neighbours = {&leaf, &leaf};
      set_oldest(leaf);
      return;
    }
    leaf.neighbours = {oldest_->neighbours.older, oldest_};
    link(leaf);
  }
  // Puts @leaf in the place of @old, which has the same base.
  void replace(Leaf &old, Leaf &leaf) {
    if (oldest_ == &old) oldest_ = &leaf;
    if (old.neighbours.younger == &old) {
      leaf.neighbours = {&leaf, &leaf};
    } else {
      leaf.neighbours = old.neighbours;
      link(leaf);
    }
    old.neighbours = {};
  }
  void remove(Leaf &leaf) {
    count_--;
    Leaf *const younger = leaf.neighbours.younger;
    if (younger == &leaf) {
      oldest_ = nullptr;
    } else {
      leaf.neighbours.older->neighbours.younger = younger;
      younger->neighbours.older = leaf.neighbours.older;
      if (oldest_ == &leaf) set_oldest(*younger);
    }
    leaf.neighbours = {};
  }

 private:
  static constexpr u32 kBaseBits = 9;
  static constexpr u32 kFar = (1u << kBaseBits) - 1;

  void set_oldest(Leaf &leaf) {
    oldest_ = &leaf;
    oldest_base_ = static_cast<u32>(min<u64>(leaf.base, kFar)) & kFar;
  }
  static void link(Leaf &leaf) {
    leaf.neighbours.older->neighbours.younger = &leaf;
    leaf.neighbours.younger->neighbours.older = &leaf;
  }

  Leaf *oldest_ = nullptr;
  u32 count_ = 0;
  u16 oldest_base_ : kBaseBits;  // kFar: look at the leaf
  u16 fills_in_sequence_ : 1;
  u16 shard_ : kShardBits;
};

struct Object {
  Link<Object> next;  // in its bucket; guarded by the bucket's lock
  const Oid oid;
  ListNode in_pool;   // in one of its pool's lists; guarded by that list's lock
  [[no_unique_address]] Leaves leaves;
  const u16 pool_number;  // there are two bytes for it; see PoolTable

  Object(u32 number_of_pool, const Oid &its_oid) : oid(its_oid), pool_number(static_cast<u16>(number_of_pool)) {}
};
static_assert(sizeof(Object) == 64);

}  // namespace tmem

#endif
