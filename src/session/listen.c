/* Channels that change hands: see listen_priv.h. */
#include <stdio.h>

#include "session/parts_priv.h"

#define MARK_MAX 128

void listening_free(Listening *listening)
{
    if (listening != NULL) {
        buf_done(&listening->channels);
        mem_free(listening->mark);
        mem_free(listening->tag);
        mem_free(listening);
    }
}

static void put_mark(const Listening *listening, char out[static MARK_MAX])
{
    snprintf(out, MARK_MAX, "%s.%llu", listening->tag, (unsigned long long)listening->marks);
}

bool listening_is_mark(const Listening *listening, Slice payload)
{
    char mark[MARK_MAX];
    if (listening->tag == NULL) {
        return false;
    }
    put_mark(listening, mark);
    return slice_eq(payload, slice_of(mark));
}

static void set_text(char **text, Slice value)
{
    mem_free(*text);
    *text = mem_printf("%.*s", SLICE_FMT(value));
}

static void set_mark(Listening *listening, Slice mark, Slice tag)
{
    set_text(&listening->mark, mark);
    set_text(&listening->tag, tag);
}

static bool has_channel(const Listening *listening, Slice channel)
{
    Slice rest = buf_slice(&listening->channels);
    while (rest.len > 0) {
        if (slice_eq(slice_cut(&rest, '\0'), channel)) {
            return true;
        }
    }
    return false;
}

/* ---- what is said to the server connection -----------------------------------------------------
 */

void session_put_channel(Buf *out, const char *command, Slice channel)
{
    buf_append_str(out, command);
    buf_append_char(out, '"');
    for (size_t i = 0; i < channel.len; i++) {
        if (channel.data[i] == '"') {
            buf_append_char(out, '"');
        }
        buf_append_char(out, channel.data[i]);
    }
    buf_append_char(out, '"');
}

/* Listens to the mark, and sends it. */
static void put_new_mark(Listening *listening, Buf *out)
{
    char mark[MARK_MAX];
    listening->marks++;
    listening->passed = false;
    put_mark(listening, mark);
    session_put_channel(out, "LISTEN ", slice_of(listening->mark));
    buf_printf(out, "; NOTIFY \"%s\", '%s'", listening->mark, mark);
}

static void ask(Exchange *exchange, Asking asking, Buf *text, SessionOut *out)
{
    exchange_ask(exchange, asking, buf_slice(text), out);
    buf_done(text);
    exchange->answered = true; /* an error says otherwise */
    exchange->barrier = true;
}

/* ---- found on the server connection ------------------------------------------------------------
 */

void listen_found_begin(Session *session)
{
    Listening *listening = session->listening;
    if (listening == NULL) {
        return;
    }
    listening->found = listening->too_many = false;
    if (listening->state == LISTENING_OWN) {
        buf_clear(&listening->channels);
        listening->channels.overflowed = false;
        listening->count = 0;
    }
}

void listen_found_add(Session *session, Slice channel)
{
    if (session->listening == NULL) {
        session->listening = mem_alloc(sizeof(Listening));
        buf_init(&session->listening->channels, LISTEN_CHANNEL_BYTES_MAX);
    }
    Listening *listening = session->listening;
    if (listening->state != LISTENING_OWN) {
        listening->too_many = true; /* beside those of the shared connection */
        return;
    }
    pg_put_str(&listening->channels, channel);
    listening->count++;
    listening->too_many = listening->too_many || listening->count > LISTEN_CHANNELS_MAX ||
                          listening->channels.overflowed;
}

bool listen_found_end(Session *session, const Exchange *exchange, SessionOut *out)
{
    Listening *listening = session->listening;
    if (listening == NULL) {
        return true;
    }
    if (listening->state == LISTENING_OWN && listening->count == 0) {
        listening_free(listening);
        session->listening = NULL;
        out->news = LISTEN_GONE;
        return true;
    }
    if (listening->state != LISTENING_OWN) {
        return !listening->too_many;
    }
    listening->found = !listening->too_many && !exchange->soiled;
    out->news = listening->found ? LISTEN_FOUND : LISTEN_NO_NEWS;
    return false;
}

/* ---- to the shared connection ------------------------------------------------------------------
 */

bool listen_is_leaving(const Session *session)
{
    return session->listening != NULL && session->listening->found;
}

/* Nothing was said since. */
bool session_listen_is_found(const Session *session, const Exchange *exchange)
{
    const Listening *listening = session->listening;
    return listening != NULL && listening->found && listening->state == LISTENING_OWN &&
           exchange->batch_before == exchange->batch && exchange->touched.len == 0 &&
           !session->mid_message && !session->pinned_for_good && exchange->status == 'I' &&
           !exchange->open && exchange->asking == ASKING_NOTHING &&
           flight_is_empty(&exchange->flight);
}

