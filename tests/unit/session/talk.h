/* A conversation of a client with a server, as the tests of sessions hold it. */
#ifndef WEIR_TESTS_UNIT_PROXY_TALK_H
#define WEIR_TESTS_UNIT_PROXY_TALK_H

#include "../unit.h"

#include "session/session.h"

/* A client's message with the usual body of its type. `name` is a statement's; `text` is that of a
 * Query and a Parse, and the portal of a Bind and an Execute. */
void talk_put(Buf *buf, char type, const char *name, const char *text);

/* The client says the message; what goes to the server for it is appended to `sent`. */
SessionStep talk_say(Session *session, Exchange *exchange, SessionOut *out, Slice message,
                     Buf *sent);

/* The same for talk_put's message. */
SessionStep talk_message(Session *session, Exchange *exchange, SessionOut *out, char type,
                         const char *name, const char *text, Buf *sent);

/* The letter of a message from the server, by what became of it. */
typedef char (*TalkLetter)(char type, SessionStep step, const SessionOut *out);

#define TALK_MAX 64

/* One message per character of the server; an 'I', 'T' or 'E' behind a 'Z' is its status. `got`
 * becomes a letter per message. */
void talk_answer(Session *session, Exchange *exchange, SessionOut *out, const char *types,
                 TalkLetter letter, char got[static TALK_MAX]);

#endif
