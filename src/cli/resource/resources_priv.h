/*
 * What plan and apply know of each type of resource: its schema, how it is found at the API and
 * read into Terraform's attributes, and which calls make, change and remove it. Nothing here
 * decides what is to be done: that is plan_priv.h's.
 *
 * Three forms of a resource meet here. *Desired* is what the files say, *present* what the API
 * says, both as an object of Terraform's attributes; *described* is the API's own shape.
 */
#ifndef WEIR_CLI_RESOURCES_PRIV_H
#define WEIR_CLI_RESOURCES_PRIV_H

#include <jansson.h>

#include "aws/aws.h"
#include "model/model.h"
#include "tf/tf.h"

/* ---- calls ----------------------------------------------------------------------------------- */

/* The API, or what a test puts in its place; the contract of client_call. */
typedef struct Caller {
    bool (*call)(void *context, const char *service, const char *operation, const json_t *input,
                 json_t **ret_output, AwsFault *fault, Err *err);
    void *context;
} Caller;

/* One call. `fault` and `ret_output` (the caller's to free) may be NULL. */
NODISCARD bool caller_call(const Caller *caller, const char *service, const char *operation,
                           json_t *input_taken, json_t **ret_output, AwsFault *fault, Err *err);
/* The same where what the call asks for may not be there: *ret_output is NULL then. */
NODISCARD bool caller_find(const Caller *caller, const char *service, const char *operation,
                           json_t *input_taken, json_t **ret_output, Err *err);
/* The items of all pages, as an array that the caller owns; empty where nothing is there. */
NODISCARD bool caller_list(const Caller *caller, const char *service, const char *operation,
                           json_t *input_taken, const char *member, json_t **ret_items, Err *err);

/* ---- values ---------------------------------------------------------------------------------- */

/* A new reference to what stands at the path, NULL where nothing does. Parts are parted by points:
 * a member, an index, or '*' for what follows of every item: "Subnets.*.SubnetIdentifier". */
json_t *path_value_new(const json_t *root, const char *path);
/* As the schema's type says: a set is sorted. */
const TfValue *tf_from_value(Arena *arena, const json_t *value, TfType type);
/* The other way. Unknown parts are left out; nulls too. */
json_t *tf_to_value_new(const TfValue *value);
char *text_lower_new(Arena *arena, const char *text);

/* ---- parts of a value that are compared one by one ---------------------------------------------
 */

/* `label` is as a plan shows it: backup_window, tags["Environment"], parameter["work_mem"]. */
typedef struct Atom {
    const char *label;
    const TfValue *value;
} Atom;

typedef struct Atoms {
    Arena *arena;
    VEC(Atom) list; /* in the arena */
} Atoms;

void atoms_add(Atoms *atoms, const char *label, const TfValue *value); /* unless unset */
/* It is the API's to say: whatever it says will do. */
void atoms_leave_open(Atoms *atoms, const char *label);
const TfValue *atoms_find(const Atoms *atoms, const char *label); /* NULL: none */

/* ---- kinds ----------------------------------------------------------------------------------- */

enum {
    RULE_REPLACES = 1 << 0,   /* a change takes a new resource */
    RULE_LOWER = 1 << 1,      /* the API keeps it in lower case */
    RULE_VERSION = 1 << 2,    /* "15" is 15.18 too */
    RULE_DIGEST = 1 << 3,     /* the API does not give it back */
    RULE_OURS = 1 << 4,       /* says how to go about things: nothing of the resource */
    RULE_KEPT = 1 << 5,       /* ours, and kept as a tag: it counts when the block is gone */
    RULE_GROWS = 1 << 6,      /* may have grown past what the files say */
    RULE_KEY = 1 << 7,        /* part of the natural name */
    RULE_INSTANCE = 1 << 8,   /* names an instance: by identifier, resource id or ARN */
    RULE_SECRET = 1 << 9,     /* names a secret: by name or ARN */
    RULE_LATE = 1 << 10,      /* the API knows it only after a while */
    RULE_ONCE = 1 << 11,      /* counts when the resource is made, and may differ later */
    RULE_INHERITED = 1 << 12, /* a replica's, unless written, is its source's */
};

