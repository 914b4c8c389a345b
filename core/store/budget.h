// SPDX-License-Identifier: GPL-2.0
// What is kept, who may hold how many page frames, and who must give some back:
// the one place where that is decided.
//
// One budget covers both kinds of pages. Each client has an account with a
// weight and a limit. Persistent frames stay until their owner frees them;
// ephemeral ones hang on their account's list, least recently filled first,
// and pay for everything: when the budget is full, the account that holds most
// in proportion to its weight, among those with anything ephemeral, loses its
// oldest; when a client is at its own limit, it loses its own.
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

  struct Account {
    u64 weight = TMEM_WEIGHT_DEFAULT;
    u64 limit = TMEM_NO_LIMIT;
    u64 frames = 0;
    u64 ephemeral_frames = 0;
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

  // May this client take one more block? If so it is charged for it.
  Outcome charge(u32 client) {
    Account &account = accounts[client];
    if (account.limit < account.frames + kFrames) return Outcome::kRefusedLimit;
    if (limit < frames + kFrames) return Outcome::kRefusedBudget;
    account.frames += kFrames;
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
  T *victim(Outcome reason, u32 client) const {
    if (reason == Outcome::kRefusedLimit) return oldest_of(accounts[client]);
    const Account *heaviest = nullptr;
    for (const Account &account : accounts) {
      if (!oldest_of(account)) continue;
      // frames/weight > frames/weight, without dividing.
      if (!heaviest || account.frames * heaviest->weight > heaviest->frames * account.weight)
        heaviest = &account;
    }
    return heaviest ? oldest_of(*heaviest) : nullptr;
  }
  // Is it the last that eviction would come to?
  bool is_youngest(const T &block, u32 client) const {
    return accounts[client].ephemeral.back() == &block;
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

  Account accounts[TMEM_CLIENTS_MAX];
  u64 limit = 0;   // frames
  u64 frames = 0;  // charged now, over all accounts
};

}  // namespace tmem

#endif
