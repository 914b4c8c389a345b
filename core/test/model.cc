// SPDX-License-Identifier: GPL-2.0
#include "model.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "host_ops.h"

namespace tmem_test {
namespace {

// Ids that a bad hash or a short comparison would confuse.
constexpr tmem_oid kOids[] = {
    {{0, 0, 0}},
    {{1, 0, 0}},
    {{0, 1, 0}},
    {{0, 0, 1}},
    {{~0ULL, ~0ULL, ~0ULL}},
    {{0x123456789ULL, 0xabcdefULL, 0}},
    {{0xabcdefULL, 0x123456789ULL, 0}},
    {{0x123456789ULL ^ 0xabcdefULL, 0, 0}},
    {{0x123456789ULL, 0xabcdefULL, 1ULL << 63}},
};
constexpr u64 kIndexes[] = {
    0,    1,           2,          3,          4,         5,     6,      7,       8,  9,
    14,   15,          16,         17,         31,        32,    33,     4095,    4096, 65536,
    1000, 0xffffffffULL, 1ULL << 32, 1ULL << 44, 1ULL << 60, ~15ULL, ~15ULL - 1, ~0ULL, 20, 48,
};
constexpr unsigned int kOidCount = std::size(kOids);
constexpr unsigned int kIndexCount = std::size(kIndexes);
constexpr size_t kLogMax = 40;
constexpr unsigned int kPoolsMax = 7;
constexpr unsigned char kCanary = 0xcc;
constexpr u64 kRunFrames = 8;
constexpr unsigned int kStepsPerMood = 64;

constexpr const char *kContentNames[] = {"zero", "same-filled", "near-same", "pattern",
                                         "text", "half",        "poor",      "random"};
static_assert(std::size(kContentNames) == CONTENT_KINDS);

std::string format(const char *pattern, ...) __attribute__((format(printf, 1, 2)));
std::string format(const char *pattern, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof(text), pattern, arguments);
  va_end(arguments);
  return text;
}

const char *name_of(int result) {
  switch (result) {
    case TMEM_OK: return "OK";
    case TMEM_NOT_FOUND: return "NOT_FOUND";
    case TMEM_NO_MEMORY: return "NO_MEMORY";
    case TMEM_BAD_ARGUMENT: return "BAD_ARGUMENT";
    case TMEM_TOO_MANY: return "TOO_MANY";
    case TMEM_GOING_AWAY: return "GOING_AWAY";
    case TMEM_CORRUPT: return "CORRUPT";
    case TMEM_IN_USE: return "IN_USE";
    case TMEM_REFUSED_POOR: return "REFUSED_POOR";
    case TMEM_REFUSED_BUDGET: return "REFUSED_BUDGET";
    case TMEM_REFUSED_LIMIT: return "REFUSED_LIMIT";
    case TMEM_REFUSED_NESTED: return "REFUSED_NESTED";
    case TMEM_REFUSED_FROZEN: return "REFUSED_FROZEN";
    default: return "?";
  }
}

bool is_same_filled(unsigned int kind) {
  return kind == CONTENT_ZERO || kind == CONTENT_SAME_FILLED;
}

// What the host's compressor makes of a page.
unsigned long compressed_bytes(const void *page) {
  const tmem_host_ops *ops = host_ops();
  const tmem_codec_buffers buffers = ops->codec_begin();
  unsigned long bytes = 0;
  if (ops->compress(page, buffers.output, &bytes, buffers.workspace)) bytes = TMEM_PAGE_BYTES;
  ops->codec_end();
  return bytes;
}

}  // namespace

