/*
 * tf: the Terraform language. Texts and variable values in, resource instances, their attributes
 * and diagnostics out. Pure: no files, no environment, no clock; the caller hands in everything,
 * and everything lives in the arena that it hands in.
 *
 * The way of a file: tf_load parses all sources, checks them against the schema, resolves
 * references, finds cycles, expands count and for_each, and evaluates everything that can be known.
 * It reports every error of every source in one run. Then, for each instance in the order that
 * tf_instances gives: tf_evaluate, act, tf_set_attributes with what came back; what depends on it
 * is then known. At the end tf_outputs.
 *
 * Language: HCL native syntax and its JSON form as of Terraform 1.11, without data sources, modules
 * and everything that reads files or the clock; what is not supported is refused with its position.
 * Differences that remain: numbers are int64 or double (Terraform: 512 bits), string lengths count
 * code points (Terraform: grapheme clusters), lists and tuples are one kind, and so are maps and
 * objects.
 */
#ifndef WEIR_TF_H
#define WEIR_TF_H

#include "base/base.h"

/* ---- limits ------------------------------------------------------------------------------- */

#define TF_SOURCE_MAX       ((size_t)1 << 20) /* bytes of one source or input */
#define TF_SOURCES_MAX      256
#define TF_INPUTS_MAX       1024
#define TF_DEPTH_MAX        120               /* nesting of expressions, blocks, templates, types */
#define TF_BODY_ITEMS_MAX   2048              /* arguments and blocks of one body */
#define TF_DECLARATIONS_MAX 8192              /* resources, variables, locals and outputs */
#define TF_INSTANCES_MAX    1024              /* of one resource, from count or for_each */
#define TF_VALUE_BYTES_MAX  ((size_t)1 << 20) /* of one string */
#define TF_STEPS_MAX        ((uint64_t)1 << 20) /* work of one tf_load or tf_evaluate */
#define TF_DIAGNOSTICS_MAX  100                 /* further errors are counted, not kept */

/* ---- values ------------------------------------------------------------------------------- */

typedef enum TfKind {
    TF_NULL,
    TF_BOOL,
    TF_NUMBER,
    TF_STRING,
    TF_LIST,
    TF_SET,    /* its items are sorted and differ from one another */
    TF_OBJECT, /* maps too */
    TF_UNKNOWN /* known after apply */
} TfKind;

/* `integer` is the number when `exact`; `real` is always the nearest double, and finite. */
typedef struct TfNumber {
    bool exact;
    int64_t integer;
    double real;
} TfNumber;

typedef struct TfValue TfValue;

typedef struct TfMember {
    Slice name; /* a NUL stands behind it */
    const TfValue *value;
} TfMember;

/* Immutable. Make them with the functions below, which keep the holds_ flags and the order right.
 */
struct TfValue {
    TfKind kind;
    bool sensitive;       /* neither it nor what is in it may be shown */
    bool holds_sensitive; /* it, or something in it, is sensitive */
    bool holds_unknown;   /* it, or something in it, is unknown */
    int depth;            /* levels of lists and objects: 0 without any */
    union {
        bool boolean;
        TfNumber number;
        Slice string; /* a NUL stands behind it */
        struct {
            const TfValue *const *items;
            size_t len;
        } list; /* and set */
        struct {
            const TfMember *members; /* sorted by name, each name once */
            size_t len;
        } object;
    };
};

const TfValue *tf_null(void);
const TfValue *tf_unknown(void);
const TfValue *tf_bool(bool boolean);
const TfValue *tf_int(Arena *arena, int64_t integer);
const TfValue *tf_real(Arena *arena, double real); /* whole ones become exact; must be finite */
const TfValue *tf_string(Arena *arena, Slice text);
const TfValue *tf_list(Arena *arena, const TfValue *const *items, size_t len);
const TfValue *tf_set(Arena *arena, const TfValue *const *items, size_t len); /* sorts */
/* Sorts; of equal names the last counts. Names are copied. */
const TfValue *tf_object(Arena *arena, const TfMember *members, size_t len);
/* The same value, marked sensitive when `sensitive`. */
const TfValue *tf_mark(Arena *arena, const TfValue *value, bool sensitive);

/* The member's value; NULL when there is none or `object` is none. */
const TfValue *tf_get(const TfValue *object, const char *name);
/* Equal kinds and contents; marks do not count. An unknown equals nothing. */
bool tf_equal(const TfValue *a, const TfValue *b);

