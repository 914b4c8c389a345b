// SPDX-License-Identifier: GPL-2.0
// An intrusive, circular, doubly linked list. The node lives in the element,
// so linking allocates nothing and cannot fail; an element is told which of
// its nodes is meant by the list's type. A list owns none of its elements and
// must be empty when it dies. Locking is the user's.
#ifndef TMEM_CORE_BASE_LIST_H
#define TMEM_CORE_BASE_LIST_H

#include "types.h"

namespace tmem {

struct ListNode {
  ListNode *next = nullptr;
  ListNode *previous = nullptr;

  bool linked() const { return next != nullptr; }
};

template <typename T, ListNode T::*kNode>
class List {
 public:
  List() { init(); }
  ~List() { TMEM_ASSERT(empty()); }
  List(const List &) = delete;
  List &operator=(const List &) = delete;

  bool empty() const { return head_.next == &head_; }

  // The oldest, the youngest, and the one after an element; nullptr if there is none.
  T *front() const { return element(head_.next); }
  T *back() const { return element(head_.previous); }
  T *after(const T &item) const { return element((item.*kNode).next); }

  void push_back(T &item) {
    ListNode &node = item.*kNode;
    TMEM_ASSERT(!node.linked());
    node.previous = head_.previous;
    node.next = &head_;
    head_.previous->next = &node;
    head_.previous = &node;
  }

  void remove(T &item) {
    ListNode &node = item.*kNode;
    TMEM_ASSERT(node.linked());
    node.previous->next = node.next;
    node.next->previous = node.previous;
    node.next = node.previous = nullptr;
  }

 private:
  void init() { head_.next = head_.previous = &head_; }

  T *element(ListNode *node) const {
    if (node == &head_) return nullptr;
    // The node's place inside T, found without offsetof, which is not for a member pointer.
    const uptr offset = reinterpret_cast<uptr>(&(reinterpret_cast<T *>(kBase)->*kNode)) - kBase;
    return reinterpret_cast<T *>(reinterpret_cast<uptr>(node) - offset);
  }

  static constexpr uptr kBase = 4096;  // any aligned address that is not null

  ListNode head_;
};

}  // namespace tmem

#endif
