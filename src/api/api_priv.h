/*
 * Inside api. A handler is a function of an input tree: it reads records through the context, puts
 * what it changes back into it, and gives an output tree. Nothing is written before it returns;
 * then everything it read by key and everything it put is one transaction. If somebody else was
 * there first the handler runs again from the start, so it must have no effect of its own.
 *
 * Failures of the store stick to the context: reads then give NULL, and dispatch answers with the
 * failure whatever the handler says.
 */
#ifndef WEIR_API_PRIV_H
#define WEIR_API_PRIV_H

#include <pthread.h>

#include "api/api.h"
#include "api/http/http_priv.h"

typedef struct ReplayCache ReplayCache;

struct Api {
    ApiOptions options;
    pthread_mutex_t writing; /* one change at a time in this process; others are met by CAS */
    ReplayCache *replay;     /* under `writing` */
    _Atomic int joining;     /* tokens that are looked up, before anybody has proven anything */
    ApiHttp *http;           /* NULL: none */
};

/* ---- the context of one attempt
 * ------------------------------------------------------------------
 */

typedef struct ContextRecord {
    const char *key;
    int64_t revision; /* 0: absent */
    json_t *value;    /* NULL: absent, or to be deleted */
    bool dirty;
} ContextRecord;

typedef struct RecordItem {
    const char *key;
    json_t *value; /* the context's */
} RecordItem;

typedef struct RecordList {
    RecordItem *items; /* with room for one more */
    size_t len;
} RecordList;

typedef struct ContextList {
    const char *prefix;
    RecordList list;
} ContextList;

typedef struct ApiContext {
    Api *api;
    Arena *arena;
    TierFacts tier;
    const AwsService *service;
    const AwsOperation *operation;
    const char *access_key; /* or a token's id, see joins */
    bool tls;               /* it came so */
    bool joins;             /* signed with a token (weir/join.c), over TLS */
    int64_t now_ms;
    AwsFault *fault;
    Err broken; /* code != ERR_NONE: the store failed */
    bool stop;  /* the tier shall stop after this */
    VEC(ContextRecord) records;
    VEC(ContextList) lists;
    VEC(json_t *) owned;
} ApiContext;

/* context.c */
void context_init(ApiContext *ctx, Api *api, Arena *arena, AwsFault *fault);
void context_done(ApiContext *ctx);
/* Writes what was put. *ret_done false: somebody else was first, run again. */
NODISCARD bool context_commit(ApiContext *ctx, bool *ret_done, Err *err);
/* Frees `value` with the context. */
json_t *context_own(ApiContext *ctx, json_t *value);

/* The record, to be read and altered in place; alterations count only after a put. NULL: absent. */
json_t *record_get(ApiContext *ctx, const char *key);
void record_put(ApiContext *ctx, const char *key, json_t *value); /* takes its own reference */
void record_delete(ApiContext *ctx, const char *key);

/* What the store holds below the prefix, in the order of keys; asked again, the same answer. Not
 * part of the transaction, and not to be altered. */
RecordList record_list(ApiContext *ctx, const char *prefix);

/* The same by type and id. */
json_t *spec_get(ApiContext *ctx, ResourceType type, const char *id);
void spec_put(ApiContext *ctx, ResourceType type, const char *id, json_t *spec);
void spec_delete(ApiContext *ctx, ResourceType type, const char *id);
RecordList spec_list(ApiContext *ctx, ResourceType type);
json_t *status_get(ApiContext *ctx, ResourceType type, const char *id); /* NULL: none yet */
/* Puts a new spec with created_ms, generation 1 and its tags. */
void spec_create(ApiContext *ctx, ResourceType type, const char *id, json_t *spec,
                 const json_t *tags);
/* Puts a changed spec under a new generation. */
void spec_change(ApiContext *ctx, ResourceType type, const char *id, json_t *spec);

/* To be called by every handler that adds a reference between records, and by every one that
 * deletes a record which others may refer to: it makes such changes follow one another even where
 * they touch different keys. */
void references_hold(ApiContext *ctx);

/* weir/join.c: tokens sign as access keys do, and only JoinHost. Whether a key is a token's id; its
 * secret, as long as it counts. */
bool join_is_token(Slice access_key);
NODISCARD bool join_secret(Api *api, Slice id, int64_t now_ms, Secret *ret_secret, Err *err);

/* ---- refusing
 * ------------------------------------------------------------------------------------
 */

/* Sets the fault and returns false. `code` is a code or shape of the service's table. */
PRINTF_LIKE(3, 4) bool refuse(ApiContext *ctx, const char *code, const char *format, ...);
/* The service's code for one of our own errors. */
bool refuse_err(ApiContext *ctx, const Err *err);
/* Under the service's code for a wrong input. */
PRINTF_LIKE(2, 3) bool refuse_invalid(ApiContext *ctx, const char *format, ...);
/* "Weir does not support %s yet: …" under the service's code for it. */
PRINTF_LIKE(2, 3) bool refuse_unsupported(ApiContext *ctx, const char *format, ...);

/* ---- inputs and outputs
 * --------------------------------------------------------------------------
 */