/* As Terraform writes it in a plan: "text", 60, ["a"], {a = 1}, (sensitive), (known after apply).
 * Strings are escaped, so that it is one line and safe on a terminal. */
void tf_show(const TfValue *value, Buf *out);
/* JSON with sorted names. Sensitive values appear as they are: for machines, not for eyes. Unknown
 * ones cannot be written: false, and `out` holds a part. */
NODISCARD bool tf_to_json(const TfValue *value, Buf *out);
NODISCARD bool tf_from_json(Arena *arena, Slice json, const TfValue **ret_value, Err *err);

/* ---- positions and diagnostics ------------------------------------------------------------- */

typedef struct TfFile TfFile;

/* A place in a source; file == NULL is nowhere. */
typedef struct TfPos {
    const TfFile *file;
    size_t offset;
} TfPos;

const char *tf_pos_file(TfPos pos); /* NULL for nowhere */
int tf_pos_line(TfPos pos);         /* from 1; 0 for nowhere */
int tf_pos_column(TfPos pos);       /* from 1, in code points; 0 for nowhere */

typedef enum TfSeverity { TF_ERROR, TF_WARNING } TfSeverity;

typedef struct TfDiagnostic {
    TfSeverity severity;
    TfPos pos;
    const char *file; /* NULL: not about a place in a text, and then line and column are 0 */
    int line;
    int column;
    const char *source_line; /* without line end and control characters; NULL without a place */
    const char *message;     /* one sentence without a full stop */
    const char *hint;        /* what to write instead, perhaps several lines; NULL for none */
} TfDiagnostic;

typedef struct TfDiagnostics {
    Arena *arena;
    VEC(TfDiagnostic) list; /* in the arena: never vec_done it */
    size_t errors;          /* dropped ones too */
    size_t dropped;         /* beyond TF_DIAGNOSTICS_MAX */
} TfDiagnostics;

void tf_diagnostics_init(TfDiagnostics *diagnostics, Arena *arena);
/* Adds one, unless the same stands there already. `hint` may be NULL; texts are copied. For errors
 * of the caller's too: "the API refused engine_version" at tf_instance_pos. */
void tf_diagnose(TfDiagnostics *diagnostics, TfSeverity severity, TfPos pos, const char *message,
                 const char *hint);
/* By file in the order of the sources, then by line; those without a place come first. */
void tf_diagnostics_sort(TfDiagnostics *diagnostics);
/* error: guide.tf:14: unknown argument "engin" in aws_db_instance
 *   14 |   engin = "postgres"
 *      did you mean "engine"?                                        */
void tf_diagnostic_format(const TfDiagnostic *diagnostic, Buf *out);
void tf_diagnostics_format(const TfDiagnostics *diagnostics, Buf *out);
/* What of `names` is so near to `name` that it was probably meant; NULL when nothing is. */
const char *tf_nearest(const char *name, const char *const *names, size_t names_len);

/* ---- schema: what resource types there are, given by the caller ----------------------------- */

typedef enum TfType {
    TF_TYPE_STRING,
    TF_TYPE_NUMBER,
    TF_TYPE_INTEGER,
    TF_TYPE_BOOL,
    TF_TYPE_STRING_LIST,
    TF_TYPE_STRING_SET,
    TF_TYPE_STRING_MAP,
    TF_TYPE_ANY, /* kept as written */
} TfType;

enum {
    TF_REQUIRED = 1 << 0,
    TF_COMPUTED = 1 << 1,  /* known after apply where it is not set */
    TF_READ_ONLY = 1 << 2, /* computed, and must not be set */
    TF_SENSITIVE = 1 << 3, /* always marked, whatever was written */
};

typedef struct TfAttribute {
    const char *name;
    TfType type;
    unsigned flags;      /* none: optional, null where it is not set */
    const char *refused; /* known to Terraform, not to us: why, or what to write instead */
} TfAttribute;

/* The arguments and nested blocks of a resource or of a block. */
typedef struct TfSchema {
    const TfAttribute *attributes;
    size_t attributes_len;
    const struct TfBlockType *blocks;
    size_t blocks_len;
} TfSchema;

/* A nested block; its value is a list of objects, whatever the maximum. */
typedef struct TfBlockType {
    const char *name;
    TfSchema schema;
    size_t min;
    size_t max;       /* 0: any number */
    bool as_argument; /* NAME = [{…}] is accepted too */
    bool computed;    /* unknown instead of empty where it is not written */
    const char *refused;
} TfBlockType;

