// SPDX-License-Identifier: GPL-2.0
#include "frames.h"

#include <sanitizer/asan_interface.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>

#include "abi.h"
#include "unseen.h"

namespace tmem_test {
namespace {

constexpr unsigned kFramesPerBlock = 8;
constexpr unsigned kAllFree = (1u << kFramesPerBlock) - 1;
// 0 3 6 1 4 7 2 5: neighbours come together only if somebody sorts them.
constexpr unsigned kStep = 3;

std::mutex mutex;
// Address of a block, and a bit for each of its frames that is free. Never destroyed: threads of tests may outlive main's objects.
std::map<char *, unsigned> &blocks = *new std::map<char *, unsigned>;
std::map<char *, unsigned>::iterator current = blocks.end();
unsigned taken = 0;

char *frame_of(char *block, unsigned number) { return block + number * TMEM_PAGE_BYTES; }

void *take() {
  const Unseen guard(mutex);
  const unsigned turn = taken++ % (2 * kFramesPerBlock);
  if (turn >= kFramesPerBlock) return std::aligned_alloc(TMEM_PAGE_BYTES, TMEM_PAGE_BYTES);
  if (turn == 0 || current == blocks.end()) {
    void *block = std::aligned_alloc(TMEM_PAGE_BYTES, kFramesPerBlock * TMEM_PAGE_BYTES);
    if (!block) return nullptr;
    ASAN_POISON_MEMORY_REGION(block, kFramesPerBlock * TMEM_PAGE_BYTES);
    current = blocks.emplace(static_cast<char *>(block), kAllFree).first;
  }
  const unsigned number = turn * kStep % kFramesPerBlock;
  if (!(current->second & 1u << number)) return std::aligned_alloc(TMEM_PAGE_BYTES, TMEM_PAGE_BYTES);
  current->second &= ~(1u << number);
  char *frame = frame_of(current->first, number);
  ASAN_UNPOISON_MEMORY_REGION(frame, TMEM_PAGE_BYTES);
  return frame;
}

}  // namespace

void *take_frame() {
  void *frame = take();
  take_over(frame);
  return frame;
}

void give_frame_back(void *frame) {
  hand_over(frame);
  const Unseen guard(mutex);
  auto block = blocks.upper_bound(static_cast<char *>(frame));
  if (block == blocks.begin() || static_cast<char *>(frame) >= frame_of((--block)->first, kFramesPerBlock)) {
    std::free(frame);
    return;
  }
  const unsigned number = static_cast<unsigned>((static_cast<char *>(frame) - block->first) / TMEM_PAGE_BYTES);
  block->second |= 1u << number;
  ASAN_POISON_MEMORY_REGION(frame, TMEM_PAGE_BYTES);
  if (block->second != kAllFree) return;
  // No free memory of the block's own may stay poisoned behind malloc's back.
  ASAN_UNPOISON_MEMORY_REGION(block->first, kFramesPerBlock * TMEM_PAGE_BYTES);
  std::free(block->first);
  if (current == block) current = blocks.end();
  blocks.erase(block);
}

}  // namespace tmem_test
