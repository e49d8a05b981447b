/*
 * The plan: every block in the order of dependence against what is present, then what was made by
 * blocks that are gone. What a block refers to is evaluated on the way: a resource that is there
 * tells its attributes, one that is to be made leaves them unknown.
 */
#include "cli/plan/plan_priv.h"

typedef struct Maker {
    Plan *plan;
    const Caller *caller;
    const PlanOptions *options;
    TfDiagnostics *diagnostics;
} Maker;

/* ---- pieces -----------------------------------------------------------------------------------
 */

static PlanItem *item_new(Plan *plan, const ResourceKind *kind, const char *address)
{
    PlanItem *item = ARENA_NEW(plan->arena, PlanItem);
    item->kind = kind;
    item->address = address;
    item->differences.arena = plan->arena;
    arena_vec_push(plan->arena, &plan->items, item);
    return item;
}

static void item_note(Plan *plan, PlanItem *item, const char *note)
{
    arena_vec_push(plan->arena, &item->notes, note);
}

PlanItem *plan_find(const Plan *plan, const char *address)
{
    for (size_t i = 0; i < plan->items.len; i++) {
        if (strcmp(plan->items.items[i]->address, address) == 0) {
            return plan->items.items[i];
        }
    }
    return NULL;
}

static PlanItem *item_by_key(const Plan *plan, const ResourceKind *kind, const char *key)
{
    for (size_t i = 0; key != NULL && i < plan->items.len; i++) {
        PlanItem *item = plan->items.items[i];
        if (item->kind == kind && item->key != NULL && strcmp(item->key, key) == 0) {
            return item;
        }
    }
    return NULL;
}

/* Whether the resource of this kind that the attribute names is to be made anew. */
static bool names_replaced(const Plan *plan, const PlanItem *item, const ResourceKind *kind,
                           const char *attribute)
{
    const TfValue *value = tf_get(item->desired, attribute);
    if (value == NULL || value->kind != TF_STRING) {
        return false;
    }
    const char *key = kind_normal(plan->arena, kind_attribute(item->kind, attribute),
                                  value->string.data, &plan->present);
    const PlanItem *named = item_by_key(plan, kind, key);
    return named != NULL && named->action == PLAN_REPLACE;
}

static bool parent_is_replaced(const Plan *plan, const PlanItem *item)
{
    return item->kind->parent_type != NULL &&
           names_replaced(plan, item, kind_find(item->kind->parent_type),
                          item->kind->parent_attribute);
}

/* An instance that a proxy's target or a replica's source names. */
static bool instance_is_replaced(const Plan *plan, const PlanItem *item)
{
    for (size_t i = 0; i < item->kind->attributes_len; i++) {
        const KindAttribute *attribute = &item->kind->attributes[i];
        if ((attribute->rules & RULE_INSTANCE) != 0 &&
            names_replaced(plan, item, &kind_db_instance, attribute->tf.name)) {
            return true;
        }
    }
    return false;
}

/* ---- what it is, for others ---------------------------------------------------------------------
 */

static bool is_written(const TfValue *desired, const char *name)
{
    const TfValue *value = tf_get(desired, name);
    return value != NULL && value->kind != TF_NULL;
}

typedef VEC(TfMember) Members;

static void publish_one(const Plan *plan, Members *members, const char *name, const TfValue *value)
{
    TfMember member = {slice_of(name), value};
    arena_vec_push(plan->arena, members, member);
}

