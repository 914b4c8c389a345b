// SPDX-License-Identifier: GPL-2.0
#include "fiber.h"

#include <cstdint>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define TMEM_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TMEM_TEST_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define TMEM_TEST_TSAN 1
#endif
#endif

#ifdef TMEM_TEST_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef TMEM_TEST_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
}
#endif

namespace tmem_test {

Fiber::Fiber() {
#ifdef TMEM_TEST_TSAN
  thread_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(void (*run)(void *), void *argument)
    : stack_(new char[kStackBytes]), run_(run), argument_(argument) {
  stack_bottom_ = stack_.get();
  stack_bytes_ = kStackBytes;
  if (getcontext(&context_)) std::abort();
  context_.uc_stack.ss_sp = stack_.get();
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&context_, reinterpret_cast<void (*)()>(enter), 2,
              static_cast<unsigned int>(self >> 32), static_cast<unsigned int>(self));
#ifdef TMEM_TEST_TSAN
  thread_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#ifdef TMEM_TEST_TSAN
  if (run_) __tsan_destroy_fiber(thread_);
#endif
}

// makecontext passes ints only.
void Fiber::enter(unsigned int high, unsigned int low) {
  auto *self = reinterpret_cast<Fiber *>(static_cast<std::uintptr_t>(high) << 32 | low);
  self->end_switch();
  self->run_(self->argument_);
  std::abort();
}

void Fiber::end_switch() {
#ifdef TMEM_TEST_ASAN
  // Where we come from is known by now, also if it is the thread's own stack.
  __sanitizer_finish_switch_fiber(fake_stack_, &came_from_->stack_bottom_, &came_from_->stack_bytes_);
#endif
}

// One function, entered and left as the same fiber: TSan counts its entry and its exit.
void Fiber::switch_to(Fiber &next) {
  [[maybe_unused]] void *next_thread;
  {
    const Unwatched unwatched;
    next.came_from_ = this;
    next_thread = next.thread_;
  }
#ifdef TMEM_TEST_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, next.stack_bottom_, next.stack_bytes_);
#endif
#ifdef TMEM_TEST_TSAN
  __tsan_switch_to_fiber(next_thread, __tsan_switch_to_fiber_no_sync);
#endif
  if (swapcontext(&context_, &next.context_)) std::abort();
  end_switch();
}

void release_to(void *token) {
#ifdef TMEM_TEST_TSAN
  __tsan_release(token);
#else
  static_cast<void>(token);
#endif
}

void acquire_from(void *token) {
#ifdef TMEM_TEST_TSAN
  __tsan_acquire(token);
#else
  static_cast<void>(token);
#endif
}

Unwatched::Unwatched() {
#ifdef TMEM_TEST_TSAN
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
}

Unwatched::~Unwatched() {
#ifdef TMEM_TEST_TSAN
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
}

}  // namespace tmem_test
