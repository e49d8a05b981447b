/* One step on the way of a resource: a change and a look at what became of it. Runs on a worker. */
#include "cli/apply/apply_priv.h"

Task *task_new(TaskKind kind, const PlanItem *item, const char *key, json_t *desired,
               json_t *changed, const Present *present, void *owner)
{
    Task *task = mem_alloc(sizeof(Task));
    task->kind = kind;
    task->arena = arena_new();
    task->key = key;
    task->owner = owner;
    task->change = (Change){.arena = task->arena,
                            .kind = item->kind,
                            .address = item->address,
                            .desired = desired,
                            .present = present,
                            .changed = changed};
    present_list_init(&task->found, task->arena);
    return task;
}

/* The tree may hold a password; jansson's memory cannot be wiped, it is only given back. */
void task_free(Task *task)
{
    if (task != NULL) {
        present_list_done(&task->found);
        json_decref((json_t *)(uintptr_t)task->change.desired);
        json_decref((json_t *)(uintptr_t)task->change.changed);
        arena_free(task->arena);
        mem_free(task);
    }
}

static Present *found_one(const Task *task)
{
    return present_find(&task->found, task->change.kind, task->key);
}

/* Of those that the API has remarks on. That there is none is no reason to fail. */
static void look_for_remark(Task *task, const Caller *caller)
{
    const ResourceKind *kind = task->change.kind;
    CLEANUP(record_free_ptr) json_t *output = NULL;
    Err err;
    if (kind == &kind_db_instance || kind == &kind_db_proxy || kind == &kind_db_proxy_endpoint ||
        kind == &kind_replication_group) {
        (void)!caller_call(caller, "weir", "ListRemarks",
                           json_pack("{s:s}", "ResourceId", task->key), &output, NULL, &err);
        const char *text = remark_of_state(json_object_get(output, "Remarks"),
                                           (ResourceType)kind->model, task->key);
        task->remark = arena_strdup(task->arena, text);
    }
}

static bool look(Task *task, const Caller *caller)
{
    TRY(task->change.kind->read(caller, task->key, &task->found, &task->err));
    const Present *found = found_one(task);
    if (found != NULL && !present_is_ready(found)) {
        look_for_remark(task, caller);
    }
    return true;
}

/* A proxy's target gets its tag when it is there: the tag is the proxy's. */
static bool add_tags(Task *task)
{
    task->change.present = found_one(task);
    return task->change.present == NULL || !tags_outdated(&task->change) ||
           change_tags(&task->change, &task->err);
}

static bool create(Task *task, const Caller *caller)
{
    task->made = task->change.kind->create(&task->change, &task->err);
    return task->made && look(task, caller) && add_tags(task);
}

static bool update(Task *task, const Caller *caller)
{
    task->made = task->change.kind->update(&task->change, &task->err) &&
                 change_tags(&task->change, &task->err);
    return task->made && look(task, caller);
}

static bool destroy(Task *task)
{
    bool gone = task->change.kind->destroy(&task->change, &task->err) ||
                strstr(task->change.fault.code, "NotFound") != NULL;
    task->made = gone;
    return gone;
}

void task_run(Task *task, const Caller *caller)
{
    task->change.caller = caller;
    switch (task->kind) {
    case TASK_CREATE:
        task->ok = create(task, caller);
        break;
    case TASK_UPDATE:
        task->ok = update(task, caller);
        break;
    case TASK_READ:
        task->ok = look(task, caller);
        break;
    case TASK_DESTROY:
        task->ok = destroy(task);
        break;
    default:
        UNREACHABLE();
    }
    task->change.caller = NULL;
}
