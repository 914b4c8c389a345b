// SPDX-License-Identifier: GPL-2.0
// What is kept, who may hold how many page frames, and who must give some back.
// (What else decides what is kept: the table in Documentation/store.md.)
//
// One budget covers both kinds of pages. Each client has an account with a
// weight and a limit. Persistent frames stay until their owner frees them;
// ephemeral ones pay for everything: when the budget is full, the account that holds most
// in proportion to its weight, among those with anything ephemeral, loses its
// oldest; when a client is at its own limit, it loses its own.
//
// A refusal stands for a while: when a page has found no room, none is looked at
// until there is room for a good many, a 64th of the budget. Else each would be
// compressed only to be refused, and of pages that are swapped out together some
// would be kept and some not, so that the disk's part is read back in pieces. The
// idea is that of zswap's accept_threshold_percent.
//
// kFrames is what the PAM takes and gives at once. Counts are atomic, and charging needs no lock; of a
// limit that is lowered and a charge at the same moment, one sees the other (charge(), set_limit()).
// Which block is the oldest the PAM knows; refuse() and refusal() are called under a lock of its own.
#ifndef TMEM_CORE_STORE_BUDGET_H
#define TMEM_CORE_STORE_BUDGET_H

#include "../base/atomic.h"
#include "../base/outcome.h"

namespace tmem {

template <u64 kFrames>
class Budget {
 public:
  // kDone, or what one page was refused for, and all are until there is so much room.
  class Refusal {
   public:
    Outcome reason() const { return static_cast<Outcome>(reason_.load_relaxed()); }
    void set_reason(Outcome reason) { reason_.store_relaxed(static_cast<u8>(reason)); }
    Atomic<u64> bytes_wanted;

   private:
    Atomic<u8> reason_{static_cast<u8>(Outcome::kDone)};
  };

  struct alignas(64) Account {
    Atomic<u64> weight{TMEM_WEIGHT_DEFAULT};
    Atomic<u64> limit{TMEM_NO_LIMIT};
    Atomic<u64> frames;
    Atomic<u64> ephemeral_frames;
    Atomic<u64> frames_evicted;  // ever, as the next one
    Atomic<u64> pages_evicted;
    alignas(64) Refusal refusals[2];  // of ephemeral pages, of persistent ones
  };

  // Is a page that compresses to @bytes worth keeping? @percent is the kind's tunable.
  static bool admits(u64 bytes, bool persistent, u64 percent) {
    if (bytes * 100 > percent * kPageBytes) return false;
    return bytes < kPageBytes || persistent;  // a file page can be read again
  }

  // May this client take one more block?
  Outcome has_room(u32 client) const {
    const Account &account = accounts[client];
    if (account.limit.load_relaxed() < account.frames.load_relaxed() + kFrames) return Outcome::kRefusedLimit;
    return limit.load_relaxed() < frames.load_relaxed() + kFrames ? Outcome::kRefusedBudget : Outcome::kDone;
  }
  // If so it is charged for it.
  Outcome charge(u32 client) {
    if (const Outcome verdict = has_room(client); verdict != Outcome::kDone) return verdict;
    Account &account = accounts[client];
    if (!add_within(account.frames, account.limit)) return Outcome::kRefusedLimit;
    if (add_within(frames, limit)) return Outcome::kDone;
    static_cast<void>(account.frames.fetch_sub_release(kFrames));
    return Outcome::kRefusedBudget;
  }
  void uncharge(u32 client) {
    const u64 own = accounts[client].frames.fetch_sub_release(kFrames);
    const u64 all = frames.fetch_sub_release(kFrames);
    TMEM_ASSERT(own >= kFrames && all >= kFrames);
  }
  // From here on nobody is charged beyond it; how much too much is held.
  u64 set_limit(u64 new_limit) { return excess_over(limit, frames, new_limit); }
  u64 set_limit_of(u32 client, u64 new_limit) {
    return excess_over(accounts[client].limit, accounts[client].frames, new_limit);
  }

  // A block that can be evicted has come, or has gone.
  void add_ephemeral(u32 client) { static_cast<void>(accounts[client].ephemeral_frames.fetch_add_relaxed(kFrames)); }
  void remove_ephemeral(u32 client) { static_cast<void>(accounts[client].ephemeral_frames.fetch_sub_release(kFrames)); }

  // Whose oldest is to go for @reason (what charge() refused, or no memory) on behalf of @client: among those
  // with anything ephemeral, and not in @without. TMEM_CLIENTS_MAX: nobody's.
  u32 payer(Outcome reason, u32 client, u32 without = 0) const {
    u32 heaviest = TMEM_CLIENTS_MAX;
    for (u32 i = 0; i < TMEM_CLIENTS_MAX; ++i) {
      if (without >> i & 1 || (reason == Outcome::kRefusedLimit && i != client)) continue;
      if (accounts[i].ephemeral_frames.load_relaxed() == 0) continue;
      // frames/weight > frames/weight, without dividing.
      if (heaviest == TMEM_CLIENTS_MAX || accounts[i].frames.load_relaxed() * accounts[heaviest].weight.load_relaxed() >
                                              accounts[heaviest].frames.load_relaxed() * accounts[i].weight.load_relaxed())
        heaviest = i;
    }
    return heaviest;
  }

