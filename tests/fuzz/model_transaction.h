/* Transactions of the session's model at its server: what they say, commit, roll back and wait for,
 * and how they fail. */
#ifndef WEIR_FUZZ_MODEL_TRANSACTION_H
#define WEIR_FUZZ_MODEL_TRANSACTION_H

#include "model_world.h"

static inline void say(World *w, const char *types, uint8_t owner)
{
    for (; *types != '\0'; types++) {
        bool tells = *types == 'C' || *types == 'Z';
        bool plain = *types == 'C' && owner != NOBODY;
        queue_put(&w->out, (Entry){.type = *types,
                                   .owner = owner,
                                   .tag = plain ? "INSERT 0 1" : NULL,
                                   .status = w->status,
                                   .cut = tells && owner != NOBODY && w->cut});
        w->cut = w->cut && *types != 'Z';
    }
}

static inline void say_tag(World *w, const char *tag, uint8_t owner)
{
    bool cut = owner != NOBODY && w->cut;
    queue_put(&w->out, (Entry){.type = 'C', .owner = owner, .tag = tag, .cut = cut});
}

/* The wait of a commit: for something that was written. What commits by a text that does not say so
 * (serve_transaction) is not read as one: there the server tells of a cut. */
static inline void wait_for_standby(World *w, bool said)
{
    const Gate *gate = &w->exchange.gate;
    bool wrote = w->wrote;
    w->wrote = false;
    if (!gate->on || !wrote || w->linked < 0 || choose(w, 3) != 0) {
        return;
    }
    if ((w->cancels > 0 || (gate->quiet && said)) && choose(w, 2) == 0) {
        w->cut = true;
    } else {
        queue_put(&w->out, (Entry){.type = 'N', .owner = NOBODY, .cut = true});
    }
}

static inline void roll_back(World *w)
{
    w->replayed = w->bound = w->wrote = false;
    w->marking = 0;
    model_settings_roll_back(&w->settings);
    model_token_roll_back(&w->token);
    listens_roll_back(&w->listens);
    if (w->linked >= 0) {
        listens_roll_back(&w->own_listens[w->linked]);
        model_settings_roll_back(&w->own_settings[w->linked]);
    }
}

static inline void commit(World *w, bool said)
{
    w->replayed = w->bound = false;
    wait_for_standby(w, said);
    model_settings_commit(&w->settings);
    model_token_commit(&w->token);
    listens_commit(&w->listens);
    mark(w);
    if (w->linked >= 0) {
        listens_commit(&w->own_listens[w->linked]);
        model_settings_commit(&w->own_settings[w->linked]);
    }
}

static inline void fail(World *w, uint8_t owner, bool extended)
{
    w->doubt = true; /* until everything in flight is over */
    if (w->status == 'T') {
        w->status = 'E';
    } else if (w->status == 'I') {
        roll_back(w);
    }
    say(w, "E", owner);
    w->skip = extended;
    w->skipper = owner;
    w->skips_more = false;
}

/* BEGIN, or what ends a transaction. */
static inline void serve_transaction(World *w, uint8_t owner)
{
    uint8_t choice = choose(w, 4);
    if (w->status == 'I') {
        w->status = 'T';
        say_tag(w, "BEGIN", owner);
    } else if (w->status == 'T' && choice == 0) {
        say_tag(w, "ROLLBACK", owner); /* to a savepoint, which nothing was set behind */
    } else if (w->status == 'T' && choice < 3) {
        w->status = 'I';
        commit(w, false);
        say_tag(w, "COMMIT", owner);
    } else {
        w->status = 'I';
        roll_back(w);
        say_tag(w, "ROLLBACK", owner);
    }
}

static inline bool is_transaction(Slice sql)
{
    return slice_is(sql, "begin") || slice_is(sql, "commit") || slice_is(sql, "rollback");
}

/* A text that says so; outside of a transaction COMMIT and ROLLBACK end the batch's own. */
static inline void serve_said_transaction(World *w, uint8_t owner, Slice sql)
{
    bool failed = w->status == 'E';
    if (slice_is(sql, "begin")) {
        w->status = 'T';
        say_tag(w, "BEGIN", owner);
    } else if (slice_is(sql, "commit") && !failed) {
        w->status = 'I';
        commit(w, true);
        say_tag(w, "COMMIT", owner);
    } else {
        w->status = 'I';
        roll_back(w);
        say_tag(w, "ROLLBACK", owner);
    }
}

static inline void transaction_end(World *w)
{
    if (w->status == 'I') {
        commit(w, true);     /* where it failed, there is nothing left to be committed */
        w->portal[0] = '\0'; /* it lives no longer than its transaction */
    }
}

/* A Query's commit stands in front of the word of its last statement, if it has one. */
static inline void tell_cut(World *w)
{
    Entry *last =
        w->out.len > 0 ? &w->out.entries[(w->out.first + w->out.len - 1) % QUEUE_MAX] : NULL;
    if (w->cut && last != NULL && last->type == 'C' && last->owner != NOBODY) {
        last->cut = true;
        w->cut = false;
    }
}

#endif
