// SPDX-License-Identifier: GPL-2.0
// What the plain store keeps for each page, beside its frame.
#ifndef TMEM_CORE_STORE_PLAIN_PAGE_H
#define TMEM_CORE_STORE_PLAIN_PAGE_H

#include "../base/list.h"

namespace tmem {

struct PlainPage {
  void *frame = nullptr;
  ListNode in_order;  // of its client and kind, as they came
  u64 back_reference = 0;
  u32 references = 1;
  u32 client = 0;
  bool persistent = false;
  bool listed = true;  // false while it is being evicted
};
static_assert(sizeof(PlainPage) == 48);

}  // namespace tmem

#endif
