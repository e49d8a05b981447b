/* What of a desired resource is not so yet, attribute by attribute and block by block. Pure. */
#include "cli/plan/plan_priv.h"

typedef struct Diff {
    const DiffContext *context;
    const TfValue *desired;
    const Present *present;
    Differences *out;
} Diff;

static void add_difference(Diff *diff, const char *attribute, const char *label,
                           const TfValue *before, const TfValue *after, bool replaces)
{
    bool hidden =
        (before != NULL && before->holds_sensitive) || (after != NULL && after->holds_sensitive);
    Difference difference = {
        .label = label,
        .attribute = attribute,
        .before = before != NULL && hidden ? tf_mark(diff->out->arena, before, true) : before,
        .after = after != NULL && hidden ? tf_mark(diff->out->arena, after, true) : after,
        .replaces = replaces,
    };
    arena_vec_push(diff->out->arena, &diff->out->list, difference);
}

static bool is_ignored(const Diff *diff, const char *name)
{
    const TfInstance *instance = diff->context->instance;
    if (instance == NULL || instance->ignore_all_changes) {
        return instance != NULL;
    }
    for (size_t i = 0; i < instance->ignore_changes_len; i++) {
        if (strcmp(instance->ignore_changes[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- attributes -------------------------------------------------------------------------------
 */

static bool is_text(const TfValue *value)
{
    return value->kind == TF_STRING;
}

static bool is_unset(const TfValue *value)
{
    return value == NULL || value->kind == TF_NULL;
}

static const TfValue *fallback_value(Arena *arena, const char *json)
{
    const TfValue *value = NULL;
    bool ok = json != NULL && tf_from_json(arena, slice_of(json), &value, NULL);
    return ok ? value : NULL;
}

/* What is asked for; NULL: nobody asks. */
static const TfValue *wanted(const Diff *diff, const KindAttribute *attribute)
{
    const TfValue *value = tf_get(diff->desired, attribute->tf.name);
    bool computed = (attribute->tf.flags & TF_COMPUTED) != 0;
    if (!is_unset(value) && !(computed && is_text(value) && value->string.len == 0)) {
        return value;
    }
    bool replica = !is_unset(tf_get(diff->desired, "replicate_source_db"));
    if (computed || ((attribute->rules & RULE_INHERITED) != 0 && replica)) {
        return NULL;
    }
    return fallback_value(diff->out->arena, attribute->fallback);
}

static const TfValue *had(const Diff *diff, const KindAttribute *attribute)
{
    Arena *arena = diff->out->arena;
    const char *name = attribute->tf.name;
    if ((attribute->rules & RULE_KEPT) != 0) {
        const char *kept = kept_str(diff->present, name, NULL);
        if (kept == NULL) {
            const TfValue *fallback = fallback_value(arena, attribute->fallback);
            return fallback != NULL ? fallback : tf_null();
        }
        return attribute->tf.type == TF_TYPE_STRING ? tf_string(arena, slice_of(kept))
                                                    : fallback_value(arena, kept);
    }
    return tf_from_value(arena, json_object_get(diff->present->attributes, name),
                         attribute->tf.type);
}

bool version_is_of(const char *wanted_version, const char *present)
{
    size_t len = strlen(wanted_version);
    return strncmp(wanted_version, present, len) == 0 &&
           (present[len] == '\0' || present[len] == '.');
}

static const char *engine_of(const ResourceKind *kind)
{
    return kind == &kind_replication_group ? "redis" : "postgres";
}

static bool same_version(const Diff *diff, const TfValue *want, const TfValue *have)
{
    char resolved[MODEL_VERSION_SIZE];
    bool mapped;
    const Facts *facts = diff->context->facts;
    if (version_is_of(want->string.data, have->string.data)) {
        return true;
    }
    return facts != NULL && facts->versions.map != NULL &&
           engine_version_resolve(&facts->versions, engine_of(diff->present->kind),
                                  want->string.data, resolved, &mapped, NULL) &&
           mapped && strcmp(resolved, have->string.data) == 0;
}

static bool has_grown(const Diff *diff, const TfValue *want, const TfValue *have)
{
    const TfValue *most = tf_get(diff->desired, "max_allocated_storage");
    return most != NULL && most->kind == TF_NUMBER && most->number.real > 0 &&
           have->kind == TF_NUMBER && want->kind == TF_NUMBER &&
           have->number.real >= want->number.real;
}

static bool same_value(const Diff *diff, const KindAttribute *attribute, const TfValue *want,
                       const TfValue *have)
{
    Arena *arena = diff->out->arena;
    bool texts = is_text(want) && is_text(have);
    if (tf_equal(want, have)) {
        return true;
    }
    if ((attribute->rules & RULE_VERSION) != 0 && texts) {
        return same_version(diff, want, have);
    }
    if ((attribute->rules & RULE_GROWS) != 0) {
        return has_grown(diff, want, have);
    }
    if (texts) {
        return strcmp(kind_normal(arena, attribute, want->string.data, diff->context->known),
                      kind_normal(arena, attribute, have->string.data, diff->context->known)) == 0;
    }
    /* What asks for nothing is as good as absent. */
    bool nothing = (is_text(want) && want->string.len == 0) ||
                   ((want->kind == TF_SET || want->kind == TF_LIST) && want->list.len == 0) ||
                   (want->kind == TF_NUMBER && want->number.real == 0) ||
                   (want->kind == TF_BOOL && !want->boolean);
    return nothing && have->kind == TF_NULL;
}

static void diff_secret(Diff *diff, const KindAttribute *attribute, const TfValue *want)
{
    const TfValue *hidden = tf_mark(diff->out->arena, tf_string(diff->out->arena, SLICE("")), true);
    if (!is_text(want) || applied_ask(diff->context->applied, diff->present, attribute->tf.name,
                                      want->string) != APPLIED_SAME) {
        add_difference(diff, attribute->tf.name, attribute->tf.name, hidden,
                       is_text(want) ? want : tf_mark(diff->out->arena, want, true), false);
    }
}

/* Whether the attribute takes part at all. */
static bool takes_part(const Diff *diff, const KindAttribute *attribute)
{
    bool ours = (attribute->rules & RULE_OURS) != 0 && (attribute->rules & RULE_KEPT) == 0;
    return !ours && (attribute->rules & (RULE_KEY | RULE_ONCE)) == 0 &&
           (attribute->tf.flags & TF_READ_ONLY) == 0 && attribute->tf.refused == NULL &&
           !is_ignored(diff, attribute->tf.name);
}

static void diff_attribute(Diff *diff, const KindAttribute *attribute)
{
    const TfValue *want = takes_part(diff, attribute) ? wanted(diff, attribute) : NULL;
    if (want == NULL) {
        return;
    }
    if ((attribute->rules & RULE_DIGEST) != 0) {
        diff_secret(diff, attribute, want);
        return;
    }
    const TfValue *have = had(diff, attribute);
    bool late = (attribute->rules & RULE_LATE) != 0 && have->kind == TF_NULL;
    if (late || (!want->holds_unknown && same_value(diff, attribute, want, have))) {
        return;
    }
    bool emptied = is_text(want) && want->string.len == 0;
    add_difference(diff, attribute->tf.name, attribute->tf.name,
                   have->kind == TF_NULL ? NULL : have, emptied ? NULL : want,
                   (attribute->rules & RULE_REPLACES) != 0 && !emptied);
}

/* ---- blocks -----------------------------------------------------------------------------------
 */

/* The part of a label that names the entry it belongs to; empty where it is one by itself. */
static Slice label_entry(const char *label)
{
    const char *end = strstr(label, "\"].");
    return end != NULL ? slice_from(label, (size_t)(end - label) + 2) : slice_of("");
}

static bool entry_is_in(const Atoms *atoms, Slice entry)
{
    for (size_t i = 0; i < atoms->list.len; i++) {
        if (slice_eq(slice_of(atoms->list.items[i].label), entry)) {
            return true;
        }
    }
    return false;
}

/* A new entry is one difference, whatever there is to it; one that is gone as well. */
static void diff_atoms(Diff *diff, const char *name, const Atoms *want, const Atoms *have,
                       bool replaces)
{
    for (size_t i = 0; i < want->list.len; i++) {
        const Atom *atom = &want->list.items[i];
        const TfValue *before = atoms_find(have, atom->label);
        Slice entry = label_entry(atom->label);
        bool part_of_new = entry.len > 0 && !entry_is_in(have, entry);
        bool open = atom->value->kind == TF_NULL;
        bool same = open || (before != NULL && tf_equal(before, atom->value));
        if (!same && !part_of_new) {
            add_difference(diff, name, atom->label, before, atom->value, replaces);
        }
    }
    for (size_t i = 0; i < have->list.len; i++) {
        const Atom *atom = &have->list.items[i];
        if (label_entry(atom->label).len == 0 && atoms_find(want, atom->label) == NULL) {
            add_difference(diff, name, atom->label, atom->value, NULL, replaces);
        }
    }
}

static void diff_split(Diff *diff, const char *name, KindSplit split, bool replaces)
{
    Arena *arena = diff->out->arena;
    const TfValue *want = tf_get(diff->desired, name);
    const json_t *have = json_object_get(diff->present->attributes, name);
    Atoms wanted_atoms = {.arena = arena};
    Atoms present_atoms = {.arena = arena};
    if (!is_unset(want)) {
        split(&wanted_atoms, name, want);
    }
    if (have != NULL) {
        split(&present_atoms, name, tf_from_value(arena, have, TF_TYPE_ANY));
    }
    diff_atoms(diff, name, &wanted_atoms, &present_atoms, replaces);
}

static void diff_block(Diff *diff, const KindBlock *block)
{
    const char *name = block->tf.name;
    bool left_open = block->tf.computed && is_unset(tf_get(diff->desired, name));
    if (block->split != NULL && !left_open && !is_ignored(diff, name)) {
        diff_split(diff, name, block->split, (block->rules & RULE_REPLACES) != 0);
    }
}

/* ---- all --------------------------------------------------------------------------------------
 */

static bool has_tags(const ResourceKind *kind)
{
    return kind->tags != TAGS_NONE && kind->tags != TAGS_PROXY;
}

void diff_resource(const DiffContext *context, const TfValue *desired, const Present *present,
                   Differences *out)
{
    Diff diff = {context, desired, present, out};
    for (size_t i = 0; i < present->kind->attributes_len; i++) {
        diff_attribute(&diff, &present->kind->attributes[i]);
    }
    for (size_t i = 0; i < present->kind->blocks_len; i++) {
        diff_block(&diff, &present->kind->blocks[i]);
    }
    if (has_tags(present->kind) && !is_ignored(&diff, "tags")) {
        diff_split(&diff, "tags", split_map, false);
    }
}

bool diff_replaces(const Differences *differences)
{
    for (size_t i = 0; i < differences->list.len; i++) {
        if (differences->list.items[i].replaces) {
            return true;
        }
    }
    return false;
}

json_t *diff_names_new(const Differences *differences)
{
    json_t *names = json_array();
    const char *last = "";
    for (size_t i = 0; i < differences->list.len; i++) { /* those of a block stand together */
        const char *name = differences->list.items[i].attribute;
        if (strcmp(name, last) != 0) {
            json_array_append_new(names, json_string(name));
        }
        last = name;
    }
    return names;
}
