// SPDX-License-Identifier: GPL-2.0
// What is kept, who may hold how many page frames, and who must give some back.
// (What else decides what is kept: the table in Documentation/store.md.)
//
// One budget covers both kinds of pages. Each client has an account with a
// weight and a limit. Persistent frames stay until their owner frees them;
// ephemeral ones hang on their account's list, least recently filled first,
// and pay for everything: when the budget is full, the account that holds most
// in proportion to its weight, among those with anything ephemeral, loses its
// oldest; when a client is at its own limit, it loses its own. (Least recently read, where pages stay when they are read.)
//
// A refusal stands for a while: when a page has found no room, none is looked at
// until there is room for a good many, a 64th of the budget. Else each would be
// compressed only to be refused, and of pages that are swapped out together some
// would be kept and some not, so that the disk's part is read back in pieces. The
// idea is that of zswap's accept_threshold_percent.
//
// T is the PAM's unit of reclaim, a block of kFrames frames; busy() while somebody
// empties it, at its place in the list. Locking is the PAM's.
#ifndef TMEM_CORE_STORE_BUDGET_H
#define TMEM_CORE_STORE_BUDGET_H

#include "../base/list.h"
#include "../base/outcome.h"

namespace tmem {

template <typename T, ListNode T::*kNode, u64 kFrames>
class Budget {
 public:
  using Blocks = List<T, kNode>;

  // kDone, or what one page was refused for, and all are until there is so much room.
  struct Refusal {
    Outcome reason = Outcome::kDone;
    u64 bytes_wanted = 0;
  };

  struct Account {
    u64 weight = TMEM_WEIGHT_DEFAULT;
    u64 limit = TMEM_NO_LIMIT;
    u64 frames = 0;
    u64 ephemeral_frames = 0;
    Refusal refusals[2];  // of ephemeral pages, of persistent ones
    u64 frames_evicted = 0;  // ever, as the next one
    u64 pages_evicted = 0;
    Blocks ephemeral;   // least recently filled first
    Blocks persistent;  // in no order of meaning
  };

  // Is a page that compresses to @bytes worth keeping? @percent is the kind's tunable.
  static bool admits(u64 bytes, bool persistent, u64 percent) {
    if (bytes * 100 > percent * kPageBytes) return false;
    return bytes < kPageBytes || persistent;  // a file page can be read again
  }

  // May this client take one more block?
  Outcome has_room(u32 client) const {
    const Account &account = accounts[client];
    if (account.limit < account.frames + kFrames) return Outcome::kRefusedLimit;
    return limit < frames + kFrames ? Outcome::kRefusedBudget : Outcome::kDone;
  }
  // If so it is charged for it.
  Outcome charge(u32 client) {
    const Outcome verdict = has_room(client);
    if (verdict != Outcome::kDone) return verdict;
    accounts[client].frames += kFrames;
    frames += kFrames;
    return Outcome::kDone;
  }
  void uncharge(u32 client) {
    TMEM_ASSERT(accounts[client].frames >= kFrames && frames >= kFrames);
    accounts[client].frames -= kFrames;
    frames -= kFrames;
  }

  void enlist(T &block, u32 client, bool persistent) {
    Account &account = accounts[client];
    if (persistent) {
      account.persistent.push_back(block);
    } else {
      account.ephemeral.push_back(block);
      account.ephemeral_frames += kFrames;
    }
  }
  void delist(T &block, u32 client, bool persistent) {
    Account &account = accounts[client];
    if (persistent) {
      account.persistent.remove(block);
    } else {
      account.ephemeral.remove(block);
      account.ephemeral_frames -= kFrames;
    }
  }
  // It has just been filled: last in the order of eviction.
  void touch(T &block, u32 client) {
    accounts[client].ephemeral.remove(block);
    accounts[client].ephemeral.push_back(block);
  }

