/*
 * model: what resources are. Their records (docs/records.md), names and identities, the classes of
 * machines, the engines' parameters, engine versions, and a table of fields per resource. All of it
 * is pure: no store, no clock, no thread; facts of the tier and of the host are arguments. The
 * caller owns every json_t it passes; a returned json_t * is borrowed unless its name ends in _new.
 *
 * Texts of errors are those of AWS where AWS has one, so that api can hand them on.
 */
#ifndef WEIR_MODEL_H
#define WEIR_MODEL_H

#include <jansson.h>

#include "base/base.h"

/* ---- members of records -----------------------------------------------------------------------
 */

/* A member that is absent, null or of another type gives the fallback. `record` may be NULL. */
const char *member_str(const json_t *record, const char *member, const char *fallback);
int64_t member_int(const json_t *record, const char *member, int64_t fallback);
bool member_bool(const json_t *record, const char *member, bool fallback);
json_t *member_array(const json_t *record, const char *member);  /* NULL where there is none */
json_t *member_object(const json_t *record, const char *member); /* NULL where there is none */
/* Whether the array `member` holds the string. */
bool member_has(const json_t *record, const char *member, const char *text);

/* ---- types of resources and their keys ----------------------------------------------------------
 */

typedef enum ResourceType {
    RESOURCE_DB_INSTANCE,
    RESOURCE_DB_SUBNET_GROUP,
    RESOURCE_DB_PARAMETER_GROUP,
    RESOURCE_DB_PROXY,
    RESOURCE_DB_PROXY_ENDPOINT,
    RESOURCE_DB_PROXY_OPTIONS, /* what AWS has no word for; the id is the proxy's */
    RESOURCE_SECURITY_GROUP,
    RESOURCE_SECRET,
    RESOURCE_REPLICATION_GROUP,
    RESOURCE_CACHE_SUBNET_GROUP,
    RESOURCE_CACHE_PARAMETER_GROUP,
} ResourceType;
#define RESOURCE_TYPES 11

const char *resource_type_name(ResourceType type); /* "db-instance" */
bool resource_type_parse(Slice name, ResourceType *ret_type);

/* Keys of the store. A byte of an id that a key cannot hold as it is ('/', ' ' and others in the
 * names of secrets and subnet groups, and '%') is written as %XX. ERR_LIMIT: longer than a key may
 * be. */
#define MODEL_KEY_SIZE 513
NODISCARD bool spec_key(ResourceType type, const char *id, char out[static MODEL_KEY_SIZE],
                        Err *err);
NODISCARD bool status_key(ResourceType type, const char *id, char out[static MODEL_KEY_SIZE],
                          Err *err);
/* "secretvalue/NAME/VERSION"; version "" gives the prefix of them all. The key is also the context
 * that the value is sealed under. */
NODISCARD bool secret_value_key(const char *secret_name, const char *version,
                                char out[static MODEL_KEY_SIZE], Err *err);

/* Where a relay lets processes of other hosts in (docs/hosts.md), at its instance's address: a port
 * below what an instance's own may be; and the name in the certificate that they show. */
#define LINK_PORT   1149
#define LINK_CLIENT "weir-plane"

/* ---- identity -----------------------------------------------------------------------------------
 */

#define MODEL_ACCOUNT_ID "000000000000"

/* Of the tier record; everything that names of resources depend on. */
typedef struct TierFacts {
    const char *account;
    const char *region;
    const char *net; /* "127.5": addresses, on the host that is asked, are net.0.0/16 */
} TierFacts;

/* `name` is what the ARN ends in: the identifier; of proxies and their endpoints their resource id
 * (prx-…), of secrets name and suffix, of security groups the group id. */
char *arn_make(Arena *arena, const TierFacts *tier, ResourceType type, const char *name);
/* Kinds of ARN that are no resource of their own. */
char *arn_make_target_group(Arena *arena, const TierFacts *tier, const char *resource_id);
char *arn_make_cache_cluster(Arena *arena, const TierFacts *tier, const char *cluster_id);
/* Of this tier and of one of the types above: ret_name is what arn_make was given. ERR_INVALID with
 * AWS's text otherwise. */
