// SPDX-License-Identifier: GPL-2.0
#include "programs.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "../../kunit/scenarios/scenarios.h"
#include "history.h"
#include "membership.h"

namespace tmem_test {

const char *const kHandleOperations = "pzbgfrow";
const char *const kOtherOperations = "stcnd";

namespace {

using u64 = unsigned long long;

struct Place {
  tmem_oid oid;
  u64 index;
};
constexpr Place kPlaces[kHandles] = {
    {{{1, 0, 0}}, 0}, {{{1, 0, 0}}, 1}, {{{1, 0, 0}}, 100}, {{{2, 0, 0}}, 0}, {{{1, 0, 0}}, 2}, {{{1, 0, 0}}, 3},
    {{{1, 0, 0}}, 200}, {{{1, 0, 0}}, 300}};
constexpr bool kThereAtFirst[kHandles] = {true, false, true, false, true, false, false, false};
constexpr unsigned int kLastHandle = kHandles - 1;  // lies where the stage says
constexpr unsigned int kLeafSlots = 256;
// Of setting up: a put and a flush of each handle at most.
constexpr unsigned long long kSetUpMoments = 4 * kHandles;
constexpr unsigned long long kUuid[2] = {1, 2};
constexpr tmem_oid kBallast = {{9, 0, 0}};

constexpr unsigned long long kForeignTag = 77;  // of a kind that no put of the program's has

constexpr unsigned long long kCrowdTag = 1ull << 40;  // likewise

constexpr unsigned int kBallastPages = 16;
constexpr unsigned int kBallastNoise = 400;  // words of 512: few pages fill the budget, and none is poor
constexpr unsigned int kRoomyFrames = 512;
constexpr unsigned int kTightFrames = 80;  // a fifth of it is the budget
constexpr unsigned int kMainThread = Scheduler::kThreadsMax;
constexpr int kNothingDone = 1;  // no operation answers so

constexpr struct {
  unsigned int flags;
  const char *name;
} kFlavours[] = {
    {0, "ephemeral"},
    {TMEM_POOL_PERSISTENT, "persistent"},
    {TMEM_POOL_SHARED, "shared"},
    {TMEM_POOL_PERSISTENT | TMEM_POOL_SHARED, "persistent-shared"},
};

// ---- Pages: the tag says which put of which program it is, and of what kind.

u64 tag_of(unsigned int number, unsigned int kind) { return u64{kind} << 32 | (number + 1); }

unsigned int kind_of(u64 tag) { return static_cast<unsigned int>(tag >> 32); }

unsigned int kind_of_put(char what, unsigned int number) {
  if (what == 'z') return CONTENT_SAME_FILLED;
  if (what == 'b') return CONTENT_RANDOM;
  return number % 2 ? CONTENT_TEXT : CONTENT_HALF;
}

// ---- The compressed store, with a point of the schedule before each of its ops

const tmem_pam_ops *watched_pam() {
  static const tmem_pam_ops ops = [] {
    tmem_pam_ops made = *tmem_compressed_pam();
    made.create = [](void *pam, const tmem_pam_page *page, u64 *pampd) {
      reach(Point::kPamOp);
      return tmem_compressed_pam()->create(pam, page, pampd);
    };
    made.hold = [](void *pam, u64 pampd) {
      reach(Point::kPamOp);
      tmem_compressed_pam()->hold(pam, pampd);
    };
    made.get_data = [](void *pam, u64 pampd, void *data) {
      reach(Point::kPamOp);
      return tmem_compressed_pam()->get_data(pam, pampd, data);
    };
    made.free = [](void *pam, u64 pampd) {
      reach(Point::kPamOp);
      tmem_compressed_pam()->free(pam, pampd);
    };
    return made;
  }();
  return &ops;
}

// ---- The host of a program, which watches the leaves that logical threads make

LeafWatch *watch = nullptr;

const tmem_host_ops *watched_ops(unsigned long long memory_frames) {
  static const tmem_host_ops *below;
  static tmem_host_ops ops;
  below = injector_ops(memory_frames);
  ops = *below;
  ops.object_alloc = [](unsigned int kind, unsigned int flags) {
    void *object = below->object_alloc(kind, flags);
    const Unwatched unwatched;
    if (watch && object && kind - TMEM_KIND_LEAF < kLeafClassCount) watch->allocated(thread_number(), kind - TMEM_KIND_LEAF);
    return object;
  };
  ops.object_free = [](unsigned int kind, void *object) {
    below->object_free(kind, object);
    const Unwatched unwatched;
    if (watch && kind - TMEM_KIND_LEAF < kLeafClassCount) watch->freed(thread_number(), kind - TMEM_KIND_LEAF);
  };
  return &ops;
}

// ---- One run

class Arena {
 public:
  explicit Arena(const Program &program) : program_(program) {
    for (std::vector<Step> &steps : steps_) steps.reserve(64);
    std::copy(std::begin(kPlaces), std::end(kPlaces), places_.begin());
    if (program.stage) places_[kLastHandle].index = program.stage->next;
  }
  ~Arena() { watch = nullptr; }

