/*
 * The record's history of timelines: where each began, as far back as it is known; what a leader
 * tells of its own; and whether somebody's data is of it, or went another way.
 */
#include "ha/ha_priv.h"

/* The last that is known of; 0: none is. */
static int64_t newest(const HaRecord *record)
{
    return record->history_len > 0 ? record->history[record->history_len - 1].timeline : 0;
}

int64_t ha_record_timeline(const HaRecord *record)
{
    return record->history_term == record->term ? newest(record) : 0;
}

bool ha_record_strange(const HaRecord *record, int64_t timeline)
{
    bool inside = timeline < newest(record) && timeline > record->history[0].timeline;
    for (size_t i = 0; i < record->history_len && inside; i++) {
        inside = record->history[i].timeline != timeline;
    }
    return inside;
}

/* The record may hold others' timelines: what the leader tells is its own history, whole. */
static bool tells_all(const HaView *view)
{
    return view->record.unsure || ha_is_admitted(view);
}

void ha_view_went_through(HaView *view, HaFork fork)
{
    if (!tells_all(view) && fork.timeline <= newest(&view->record)) {
        return;
    }
    if (view->halfway_len == HA_HISTORY_MAX) {
        memmove(view->halfway, view->halfway + 1, (HA_HISTORY_MAX - 1) * sizeof(fork));
        view->halfway_len--;
    }
    view->halfway[view->halfway_len++] = fork;
}

static void history_add(HaRecord *record, HaFork fork)
{
    if (record->history_len == HA_HISTORY_MAX) {
        memmove(record->history, record->history + 1,
                (HA_HISTORY_MAX - 1) * sizeof(record->history[0]));
        record->history_len--;
    }
    record->history[record->history_len++] = fork;
}

/* Whether what the record has last is of the past of a leader whose timeline is `own`, and which
 * left one that the record does not know at `left`, if not that. Forks of who led before are not,
 * where it had left their timelines earlier. */
static bool ends_in_past(const HaRecord *record, const HaFork *own, uint64_t left)
{
    const HaFork *last = &record->history[record->history_len - 1];
    return last->timeline < own->timeline
               ? last->lsn <= left
               : last->timeline == own->timeline && last->lsn == own->lsn;
}

void ha_record_tell(HaRecord *record, const HaView *view)
{
    HaFork own = {.timeline = view->timeline, .lsn = view->fork_lsn};
    uint64_t left = view->halfway_len > 0 ? view->halfway[0].lsn : own.lsn;
    bool all = tells_all(view);
    while (record->history_len > 0 && (all || !ends_in_past(record, &own, left))) {
        record->history_len--;
    }
    if (all && own.timeline > 1) { /* of which no line of its history file tells */
        history_add(record, (HaFork){.timeline = 1, .lsn = 0});
    }
    for (size_t i = 0; i < view->halfway_len; i++) {
        history_add(record, view->halfway[i]);
    }
    if (newest(record) != own.timeline) {
        history_add(record, own); /* where only the term is another one, it is there */
    }
    record->history_term = record->term;
    /* Others' numbers may come next, unless they were passed over. */
    record->unsure = record->unsure && own.timeline <= newest(&view->record) + HA_TIMELINES_UNSURE;
}

bool ha_record_fork(const HaRecord *record, int64_t timeline, HaFork *ret_fork)
{
    for (size_t i = 0; i < record->history_len; i++) {
        if (record->history[i].timeline > timeline) { /* the first one that left it */
            *ret_fork = record->history[i];
            return true;
        }
    }
    return false;
}

bool ha_record_diverged(const HaRecord *record, int64_t timeline, uint64_t lsn)
{
    HaFork fork;
    if (record->history_len == HA_HISTORY_MAX && timeline + 1 < record->history[0].timeline) {
        return true; /* where the history left it is forgotten */
    }
    if (ha_record_strange(record, timeline)) {
        return true;
    }
    if (ha_record_fork(record, timeline, &fork)) {
        return lsn > fork.lsn;
    }
    /* Newer than all that is known: the leader's own, where it has not told of it yet. */
    return ha_record_timeline(record) != 0 && timeline > newest(record);
}

int64_t ha_record_passed_over(const HaRecord *record, int64_t timeline)
{
    int64_t known = newest(record) > timeline ? newest(record) - timeline : 0;
    return record->unsure ? known + HA_TIMELINES_UNSURE : 0;
}