NODISCARD bool arn_parse(const TierFacts *tier, Slice arn, ResourceType *ret_type, Slice *ret_name,
                         Err *err);

/* Made once, when a resource is created. */
#define MODEL_ID_SIZE 40
void dbi_resource_id_make(char out[static MODEL_ID_SIZE]);   /* db- and 26 of [a-z0-9] */
void security_group_id_make(char out[static MODEL_ID_SIZE]); /* sg- and 17 hex digits */
void security_rule_id_make(char out[static MODEL_ID_SIZE]);  /* sgr- and 17 hex digits */
void proxy_resource_id_make(char out[static MODEL_ID_SIZE]); /* prx- and 17 hex digits */
void proxy_endpoint_id_make(char out[static MODEL_ID_SIZE]); /* prx-endpoint- and 17 hex digits */
void target_group_id_make(char out[static MODEL_ID_SIZE]);   /* prx-tg- and 17 hex digits */
void secret_suffix_make(char out[static MODEL_ID_SIZE]);     /* 6 of [a-z0-9] */
void uuid_make(char out[static MODEL_ID_SIZE]);              /* RFC 9562, version 4 */

/* The network is a fixed fact: one default VPC with a subnet in each of three zones. */
#define MODEL_VPC_ID                    "vpc-00000000000000001"
#define MODEL_VPC_CIDR                  "127.0.0.0/8"
#define MODEL_DEFAULT_SECURITY_GROUP_ID "sg-00000000000000001"
#define MODEL_ZONES                     "abc"
#define MODEL_SUBNETS                   3

typedef struct Subnet {
    const char *id;
    char zone; /* of MODEL_ZONES */
} Subnet;

extern const Subnet model_subnets[MODEL_SUBNETS];
const Subnet *subnet_find(Slice id); /* NULL where there is none */
#define MODEL_CIDR_SIZE 24
void subnet_cidr(const Subnet *subnet, const char *net, char out[static MODEL_CIDR_SIZE]);
char *zone_name(Arena *arena, const TierFacts *tier, char zone); /* "eu-west-1a" */
/* The letter of a zone's name ("a" or "eu-west-1a"); 0 where it is none of this tier's. */
char zone_parse(const TierFacts *tier, Slice name);
/* "1.7" in records is net.1.7. False where it is not two numbers. */
#define MODEL_ADDRESS_SIZE 16
NODISCARD bool endpoint_address(const char *net, const char *host,
                                char out[static MODEL_ADDRESS_SIZE]);

/* Hosts of a tier (docs/hosts.md). */
#define HOSTS_MAX         16
#define HOST_NAME_ALONE   "local" /* the first one, where nobody called it anything else */
#define HOST_NAME_SIZE    17      /* with the NUL: paths of sockets are short */
#define HOST_ENGINES_SIZE 96
#define HOST_NET_SIZE     8 /* "10.255" */
/* The record of how often a copy of the tier's store became its store, because the hosts that
 * decide were lost: `count`. Of two stores of one tier the one where that is less is the past. */
#define TIER_RECOVERED_KEY "recovered"
/* ERR_INVALID says what is wrong. A name is small letters, digits and hyphens; a zone one of
 * MODEL_ZONES; a net the first two numbers of a /16, or "" where one of 127/8 is to be found. */
NODISCARD bool host_name_check(const char *name, Err *err);
NODISCARD bool host_zone_check(const char *zone, Err *err);
NODISCARD bool host_net_check(const char *net, Err *err);
bool host_net_is_loopback(const char *net); /* which no other machine reaches */

/* What a resource without one of its own uses. Neither is in the store. */
json_t *default_security_group_new(void); /* the spec of the VPC's default group */
char *default_parameter_group(Arena *arena, const char *family); /* "default.postgres15" */
#define MODEL_DEFAULT_SUBNET_GROUP "default"

/* ---- what users may write
 * ------------------------------------------------------------------------
 */

