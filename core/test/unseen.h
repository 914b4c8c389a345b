// SPDX-License-Identifier: GPL-2.0
// A mutex of the host's that TSan does not see. What the host keeps under it orders
// nothing of the core's: where the kernel's host does order, the code beside it says
// so with an atomic. (With a mutex that TSan sees, whoever enters any gate, or has any
// frame, would come after all who did before, and no barrier of the core were missed.)
#ifndef TMEM_CORE_TEST_UNSEEN_H
#define TMEM_CORE_TEST_UNSEEN_H

#include <mutex>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TMEM_TEST_TSAN 1
#endif
#endif

#ifdef TMEM_TEST_TSAN
extern "C" {
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void __tsan_acquire(void *address);
void __tsan_release(void *address);
}
#endif

namespace tmem_test {

class Unseen {
 public:
  explicit Unseen(std::mutex &mutex) : mutex_(mutex) {
#ifdef TMEM_TEST_TSAN
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
    mutex_.lock();
  }
  ~Unseen() {
    mutex_.unlock();
#ifdef TMEM_TEST_TSAN
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
#endif
  }
  Unseen(const Unseen &) = delete;
  Unseen &operator=(const Unseen &) = delete;

 private:
  std::mutex &mutex_;
};

// Memory passes from one thread to another: what the one did with it comes before what the other does.
inline void hand_over(void *memory) {
#ifdef TMEM_TEST_TSAN
  __tsan_release(memory);
#else
  static_cast<void>(memory);
#endif
}
inline void take_over(void *memory) {
#ifdef TMEM_TEST_TSAN
  __tsan_acquire(memory);
#else
  static_cast<void>(memory);
#endif
}

}  // namespace tmem_test

#endif