Model::Model(const ModelOptions &options, Choices &choices) : options_(options), choices_(choices) {
#define TMEM_INITIAL(NAME, name, smallest, largest, initial, meaning) \
  tunables_[TMEM_TUNABLE_##NAME] = initial;
  TMEM_TUNABLES(TMEM_INITIAL)
  injector.every_cpu = options_.cpus;
  const int registered = tmem_register_host_ops(injector_ops(options_.memory_frames), &host_);
  expect(registered == TMEM_OK, "a host can be made");
  if (registered) return;
  env_.host = host_;
  expect(tmem_register_pam_ops(host_, options_.plain ? tmem_plain_pam() : tmem_compressed_pam()) ==
             TMEM_OK,
         "a PAM can be registered");
  make_client(0);
  for (unsigned int i = 0; i < 3 && good(); ++i) make_pool();
}

Model::~Model() {
  // After a failure the engine may be in any state: what it holds is left to it.
  if (good() && host_) finish();
}

std::string Model::report() const {
  std::string text = wrong_ + "\nin step " + std::to_string(steps_) + " of:\n";
  for (const std::string &line : log_) text += "  " + line + "\n";
  return text;
}

void Model::expect(bool condition, const char *what) {
  if (!condition && good()) wrong_ = std::string("expected: ") + what;
}

void Model::note(std::string text) {
  log_.push_back(std::to_string(steps_) + ": " + std::move(text));
  if (log_.size() > kLogMax) log_.pop_front();
}

// ---- Choices

Model::Name *Model::any_name() {
  if (names_.empty()) return nullptr;
  return &names_[choices_.below(static_cast<unsigned int>(names_.size()))];
}

Model::Key Model::any_key() {
  if (options_.narrow) return {choices_.below(2), choices_.below(6)};
  return {choices_.below(kOidCount), choices_.below(kIndexCount)};
}

// As often as not a page that was put there, if any was.
Model::Key Model::any_key_of(const Pool &pool) {
  const Key key = any_key();
  if (choices_.below(2)) return key;
  const auto page = pool.pages.lower_bound(key);
  return page == pool.pages.end() ? key : page->first;
}

// ---- Pages

void Model::put() {
  Name *name = any_name();
  if (!name) return;
  Pool &pool = *name->pool;
  const Key key = any_key();
  // To fill, pages of some size are wanted.
  const bool some_size = options_.filling && choices_.below(4);
  const unsigned int kind = some_size ? CONTENT_TEXT + choices_.below(3) : choices_.below(CONTENT_KINDS);
  const u64 tag = next_tag_++;
  content_fill(page_, kind, tag);

  const bool no_workspace = choices_.below(24) == 0;
  const bool frozen = tunables_[TMEM_TUNABLE_FROZEN] != 0;
  const bool in_index_alone =
      pool.persistent() && tunables_[TMEM_TUNABLE_SAME_FILLED] && is_same_filled(kind) && !must_charge(*name);
  const bool corrupt = options_.corrupt && choices_.below(6) == 0;
  if (corrupt) expect(tmem_debug_corrupt(host_, 1) == TMEM_OK, "pages can be corrupted");

  note_evictions();
  injector.no_workspace = no_workspace;
  tmem_client *client = clients_[name->client].client;
  const int result = tmem_put(client, name->id, &kOids[key.oid], kIndexes[key.index], page_);
  injector.no_workspace = 0;
  if (corrupt) static_cast<void>(tmem_debug_corrupt(host_, 0));
  note(format("put pool %x flags %u oid %u index %llx %s tag %llu%s%s: %s", name->id, pool.flags,
              key.oid, kIndexes[key.index], kContentNames[kind], tag, corrupt ? " corrupt" : "",
              no_workspace ? " nested" : "", name_of(result)));

  const bool was_there = pool.pages.count(key) != 0;
  pool.seen.puts++;
  switch (result) {
    case TMEM_OK:
      pool.seen.puts_stored++;
      pool.seen.puts_same_filled += in_index_alone;
      pool.seen.puts_replaced += was_there;
      break;
    case TMEM_REFUSED_POOR: pool.seen.puts_refused_poor++; break;
    case TMEM_REFUSED_BUDGET: pool.seen.puts_refused_budget++; break;
    case TMEM_REFUSED_LIMIT: pool.seen.puts_refused_limit++; break;
    case TMEM_REFUSED_NESTED: pool.seen.puts_refused_nested++; break;
    case TMEM_REFUSED_FROZEN: pool.seen.puts_refused_frozen++; break;
    case TMEM_NO_MEMORY: pool.seen.puts_no_memory++; break;
    default: expect(false, "a put has one of its results");
  }
  pool.seen.puts_dropped += was_there && result != TMEM_OK;
  pool.pages.erase(key);
  const u64 bytes = in_index_alone ? 0 : is_same_filled(kind) ? sizeof(u64) : compressed_bytes(page_);
  if (result == TMEM_OK)
    pool.pages[key] = {tag, kind, corrupt && !in_index_alone, std::min<u64>(bytes, TMEM_PAGE_BYTES)};
  check_evictions_for(pool);

  // Why a put may be refused, and when it must be.
  expect(frozen == (result == TMEM_REFUSED_FROZEN), "frozen refuses every put, and only it says so");
  if (frozen) return;
  if (result == TMEM_OK && pool.persistent()) check_limit(pool);
  if (in_index_alone) {
    expect(result == TMEM_OK || (result == TMEM_NO_MEMORY && memory_failed()),
           "a same-filled page is stored");
    return;
  }
  struct tmem_host_stats after;
  tmem_host_stats(host_, &after);
  reached_.puts_when_full += room_before_ < kRunFrames;
  reached_.puts_evicting += after.pages.pages_evicted != all_evicted_before_;
  // Others had found no room: then nobody looks at the page.
  if (after.usage.puts_refused_unseen != unseen_before_) {
    expect(result == TMEM_REFUSED_BUDGET || result == TMEM_REFUSED_LIMIT, "unseen for want of room only");
    expect(!options_.plain, "the plain PAM looks at every page");
    expect(result != TMEM_REFUSED_BUDGET || tmem_shrinkable(host_) == 0, "the budget refuses only when nothing can be evicted");
    return;
  }
  const bool nested = no_workspace && !options_.plain;
  expect(nested == (result == TMEM_REFUSED_NESTED), "no workspace: nested; otherwise not");
  if (nested) return;
  if (options_.plain) {
    expect(result != TMEM_REFUSED_POOR, "the plain PAM takes any page");
  } else {
    const u64 percent = tunables_[pool.persistent() ? TMEM_TUNABLE_ADMIT_PERSISTENT_PERCENT
                                                    : TMEM_TUNABLE_ADMIT_EPHEMERAL_PERCENT];
    if (pool.persistent() && percent == 100)
      expect(result != TMEM_REFUSED_POOR, "at 100 percent no persistent page is poor");
    else if (bytes * 100 > (percent + 1) * TMEM_PAGE_BYTES)
      expect(result == TMEM_REFUSED_POOR, "above the threshold a page is poor");
    if (bytes * 100 < (percent - 1) * TMEM_PAGE_BYTES)
      expect(result != TMEM_REFUSED_POOR, "below the threshold it is not");
  }
  if (result == TMEM_NO_MEMORY) expect(memory_failed(), "no memory only if an allocation failed");
  if (result == TMEM_REFUSED_LIMIT)
    expect(pool.shared() || clients_[name->client].limit != TMEM_NO_LIMIT,
           "no limit refused without a limit");
  if (result == TMEM_REFUSED_BUDGET)
    expect(tmem_shrinkable(host_) == 0, "the budget refuses only when nothing can be evicted");
}

void Model::get() {
  const Name *name = any_name();
  if (name) get_page(*name, any_key_of(*name->pool));
}

// Whatever may be read without being taken away.
void Model::read_everything() {
  for (const Name &name : names_) {
    if (name.pool->flags == 0) continue;
    std::vector<Key> keys;
    for (const auto &[key, page] : name.pool->pages) keys.push_back(key);
    for (const Key &key : keys) get_page(name, key);
  }
}

void Model::get_page(const Name &name, const Key &key) {
  Pool &pool = *name.pool;
  std::memset(copy_, kCanary, sizeof(copy_));
  const int result = tmem_get(clients_[name.client].client, name.id, &kOids[key.oid],
                              kIndexes[key.index], copy_);
  note(format("get pool %x flags %u oid %u index %llx: %s", name.id, pool.flags, key.oid,
              kIndexes[key.index], name_of(result)));

  const auto found = pool.pages.find(key);
  const bool known = found != pool.pages.end();
  pool.seen.gets++;
  switch (result) {
    case TMEM_OK:
      pool.seen.gets_hit++;
      expect(known, "a hit only for a page that was put and has not gone since");
      if (!known) return;
      expect(!found->second.corrupt, "a corrupt page is no hit");
      expect(content_matches(copy_, found->second.kind, found->second.tag),
             "a hit returns what was put last, byte for byte");
      if (pool.flags == 0) {
        pool.pages.erase(found);
        pool.seen.pages_taken++;
      }
      break;
    case TMEM_NOT_FOUND: {
      pool.seen.gets_missed++;
      const bool untouched = std::all_of(std::begin(copy_), std::end(copy_),
                                         [](unsigned char byte) { return byte == kCanary; });
      expect(untouched, "a miss does not touch the page");
      expect(!known || !pool.persistent(), "a persistent page stays");
      if (known) pool.pages.erase(found);
      break;
    }
    case TMEM_CORRUPT:
      pool.seen.gets_corrupt++;
      expect(known && found->second.corrupt, "corrupt only what was corrupted");
      if (known && !pool.persistent()) {
        pool.pages.erase(found);
        pool.seen.pages_corrupt++;
      }
      break;
    default: expect(false, "a get has one of its results");
  }
}

void Model::flush_page() {
  Name *name = any_name();
  if (!name) return;
  Pool &pool = *name->pool;
  const Key key = any_key_of(pool);
  const int result = tmem_flush_page(clients_[name->client].client, name->id, &kOids[key.oid],
                                     kIndexes[key.index]);
  note(format("flush pool %x flags %u oid %u index %llx: %s", name->id, pool.flags, key.oid,
              kIndexes[key.index], name_of(result)));
  const bool known = pool.pages.erase(key) != 0;
  pool.seen.flushes++;
  if (result == TMEM_OK) {
    pool.seen.flushes_found++;
    pool.seen.pages_flushed++;
    expect(known, "a flush finds only what was put");
  } else {
    pool.seen.flushes_missed++;
    expect(result == TMEM_NOT_FOUND, "a flush has one of its results");
    expect(!known || !pool.persistent(), "a flush finds a persistent page");
  }
}

void Model::flush_range() {
  Name *name = any_name();
  if (!name) return;
  Pool &pool = *name->pool;
  const Key key = any_key();
  const unsigned long long first = kIndexes[key.index];
  // Sometimes none, at the end of the index space to its end, and now and then too much to walk.
  const unsigned int more = choices_.below(40);
  unsigned long long last = more ? std::max(first, first + more - 1) : first - (first != 0);
  if (choices_.below(8) == 0) last = ~0ULL;
  const auto flush = choices_.below(2) ? tmem_flush_range : tmem_flush_range_slowly;
  const int result = flush(clients_[name->client].client, name->id, &kOids[key.oid], first, last);
  note(format("flush range pool %x flags %u oid %u %llx to %llx: %s", name->id, pool.flags, key.oid,
              first, last, name_of(result)));
  const bool walked = last < first || last - first < 1ULL << 20;
  const bool whole = first == 0 && last == ~0ULL;
  if (pool.persistent() && !walked && !whole) {
    expect(result == TMEM_BAD_ARGUMENT, "a persistent range that cannot be walked is refused");
    return;
  }
  const u64 known = std::erase_if(pool.pages, [&](const auto &page) {
    if (!walked && page.first.oid == key.oid) return true;  // may be gone
    const u64 index = kIndexes[page.first.index];
    return page.first.oid == key.oid && index >= first && index <= last;
  });
  pool.seen.flushes++;
  if (result == TMEM_OK) {
    pool.seen.flushes_found++;
    pool.seen.pages_flushed += known;  // exact in persistent pools
    expect(known != 0, "a flush of a range finds only what was put");
  } else {
    pool.seen.flushes_missed++;
    expect(result == TMEM_NOT_FOUND, "a flush of a range has one of its results");
    expect(known == 0 || !pool.persistent(), "a flush of a range finds persistent pages");
  }
}

void Model::flush_object() {
  Name *name = any_name();
  if (!name) return;
  Pool &pool = *name->pool;
  const unsigned int oid = any_key().oid;
  const auto flush = choices_.below(2) ? tmem_flush_object : tmem_flush_object_slowly;
  const int result = flush(clients_[name->client].client, name->id, &kOids[oid]);
  note(format("flush object pool %x flags %u oid %u: %s", name->id, pool.flags, oid, name_of(result)));
  const u64 known = std::erase_if(pool.pages, [&](const auto &page) { return page.first.oid == oid; });
  pool.seen.object_flushes++;
  if (result == TMEM_OK) {
    pool.seen.object_flushes_found++;
    pool.seen.pages_flushed += known;  // exact in persistent pools
    expect(known != 0, "a flush of an object finds only what was put");
  } else {
    pool.seen.object_flushes_missed++;
    expect(result == TMEM_NOT_FOUND, "a flush of an object has one of its results");
    expect(known == 0 || !pool.persistent(), "a flush of an object finds persistent pages");
  }
}

void Model::shrink() {
  const bool all = choices_.below(options_.filling ? 32 : 4) == 0;
  const u64 frames = all ? ~0ULL : choices_.below(options_.filling ? 9 : 24);
  const long long before = injector.live_frames;
  const u64 shrinkable = tmem_shrinkable(host_);
  const u64 freed = tmem_shrink(host_, frames);
  note(format("shrink %lld of %llu: %llu", static_cast<long long>(frames), shrinkable, freed));
  expect(static_cast<u64>(before - injector.live_frames) == freed, "freed is what the host got back");
  expect(freed <= shrinkable && freed >= std::min(frames, shrinkable), "shrink frees what it can");
  expect(tmem_shrinkable(host_) == shrinkable - freed, "shrinkable says so");
  reached_.shrinks += freed != 0;
}

// Entries move, and nobody can tell but by the frames that come back.
void Model::compact() {
  const u64 frames = choices_.below(4) ? ~0ULL : choices_.below(24);
  const long long before = injector.live_frames;
  struct tmem_host_stats was, is;
  tmem_host_stats(host_, &was);
  const u64 freed = tmem_compact(host_, frames);
  tmem_host_stats(host_, &is);
  note(format("compact %lld: %llu", static_cast<long long>(frames), freed));
  expect(static_cast<u64>(before - injector.live_frames) == freed, "freed is what the host got back");
  expect(is.usage.entries == was.usage.entries && is.usage.bytes_stored == was.usage.bytes_stored &&
             is.pages.pages == was.pages.pages && is.pages.pages_evicted == was.pages.pages_evicted,
         "compacting loses no page");
  reached_.compactions += freed != 0;
  if (is.usage.entries_moved != was.usage.entries_moved) read_everything();
}

// ---- Weights and limits

const Model::Client *Model::owner_of(const Pool &pool) const {
  for (const Client &client : clients_)
    if (client.client && client.serial == pool.owner) return &client;
  return nullptr;
}

bool Model::must_charge(const Name &name) const {
  constexpr u64 kUncharged = 64;
  const Client *owner = owner_of(*name.pool);
  tmem_stats stats;
  return owner && owner->limit != TMEM_NO_LIMIT &&
         tmem_pool_stats(clients_[name.client].client, name.id, &stats) == TMEM_OK && stats.pages_same_filled >= kUncharged;
}

void Model::check_limit(const Pool &pool) {
  const Client *owner = owner_of(pool);
  if (!owner || owner->limit_max == TMEM_NO_LIMIT) return;
  u64 bytes = 0;
  std::vector<const Pool *> counted;
  for (const Name &name : names_) {
    const Pool &other = *name.pool;
    if (!other.persistent() || other.owner != pool.owner) continue;
    if (std::find(counted.begin(), counted.end(), &other) != counted.end()) continue;
    counted.push_back(&other);
    for (const auto &[key, page] : other.pages) bytes += page.bytes;
  }
  expect(bytes <= owner->limit_max * TMEM_PAGE_BYTES, "a client's persistent pages fit within its limit");
}

void Model::note_evictions() {
  evicted_before_.clear();
  for (const Name &name : names_) {
    tmem_stats stats;
    if (tmem_pool_stats(clients_[name.client].client, name.id, &stats) == TMEM_OK)
      evicted_before_[name.pool.get()] = stats.pages_evicted;
  }
  struct tmem_host_stats host;
  tmem_host_stats(host_, &host);
  all_evicted_before_ = host.pages.pages_evicted;
  unseen_before_ = host.usage.puts_refused_unseen;
  room_before_ = host.usage.frames_limit - std::min(host.usage.frames, host.usage.frames_limit);
}

// After a put into @pool: whose pages went, if there was no need for the budget's sake?
void Model::check_evictions_for(const Pool &pool) {
  constexpr u64 kRoomForOne = 16;  // frames; more than any store takes at once
  if (room_before_ < kRoomForOne || memory_failed()) return;
  for (const Name &name : names_) {
    tmem_stats stats;
    if (tmem_pool_stats(clients_[name.client].client, name.id, &stats) != TMEM_OK) continue;
    if (stats.pages_evicted == evicted_before_[name.pool.get()]) continue;
    expect(name.pool->owner == pool.owner, "at a client's limit its own pages go, not another's");
    const Client *owner = owner_of(pool);
    expect(!owner || owner->limit != TMEM_NO_LIMIT, "nothing is evicted while there is room");
  }
}

// ---- Everything else

void Model::set_tunable() {
  const unsigned int which = choices_.below(TMEM_TUNABLES_COUNT);
  u64 value = 0;
  switch (which) {
    case TMEM_TUNABLE_MAX_POOL_PERCENT: value = 5 + choices_.below(20); break;
    case TMEM_TUNABLE_ADMIT_EPHEMERAL_PERCENT: value = 20 + choices_.below(81); break;
    case TMEM_TUNABLE_ADMIT_PERSISTENT_PERCENT: value = 50 + choices_.below(51); break;
    case TMEM_TUNABLE_FROZEN: value = choices_.below(4) == 0; break;
    // A corrupt page is only known for one while checksums are on.
    case TMEM_TUNABLE_CHECKSUM: value = options_.corrupt || choices_.below(2); break;
    default: value = choices_.below(2); break;
  }
  const int result = tmem_tunable_set(host_, which, value);
  note(format("tunable %u = %llu: %s", which, value, name_of(result)));
  expect(result == TMEM_OK, "a legal value is taken");
  tunables_[which] = value;
}

void Model::make_client(unsigned int slot) {
  Client &client = clients_[slot];
  client.serial = ++client_names_;
  client.limit = !options_.clients || choices_.below(2) ? TMEM_NO_LIMIT : choices_.below(48);
  client.limit_max = client.limit;
  const unsigned int weight = 1 + choices_.below(TMEM_WEIGHT_MAX);
  const std::string name = "model " + std::to_string(client.serial);
  const int result = tmem_client_create(host_, name.c_str(), weight, client.limit, &client.client);
  note(format("client %u weight %u limit %lld: %s", slot, weight,
              static_cast<long long>(client.limit), name_of(result)));
  expect(result == TMEM_OK || (result == TMEM_NO_MEMORY && memory_failed()), "a client can be made");
  expect((client.client != nullptr) == (result == TMEM_OK), "and only then it is there");
}

void Model::make_pool() {
  const unsigned int slot = options_.clients ? choices_.below(static_cast<unsigned int>(clients_.size())) : 0;
  unsigned int flavour = choices_.below(POOL_FLAVOURS);
  while (!(options_.flavours >> flavour & 1)) flavour = (flavour + 1) % POOL_FLAVOURS;
  const std::array<u64, 2> uuid = {choices_.below(2), choices_.below(2)};
  if (!clients_[slot].client || names_.size() >= kPoolsMax) return;
  const unsigned int flags = pool_flavours[flavour];
  const int id = tmem_new_pool(clients_[slot].client, flags, uuid.data());
  note(format("new pool of client %u flags %u uuid %llu %llu: %x", slot, flags, uuid[0], uuid[1], id));
  if (id < 0) {
    expect(id == TMEM_NO_MEMORY && memory_failed(), "a pool can be made");
    return;
  }
  for (const std::deque<Name> &names : {std::deque<Name>(names_.begin(), names_.end()), dead_})
    for (const Name &name : names)
      expect(name.client != slot || name.id != id, "no id is given twice");
  std::shared_ptr<Pool> pool;
  if (flags & TMEM_POOL_SHARED)
    for (const Name &name : names_)
      if (name.pool->flags == flags && name.pool->uuid == uuid) pool = name.pool;
  if (!pool) {
    pool = std::make_shared<Pool>();
    pool->flags = flags;
    pool->uuid = uuid;
    pool->owner = clients_[slot].serial;
  }
  pool->sharers++;
  names_.push_back({slot, id, pool});
}

// Sums the counters only; levels are of the moment.
static void add_counters(tmem_stats &sum, const tmem_stats &part) {
#define TMEM_ADD(name, meaning) sum.name += part.name;
  TMEM_COUNTERS(TMEM_ADD)
#undef TMEM_ADD
}

void Model::destroy_pool() {
  if (names_.empty()) return;
  const unsigned int which = choices_.below(static_cast<unsigned int>(names_.size()));
  const Name name = names_[which];
  const int result = tmem_destroy_pool(clients_[name.client].client, name.id);
  note(format("destroy pool %x of client %u: %s", name.id, name.client, name_of(result)));
  expect(result == TMEM_OK, "a pool can be destroyed");
  names_.erase(names_.begin() + which);
  dead_.push_back(name);
  if (dead_.size() > 8) dead_.pop_front();
  if (--name.pool->sharers == 0) add_counters(past_, name.pool->seen);
}

void Model::change_clients() {
  const unsigned int slot = choices_.below(static_cast<unsigned int>(clients_.size()));
  Client &client = clients_[slot];
  if (!client.client) {
    make_client(slot);
  } else if (choices_.below(options_.filling ? 12 : 3)) {
    client.limit = choices_.below(3) ? TMEM_NO_LIMIT : choices_.below(64);
    client.limit_max = std::max(client.limit_max, client.limit);
    const unsigned int weight = 1 + choices_.below(TMEM_WEIGHT_MAX);
    const int result = tmem_client_configure(client.client, weight, client.limit);
    note(format("configure client %u weight %u limit %lld: %s", slot, weight,
                static_cast<long long>(client.limit), name_of(result)));
    expect(result == TMEM_OK, "a client can be configured");
  } else {
    tmem_client_destroy(client.client);
    client.client = nullptr;
    note(format("client %u destroyed", slot));
    for (const Name &name : names_)
      if (name.client == slot && --name.pool->sharers == 0) add_counters(past_, name.pool->seen);
    std::erase_if(names_, [&](const Name &name) { return name.client == slot; });
    std::erase_if(dead_, [&](const Name &name) { return name.client == slot; });
  }
}

// Ids of pools that are gone, and ids that are another client's.
void Model::use_bad_id() {
  const unsigned int slot = choices_.below(static_cast<unsigned int>(clients_.size()));
  if (!clients_[slot].client) return;
  int id = static_cast<int>(choices_.below(1 << 16)) - 8;
  if (!dead_.empty() && choices_.below(2))
    id = dead_[choices_.below(static_cast<unsigned int>(dead_.size()))].id;
  else if (const Name *name = any_name())
    id = name->id;
  for (const Name &name : names_)
    if (name.client == slot && name.id == id) return;  // it is a good one
  tmem_client *client = clients_[slot].client;
  std::memset(copy_, kCanary, sizeof(copy_));
  bool bad = tmem_put(client, id, &kOids[0], 0, copy_) == TMEM_BAD_ARGUMENT;
  bad &= tmem_get(client, id, &kOids[0], 0, copy_) == TMEM_BAD_ARGUMENT;
  bad &= tmem_flush_page(client, id, &kOids[0], 0) == TMEM_BAD_ARGUMENT;
  bad &= tmem_flush_object(client, id, &kOids[0]) == TMEM_BAD_ARGUMENT;
  bad &= tmem_destroy_pool(client, id) == TMEM_BAD_ARGUMENT;
  note(format("bad id %x of client %u", id, slot));
  expect(bad, "an id that is not this client's is a bad argument");
}

// ---- Checks

void Model::compare_statistics() {
  struct tmem_host_stats host;
  tmem_host_stats(host_, &host);
  if (const char *broken = stats_broken_identity(&host.pages)) {
    wrong_ = std::string("host: ") + broken;
    return;
  }
  tmem_stats all = past_;
  u64 pages = 0;
  std::vector<const Pool *> counted;
  for (const Name &name : names_) {
    tmem_stats stats;
    expect(tmem_pool_stats(clients_[name.client].client, name.id, &stats) == TMEM_OK, "pool stats");
    if (const char *broken = stats_broken_identity(&stats)) {
      wrong_ = std::string("pool: ") + broken;
      return;
    }
    const Pool &pool = *name.pool;
    const tmem_stats &seen = pool.seen;
    // What each answer said is counted exactly; what eviction took, nobody was told.
    bool exact = stats.puts == seen.puts && stats.puts_stored == seen.puts_stored &&
                 stats.puts_refused_poor == seen.puts_refused_poor &&
                 stats.puts_refused_budget == seen.puts_refused_budget &&
                 stats.puts_refused_limit == seen.puts_refused_limit &&
                 stats.puts_refused_nested == seen.puts_refused_nested &&
                 stats.puts_refused_frozen == seen.puts_refused_frozen &&
                 stats.puts_no_memory == seen.puts_no_memory &&
                 stats.puts_same_filled == seen.puts_same_filled && stats.gets == seen.gets &&
                 stats.gets_hit == seen.gets_hit && stats.gets_missed == seen.gets_missed &&
                 stats.gets_corrupt == seen.gets_corrupt && stats.flushes == seen.flushes &&
                 stats.flushes_found == seen.flushes_found &&
                 stats.flushes_missed == seen.flushes_missed &&
                 stats.object_flushes == seen.object_flushes &&
                 stats.object_flushes_found == seen.object_flushes_found &&
                 stats.object_flushes_missed == seen.object_flushes_missed &&
                 stats.pages_taken == seen.pages_taken && stats.pages_corrupt == seen.pages_corrupt;
    expect(exact, "the pool's counters say what the answers said");
    if (pool.persistent()) {
      exact = stats.puts_replaced == seen.puts_replaced && stats.puts_dropped == seen.puts_dropped &&
              stats.pages_flushed == seen.pages_flushed && stats.pages_evicted == 0 &&
              stats.pages == pool.pages.size();
      expect(exact, "a persistent pool has exactly the pages that were put");
    } else {
      expect(stats.pages <= pool.pages.size(), "an ephemeral pool has no page that was not put");
      expect(stats.puts_replaced <= seen.puts_replaced && stats.puts_dropped <= seen.puts_dropped &&
                 stats.pages_flushed <= seen.pages_flushed,
             "and none was removed that was not there");
    }
    if (std::find(counted.begin(), counted.end(), &pool) != counted.end()) continue;
    counted.push_back(&pool);
    add_counters(all, seen);
    pages += stats.pages;
  }
  expect(host.pages.puts == all.puts && host.pages.puts_stored == all.puts_stored &&
             host.pages.gets == all.gets && host.pages.gets_hit == all.gets_hit &&
             host.pages.gets_corrupt == all.gets_corrupt && host.pages.flushes == all.flushes &&
             host.pages.object_flushes == all.object_flushes &&
             host.pages.pages_taken == all.pages_taken,
         "the host's counters are the sum over all pools, past ones included");
  expect(host.pages.pages == pages, "the host's pages are the sum over its pools");
  expect(host.usage.entries + host.pages.pages_same_filled == pages, "a page is an entry or a word");
  expect(host.pools == counted.size(), "the number of pools");
  expect(host.bad_arguments >= bad_arguments_, "bad arguments are counted");
  bad_arguments_ = host.bad_arguments;

  expect(host.usage.frames == static_cast<u64>(injector.live_frames), "frames are the host's");
  expect(host.usage.frames_evicted == static_cast<u64>(injector.frames_evicted), "the host is told what is evicted");
  expect(host.usage.frames <= host.usage.frames_limit || host.usage.frames_ephemeral == 0,
         "above the budget there is nothing ephemeral");
  expect(host.usage.frames_limit ==
             options_.memory_frames * tunables_[TMEM_TUNABLE_MAX_POOL_PERCENT] / 100,
         "the budget is its share of RAM");
  const auto bytes_live = [](unsigned int kind) {
    return static_cast<u64>(injector.live_objects[kind]) * tmem_kind_bytes(kind);
  };
  u64 index_bytes = bytes_live(TMEM_KIND_OBJECT);
  for (unsigned int size_class = 0; size_class < TMEM_LEAF_CLASSES; ++size_class)
    index_bytes += bytes_live(TMEM_KIND_LEAF + size_class);
  expect(host.index_bytes == index_bytes,
         "index_bytes is what the index holds");
  expect(host.usage.metadata_bytes == bytes_live(TMEM_KIND_RUN) + bytes_live(TMEM_KIND_PLAIN_PAGE),
         "metadata_bytes is what the PAM holds");
  expect(injector.codec_open == 0, "codec_begin and codec_end pair up");
}

bool Model::step() {
  if (!good()) return false;
  steps_++;
  reached_.steps++;
  failures_before_ = injector.failures;
  if (options_.cpus && choices_.below(3) == 0) move_to_cpu(choices_.below(cpus()));
  if (options_.failures && choices_.below(3) == 0) {
    injector_fail(1 + choices_.below(INJECT_ALL), choices_.below(3), choices_.below(2) ? 1 : -1);
    failures_before_ = 0;
  }
  if (steps_ % kStepsPerMood == 1) {
    static constexpr unsigned int kPuts[2][4] = {{48, 48, 75, 20}, {60, 80, 90, 20}};
    puts_in_100_ = kPuts[options_.filling][choices_.below(4)];
  }
  // What takes many pages at once is rare while the budget is to fill.
  const bool leave_many = options_.filling && choices_.below(4);
  if (choices_.below(100) < puts_in_100_)
    put();
  else if (const unsigned int what = choices_.below(52); what < 24)
    get();
  else if (what < 32)
    flush_page();
  else if (what < 34)
    leave_many ? flush_page() : flush_range();
  else if (what < 35)
    leave_many ? flush_page() : flush_object();
  else if (what < 38)
    choices_.below(options_.filling ? 4 : 2) == 0 ? shrink() : compact();
  else if (what < 42)
    options_.tunables ? set_tunable() : put();
  else if (what < 44)
    make_pool();
  else if (what < 46)
    leave_many ? get() : destroy_pool();
  else if (what < 49)
    options_.clients ? change_clients() : get();
  else
    use_bad_id();
  if (options_.failures) injector_heal();

  if (const int invariant = tmem_validate(host_); invariant && good())
    wrong_ = "invariant " + std::to_string(invariant) + " (core/engine/validate.cc) is broken";
  if (good()) compare_statistics();
  return good();
}

bool Model::finish() {
  if (!good() || !host_) return good();
  struct tmem_host_stats stats;
  tmem_host_stats(host_, &stats);
  reached_.pages = stats.pages;
  reached_.store = stats.usage;
  for (Client &client : clients_) {
    if (client.client) tmem_client_destroy(client.client);
    client.client = nullptr;
  }
  names_.clear();
  tmem_host_stats(host_, &stats);
  expect(stats.pages.pages == 0 && stats.pools == 0 && stats.clients == 0, "nothing is left");
  expect(stats.index_bytes == 0 && stats.usage.entries == 0 && stats.usage.frames == 0,
         "no memory is left");
  expect(tmem_validate(host_) == 0, "an empty host is valid");
  expect(tmem_unregister_host(host_) == TMEM_OK, "the host can be taken down");
  host_ = nullptr;
  for (unsigned int kind = 0; kind < TMEM_KINDS; ++kind)
    expect(injector.live_objects[kind] == 0, tmem_kind_name(kind));
  expect(injector.live_frames == 0 && injector.live_tables == 0 && injector.live_table_bytes == 0,
         "everything was given back");
  return good();
}

}  // namespace tmem_test
