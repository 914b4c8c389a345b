// SPDX-License-Identifier: GPL-2.0
#include "host_ops.h"

#include <lzo/lzo1x.h>
#include <sched.h>
#include <xxhash.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <new>
#include <thread>

#include "frames.h"
#include "unseen.h"

namespace tmem_test {
namespace {

thread_local Scheduling *scheduling = nullptr;

[[noreturn]] void broken(const char *rule, const char *detail = "") {
  std::fprintf(stderr, "host_ops: rule broken: %s %s\n", rule, detail);
  if (scheduling) std::fprintf(stderr, "%s\n", scheduling->describe().c_str());
  std::fflush(stderr);
  std::abort();
}

// ---- What each thread is doing

constexpr int kLocksMax = 8;
constexpr int kCodecDepthMax = 4;
constexpr unsigned char kFresh = 0xa5;  // memory just allocated
constexpr unsigned char kStale = 0x5a;  // memory just freed

struct alignas(64) CodecBuffers {
  alignas(64) unsigned char workspace[LZO1X_1_MEM_COMPRESS];
  alignas(64) unsigned char output[TMEM_CODEC_OUTPUT_BYTES];
  alignas(64) unsigned char bounce[kCodecDepthMax][TMEM_PAGE_BYTES];
};

struct HeldLock {
  tmem_lock *lock;
  unsigned int rank;
  unsigned long long blocks;  // run by this thread before it was acquired
};

unsigned int cpu_number = [] {
  const char *text = std::getenv("TMEM_TEST_CPUS");
  const unsigned long wanted = text && *text ? std::strtoul(text, nullptr, 0) : 4;
  return static_cast<unsigned int>(wanted < 1 ? 1 : wanted > kCpusMost ? kCpusMost : wanted);
}();

// ---- How much of the core runs

thread_local unsigned long long blocks = 0;  // basic blocks, ever
thread_local unsigned long long last_breath = 0;
thread_local Work most;
thread_local bool unmeasured = false;

void note_breath() {
  if (scheduling) return;  // the fibers of a schedule share this thread's
  if (blocks - last_breath > most.between_breaths) most.between_breaths = blocks - last_breath;
  last_breath = blocks;
}

void note_release(const HeldLock &held) {
  const unsigned long long ran = blocks - held.blocks;
  if (unmeasured || scheduling) return;  // of several threads, nobody knows whose they were
  if (ran > most.under_lock[held.rank]) most.under_lock[held.rank] = ran;
  if (ran <= kBlocksUnderLockMost) return;
  char detail[64];
  std::snprintf(detail, sizeof(detail), "rank %u over %llu basic blocks", held.rank, ran);
  broken("a lock is held for long:", detail);
}

}  // namespace

struct ThreadState {
  HeldLock held[kLocksMax];
  int held_count = 0;
  bool atomic_context = false;
  int interrupt_depth = 0;
  int codec_depth = 0;
  int codec_interrupt_depth[kCodecDepthMax] = {};
  bool codec_has_workspace[kCodecDepthMax] = {};
  CodecBuffers *codec = nullptr;
  unsigned int number;
  unsigned int cpu;
  unsigned long long random;