  // Up to where the threads start; false: it cannot be had, and wrong() says so.
  bool set_up();
  // The operations of one thread.
  template <typename Clock>
  void work(unsigned int thread, Clock moment);
  // From where they ended; @trouble if they did not.
  void judge(const std::string &trouble, u64 last_moment);

  Verdict verdict;

 private:
  // One operation, as it was answered.
  struct Step {
    Operation operation;
    u64 called, returned;
    u64 tag;     // of what was put or found
    int result;
  };

  void expect(bool condition, const std::string &what) {
    if (!condition && verdict.wrong.empty()) verdict.wrong = what;
  }
  tmem_client *client_of(unsigned int thread) const {
    return program_.joined && thread != kMainThread ? clients_[thread % 2] : client_;
  }
  int pool_of(unsigned int thread) const {
    return program_.joined && thread != kMainThread ? ids_[thread % 2].load(std::memory_order_relaxed) : pool_;
  }
  bool persistent() const { return program_.flags & TMEM_POOL_PERSISTENT; }
  bool spans(const Operation &operation, const Place &place) const;
  void set_the_stage();
  bool set_the_clients_up();
  void do_and_note(char what, unsigned int handle, u64 *moment);
  void put_the_crowd(unsigned int index, bool same_filled);
  void look_at_the_crowd(bool pages_went);
  void do_one(unsigned int thread, const Operation &operation, Step &step);
  void use_new_pool(unsigned char *page);
  unsigned int spanned_by(const Operation &operation) const;
  Deed deed_of(const Step &step, u64 *tag);
  void add_events(unsigned int thread, const Step &step);
  void explain_all();
  void explain_joined();
  void join_and_leave(unsigned int thread, char what, Step &step);
  void look_at_the_rest();
  void take_apart();

