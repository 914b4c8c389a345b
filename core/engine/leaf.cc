// SPDX-License-Identifier: GPL-2.0
#include "leaf.h"

namespace tmem {

void Leaf::take_place(u32 slot) {
  const u32 place = lowest_bit(~map().used);
  map().used |= bit(place);
  map().place[slot] = static_cast<u8>(place);
}

const u64 *Leaf::indirect_word(u32 slot) const {
  return words() + (mapped() ? map().place[slot] : packed_place(slot));
}

bool Leaf::insert_indirect(u32 slot, u64 value) {
  if (mapped()) {
    if (map().used == bit(capacity()) - 1) return false;
    take_place(slot);
    words()[map().place[slot]] = value;
    return true;
  }
  const u32 count = pages();
  if (count == capacity()) return false;
  u64 *const packed = words();
  const u32 place = packed_place(slot);
  for (u32 i = count; i > place; --i) packed[i] = packed[i - 1];
  packed[place] = value;
  return true;
}

void Leaf::close_gap(u32 slot) {
  if (mapped()) {
    map().used &= ~bit(map().place[slot]);
    return;
  }
  u64 *const packed = words();
  for (u32 i = packed_place(slot), last = pages() - 1; i < last; ++i) packed[i] = packed[i + 1];
}

void Leaf::copy_pages(const Leaf &other) {
  u32 count = 0;
  for (u64 left = other.present; left; left &= left - 1, ++count) {
    const u32 slot = lowest_bit(left);
    const u64 value = other.words()[other.direct() ? slot : other.mapped() ? other.map().place[slot] : count];
    if (mapped()) take_place(slot);
    words()[direct() ? slot : mapped() ? map().place[slot] : count] = value;
  }
  present = other.present;
  same_filled = other.same_filled;
}

bool Leaf::map_is_right() const {
  if (!mapped()) return true;
  u64 taken = 0;
  for (u64 left = present; left; left &= left - 1) {
    const u32 place = map().place[lowest_bit(left)];
    if (place >= capacity() || taken & bit(place)) return false;
    taken |= bit(place);
  }
  return taken == map().used;
}

}  // namespace tmem
