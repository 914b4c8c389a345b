// SPDX-License-Identifier: GPL-2.0
// The C face of the core: checks what it is given, translates outcomes to
// errno values, and calls the engine. Nothing is decided here.
#include "abi.h"

#include "engine/page_operations.h"
#include "store/plain_page.h"
#include "store/run.h"

// The same numbers stand in glue/abi_check.c: C and C++ agree on every layout.
static_assert(sizeof(tmem_oid) == 24 && sizeof(tmem_codec_buffers) == 24);
static_assert(sizeof(tmem_host_ops) == 152 && sizeof(tmem_pam_ops) == 120);
static_assert(sizeof(tmem_offer) == 16);
static_assert(sizeof(tmem_pam_page) == 24 && sizeof(tmem_usage) == 176);
static_assert(sizeof(tmem_stats) == 232 && sizeof(struct tmem_host_stats) == 472);
static_assert(sizeof(tmem_pool_info) == 280);
static_assert(sizeof(tmem_client_usage) == 48 && sizeof(tmem_client_info) == 72);

using tmem::Engine;
using tmem::Outcome;
using tmem::to_abi;

static const tmem::Oid &oid_of(const tmem_oid *oid) {
  return *reinterpret_cast<const tmem::Oid *>(oid);
}

unsigned long tmem_kind_bytes(unsigned int kind) {
  switch (kind) {
    case TMEM_KIND_OBJECT: return sizeof(tmem::Object);
    case TMEM_KIND_RUN: return sizeof(tmem::Run);
    case TMEM_KIND_PLAIN_PAGE: return sizeof(tmem::PlainPage);
    default: break;
  }
  const unsigned int size_class = kind - TMEM_KIND_LEAF;
  return size_class < tmem::kLeafClasses ? tmem::Leaf::bytes_of(size_class) : 0;
}

unsigned long tmem_kind_alignment(unsigned int kind) {
  if (kind >= TMEM_KINDS) return 0;
  if (kind == TMEM_KIND_RUN) return alignof(tmem::Run);
  return kind - TMEM_KIND_LEAF < tmem::kLeafClasses && !tmem::Leaf::is_listed(kind - TMEM_KIND_LEAF)
             ? tmem::Leaf::kAlignment
             : alignof(void *);
}

const char *tmem_kind_name(unsigned int kind) {
  switch (kind) {
    case TMEM_KIND_OBJECT: return "object";
    case TMEM_KIND_RUN: return "run";
    case TMEM_KIND_PLAIN_PAGE: return "plain_page";
    default: break;
  }
  static constexpr const char *kLeafNames[tmem::kLeafClasses] = {
      "leaf_1", "leaf_4", "leaf_8", "leaf_16", "leaf_32", "leaf_96", "leaf_64", "leaf_128", "leaf_256", "leaf_256_same"};
  const unsigned int size_class = kind - TMEM_KIND_LEAF;
  return size_class < tmem::kLeafClasses ? kLeafNames[size_class] : nullptr;
}

// ---- Life

int tmem_register_host_ops(const tmem_host_ops *ops, tmem_host **host) {
  if (!host) return TMEM_BAD_ARGUMENT;
  const auto created = Engine::create(ops);
  *host = created.ok() ? static_cast<tmem_host *>(created.value()) : nullptr;
  return to_abi(created.outcome());
}

int tmem_unregister_host(tmem_host *host) {
  return host ? to_abi(host->destroy()) : TMEM_BAD_ARGUMENT;
}

int tmem_register_pam_ops(tmem_host *host, const tmem_pam_ops *ops) {
  return host ? host->register_pam(ops) : TMEM_BAD_ARGUMENT;
}

int tmem_tunable_set(tmem_host *host, unsigned int tunable, unsigned long long value) {
  return host ? to_abi(host->set_tunable(tunable, value)) : TMEM_BAD_ARGUMENT;
}