typedef struct KindAttribute {
    TfAttribute tf;
    unsigned rules;
    const char *output;   /* path in the described shape; NULL: not there, or read by hand */
    const char *fallback; /* JSON: what counts where it is neither written nor computed */
} KindAttribute;

/* Takes a block's list apart, or an attribute's value. */
typedef void (*KindSplit)(Atoms *atoms, const char *name, const TfValue *value);

typedef struct KindBlock {
    TfBlockType tf;
    KindSplit split; /* NULL: says how to go about things */
    unsigned rules;
} KindBlock;

typedef enum TagsAt { TAGS_NONE, TAGS_RDS, TAGS_CACHE, TAGS_EC2, TAGS_SECRET, TAGS_PROXY } TagsAt;

typedef struct ResourceKind ResourceKind;

/* One resource as it is. Lives in the arena of its list, except for the trees. */
typedef struct Present {
    const ResourceKind *kind;
    const char *key;         /* natural name, in lower case: what a block is matched by */
    const char *address;     /* of the block that made it; NULL: none did */
    const char *handle;      /* what its tags hang on: ARN or id */
    const char *status;      /* "" where there is none */
    const char *detail;      /* what the API has to say about the status; "" */
    const char *incarnation; /* differs once it is made anew; "" where nobody asks */
    json_t *attributes;      /* owned by the list */
    json_t *tags;            /* all of them, as an object; owned by the list */
    bool fixed; /* the tier's own, such as a default group: never changed, never removed */
} Present;

typedef struct PresentList {
    Arena *arena;
    VEC(Present *) list; /* in the arena */
} PresentList;

void present_list_init(PresentList *list, Arena *arena);
void present_list_done(PresentList *list);
/* Adds one with attributes read by the kind's paths from `described`, and with tags from a list of
 * {Key, Value} (both stay the caller's). Key, handle and status are the caller's to set. */
Present *present_add(PresentList *list, const ResourceKind *kind, const json_t *described,
                     const json_t *tags);
Present *present_find(const PresentList *list, const ResourceKind *kind, const char *key);

/* ---- remarks (remark.c)
 * ------------------------------------------------------------------------ */

/* What the API's remarks (ListRemarks) say of how a resource is; NULL: nothing. Borrowed. */
const char *remark_of_state(const json_t *remarks, ResourceType type, const char *id);

/* What was last said of one resource. Zero is a fresh one. */
typedef struct RemarkWatch {
    char *text; /* NULL: nothing was */
    int64_t since_ms;
    bool shown;
} RemarkWatch;

/* Whether the text, which may be NULL, is to be shown now: it has stood for a second, and was not
 * shown yet. */
bool remark_is_due(RemarkWatch *watch, const char *text, int64_t now_ms);
void remark_watch_done(RemarkWatch *watch);

/* What an action works with; all of it belongs to the worker while it runs. */
typedef struct Change {
    const Caller *caller;
    Arena *arena;
    const ResourceKind *kind;
    const char *address;
    const json_t *desired;  /* NULL when destroying */
    const Present *present; /* NULL when creating */
    const json_t *changed;  /* names of attributes and blocks, as an array; NULL when creating */
    AwsFault fault;         /* of the call that failed; code "" where none did */
} Change;

bool change_has(const Change *change, const char *name);

struct ResourceKind {
    const char *type; /* aws_db_instance */
    const char *noun; /* "DB instance" */
    int model;        /* ResourceType, or -1 */
    const KindAttribute *attributes;
    size_t attributes_len;
    const KindBlock *blocks;
    size_t blocks_len;
    const char *key[2];           /* attributes that make up the natural name */
    const char *parent_type;      /* it lives in one of these and goes with it; NULL: by itself */
    const char *parent_attribute; /* … the one that this attribute names */
    const char *const *ready;     /* statuses; NULL: it is ready once it is there */
    const char *const *failed;
    const char *const *busy_faults; /* of changes: later it will do */
    TagsAt tags;
    int destroy_rank; /* those of a lower one go first */
    bool holds_data;  /* replaced only on demand */
    bool by_key_only; /* is not listed by `read`, and not missed when its block is gone */
    int64_t timeout_ms;
    /* Adds those with the natural name, or all of them (NULL), to the list. */
    bool (*read)(const Caller *caller, const char *key, PresentList *list, Err *err);
    bool (*create)(Change *change, Err *err);
    bool (*update)(Change *change, Err *err);  /* tags are the caller's: change_tags */
    bool (*destroy)(Change *change, Err *err); /* NULL: it goes with its parent */
    /* Why it cannot be destroyed, in one sentence; NULL: it can. `present` as the API gave it. May
     * be NULL. */
    const char *(*destroy_refusal)(const Present *present);
};

