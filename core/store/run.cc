// SPDX-License-Identifier: GPL-2.0
#include "run.h"

namespace tmem {

u32 Run::place(EntryFormat format) {
  const u32 units = format.units();
  if (!fits_at_tail(units)) pack();
  TMEM_ASSERT(fits_at_tail(units) && !full_directory());
  const u32 slot = lowest_bit(~used_slots);
  used_slots |= u64{1} << slot;
  unit_of[slot] = tail;
  format_of[slot] = format;
  tail = static_cast<u16>(tail + units);
  free_units = static_cast<u16>(free_units - units);
  return slot;
}

void Run::remove(u32 slot) {
  const u32 units = format_of[slot].units();
  used_slots &= ~(u64{1} << slot);
  free_units = static_cast<u16>(free_units + units);
  if (unit_of[slot] + units == tail) tail = unit_of[slot];
  if (empty()) tail = 0;
}

void Run::reset() {
  TMEM_ASSERT(empty() && pins == 0);
  free_units = kUnitsPerRun;
  tail = 0;
  evicting = false;
}

// At most 64 entries, most often about eight: insertion sort by place, then slide.
void Run::pack() {
  TMEM_ASSERT(pins == 0);
  u8 order[kSlotsPerRun];
  u32 count = 0;
  for (u64 left = used_slots; left; left &= left - 1) {
    const u8 slot = static_cast<u8>(lowest_bit(left));
    u32 at = count++;
    for (; at > 0 && unit_of[order[at - 1]] > unit_of[slot]; --at) order[at] = order[at - 1];
    order[at] = slot;
  }
  u32 to = 0;
  for (u32 i = 0; i < count; ++i) {
    const u32 slot = order[i];
    const u32 units = format_of[slot].units();
    move(unit_of[slot], to, units);
    unit_of[slot] = static_cast<u16>(to);
    to += units;
  }
  tail = static_cast<u16>(to);
}

// Towards the front, piece by piece, none of which crosses a frame at either end.
void Run::move(u32 from_unit, u32 to_unit, u32 units) {
  if (from_unit == to_unit) return;
  while (units) {
    const u32 from_room = kUnitsPerFrame - from_unit % kUnitsPerFrame;
    const u32 to_room = kUnitsPerFrame - to_unit % kUnitsPerFrame;
    const u32 piece = min(units, min(from_room, to_room));
    __builtin_memmove(address(to_unit), address(from_unit), piece * kUnitBytes);
    from_unit += piece;
    to_unit += piece;
    units -= piece;
  }
}

bool Run::crosses(u32 slot) const {
  // Data begins one unit after the header, which may be the next frame's first.
  const u32 first = (unit_of[slot] + 1) * kUnitBytes;
  return first / kPageBytes != (first + format_of[slot].bytes() - 1) / kPageBytes;
}

const u8 *Run::data(u32 slot, void *bounce) const {
  const u32 unit = unit_of[slot] + 1u;
  const u32 bytes = format_of[slot].bytes();
  if (!crosses(slot)) return address(unit);
  const u32 head = (kUnitsPerFrame - unit % kUnitsPerFrame) * kUnitBytes;
  u8 *copy = static_cast<u8 *>(bounce);
  __builtin_memcpy(copy, address(unit), head);
  __builtin_memcpy(copy + head, address(unit + head / kUnitBytes), bytes - head);
  return copy;
}

void Run::write_data(u32 slot, const void *from) {
  const u32 bytes = format_of[slot].bytes();
  const u8 *source = static_cast<const u8 *>(from);
  const u32 unit = unit_of[slot] + 1u;
  const u32 room = (kUnitsPerFrame - unit % kUnitsPerFrame) * kUnitBytes;
  const u32 head = min(bytes, room);
  __builtin_memcpy(address(unit), source, head);
  if (head < bytes)
    __builtin_memcpy(address(unit + head / kUnitBytes), source + head, bytes - head);
}

}  // namespace tmem
