/*
 * Values, numbers and types as the other parts of tf see them.
 */
#ifndef WEIR_TF_VALUE_PRIV_H
#define WEIR_TF_VALUE_PRIV_H

#include "tf/tf.h"

/* ---- numbers ------------------------------------------------------------------------------ */

/* A decimal number with optional sign, fraction and exponent, and nothing else. False when it is
 * none or beyond a double. */
NODISCARD bool number_parse(Slice text, TfNumber *ret_number);
TfNumber number_of_int(int64_t integer);
TfNumber number_of_real(double real); /* finite; exact when it is whole and below 2^53 */
int number_compare(TfNumber a, TfNumber b);
/* Plain decimal, without an exponent; up to 15 digits of what is not exact. */
void number_format(TfNumber number, Buf *out);
/* False when the result is no finite number: division by zero, overflow of a double. */
NODISCARD bool number_add(TfNumber a, TfNumber b, TfNumber *ret_sum);
NODISCARD bool number_subtract(TfNumber a, TfNumber b, TfNumber *ret_difference);
NODISCARD bool number_multiply(TfNumber a, TfNumber b, TfNumber *ret_product);
NODISCARD bool number_divide(TfNumber a, TfNumber b, TfNumber *ret_quotient);
NODISCARD bool number_modulo(TfNumber a, TfNumber b,
                             TfNumber *ret_rest); /* the sign is that of a */

/* ---- values ------------------------------------------------------------------------------- */

const TfValue *value_number(Arena *arena, TfNumber number);
const TfValue *value_string_of(Arena *arena, const char *text);
const TfValue *value_unknown(bool sensitive);
/* Any order that puts equal values together: by kind, then by content. Unknowns are equal here. */
int value_compare(const TfValue *a, const TfValue *b);
/* "a string", "a number", "null", …: for messages. */
const char *value_kind_name(const TfValue *value);
/* What may be shown of a value in a message: short, and nothing sensitive. */
const char *value_excerpt(Arena *arena, const TfValue *value);
bool value_is_collection(const TfValue *value); /* list, set or object */
size_t value_len(const TfValue *value);         /* of a collection */
/* The i-th element of a collection, and its key: a number, the item itself (set) or a string. */
const TfValue *value_at(const TfValue *value, size_t i);
const TfValue *value_key_at(Arena *arena, const TfValue *value, size_t i);
const TfValue *value_member(const TfValue *object, Slice name); /* NULL when absent */
bool value_is_primitive(const TfValue *value);                  /* string, number or bool */
/* JSON as Terraform's jsonencode writes it. */
bool value_to_json(const TfValue *value, Buf *out);
void json_append_string(Buf *out, Slice text); /* with quotes and Terraform's escapes */

/* ---- types -------------------------------------------------------------------------------- */

typedef enum TypeKind {
    TYPE_ANY,
    TYPE_STRING,
    TYPE_NUMBER,
    TYPE_INTEGER,
    TYPE_BOOL,
    TYPE_LIST,
    TYPE_SET,
    TYPE_MAP,
    TYPE_TUPLE,
    TYPE_OBJECT
} TypeKind;

typedef struct Type Type;

typedef struct TypeField {
    Slice name;
    const Type *type;
    bool optional;
    const TfValue *fallback; /* of an optional field; null when there is none */
} TypeField;

struct Type {
    TypeKind kind;
    const Type *element;     /* of list, set, map */
    const TypeField *fields; /* of an object; of a tuple without names */
    size_t fields_len;
};

const Type *type_of_schema(TfType type);
void type_format(const Type *type, Buf *out); /* list(string) */

typedef struct ConvertFailure {
    const char *path;     /* "" or where inside the value: [1].name */
    const char *wanted;   /* "a number" */
    const TfValue *found; /* NULL: something is missing, which `wanted` names */
} ConvertFailure;

/* Terraform's conversions: "60" -> 60, 1 -> "1", list <-> set, object -> map, objects with missing
 * optional fields. Null stays null, unknown stays unknown, marks stay. */
bool value_convert(Arena *arena, const TfValue *value, const Type *type, const TfValue **ret_value,
                   ConvertFailure *failure);
/* The one type that strings, numbers and bools of a list take together; NULL: leave them. */
const Type *type_common(const TfValue *const *items, size_t len);
/* Primitive conversions alone; NULL when the value cannot be one. */
const TfValue *value_to_string(Arena *arena, const TfValue *value);
const TfValue *value_to_number(Arena *arena, const TfValue *value);
const TfValue *value_to_bool(const TfValue *value);

#endif
