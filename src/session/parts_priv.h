/*
 * What the files of the session step (session.h) have of each other:
 *
 *   session.c            what the client says, and the life of sessions and exchanges
 *   names.c      named statements
 *   replay.c   settings that follow the client
 *   pins.c       pins, and their end
 *   listen.c     channels that the client listens to
 *   server.c     what the server says
 *   records.c    what messages in flight change, and how to take it back
 *   walsender.c  replication connections
 *   loss.c       what the loss of the server connection leaves open
 *   gate.c       what keeps a success from its client
 *   causal.c     what replicas must have, from session to session
 */
#ifndef WEIR_SESSION_PARTS_PRIV_H
#define WEIR_SESSION_PARTS_PRIV_H

#include "session/session.h"

void session_put_before(SessionOut *out, Slice bytes);
/* The server skips what comes, or takes it for COPY data: nothing of it counts. */
bool exchange_is_deaf(const Exchange *exchange);
/* Of a whole text, while no other is being read; `touched` is good to the next one. */
TextEffects session_text_effects(Exchange *exchange, Slice text);
/* This text, or a statement with it, is about to run. */
void session_note_text(Session *session, Exchange *exchange, const TextEffects *effects,
                       SessionOut *out);

/* ---- loss.c ------------------------------------------------------------------------------------
 */

void loss_begin(Exchange *exchange);
/* What is about to run: this text; the unnamed statement. */
void loss_note_text(Exchange *exchange, const TextEffects *effects);
void loss_note_unnamed(Exchange *exchange);
void loss_note_unread(Exchange *exchange);
/* A portal was bound to what was noted. */
void loss_note_bound(Exchange *exchange, Slice portal);
/* The server skips what stands in front of the next Sync. */
void loss_note_error(Exchange *exchange);
/* One of the client's messages is sent. False: what it runs was not noted. */
bool loss_note_message(const Session *session, Exchange *exchange, const PgPiece *piece);
/* One of its batches is answered. */
void loss_take_ready(Exchange *exchange);
/* Of what is answered now: whether it may have committed something; `inside`: only what ends the
 * transaction that is open. */
bool loss_may_have_committed(const Exchange *exchange, bool inside);
/* In front of a message that may begin the transaction of what is sent again. */
void loss_put_guard(Exchange *exchange, SessionOut *out);
/* True: what was sent again is refused as a write. */
bool loss_take_error(Exchange *exchange, const PgPiece *piece);
/* A message behind a loss, of a client without a server connection and with session->after. */
SessionStep loss_take_unlinked(Session *session, const PgPiece *piece, SessionOut *out);

/* ---- gate.c ------------------------------------------------------------------------------------
 */

void gate_begin(Exchange *exchange);
/* What is about to run: this text; something by a name that is not followed, whose text was noted;
 * what nobody has read. */
void gate_note_text(Exchange *exchange, const TextEffects *effects);
void gate_note_unknown(Exchange *exchange);
void gate_note_unread(Exchange *exchange);
/* The unnamed statement is about to run, which may have been parsed long ago. */
void gate_note_unnamed(Exchange *exchange);
void gate_note_error(Exchange *exchange); /* as of loss.c */
/* The session's settings are what PostgreSQL says. */
void gate_note_asked(Exchange *exchange);
/* Whether this piece, the first of a message, has to wait; where `on`. */
bool gate_holds(const Session *session, Exchange *exchange, const PgPiece *piece);
/* True: it is a notice that a wait was cut, which is not passed on. */
bool gate_takes(Exchange *exchange, const PgPiece *piece);
void gate_answered(Exchange *exchange); /* all that was asked */

/* ---- causal.c ----------------------------------------------------------------------------------
 */

void causal_begin(Exchange *exchange);
/* This text is about to run, or what nobody has read. Only of use where `standby` or its token says
 * so. They may set `problem`. */
void causal_note_text(Exchange *exchange, const TextEffects *effects, SessionOut *out);
void causal_note_unread(const Exchange *exchange, SessionOut *out);
/* A Parse whose name is not followed; the text is behind `offset`. */
void causal_note_kept(const Session *session, Exchange *exchange, const PgPiece *piece,
                      size_t offset, SessionOut *out);
/* The text noted last is the unnamed statement; and that is about to run. */
void causal_note_parsed(Exchange *exchange);
void causal_note_bound(const Exchange *exchange, SessionOut *out);
void causal_note_error(Exchange *exchange); /* as of loss.c */
/* The first part of the text noted last was sent before it was read. */
void causal_note_late(const Exchange *exchange, SessionOut *out);
void causal_put(const Session *session, Exchange *exchange, bool runs, SessionOut *out);
/* In front of what parses or `runs` a text with these bits of SQL_TOKEN_; once in a step. */
static inline void causal_show(const Session *session, Exchange *exchange, uint8_t token, bool runs,
                               SessionOut *out)
{
    if ((token & SQL_TOKEN_SHOWN) != 0) {
        causal_put(session, exchange, runs, out);
    }
}
/* PostgreSQL is asked for what was set so far; what it says of the token; and that was all. Of a
 * session that stays where it is the token is pending for good. */
void causal_ask(Exchange *exchange);
void causal_take(Exchange *exchange, Slice value);
void causal_answered(const Session *session, Exchange *exchange, SessionOut *out);

/* ---- pins.c ----------------------------------------------------------------------------
 */

