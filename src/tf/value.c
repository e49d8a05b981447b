/*
 * Values: making them, comparing them, looking into them. A value never changes; making one
 * computes what it holds, so that asking whether something in it is unknown or sensitive costs
 * nothing.
 */
#include <math.h>
#include <stdlib.h>

#include "tf/ast_priv.h"
#include "tf/value_priv.h"

static const TfValue null_value = {.kind = TF_NULL};
static const TfValue true_value = {.kind = TF_BOOL, .boolean = true};
static const TfValue false_value = {.kind = TF_BOOL, .boolean = false};
static const TfValue unknown_value = {.kind = TF_UNKNOWN, .holds_unknown = true};
static const TfValue unknown_sensitive_value = {
    .kind = TF_UNKNOWN, .sensitive = true, .holds_sensitive = true, .holds_unknown = true};

/* ---- making ------------------------------------------------------------------------------- */

const TfValue *tf_null(void)
{
    return &null_value;
}

const TfValue *tf_unknown(void)
{
    return &unknown_value;
}

const TfValue *value_unknown(bool sensitive)
{
    return sensitive ? &unknown_sensitive_value : &unknown_value;
}

const TfValue *tf_bool(bool boolean)
{
    return boolean ? &true_value : &false_value;
}

static TfValue *value_new(Arena *arena, TfKind kind)
{
    TfValue *value = ARENA_NEW(arena, TfValue);
    value->kind = kind;
    return value;
}

const TfValue *value_number(Arena *arena, TfNumber number)
{
    TfValue *value = value_new(arena, TF_NUMBER);
    value->number = number;
    return value;
}

const TfValue *tf_int(Arena *arena, int64_t integer)
{
    return value_number(arena, number_of_int(integer));
}

const TfValue *tf_real(Arena *arena, double real)
{
    ASSERT(isfinite(real));
    return value_number(arena, number_of_real(real));
}

const TfValue *tf_string(Arena *arena, Slice text)
{
    TfValue *value = value_new(arena, TF_STRING);
    value->string = (Slice){arena_slice_str(arena, text), text.len};
    return value;
}

const TfValue *value_string_of(Arena *arena, const char *text)
{
    return tf_string(arena, slice_of(text));
}

static void value_holds(TfValue *value, const TfValue *part)
{
    value->holds_sensitive |= part->holds_sensitive;
    value->holds_unknown |= part->holds_unknown;
    value->depth = part->depth >= value->depth ? part->depth + 1 : value->depth;
}

const TfValue *tf_list(Arena *arena, const TfValue *const *items, size_t len)
{
    TfValue *value = value_new(arena, TF_LIST);
    value->depth = 1;
    const TfValue **copy = ARENA_ARRAY(arena, const TfValue *, len);
    for (size_t i = 0; i < len; i++) {
        copy[i] = items[i];
        value_holds(value, items[i]);
    }
    value->list.items = copy;
    value->list.len = len;
    return value;
}

static int compare_items(const void *a, const void *b)
{
    return value_compare(*(const TfValue *const *)a, *(const TfValue *const *)b);
}

const TfValue *tf_set(Arena *arena, const TfValue *const *items, size_t len)
{
    TfValue *value = value_new(arena, TF_SET);
    value->depth = 1;
    const TfValue **copy = ARENA_ARRAY(arena, const TfValue *, len);
    for (size_t i = 0; i < len; i++) {
        copy[i] = items[i];
        value_holds(value, items[i]);
    }
    qsort(copy, len, sizeof(*copy), compare_items);
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        if (kept == 0 || !tf_equal(copy[kept - 1], copy[i])) {
            copy[kept++] = copy[i];
        }
    }
    value->list.items = copy;
    value->list.len = kept;
    return value;
}