/* Identifiers and names of each type, as the user writes them (lower-casing is api's). `parameter`
 * is the input member that the message names. */
NODISCARD bool identifier_check(ResourceType type, const char *parameter, Slice text, Err *err);
NODISCARD bool master_username_check(Slice text, Err *err);
NODISCARD bool master_password_check(Slice text, Err *err);
NODISCARD bool db_name_check(Slice text, Err *err);
NODISCARD bool auth_token_check(Slice text, Err *err);
NODISCARD bool maintenance_window_check(Slice text, Err *err); /* ddd:hh24:mi-ddd:hh24:mi */
NODISCARD bool daily_window_check(const char *parameter, Slice text, int minutes_min, Err *err);
/* IPv4 or IPv6 with a prefix length, no host bits. */
NODISCARD bool cidr_check(Slice text, bool ipv6, Err *err);

/* ---- classes of machines
 * -------------------------------------------------------------------------
 */

typedef struct InstanceClass {
    char name[32]; /* "db.r6g.large", "cache.t4g.micro" */
    int vcpus;
    int64_t memory_bytes; /* db: of the machine; cache: ElastiCache's maxmemory of the node type */
} InstanceClass;

/* ERR_INVALID: unknown; the message names classes near to it. */
NODISCARD bool instance_class_find(const char *name, InstanceClass *ret_class, Err *err);
/* Walks the classes whose name starts with `prefix` ("db." or "cache."): start with *cursor = 0,
 * ends with false. */
bool instance_class_next(const char *prefix, size_t *cursor, InstanceClass *ret_class);

/* What one of `engines` engines on a host may use: the class's memory, or an equal share of three
 * quarters of the host where that is less. `note` says so in one line, or is empty. A share moves
 * with the number of engines; who starts an engine computes it once and keeps it. */
#define MODEL_NOTE_SIZE 160
int64_t memory_share(const InstanceClass *class, int64_t host_memory_bytes, int engines,
                     char note[static MODEL_NOTE_SIZE]);

/* ---- formulas of parameter values
 * ----------------------------------------------------------------
 */

typedef struct FormulaFacts {
    int64_t memory_bytes;  /* DBInstanceClassMemory */
    int vcpus;             /* DBInstanceVCPU */
    int64_t storage_bytes; /* AllocatedStorage */
    int port;              /* EndPointPort */
} FormulaFacts;

/* RDS's language: integers, {…} with * / + - ( ) log(), variables, LEAST GREATEST SUM. Numbers are
 * real inside braces and cut to an integer where the braces end. Depth at most 16, 256 bytes. */
bool formula_is(Slice text); /* has a brace or a function: not a plain value */
NODISCARD bool formula_eval(Slice text, const FormulaFacts *facts, int64_t *ret_value, Err *err);

/* ---- parameters
 * ----------------------------------------------------------------------------------
 */

typedef enum ParameterType {
    PARAMETER_BOOLEAN,
    PARAMETER_INTEGER,
    PARAMETER_REAL,
    PARAMETER_ENUM,
    PARAMETER_STRING,
    PARAMETER_LIST, /* words parted by commas */
} ParameterType;

typedef struct ParameterInfo {
    const char *name; /* lower case */
    ParameterType type;
    bool is_static;        /* takes effect with the next restart (pending-reboot) */
    bool standby_at_least; /* a standby's value must not be below its primary's */
    const char *unit;      /* "8kB", "ms", ... or "" */
    const char *allowed;   /* AWS's AllowedValues: "1-100", "0,1", "on,off,auto"; "" any text */
    double min, max;       /* of numbers */
    const char *engine_default; /* "" where the engine has none */
    const char *family_default; /* a value or a formula; NULL: the engine's */
    const char *refusal;        /* why nobody may set it; NULL where it can be set */
} ParameterInfo;

/* A family is "postgres15" or "redis7". */
typedef struct ParameterFamily {
    const char *name;
    const char *engine;         /* "postgres", "redis" */
    const char *major;          /* "15", "7" */
    const ParameterInfo *infos; /* by name, as strcmp orders */
    size_t len;
} ParameterFamily;

