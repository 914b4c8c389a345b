// SPDX-License-Identifier: GPL-2.0
// A thread of control that runs only when it is told to: a stack of its own,
// entered and left by switch_to(). All fibers of a scheduler share one thread
// of the system, so nothing runs that was not chosen, and a switch costs less
// than waking a thread.
//
// The sanitizers are told of every switch. TSan takes each fiber for a thread
// of its own, and a switch for no synchronisation: what two fibers touch without
// a lock of the core's is a race, though they never run at the same time.
#ifndef TMEM_CORE_TEST_FIBER_H
#define TMEM_CORE_TEST_FIBER_H

#include <ucontext.h>

#include <memory>

namespace tmem_test {

class Fiber {
 public:
  // The thread that calls this, as a fiber to come back to.
  Fiber();
  // A fiber that calls @run with @argument when it is first switched to; @run never returns.
  Fiber(void (*run)(void *), void *argument);
  ~Fiber();
  Fiber(const Fiber &) = delete;
  Fiber &operator=(const Fiber &) = delete;

  // Leaves this fiber, which is the one that runs, for @next; returns when somebody switches back.
  void switch_to(Fiber &next);

 private:
  static constexpr size_t kStackBytes = 256 * 1024;

  static void enter(unsigned int high, unsigned int low);
  void end_switch();

  ucontext_t context_ = {};
  std::unique_ptr<char[]> stack_;
  const void *stack_bottom_ = nullptr;
  size_t stack_bytes_ = 0;
  Fiber *came_from_ = nullptr;
  void (*run_)(void *) = nullptr;
  void *argument_ = nullptr;
  [[maybe_unused]] void *fake_stack_ = nullptr;  // ASan's
  [[maybe_unused]] void *thread_ = nullptr;      // TSan's
};

// What happened before release_to(token) happened before what follows acquire_from(token).
void release_to(void *token);
void acquire_from(void *token);

// While one exists, TSan does not look: the scheduler's own state is touched by
// all fibers, one at a time.
class Unwatched {
 public:
  Unwatched();
  ~Unwatched();
  Unwatched(const Unwatched &) = delete;
  Unwatched &operator=(const Unwatched &) = delete;
};

}  // namespace tmem_test

#endif