  explicit ThreadState(unsigned int its_number) : number(its_number), cpu(its_number % cpu_number) {
    random = number * 0x9e3779b97f4a7c15ULL + 1;
  }
  ~ThreadState() { delete codec; }
  ThreadState(const ThreadState &) = delete;
  ThreadState &operator=(const ThreadState &) = delete;
};

namespace {

using Thread = ThreadState;

unsigned int next_thread_number() {
  static std::atomic<unsigned int> threads{0};
  return threads.fetch_add(1);
}

thread_local Thread own_state{next_thread_number()};
thread_local Thread *used_state = nullptr;  // a logical thread's

Thread &current() { return used_state ? *used_state : own_state; }

std::atomic<unsigned int> perturbation{0};
std::atomic<long> lock_count{0};

void perturb(Point point = Point::kHostOp) {
  if (scheduling) return scheduling->reach(point);
  const unsigned int one_in = perturbation.load(std::memory_order_relaxed);
  if (!one_in) return;
  current().random = current().random * 6364136223846793005ULL + 1442695040888963407ULL;
  if ((current().random >> 33) % one_in == 0) sched_yield();
}

// The moment that a test waits for, and what is done then.
struct Interruption {
  Moment moment = Moment::kNone;
  unsigned int skip = 0;
  std::function<void()> action;
};
thread_local Interruption interruption;

void at(Moment moment) {
  if (moment == Moment::kNone || interruption.moment != moment || current().held_count) return;
  if (interruption.skip > 0) {
    interruption.skip--;
    return;
  }
  interruption.moment = Moment::kNone;
  const std::function<void()> action = std::move(interruption.action);
  // Another thread as far as this host can tell, and nobody has to wait for the scheduler.
  Thread other(next_thread_number());
  Thread *const before = used_state;
  used_state = &other;
  action();
  used_state = before;
}

void no_lock_held(const char *what) {
  if (current().held_count) broken("a lock is held at a call that must find none:", what);
}

void may_sleep(const char *what) {
  no_lock_held(what);
  if (current().atomic_context || current().interrupt_depth)
    broken("process context only:", what);
  if (current().codec_depth) broken("the CPU's codec buffers are held while sleeping:", what);
}

// ---- Memory

// Stands before each object and each table; as large as the strictest alignment.
struct alignas(64) Header {
  unsigned long long magic;
  unsigned long long what;  // kind or bytes
};
constexpr unsigned long long kObjectMagic = 0x6f626a6563740001ULL;
constexpr unsigned long long kTableMagic = 0x7461626c65000001ULL;

void *allocate(unsigned long long magic, unsigned long long what, size_t bytes) {
  const size_t rounded = (bytes + sizeof(Header) - 1) / sizeof(Header) * sizeof(Header);
  auto *header = static_cast<Header *>(std::aligned_alloc(sizeof(Header), sizeof(Header) + rounded));
  if (!header) return nullptr;
  header->magic = magic;
  header->what = what;
  std::memset(header + 1, kFresh, rounded);
  return header + 1;
}

void release(unsigned long long magic, unsigned long long what, void *memory, size_t bytes) {
  auto *header = static_cast<Header *>(memory) - 1;
  if (header->magic != magic || header->what != what)
    broken("freed as something else than it was allocated as");
  header->magic = 0;
  std::memset(memory, kStale, bytes);
  std::free(header);
}

bool good(unsigned int flags) {
  const unsigned int node = TMEM_ALLOC_NODE(flags);
  return !(flags & 0xff & ~unsigned{TMEM_ALLOC_RESERVES}) && (node == TMEM_ANY_NODE || node < kCpusMost);
}

void *object_alloc(unsigned int kind, unsigned int flags) {
  no_lock_held("object_alloc");
  at(Moment::kObjectAlloc);
  perturb();
  if (kind >= TMEM_KINDS || !good(flags)) broken("object_alloc arguments");
  if (tmem_kind_alignment(kind) > alignof(Header)) broken("alignment of a kind");
  return allocate(kObjectMagic, kind, tmem_kind_bytes(kind));
}

void object_free(unsigned int kind, void *object) {
  no_lock_held("object_free");
  perturb();
  if (kind >= TMEM_KINDS || !object) broken("object_free arguments");
  release(kObjectMagic, kind, object, tmem_kind_bytes(kind));
}

void *frame_alloc(unsigned int flags) {
  no_lock_held("frame_alloc");
  perturb();
  if (!good(flags)) broken("frame_alloc arguments");
  void *frame = take_frame();
  if (frame) std::memset(frame, kFresh, TMEM_PAGE_BYTES);
  return frame;
}

void frame_free(void *frame) {
  no_lock_held("frame_free");
  perturb();
  if (!frame || reinterpret_cast<size_t>(frame) % TMEM_PAGE_BYTES) broken("frame_free arguments");
  std::memset(frame, kStale, TMEM_PAGE_BYTES);
  give_frame_back(frame);
}

void evicted(unsigned int client, int reason, unsigned int frames) {
  no_lock_held("evicted");
  perturb();
  if (client >= TMEM_CLIENTS_MAX || frames == 0 ||
      (reason != TMEM_NO_MEMORY && reason != TMEM_REFUSED_BUDGET && reason != TMEM_REFUSED_LIMIT))
    broken("evicted arguments");
}

void *table_alloc(unsigned long bytes) {
  may_sleep("table_alloc");
  perturb();
  void *table = allocate(kTableMagic, bytes, bytes);
  if (table) std::memset(table, 0, bytes);
  return table;
}

void table_free(void *table, unsigned long bytes) {
  may_sleep("table_free");
  perturb();
  if (!table) broken("table_free arguments");
  release(kTableMagic, bytes, table, bytes);
}

void breathe() {
  may_sleep("breathe");
  note_breath();
  scheduling ? scheduling->reach(Point::kHostOp) : static_cast<void>(sched_yield());
}

// ---- Codec

tmem_codec_buffers codec_begin() {
  Thread &thread = current();
  if (!thread.codec) thread.codec = new CodecBuffers;
  const int depth = thread.codec_depth;
  if (depth && thread.codec_interrupt_depth[depth - 1] == thread.interrupt_depth)
    broken("codec_begin nests in one context");
  if (depth == kCodecDepthMax) broken("codec_begin nests too deep");
  thread.codec_interrupt_depth[depth] = thread.interrupt_depth;
  thread.codec_depth++;
  thread.codec_has_workspace[depth] = depth == 0;
  tmem_codec_buffers buffers = {};
  buffers.bounce = thread.codec->bounce[depth];
  std::memset(buffers.bounce, kFresh, TMEM_PAGE_BYTES);
  if (depth == 0) {
    buffers.workspace = thread.codec->workspace;
    buffers.output = thread.codec->output;
    std::memset(buffers.output, kFresh, TMEM_CODEC_OUTPUT_BYTES);
  }
  return buffers;
}

void codec_end() {
  Thread &thread = current();
  if (!thread.codec_depth) broken("codec_end without codec_begin");
  thread.codec_depth--;
  if (thread.codec_interrupt_depth[thread.codec_depth] != thread.interrupt_depth)
    broken("codec_end in another context than codec_begin");
  std::memset(thread.codec->bounce[thread.codec_depth], kStale, TMEM_PAGE_BYTES);
  if (thread.codec_depth == 0) std::memset(thread.codec->output, kStale, TMEM_CODEC_OUTPUT_BYTES);
}

int compress(const void *page, void *output, unsigned long *output_bytes, void *workspace) {
  no_lock_held("compress");
  perturb();
  const Thread &thread = current();
  if (!thread.codec_depth || !thread.codec_has_workspace[thread.codec_depth - 1] ||
      workspace != thread.codec->workspace || output != thread.codec->output)
    broken("compress with buffers that are not lent");
  lzo_uint bytes = 0;
  const int result = lzo1x_1_compress(static_cast<const unsigned char *>(page), TMEM_PAGE_BYTES,
                                      static_cast<unsigned char *>(output), &bytes, workspace);
  *output_bytes = bytes;
  return result == LZO_E_OK ? 0 : -1;
}

int decompress(const void *input, unsigned long input_bytes, void *page) {
  no_lock_held("decompress");
  at(Moment::kDecompress);
  perturb();
  lzo_uint bytes = TMEM_PAGE_BYTES;
  const int result =
      lzo1x_decompress_safe(static_cast<const unsigned char *>(input), input_bytes,
                            static_cast<unsigned char *>(page), &bytes, nullptr);
  return result == LZO_E_OK && bytes == TMEM_PAGE_BYTES ? 0 : -1;
}

unsigned int checksum(const void *data, unsigned long bytes) {
  no_lock_held("checksum");
  at(Moment::kChecksum);
  perturb();
  return XXH32(data, bytes, 0);
}

// ---- Locks

// The lock's first word: magic, rank, and whether it is held.
constexpr unsigned long kLockMagic = 0x6c6f636b00000000UL;
constexpr unsigned long kLockMagicMask = 0xffffffff00000000UL;
constexpr unsigned long kLockHeld = 1;
constexpr unsigned long kLockRankShift = 8;
constexpr unsigned long kInterruptState = 0x1f00;  // acquire returns it changed by the address

std::atomic_ref<unsigned long> word_of(tmem_lock *lock) {
  return std::atomic_ref<unsigned long>(lock->words[0]);
}

unsigned long interrupt_state_of(const tmem_lock *lock) {
  return reinterpret_cast<unsigned long>(lock) ^ kInterruptState;
}

bool is_free(const void *lock) {
  tmem_lock *it = const_cast<tmem_lock *>(static_cast<const tmem_lock *>(lock));
  return !(word_of(it).load(std::memory_order_relaxed) & kLockHeld);
}

// ---- Counters and gates

// All gates share one mutex; a closer that has returned may free the gate at
// once, and who has left must not touch it afterwards. What a gate orders is what
// the kernel's does, and no more: who enters comes after who opened, who
// has closed after all who left; and to whoever enters it must be known that it was made.
std::mutex gate_mutex;
std::atomic<int> closers{0};

constexpr unsigned int kGateMagic = 0x67617465;

struct Gate {
  unsigned int magic;
  unsigned int cell;
  tmem_counters *counters;
  std::atomic<unsigned int> open;
  std::atomic<unsigned int> inside;
  std::atomic<unsigned int> left;  // ever; orders
};
static_assert(sizeof(Gate) <= sizeof(tmem_gate));

Gate &gate_of(const tmem_gate *gate) {
  auto *own = reinterpret_cast<Gate *>(const_cast<unsigned long *>(gate->words));
  if (own->magic != kGateMagic) broken("a gate that was not initialised");
  return *own;
}

// A row: for how many CPUs, and then of each cell each CPU's part.
struct Row {
  unsigned long long cpus;
  unsigned long long parts[];
};
size_t row_bytes(unsigned int cells, unsigned long long cpus) {
  return sizeof(Row) + sizeof(unsigned long long) * cells * cpus;
}
Row &row_of(const tmem_counters *counters) {
  return *reinterpret_cast<Row *>(const_cast<tmem_counters *>(counters));
}

tmem_counters *counters_alloc(unsigned int cells) {
  may_sleep("counters_alloc");
  perturb();
  auto *row = static_cast<Row *>(allocate(kTableMagic, cells, row_bytes(cells, cpu_number)));
  if (!row) return nullptr;
  std::memset(row, 0, row_bytes(cells, cpu_number));
  row->cpus = cpu_number;
  return reinterpret_cast<tmem_counters *>(row);
}

void counters_free(tmem_counters *counters, unsigned int cells) {
  may_sleep("counters_free");
  perturb();
  if (!counters) broken("counters_free arguments");
  release(kTableMagic, cells, counters, row_bytes(cells, row_of(counters).cpus));
}

std::atomic_ref<unsigned long long> part_of(Row &row, unsigned int cell, unsigned long long cpu) {
  return std::atomic_ref<unsigned long long>(row.parts[cell * row.cpus + cpu]);
}

void add_to(tmem_counters *counters, unsigned long cell, unsigned long long delta) {
  Row &row = row_of(counters);
  part_of(row, static_cast<unsigned int>(cell), current().number % row.cpus).fetch_add(delta, std::memory_order_release);
}

bool nobody_is_inside(const void *gate) {
  return gate_of(static_cast<const tmem_gate *>(gate)).inside.load(std::memory_order_relaxed) == 0;
}

}  // namespace

Scheduling *set_scheduling(Scheduling *chosen) {
  static_cast<void>(static_cast<bool>(lock_hook));  // made now, not by the first of several logical threads
  Scheduling *before = scheduling;
  scheduling = chosen;
  return before;
}

void reach(Point point) {
  if (scheduling) scheduling->reach(point);
}

void move_to_cpu(unsigned int cpu) { current().cpu = cpu % kCpusMost; }

ThreadState *make_thread_state(unsigned int number) { return new ThreadState(number); }
void drop_thread_state(ThreadState *state) { delete state; }
void use_thread_state(ThreadState *state) { used_state = state; }

unsigned int thread_number() { return current().number; }

void restart_thread_state(const ThreadState &state) {
  if (state.held_count || state.codec_depth) broken("a thread that holds something begins anew");
}

std::string what_it_holds(const ThreadState &state) {
  std::string text = " holds";
  for (int i = 0; i < state.held_count; ++i) text += " rank " + std::to_string(state.held[i].rank);
  return state.held_count ? text : " holds nothing";
}

static tmem_host_ops &own_ops() {
  static tmem_host_ops ops = [] {
    if (lzo_init() != LZO_E_OK) broken("lzo_init");
    tmem_host_ops made = {};
    made.abi_size = sizeof(made);
    made.cpu_count = cpu_number;
    made.memory_frames = 16384;
    made.hash_seed = 0x5eed5eed5eed5eedULL;
    made.object_alloc = object_alloc;
    made.object_free = object_free;
    made.frame_alloc = frame_alloc;
    made.frame_free = frame_free;
    made.table_alloc = table_alloc;
    made.table_free = table_free;
    made.counters_alloc = counters_alloc;
    made.counters_free = counters_free;
    made.breathe = breathe;
    made.codec_begin = codec_begin;
    made.codec_end = codec_end;
    made.compress = compress;
    made.decompress = decompress;
    made.checksum = checksum;
    made.evicted = evicted;
    made.node_of = [](unsigned int) { return 0u; };
    return made;
  }();
  return ops;
}

const tmem_host_ops *host_ops() { return &own_ops(); }

unsigned int cpus() { return cpu_number; }
void set_cpus(unsigned int count) {
  if (count < 1 || count > kCpusMost) broken("set_cpus arguments");
  cpu_number = own_ops().cpu_count = count;
  current().cpu %= count;
}

void begin_work() {
  most = {};
  last_breath = blocks;
}
Work end_work() {
  note_breath();
  return most;
}
bool counts_work() {
#ifdef TMEM_TEST_WORK
  return true;
#else
  return false;
#endif
}

int events_waiting() { return closers.load(std::memory_order_relaxed); }
long live_locks() { return lock_count.load(); }
int locks_held() { return current().held_count; }

bool enter_atomic_context() {
  const bool before = current().atomic_context;
  current().atomic_context = true;
  return before;
}
void leave_atomic_context(bool before) { current().atomic_context = before; }
void enter_interrupt() { current().interrupt_depth++; }
void leave_interrupt() {
  if (current().held_count && current().interrupt_depth == 1) broken("an interrupt returns with a lock");
  current().interrupt_depth--;
}

thread_local std::function<void(unsigned int, bool)> lock_hook;
void set_perturbation(unsigned int one_in) { perturbation.store(one_in); }

void interleave(Moment moment, unsigned int skip, std::function<void()> action) {
  interruption = {moment, skip, std::move(action)};
}
bool interleaved() {
  const bool came = interruption.moment == Moment::kNone;
  interruption.moment = Moment::kNone;
  return came;
}

}  // namespace tmem_test