/* Families that Weir has a table for. NULL: unknown. */
const ParameterFamily *parameter_family_find(const char *name);
/* The table that serves engine and version ("postgres", "15.18"); NULL: none. */
const ParameterFamily *parameter_family_of(const char *engine, const char *version);
bool parameter_family_next(size_t *cursor, const ParameterFamily **ret_family);
const ParameterInfo *parameter_find(const ParameterFamily *family, const char *name);

/* Whether a user may set it so. ERR_UNSUPPORTED: refused by name, with the reason; ERR_INVALID:
 * unknown, out of range, or a formula that cannot be read. */
NODISCARD bool parameter_check(const ParameterFamily *family, const char *name, const char *value,
                               Err *err);

/* Whether what the group sets suits an instance: with a standby no synchronous_commit below on,
 * and warnings are sent.
 * `parameters` is the object of a group's spec, or NULL. ERR_UNSUPPORTED with the reason. */
NODISCARD bool parameters_check_multi_az(const json_t *parameters, Err *err);

/* The settings that an engine starts with beyond its own defaults: the family's defaults under the
 * group's `parameters` (the object of its spec, or NULL), formulas computed and kept within their
 * range, each value as the engine's configuration file takes it, without quotes. Redis: what
 * ElastiCache splits is one setting again, and "maxmemory" is there. What is Weir's own ("rds.…",
 * "weir.…") is not among them: see parameter_value. The object is the caller's. */
NODISCARD bool parameters_resolve_new(const ParameterFamily *family, const json_t *parameters,
                                      const FormulaFacts *facts, json_t **ret_settings, Err *err);
/* The value as it stands: the group's, else the family's default, else the engine's. NULL: the
 * family has no such parameter. */
const char *parameter_value(const ParameterFamily *family, const json_t *parameters,
                            const char *name);
/* weir.durable of Redis: "off", "available", "strict". */
const char *parameters_durable(const ParameterFamily *family, const json_t *parameters);
/* rds.force_ssl: whether the instance's endpoint refuses clients without TLS. */
bool parameters_force_ssl(const ParameterFamily *family, const json_t *parameters);

/* ---- engine versions
 * -----------------------------------------------------------------------------
 */

typedef struct InstalledVersion {
    const char *engine;  /* "postgres", "redis" */
    const char *version; /* "15.18", "7.0.15" */
} InstalledVersion;

typedef struct EngineVersions {
    const InstalledVersion *items;
    size_t len;
    const char
        *map; /* the operator's opt-in "14=15,13=15": major asked for = major used; or NULL */
} EngineVersions;

/* "", a major, or a full version -> the installed one; `requested` that only the map can serve sets
 * *ret_mapped. ERR_INVALID with the list of what is installed. */
#define MODEL_VERSION_SIZE 24
NODISCARD bool engine_version_resolve(const EngineVersions *versions, const char *engine,
                                      const char *requested, char ret_version[MODEL_VERSION_SIZE],
                                      bool *ret_mapped, Err *err);
/* "14=15,13=15": majors only. */
NODISCARD bool engine_version_map_check(const char *text, Err *err);
/* The major of a version: "15" of "15.18", "7" of "7.0.15" (families name no minor). */
void engine_major(const char *version, char out[static MODEL_VERSION_SIZE]);
/* A group's family as it counts for compatibility: after the operator's map ("postgres14" is
 * "postgres15" under "14=15"). NULL: a family that no installed engine has. */
const ParameterFamily *engine_family_resolve(const EngineVersions *versions, const char *family,
                                             Err *err);

/* ---- fields
 * --------------------------------------------------------------------------------------
 */

typedef enum FieldType {
    FIELD_STRING,
    FIELD_INTEGER,
    FIELD_BOOLEAN,
    FIELD_LIST,
    FIELD_OBJECT,
    FIELD_SECRET, /* never in a record as it came */
} FieldType;