extern const ResourceKind kind_db_instance;
extern const ResourceKind kind_db_subnet_group;
extern const ResourceKind kind_db_parameter_group;
extern const ResourceKind kind_db_proxy;
extern const ResourceKind kind_db_proxy_endpoint;
extern const ResourceKind kind_db_proxy_options;
extern const ResourceKind kind_db_proxy_target_group;
extern const ResourceKind kind_db_proxy_target;
extern const ResourceKind kind_security_group;
extern const ResourceKind kind_secret;
extern const ResourceKind kind_secret_version;
extern const ResourceKind kind_cache_subnet_group;
extern const ResourceKind kind_cache_parameter_group;
extern const ResourceKind kind_replication_group;

/* All kinds, instances and proxies before what refers to them. */
const ResourceKind *const *kinds_all(size_t *ret_len);
const ResourceKind *kind_find(const char *type); /* NULL: not ours */
const KindAttribute *kind_attribute(const ResourceKind *kind, const char *name);
const KindBlock *kind_block(const ResourceKind *kind, const char *name);
/* The model's field behind an attribute; NULL: none. */
const FieldInfo *kind_field(const ResourceKind *kind, const char *attribute);
/* The schema for tf_load: what the tables say, `timeouts`, and tags where there are any. */
const TfResourceType *kinds_schema(Arena *arena, size_t *ret_len);
/* An attribute's text as natural names have it: lower case, a secret by its name, an instance by
 * its identifier (looked up among `known`, which may be NULL). */
const char *kind_normal(Arena *arena, const KindAttribute *attribute, const char *text,
                        const PresentList *known);
/* The natural name of what is desired; NULL while a part of it is unknown or not set. */
const char *kind_key(Arena *arena, const ResourceKind *kind, const TfValue *desired,
                     const PresentList *known);
bool status_in(const char *const *statuses, const char *status);
bool present_is_ready(const Present *present);
bool present_has_failed(const Present *present);

/* ---- inputs ---------------------------------------------------------------------------------- */

/* What is desired, by the members of the operation's input that the model knows. */
json_t *input_create_new(const Change *change, const char *service, const char *operation);
/* The changed ones of them, by the members of the modify operation. */
json_t *input_modify_new(const Change *change, const char *service, const char *operation);
/* Copies desired[attribute] to input[member], where it is set. */
void input_set(json_t *input, const char *member, const Change *change, const char *attribute);
/* desired[attribute] or its fallback as text. */
const char *desired_str(const Change *change, const char *attribute, const char *fallback);
/* One call of a change; its fault is kept. */
NODISCARD bool change_call(Change *change, const char *service, const char *operation,
                           json_t *input_taken, json_t **ret_output, Err *err);

/* ---- tags ------------------------------------------------------------------------------------ */

#define TAG_ADDRESS       "weir:address"
#define TAG_PREFIX        "weir:"
#define TAG_TARGET_PREFIX "weir:target:" /* on a proxy, for its targets */

/* The tags of what is desired with Weir's own, as a list of {Key, Value}. */
json_t *tags_desired_new(const Change *change);
/* Makes the tags of what is present those that are desired. */
NODISCARD bool change_tags(Change *change, Err *err);
/* Whether Weir's own tags differ from what they have to be. */
bool tags_outdated(const Change *change);
/* What was kept as a tag, else the fallback. */
const char *kept_str(const Present *present, const char *attribute, const char *fallback);

/* ---- blocks ---------------------------------------------------------------------------------- */

void split_value(Atoms *atoms, const char *name, const TfValue *value); /* one atom */
void split_map(Atoms *atoms, const char *name, const TfValue *value);   /* name["key"] */
void split_parameters(Atoms *atoms, const char *name, const TfValue *value);
void split_rules(Atoms *atoms, const char *name, const TfValue *value);
void split_auth(Atoms *atoms, const char *name, const TfValue *value);
void split_pool(Atoms *atoms, const char *name, const TfValue *value);

#endif
