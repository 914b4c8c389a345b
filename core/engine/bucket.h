// SPDX-License-Identifier: GPL-2.0
// A bucket of a hash table: one cache line with a lock and the heads of seven
// chains. The lock is shared by the seven, so it costs a byte of the line for
// each, and a chain is short in a table of an eighth of the memory.
//
//   ┌──────┬────────┬────────┬─  ─┬────────┐
//   │ lock │ head 0 │ head 1 │ .. │ head 6 │     64 bytes
//   └──────┴───┬────┴────────┴─  ─┴────────┘
//              ▼ item ─► item                   linked through their member next
//
// A link says more than where the next item is: nine bits of that item's hash,
// and whether it is the last of its chain. So a look-up that finds nothing
// mostly reads the bucket and no item, which is where the time goes when the
// table is larger than the caches.
//
//   63            10 9    8       0
//   ┌───────────────┬────┬─────────┐
//   │ address >> 3  │last│   tag   │            0: no item
//   └───────────────┴────┴─────────┘
//
// An address has 54 significant bits: items are aligned to 8, and the topmost
// seven bits only repeat the next one (57-bit kernel addresses included).
#ifndef TMEM_CORE_ENGINE_BUCKET_H
#define TMEM_CORE_ENGINE_BUCKET_H

#include "../base/lock.h"

namespace tmem {

// Where a hash leads.
struct Spot {
  static constexpr u32 kHeads = 7;
  static constexpr u32 kHeadBits = 3;
  static constexpr u32 kTagBits = 9;
  static constexpr u32 kNumberBitsMax = 21;  // below the tag's bits of the hash

  u64 number;  // of the bucket
  u32 head;
  u32 tag;

  [[gnu::always_inline]] Spot(u64 hash, u64 mask)
      : number(hash & mask),
        head(static_cast<u32>((hash >> 32) * kHeads >> 32)),
        tag(static_cast<u32>(hash >> kNumberBitsMax) & ((1u << kTagBits) - 1)) {}
};

template <typename T>
class Link {
 public:
  Link() = default;
  Link(T &item, u32 tag, bool last)
      : bits_(static_cast<u64>(reinterpret_cast<uptr>(&item)) << kShift | u64{last} << Spot::kTagBits | tag) {}

  explicit operator bool() const { return bits_ != 0; }
  T *item() const {
    return reinterpret_cast<T *>(static_cast<uptr>(static_cast<long long>(bits_) >> kShift) & ~uptr{7});
  }
  bool has_tag(u32 tag) const { return ((bits_ ^ tag) & ((1u << Spot::kTagBits) - 1)) == 0; }
  bool last() const { return bits_ >> Spot::kTagBits & 1; }
  void set_last(bool last) {
    bits_ = (bits_ & ~(u64{1} << Spot::kTagBits)) | u64{last} << Spot::kTagBits;
  }
  // To another item with the same tag, at the same place of the chain.
  Link to(T &item) const { return Link(item, bits_ & ((1u << Spot::kTagBits) - 1), last()); }

 private:
  static constexpr u32 kShift = 7;

  u64 bits_ = 0;
};

template <typename T, Rank kRank>
struct Bucket {
  Lock<kRank> lock;
  Link<T> heads[Spot::kHeads] TMEM_GUARDED_BY(lock);

  template <typename Match>
  [[gnu::always_inline]] T *find(const Spot &spot, Match match) const TMEM_REQUIRES(lock) {
    for (Link<T> link = heads[spot.head]; link; link = link.item()->next) {
      T *const item = link.item();
      if (link.has_tag(spot.tag) && match(*item)) {
        if (!item) __builtin_unreachable();  // so that no caller asks again
        return item;
      }
      if (link.last()) break;
    }
    return nullptr;
  }

  void insert(const Spot &spot, T &item) TMEM_REQUIRES(lock) {
    Link<T> &head = heads[spot.head];
    item.next = head;
    head = Link<T>(item, spot.tag, !head);
  }
  void remove(u32 head, T &item) TMEM_REQUIRES(lock) {
    Link<T> *before = nullptr;
    Link<T> *link = find_link(head, item, &before);
    *link = item.next;
    if (before) before->set_last(!*link);
  }
  void replace(u32 head, T &old, T &item) TMEM_REQUIRES(lock) {
    Link<T> *before = nullptr;
    Link<T> *link = find_link(head, old, &before);
    item.next = old.next;
    *link = link->to(item);
  }

  bool empty() const TMEM_REQUIRES(lock) {
    for (const Link<T> &head : heads)
      if (head) return false;
    return true;
  }

 private:
  Link<T> *find_link(u32 head, const T &item, Link<T> **before) TMEM_REQUIRES(lock) {
    Link<T> *link = &heads[head];
    while (link->item() != &item) {
      *before = link;
      link = &link->item()->next;
    }
    return link;
  }
};

}  // namespace tmem

#endif
