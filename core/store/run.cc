// SPDX-License-Identifier: GPL-2.0
#include "run.h"

namespace tmem {

void Run::order_frames() {
  for (u32 i = 1; i < kFramesPerRun; ++i) {
    void *const frame = frames[i];
    u32 at = i;
    for (; at > 0 && frames[at - 1] > frame; --at) frames[at] = frames[at - 1];
    frames[at] = frame;
  }
}

u32 Run::place(u32 back_reference, EntryFormat format) {
  const u32 units = format.units();
  TMEM_ASSERT(fits_at_tail(units) && !full_directory());
  free_units = static_cast<u16>(free_units - units_with_slot(units));
  u32 slot = free_slot;
  if (slot == kNoSlot)
    slot = slots_made++;
  else
    free_slot = next_free(slot);
  entry(slot) = Entry(back_reference, tail, format);
  tail = static_cast<u16>(tail + units);
  entries++;
  return slot;
}

u16 Run::next_free(u32 slot) const {
  const Entry &free = entry(slot);
  if (!free.is_sealed() || free.in_use() || free.unit == slot || free.unit >= slots_made) return kNoSlot;
  return entry(free.unit).in_use() ? kNoSlot : free.unit;
}

void Run::remove(u32 slot) {
  Entry &gone = entry(slot);
  // Of a damaged entry nobody knows how long it was: its units come back with the run.
  const u32 units = is_sane(slot) ? gone.format.units() : 0;
  free_units = static_cast<u16>(free_units + units);
  if (gone.unit + units == tail) tail = gone.unit;
  gone = Entry(0, free_slot, EntryFormat());
  free_slot = static_cast<u16>(slot);
  if (--entries == 0) {
    // The directory goes too.
    free_units = kUnitsPerRun;
    tail = slots_made = 0;
    free_slot = kNoSlot;
  }
}

void Run::reset() {
  TMEM_ASSERT(empty() && !pins.any());
  on_its_way = left_over = false;
  read.store_relaxed(false);
}

// Most often about twenty entries, at most 256: Shell's sort by place, with
// Ciura's gaps, then slide.
bool Run::pack() {
  u8 order[kSlotsPerRun];
  u32 count = 0;
  for (u32 slot = 0; slot < slots_made; ++slot) {
    if (!entry(slot).in_use()) continue;
    if (!is_sane(slot)) return false;
    order[count++] = static_cast<u8>(slot);
  }
  static constexpr u8 kGaps[] = {132, 57, 23, 10, 4, 1};
  for (const u32 gap : kGaps)
    for (u32 i = gap; i < count; ++i) {
      const u8 slot = order[i];
      u32 at = i;
      for (; at >= gap && entry(order[at - gap]).unit > entry(slot).unit; at -= gap)
        order[at] = order[at - gap];
      order[at] = slot;
    }
  // Every entry is for itself possible; together they must not overlap, nor take more than there is.
  u32 to = 0, end = 0;
  for (u32 i = 0; i < count; ++i) {
    const Entry &next = entry(order[i]);
    if (next.unit < end) return false;
    end = next.unit + next.format.units();
    to += next.format.units();
  }
  if (end > tail || to + slots_made + free_units != kUnitsPerRun || !pins.begin_move()) return false;
  to = 0;
  for (u32 i = 0; i < count; ++i) {
    Entry &moved = entry(order[i]);
    const u32 units = moved.format.units();
    if (moved.unit != to) move(*this, moved.unit, to, units);
    moved = Entry(moved.back_reference, to, moved.format);
    to += units;
  }
  tail = static_cast<u16>(to);
  pins.end_move();
  return true;
}

// Piece by piece, none of which crosses a frame at either end; within one run
// towards the front.
void Run::move(const Run &from_run, u32 from_unit, u32 to_unit, u32 units) {
  while (units) {
    const u32 from_room = kUnitsPerFrame - from_unit % kUnitsPerFrame;
    const u32 to_room = kUnitsPerFrame - to_unit % kUnitsPerFrame;
    const u32 piece = min(units, min(from_room, to_room));
    __builtin_memmove(address(to_unit), from_run.address(from_unit), piece * kUnitBytes);
    from_unit += piece;
    to_unit += piece;
    units -= piece;
  }
}

void Run::copy(u32 slot, const Run &other, u32 from_unit) {
  move(other, from_unit, entry(slot).unit, entry(slot).format.units());
}

bool Run::crosses(u32 slot) const {
  const u32 first = data_byte(slot);
  const u32 from = first / kPageBytes, to = (first + entry(slot).format.bytes() - 1) / kPageBytes;
  return from != to && frames[to] != static_cast<u8 *>(frames[from]) + kPageBytes;
}

const u8 *Run::data(u32 slot, void *bounce) const {
  const u32 first = data_byte(slot);
  if (!crosses(slot)) return byte_address(first);
  const u32 head = kPageBytes - first % kPageBytes;
  u8 *copy = static_cast<u8 *>(bounce);
  __builtin_memcpy(copy, byte_address(first), head);
  __builtin_memcpy(copy + head, byte_address(first + head), entry(slot).format.bytes() - head);
  return copy;
}

void Run::write(u32 slot, u32 checksum, const void *from) {
  const EntryFormat format = entry(slot).format;
  if (format.has_checksum()) *reinterpret_cast<u32 *>(address(entry(slot).unit)) = checksum;
  const u32 first = data_byte(slot);
  const u32 bytes = format.bytes();
  const u32 head = min(bytes, kPageBytes - first % kPageBytes);
  const u8 *source = static_cast<const u8 *>(from);
  __builtin_memcpy(byte_address(first), source, head);
  if (head < bytes) __builtin_memcpy(byte_address(first + head), source + head, bytes - head);
}

}  // namespace tmem
