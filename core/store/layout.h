// SPDX-License-Identifier: GPL-2.0
// How many sections a store has, on which memory node each is, and which CPU fills which.
//
//   node 0   CPUs 0 1 2 3 8 9        sections 0 1 2     two CPUs to each
//   node 1   CPUs 4 5 6 7            sections 3 4
//
// A section for each CPU, as far as there is memory enough not to miss it: its bins are some 70 KiB. Each node that
// has CPUs has sections of its own, as its part of the CPUs is; its CPUs take them in turn.
#ifndef TMEM_CORE_STORE_LAYOUT_H
#define TMEM_CORE_STORE_LAYOUT_H

#include "run.h"

namespace tmem {

class Layout {
 public:
  static constexpr u32 kSectionsMost = Run::kSectionsMost;
  // Beyond so many nodes, the others' CPUs are counted to one of these.
  static constexpr u32 kNodesMost = kSectionsMost;

  // @Node answers the node of a CPU.
  template <typename Node>
  Layout(u32 cpus, u64 memory_frames, Node node_of) {
    for (u32 cpu = 0; cpu < cpus; ++cpu) cpus_[entry_of(node_of(cpu))]++;
    const u32 wanted = max(sections_wanted(cpus, memory_frames), nodes_);
    for (u32 i = 0; i < nodes_; ++i) {
      first_[i] = static_cast<u8>(sections_);
      // The others must have one each.
      const u32 most = wanted - sections_ - (nodes_ - 1 - i);
      const u32 part = static_cast<u32>(u64{wanted} * cpus_[i] / cpus);
      count_[i] = static_cast<u8>(max(1u, min(part, min(most, u32{cpus_[i]}))));
      sections_ += count_[i];
    }
  }

  u32 sections() const { return sections_; }
  u32 node_of_section(u32 section) const {
    u32 i = 0;
    while (i + 1 < nodes_ && first_[i + 1] <= section) ++i;
    return numbers_[i];
  }
  // Called once for each CPU, in their order.
  u32 next_section(u32 node) {
    const u32 i = entry_of(node);
    return u32{first_[i]} + turn_[i]++ % count_[i];
  }

 private:
#ifdef TMEM_DEBUG
  static constexpr u64 kFramesFirst = 1, kFramesFurther = 1;  // tests fill small machines, and sections are to meet
#else
  static constexpr u64 kFramesFirst = 4096, kFramesFurther = 65536;
#endif
  static constexpr u32 kFirst = 8;  // from so many on a section is for more memory

  static u32 sections_wanted(u32 cpus, u64 memory_frames) {
    const u64 for_memory = max(min<u64>(memory_frames / kFramesFirst, kFirst), memory_frames / kFramesFurther);
    return static_cast<u32>(max<u64>(1, min<u64>(min(cpus, kSectionsMost), for_memory)));
  }
  u32 entry_of(u32 node) {
    for (u32 i = 0; i < nodes_; ++i)
      if (numbers_[i] == node) return i;
    if (nodes_ == kNodesMost) return node % kNodesMost;
    numbers_[nodes_] = node;
    return nodes_++;
  }

  // It lives on a stack.
  u32 nodes_ = 0, sections_ = 0;
  u32 numbers_[kNodesMost] = {};
  u16 cpus_[kNodesMost] = {}, turn_[kNodesMost] = {};
  u8 first_[kNodesMost] = {}, count_[kNodesMost] = {};
};

}  // namespace tmem

#endif