void plan_publish(const Plan *plan, const PlanItem *item, const Present *present, bool settled)
{
    Members members = {0};
    for (size_t i = 0; i < item->kind->attributes_len; i++) {
        const KindAttribute *attribute = &item->kind->attributes[i];
        const char *name = attribute->tf.name;
        const json_t *value = json_object_get(present->attributes, name);
        bool computed = (attribute->tf.flags & TF_COMPUTED) != 0;
        if (is_written(item->desired, name)) {
            continue;
        }
        if (value != NULL) {
            publish_one(plan, &members, name,
                        tf_from_value(plan->arena, value, attribute->tf.type));
        } else if (computed && !settled) {
            publish_one(plan, &members, name, tf_unknown());
        }
    }
    const json_t *tags = json_object_get(present->attributes, "tags_all");
    if (tags != NULL) {
        publish_one(plan, &members, "tags_all",
                    tf_from_value(plan->arena, tags, TF_TYPE_STRING_MAP));
    }
    tf_set_attributes(plan->program, item->instance,
                      tf_object(plan->arena, members.items, members.len));
}

Present *plan_remember(Plan *plan, const Present *present)
{
    Arena *arena = plan->arena;
    Present *copy = present_find(&plan->present, present->kind, present->key);
    if (copy != NULL) {
        json_decref(copy->attributes);
        json_decref(copy->tags);
    } else {
        copy = ARENA_NEW(arena, Present);
        arena_vec_push(arena, &plan->present.list, copy);
    }
    *copy = *present;
    copy->key = arena_strdup(arena, present->key);
    copy->address = arena_strdup(arena, present->address);
    copy->handle = arena_strdup(arena, present->handle);
    copy->status = arena_strdup(arena, present->status);
    copy->detail = arena_strdup(arena, present->detail);
    copy->incarnation = arena_strdup(arena, present->incarnation);
    copy->attributes = json_incref(present->attributes);
    copy->tags = json_incref(present->tags);
    return copy;
}

/* ---- one block ----------------------------------------------------------------------------------
 */

/* *ret_present is NULL where there is none. */
static bool find_present(const Maker *maker, const PlanItem *item, Present **ret_present, Err *err)
{
    Plan *plan = maker->plan;
    *ret_present = NULL;
    if (item->key == NULL || parent_is_replaced(plan, item)) {
        return true;
    }
    if (item->kind->by_key_only && present_find(&plan->present, item->kind, item->key) == NULL) {
        TRY(item->kind->read(maker->caller, item->key, &plan->present, err));
    }
    *ret_present = present_find(&plan->present, item->kind, item->key);
    return true;
}

static void refuse_duplicate(const Maker *maker, const PlanItem *item)
{
    const PlanItem *first = NULL;
    for (size_t i = 0; item->key != NULL && i + 1 < maker->plan->items.len; i++) {
        const PlanItem *other = maker->plan->items.items[i];
        if (other->kind == item->kind && other->key != NULL && strcmp(other->key, item->key) == 0) {
            first = other;
        }
    }
    if (first != NULL) {
        const char *attribute = item->kind->key[item->kind->key[1] != NULL ? 1 : 0];
        const char *message = arena_printf(maker->plan->arena, "%s \"%s\" is that of %s already",
                                           item->kind->noun, item->key, first->address);
        tf_diagnose(maker->diagnostics, TF_ERROR, tf_instance_pos(item->instance, attribute),
                    message, "give each its own");
    }
}

static bool may_replace(const PlanOptions *options, const char *address)
{
    for (size_t i = 0; options != NULL && i < options->replace_len; i++) {
        if (strcmp(options->replace[i], address) == 0) {
            return true;
        }
    }
    return false;
}

static const char *replaced_by(const PlanItem *item)
{
    for (size_t i = 0; i < item->differences.list.len; i++) {
        if (item->differences.list.items[i].replaces) {
            return item->differences.list.items[i].label;
        }
    }
    return "what it belongs to";
}

/* A replica's data is its source's, and a secret in its recovery window can be restored. */
static bool has_own_data(const Present *present)
{
    if (present->kind == &kind_db_instance) {
        return member_str(present->attributes, "replicate_source_db", "")[0] == '\0';
    }
    bool kept = present->kind == &kind_secret &&
                strcmp(kept_str(present, "recovery_window_in_days", "30"), "0") != 0;
    return present->kind->holds_data && !kept;
}

