// SPDX-License-Identifier: GPL-2.0
#include "leaf.h"

namespace tmem {

void Leaf::prepare() {
  if (listed()) {
    u64 *const slot_bytes = reinterpret_cast<u64 *>(slots());
    for (u32 i = 0; i < slot_words(static_cast<u32>(size_class)); ++i) slot_bytes[i] = 0;
    return;
  }
  present() = {};
  if (size_class != kWhole) same_filled() = {};
  if (mapped()) map().used[0] = map().used[1] = 0;
}

// Eight slots at a time: the lowest byte that is zero after the exclusive or is
// found for certain; what is said of the bytes above it does not matter, since
// places in use come first.
u32 Leaf::place_in_list(u32 slot) const {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first slot is the lowest byte");
  constexpr u64 kOnes = 0x0101010101010101, kTops = 0x8080808080808080;
  const u64 *const slot_bytes = after_header<u64>();
  for (u32 first = 0; first < count; first += 8) {
    const u64 differ = slot_bytes[first / 8] ^ slot * kOnes;
    const u64 equal = (differ - kOnes) & ~differ & kTops;
    if (!equal) continue;
    const u32 place = first + lowest_bit(equal) / 8;
    return place < count ? place : kNowhere;
  }
  return kNowhere;
}

// The last one fills the gap.
void Leaf::remove_from_list(u32 place) {
  const u32 last = count - 1u;
  note_listed(place, same_listed >> place & 1, false);
  if (place != last) {
    slots()[place] = slots()[last];
    words()[place] = words()[last];
    same_listed = (same_listed & ~(1u << last)) | (same_listed >> last & 1) << place;
  }
  count--;
}

// Of a mapped leaf; its capacity if there is none.
u32 Leaf::free_place() const {
  for (u32 half = 0; half < 2; ++half)
    if (~map().used[half]) return min(half * 64 + lowest_bit(~map().used[half]), capacity());
  return capacity();
}

// A place in a list, or by the map; a direct leaf's place is the slot.
bool Leaf::read_any(u32 slot, Word *word) const {
  if (listed()) {
    const u32 place = place_in_list(slot);
    if (place == kNowhere) return false;
    *word = {words()[place], (same_listed >> place & 1) != 0};
    return true;
  }
  if (!present().has(slot)) return false;
  *word = {words()[mapped() ? map().place[slot] : slot], is_same_filled(slot)};
  return true;
}

bool Leaf::take_any(u32 slot, Word *word) {
  if (listed()) {
    const u32 place = place_in_list(slot);
    if (place == kNowhere) return false;
    *word = {words()[place], (same_listed >> place & 1) != 0};
    remove_from_list(place);
    return true;
  }
  if (!read_any(slot, word)) return false;
  if (mapped()) map().used[map().place[slot] / 64] &= ~bit(map().place[slot]);
  clear_bits(slot, word->same_filled);
  return true;
}

Leaf::Put Leaf::put_direct(u32 slot, Word word, Word *old) {
  if (size_class == kWhole ? word.same_filled : !reaches(slot)) return Put::kNoRoom;
  const bool replaced = read_any(slot, old);
  direct_words()[slot] = word.value;
  if (!replaced) {
    set_bits(slot, word.same_filled);
    return Put::kAdded;
  }
  if (old->same_filled != word.same_filled) note_same_filled(slot, word.same_filled);
  return Put::kReplaced;
}

Leaf::Put Leaf::put_any(u32 slot, Word word, Word *old) {
  if (direct()) return put_direct(slot, word, old);
  if (listed()) {
    u32 place = place_in_list(slot);
    if (place != kNowhere) {
      *old = {words()[place], (same_listed >> place & 1) != 0};
      note_listed(place, old->same_filled, word.same_filled);
      words()[place] = word.value;
      return Put::kReplaced;
    }
    if (count == capacity()) return Put::kNoRoom;
    place = count++;
    slots()[place] = static_cast<u8>(slot);
    words()[place] = word.value;
    note_listed(place, false, word.same_filled);
    return Put::kAdded;
  }
  if (read_any(slot, old)) {
    if (old->same_filled != word.same_filled) note_same_filled(slot, word.same_filled);
    words()[map().place[slot]] = word.value;
    return Put::kReplaced;
  }
  const u32 place = free_place();
  if (place == capacity()) return Put::kNoRoom;
  map().used[place / 64] |= bit(place);
  map().place[slot] = static_cast<u8>(place);
  words()[place] = word.value;
  set_bits(slot, word.same_filled);
  return Put::kAdded;
}

void Leaf::copy_pages(const Leaf &other) {
  if (direct() && other.direct() && other.same_count == 0) {
    present() = other.present();
    __builtin_memcpy(direct_words(), other.direct_words(), min(capacity(), other.capacity()) * sizeof(u64));
    count = other.count;
    return;
  }
  if (direct() && other.listed() && !other.same_count) {
    for (u32 place = 0; place < other.count; ++place) {
      const u32 slot = other.slots()[place];
      present().set(slot);
      direct_words()[slot] = other.words()[place];
    }
    count = other.count;
    return;
  }
  Word none;
  other.each([&](u32 slot, Word word) { static_cast<void>(put(slot, word, &none)); });
}

u32 Leaf::lowest_slot() const {
  u32 lowest = kSlots;
  if (listed()) {
    for (u32 place = 0; place < count; ++place) lowest = min(lowest, u32{slots()[place]});
    return lowest;
  }
  for (u32 part = kParts; part-- > 0;)
    if (const u64 bits = present().part[part]) lowest = part * 64 + lowest_bit(bits);
  return lowest;
}

u32 Leaf::highest_slot() const {
  u32 highest = 0;
  if (listed()) {
    for (u32 place = 0; place < count; ++place) highest = max(highest, u32{slots()[place]});
    return highest;
  }
  for (u32 part = 0; part < kParts; ++part)
    if (const u64 bits = present().part[part]) highest = part * 64 + highest_bit(bits);
  return highest;
}

bool Leaf::is_one_stretch() const { return highest_slot() - lowest_slot() + 1 == count; }

u32 Leaf::class_when_full(u32 slot, bool is_same) const {
  const u32 same = static_cast<u32>(size_class);
  if (same == kWhole) return kWholeSame;
  if (same < kListedLargest) return min(same + 2, kListedLargest);
  const u32 highest = max(highest_slot(), slot);
  if (same < kShort && highest < kLeafCapacity[kShort]) return kShort;
  if (same < kHalf && highest < kLeafCapacity[kHalf]) return kHalf;
  if (count <= kLeafCapacity[kMapped] / 2) return kMapped;
  return is_same || same_count ? kWholeSame : kWhole;
}

// To one in which a page may have any slot. While pages are taken one by one it is looked at once in eight pages if there
// are many, and what is being emptied in order is left alone.
u32 Leaf::smaller_class(Taken taken) const {
  const u32 same = static_cast<u32>(size_class);
  if (empty()) return same;
  if (taken == Taken::kOne && ((!listed() && count >= kLookedAtAlways && count % kPagesBetweenLooks != 0) || is_one_stretch())) return same;
  for (u32 smaller = 0; smaller < same; ++smaller)
    if (smaller <= kMapped && kLeafCapacity[smaller] >= count * 2u)
      return bytes_of(smaller) < bytes_of(same) ? smaller : same;
  return same;
}

bool Leaf::is_sound() const {
  u32 pages_found = 0, same_found = 0;
  Bits slots_seen = {};
  u64 places_seen[2] = {};
  bool sound = count <= capacity();
  each([&](u32 slot, Word word) {
    pages_found++;
    same_found += word.same_filled;
    sound = sound && !slots_seen.has(slot) && (!direct() || slot < capacity());
    slots_seen.set(slot);
    if (!mapped()) return;
    const u32 place = map().place[slot];
    sound = sound && place < capacity() && !(places_seen[place / 64] & bit(place));
    places_seen[place / 64 % 2] |= bit(place);
  });
  if (!sound || pages_found != count || same_found != same_count) return false;
  if (listed()) return count == 32 || same_listed >> count == 0;
  for (u32 part = 0; part < kParts && size_class != kWhole; ++part)
    if (same_filled().part[part] & ~present().part[part]) return false;
  return !mapped() || (places_seen[0] == map().used[0] && places_seen[1] == map().used[1]);
}

}  // namespace tmem