/* The first reason is the one that is told. */
void session_pin(Session *session, PinReason reason, SessionOut *out);
/* The conversation is at rest. False: not quite, for the server is asked what is left of the pins.
 */
bool pins_rest(Session *session, Exchange *exchange, SessionOut *out);
/* A text is about to run that pins; and the server says an error. */
void pins_note(Session *session, Exchange *exchange, const TextEffects *effects, SessionOut *out);
void pins_take_error(Session *session, const Exchange *exchange, const PgPiece *piece,
                     SessionOut *out);
void pins_take_row(Session *session, Exchange *exchange, const PgPiece *piece);
void pins_end(Session *session, const Exchange *exchange, SessionOut *out);
/* A question of the proxy's own goes to the server, at once. */
void exchange_ask(Exchange *exchange, Asking asking, Slice query, SessionOut *out);

/* ---- listen.c ----------------------------------------------------------------------------------
 */

/* The answer to the question what pins has channels in it. The last returns true: there are none.
 */
void listen_found_begin(Session *session);
void listen_found_add(Session *session, Slice channel);
bool listen_found_end(Session *session, const Exchange *exchange, SessionOut *out);
/* In front of a client's message, where it has listened before: STEP_FORWARD; or STEP_WAIT, until
 * its server connection listens to its channels itself. */
SessionStep listen_before(Session *session, Exchange *exchange, const PgPiece *piece,
                          SessionOut *out);
void listen_note(const Session *session, Exchange *exchange, const TextEffects *effects);
/* The session is about to be shared again, without its channels. */
bool listen_is_leaving(const Session *session);
/* From the server: the end of an answer, and a notification. */
void listen_answered(Session *session, Exchange *exchange, Asking asked, SessionOut *out);
SessionStep listen_take_notification(Session *session, Exchange *exchange, const PgPiece *piece,
                                     SessionOut *out);

/* ---- names.c ---------------------------------------------------------------------------
 */

bool session_follows_names(const Session *session, const Exchange *exchange);
/* What servers call statements is none of the clients' business: sets `problem`. */
bool names_refuse_reserved(const Session *session, Slice name, SessionOut *out);
bool names_can_follow(const Session *session, const Exchange *exchange, const PgPiece *piece,
                      Slice name);
/* A Parse goes to the server as it is, and the name stays there. */
void names_keep_parse(Session *session, Exchange *exchange, Slice name, SessionOut *out);
void names_take_parse(Session *session, Exchange *exchange, const PgPiece *piece, Slice name,
                      Slice tail, SessionOut *out);
/* False: the name is not known, and the server has words for it. */
bool names_take_bind(Session *session, Exchange *exchange, const PgPiece *piece, const PgBind *bind,
                     SessionOut *out);
/* Describe and Close of a statement. Returns the marks of the message in flight. */
unsigned names_take_target(Session *session, Exchange *exchange, const PgPiece *piece, Slice name,
                           SessionOut *out);
/* What the client's name stands for; NULL: nothing, or the server is deaf. */
Statement *names_find(const Session *session, const Exchange *exchange, Slice name);
/* What running it may do. */
const TextEffects *names_effects(Exchange *exchange, Statement *statement);
void names_close_strays(Exchange *exchange, const PgPiece *piece, SessionOut *out);
/* DEALLOCATE of one of the client's names. */
void names_note_deallocate(const Session *session, Exchange *exchange, Slice text, bool whole,
                           SessionOut *out);
/* From the server: CommandComplete and ErrorResponse. */
void names_take_tag(Session *session, Exchange *exchange, Slice tag);
void names_take_error(Exchange *exchange, const PgPiece *piece);

/* ---- replay.c ------------------------------------------------------------------------
 */

void settings_begin(Session *session, Exchange *exchange);
/* Everything that was set on the server connection is led back in front of the client. */
void settings_discarded(Exchange *exchange);
/* In front of the first piece of a client's message: STEP_FORWARD, with the replay in `out` where
 * one is due; or STEP_WAIT, until the settings are in force. */
SessionStep settings_before(Session *session, Exchange *exchange, const PgPiece *piece,
                            SessionOut *out);
void settings_note(Session *session, Exchange *exchange, const TextEffects *effects,
                   SessionOut *out);
/* An Execute is sent. */
void settings_executed(Exchange *exchange);
/* The next message must wait for what is under way. */
bool settings_hold(const Exchange *exchange);
/* From the server. */
void settings_take_tag(Session *session, Exchange *exchange, Slice tag);
void settings_take_own_tag(Exchange *exchange, Slice tag); /* of a message of ours */
/* True: it is an error of the proxy's own that is none of the client's business. */
bool settings_take_error(Exchange *exchange, const FlightAnswer *answer);
void settings_take_ready(Session *session, Exchange *exchange, const FlightAnswer *answer);
/* The answer to the question which values they have. */
void settings_take_row(Session *session, Exchange *exchange, const PgPiece *piece);
void settings_end(Session *session, Exchange *exchange, SessionOut *out);
/* The conversation is at rest. False: not quite, for the server is asked what was set. */
bool settings_rest(Session *session, Exchange *exchange, SessionOut *out);

/* ---- walsender.c -------------------------------------------------------------------------
 */

/* In front of the first piece of a client's message, in the place of settings_before. */
SessionStep walsender_before(Exchange *exchange, const PgPiece *piece, SessionOut *out);
void walsender_take_ready(Exchange *exchange, const FlightAnswer *answer);

#endif
