// SPDX-License-Identifier: GPL-2.0
// The index: from handle to word, and from a page frame back to the handle.
//
// Two hash tables, sized once from RAM and never resized. Leaves are found by
// (pool, object id, index / 256); objects, by (pool, object id), are needed only
// to find all leaves of one. Each bucket has its own lock, so two CPUs meet only
// in one bucket (bucket.h), and pages of one object lie in many. A hit, a miss or a put
// into a leaf with room takes one lock. The price is a walk over the hash
// buckets' chains. A pool's objects are on its own lists (pool.h).
//
// All or nothing: what an insertion may need is allocated before the lock is
// taken, so linking it cannot fail, and what it did not need is given back. If there is no
// memory the store makes room, and only then a persistent page may have the reserves.
// What a removal unlinks is freed after the lock is dropped.
//
// Bottom-up: a back reference is the number of the bucket, of a chain in it and
// of the slot, 32 bits, no more. The word itself tells which leaf of the chain is
// meant, since no two pages have the same pampd at one time.
//
// Documentation/index.md has the layout drawn, the numbers, and what was
// tried and rejected.
#ifndef TMEM_CORE_ENGINE_INDEX_H
#define TMEM_CORE_ENGINE_INDEX_H

#include "../base/hash.h"
#include "pool.h"

namespace tmem {

class Engine;

// The first two parts of a handle, and what their hash is made of.
struct ObjectKey {
  Pool &pool;
  const Oid &oid;
  HandleHash::Halves halves;
};

// Words that a flush took out, for the caller to free.
struct TakenPages {
  static constexpr u32 kMost = 64;
  u64 values[kMost];
  u64 same_filled = 0;  // a bit for each of the values
  u32 count = 0;

  void add(Word word) {
    same_filled |= u64{word.same_filled} << count;
    values[count++] = word.value;
  }
  Word word(u32 i) const { return {values[i], (same_filled >> i & 1) != 0}; }
};

class PageIndex {
 public:
  using LeafBucket = Bucket<Leaf, Rank::kLeafBucket>;
  using ObjectBucket = Bucket<Object, Rank::kObjectBucket>;

  // Where a handle's page is, if it is anywhere. Computed once per operation.
  struct Place {
    ObjectKey object;
    Spot spot;
    LeafBucket &bucket;
    u64 base;
    u32 slot;

    [[gnu::always_inline]] Place(const PageIndex &index, const ObjectKey &of_object, u64 base_of_leaf, u32 its_slot)
        : object(of_object),
          spot(index.hash_.of_leaf(of_object.halves, base_of_leaf), index.leaf_bucket_mask_),
          bucket(index.leaf_buckets_[spot.number]),
          base(base_of_leaf),
          slot(its_slot) {}

    [[gnu::always_inline]] Index index() const { return {base << Leaf::kSlotBits | slot}; }
    // Number of the bucket, of the chain in it, and of the slot in the leaf.
    [[gnu::always_inline]] BackReference back() const {
      return {(spot.number << Spot::kHeadBits | spot.head) << Leaf::kSlotBits | slot};
    }
  };

  // @engine is asked for room when there is no memory: Engine::make_room.
  PageIndex(const tmem_host_ops &host, Engine &engine, const PoolTable &pools)
      : host_(host), engine_(engine), pools_(pools), hash_(host.hash_seed) {}

  // Allocates the tables; kNoMemory leaves nothing behind. Process context.
  Outcome start();
  // The index is empty by now. Process context.
  void stop();

  [[gnu::always_inline]] ObjectKey key(Pool &pool, const Oid &oid) const {
    return {pool, oid, hash_.halves(pool.serial(), oid)};
  }
  [[gnu::always_inline]] Place locate(const ObjectKey &object, u64 base, u32 slot) const {
    return Place(*this, object, base, slot);
  }
  [[gnu::always_inline]] Place locate(Pool &pool, const Oid &oid, Index index) const {
    return locate(key(pool, oid), index.value >> Leaf::kSlotBits,
                  static_cast<u32>(index.value) & (Leaf::kSlots - 1));
  }
  // Brings near what insert() will want, while the PAM makes its copy.
  void prefetch(const Place &place) const {
    __builtin_prefetch(&place.bucket, 1);
  }

