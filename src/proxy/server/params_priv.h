/*
 * params: small lists of settings, in the form of a start packet: name, NUL, value, NUL, in the
 * order of their names. Read them with pg_params_next. Immutable and counted, so that "the same
 * list" is mostly the same pointer.
 */
#ifndef WEIR_PROXY_PARAMS_PRIV_H
#define WEIR_PROXY_PARAMS_PRIV_H

#include "wire/wire.h"

#define PARAMS_BYTES_MAX ((size_t)64 << 10) /* what a server may report */

typedef struct ParamList {
    size_t refs; /* of one thread */
    size_t len;
    char bytes[]; /* ends with one more NUL, which is not counted */
} ParamList;

ParamList *params_new(Slice bytes); /* one reference; the order is the caller's */
ParamList *params_ref(ParamList *list);
void params_unref(ParamList *list); /* NULL is fine */
Slice params_slice(const ParamList *list);
bool params_equal(const ParamList *a, const ParamList *b);
/* A new list in which `name` has `value`; NULL where it would be longer than PARAMS_BYTES_MAX. The
 * names are compared without case. */
ParamList *params_with(const ParamList *list, Slice name, Slice value);
Slice params_value(const ParamList *list, const char *name); /* data == NULL: absent */
/* Appends a ParameterStatus for each setting that `before` (may be NULL) lacks or has otherwise. */
void params_put_changes(const ParamList *before, const ParamList *after, Buf *out);

/* What of a start packet makes server connections different, other than user and database: lower
 * case names, the last of each counts, without what is the connection's own business
 * (replication, _pq_.*). Two clients with equal lists may share. */
ParamList *params_of_start(Slice start_params);

/* Takes SQL_TOKEN_NAME out of such a list, be it a parameter of its own or in `options` (-c NAME=…,
 * --NAME=…), where the last one counts: it is the client's, and makes no server connection
 * different. *ret_value is what it says, empty where it is not there. Gives `list` up. */
ParamList *params_take_token(ParamList *list, Buf *ret_value);

typedef enum Replication {
    REPLICATION_NONE,
    REPLICATION_LOGICAL,  /* a walsender of a database */
    REPLICATION_PHYSICAL, /* of the whole server */
    REPLICATION_BAD,      /* the parameter is neither */
} Replication;

/* What a start packet says of replication, in whatever case it says it. */
Replication params_replication(Slice start_params);
/* The list of a logical walsender, whose name is ours (RULES F4). Gives `list` up. */
ParamList *params_for_walsender(ParamList *list);

#endif
