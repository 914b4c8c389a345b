// SPDX-License-Identifier: GPL-2.0
#include "schedule.h"

#include <bit>
#include <cstdio>
#include <cstdlib>

#include "../../kunit/scenarios/scenarios.h"

// Of the sanitizers, where there is one: called before the process dies of a find.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace tmem_test {
namespace {

const Scheduler *dying_words_of = nullptr;

void say_what_ran() {
  if (!dying_words_of) return;
  const std::string text = dying_words_of->describe();
  if (!text.empty()) std::fprintf(stderr, "%s\n", text.c_str());
}

unsigned int lowest(unsigned int mask) { return static_cast<unsigned int>(std::countr_zero(mask)); }

}  // namespace

// ---- Deviations

std::string text_of(const std::vector<Deviation> &deviations) {
  std::string text;
  for (const Deviation &deviation : deviations) {
    if (!text.empty()) text += ' ';
    text += std::to_string(deviation.decision) + ':' + std::to_string(deviation.thread);
  }
  return text;
}

bool parse(const std::string &text, std::vector<Deviation> &deviations) {
  deviations.clear();
  const char *at = text.c_str();
  while (*at == ' ') ++at;
  while (*at) {
    char *end;
    const unsigned long decision = std::strtoul(at, &end, 10);
    if (end == at || *end != ':') return false;
    at = end + 1;
    const unsigned long thread = std::strtoul(at, &end, 10);
    if (end == at || thread >= Scheduler::kThreadsMax) return false;
    deviations.push_back({static_cast<unsigned int>(decision), static_cast<unsigned int>(thread)});
    for (at = end; *at == ' ';) ++at;
  }
  return true;
}

// ---- Choosers

unsigned int Replay::choose(unsigned int decision, const Options &options) {
  if (next_ == deviations_.size() || deviations_[next_].decision != decision) return options.usual;
  const unsigned int thread = deviations_[next_].thread;
  if (!(options.runnable >> thread & 1)) return options.usual;  // and next_ stays: not faithful
  next_++;
  return thread;
}

Random::Random(unsigned long long seed) : state_(scenario_hash(seed)) {
  one_in_ = 1u << scenario_below(&state_, 6);
}

unsigned int Random::choose(unsigned int, const Options &options) {
  if (scenario_below(&state_, one_in_)) return options.usual;
  unsigned int nth = scenario_below(&state_, static_cast<unsigned int>(std::popcount(options.runnable)));
  unsigned int left = options.runnable;
  while (nth--) left &= left - 1;
  return lowest(left);
}

unsigned int Exploration::choose(unsigned int decision, const Options &options) {
  if (decision == path_.size()) {
    const bool may_differ = !options.preempting || preemptions_ < preemptions_max_;
    const unsigned int others = options.runnable & ~(1u << options.usual);
    path_.push_back({may_differ ? others : 0, options.usual, options.preempting, false});
  }
  const Branch &branch = path_[decision];
  preemptions_ += branch.preempted;
  return branch.chosen;
}

bool Exploration::next() {
  preemptions_ = 0;
  while (!path_.empty() && !path_.back().left) path_.pop_back();
  if (path_.empty()) return false;
  Branch &branch = path_.back();
  branch.chosen = lowest(branch.left);
  branch.left &= branch.left - 1;
  branch.preempted = branch.preempting;
  return true;
}

// ---- The scheduler

Scheduler::Scheduler() {
  for (unsigned int i = 0; i < kThreadsMax; ++i) {
    threads_[i].scheduler = this;
    threads_[i].state = make_thread_state(i);
    threads_[i].fiber = std::make_unique<Fiber>(live, &threads_[i]);
  }
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(say_what_ran);
  dying_words_of = this;
}

Scheduler::~Scheduler() {
  dying_words_of = nullptr;
  for (Thread &thread : threads_) drop_thread_state(thread.state);
}

std::string Scheduler::describe() const {
  const Unwatched unwatched;
  if (at_home_) return "";
  return "schedule: " + title_ + '@' + text_of(deviations_);
}

unsigned long long Scheduler::moment() {
  const Unwatched unwatched;
  return ++moment_;
}

bool Scheduler::run(const std::vector<std::function<void()>> &bodies, Chooser &chooser) {
  if (!trouble_.empty() || bodies.empty() || bodies.size() > kThreadsMax) return false;
  Scheduling *outer;
  {
    const Unwatched unwatched;
    begin(bodies, chooser);
    outer = set_scheduling(this);
  }
  release_to(&begin_);
  decide(false, false);
  acquire_from(&end_);
  const Unwatched unwatched;
  at_home_ = true;
  set_scheduling(outer);
  return trouble_.empty();
}