  const Program &program_;
  tmem_host *host_ = nullptr;
  tmem_client *client_ = nullptr;
  int pool_ = -1;
  long locks_ = live_locks();
  std::atomic<unsigned int> puts_{0};
  std::array<Place, kHandles> places_;
  std::vector<bool> crowd_ = std::vector<bool>(2 * kLeafSlots);  // indexes of the first object; no handles
  u64 set_up_moment_ = 0;
  // Of a joined pool, beside the main thread's client, which sets up and looks afterwards.
  std::array<tmem_client *, 2> clients_ = {};
  std::array<std::atomic<int>, 2> ids_ = {-1, -1};
  std::array<std::vector<Step>, Scheduler::kThreadsMax + 1> steps_;
  std::array<std::vector<Event>, kHandles> handle_events_;
  std::vector<Event> life_events_;
  alignas(8) unsigned char pages_[Scheduler::kThreadsMax + 1][TMEM_PAGE_BYTES];
};

bool Arena::set_up() {
  injector_reset();
  injector.every_cpu = program_.apart;
  expect(tmem_register_host_ops(watched_ops(program_.tight ? kTightFrames : kRoomyFrames), &host_) == TMEM_OK &&
             tmem_register_pam_ops(host_, watched_pam()) == TMEM_OK &&
             tmem_client_create(host_, "program", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &client_) == TMEM_OK,
         "a host can be made");
  if (verdict.wrong.empty() && program_.joined) return set_the_clients_up();
  if (verdict.wrong.empty()) pool_ = tmem_new_pool(client_, program_.flags, kUuid);
  expect(pool_ >= 0, "a pool can be made");
  if (!verdict.wrong.empty()) return false;

  unsigned char *page = pages_[kMainThread];
  if (program_.tight) {
    // Somebody else's pages, until the first has been evicted.
    const int ballast = tmem_new_pool(client_, 0, nullptr);
    struct tmem_host_stats stats = {};
    for (unsigned int i = 0; i < 200 && !stats.pages.pages_evicted; ++i) {
      content_fill_mixed(page, kBallastNoise, i + 1);
      expect(tmem_put(client_, ballast, &kBallast, i, page) == TMEM_OK, "ballast is stored");
      tmem_host_stats(host_, &stats);
    }
    expect(stats.pages.pages_evicted != 0, "the budget is full");
  }
  // Of the pool's own kind, and more than one run of them; the handles' pages come
  // into the next run, and when every other page before them has gone, compacting
  // moves them.
  for (unsigned int i = 0; program_.holed && i < kBallastPages; ++i) {
    content_fill(page, CONTENT_HALF, i + 1);
    expect(tmem_put(client_, pool_, &kBallast, i, page) == TMEM_OK, "pages are stored");
  }
  if (program_.stage) {
    set_the_stage();
  } else {
    for (unsigned int handle = 0; handle < kHandles; ++handle)
      if (kThereAtFirst[handle]) do_and_note('p', handle, &set_up_moment_);
  }
  for (unsigned int i = 0; program_.holed && i < kBallastPages; i += 2)
    expect(tmem_flush_page(client_, pool_, &kBallast, i) == TMEM_OK, "and flushed");
  if (program_.failing) injector_fail(INJECT_ALL, program_.failing - 1, 1);
  return verdict.wrong.empty();
}

// By the main thread, when no other runs.
void Arena::do_and_note(char what, unsigned int handle, u64 *moment) {
  Step step = {{what, handle}, ++*moment, 0, 0, TMEM_OK};
  do_one(kMainThread, step.operation, step);
  step.returned = ++*moment;
  steps_[kMainThread].push_back(step);
}

// The main thread's client makes the pool, puts what is there at first, and leaves.
bool Arena::set_the_clients_up() {
  do_and_note('j', 0, &set_up_moment_);
  for (unsigned int handle = 0; handle < kHandles; ++handle)
    if (kThereAtFirst[handle]) do_and_note('p', handle, &set_up_moment_);
  for (unsigned int i = 0; i < clients_.size(); ++i) {
    expect(tmem_client_create(host_, "sharer", TMEM_WEIGHT_DEFAULT, TMEM_NO_LIMIT, &clients_[i]) == TMEM_OK,
           "a client can be made");
    if (i < program_.threads.size() && program_.threads[i].front().what == 'j') continue;
    // By the thread itself, but before any other runs.
    Step step = {{'j', 0}, ++set_up_moment_, 0, 0, TMEM_OK};
    do_one(i, step.operation, step);
    step.returned = ++set_up_moment_;
    steps_[i].push_back(step);
  }
  do_and_note('d', 0, &set_up_moment_);
  if (program_.failing) injector_fail(INJECT_ALL, program_.failing - 1, 1);
  return verdict.wrong.empty();
}

void Arena::set_the_stage() {
  long long before[kLeafClassCount];  // ballast's
  for (unsigned int i = 0; i < kLeafClassCount; ++i) before[i] = injector.live_objects[TMEM_KIND_LEAF + i];
  for (const Stage::Move &move : program_.stage->moves)
    for (unsigned int index = move.first;; index = move.first < move.last ? index + 1 : index - 1) {
      const auto handle = std::find_if(places_.begin(), places_.end(), [&](const Place &place) {
        return place.oid.word[0] == kPlaces[0].oid.word[0] && place.index == index;
      });
      if (handle != places_.end()) {
        do_and_note(move.what == 's' ? 'z' : move.what, static_cast<unsigned int>(handle - places_.begin()), &set_up_moment_);
      } else if (move.what == 'f') {
        expect(tmem_flush_page(client_, pool_, &kPlaces[0].oid, index) == TMEM_OK, "the crowd's page is flushed");
        crowd_[index] = false;
      } else {
        put_the_crowd(index, move.what == 's');
        crowd_[index] = true;
      }
      if (index == move.last) break;
    }
  const LeafClass wanted = program_.stage->leaf;
  for (unsigned int i = 0; i < kLeafClassCount; ++i)
    expect(injector.live_objects[TMEM_KIND_LEAF + i] - before[i] == (i == wanted),
           std::string("the stage's leaf is of class ") + name_of(wanted));
}

// Pages that take little of the store. It, not the index, keeps a repeated word too if it is told so.
void Arena::put_the_crowd(unsigned int index, bool same_filled) {
  unsigned char *page = pages_[kMainThread];
  content_fill(page, CONTENT_SAME_FILLED, kCrowdTag + index);
  tmem_tunable_set(host_, TMEM_TUNABLE_SAME_FILLED, same_filled);
  expect(tmem_put(client_, pool_, &kPlaces[0].oid, index, page) == TMEM_OK, "the crowd's page is put");
  tmem_tunable_set(host_, TMEM_TUNABLE_SAME_FILLED, 1);
}

void Arena::do_one(unsigned int thread, const Operation &operation, Step &step) {
  const Place &place = places_[operation.handle];
  unsigned char *page = pages_[thread];
  tmem_client *const client = client_of(thread);
  const int pool = pool_of(thread);
  switch (operation.what) {
    case 'p':
    case 'z':
    case 'b': {
      const unsigned int number = puts_.fetch_add(1, std::memory_order_relaxed);
      step.tag = tag_of(number, kind_of_put(operation.what, number));
      content_fill(page, kind_of(step.tag), step.tag);
      step.result = tmem_put(client, pool, &place.oid, place.index, page);
      break;
    }
    case 'g':
      std::memset(page, 0xcc, TMEM_PAGE_BYTES);
      step.result = tmem_get(client, pool, &place.oid, place.index, page);
      if (step.result == TMEM_OK) {
        step.tag = content_tag(page);
        // Not what anybody put: a tag that no put has, so that nothing explains it.
        if (kind_of(step.tag) >= CONTENT_KINDS || !content_matches(page, kind_of(step.tag), step.tag))
          step.tag = ~0ULL;
      }
      break;
    case 'f': step.result = tmem_flush_page(client, pool, &place.oid, place.index); break;
    case 'r':
      step.result = tmem_flush_range(client, pool, &place.oid, place.index, place.index + 1);
      break;
    case 'w':
      step.result = tmem_flush_range(client, pool, &place.oid, place.index, place.index | (kLeafSlots - 1));
      break;
    case 'o': step.result = tmem_flush_object(client, pool, &place.oid); break;
    case 's': tmem_shrink(host_, ~0ULL); break;
    case 't': tmem_shrink(host_, 1); break;
    case 'c': tmem_compact(host_, ~0ULL); break;
    case 'n': use_new_pool(page); break;
    case 'j':
    case 'k':
    case 'd':
      if (program_.joined)
        join_and_leave(thread, operation.what, step);
      else
        step.result = tmem_destroy_pool(client_, pool_);
      break;
  }
}

// A client is in the pool once at most: its id is changed by one thread of it only.
void Arena::join_and_leave(unsigned int thread, char what, Step &step) {
  const int id = pool_of(thread);
  int left = -1;
  if (what == 'j') {
    step.result = kNothingDone;
    if (id >= 0) return;
    left = tmem_new_pool(client_of(thread), program_.flags, kUuid);
    step.result = left < 0 ? left : TMEM_OK;
  } else if (what == 'd') {
    step.result = tmem_destroy_pool(client_of(thread), id);
  } else {
    step.result = id < 0 ? kNothingDone : TMEM_OK;
    tmem_client_destroy(client_of(thread));
    clients_[thread % 2] = nullptr;
  }
  if (thread == kMainThread)
    pool_ = left;
  else
    ids_[thread % 2].store(left, std::memory_order_relaxed);
}

// The same handle as the program's first: a pool that comes into the memory of
// one that has gone must not be taken for it.
void Arena::use_new_pool(unsigned char *page) {
  const int pool = tmem_new_pool(client_, program_.flags & TMEM_POOL_PERSISTENT, nullptr);
  if (pool < 0) return;  // if an allocation failed
  content_fill(page, CONTENT_TEXT, kForeignTag);
  static_cast<void>(tmem_put(client_, pool, &kPlaces[0].oid, kPlaces[0].index, page));
  static_cast<void>(tmem_destroy_pool(client_, pool));
}

template <typename Clock>
void Arena::work(unsigned int thread, Clock moment) {
  for (const Operation &operation : program_.threads[thread]) {
    if (!client_of(thread)) return;  // it has ended
    Step step = {operation, moment(), 0, 0, TMEM_OK};
    do_one(thread, operation, step);
    {
      const Unwatched unwatched;
      if (watch) watch->operation_ends(thread);
    }
    step.returned = moment();
    steps_[thread].push_back(step);
  }
}

// ---- What the answers say

bool Arena::spans(const Operation &operation, const Place &other) const {
  const Place &one = places_[operation.handle];
  const bool same_object = one.oid.word[0] == other.oid.word[0];
  switch (operation.what) {
    case 'd': return !program_.joined;  // the judge of joined pools knows which one is the last
    case 'j':
    case 'k': return false;
    case 'o': return same_object;
    case 'r': return same_object && other.index >= one.index && other.index <= one.index + 1;
    case 'w': return same_object && other.index >= one.index && other.index <= (one.index | (kLeafSlots - 1));
    case 's':
    case 't':
    case 'n':
    case 'c': return false;
    default: return same_object && one.index == other.index;
  }
}

void Arena::add_events(unsigned int thread, const Step &step) {
  const auto event = [&](Deed deed, u64 tag = 0) {
    return Event{deed, thread, step.called, step.returned, tag};
  };
  const char what = step.operation.what;
  if (std::strchr("stnc", what)) return;
  if (step.result == TMEM_GOING_AWAY || step.result == TMEM_BAD_ARGUMENT) {
    verdict.turned_away++;
    life_events_.push_back(event(step.result == TMEM_GOING_AWAY ? Deed::kGoingAway : Deed::kUnknown));
    return;
  }
  if (what == 'd') {
    expect(step.result == TMEM_OK, "destroy has one of its results");
    life_events_.push_back(event(Deed::kClosed));
    life_events_.push_back(event(Deed::kGone));
  } else {
    life_events_.push_back(event(Deed::kEntered));
  }
  for (unsigned int handle = 0; handle < kHandles; ++handle) {
    if (!spans(step.operation, places_[handle])) continue;
    u64 tag = 0;
    const Deed deed = deed_of(step, &tag);
    handle_events_[handle].push_back(event(deed, tag));
  }
}

unsigned int Arena::spanned_by(const Operation &operation) const {
  unsigned int spanned = 0;
  for (const Place &place : places_) spanned += spans(operation, place);
  return spanned;
}

// Of an operation that was let in, to each handle that it spans.
Deed Arena::deed_of(const Step &step, u64 *tag) {
  const char what = step.operation.what;
  const bool done = step.result == TMEM_OK;
  switch (what) {
    case 'p':
    case 'z':
    case 'b':
      verdict.refusals += !done;
      if (done) *tag = step.tag;
      return done ? Deed::kStored : Deed::kRefused;
    case 'g':
      verdict.hits += done;
      verdict.misses += step.result == TMEM_NOT_FOUND;
      expect(done || step.result == TMEM_NOT_FOUND, "a get has one of its results");
      if (done) *tag = step.tag;
      return done ? Deed::kHit : Deed::kMissed;
    default:
      expect(done || step.result == TMEM_NOT_FOUND, "a flush has one of its results");
      if (!done) return Deed::kMissed;
      // Of a stage's pages others may have been found.
      return spanned_by(step.operation) == 1 && (what == 'f' || !program_.stage) ? Deed::kFlushed : Deed::kFlushedUnseen;
  }
}

// The same for a pool that clients join and leave.
void Arena::explain_joined() {
  const HandleRules rules = {!persistent(), false};
  for (unsigned int handle = 0; handle < kHandles; ++handle) {
    std::vector<Membership> history;
    bool any = handle == 0;
    for (unsigned int thread = 0; thread <= kMainThread; ++thread)
      for (const Step &step : steps_[thread]) {
        const char what = step.operation.what;
        if (std::strchr("stcn", what) || step.result == kNothingDone) continue;
        const unsigned int client = thread == kMainThread ? kClientsOfAPool - 1 : thread % 2;
        Membership one = {Act::kUsed, thread, client, step.called, step.returned, {}, 0};
        if (step.result == TMEM_GOING_AWAY || step.result == TMEM_BAD_ARGUMENT) {
          one.act = step.result == TMEM_GOING_AWAY ? Act::kGoingAway : Act::kOutside;
          verdict.turned_away += handle == 0;
        } else if (what == 'j') {
          expect(step.result == TMEM_OK || (step.result == TMEM_NO_MEMORY && verdict.failures), "joining has one of its results");
          if (step.result != TMEM_OK) continue;
          one.act = Act::kJoined;
        } else if (what == 'd' || what == 'k') {
          expect(step.result == TMEM_OK, "leaving has one of its results");
          one.act = Act::kLeft;
        } else if (spans(step.operation, places_[handle])) {
          one.deed = deed_of(step, &one.tag);
          any = true;
        }
        history.push_back(one);
      }
    if (!any) continue;
    if (const std::string why = explain(rules, history); !why.empty())
      expect(false, "handle " + std::to_string(handle) + ": " + why);
  }
}

// Why a put may be refused.
bool may_refuse(const Program &program, char what, int result, bool memory_failed) {
  if (result == TMEM_NO_MEMORY) return memory_failed;
  if (result == TMEM_REFUSED_POOR) return what == 'b' && !(program.flags & TMEM_POOL_PERSISTENT);
  // While others evict or hold what could be evicted, there may be no room for a moment.
  if (result == TMEM_REFUSED_BUDGET) return program.tight;
  return result == TMEM_OK || result == TMEM_GOING_AWAY || result == TMEM_BAD_ARGUMENT;
}

void Arena::explain_all() {
  for (unsigned int thread = 0; thread <= kMainThread; ++thread)
    for (const Step &step : steps_[thread]) {
      if (!program_.joined) add_events(thread, step);
      if (std::strchr("pzb", step.operation.what))
        expect(may_refuse(program_, step.operation.what, step.result, verdict.failures != 0),
               "no put is refused without reason, but one said " + std::to_string(step.result));
    }
  if (program_.joined) return explain_joined();
  const HandleRules rules = {!persistent(), program_.flags == 0};
  for (unsigned int handle = 0; handle < kHandles; ++handle)
    if (const std::string why = explain(rules, handle_events_[handle]); !why.empty())
      expect(false, "handle " + std::to_string(handle) + ": " + why);
  if (const std::string why = explain(rules, life_events_); !why.empty()) expect(false, "the pool: " + why);
}

void Arena::judge(const std::string &trouble, u64 moment) {
  verdict.failures = program_.failing ? injector.failures : 0;
  injector_heal();
  if (!trouble.empty()) {
    expect(false, trouble);
    return;  // the threads hold what they hold: nothing can be looked at
  }
  const int invariant = tmem_validate(host_);
  expect(invariant == 0, "invariant " + std::to_string(invariant) + " (core/engine/validate.cc) is broken");
  struct tmem_host_stats stats = {};
  tmem_host_stats(host_, &stats);
  verdict.evicted += stats.pages.pages_evicted != 0;
  verdict.compacted += stats.usage.frames_compacted != 0;
  if (const char *broken = stats_broken_identity(&stats.pages)) expect(false, broken);
  if (program_.joined) do_and_note('j', 0, &moment);
  for (unsigned int handle = 0; handle < kHandles; ++handle) do_and_note('g', handle, &moment);
  if (program_.joined) do_and_note('d', 0, &moment);
  explain_all();
  look_at_the_rest();
  if (program_.stage) look_at_the_crowd(stats.pages.pages_evicted != 0);
  take_apart();
}

// Pages that no thread has touched, but that others may have been moved over.
void Arena::look_at_the_rest() {
  if (!program_.holed) return;
  unsigned char *page = pages_[kMainThread];
  for (unsigned int i = 1; i < kBallastPages; i += 2) {
    const int result = tmem_get(client_, pool_, &kBallast, i, page);
    if (result == TMEM_BAD_ARGUMENT) return;  // the pool is gone; its life has been judged
    expect(result == TMEM_OK || !persistent(), "a page that nobody touched is still there");
    expect(result != TMEM_OK || content_matches(page, CONTENT_HALF, i + 1), "and is what it was");
  }
}

// As above, of a stage: a flush of many may have taken them, and must have if it was let in; nobody put any again.
void Arena::look_at_the_crowd(bool evicted) {
  unsigned char *page = pages_[kMainThread];
  for (unsigned int index = 0; index < crowd_.size(); ++index) {
    if (!crowd_[index]) continue;
    const Place place = {kPlaces[0].oid, index};
    bool flushed = false;
    for (unsigned int thread = 0; thread < kMainThread; ++thread)
      for (const Step &step : steps_[thread])
        flushed = flushed || (std::strchr("row", step.operation.what) && spans(step.operation, place) &&
                              (step.result == TMEM_OK || step.result == TMEM_NOT_FOUND));
    const int result = tmem_get(client_, pool_, &place.oid, index, page);
    if (result == TMEM_BAD_ARGUMENT) return;  // the pool is gone
    const bool as_it_was = result == TMEM_OK && content_matches(page, CONTENT_SAME_FILLED, kCrowdTag + index);
    const bool gone = result == TMEM_NOT_FOUND && (flushed || (evicted && !persistent()));
    if (!(flushed ? gone : gone || as_it_was))
      expect(false, "index " + std::to_string(index) + " of the crowd, " + (flushed ? "flushed" : "not touched") +
                        ", answers " + std::to_string(result));
  }
}

void Arena::take_apart() {
  for (tmem_client *client : clients_)
    if (client) tmem_client_destroy(client);
  tmem_client_destroy(client_);
  struct tmem_host_stats stats = {};
  tmem_host_stats(host_, &stats);
  expect(stats.pages.pages == 0 && stats.pages.objects == 0 && stats.usage.entries == 0 && stats.index_bytes == 0,
         "no page is left");
  expect(stats.pools == 0 && stats.clients == 0, "no pool is left");
  const int invariant = tmem_validate(host_);
  expect(invariant == 0, "invariant " + std::to_string(invariant) + " is broken in an empty host");
  expect(tmem_unregister_host(host_) == TMEM_OK, "the host can be taken down");
  for (unsigned int kind = 0; kind < TMEM_KINDS; ++kind)
    expect(injector.live_objects[kind] == 0, std::string("no leak of ") + tmem_kind_name(kind));
  expect(injector.live_frames == 0, "no frame leaks");
  expect(injector.live_tables == 0 && injector.live_table_bytes == 0, "no table leaks");
  expect(injector.codec_open == 0, "codec_begin and codec_end pair up");
  expect(live_locks() == locks_, "every lock is destroyed");
}

}  // namespace

// ---- Text

std::string Program::text() const {
  std::string text = tight ? "tight-" : holed ? "holed-" : "";
  if (apart) text += "apart-";
  if (stage) text += std::string(stage->name) + '-';
  if (joined) text += "joined-";
  for (const auto &flavour : kFlavours)
    if (flavour.flags == flags) text += flavour.name;
  text += ':';
  for (size_t i = 0; i < threads.size(); ++i) {
    if (i) text += '/';
    for (const Operation &operation : threads[i]) {
      text += operation.what;
      if (std::strchr(kHandleOperations, operation.what)) text += std::to_string(operation.handle);
    }
  }
  if (failing) text += " !" + std::to_string(failing);
  return text + ' ';
}

bool parse(const std::string &text, Program &program, std::vector<Deviation> &deviations) {
  program = Program();
  const size_t colon = text.find(':'), at = text.find('@');
  if (colon == std::string::npos) return false;
  std::string name = text.substr(0, colon);
  program.tight = name.rfind("tight-", 0) == 0;
  program.holed = name.rfind("holed-", 0) == 0;
  const auto cut = [&](bool there) {
    if (there) name = name.substr(name.find('-') + 1);
    return there;
  };
  cut(program.tight || program.holed);
  program.apart = cut(name.rfind("apart-", 0) == 0);
  program.stage = stage_of(name.substr(0, name.find('-')));
  cut(program.stage != nullptr);
  program.joined = cut(name.rfind("joined-", 0) == 0);
  const auto flavour = std::find_if(std::begin(kFlavours), std::end(kFlavours),
                                    [&](const auto &one) { return name == one.name; });
  if (flavour == std::end(kFlavours)) return false;
  program.flags = flavour->flags;
  program.threads.emplace_back();
  const char *next = text.c_str() + colon + 1;
  for (; *next && *next != '@' && *next != ' ' && *next != '!'; ++next) {
    if (*next == '/') {
      program.threads.emplace_back();
      continue;
    }
    Operation operation = {*next, 0};
    if (std::strchr(kHandleOperations, *next)) {
      operation.handle = static_cast<unsigned int>(*++next - '0');
      if (operation.handle >= kHandles) return false;
    } else if (!std::strchr(kOtherOperations, *next) && !(program.joined && std::strchr("jk", *next))) {
      return false;
    }
    program.threads.back().push_back(operation);
  }
  if (program.threads.size() > Scheduler::kThreadsMax) return false;
  // A pool is joined by its uuid, and what its other threads do is not to join or leave it.
  for (size_t i = 0; program.joined && i < program.threads.size(); ++i)
    for (const Operation &operation : program.threads[i])
      if (!(program.flags & TMEM_POOL_SHARED) || (i >= 2 && std::strchr("djk", operation.what)) ||
          (operation.what == 'k' && program.threads.size() > 2))
        return false;
  while (*next == ' ') ++next;
  if (*next == '!') program.failing = std::strtoll(next + 1, nullptr, 10);
  return at == std::string::npos ? parse("", deviations) : parse(text.substr(at + 1), deviations);
}

// ---- Running

Verdict run(Scheduler &scheduler, const Program &program, Chooser &chooser) {
  Arena arena(program);
  if (!arena.set_up()) return arena.verdict;
  watch = &arena.verdict.leaves;
  std::vector<std::function<void()>> bodies;
  for (unsigned int i = 0; i < program.threads.size(); ++i)
    bodies.push_back([&arena, &scheduler, i] {
      arena.work(i, [&scheduler] { return kSetUpMoments + scheduler.moment(); });
    });
  scheduler.set_title(program.text());
  const bool ended = scheduler.run(bodies, chooser);
  watch = nullptr;
  arena.judge(ended ? "" : scheduler.trouble(), kSetUpMoments + scheduler.moment());
  return arena.verdict;
}

Verdict run_threads(const Program &program) {
  Arena arena(program);
  if (!arena.set_up()) return arena.verdict;
  // Relaxed, so that the clock orders nothing that the core does not: TSan would
  // see no race otherwise. A read-modify-write is a full barrier where these tests run.
  std::atomic<u64> clock{kSetUpMoments};
  std::vector<std::thread> threads;
  for (unsigned int i = 0; i < program.threads.size(); ++i)
    threads.emplace_back([&arena, &clock, i] {
      arena.work(i, [&clock] { return clock.fetch_add(1, std::memory_order_relaxed) + 1; });
    });
  for (std::thread &thread : threads) thread.join();
  arena.judge("", clock.load());
  return arena.verdict;
}

}  // namespace tmem_test