typedef struct TfResourceType {
    const char *name;
    TfSchema schema;
} TfResourceType;

/* ---- loading ------------------------------------------------------------------------------ */

/* A configuration text. A name that ends in .json holds the JSON syntax. */
typedef struct TfSource {
    const char *name; /* as shown in diagnostics */
    Slice text;
} TfSource;

typedef enum TfInputFrom {
    TF_FROM_OPTION,      /* --var: the variable must be declared */
    TF_FROM_ENVIRONMENT, /* TF_VAR_NAME: others are none of our business */
    TF_FROM_FILE,        /* a whole tfvars text: undeclared ones give a warning */
    TF_FROM_GENERATED,   /* as ENVIRONMENT, and the text is always the string itself */
} TfInputFrom;

/* A value for one variable, or a tfvars text (in JSON when its origin ends in .json). */
typedef struct TfInput {
    TfInputFrom from;
    const char *origin; /* as shown in diagnostics: "--var", "TF_VAR_db_password", a file name */
    const char *name;   /* of the variable; NULL for a file */
    Slice text;
} TfInput;

typedef struct TfConfig {
    const TfSource *sources;
    size_t sources_len;
    const TfInput *inputs; /* of several values for a variable the first counts */
    size_t inputs_len;
    const TfResourceType *types;
    size_t types_len;
} TfConfig;

typedef struct TfProgram TfProgram;

/* False when there is any error; the diagnostics are sorted either way and may hold warnings. All
 * texts are copied; the schema must live as long as the program. */
NODISCARD bool tf_load(Arena *arena, const TfConfig *config, TfDiagnostics *diagnostics,
                       TfProgram **ret_program);

/* A sensitive variable that has no value and no default. Its value is unknown in this program: make
 * one, and load again with it as an input from TF_FROM_GENERATED. */
typedef struct TfNeed {
    const char *name;
    const char *description; /* NULL for none */
    TfPos pos;
} TfNeed;

const TfNeed *tf_needs(const TfProgram *program, size_t *ret_len);

/* ---- instances ----------------------------------------------------------------------------- */

typedef enum TfKeyKind { TF_KEY_NONE, TF_KEY_COUNT, TF_KEY_EACH } TfKeyKind;

typedef struct TfInstance {
    const char *address;  /* aws_db_instance.read_replica[0], or …["key"] */
    const char *resource; /* aws_db_instance.read_replica */
    const TfResourceType *type;
    const char *name;
    TfKeyKind key_kind;
    int64_t count_index;
    const char *each_key;
    TfPos pos;                               /* of the resource block */
    const struct TfInstance *const *depends; /* all that must be there before it */
    size_t depends_len;
    bool prevent_destroy;
    bool ignore_all_changes;
    const char *const *ignore_changes; /* names of arguments and blocks */
    size_t ignore_changes_len;
} TfInstance;

/* In an order in which each stands behind all that it depends on. */
const TfInstance *const *tf_instances(const TfProgram *program, size_t *ret_len);
const TfInstance *tf_instance_find(const TfProgram *program, const char *address);

/* What is written for the instance, converted to the types of the schema: an object of the
 * arguments that are set (null ones are left out) and, for each kind of block that is written, a
 * list of objects. Unknown where it depends on what is not applied yet. */
NODISCARD bool tf_evaluate(TfProgram *program, const TfInstance *instance,
                           TfDiagnostics *diagnostics, const TfValue **ret_attributes);

/* What the instance is now, for those that refer to it: attributes in `object` count as they are,
 * others as written, others are null. Before this call others are unknown where they are computed.
 */
void tf_set_attributes(TfProgram *program, const TfInstance *instance, const TfValue *object);

/* Where an attribute of the instance is written. `path` is "engine", "auth" (the first such block)
 * or "auth.0.iam_auth"; what is not written gives the place of what surrounds it. */
TfPos tf_instance_pos(const TfInstance *instance, const char *path);

/* ---- outputs ------------------------------------------------------------------------------- */

typedef struct TfOutput {
    const char *name;
    const char *description; /* NULL for none */
    const TfValue *value;    /* sensitive when the output says so */
    TfPos pos;
} TfOutput;

/* In the order of their names. */
NODISCARD bool tf_outputs(TfProgram *program, TfDiagnostics *diagnostics,
                          const TfOutput **ret_outputs, size_t *ret_len);

#endif
