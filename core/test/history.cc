// SPDX-License-Identifier: GPL-2.0
#include "history.h"

#include <algorithm>
#include <map>
#include <set>

namespace tmem_test {

using u64 = unsigned long long;

// What is stored under a handle (0: nothing, else a tag), or how far a pool's end is.
using State = u64;
constexpr State kNothing = 0;
constexpr State kOpen = 0, kClosing = 1, kEnded = 2;

bool apply(const HandleRules &rules, Deed deed, u64 tag, u64 &state) {
  switch (deed) {
    case Deed::kStored: state = tag; return true;
    case Deed::kRefused: state = kNothing; return true;
    case Deed::kHit:
      if (state != tag) return false;
      if (rules.exclusive) state = kNothing;
      return true;
    case Deed::kMissed:
      if (state != kNothing && !rules.ephemeral) return false;
      state = kNothing;
      return true;
    case Deed::kFlushed:
      if (state == kNothing) return false;
      state = kNothing;
      return true;
    case Deed::kFlushedUnseen: state = kNothing; return true;
    case Deed::kEntered: return state == kOpen;
    case Deed::kClosed:
      if (state != kOpen) return false;
      state = kClosing;
      return true;
    case Deed::kGone:
      if (state != kClosing) return false;
      state = kEnded;
      return true;
    case Deed::kGoingAway: return state == kClosing;
    case Deed::kUnknown: return state == kEnded;
  }
  return false;
}

const char *name_of(Deed deed) {
  switch (deed) {
    case Deed::kStored: return "put stored";
    case Deed::kRefused: return "put refused";
    case Deed::kHit: return "get hit";
    case Deed::kMissed: return "get or flush missed";
    case Deed::kFlushed: return "flush found";
    case Deed::kFlushedUnseen: return "flush of many";
    case Deed::kEntered: return "let in";
    case Deed::kClosed: return "destroy closes";
    case Deed::kGone: return "destroy ends";
    case Deed::kGoingAway: return "going away";
    case Deed::kUnknown: return "bad argument";
  }
  return "?";
}

namespace {

std::string line_of(const Event &event) {
  return "  thread " + std::to_string(event.thread) + " [" + std::to_string(event.called) + ", " +
         std::to_string(event.returned) + "] " + name_of(event.deed) +
         (event.tag ? " tag " + std::to_string(event.tag) : "") + "\n";
}

class Search {
 public:
  Search(const HandleRules &rules, const std::vector<Event> &events) : rules_(rules) {
    std::map<unsigned int, std::vector<Event>> by_thread;
    for (const Event &event : events) by_thread[event.thread].push_back(event);
    for (auto &[thread, its] : by_thread) threads_.push_back(std::move(its));
  }

  // Depth first, with its own stack: histories are long.
  bool succeeds() {
    std::vector<Configuration> stack = {{std::vector<unsigned int>(threads_.size(), 0), kNothing}};
    while (!stack.empty()) {
      const Configuration now = stack.back();
      stack.pop_back();
      if (!seen_.insert(now).second) continue;
      unsigned int explained = 0;
      // An event may come next only if no other that is still to come had returned before its call.
      u64 first_return = ~0ULL;
      for (size_t i = 0; i < threads_.size(); ++i) {
        explained += now.done[i];
        if (now.done[i] < threads_[i].size())
          first_return = std::min(first_return, threads_[i][now.done[i]].returned);
      }
      if (explained > best_) {
        best_ = explained;
        best_configuration_ = now;
      }
      bool finished = true;
      for (size_t i = 0; i < threads_.size(); ++i) {
        if (now.done[i] == threads_[i].size()) continue;
        finished = false;
        const Event &event = threads_[i][now.done[i]];
        Configuration next = now;
        // A flush of many may come by once more, later.
        if (event.deed == Deed::kFlushedUnseen && event.called <= first_return && now.state != kNothing) {
          next.state = kNothing;
          stack.push_back(next);
          next.state = now.state;
        }
        if (event.called > first_return || !apply(rules_, event.deed, event.tag, next.state)) continue;
        next.done[i]++;
        stack.push_back(std::move(next));
      }
      if (finished) return true;
    }
    return false;
  }

  std::string report() const {
    constexpr size_t kShownMax = 60;
    std::vector<Event> left;
    for (size_t i = 0; i < threads_.size(); ++i)
      for (size_t k = best_configuration_.done.empty() ? 0 : best_configuration_.done[i]; k < threads_[i].size(); ++k)
        left.push_back(threads_[i][k]);
    std::sort(left.begin(), left.end(), [](const Event &a, const Event &b) { return a.called < b.called; });
    std::string text = "no order explains the history; at best " + std::to_string(best_) +
                       " events, then with tag " + std::to_string(best_configuration_.state) +
                       " stored (0: nothing) these are left:\n";
    for (size_t i = 0; i < left.size() && i < kShownMax; ++i) text += line_of(left[i]);
    return text;
  }

 private:
  struct Configuration {
    std::vector<unsigned int> done;  // events explained of each thread
    State state = kNothing;
    auto operator<=>(const Configuration &) const = default;
  };

  const HandleRules rules_;
  std::vector<std::vector<Event>> threads_;
  std::set<Configuration> seen_;
  unsigned int best_ = 0;
  Configuration best_configuration_;
};

}  // namespace

std::string explain(const HandleRules &rules, const std::vector<Event> &events) {
  Search search(rules, events);
  if (search.succeeds()) return "";
  std::string text = search.report();
  if (events.size() <= 40) {
    text += "of all of these:\n";
    for (const Event &event : events) text += line_of(event);
  }
  return text;
}

}  // namespace tmem_test
