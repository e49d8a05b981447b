/*
 * Declarations, their graph, and evaluation.
 *
 * A node is what a name stands for: a variable, a local value, a resource (all its instances) or an
 * output. Nodes are evaluated in an order in which each stands behind all that it refers to, so
 * that a reference is a look at a value that is there, never a recursion.
 */
#ifndef WEIR_TF_EVAL_PRIV_H
#define WEIR_TF_EVAL_PRIV_H

#include "tf/ast_priv.h"
#include "tf/value_priv.h"

/* ---- nodes -------------------------------------------------------------------------------- */

typedef enum NodeKind { NODE_VARIABLE, NODE_LOCAL, NODE_RESOURCE, NODE_OUTPUT } NodeKind;

typedef struct Node Node;
typedef struct Instance Instance;
typedef VEC(Node *) NodeList;

typedef struct Validation {
    TfPos pos;
    Expr *condition;
    Expr *error_message;
} Validation;

typedef struct Variable {
    const Type *type;
    Expr *fallback; /* NULL: none */
    bool literal;   /* values from the command line are the text itself */
    bool sensitive;
    bool not_null;
    const char *description;
    VEC(Validation) validations;
} Variable;

typedef struct Output {
    bool sensitive;
    const Expr *depends_on; /* NULL: none */
    const char *description;
} Output;

typedef struct Resource {
    const TfResourceType *type; /* NULL: unknown, and reported */
    Body *body;                 /* without the meta arguments */
    Expr *count;                /* NULL: none */
    Expr *for_each;
    Expr *depends_on;
    bool prevent_destroy;
    bool ignore_all;
    VEC(const char *) ignore_changes;
    VEC(Instance *) instances;
} Resource;

typedef enum NodeMark { MARK_NEW, MARK_OPEN, MARK_DONE } NodeMark; /* of the search for cycles */

struct Node {
    NodeKind kind;
    const char *name;
    const char *address; /* as it is referred to: var.x, local.x, TYPE.NAME; output.x */
    TfPos pos;
    Expr *expr; /* of a local or an output */
    union {
        Variable variable;
        Output output;
        Resource resource;
    };
    NodeList depends; /* each once */
    NodeMark mark;
    size_t next_dependency; /* of the search */
    bool in_cycle;
    bool wanted; /* in the present refresh */
    bool failed;
    const TfValue *value; /* NULL until it was evaluated */
    uint64_t changed_at;  /* the program's version when the value was made */
};

struct Instance {
    TfInstance info; /* first: callers hold pointers to it */
    Node *node;
    const TfValue *each_key; /* NULL without for_each */
    const TfValue *each_value;
    const TfValue *count_index; /* NULL without count */
    const TfValue *config;      /* what is written */
    const TfValue *set;         /* what apply got back; NULL before */
};

struct TfProgram {
    Arena *arena;
    NodeList nodes; /* as declared */
    NodeList order; /* each behind what it depends on, apart from cycles */
    VEC(const TfInstance *) instances;
    VEC(TfNeed) needs;
    uint64_t version;
};

/* While a program is being loaded. */
typedef struct Loader {
    Arena *arena;
    const TfConfig *config;
    TfDiagnostics *diagnostics;
    TfProgram *program;
    Map *names; /* address -> Node */
    VEC(struct Missing *) missing;
    uint64_t steps;
} Loader;

PRINTF_LIKE(4, 5)
void loader_error(Loader *loader, TfPos pos, const char *hint, const char *format, ...);
Node *loader_find(const Loader *loader, const char *address);        /* NULL when not declared */
const TfResourceType *loader_type(const Loader *loader, Slice name); /* NULL: it is not known */

/* ---- evaluation --------------------------------------------------------------------------- */

typedef struct Scope {
    const struct Scope *up;
    Slice name;
    const TfValue *value;
} Scope;

typedef struct Eval {
    Arena *arena;
    TfDiagnostics *diagnostics; /* NULL: errors are only counted */
    size_t errors;
    uint64_t *steps; /* what may still be done */
    const Scope *scope;
    const TfValue *item; /* of the surrounding splat */
    const TfValue *each_key, *each_value, *count_index;
} Eval;

/* Reports, and gives the unknown value that stands for what could not be evaluated. */
PRINTF_LIKE(4, 5)
const TfValue *eval_error(Eval *eval, TfPos pos, const char *hint, const char *format, ...);
/* Counts work; false when there was too much of it: then no steps are left, which whoever started
 * the evaluation reports. */
bool eval_spend(Eval *eval, size_t steps);
const TfValue *eval_expr(Eval *eval, const Expr *expr);
const TfValue *eval_operator(Eval *eval, const Expr *expr);    /* unary and binary */
const TfValue *eval_conditional(Eval *eval, const Expr *expr); /* c ? a : b */
const TfValue *eval_for(Eval *eval, const Expr *expr);
const TfValue *eval_template(Eval *eval, const Expr *expr);
const TfValue *eval_call(Eval *eval, const Expr *expr);
/* Without reports; *ret_failed tells whether there were errors. */
const TfValue *eval_quietly(Eval *eval, const Expr *expr, bool *ret_failed);
/* A true or false condition; false with a report otherwise. An unknown one: *ret_unknown. */
bool eval_condition(Eval *eval, const Expr *expr, bool *ret_condition, bool *ret_unknown,
                    bool *ret_sensitive);
/* Whether the value of `expr` has elements to go through; false with a report when it is none. */
bool eval_iterable(Eval *eval, const Expr *expr, const TfValue *value);

/* ---- functions ---------------------------------------------------------------------------- */

typedef struct Call {
    Eval *eval;
    const Expr *expr;
    const struct Function *function;
    const TfValue **args; /* converted to what the function's parameters say */
    size_t len;
} Call;