using namespace tmem_test;

extern "C" {

unsigned int tmem_this_cpu(void) { return current().cpu; }

void tmem_lock_init(tmem_lock *lock, unsigned int rank) {
  if (rank >= TMEM_RANKS) broken("lock rank");
  std::memset(lock, 0, sizeof(*lock));
  word_of(lock).store(kLockMagic | static_cast<unsigned long>(rank) << kLockRankShift);
  lock_count.fetch_add(1, std::memory_order_relaxed);
}

void tmem_lock_destroy(tmem_lock *lock) {
  const unsigned long word = word_of(lock).exchange(0);
  if ((word & kLockMagicMask) != kLockMagic) broken("destroy of a lock that was not initialised");
  if (word & kLockHeld) broken("destroy of a lock that is held");
  lock_count.fetch_sub(1, std::memory_order_relaxed);
}

unsigned long tmem_lock_acquire(tmem_lock *lock) {
  Thread &thread = current();
  std::atomic_ref<unsigned long> word = word_of(lock);
  unsigned long free = word.load(std::memory_order_relaxed) & ~kLockHeld;
  if ((free & kLockMagicMask) != kLockMagic) broken("acquire of a lock that was not initialised");
  const unsigned int rank = free >> kLockRankShift & 0xff;
  if (thread.held_count == kLocksMax) broken("too many locks held");
  if (thread.held_count && thread.held[thread.held_count - 1].rank >= rank) {
    char detail[64];
    std::snprintf(detail, sizeof(detail), "rank %u while holding %u", rank,
                  thread.held[thread.held_count - 1].rank);
    broken("lock order:", detail);
  }
  at(rank == TMEM_RANK_STORE ? Moment::kBeforeStore
     : rank == TMEM_RANK_LEAF_BUCKET ? Moment::kBeforeLeafBucket
                                     : Moment::kNone);
  if (scheduling)
    scheduling->wait(is_free, lock);
  else
    perturb(Point::kLock);
  if (lock_hook) lock_hook(rank, true);
  for (unsigned int spins = 0;;) {
    unsigned long expected = free;
    if (word.compare_exchange_weak(expected, free | kLockHeld, std::memory_order_acquire,
                                   std::memory_order_relaxed))
      break;
    if (++spins % 64 == 0) sched_yield();
  }
  if (!scheduling) most.locks++;
  thread.held[thread.held_count++] = {lock, rank, blocks};
  return interrupt_state_of(lock);
}

void tmem_lock_release(tmem_lock *lock, unsigned long interrupt_state) {
  Thread &thread = current();
  if (!thread.held_count || thread.held[thread.held_count - 1].lock != lock)
    broken("release of a lock that was not the last one acquired");
  if (interrupt_state != interrupt_state_of(lock)) broken("interrupt state of another lock");
  const unsigned int rank = thread.held[--thread.held_count].rank;
  note_release(thread.held[thread.held_count]);
  word_of(lock).fetch_and(~kLockHeld, std::memory_order_release);
  at(rank == TMEM_RANK_STORE ? Moment::kAfterStore
     : rank == TMEM_RANK_LEAF_BUCKET ? Moment::kAfterLeafBucket
                                     : Moment::kNone);
  perturb(Point::kUnlock);
  if (lock_hook) lock_hook(rank, false);
}

void tmem_counters_add(tmem_counters *counters, unsigned int cell, unsigned long long delta) {
  reach(Point::kCounter);
  add_to(counters, cell, delta);
}

unsigned long long tmem_counters_sum(const tmem_counters *counters, unsigned int cell) {
  unsigned long long sum = 0;
  Row &row = row_of(counters);
  for (unsigned long long cpu = 0; cpu < row.cpus; ++cpu)
    sum += part_of(row, cell, cpu).load(std::memory_order_acquire);
  return sum;
}

void tmem_gate_init(tmem_gate *gate, tmem_counters *counters, unsigned int cell) {
  new (gate->words) Gate{kGateMagic, cell, counters, {0}, {0}, {0}};
}

void tmem_gate_destroy(tmem_gate *gate) {
  may_sleep("tmem_gate_destroy");
  Gate &own = gate_of(gate);
  if (own.open.load(std::memory_order_relaxed) || !nobody_is_inside(gate)) broken("destroy of a gate that is in use");
  own.magic = 0;
}

void tmem_gate_open(tmem_gate *gate) {
  Gate &own = gate_of(gate);
  if (own.open.load(std::memory_order_relaxed) || !nobody_is_inside(gate)) broken("a gate is opened twice");
  own.open.store(1, std::memory_order_release);
}

int tmem_gate_enter(tmem_gate *gate) {
  perturb();
  Gate &own = gate_of(gate);
  {
    // Nobody closes between the look and the count: the kernel's RCU.
    const Unseen guard(gate_mutex);
    if (!own.open.load(std::memory_order_relaxed)) return 0;
    own.inside.fetch_add(1, std::memory_order_relaxed);
  }
  static_cast<void>(own.open.load(std::memory_order_acquire));
  add_to(own.counters, own.cell, 1);
  return 1;
}

void tmem_gate_leave(tmem_gate *gate) {
  perturb();
  Gate &own = gate_of(gate);
  add_to(own.counters, own.cell + 1, 1);
  own.left.fetch_add(1, std::memory_order_release);
  const Unseen guard(gate_mutex);
  if (own.inside.fetch_sub(1, std::memory_order_relaxed) == 0) broken("a gate is left that was not entered");
}

void tmem_gate_close(tmem_gate *gate) {
  may_sleep("tmem_gate_close");
  Gate &own = gate_of(gate);
  {
    const Unseen guard(gate_mutex);
    if (!own.open.load(std::memory_order_relaxed)) broken("a gate is closed twice");
    own.open.store(0, std::memory_order_relaxed);
  }
  closers.fetch_add(1, std::memory_order_relaxed);
  if (scheduling) {
    scheduling->wait(nobody_is_inside, gate);
  } else {
    while (!nobody_is_inside(gate)) std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  // Who left last may still be giving back the mutex.
  { const Unseen guard(gate_mutex); }
  static_cast<void>(own.left.load(std::memory_order_acquire));
  closers.fetch_sub(1, std::memory_order_relaxed);
}

int tmem_gate_is_open(const tmem_gate *gate) {
  reach(Point::kCounter);
  return static_cast<int>(gate_of(gate).open.load(std::memory_order_relaxed));
}

#ifdef TMEM_TEST_WORK
// Called by the core, which is compiled so, in each basic block.
void __sanitizer_cov_trace_pc(void) { blocks++; }

// It looks at everything, and nothing else runs.
int __real_tmem_validate(tmem_host *host);
int __wrap_tmem_validate(tmem_host *host) {
  unmeasured = true;
  const int broken_one = __real_tmem_validate(host);
  unmeasured = false;
  return broken_one;
}
#endif

}  // extern "C"
