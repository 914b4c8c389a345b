// SPDX-License-Identifier: GPL-2.0
#include "membership.h"

#include <algorithm>
#include <array>
#include <set>

namespace tmem_test {
namespace {

using u64 = unsigned long long;

constexpr unsigned int kPoolsMax = 8;
constexpr int kNone = -1;

enum class Phase { kNever, kOpen, kUnlisted, kClosed, kGone };

struct PoolState {
  Phase phase = Phase::kNever;
  unsigned int members = 0;
  u64 stored = 0;
  auto operator<=>(const PoolState &) const = default;
};

struct State {
  std::array<PoolState, kPoolsMax> pools;
  std::array<int, kClientsOfAPool> in;       // the pool of a client
  std::array<bool, kClientsOfAPool> knows = {};  // what joining answered: its other threads may have to wait for that
  std::array<int, kThreadsOfAPool> entered;  // by a thread
  std::array<int, kThreadsOfAPool> ending;   // it is the last to leave, and destroys
  auto operator<=>(const State &) const = default;

  State() {
    in.fill(kNone);
    entered.fill(kNone);
    ending.fill(kNone);
  }
};

// One moment of what was done.
enum class Part { kJoin, kKnow, kLeave, kClose, kEnd, kEnter, kDo, kExit, kGoingAway, kOutside };
struct Moment {
  Part part;
  const Membership *of;
};

bool join(State &state, unsigned int client) {
  if (state.in[client] != kNone) return false;
  int pool = 0;
  while (state.pools[pool].phase != Phase::kOpen && state.pools[pool].phase != Phase::kNever)
    if (++pool == kPoolsMax) return false;
  state.pools[pool].phase = Phase::kOpen;
  state.pools[pool].members++;
  state.in[client] = pool;
  return true;
}

bool leave(State &state, unsigned int client, unsigned int thread) {
  const int pool = state.in[client];
  if (pool == kNone || state.pools[pool].phase != Phase::kOpen) return false;
  if (state.pools[pool].members > 1) {
    state.pools[pool].members--;
    state.in[client] = kNone;
    state.knows[client] = false;
  } else {
    state.pools[pool].phase = Phase::kUnlisted;
    state.ending[thread] = pool;
  }
  return true;
}

bool end(State &state, unsigned int client, unsigned int thread) {
  const int pool = state.ending[thread];
  if (pool == kNone) return true;
  if (std::find(state.entered.begin(), state.entered.end(), pool) != state.entered.end()) return false;
  state.pools[pool] = {Phase::kGone, 0, 0};
  state.in[client] = state.ending[thread] = kNone;
  state.knows[client] = false;
  return true;
}

bool step(const HandleRules &rules, const Moment &moment, State &state) {
  const auto [act, thread, client, called, returned, deed, tag] = *moment.of;
  const int in = state.in[client];
  switch (moment.part) {
    case Part::kJoin: return join(state, client);
    case Part::kKnow: state.knows[client] = true; return true;
    case Part::kLeave: return leave(state, client, thread);
    case Part::kClose:
      if (state.ending[thread] != kNone) state.pools[state.ending[thread]].phase = Phase::kClosed;
      return true;
    case Part::kEnd: return end(state, client, thread);
    case Part::kEnter:
      if (in == kNone || !state.knows[client] || state.pools[in].phase == Phase::kClosed) return false;
      state.entered[thread] = in;
      return true;
    case Part::kDo: return apply(rules, *deed, tag, state.pools[state.entered[thread]].stored);
    case Part::kExit: state.entered[thread] = kNone; return true;
    case Part::kGoingAway: return in != kNone && state.pools[in].phase == Phase::kClosed;
    case Part::kOutside: return in == kNone || !state.knows[client];
  }
  return false;
}

class Search {
 public:
  Search(const HandleRules &rules, const std::vector<Membership> &history) : rules_(rules) {
    for (const Membership &one : history) {
      std::vector<Moment> &its = threads_[one.thread];
      switch (one.act) {
        case Act::kJoined:
          for (const Part part : {Part::kJoin, Part::kKnow}) its.push_back({part, &one});
          break;
        case Act::kLeft:
          for (const Part part : {Part::kLeave, Part::kClose, Part::kEnd}) its.push_back({part, &one});
          break;
        case Act::kUsed:
          its.push_back({Part::kEnter, &one});
          if (one.deed) its.push_back({Part::kDo, &one});
          its.push_back({Part::kExit, &one});
          break;
        case Act::kGoingAway: its.push_back({Part::kGoingAway, &one}); break;
        case Act::kOutside: its.push_back({Part::kOutside, &one}); break;
      }
    }
  }

  bool succeeds() {
    std::vector<Configuration> stack(1);
    while (!stack.empty()) {
      const Configuration now = stack.back();
      stack.pop_back();
      if (!seen_.insert(now).second) continue;
      // A moment may come next only if nothing that is still to come had returned before its call.
      u64 first_return = ~0ULL;
      bool finished = true;
      for (unsigned int i = 0; i < kThreadsOfAPool; ++i)
        if (now.done[i] < threads_[i].size()) {
          finished = false;
          first_return = std::min(first_return, threads_[i][now.done[i]].of->returned);
        }
      if (finished) return true;
      for (unsigned int i = 0; i < kThreadsOfAPool; ++i) {
        if (now.done[i] == threads_[i].size()) continue;
        const Moment &moment = threads_[i][now.done[i]];
        if (moment.of->called > first_return) continue;
        Configuration next = now;
        // A flush of many may come by more than once.
        if (moment.part == Part::kDo && moment.of->deed == Deed::kFlushedUnseen &&
            now.state.pools[now.state.entered[i]].stored) {
          next.state.pools[next.state.entered[i]].stored = 0;
          stack.push_back(next);
          next = now;
        }
        if (!step(rules_, moment, next.state)) continue;
        next.done[i]++;
        stack.push_back(std::move(next));
      }
    }
    return false;
  }

 private:
  struct Configuration {
    std::array<unsigned int, kThreadsOfAPool> done = {};
    State state;
    auto operator<=>(const Configuration &) const = default;
  };

  const HandleRules rules_;
  std::array<std::vector<Moment>, kThreadsOfAPool> threads_;
  std::set<Configuration> seen_;
};

std::string line_of(const Membership &one) {
  static const char *const acts[] = {"joined", "left", "used", "going away", "outside"};
  return "  thread " + std::to_string(one.thread) + " client " + std::to_string(one.client) + " [" +
         std::to_string(one.called) + ", " + std::to_string(one.returned) + "] " + acts[static_cast<int>(one.act)] +
         (one.deed ? std::string(": ") + name_of(*one.deed) : "") + (one.tag ? " tag " + std::to_string(one.tag) : "") + "\n";
}

}  // namespace

std::string explain(const HandleRules &rules, const std::vector<Membership> &history) {
  if (Search(rules, history).succeeds()) return "";
  std::string text = "no order explains the history of a pool that is joined and left:\n";
  for (const Membership &one : history) text += line_of(one);
  return text;
}

}  // namespace tmem_test