enum {
    /* Knows what to do with unknown or sensitive parts inside of its arguments. Without this flag
     * such a part makes the whole result unknown or sensitive. */
    FN_PARTS = 1 << 0,
    FN_UNKNOWN = 1 << 1, /* takes unknown arguments too */
    FN_MARKS = 1 << 2,   /* sees to the result's mark itself */
    FN_LAZY = 1 << 3,    /* evaluates its arguments itself; args are NULL */
};

/* `params`: one letter per parameter: s string, n number, i whole number, b bool, l list or set, m
 * object, v anything but null, V anything. Behind a letter ? makes it and what follows optional, *
 * lets it come any number of times, + at least once. */
typedef struct Function {
    const char *name;
    const char *params;
    unsigned flags;
    const TfValue *(*run)(Call *call);
} Function;

const Function *function_find(Slice name); /* NULL when there is none */
/* What to say of a function of Terraform that is not supported, or of a misspelled one. */
const char *function_hint(Arena *arena, Slice name);
/* Reports at the argument (or at the call, when there is none at `arg`): "NAME: …". */
PRINTF_LIKE(3, 4) const TfValue *call_fail(Call *call, size_t arg, const char *format, ...);
bool call_spend(Call *call, size_t steps);
/* The text as a string; a report when the buffer overflowed. Frees the buffer. */
const TfValue *call_text(Call *call, Buf *text);
void call_text_init(Buf *text);

typedef struct FunctionTable {
    const Function *functions;
    size_t len;
} FunctionTable;

extern const FunctionTable string_functions;
extern const FunctionTable list_functions;
extern const FunctionTable map_functions;
extern const FunctionTable number_functions;
extern const FunctionTable convert_functions;
const TfValue *fn_format(Call *call);
const TfValue *fn_formatlist(Call *call);
/* All elements as strings, sets and lists alike; NULL after a report. */
const Slice *call_strings(Call *call, size_t arg, const TfValue *list);

/* ---- types, schemas, bodies --------------------------------------------------------------- */

/* A type constraint: string, list(number), object({…}), … `any` after a report. */
const Type *type_parse(Loader *loader, const Expr *expr);

/* Checks names, required arguments and numbers of blocks, and turns the JSON form of nested blocks
 * into blocks. `what` names it in messages: aws_db_instance, or "auth of aws_db_proxy". */
void schema_check(Loader *loader, Body *body, const TfSchema *schema, const char *what);
/* An object of what the body sets. What fails is reported, and is unknown in it. */
const TfValue *schema_decode(Eval *eval, const Body *body, const TfSchema *schema,
                             const char *what);
/* What a reference to it sees: of each attribute the value in `set`, else in `config`, else unknown
 * when it is computed, else null. With `set` nothing that is missing is unknown. Either may be
 * NULL.
 */
const TfValue *schema_complete(Arena *arena, const TfSchema *schema, const TfValue *config,
                               const TfValue *set);
bool schema_has(const TfSchema *schema, Slice name); /* an attribute or a block */
/* "did you mean …?", or what there is instead. */
const char *schema_hint(Arena *arena, const TfSchema *schema, Slice name);
const char *schema_sample(TfType type); /* a value of the type, as one writes it */
const TfAttribute *schema_attribute(const TfSchema *schema, Slice name); /* NULL: none */
const TfBlockType *schema_block(const TfSchema *schema, Slice name);

/* dynamic "NAME" { for_each = …  iterator = …  content { … } } */
typedef struct Dynamic {
    Slice type;
    Slice iterator;
    Expr *for_each; /* NULL when it is missing */
    Body *content;
} Dynamic;

bool block_is_dynamic(const Block *block);
Dynamic block_dynamic(const Block *block);

/* ---- loading ------------------------------------------------------------------------------ */

/* Where an expression stands, for what it may refer to. */
typedef struct RefContext {
    Node *node;                      /* whose dependencies are collected; NULL: nobody's */
    const Scope *names;              /* of loops; values unused */
    const TfResourceType *item_type; /* of what a splat goes through; NULL: not known */
    bool each;                       /* each.key and each.value may be used */
    bool count;
    const char *constant; /* not NULL: no references, and this says what it is */
} RefContext;

/* Turns names in the expression into references, and reports those that lead nowhere. */
void resolve_expr(Loader *loader, RefContext *context, Expr *expr);
void resolve_body(Loader *loader, RefContext *context, Body *body);
/* depends_on: a list of resources. */
void resolve_depends_on(Loader *loader, Node *node, const Expr *list);
/* ROOT.NAME with a root that no loop has named. */
void resolve_root(Loader *loader, RefContext *context, Expr *expr);
/* A name alone. */
void resolve_bare(Loader *loader, RefContext *context, Expr *expr);
bool resolve_is_scoped(const RefContext *context, Slice name); /* a loop has named it */
void expr_refuse(Expr *expr); /* it was reported, and evaluation is silent about it */
/* It is not declared; resolve_report_missing says so when all are known. */
void resolve_missing(Loader *loader, const char *address, TfPos pos);
void resolve_report_missing(Loader *loader);
/* An expression that refers to nothing: its value. */
const TfValue *constant_value(Loader *loader, Expr *expr, const char *what);

/* The top-level blocks of one file; first all that declare, then (`late`) all that only refer. */
void load_declarations(Loader *loader, Body *body, bool late);
void load_order(Loader *loader);    /* sorts nodes, reports cycles */
void load_inputs(Loader *loader);   /* values of variables */
void load_evaluate(Loader *loader); /* everything, once */
/* A file of the load; NULL after a report: too large, or not UTF-8. */
TfFile *load_file(Loader *loader, const char *name, Slice text, size_t order);

#endif