static int slice_compare(Slice a, Slice b)
{
    size_t least = a.len < b.len ? a.len : b.len;
    int order = least > 0 ? memcmp(a.data, b.data, least) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

typedef struct IndexedMember {
    TfMember member;
    size_t index;
} IndexedMember;

static int compare_members(const void *a, const void *b)
{
    const IndexedMember *x = a;
    const IndexedMember *y = b;
    int order = slice_compare(x->member.name, y->member.name);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

const TfValue *tf_object(Arena *arena, const TfMember *members, size_t len)
{
    IndexedMember *sorted = mem_alloc(len * sizeof(*sorted));
    for (size_t i = 0; i < len; i++) {
        sorted[i] = (IndexedMember){members[i], i};
    }
    qsort(sorted, len, sizeof(*sorted), compare_members);
    TfValue *value = value_new(arena, TF_OBJECT);
    value->depth = 1;
    TfMember *copy = ARENA_ARRAY(arena, TfMember, len);
    size_t kept = 0;
    for (size_t i = 0; i < len; i++) {
        TfMember member = sorted[i].member;
        if (i + 1 < len && slice_eq(member.name, sorted[i + 1].member.name)) {
            continue;
        }
        copy[kept].name = (Slice){arena_slice_str(arena, member.name), member.name.len};
        copy[kept++].value = member.value;
        value_holds(value, member.value);
    }
    mem_free(sorted);
    value->object.members = copy;
    value->object.len = kept;
    return value;
}

const TfValue *tf_mark(Arena *arena, const TfValue *value, bool sensitive)
{
    if (!sensitive || value->sensitive) {
        return value;
    }
    if (value->kind == TF_UNKNOWN) {
        return &unknown_sensitive_value;
    }
    TfValue *marked = ARENA_NEW(arena, TfValue);
    *marked = *value;
    marked->sensitive = marked->holds_sensitive = true;
    return marked;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static int compare_lists(const TfValue *a, const TfValue *b)
{
    for (size_t i = 0; i < a->list.len && i < b->list.len; i++) {
        int order = value_compare(a->list.items[i], b->list.items[i]);
        if (order != 0) {
            return order;
        }
    }
    return (a->list.len > b->list.len) - (a->list.len < b->list.len);
}

static int compare_objects(const TfValue *a, const TfValue *b)
{
    for (size_t i = 0; i < a->object.len && i < b->object.len; i++) {
        int order = slice_compare(a->object.members[i].name, b->object.members[i].name);
        if (order == 0) {
            order = value_compare(a->object.members[i].value, b->object.members[i].value);
        }
        if (order != 0) {
            return order;
        }
    }
    return (a->object.len > b->object.len) - (a->object.len < b->object.len);
}

int value_compare(const TfValue *a, const TfValue *b)
{
    if (a->kind != b->kind) {
        return (a->kind > b->kind) - (a->kind < b->kind);
    }
    switch (a->kind) {
    case TF_NULL:
    case TF_UNKNOWN:
        return 0;
    case TF_BOOL:
        return (int)a->boolean - (int)b->boolean;
    case TF_NUMBER:
        return number_compare(a->number, b->number);
    case TF_STRING:
        return slice_compare(a->string, b->string);
    case TF_LIST:
    case TF_SET:
        return compare_lists(a, b);
    case TF_OBJECT:
        return compare_objects(a, b);
    }
    UNREACHABLE();
}

bool tf_equal(const TfValue *a, const TfValue *b)
{
    return !a->holds_unknown && !b->holds_unknown && value_compare(a, b) == 0;
}

/* ---- looking into ---------------------------------------------------------------------------- */

const TfValue *value_member(const TfValue *object, Slice name)
{
    if (object->kind != TF_OBJECT) {
        return NULL;
    }
    size_t low = 0;
    size_t high = object->object.len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(object->object.members[middle].name, name);
        if (order == 0) {
            return object->object.members[middle].value;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const TfValue *tf_get(const TfValue *object, const char *name)
{
    return value_member(object, slice_of(name));
}

bool value_is_collection(const TfValue *value)
{
    return value->kind == TF_LIST || value->kind == TF_SET || value->kind == TF_OBJECT;
}

bool value_is_primitive(const TfValue *value)
{
    return value->kind == TF_STRING || value->kind == TF_NUMBER || value->kind == TF_BOOL;
}

size_t value_len(const TfValue *value)
{
    return value->kind == TF_OBJECT ? value->object.len : value->list.len;
}

const TfValue *value_at(const TfValue *value, size_t i)
{
    ASSERT(i < value_len(value));
    return value->kind == TF_OBJECT ? value->object.members[i].value : value->list.items[i];
}

const TfValue *value_key_at(Arena *arena, const TfValue *value, size_t i)
{
    if (value->kind == TF_OBJECT) {
        return tf_string(arena, value->object.members[i].name);
    }
    return value->kind == TF_SET ? value->list.items[i] : tf_int(arena, (int64_t)i);
}

const char *value_kind_name(const TfValue *value)
{
    static const char *const names[] = {
        [TF_NULL] = "null",        [TF_BOOL] = "a bool",
        [TF_NUMBER] = "a number",  [TF_STRING] = "a string",
        [TF_LIST] = "a list",      [TF_SET] = "a set",
        [TF_OBJECT] = "an object", [TF_UNKNOWN] = "a value that is known after apply",
    };
    return names[value->kind];
}