typedef enum FieldChange {
    CHANGE_NEVER,     /* create only */
    CHANGE_IMMEDIATE, /* at once, whatever ApplyImmediately says */
    CHANGE_PENDING,   /* at once with ApplyImmediately, else kept in `pending` */
} FieldChange;

typedef enum FieldEffect {
    EFFECT_NOW,
    EFFECT_NOT_YET, /* kept and given back as set; `note` says what does not happen */
    EFFECT_REFUSED, /* only `fallback` (or nothing) is accepted; `note` says why */
} FieldEffect;

typedef struct FieldInfo {
    const char *name;      /* in the spec: AWS's output member where there is one */
    const char *create;    /* the create operation's member; NULL: not an input */
    const char *modify;    /* the modify operation's member; NULL: none */
    const char *attribute; /* Terraform's attribute; NULL: none */
    FieldType type;
    FieldChange change;
    FieldEffect effect;
    int64_t min, max;     /* of integers; both 0: any */
    const char *fallback; /* JSON text of the value when it is not given; NULL: absent */
    const char *neutral;  /* NOT_YET: the value that asks for nothing; NULL: the fallback */
    const char *note;
} FieldInfo;

const FieldInfo *model_fields(ResourceType type, size_t *ret_len);
const FieldInfo *field_find(ResourceType type, const char *name);

/* The value's type, range and effect. ERR_INVALID, or ERR_UNSUPPORTED where it is refused by name.
 */
NODISCARD bool field_check(const FieldInfo *field, const json_t *value, Err *err);
/* A new reference to the fallback, or NULL where the field has none. */
json_t *field_fallback_new(const FieldInfo *field);

/* Walks the fields of a spec that are set and do not have their effect yet: start with *cursor = 0,
 * ends with NULL. */
const FieldInfo *field_not_in_effect(ResourceType type, const json_t *spec, size_t *cursor);

/* ---- life cycle
 * ----------------------------------------------------------------------------------
 */

/* The status to show. Control's word counts only while it speaks of the spec's generation: a spec
 * that it has not seen yet is "creating" or "modifying", whatever the record says. */
const char *resource_status(ResourceType type, const json_t *spec, const json_t *status);

/* ---- records as text, and events ----------------------------------------------------------------
 */

/* A JSON object; the caller owns it. ERR_INVALID says where the text goes wrong. */
NODISCARD bool record_parse(Slice text, json_t **ret_record, Err *err);
/* Compact, members in the order of their names: equal records give equal texts. NUL behind it. */
Slice record_format(Arena *arena, const json_t *record);
void record_free_ptr(json_t **record); /* for CLEANUP */

/* What happened to a resource, with its key in the store. A new record each time: keys of the same
 * millisecond differ by chance. The caller owns it; the key is from the arena. */
json_t *event_new(Arena *arena, int64_t now_ms, ResourceType type, const char *id,
                  const char *category, const char *message, const char **ret_key);

/* What RDS says, too: whoever says it begins so, and event_rds_id knows it by that. */
#define EVENT_INSTANCE_DELETED   "DB instance deleted"
#define EVENT_INSTANCE_CREATED   "DB instance created"
#define EVENT_INSTANCE_RESTARTED "DB instance restarted"
#define EVENT_INSTANCE_STOPPED   "DB instance stopped"
#define EVENT_INSTANCE_STARTED   "DB instance started"
#define EVENT_FAILOVER_STARTED   "Multi-AZ instance failover started"
#define EVENT_FAILOVER_COMPLETED "Multi-AZ instance failover completed"
#define EVENT_PROXY_CREATED      "RDS created DB proxy "
#define EVENT_PROXY_DELETED      "RDS deleted DB proxy "
#define EVENT_ENDPOINT_CREATED   "RDS created endpoint "
#define EVENT_ENDPOINT_DELETED   "RDS deleted endpoint "
#define EVENT_TARGET_ADDED       "RDS detected the addition of "
#define EVENT_TARGET_REMOVED     "RDS detected the deletion of "
/* Its id of an event's record, "RDS-EVENT-0049"; NULL: it has no such event. */
const char *event_rds_id(const json_t *event);

#endif
