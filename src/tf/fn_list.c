/*
 * Functions of lists and sets. Those that only move elements about keep what is unknown or
 * sensitive in them apart from the rest.
 */
#include <stdlib.h>

#include "tf/eval_priv.h"

typedef VEC(const TfValue *) ValueList;

static const TfValue *result(Call *call, const ValueList *list)
{
    return tf_list(call->eval->arena, list->items, list->len);
}

/* A list's mark is its elements' once it is taken apart. */
static const TfValue *marked_at(Call *call, const TfValue *list, size_t i)
{
    return tf_mark(call->eval->arena, value_at(list, i), list->sensitive);
}

static void push_all(Call *call, ValueList *to, const TfValue *list)
{
    for (size_t i = 0; i < value_len(list) && call_spend(call, 1); i++) {
        const TfValue *item = marked_at(call, list, i);
        arena_vec_push(call->eval->arena, to, item);
    }
}

/* ---- whole lists ------------------------------------------------------------------------------
 */

static const TfValue *fn_length(Call *call)
{
    const TfValue *value = call->args[0];
    if (value_is_collection(value)) {
        return tf_int(call->eval->arena, (int64_t)value_len(value));
    }
    if (value->kind != TF_STRING) {
        return call_fail(call, 0, "a string or collection is needed, not %s",
                         value_excerpt(call->eval->arena, value));
    }
    return tf_int(call->eval->arena, (int64_t)utf8_count(value->string));
}

static const TfValue *fn_concat(Call *call)
{
    ValueList list = {0};
    for (size_t i = 0; i < call->len; i++) {
        push_all(call, &list, call->args[i]);
    }
    return result(call, &list);
}

static const TfValue *fn_coalescelist(Call *call)
{
    for (size_t i = 0; i < call->len; i++) {
        if (value_is_collection(call->args[i]) && value_len(call->args[i]) > 0) {
            return call->args[i];
        }
    }
    return call_fail(call, SIZE_MAX, "every argument is empty");
}

static const TfValue *fn_reverse(Call *call)
{
    const TfValue *list = call->args[0];
    ValueList reversed = {0};
    for (size_t i = value_len(list); i > 0; i--) {
        const TfValue *item = value_at(list, i - 1);
        arena_vec_push(call->eval->arena, &reversed, item);
    }
    return result(call, &reversed);
}

static const TfValue *fn_slice(Call *call)
{
    const TfValue *list = call->args[0];
    int64_t start = call->args[1]->number.integer;
    int64_t end = call->args[2]->number.integer;
    int64_t len = (int64_t)value_len(list);
    if (list->kind == TF_SET) {
        return call_fail(call, 0, "a set has no order; use tolist(…) around it");
    }
    if (start < 0 || end < start || end > len) {
        return call_fail(call, 1, "from %lld to %lld is not within the list of %lld",
                         (long long)start, (long long)end, (long long)len);
    }
    return tf_list(call->eval->arena, list->list.items + start, (size_t)(end - start));
}

/* False when how many elements there are is not known. Recursion is as deep as the value. */
static bool flatten_into(Call *call, ValueList *to, const TfValue *list, bool sensitive)
{
    for (size_t i = 0; i < value_len(list) && call_spend(call, 1); i++) {
        const TfValue *item = value_at(list, i);
        TRY(item->kind != TF_UNKNOWN);
        bool mark = sensitive || item->sensitive;
        if (item->kind == TF_LIST || item->kind == TF_SET) {
            TRY(flatten_into(call, to, item, mark));
        } else {
            item = tf_mark(call->eval->arena, item, mark);
            arena_vec_push(call->eval->arena, to, item);
        }
    }
    return true;
}

static const TfValue *fn_flatten(Call *call)
{
    ValueList list = {0};
    return flatten_into(call, &list, call->args[0], false) ? result(call, &list) : tf_unknown();
}

static const TfValue *fn_distinct(Call *call)
{
    const TfValue *list = call->args[0];
    ValueList kept = {0};
    for (size_t i = 0; i < value_len(list) && call_spend(call, 1 + kept.len); i++) {
        const TfValue *item = value_at(list, i);
        bool seen = false;
        for (size_t j = 0; j < kept.len && !seen; j++) {
            seen = tf_equal(kept.items[j], item);
        }
        if (!seen) {
            arena_vec_push(call->eval->arena, &kept, item);
        }
    }
    return result(call, &kept);
}

static const TfValue *fn_compact(Call *call)
{
    const TfValue *list = call->args[0];
    ValueList kept = {0};
    for (size_t i = 0; i < value_len(list); i++) {
        const TfValue *item = value_at(list, i);
        if (item->kind == TF_NULL) {
            continue;
        }
        const TfValue *string = value_to_string(call->eval->arena, item);
        if (string == NULL) {
            return call_fail(call, 0, "element %zu must be a string, not %s", i,
                             value_kind_name(item));
        }
        if (string->string.len > 0) {
            arena_vec_push(call->eval->arena, &kept, string);
        }
    }
    return result(call, &kept);
}

static int compare_strings(const void *a, const void *b)
{
    return value_compare(*(const TfValue *const *)a, *(const TfValue *const *)b);
}

static const TfValue *fn_sort(Call *call)
{
    Arena *arena = call->eval->arena;
    size_t len = value_len(call->args[0]);
    const Slice *strings = call_strings(call, 0, call->args[0]);
    if (strings == NULL) {
        return tf_unknown();
    }
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len);
    for (size_t i = 0; i < len; i++) {
        items[i] = tf_string(arena, strings[i]);
    }
    qsort(items, len, sizeof(*items), compare_strings);
    return tf_list(arena, items, len);
}

/* ---- single elements --------------------------------------------------------------------------
 */

