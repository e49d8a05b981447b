/*
 * session_records: what messages in flight change of named statements, and how to take it back
 * (session.h): the records of an exchange, in the order of their messages; and its strays,
 * clients' names that the server has and shall not.
 */
#ifndef WEIR_SESSION_RECORDS_PRIV_H
#define WEIR_SESSION_RECORDS_PRIV_H

#include "session/session.h"

/* `kind`: bits of Record's. Takes a reference of the statement, which may be NULL as the name may
 * be empty. */
void record_add(Exchange *exchange, unsigned kind, Statement *statement, Slice name);
/* The message of the oldest record succeeded. */
void record_keep(Exchange *exchange);
/* The oldest so many messages with records failed, or were skipped. Without a client `session` is
 * NULL. */
void records_undo(Session *session, Exchange *exchange, size_t count);
/* Whether it says what the client's name stands for. */
bool record_is_of(const Record *record, Slice name);
/* And the strays, and what is being deallocated. */
void records_clear(Exchange *exchange);

void stray_remove(Exchange *exchange, const char *name);
void strays_clear(Exchange *exchange);

#endif