static const char *replace_refusal(const Maker *maker, const PlanItem *item)
{
    Arena *arena = maker->plan->arena;
    if (item->instance->prevent_destroy) {
        return "prevent_destroy is set";
    }
    if (has_own_data(item->present) && !may_replace(maker->options, item->address)) {
        return arena_printf(
            arena,
            "%s cannot be changed in place: --replace '%s' destroys the %s with its "
            "data and makes a new one",
            replaced_by(item), item->address, item->kind->noun);
    }
    return item->kind->destroy_refusal != NULL ? item->kind->destroy_refusal(item->present) : NULL;
}

static bool is_leaving(const Present *present)
{
    return strcmp(present->status, "deleting") == 0;
}

static void decide(const Maker *maker, PlanItem *item)
{
    Plan *plan = maker->plan;
    if (item->present == NULL || is_leaving(item->present)) {
        item->leaving = item->present != NULL;
        item->present = NULL;
        item->action = PLAN_CREATE;
        return;
    }
    const DiffContext context = {&plan->present, &plan->applied, &plan->facts, item->instance};
    diff_resource(&context, item->desired, item->present, &item->differences);
    bool again = may_replace(maker->options, item->address) || instance_is_replaced(plan, item);
    if (diff_replaces(&item->differences) || again) {
        item->action = PLAN_REPLACE;
        item->refusal = replace_refusal(maker, item);
    } else {
        item->action = item->differences.list.len > 0 ? PLAN_UPDATE : PLAN_NONE;
    }
}

static void add_notes(const Maker *maker, PlanItem *item)
{
    Plan *plan = maker->plan;
    item->later = not_yet_in_effect(plan->arena, item->kind, item->desired);
    if (item->kind == &kind_db_proxy && !is_written(item->desired, "role_arn")) {
        item_note(plan, item, "role_arn is not set: the built-in role reads the secrets");
    }
    if (item->leaving) {
        item_note(plan, item, "waits until the one of that name that is being deleted is gone");
    }
    const Present *present = item->present;
    if (present == NULL) {
        return;
    }
    if (present->address == NULL && item->kind->tags != TAGS_NONE && !present->fixed) {
        item_note(plan, item, "was made by other means: it is taken over");
    } else if (present->address != NULL && strcmp(present->address, item->address) != 0 &&
               (plan->program == NULL ||
                tf_instance_find(plan->program, present->address) == NULL)) {
        item_note(plan, item, arena_printf(plan->arena, "was %s", present->address));
    }
    if (present->detail[0] != '\0') {
        item_note(plan, item, present->detail);
    }
}

static void note_retag(Plan *plan, PlanItem *item)
{
    if (item->present != NULL && item->action == PLAN_NONE) {
        CLEANUP(record_free_ptr) json_t *desired = tf_to_value_new(item->desired);
        const Change change = {.arena = plan->arena,
                               .kind = item->kind,
                               .address = item->address,
                               .desired = desired,
                               .present = item->present};
        item->retag = tags_outdated(&change);
    }
}

static bool plan_instance(Maker *maker, const TfInstance *instance, Err *err)
{
    Plan *plan = maker->plan;
    const TfValue *desired;
    if (!tf_evaluate(plan->program, instance, maker->diagnostics, &desired)) {
        return true; /* said; the others may have errors too */
    }
    const ResourceKind *kind = kind_find(instance->type->name);
    check_resource(kind, instance, desired, &plan->facts, maker->diagnostics);
    PlanItem *item = item_new(plan, kind, instance->address);
    item->instance = instance;
    item->desired = desired;
    item->key = kind_key(plan->arena, kind, desired, &plan->present);
    refuse_duplicate(maker, item);
    TRY(find_present(maker, item, &item->present, err));
    decide(maker, item);
    add_notes(maker, item);
    note_retag(plan, item);
    if (item->action == PLAN_NONE || item->action == PLAN_UPDATE) {
        plan_publish(plan, item, item->present, true);
    }
    return true;
}

