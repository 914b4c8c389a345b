// SPDX-License-Identifier: GPL-2.0
// The index: from handle to word, and from a page frame back to the handle.
//
// Two hash tables, sized once from RAM and never resized. Leaves are found by
// (pool, object id, index / 16); objects, by (pool, object id), are needed only
// to find all leaves of one. Each bucket has its own lock, so two CPUs meet only
// in one bucket, and pages of one object lie in many. A hit, a miss or a put
// into a leaf that exists takes one lock. The price is a walk over the hash
// buckets' chains, and that a lone page costs a whole leaf (176 bytes).
//
// All or nothing: what an insertion may need is allocated before the lock is
// taken, so linking it cannot fail, and what it did not need is given back.
// What a removal unlinks is freed after the lock is dropped.
//
// Bottom-up: a back reference is the number of the bucket and of the slot, no
// more. The word itself tells which leaf of the bucket is meant, since no two
// pages have the same pampd at one time.
#ifndef TMEM_CORE_ENGINE_INDEX_H
#define TMEM_CORE_ENGINE_INDEX_H

#include "../base/hash.h"
#include "pool.h"

namespace tmem {

struct Handle {
  Pool &pool;
  const Oid &oid;
  Index index;
};

// Words that a flush took out, for the caller to free.
struct TakenLeaf {
  Word words[Leaf::kSlots];
  u32 count = 0;
};

class PageIndex {
 public:
  struct LeafBucket {
    Lock<Rank::kLeafBucket> lock;
    Leaf *leaves TMEM_GUARDED_BY(lock);
  };
  struct ObjectBucket {
    Lock<Rank::kObjectBucket> lock;
    Object *objects TMEM_GUARDED_BY(lock);
  };

  // Where a handle's page is, if it is anywhere. Computed once per operation.
  struct Place {
    LeafBucket &bucket;
    u64 base;
    u32 slot;
    BackReference back;
  };

  explicit PageIndex(const tmem_host_ops &host) : host_(host) {}

  // Allocates the tables; kNoMemory leaves nothing behind. Process context.
  Outcome start();
  // The index is empty by now. Process context.
  void stop();

  Place locate(const Handle &handle) const;

  // Makes @word the page's word. The word it replaces, if any, is the caller's
  // to free. kNoMemory: nothing has changed.
  Result<Maybe<Word>> insert(const Handle &handle, const Place &place, Word word);

  // Takes the page out; the word is the caller's to free.
  Maybe<Word> take(const Handle &handle, const Place &place);

  // The word, after @hold was called with it under the lock that keeps it from going.
  template <typename Hold>
  Maybe<Word> look_up(const Handle &handle, const Place &place, Hold hold) {
    Guard guard(place.bucket.lock);
    const Leaf *leaf = find_locked(place, handle);
    if (!leaf || !leaf->has(place.slot)) return {};
    const Word word = leaf->at(place.slot);
    hold(word);
    return word;
  }

  // Takes the page out if its slot still holds @pampd, and counts @why in its
  // pool. True: the index's reference is now the caller's.
  bool take_if(BackReference back, Pampd pampd, Counter why);

  // The object's number of leaves, and the base of its oldest.
  bool has_object(const Pool &pool, const Oid &oid, u64 *leaf_count, u64 *oldest_base);
  // Takes out what the leaf of @base has in @first_slot to @last_slot.
  void take_slots(Pool &pool, const Oid &oid, u64 base, u32 first_slot, u32 last_slot,
                  TakenLeaf &taken);

  // The object id of one object of the pool. Any order.
  static Maybe<Oid> any_object(Pool &pool);

  u64 table_bytes() const;

  // 0, or the number of the broken invariant. See validate.cc.
  int validate(u64 *pages_found) const;
  // Whether the slot of @back holds @pampd.
  bool resolves(BackReference back, Pampd pampd) const;

 private:
  // A leaf and an object to be freed when this goes out of scope, after the locks.
  class Loose;

  LeafBucket &leaf_bucket(const Pool &pool, const Oid &oid, u64 base, u64 *number) const;
  ObjectBucket &object_bucket(const Pool &pool, const Oid &oid) const;

  static Leaf *find_locked(const Place &place, const Handle &handle)
      TMEM_REQUIRES(place.bucket.lock) {
    return find_leaf(place.bucket, handle.pool, handle.oid, place.base);
  }
  static Leaf *find_leaf(const LeafBucket &bucket, const Pool &pool, const Oid &oid, u64 base)
      TMEM_REQUIRES(bucket.lock);
  static Object *find_object(const ObjectBucket &bucket, const Pool &pool, const Oid &oid)
      TMEM_REQUIRES(bucket.lock);

  bool link_leaf(const Handle &handle, const Place &place, Loose &spare)
      TMEM_REQUIRES(place.bucket.lock);
  void unlink_leaf(LeafBucket &bucket, Leaf &leaf, Loose &loose) TMEM_REQUIRES(bucket.lock);

  const tmem_host_ops &host_;
  LeafBucket *leaf_buckets_ = nullptr;
  ObjectBucket *object_buckets_ = nullptr;
  u64 leaf_bucket_mask_ = 0;
  u64 object_bucket_mask_ = 0;
};

}  // namespace tmem

#endif
