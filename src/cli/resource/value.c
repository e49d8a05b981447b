/* Values on their way between the API's trees and Terraform's, and the parts that a plan compares.
 * Pure. */
#include "cli/resource/resources_priv.h"

#define PATH_PARTS_MAX 8

/* ---- paths ------------------------------------------------------------------------------------
 */

static json_t *path_walk(const json_t *root, Slice path, int depth);

static json_t *path_every(const json_t *root, Slice rest, int depth)
{
    json_t *all = json_array();
    size_t i;
    json_t *item;
    json_array_foreach ((json_t *)(uintptr_t)root, i, item) {
        json_t *value = path_walk(item, rest, depth);
        if (value != NULL) {
            json_array_append_new(all, value);
        }
    }
    return all;
}

static json_t *path_walk(const json_t *root, Slice path, int depth)
{
    ASSERT(depth < PATH_PARTS_MAX); /* paths stand in our tables */
    if (root == NULL || json_is_null(root)) {
        return NULL;
    }
    if (path.data == NULL) {
        return json_incref((json_t *)(uintptr_t)root);
    }
    Slice part = slice_cut(&path, '.');
    uint64_t index;
    if (slice_is(part, "*")) {
        return json_is_array(root) ? path_every(root, path, depth + 1) : NULL;
    }
    if (str_to_u64(part, &index)) {
        return path_walk(json_array_get(root, (size_t)index), path, depth + 1);
    }
    return path_walk(json_object_getn(root, part.data, part.len), path, depth + 1);
}

json_t *path_value_new(const json_t *root, const char *path)
{
    return path_walk(root, slice_of(path), 0);
}

/* ---- between the trees ------------------------------------------------------------------------
 */

static const TfValue *any_from_value(Arena *arena, const json_t *value)
{
    CLEANUP(mem_free_ptr) char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const TfValue *result = NULL;
    return text != NULL && tf_from_json(arena, slice_of(text), &result, NULL) ? result : tf_null();
}

static const TfValue *set_from_value(Arena *arena, const json_t *value)
{
    size_t len = json_array_size(value);
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len + 1);
    for (size_t i = 0; i < len; i++) {
        items[i] = any_from_value(arena, json_array_get(value, i));
    }
    return tf_set(arena, items, len);
}

const TfValue *tf_from_value(Arena *arena, const json_t *value, TfType type)
{
    if (value == NULL) {
        return tf_null();
    }
    return type == TF_TYPE_STRING_SET && json_is_array(value) ? set_from_value(arena, value)
                                                              : any_from_value(arena, value);
}

static json_t *list_to_value(const TfValue *value)
{
    json_t *list = json_array();
    for (size_t i = 0; i < value->list.len; i++) {
        json_t *item = tf_to_value_new(value->list.items[i]);
        if (item != NULL) {
            json_array_append_new(list, item);
        }
    }
    return list;
}

static json_t *object_to_value(const TfValue *value)
{
    json_t *object = json_object();
    for (size_t i = 0; i < value->object.len; i++) {
        const TfMember *member = &value->object.members[i];
        json_t *item = tf_to_value_new(member->value);
        if (item != NULL) {
            json_object_set_new(object, member->name.data, item);
        }
    }
    return object;
}

json_t *tf_to_value_new(const TfValue *value)
{
    switch (value->kind) {
    case TF_BOOL:
        return json_boolean(value->boolean);
    case TF_NUMBER:
        return value->number.exact ? json_integer(value->number.integer)
                                   : json_real(value->number.real);
    case TF_STRING:
        return json_stringn(value->string.data, value->string.len);
    case TF_LIST:
    case TF_SET:
        return list_to_value(value); /* value->depth bounds the recursion */
    case TF_OBJECT:
        return object_to_value(value);
    case TF_NULL:
    case TF_UNKNOWN:
    default:
        return NULL;
    }
}

char *text_lower_new(Arena *arena, const char *text)
{
    char *lower = arena_strdup(arena, text);
    for (char *at = lower; *at != '\0'; at++) {
        *at = char_lower(*at);
    }
    return lower;
}