  // Makes @word the page's word. kReplaced: *@old, the caller's to free, was it
  // before. kNoMemory: nothing has changed.
  enum class [[nodiscard]] Inserted : u8 {
    kNew = static_cast<u8>(Leaf::Put::kAdded),
    kReplaced = static_cast<u8>(Leaf::Put::kReplaced),
    kNoMemory = static_cast<u8>(Leaf::Put::kNoRoom),
  };
  [[gnu::always_inline]] Inserted insert(const Place &place, Word word, Word *old) {
    {
      Guard guard(place.bucket.lock);
      if (Leaf *leaf = find_leaf(place)) {
        Word before{};
        const Leaf::Put put = leaf->put(place.slot, word, &before);
        *old = before;
        if (put != Leaf::Put::kNoRoom) return inserted_by(put);
      }
    }
    Word before{};
    const Inserted inserted = insert_with_memory(place.object.pool, place.object.oid, place.index(), word, &before);
    *old = before;
    return inserted;
  }

  // Takes the page out, if it is there; *@word is then the caller's to free.
  [[gnu::always_inline]] bool take(const Place &place, Word *word) {
    Leftover leftover;
    {
      Guard guard(place.bucket.lock);
      Leaf *leaf = find_leaf(place);
      if (!leaf || !leaf->take(place.slot, word)) return false;
      if (!leaf->worth_a_look()) return true;
      leftover = after_taking(place.bucket, place.spot.head, *leaf, Leaf::Taken::kOne);
      if (leftover.nothing()) return true;
    }
    tidy(place.object.pool, place.object.oid, place.index(), leftover);
    return true;
  }

  // The word, after @hold was called with it under the lock that keeps it from going.
  template <typename Hold>
  [[gnu::always_inline]] bool look_up(const Place &place, Hold hold, Word *word) {
    Guard guard(place.bucket.lock);
    const Leaf *leaf = find_leaf(place);
    if (!leaf || !leaf->read(place.slot, word)) return false;
    hold(*word);
    return true;
  }

  // Takes the page out if its slot still holds @pampd, and counts @why in its
  // pool. True: the index's reference is now the caller's.
  bool take_if(BackReference back, Pampd pampd, Counter why);

  // Makes the page's word @to if its slot still holds @from.
  bool move_if(BackReference back, Pampd from, Pampd to);

  // The object's number of leaves, and the base of its oldest.
  bool has_object(const ObjectKey &key, u64 *leaf_count, u64 *oldest_base);
  // Takes the leaf of @base out with all its pages; nullptr if it is not there. Once
  // the caller is done with them: free_leaf(). *@object_gone: it was the object's last.
  Leaf *take_leaf(const ObjectKey &key, u64 base, bool *object_gone);
  void free_leaf(Leaf *leaf) const;
  // Takes out what the leaf of @base has in @first_slot to @last_slot, as much as
  // @taken has room for. Returns the slot to go on with, beyond the last if none.
  u32 take_slots(const ObjectKey &key, u64 base, u32 first_slot, u32 last_slot, TakenPages &taken,
                 bool *object_gone);

  u64 table_bytes() const;

  // 0, or the number of the broken invariant; pages, and bytes of leaves and objects. See validate.cc.
  int validate(u64 *pages_found, u64 *bytes_found) const;
  // The same of the pool's lists; how many objects are on them.
  int validate_objects_of(const Pool &pool, u64 *objects_found) const;
  // Whether the slot of @back holds @pampd.
  bool resolves(BackReference back, Pampd pampd) const;

 private:
  // What a back reference says: see Place::back.
  struct Chain {
    u64 number;
    u32 head;
    u32 slot;

