/*
 * A model of the setting "weir.causal_token" at the server: who has set what it shows. It is the
 * proxy's own for the transaction that shows it, a client's only from its SET to when it was asked
 * for, and no client's at rest. And of search_path, which may say in the same answer that the
 * session is pinned.
 */
#ifndef WEIR_FUZZ_MODEL_TOKEN_H
#define WEIR_FUZZ_MODEL_TOKEN_H

#include "base/base.h"

enum { TOKEN_NOBODY, TOKEN_CLIENT, TOKEN_PROXY = TOKEN_CLIENT + 2 }; /* CLIENT and up: which */

typedef struct ModelToken {
    bool named; /* otherwise nothing that shows it can be parsed */
    int session, before;
    int local;                   /* -1: none */
    bool temporary, temporaries; /* search_path has pg_temp; and when the transaction began */
} ModelToken;

static inline void model_token_init(ModelToken *token)
{
    *token = (ModelToken){.local = -1};
}

static inline int model_token_value(const ModelToken *token)
{
    return token->local >= 0 ? token->local : token->session;
}

static inline void model_token_set(ModelToken *token, int by)
{
    token->named = true;
    token->session = by;
    token->local = -1;
}

static inline void model_token_commit(ModelToken *token)
{
    token->before = token->session;
    token->temporaries = token->temporary;
    token->local = -1;
}

static inline void model_token_roll_back(ModelToken *token)
{
    token->session = token->before;
    token->temporary = token->temporaries;
    token->local = -1;
}

/* search_path to pg_temp, which no text says; and the token. */
#define SETS_BOTH                                                                                  \
    "select set_config('search_path', $1, false), set_config('weir.causal_token', $2, false)"

static inline bool sets_both(Slice sql)
{
    return slice_starts(sql, "select set_config('search_path'");
}

static inline bool sets_token(Slice sql)
{
    return slice_starts(sql, "set weir.") || slice_starts(sql, "reset weir.") || sets_both(sql);
}

static inline bool shows_token(Slice sql)
{
    return slice_starts(sql, "show weir.");
}

/* The proxy's own. */
static inline bool puts_token(Slice sql)
{
    return slice_starts(sql, "SELECT pg_catalog.set_config('weir.") ||
           slice_starts(sql, "SELECT CASE WHEN pg_catalog.pg_current_xact_id");
}

static inline bool may_follow_token(Slice sql)
{
    return sets_token(sql) || slice_is(sql, "commit");
}

#endif