unsigned long long tmem_tunable_get(tmem_host *host, unsigned int tunable) {
  if (tunable >= TMEM_TUNABLES_COUNT) return 0;
  if (host) return host->tunable(tunable);
#define TMEM_INITIAL(NAME, name, smallest, largest, initial, meaning) \
  if (tunable == TMEM_TUNABLE_##NAME) return initial;
  TMEM_TUNABLES(TMEM_INITIAL)
#undef TMEM_INITIAL
  return 0;
}

int tmem_client_create(tmem_host *host, const char *name, unsigned int weight,
                       unsigned long long limit_frames, tmem_client **client) {
  if (!host || !client) return TMEM_BAD_ARGUMENT;
  const auto created = host->create_client(name, weight, limit_frames);
  *client = created.ok() ? static_cast<tmem_client *>(created.value()) : nullptr;
  return to_abi(created.outcome());
}

int tmem_client_configure(tmem_client *client, unsigned int weight,
                          unsigned long long limit_frames) {
  if (!client) return TMEM_BAD_ARGUMENT;
  return to_abi(client->engine().configure_client(*client, weight, limit_frames));
}

void tmem_client_destroy(tmem_client *client) {
  if (client) client->engine().destroy_client(*client);
}

int tmem_new_pool(tmem_client *client, unsigned int flags, const unsigned long long uuid[2]) {
  if (!client) return TMEM_BAD_ARGUMENT;
  const auto id = client->engine().new_pool(*client, flags, uuid);
  return id.ok() ? id.value() : to_abi(id.outcome());
}

int tmem_destroy_pool(tmem_client *client, int pool) {
  if (!client) return TMEM_BAD_ARGUMENT;
  return to_abi(client->engine().destroy_pool(*client, pool));
}

// ---- Page operations

// Enters the pool and runs @operation on (engine, pool).
template <typename Operation>
[[gnu::always_inline]] static inline int in_pool(tmem_client *client, int id, bool arguments_are_good, Operation operation) {
  if (!client) return TMEM_BAD_ARGUMENT;
  Engine &engine = client->engine();
  if (!arguments_are_good) {
    engine.count_bad_argument();
    return TMEM_BAD_ARGUMENT;
  }
  tmem::Pool *pool = nullptr;
  const Outcome outcome = engine.enter(*client, id, &pool);
  if (outcome != Outcome::kDone) return to_abi(outcome);
  const tmem::EnteredPool entered(pool);
  return to_abi(operation(engine, *pool));
}

int tmem_put(tmem_client *client, int pool, const tmem_oid *oid, unsigned long long index,
             const void *page) {
  __builtin_prefetch(page);  // it is in no cache when it is reclaimed, and its first words are soon asked for
  return in_pool(client, pool, oid, [&](Engine &engine, tmem::Pool &entered) {
    if (!page) return engine.put_nothing(entered, oid_of(oid), tmem::Index{index});
    return engine.put(entered, oid_of(oid), tmem::Index{index}, page);
  });
}

int tmem_get(tmem_client *client, int pool, const tmem_oid *oid, unsigned long long index,
             void *page) {
  return in_pool(client, pool, oid && page, [&](Engine &engine, tmem::Pool &entered) {
    return engine.get(entered, oid_of(oid), tmem::Index{index}, page);
  });
}

int tmem_flush_page(tmem_client *client, int pool, const tmem_oid *oid, unsigned long long index) {
  return in_pool(client, pool, oid, [&](Engine &engine, tmem::Pool &entered) {
    return engine.flush_page(entered, oid_of(oid), tmem::Index{index});
  });
}

static int flush_range(tmem_client *client, int pool, const tmem_oid *oid, unsigned long long first,
                       unsigned long long last, Engine::Breathe breathe) {
  return in_pool(client, pool, oid, [&](Engine &engine, tmem::Pool &entered) {
    return engine.flush_range(entered, oid_of(oid), tmem::Index{first}, tmem::Index{last}, breathe);
  });
}

int tmem_flush_range(tmem_client *client, int pool, const tmem_oid *oid, unsigned long long first,
                     unsigned long long last) {
  return flush_range(client, pool, oid, first, last, Engine::Breathe::kNever);
}

int tmem_flush_range_slowly(tmem_client *client, int pool, const tmem_oid *oid,
                            unsigned long long first, unsigned long long last) {
  return flush_range(client, pool, oid, first, last, Engine::Breathe::kBetweenLeaves);
}

static int flush_object(tmem_client *client, int pool, const tmem_oid *oid, Engine::Breathe breathe) {
  return in_pool(client, pool, oid, [&](Engine &engine, tmem::Pool &entered) {
    return engine.flush_object(entered, oid_of(oid), breathe);
  });
}

int tmem_flush_object(tmem_client *client, int pool, const tmem_oid *oid) {
  return flush_object(client, pool, oid, Engine::Breathe::kNever);
}

int tmem_flush_object_slowly(tmem_client *client, int pool, const tmem_oid *oid) {
  return flush_object(client, pool, oid, Engine::Breathe::kBetweenLeaves);
}

int tmem_pam_evict(tmem_host *host, unsigned long long back_reference, unsigned long long pampd) {
  if (!host) return TMEM_BAD_ARGUMENT;
  const bool taken = host->evict(tmem::BackReference{back_reference}, tmem::Pampd{pampd});
  return taken ? TMEM_OK : TMEM_NOT_FOUND;
}

int tmem_pam_move(tmem_host *host, unsigned long long back_reference, unsigned long long from,
                  unsigned long long to) {
  if (!host) return TMEM_BAD_ARGUMENT;
  const bool moved =
      host->move(tmem::BackReference{back_reference}, tmem::Pampd{from}, tmem::Pampd{to});
  return moved ? TMEM_OK : TMEM_NOT_FOUND;
}

// ---- Memory pressure and statistics

unsigned long long tmem_compact(tmem_host *host, unsigned long long frames) {
  return tmem_compact_node(host, TMEM_ANY_NODE, frames);
}

unsigned long long tmem_shrink(tmem_host *host, unsigned long long frames) {
  return tmem_shrink_node(host, TMEM_ANY_NODE, frames);
}

unsigned long long tmem_compact_node(tmem_host *host, unsigned int node, unsigned long long frames) {
  return host ? host->compact(frames, node) : 0;
}

unsigned long long tmem_shrink_node(tmem_host *host, unsigned int node, unsigned long long frames) {
  return host ? host->shrink(frames, node) : 0;
}

void tmem_offer_of_node(tmem_host *host, unsigned int node, tmem_offer *offer) {
  if (!offer) return;
  *offer = {};
  if (host) host->offer(node, *offer);
}

unsigned long long tmem_compactable(tmem_host *host) {
  tmem_offer offer;
  tmem_offer_of_node(host, TMEM_ANY_NODE, &offer);
  return offer.frames_compactable;
}

unsigned long long tmem_shrinkable(tmem_host *host) {
  tmem_offer offer;
  tmem_offer_of_node(host, TMEM_ANY_NODE, &offer);
  return offer.frames_ephemeral;
}

void tmem_host_stats(tmem_host *host, struct tmem_host_stats *stats) {
  if (host && stats) host->sum_all(*stats);
}

unsigned long long tmem_host_value(tmem_host *host, unsigned int value) {
  return host ? host->value(value) : 0;
}

int tmem_pool_stats(tmem_client *client, int pool, tmem_stats *stats) {
  return in_pool(client, pool, stats, [&](Engine &, tmem::Pool &entered) {
    Engine::sum_pool(entered, *stats);
    return Outcome::kDone;
  });
}

int tmem_next_pool(tmem_host *host, unsigned int *cursor, tmem_pool_info *info) {
  if (!host || !cursor || !info) return TMEM_BAD_ARGUMENT;
  return to_abi(host->next_pool(cursor, *info));
}

int tmem_next_client(tmem_host *host, unsigned int *cursor, tmem_client_info *info) {
  if (!host || !cursor || !info) return TMEM_BAD_ARGUMENT;
  return to_abi(host->next_client(cursor, *info));
}

int tmem_validate(tmem_host *host) { return host ? host->validate() : TMEM_BAD_ARGUMENT; }

int tmem_debug_corrupt(tmem_host *host, unsigned long long count) {
  return host ? to_abi(host->corrupt_next(count)) : TMEM_BAD_ARGUMENT;
}
