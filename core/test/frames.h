// SPDX-License-Identifier: GPL-2.0
// Page frames for the tests. Half of them are blocks of malloc's by themselves, so
// that a sanitizer sees who leaves one; the others lie side by side by eights, as
// those of a kernel do that were allocated together, and are given out in no
// order. Of those the sanitizer sees who touches a free one.
#ifndef TMEM_CORE_TEST_FRAMES_H
#define TMEM_CORE_TEST_FRAMES_H

namespace tmem_test {

// Any thread; no order of locks. take_frame returns nullptr only if malloc does.
void *take_frame();
void give_frame_back(void *frame);

}  // namespace tmem_test

#endif