/* ---- parts ------------------------------------------------------------------------------------
 */

void atoms_add(Atoms *atoms, const char *label, const TfValue *value)
{
    if (value != NULL && value->kind != TF_NULL) {
        Atom atom = {label, value};
        arena_vec_push(atoms->arena, &atoms->list, atom);
    }
}

void atoms_leave_open(Atoms *atoms, const char *label)
{
    Atom atom = {label, tf_null()};
    arena_vec_push(atoms->arena, &atoms->list, atom);
}

const TfValue *atoms_find(const Atoms *atoms, const char *label)
{
    for (size_t i = 0; i < atoms->list.len; i++) {
        if (strcmp(atoms->list.items[i].label, label) == 0) {
            return atoms->list.items[i].value;
        }
    }
    return NULL;
}

void split_value(Atoms *atoms, const char *name, const TfValue *value)
{
    atoms_add(atoms, name, value);
}

void split_map(Atoms *atoms, const char *name, const TfValue *value)
{
    if (value->kind != TF_OBJECT) {
        atoms_add(atoms, name, value);
        return;
    }
    for (size_t i = 0; i < value->object.len; i++) {
        const TfMember *member = &value->object.members[i];
        atoms_add(atoms, arena_printf(atoms->arena, "%s[\"%s\"]", name, member->name.data),
                  member->value);
    }
}

/* Whether the blocks can be walked; one that is unknown as a whole is one part. */
static bool split_blocks(Atoms *atoms, const char *name, const TfValue *value)
{
    if (value->kind == TF_LIST || value->kind == TF_SET) {
        return true;
    }
    atoms_add(atoms, name, value);
    return false;
}

static const char *known_str(const TfValue *object, const char *member, const char *fallback)
{
    const TfValue *value = tf_get(object, member);
    return value != NULL && value->kind == TF_STRING ? value->string.data : fallback;
}

void split_parameters(Atoms *atoms, const char *name, const TfValue *value)
{
    if (!split_blocks(atoms, name, value)) {
        return;
    }
    for (size_t i = 0; i < value->list.len; i++) {
        const TfValue *block = value->list.items[i];
        const char *parameter =
            text_lower_new(atoms->arena, known_str(block, "name", "(known after apply)"));
        const char *label = arena_printf(atoms->arena, "%s[\"%s\"]", name, parameter);
        atoms_add(atoms, label, tf_get(block, "value"));
        atoms_add(atoms, arena_printf(atoms->arena, "%s.apply_method", label),
                  tf_get(block, "apply_method"));
    }
}

/* One entry of `auth`, by its secret. What is not written and has a meaning when it is empty is
 * empty. */
static void split_auth_entry(Atoms *atoms, const char *label, const TfValue *entry)
{
    static const char *const optional[] = {"description", "username"};
    atoms_add(atoms, label, tf_get(entry, "secret_arn"));
    for (size_t i = 0; entry->kind == TF_OBJECT && i < entry->object.len; i++) {
        const TfMember *member = &entry->object.members[i];
        if (strcmp(member->name.data, "secret_arn") != 0) {
            atoms_add(atoms, arena_printf(atoms->arena, "%s.%s", label, member->name.data),
                      member->value);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(optional); i++) {
        const TfValue *value = tf_get(entry, optional[i]);
        if (value == NULL || value->kind == TF_NULL) {
            atoms_add(atoms, arena_printf(atoms->arena, "%s.%s", label, optional[i]),
                      tf_string(atoms->arena, SLICE("")));
        }
    }
}

void split_auth(Atoms *atoms, const char *name, const TfValue *value)
{
    if (!split_blocks(atoms, name, value)) {
        return;
    }
    for (size_t i = 0; i < value->list.len; i++) {
        const TfValue *entry = value->list.items[i];
        const char *label = arena_printf(atoms->arena, "%s[\"%s\"]", name,
                                         known_str(entry, "secret_arn", "(known after apply)"));
        split_auth_entry(atoms, label, entry);
    }
}