bool session_listen_share(Session *session, Exchange *exchange, Slice mark, Slice tag,
                          SessionOut *out)
{
    Buf text;
    session_out_clear(out);
    if (!session_listen_is_found(session, exchange)) {
        exchange->releases = true;
        return false;
    }
    set_mark(session->listening, mark, tag);
    buf_init(&text, BUF_MAX_DEFAULT);
    put_new_mark(session->listening, &text);
    exchange->marked = false;
    ask(exchange, ASKING_SHARE, &text, out);
    return true;
}

void session_listen_give(Session *session, Slice mark, Slice tag)
{
    ASSERT(session->listening != NULL && session->listening->state == LISTENING_OWN);
    set_mark(session->listening, mark, tag);
    session->listening->state = LISTENING_SHARED;
    session->listening->passed = false; /* there it would not hear a mark yet */
    session->listening->found = false;
    session->pin = PIN_NONE;
}

static void share_answered(Session *session, Exchange *exchange, SessionOut *out)
{
    Buf text;
    if (!exchange->marked) {
        session->listening->found = false;
        out->news = LISTEN_FAILED; /* a NOTIFY may fail: its queue may be full */
        return;
    }
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_append_str(&text, "UNLISTEN *");
    ask(exchange, ASKING_UNLISTEN, &text, out);
}

/* ---- and back ----------------------------------------------------------------------------------
 */

static bool text_listens(Exchange *exchange, const PgPiece *piece, size_t offset,
                         bool *ret_unlistens)
{
    if (!piece->last) {
        return true; /* who knows how it ends */
    }
    TextEffects effects = session_text_effects(exchange, slice_skip(piece->body, offset));
    *ret_unlistens = effects.unlistens;
    return effects.listens || effects.pin != PIN_NONE;
}

static bool statement_listens(const Session *session, Exchange *exchange, Slice name,
                              bool *ret_unlistens)
{
    Statement *statement = name.len > 0 ? names_find(session, exchange, name) : NULL;
    if (statement == NULL) {
        return false;
    }
    const TextEffects *effects = names_effects(exchange, statement);
    *ret_unlistens = effects->unlistens;
    return effects->listens || effects->pin != PIN_NONE;
}

/* Whether it may matter to the message that the channels are somewhere else. */
static bool piece_listens(const Session *session, Exchange *exchange, const PgPiece *piece,
                          bool *ret_unlistens)
{
    PgBind bind;
    Slice name;
    size_t offset;
    *ret_unlistens = false;
    switch (piece->type) {
    case 'Q':
        return text_listens(exchange, piece, 0, ret_unlistens);
    case 'P':
        return !pg_get_parse_head(piece->body, &name, &offset) ||
               text_listens(exchange, piece, offset, ret_unlistens);
    case 'B':
        return pg_get_bind(piece->body, &bind) &&
               statement_listens(session, exchange, bind.statement, ret_unlistens);
    default:
        return piece->type == 'F';
    }
}

static void bring_back(Session *session, Exchange *exchange, SessionOut *out)
{
    Listening *listening = session->listening;
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    for (Slice rest = buf_slice(&listening->channels); rest.len > 0;) {
        session_put_channel(&text, "LISTEN ", slice_cut(&rest, '\0'));
        buf_append_char(&text, ';');
    }
    put_new_mark(listening, &text);
    exchange->marked = false;
    ask(exchange, ASKING_RETURN, &text, out);
}

SessionStep listen_before(Session *session, Exchange *exchange, const PgPiece *piece,
                          SessionOut *out)
{
    bool unlistens;
    const Listening *listening = session->listening;
    if (listening->state == LISTENING_RETURNED) {
        return STEP_WAIT;
    }
    if (listening->state == LISTENING_OWN || exchange_is_deaf(exchange) ||
        !piece_listens(session, exchange, piece, &unlistens)) {
        return STEP_FORWARD;
    }
    if (exchange->open || exchange->status != 'I') {
        out->problem = unlistens ? "UNLISTEN behind other statements of a batch that began without "
                                   "it cannot be followed; send it in a batch of its own"
                                 : NULL;
        return unlistens ? STEP_REFUSE : STEP_FORWARD;
    }
    if (!flight_is_empty(&exchange->flight) || !listening->passed) {
        return STEP_WAIT;
    }
    bring_back(session, exchange, out);
    session_put_before(out, out->behind);
    out->behind = (Slice){0};
    return STEP_WAIT;
}