static const TfValue *fn_element(Call *call)
{
    const TfValue *list = call->args[0];
    int64_t index = call->args[1]->number.integer;
    if (list->kind == TF_SET) {
        return call_fail(call, 0, "a set has no order; use tolist(…) around it");
    }
    if (value_len(list) == 0) {
        return call_fail(call, 0, "the list is empty");
    }
    if (index < 0) {
        return call_fail(call, 1, "the index must not be negative");
    }
    return value_at(list, (size_t)index % value_len(list));
}

static const TfValue *fn_index(Call *call)
{
    const TfValue *list = call->args[0];
    for (size_t i = 0; i < value_len(list) && call_spend(call, 1); i++) {
        if (tf_equal(value_at(list, i), call->args[1])) {
            return tf_int(call->eval->arena, (int64_t)i);
        }
    }
    return call_fail(call, 1, "the list has no such element");
}

static const TfValue *fn_contains(Call *call)
{
    const TfValue *list = call->args[0];
    for (size_t i = 0; i < value_len(list) && call_spend(call, 1); i++) {
        if (tf_equal(value_at(list, i), call->args[1])) {
            return tf_bool(true);
        }
    }
    return tf_bool(false);
}

static const TfValue *fn_one(Call *call)
{
    const TfValue *list = call->args[0];
    if (value_len(list) > 1) {
        return call_fail(call, 0, "the list has %zu elements, not one or none", value_len(list));
    }
    return value_len(list) == 1 ? value_at(list, 0) : tf_null();
}

/* The first that is neither null nor "", as what all of them have in common. */
static const TfValue *fn_coalesce(Call *call)
{
    const Type *type = type_common(call->args, call->len);
    for (size_t i = 0; i < call->len; i++) {
        const TfValue *value = call->args[i];
        if (value->kind == TF_UNKNOWN) {
            return value;
        }
        ConvertFailure failure;
        if (value->kind == TF_NULL || (value->kind == TF_STRING && value->string.len == 0)) {
            continue;
        }
        if (type != NULL && !value_convert(call->eval->arena, value, type, &value, &failure)) {
            return call_fail(call, i, "%s is needed, as in the other arguments", failure.wanted);
        }
        return value;
    }
    return call_fail(call, SIZE_MAX, "every argument is null or empty");
}

/* ---- truth -------------------------------------------------------------------------------- */

static const TfValue *all_are(Call *call, bool wanted)
{
    const TfValue *list = call->args[0];
    for (size_t i = 0; i < value_len(list); i++) {
        const TfValue *item = value_at(list, i);
        const TfValue *boolean = value_to_bool(item);
        if (boolean == NULL && item->kind != TF_NULL) {
            return call_fail(call, 0, "element %zu must be true or false, not %s", i,
                             value_kind_name(item));
        }
        if ((boolean != NULL && boolean->boolean) != wanted) {
            return tf_bool(false);
        }
    }
    return tf_bool(true);
}

static const TfValue *fn_alltrue(Call *call)
{
    return all_are(call, true);
}

static const TfValue *fn_anytrue(Call *call)
{
    const TfValue *none = all_are(call, false);
    return none->kind == TF_BOOL ? tf_bool(!none->boolean) : none;
}

/* ---- sets ----------------------------------------------------------------------------------- */

static const TfValue *fn_setunion(Call *call)
{
    const TfValue *all = fn_concat(call);
    return tf_set(call->eval->arena, all->list.items, all->list.len);
}

/* Elements of the first that each (`in`), or none (not `in`), of the others has. */
static const TfValue *set_filter(Call *call, bool in)
{
    const TfValue *first = call->args[0];
    ValueList kept = {0};
    for (size_t i = 0; i < value_len(first); i++) {
        const TfValue *item = value_at(first, i);
        bool keep = true;
        for (size_t j = 1; j < call->len && keep; j++) {
            Call inner = {.eval = call->eval,
                          .expr = call->expr,
                          .function = call->function,
                          .args = (const TfValue *[]){call->args[j], item},
                          .len = 2};
            keep = fn_contains(&inner)->boolean == in;
        }
        if (keep) {
            arena_vec_push(call->eval->arena, &kept, item);
        }
    }
    return tf_set(call->eval->arena, kept.items, kept.len);
}

static const TfValue *fn_setintersection(Call *call)
{
    return set_filter(call, true);
}

static const TfValue *fn_setsubtract(Call *call)
{
    return set_filter(call, false);
}

static const Function functions[] = {
    {"alltrue", "l", 0, fn_alltrue},
    {"anytrue", "l", 0, fn_anytrue},
    {"coalesce", "V+", FN_PARTS | FN_UNKNOWN, fn_coalesce},
    {"coalescelist", "v+", FN_PARTS, fn_coalescelist},
    {"compact", "l", 0, fn_compact},
    {"concat", "l+", FN_PARTS | FN_MARKS, fn_concat},
    {"contains", "lV", 0, fn_contains},
    {"distinct", "l", 0, fn_distinct},
    {"element", "li", FN_PARTS, fn_element},
    {"flatten", "l", FN_PARTS, fn_flatten},
    {"index", "lV", 0, fn_index},
    {"length", "v", FN_PARTS, fn_length},
    {"one", "l", FN_PARTS, fn_one},
    {"reverse", "l", FN_PARTS, fn_reverse},
    {"setintersection", "l+", 0, fn_setintersection},
    {"setsubtract", "ll", 0, fn_setsubtract},
    {"setunion", "l+", 0, fn_setunion},
    {"slice", "lii", FN_PARTS, fn_slice},
    {"sort", "l", 0, fn_sort},
};

const FunctionTable list_functions = {functions, ARRAY_LEN(functions)};