void Scheduler::begin(const std::vector<std::function<void()>> &bodies, Chooser &chooser) {
  chooser_ = &chooser;
  count_ = static_cast<unsigned int>(bodies.size());
  decision_ = steps_ = steps_in_a_row_ = 0;
  moment_ = 0;
  deviations_.clear();
  for (unsigned int i = 0; i < count_; ++i) {
    threads_[i].body = &bodies[i];
    threads_[i].done = false;
    threads_[i].ready = nullptr;
    restart_thread_state(*threads_[i].state);
  }
  at_home_ = false;
  running_ = kThreadsMax;  // none yet
}

// A thread's life: bodies, one after the other, as long as the scheduler lives.
void Scheduler::live(void *argument) {
  Thread &thread = *static_cast<Thread *>(argument);
  Scheduler *scheduler = thread.scheduler;
  for (;;) {
    acquire_from(&scheduler->begin_);
    const std::function<void()> *body;
    {
      const Unwatched unwatched;
      body = thread.body;
    }
    (*body)();
    release_to(&scheduler->end_);
    {
      const Unwatched unwatched;
      thread.done = true;
    }
    scheduler->decide(false, false);
  }
}

bool Scheduler::runnable(const Thread &thread) const {
  return !thread.done && (!thread.ready || thread.ready(thread.argument));
}

void Scheduler::reach(Point point) {
  bool gives_way, without_end;
  {
    const Unwatched unwatched;
    if (point == Point::kCounter && !dense_) return;
    without_end = ++steps_ > kStepsMax;
    gives_way = ++steps_in_a_row_ > kStepsInARow;
  }
  if (without_end) return end("no end: a thread goes on and on");
  decide(!gives_way, gives_way);
}

void Scheduler::wait(Ready ready, const void *argument) {
  bool without_end;
  {
    const Unwatched unwatched;
    threads_[running_].ready = ready;
    threads_[running_].argument = argument;
    without_end = ++steps_ > kStepsMax;
  }
  if (without_end) return end("no end: a thread waits again and again");
  release_to(&end_);  // it may never come back
  decide(true, false);
  const Unwatched unwatched;
  threads_[running_].ready = nullptr;
}

// Nothing of TSan's may be left switched off over a switch: what is chosen is
// found first, and done afterwards.
void Scheduler::decide(bool may_go_on, bool gives_way) {
  bool stays = false, deadlock = false;
  unsigned int chosen = kThreadsMax;
  {
    const Unwatched unwatched;
    unsigned int mask = 0, unfinished = 0;
    for (unsigned int i = 0; i < count_; ++i) {
      unfinished += !threads_[i].done;
      if (runnable(threads_[i])) mask |= 1u << i;
    }
    if (mask) chosen = choose(mask, may_go_on && mask >> running_ & 1, gives_way);
    deadlock = !mask && unfinished;
    stays = chosen == running_;
    if (!stays) steps_in_a_row_ = 0;
  }
  if (deadlock) return end("deadlock: each thread that is not done waits");
  if (!stays) go_to(chosen);
}

unsigned int Scheduler::choose(unsigned int mask, bool goes_on, bool gives_way) {
  unsigned int usual = goes_on ? running_ : lowest(mask);
  if (gives_way && mask & ~(1u << running_)) usual = lowest(mask & ~(1u << running_));
  if (!(mask & (mask - 1))) return usual;
  const unsigned int chosen = chooser_->choose(decision_, {mask, usual, goes_on});
  if (chosen != usual) deviations_.push_back({decision_, chosen});
  decision_++;
  return chosen;
}

// Home if there is no such thread.
void Scheduler::go_to(unsigned int thread) {
  Fiber *from, *to;
  {
    const Unwatched unwatched;
    from = running_ < kThreadsMax ? threads_[running_].fiber.get() : &home_;
    to = thread < kThreadsMax ? threads_[thread].fiber.get() : &home_;
    running_ = thread;
    use_thread_state(thread < kThreadsMax ? threads_[thread].state : nullptr);
  }
  from->switch_to(*to);
}

// The threads stay where they are for ever.
void Scheduler::end(const char *trouble) {
  {
    const Unwatched unwatched;
    trouble_ = trouble;
    for (unsigned int i = 0; i < count_; ++i)
      if (!threads_[i].done) trouble_ += "\n  thread " + std::to_string(i) + what_it_holds(*threads_[i].state);
  }
  release_to(&end_);
  go_to(kThreadsMax);
}

}  // namespace tmem_test