/* ---- what has to go -----------------------------------------------------------------------------
 */

int destroy_rank(const Present *present)
{
    bool replica = present->kind == &kind_db_instance &&
                   member_str(present->attributes, "replicate_source_db", "")[0] != '\0';
    return present->kind->destroy_rank - (replica ? 1 : 0);
}

static bool is_claimed(const Plan *plan, const Present *present)
{
    for (size_t i = 0; i < plan->items.len; i++) {
        const PlanItem *item = plan->items.items[i];
        if (item->present == present || (item->kind == present->kind && item->key != NULL &&
                                         strcmp(item->key, present->key) == 0)) {
            return true;
        }
    }
    return false;
}

static void plan_removal(Plan *plan, Present *present)
{
    PlanItem *item = item_new(plan, present->kind, present->address);
    item->action = PLAN_DESTROY;
    item->key = present->key;
    item->present = present;
    if (present->kind->destroy_refusal != NULL) {
        item->refusal = present->kind->destroy_refusal(present);
    }
}

#define RANKS 8

static void plan_removals(Plan *plan)
{
    size_t len = plan->present.list.len;
    for (int rank = 0; rank < RANKS; rank++) {
        for (size_t i = 0; i < len; i++) {
            Present *present = plan->present.list.items[i];
            bool ours = present->address != NULL && present->kind->destroy != NULL &&
                        !present->fixed && !is_leaving(present);
            if (ours && destroy_rank(present) == rank && !is_claimed(plan, present)) {
                plan_removal(plan, present);
            }
        }
    }
}

/* ---- all ----------------------------------------------------------------------------------------
 */

static bool read_present(Plan *plan, const Caller *caller, Err *err)
{
    size_t len;
    const ResourceKind *const *kinds = kinds_all(&len);
    for (size_t i = 0; i < len; i++) {
        TRY(kinds[i]->read(caller, NULL, &plan->present, err));
    }
    return true;
}

static void count_actions(Plan *plan)
{
    for (size_t i = 0; i < plan->items.len; i++) {
        plan->count[plan->items.items[i]->action]++;
    }
}

bool plan_make(Plan *plan, Arena *arena, TfProgram *program, const Caller *caller,
               const PlanOptions *options, TfDiagnostics *diagnostics, Err *err)
{
    *plan = (Plan){.arena = arena, .program = program};
    *err = (Err){0};
    present_list_init(&plan->present, arena);
    Maker maker = {plan, caller, options, diagnostics};
    TRY(read_present(plan, caller, err) && applied_load(caller, &plan->applied, err) &&
        facts_load(arena, caller, &plan->facts, err));
    size_t len;
    const TfInstance *const *instances = tf_instances(program, &len);
    for (size_t i = 0; i < len; i++) {
        TRY(plan_instance(&maker, instances[i], err));
    }
    check_names(plan, diagnostics);
    if (diagnostics->errors > 0) {
        *err = (Err){0};
        tf_diagnostics_sort(diagnostics);
        return false;
    }
    plan_removals(plan);
    count_actions(plan);
    return true;
}

void plan_done(Plan *plan)
{
    present_list_done(&plan->present);
    applied_done(&plan->applied);
}

bool plan_is_empty(const Plan *plan)
{
    return plan->count[PLAN_NONE] == plan->items.len;
}

bool plan_is_refused(const Plan *plan)
{
    for (size_t i = 0; i < plan->items.len; i++) {
        if (plan->items.items[i]->refusal != NULL) {
            return true;
        }
    }
    return false;
}

bool plan_loses_data(const Plan *plan)
{
    for (size_t i = 0; i < plan->items.len; i++) {
        const PlanItem *item = plan->items.items[i];
        bool goes = item->action == PLAN_DESTROY || item->action == PLAN_REPLACE;
        if (goes && has_own_data(item->present)) {
            return true;
        }
    }
    return false;
}
