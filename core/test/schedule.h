// SPDX-License-Identifier: GPL-2.0
// A deterministic scheduler: logical threads of which exactly one runs, and at
// every lock taken or released, every host op and every PAM op another may be
// chosen. What is chosen is written down, so a schedule can be run again.
//
//   thread 0   ──lock──unlock──┐          ┌──free──done
//   thread 1                   └──lock──▶─┘ blocked: the lock is thread 0's
//   decisions       0     0    1     0         "2:1 3:0"
//
// By default the running thread goes on. A decision that departs from that is
// a deviation; the list of them, "number of the decision:thread", is the whole
// schedule. Leaving a thread that could go on is a preemption; changing over
// because it is blocked, done, or gives way (breathe) is not.
//
// Exploration enumerates every schedule with at most so many preemptions
// (iterative context bounding: most faults need one or two); Random draws
// them. A thread waits by saying what it waits for; if every thread that is not
// done waits for something that is not so, that is a deadlock.
#ifndef TMEM_CORE_TEST_SCHEDULE_H
#define TMEM_CORE_TEST_SCHEDULE_H

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fiber.h"
#include "host_ops.h"

namespace tmem_test {

struct Deviation {
  unsigned int decision;
  unsigned int thread;
};

std::string text_of(const std::vector<Deviation> &deviations);
// False if @text is no list of deviations.
bool parse(const std::string &text, std::vector<Deviation> &deviations);

// What may be chosen at one decision.
struct Options {
  unsigned int runnable;  // a bit for each thread that may run; never 0
  unsigned int usual;     // the thread that runs unless somebody chooses otherwise
  bool preempting;        // choosing another one is a preemption
};

class Chooser {
 public:
  virtual ~Chooser() = default;
  virtual unsigned int choose(unsigned int decision, const Options &options) = 0;
};

// Runs the deviations of a list.
class Replay final : public Chooser {
 public:
  explicit Replay(std::vector<Deviation> deviations) : deviations_(std::move(deviations)) {}
  unsigned int choose(unsigned int decision, const Options &options) override;
  // Every deviation could be made: it was the same run.
  bool faithful() const { return next_ == deviations_.size(); }

 private:
  std::vector<Deviation> deviations_;
  size_t next_ = 0;
};

// Draws: at each decision another thread with a probability that is itself drawn.
class Random final : public Chooser {
 public:
  explicit Random(unsigned long long seed);
  unsigned int choose(unsigned int decision, const Options &options) override;

 private:
  unsigned long long state_;
  unsigned int one_in_;
};

// Every schedule with at most @preemptions_max preemptions, one after the other:
//
//   Exploration exploration(2);
//   do { scheduler.run(threads, exploration); } while (exploration.next());
class Exploration final : public Chooser {
 public:
  explicit Exploration(unsigned int preemptions_max) : preemptions_max_(preemptions_max) {}
  unsigned int choose(unsigned int decision, const Options &options) override;
  // Prepares the next schedule; false if there is none.
  bool next();

 private:
  struct Branch {
    unsigned int left;  // threads that are still to be tried here
    unsigned int chosen;
    bool preempting;    // what is left here would be a preemption
    bool preempted;     // what is chosen is one
  };
  const unsigned int preemptions_max_;
  std::vector<Branch> path_;
  unsigned int preemptions_ = 0;
};

class Scheduler final : public Scheduling {
 public:
  static constexpr unsigned int kThreadsMax = 4;

  Scheduler();
  ~Scheduler();

  // Runs all @threads to their end. False: they cannot end; trouble() says why,
  // and the scheduler is of no more use.
  bool run(const std::vector<std::function<void()>> &threads, Chooser &chooser);

  const std::vector<Deviation> &deviations() const { return deviations_; }
  const std::string &trouble() const { return trouble_; }
  unsigned int decisions() const { return decision_; }
  // A moment for the history of this schedule: each is later than the one before.
  unsigned long long moment();

  // Switches happen at every count as well, and thus around whatever the core
  // does without a lock.
  void set_dense(bool dense) { dense_ = dense; }
  bool dense() const { return dense_; }

  // From the host ops, in a logical thread.
  void reach(Point point) override;
  void wait(Ready ready, const void *argument) override;
  // What runs now, for a message before the process dies.
  std::string describe() const override;
  // Put in front of it.
  void set_title(std::string title) { title_ = std::move(title); }

 private:
  // After so many steps in a row a thread gives way, in case it spins; after so many in all it never ends.
  static constexpr unsigned int kStepsInARow = 4000;
  static constexpr unsigned int kStepsMax = 200000;

  struct Thread {
    std::unique_ptr<Fiber> fiber;
    ThreadState *state = nullptr;
    Scheduler *scheduler = nullptr;
    const std::function<void()> *body = nullptr;
    bool done = true;
    Ready ready = nullptr;  // waits until it says so
    const void *argument = nullptr;
  };

  static void live(void *thread);
  bool runnable(const Thread &thread) const;
  void begin(const std::vector<std::function<void()>> &bodies, Chooser &chooser);
  void decide(bool may_go_on, bool gives_way);
  unsigned int choose(unsigned int mask, bool goes_on, bool gives_way);
  void go_to(unsigned int thread);
  void end(const char *trouble);

  // What came before a run comes before each thread's start, and each thread's
  // end before what comes after the run; nothing else is ordered.
  char begin_ = 0, end_ = 0;
  Fiber home_;
  Thread threads_[kThreadsMax];
  unsigned int count_ = 0;
  unsigned int running_ = 0;
  bool at_home_ = true;
  bool dense_ = false;
  Chooser *chooser_ = nullptr;
  unsigned int decision_ = 0;
  unsigned int steps_ = 0;
  unsigned int steps_in_a_row_ = 0;
  unsigned long long moment_ = 0;
  std::vector<Deviation> deviations_;
  std::string trouble_;
  std::string title_;
};

}  // namespace tmem_test

#endif