  // The block to be evicted for @reason (what charge() refused, or no memory)
  // on behalf of @client; nullptr if there is none.
  T *victim(Outcome reason, u32 client) {
    if (reason == Outcome::kRefusedLimit) return oldest_unread_of(accounts[client]);
    Account *heaviest = nullptr;
    for (Account &account : accounts) {
      if (!oldest_of(account)) continue;
      // frames/weight > frames/weight, without dividing.
      if (!heaviest || account.frames * heaviest->weight > heaviest->frames * account.weight)
        heaviest = &account;
    }
    return heaviest ? oldest_unread_of(*heaviest) : nullptr;
  }

  // A page has found no room, though there were @hole_bytes of holes.
  void refuse(Outcome reason, u32 client, bool persistent, u64 hole_bytes) {
    accounts[client].refusals[persistent] = {reason, room_wanted(client, room(client, hole_bytes))};
  }
  // kDone, or what pages of this client and kind are to be refused for.
  Outcome refusal(u32 client, bool persistent, u64 hole_bytes) {
    const Account &account = accounts[client];
    Refusal &refusal = accounts[client].refusals[persistent];
    const u64 bytes = room(client, hole_bytes);
    // Ephemeral pages go before any other is refused.
    const bool evictable =
        account.ephemeral_frames != 0 || (refusal.reason != Outcome::kRefusedLimit && ephemeral_frames() != 0);
    // Holes in which one page had no room may be none for the next; what is for a block is for any.
    const bool blocks = room(client, 0) >= max(room_wanted(client, 0), kFrames * kPageBytes);
    if (evictable || blocks || bytes >= refusal.bytes_wanted) refusal = {};
    // There may be less room than before, and never again so much.
    refusal.bytes_wanted = min(refusal.bytes_wanted, room_wanted(client, bytes));
    return refusal.reason;
  }

  void report(u32 client, tmem_client_usage &usage) const {
    const Account &account = accounts[client];
    usage.weight = account.weight;
    usage.limit_frames = account.limit;
    usage.frames = account.frames;
    usage.frames_ephemeral = account.ephemeral_frames;
    usage.frames_evicted = account.frames_evicted;
    usage.pages_evicted = account.pages_evicted;
  }

  u64 ephemeral_frames() const {
    u64 sum = 0;
    for (const Account &account : accounts) sum += account.ephemeral_frames;
    return sum;
  }

  // The block that is least recently filled and that nobody is emptying.
  static T *oldest_of(const Account &account) {
    T *block = account.ephemeral.front();
    while (block && block->busy()) block = account.ephemeral.after(*block);
    return block;
  }

  // One from which pages were read that stay when they are (shared pools) has another turn, as far as
  // one look at the list is to go. The idea is that of the clock, and the kernel's referenced pages.
  static T *oldest_unread_of(Account &account) {
    T *block = oldest_of(account);
    for (u32 turns = 0; block && turns < kTurns && block->forget_read(); ++turns) {
      account.ephemeral.remove(*block);
      account.ephemeral.push_back(*block);
      block = oldest_of(account);
    }
    return block;
  }

  Account accounts[TMEM_CLIENTS_MAX];
  u64 limit = 0;   // frames
  u64 frames = 0;  // charged now, over all accounts

 private:
  static constexpr u64 kRoomPart = 64;
  static constexpr u32 kTurns = 16;

  // What this client could have: its holes, and what nobody has or what may be evicted, up to its limit.
  u64 room(u32 client, u64 hole_bytes) const {
    const Account &account = accounts[client];
    const u64 of_all = limit - min(limit, frames) + ephemeral_frames();
    return hole_bytes + min(of_all, account.limit - min(account.limit, account.frames)) * kPageBytes;
  }
  u64 room_wanted(u32 client, u64 bytes) const {
    return bytes + min(limit, accounts[client].limit) * kPageBytes / kRoomPart;
  }
};

}  // namespace tmem

#endif
