// SPDX-License-Identifier: GPL-2.0
// What the scenarios of kunit/ need of the host; platform_fail is each program's own.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "../../kunit/scenarios/scenarios.h"
#include "host_ops.h"

struct platform_thread {
  std::thread thread;
};

extern "C" {

const tmem_host_ops *platform_host_ops(void) { return tmem_test::host_ops(); }

void *platform_allocate(unsigned long bytes) {
  const size_t rounded = (bytes + TMEM_PAGE_BYTES - 1) / TMEM_PAGE_BYTES * TMEM_PAGE_BYTES;
  void *memory = std::aligned_alloc(TMEM_PAGE_BYTES, rounded);
  if (memory) std::memset(memory, 0, rounded);
  return memory;
}

void platform_release(void *memory) { std::free(memory); }

platform_thread *platform_thread_start(void (*run)(void *), void *argument) {
  return new platform_thread{std::thread(run, argument)};
}

void platform_thread_join(platform_thread *thread) {
  thread->thread.join();
  delete thread;
}

void platform_pause(void) { std::this_thread::sleep_for(std::chrono::microseconds(100)); }

void platform_yield(void) {}  // the host preempts

int platform_events_waiting(void) { return tmem_test::events_waiting(); }

unsigned long platform_interrupts_off(void) { return tmem_test::enter_atomic_context(); }
void platform_interrupts_on(unsigned long state) { tmem_test::leave_atomic_context(state != 0); }

void platform_interrupt(void (*run)(void *), void *argument) {
  tmem_test::enter_interrupt();
  run(argument);
  tmem_test::leave_interrupt();
}

}  // extern "C"