/* Members of an input; "" counts as absent. */
const char *input_str(const json_t *input, const char *member); /* NULL: absent */
bool input_flag(const json_t *input, const char *member);       /* absent: false */
/* The lower-case copy of a member; NULL: absent. */
char *input_lower(ApiContext *ctx, const json_t *input, const char *member);
char *text_lower(Arena *arena, const char *text);
/* A member that the operation cannot do without. */
NODISCARD bool input_required(ApiContext *ctx, const json_t *input, const char *member,
                              const char **ret_text);

/* Copies the input's members into the spec as the field table says, checks them, and fills in what
 * was not given. Members in `handled` (ended by NULL) are the handler's own; any other that the
 * table does not know is refused by name unless it asks for nothing. */
NODISCARD bool fields_create(ApiContext *ctx, ResourceType type, json_t *input,
                             const char *const *handled, json_t *spec);
/* The same for a change. What waits for ApplyImmediately goes to the spec's `pending`; with it,
 * what waited before comes up as well. */
NODISCARD bool fields_modify(ApiContext *ctx, ResourceType type, json_t *input,
                             const char *const *handled, bool immediately, json_t *spec);
/* Refuses what is neither in `handled` nor asks for nothing. */
NODISCARD bool fields_refuse_others(ApiContext *ctx, json_t *input, const char *const *handled);

/* A page of `items` by the input's Marker and MaxRecords (20 to 100, as given) as {member: page,
 * "Marker": …}. Takes `items`. */
NODISCARD bool page_output(ApiContext *ctx, const json_t *input, const char *member, json_t *items,
                           json_t **ret_output);
/* The same under other names. */
typedef struct PageWords {
    const char *marker; /* input and output */
    const char *limit;
} PageWords;
extern const PageWords page_marker; /* Marker, MaxRecords */
extern const PageWords page_token;  /* NextToken, MaxResults */
NODISCARD bool page_output_by(ApiContext *ctx, const PageWords *words, const json_t *input,
                              const char *member, json_t *items, json_t **ret_output);
/* The values of the filter `name`; NULL: not asked for. */
const json_t *filter_values(const json_t *input, const char *name);
bool filter_passes(const json_t *values, const char *text); /* values NULL: passes */
NODISCARD bool filters_check(ApiContext *ctx, const json_t *input, const char *const *known);

json_t *json_time(int64_t wall_ms);
/* A list of strings as a list of {member: string}. */
json_t *json_wrap_list(const json_t *strings, const char *member);
json_t *json_strings_copy(const json_t *strings); /* [] where it is no array */
/* {outer: inner}; takes inner. */
json_t *json_under(const char *outer, json_t *inner);

/* ---- tags
 * ----------------------------------------------------------------------------------------
 */

NODISCARD bool tags_check(ApiContext *ctx, const json_t *tags);
void tags_merge(json_t *spec, const json_t *tags); /* same key: the new value */
void tags_remove(json_t *spec, const json_t *keys);
json_t *tags_copy(const json_t *spec); /* [] where there are none */

/* ---- references
 * ----------------------------------------------------------------------------------
 */

/* The instance by identifier, DbiResourceId or ARN. NULL, with a fault: there is none. */
json_t *instance_find(ApiContext *ctx, const char *text);
/* The groups exist; absent or empty gives the default group. */
NODISCARD bool security_groups_resolve(ApiContext *ctx, const json_t *ids, json_t *spec,
                                       const char *member);
json_t *security_group_get(ApiContext *ctx, const char *group_id); /* NULL: there is none */
/* The spec of the subnet group, or of the default one (made up). NULL: none; get sets a fault. */
json_t *subnet_group_find(ApiContext *ctx, ResourceType type, const char *name);
json_t *subnet_group_get(ApiContext *ctx, ResourceType type, const char *name);
/* Whether an instance or replication group of this version may use the group; `name` NULL gives
 * the default one. Puts the group's name into the spec. */
NODISCARD bool parameter_group_resolve(ApiContext *ctx, ResourceType type, const char *name,
                                       const char *engine, const char *version, json_t *spec,
                                       const char *member);
/* The first id of a spec of `user` whose `member` is or holds `name`; NULL: nobody. */
const char *user_of(ApiContext *ctx, ResourceType user, const char *member, const char *name);
EngineVersions engine_versions(ApiContext *ctx);
/* Seals under the key of the spec. Adds to the context's arena. */
const char *seal_for(ApiContext *ctx, const char *key, Slice plain);

/* The shape of subnets that RDS and ElastiCache share. */
json_t *subnets_view(ApiContext *ctx, const json_t *subnet_ids);

/* ---- operations
 * ----------------------------------------------------------------------------------
 */

/* ret_output: a new reference, or left alone where the operation returns nothing. */
typedef bool ApiHandler(ApiContext *ctx, json_t *input, json_t **ret_output);

typedef struct ApiOperation {
    const char *service;
    const char *operation;
    ApiHandler *handler;
    bool writes;
} ApiOperation;

extern const ApiOperation api_operations[];
extern const size_t api_operations_len;
const ApiOperation *api_operation_find(const char *service, const char *operation);

/* http/listen.c */
NODISCARD bool api_http_start(Api *api, Err *err);

/* replay.c */
ReplayCache *replay_new(void);
void replay_free(ReplayCache *cache);
/* Fills the reply from an earlier one to the same call, if there was one within REPLAY_MS. */
bool replay_find(ReplayCache *cache, const char *key, int64_t now_ms, ApiReply *reply);
void replay_add(ReplayCache *cache, const char *key, int64_t now_ms, const ApiReply *reply);

#endif