  // A page has found no room, though there were @hole_bytes of holes.
  void refuse(Outcome reason, u32 client, bool persistent, u64 hole_bytes) {
    Refusal &refusal = accounts[client].refusals[persistent];
    refusal.bytes_wanted.store_relaxed(room_wanted(client, room(client, hole_bytes)));
    refusal.set_reason(reason);
  }
  // kDone, or what pages of this client and kind are to be refused for.
  Outcome refusal(u32 client, bool persistent, u64 hole_bytes) {
    Refusal &refusal = accounts[client].refusals[persistent];
    const u64 bytes = room(client, hole_bytes);
    if (is_over(client, refusal, bytes)) refusal.set_reason(Outcome::kDone);
    // There may be less room than before, and never again so much.
    refusal.bytes_wanted.store_relaxed(min(refusal.bytes_wanted.load_relaxed(), room_wanted(client, bytes)));
    return refusal.reason();
  }
  // What refusal() would say, if it had nothing to change; else kDone. Needs no lock.
  Outcome standing_refusal(u32 client, bool persistent, u64 hole_bytes) const {
    const Refusal &refusal = accounts[client].refusals[persistent];
    const u64 bytes = room(client, hole_bytes);
    if (is_over(client, refusal, bytes) || refusal.bytes_wanted.load_relaxed() > room_wanted(client, bytes))
      return Outcome::kDone;
    return refusal.reason();
  }

  void report(u32 client, tmem_client_usage &usage) const {
    const Account &account = accounts[client];
    usage.weight = account.weight.load_relaxed();
    usage.limit_frames = account.limit.load_relaxed();
    usage.frames = account.frames.load_relaxed();
    usage.frames_ephemeral = account.ephemeral_frames.load_relaxed();
    usage.frames_evicted = account.frames_evicted.load_relaxed();
    usage.pages_evicted = account.pages_evicted.load_relaxed();
  }

  u64 ephemeral_frames() const {
    u64 sum = 0;
    for (const Account &account : accounts) sum += account.ephemeral_frames.load_relaxed();
    return sum;
  }

  alignas(64) Atomic<u64> limit;   // frames
  alignas(64) Atomic<u64> frames;  // charged now, over all accounts
  Account accounts[TMEM_CLIENTS_MAX];

 private:
  static constexpr u64 kRoomPart = 64;

  static bool add_within(Atomic<u64> &sum, const Atomic<u64> &most) {
    u64 before = sum.load_relaxed();
    do {
      if (most.load_relaxed() < before + kFrames) return false;
    } while (!sum.compare_exchange_ordered(before, before + kFrames));
    // Who lowers it has stored it and looks at the sum then: either sees us, or we see it here.
    if (most.load_ordered() >= before + kFrames) return true;
    static_cast<void>(sum.fetch_sub_release(kFrames));
    return false;
  }
  static u64 excess_over(Atomic<u64> &most, const Atomic<u64> &sum, u64 new_limit) {
    most.store_ordered(new_limit);
    const u64 held = sum.load_ordered();
    return held > new_limit ? held - new_limit : 0;
  }

  bool is_over(u32 client, const Refusal &refusal, u64 bytes) const {
    const Account &account = accounts[client];
    // Ephemeral pages go before any other is refused.
    const bool evictable = account.ephemeral_frames.load_relaxed() != 0 ||
                           (refusal.reason() != Outcome::kRefusedLimit && ephemeral_frames() != 0);
    // Holes in which one page had no room may be none for the next; what is for a block is for any.
    const bool blocks = room(client, 0) >= max(room_wanted(client, 0), kFrames * kPageBytes);
    return evictable || blocks || bytes >= refusal.bytes_wanted.load_relaxed();
  }
  // What this client could have: its holes, and what nobody has or what may be evicted, up to its limit.
  u64 room(u32 client, u64 hole_bytes) const {
    const Account &account = accounts[client];
    const u64 all_limit = limit.load_relaxed(), own_limit = account.limit.load_relaxed();
    const u64 of_all = all_limit - min(all_limit, frames.load_relaxed()) + ephemeral_frames();
    return hole_bytes + min(of_all, own_limit - min(own_limit, account.frames.load_relaxed())) * kPageBytes;
  }
  u64 room_wanted(u32 client, u64 bytes) const {
    return bytes + min(limit.load_relaxed(), accounts[client].limit.load_relaxed()) * kPageBytes / kRoomPart;
  }
};

}  // namespace tmem

#endif
