/* See last_word_priv.h. */
#include "proxy/split/last_word_priv.h"

static bool is_one_of(Slice code, const char *const *codes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_is(code, codes[i])) {
            return true;
        }
    }
    return false;
}

/* The connection's, and not the request's. */
static bool is_of_the_connection(Slice code)
{
    static const char *const codes[] = {
        "57P01", "57P02", "57P03", "57P05", /* it ends */
        "26000",                            /* it has lost a statement */
        "0A000",                            /* or its plan; or a replica cannot do that */
    };
    return is_one_of(code, codes, ARRAY_LEN(codes));
}

/* A replica may not know yet what the primary has, and may be in the way of what is replayed. */
static bool is_of_the_replica(Slice code)
{
    static const char *const codes[] = {
        "40001", "40P01",          /* in conflict with what is replayed */
        "57P04",                   /* the database is dropped, or was: it may be there again */
        "22023",                   /* a setting of the client's that it does not take */
        "55000",                   /* not during recovery */
        "58P01", "XX001", "XX002", /* its copy is broken */
    };
    return is_one_of(code, codes, ARRAY_LEN(codes)) || slice_starts(code, "42") ||
           slice_starts(code, "3F") || slice_starts(code, "26");
}

/* A line has a limit of its own; one that the client has set for itself has passed wherever the
 * statement ran. */
static bool is_ended_for_others(const PgError *error, ReadAsked asked)
{
    bool own = asked.cancelled || slice_has(error->message, "statement timeout");
    return slice_is(error->sqlstate, "57014") && (asked.line || !own);
}

ReadVerdict read_verdict(const PgError *error, ReadAsked asked)
{
    Slice code = error->sqlstate;
    bool writes = slice_is(code, "25006");
    bool ended = is_ended_for_others(error, asked);
    return (ReadVerdict){
        .again = writes || ended || is_of_the_connection(code) ||
                 (asked.replica && is_of_the_replica(code)),
        .anew = slice_is(code, "0A000"),
        .writes = writes,
        .alone = asked.line && (writes || ended),
    };
}
