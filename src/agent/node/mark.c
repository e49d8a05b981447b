/*
 * The mark of a node's data directory: without one the directory does not count and is made anew;
 * with one it has an incarnation, and it is known what it has been.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/node/node_priv.h"

#define MARK_MAX ((size_t)4096)

static char *mark_path(const NodeRun *run)
{
    return arena_printf(run->arena, "%s/weir-node.json", run->paths.root);
}

static const char *const data_words[] = {"new", "copy", "led"};

bool node_mark_prepared(NodeRun *run, const char *incarnation, HaData data, Err *err)
{
    NodeWork *work = run->work;
    if (strcmp(work->incarnation, incarnation) == 0 && work->lead.data == data) {
        return true;
    }
    const char *text = arena_printf(run->arena, "{\"incarnation\": \"%s\", \"data\": \"%s\"}\n",
                                    incarnation, data_words[data]);
    TRY(file_write(mark_path(run), slice_of(text), 0600, err));
    if (incarnation != work->incarnation) { /* which snprintf must not copy onto itself */
        snprintf(work->incarnation, sizeof(work->incarnation), "%s", incarnation);
    }
    work->lead.data = data;
    return true;
}

bool node_mark_drop(NodeRun *run, Err *err)
{
    if (unlink(mark_path(run)) != 0 && errno != ENOENT) {
        return err_set_errno(err, errno, "cannot remove %s", mark_path(run));
    }
    run->work->incarnation[0] = '\0';
    return true;
}

/* One that does not say was made before anybody led but the first: it has led, or followed only. */
static HaData mark_data(NodeRun *run, const json_t *mark)
{
    const char *word = member_str(mark, "data", "");
    for (size_t i = 0; i < ARRAY_LEN(data_words); i++) {
        if (strcmp(word, data_words[i]) == 0) {
            return (HaData)i;
        }
    }
    const char *standby = arena_printf(run->arena, "%s/standby.signal", run->paths.data);
    return file_exists(standby) ? HA_DATA_COPY : HA_DATA_LED;
}

/* Only a mark that is not there means that there is none: one that cannot be read must not end in a
 * fresh directory. */
bool node_mark_read(NodeRun *run, Err *err)
{
    if (run->work->incarnation[0] != '\0') {
        return true;
    }
    Buf text;
    buf_init(&text, MARK_MAX);
    CLEANUP(record_free_ptr) json_t *mark = NULL;
    bool there = file_read(mark_path(run), &text, err);
    bool ok = there ? record_parse(buf_slice(&text), &mark, err) : err->code == ERR_NOT_FOUND;
    buf_done(&text);
    if (ok) {
        snprintf(run->work->incarnation, sizeof(run->work->incarnation), "%s",
                 member_str(mark, "incarnation", ""));
        run->work->lead.data = mark_data(run, mark);
    }
    return ok || err_wrap(err, "the mark of the data directory of node %s", run->work->id);
}

bool node_may_begin_anew(NodeRun *run, const char *cluster, Err *err)
{
    CLEANUP(record_free_ptr) json_t *record = NULL;
    StoreItem item;
    const char *key = arena_printf(run->arena, "cluster/%s", cluster);
    if (!store_get(run->work->options->store, slice_of(key), run->arena, &item, err)) {
        return err->code == ERR_NOT_FOUND;
    }
    TRY(record_parse(item.value, &record, err));
    bool leads = strcmp(member_str(record, "leader", ""), run->work->id) == 0;
    if (leads && ha_record_may_have_begun(record)) {
        return err_set(
            err, ERR_DENIED,
            "the data directory of node %s is not in %s, and its cluster counts on it, or may "
            "have before the copy of the store that the tier goes on from: is a volume not "
            "mounted?",
            run->work->id, run->paths.root);
    }
    return true;
}
