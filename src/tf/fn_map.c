/*
 * Functions of maps and objects.
 */
#include "tf/eval_priv.h"

static const TfValue *fn_keys(Call *call)
{
    const TfValue *map = call->args[0];
    Arena *arena = call->eval->arena;
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, map->object.len);
    for (size_t i = 0; i < map->object.len; i++) {
        items[i] = tf_string(arena, map->object.members[i].name);
    }
    return tf_list(arena, items, map->object.len);
}

static const TfValue *fn_values(Call *call)
{
    const TfValue *map = call->args[0];
    Arena *arena = call->eval->arena;
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, map->object.len);
    for (size_t i = 0; i < map->object.len; i++) {
        items[i] = map->object.members[i].value;
    }
    return tf_list(arena, items, map->object.len);
}

static const TfValue *fn_lookup(Call *call)
{
    const TfValue *value = value_member(call->args[0], call->args[1]->string);
    if (value != NULL) {
        return value;
    }
    if (call->len == 3) {
        return call->args[2];
    }
    return call_fail(call, 1, "the map has no key %s, and there is no third argument instead of it",
                     value_excerpt(call->eval->arena, call->args[1]));
}

typedef VEC(TfMember) MemberList;

static bool merge_into(Call *call, size_t arg, MemberList *members)
{
    const TfValue *map = call->args[arg];
    Arena *arena = call->eval->arena;
    if (map->kind == TF_NULL) {
        return true;
    }
    if (map->kind != TF_OBJECT) {
        (void)call_fail(call, arg, "argument %zu must be a map or object, not %s", arg + 1,
                        value_excerpt(arena, map));
        return false;
    }
    for (size_t i = 0; i < map->object.len; i++) {
        TfMember member = map->object.members[i];
        arena_vec_push(arena, members, member);
    }
    return call_spend(call, map->object.len);
}

static const TfValue *fn_merge(Call *call)
{
    MemberList members = {0};
    for (size_t i = 0; i < call->len; i++) {
        if (!merge_into(call, i, &members)) {
            return tf_unknown();
        }
    }
    return tf_object(call->eval->arena, members.items, members.len);
}

static const TfValue *fn_zipmap(Call *call)
{
    const TfValue *keys = call->args[0];
    const TfValue *values = call->args[1];
    Arena *arena = call->eval->arena;
    if (keys->holds_unknown) {
        return tf_unknown();
    }
    if (value_len(keys) != value_len(values)) {
        return call_fail(call, 1, "%zu keys and %zu values", value_len(keys), value_len(values));
    }
    const Slice *names = call_strings(call, 0, keys);
    if (names == NULL) {
        return tf_unknown();
    }
    TfMember *members = ARENA_ARRAY(arena, TfMember, value_len(keys));
    for (size_t i = 0; i < value_len(keys); i++) {
        members[i] = (TfMember){names[i], value_at(values, i)};
    }
    return tf_mark(arena, tf_object(arena, members, value_len(keys)), keys->holds_sensitive);
}

static const Function functions[] = {
    {"keys", "m", FN_PARTS, fn_keys},      {"lookup", "msV?", FN_PARTS, fn_lookup},
    {"merge", "V*", FN_PARTS, fn_merge},   {"values", "m", FN_PARTS, fn_values},
    {"zipmap", "ll", FN_PARTS, fn_zipmap},
};

const FunctionTable map_functions = {functions, ARRAY_LEN(functions)};