void session_listen_anew(Session *session, Exchange *exchange, SessionOut *out)
{
    session_out_clear(out);
    bring_back(session, exchange, out);
    session->listening->passed = true;
    exchange->releases = true;
}

void listen_note(const Session *session, Exchange *exchange, const TextEffects *effects)
{
    bool may = (effects->pins & PIN_BIT(PIN_LISTEN)) != 0 ||
               (effects->listens && session->listening != NULL);
    exchange->releases = exchange->releases || may;
}

static void return_answered(Session *session, Exchange *exchange, SessionOut *out)
{
    Buf text;
    if (!exchange->marked) {
        out->problem = "the server connection could not listen to the client's channels";
        return;
    }
    buf_init(&text, BUF_MAX_DEFAULT);
    session_put_channel(&text, "UNLISTEN ", slice_of(session->listening->mark));
    ask(exchange, ASKING_UNMARK, &text, out);
}

static void settle(Session *session, SessionOut *out)
{
    Listening *listening = session->listening;
    listening->state = listening->passed ? LISTENING_OWN : LISTENING_RETURNED;
    listening->found = false;
    session_pin(session, PIN_LISTEN, out);
    out->news = LISTEN_BACK;
}

void session_listen_passed(Session *session)
{
    Listening *listening = session->listening;
    listening->passed = true;
    if (listening->state == LISTENING_RETURNED) {
        listening->state = LISTENING_OWN;
    }
}

/* ---- from the server ---------------------------------------------------------------------------
 */

void listen_answered(Session *session, Exchange *exchange, Asking asked, SessionOut *out)
{
    if (asked == ASKING_SHARE) {
        share_answered(session, exchange, out);
    } else if (asked == ASKING_RETURN) {
        return_answered(session, exchange, out);
    } else if (!exchange->answered) {
        out->problem = "the server connection could not give channels up";
    } else if (asked == ASKING_UNLISTEN) {
        session->listening->state = LISTENING_SHARED;
        session->listening->found = false;
        session->pin = PIN_NONE;
        out->unpinned = true;
        out->news = LISTEN_HANDED;
    } else {
        settle(session, out);
    }
}

/* What the client has sent itself has the number that it was told; and what others have, never. */
static void translate(const Session *session, Exchange *exchange, const PgPiece *piece,
                      uint32_t pid, SessionOut *out)
{
    bool own = pid == exchange->pid;
    if (session->pid == 0 || (!own && pid != session->pid)) {
        return;
    }
    uint32_t told = own ? session->pid : 0;
    memcpy(exchange->head, piece->raw.data, PG_HEADER_SIZE);
    for (size_t i = 0; i < sizeof(told); i++) {
        exchange->head[PG_HEADER_SIZE + i] = (char)(told >> (24 - 8 * i));
    }
    out->head = slice_from(exchange->head, PG_HEADER_SIZE + sizeof(told));
    out->replaced = out->head.len;
}

/* Of a channel of the client's, from its server connection. */
static SessionStep take_from_own(const Session *session, const Exchange *exchange, Slice channel,
                                 SessionOut *out)
{
    const Listening *listening = session->listening;
    bool leaves = exchange->asking == ASKING_SHARE || exchange->asking == ASKING_UNLISTEN;
    bool back = exchange->asking == ASKING_RETURN || exchange->asking == ASKING_UNMARK;
    if (leaves) {
        return exchange->marked ? STEP_DROP : STEP_FORWARD; /* the shared one has it, too */
    }
    if (listening->state == LISTENING_RETURNED || (back && exchange->marked)) {
        out->news = listening->passed ? LISTEN_NO_NEWS : LISTEN_KEEP;
        return listening->passed ? STEP_FORWARD : STEP_DROP;
    }
    bool shared = listening->state == LISTENING_SHARED && has_channel(listening, channel);
    return shared ? STEP_DROP : STEP_FORWARD;
}

SessionStep listen_take_notification(Session *session, Exchange *exchange, const PgPiece *piece,
                                     SessionOut *out)
{
    uint32_t pid;
    Slice channel;
    Slice payload;
    const Listening *listening = session->listening;
    if (!piece->last || !pg_get_notification(piece->body, &pid, &channel, &payload)) {
        return STEP_FORWARD;
    }
    if (listening != NULL && listening->mark != NULL && slice_is(channel, listening->mark)) {
        exchange->marked = exchange->marked || listening_is_mark(listening, payload);
        return STEP_DROP;
    }
    translate(session, exchange, piece, pid, out);
    return listening != NULL ? take_from_own(session, exchange, channel, out) : STEP_FORWARD;
}