    explicit Chain(BackReference back)
        : number(back.value >> (Leaf::kSlotBits + Spot::kHeadBits)),
          head(static_cast<u32>(back.value >> Leaf::kSlotBits) & ((1u << Spot::kHeadBits) - 1)),
          slot(static_cast<u32>(back.value) & (Leaf::kSlots - 1)) {}
  };
  // A PAM outside the core may say anything.
  bool is_chain(const Chain &chain) const {
    return chain.number <= leaf_bucket_mask_ && chain.head < Spot::kHeads;
  }

  // What an insertion may need; what is not used is freed when this goes out of scope.
  class Spare;
  // What a removal leaves to be done after the locks: memory to free, or a leaf to replace.
  struct Leftover {
    Leaf *leaf;
    Object *object;
    u32 smaller_class;  // to shrink to; kLeafClasses: none

    bool nothing() const { return !leaf && smaller_class == kLeafClasses; }
  };

  Spot object_spot(const ObjectKey &key) const {
    return Spot(hash_.of_object(key.halves), object_bucket_mask_);
  }
  Spot object_spot(const Object &object) const {
    return Spot(hash_.of_object(hash_.halves(pool_of(object).serial(), object.oid)), object_bucket_mask_);
  }

  // The leaf whose slot holds @pampd; nullptr if it does no more.
  static Leaf *find_holder(const LeafBucket &bucket, u32 head, u32 slot, Pampd pampd)
      TMEM_REQUIRES(bucket.lock);

  [[gnu::always_inline]] static Leaf *find_leaf(const Place &place) TMEM_REQUIRES(place.bucket.lock) {
    return place.bucket.find(place.spot, [&](const Leaf &leaf) __attribute__((always_inline)) {
      return leaf.base == place.base && is(*leaf.object, place.object);
    });
  }
  static Object *find_object(const ObjectBucket &bucket, const Spot &spot, const ObjectKey &key)
      TMEM_REQUIRES(bucket.lock) {
    return bucket.find(spot, [&](const Object &object) { return is(object, key); });
  }
  [[gnu::always_inline]] static bool is(const Object &object, const ObjectKey &key) {
    return object.pool_number == key.pool.number() && object.oid == key.oid;
  }
  Pool &pool_of(const Object &object) const { return pools_.at(object.pool_number); }

  int validate_leaf(const Leaf &leaf) const;

  static Inserted inserted_by(Leaf::Put put) {
    return static_cast<Inserted>(put);
  }

  // What comes after pages were taken.
  Leftover after_taking(LeafBucket &bucket, u32 head, Leaf &leaf, Leaf::Taken taken)
      TMEM_REQUIRES(bucket.lock);
  void tidy(const Place &place, const Leftover &leftover);

  // What is rare, and not inline, finds the place anew: so put and get need it in no memory.
  void tidy(Pool &pool, const Oid &oid, Index index, const Leftover &leftover);
  Inserted insert_with_memory(Pool &pool, const Oid &oid, Index index, Word word, Word *old);
  bool link_leaf(const Place &place, Spare &spare) TMEM_REQUIRES(place.bucket.lock);
  Leftover unlink_leaf(LeafBucket &bucket, u32 head, Leaf &leaf) TMEM_REQUIRES(bucket.lock);
  void replace_leaf(LeafBucket &bucket, u32 head, Leaf &old, Spare &spare) TMEM_REQUIRES(bucket.lock);
  void free_object(Object *object) const;
  void *allocate(u32 kind, bool persistent) const;
  void breathe_at(u64 bucket) const;
  void shrink_leaf(const Place &place, u32 size_class);

  const tmem_host_ops &host_;
  Engine &engine_;
  const PoolTable &pools_;
  const HandleHash hash_;
  LeafBucket *leaf_buckets_ = nullptr;
  ObjectBucket *object_buckets_ = nullptr;
  u64 leaf_bucket_mask_ = 0;
  u64 object_bucket_mask_ = 0;
};

}  // namespace tmem

#endif
