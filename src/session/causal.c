/* See causal_priv.h. */
#include <inttypes.h>
#include <stdio.h>

#include "session/parts_priv.h"

#define OWN_NAME STATEMENT_PREFIX "token" /* of the statement and the portal */

/* ---- the text ----------------------------------------------------------------------------------
 */

/* Takes digits and what stands behind them. */
static bool take_hex(Slice *text, size_t digits, const char *behind, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (text->len < digits) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        char c = text->data[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        value = value << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *text = slice_skip(*text, digits);
    *ret_value = value;
    if (!slice_starts(*text, behind)) {
        return false;
    }
    *text = slice_skip(*text, strlen(behind));
    return true;
}

bool causal_token_parse(Slice text, CausalToken *ret_token)
{
    uint64_t system;
    uint64_t timeline;
    uint64_t position;
    if (!slice_starts(text, "w1-")) {
        return false;
    }
    text = slice_skip(text, 3);
    if (!take_hex(&text, 16, "-", &system) || !take_hex(&text, 8, "-", &timeline) ||
        !take_hex(&text, 16, "", &position) || text.len > 0 || system == 0 || timeline == 0 ||
        position == 0) {
        return false;
    }
    *ret_token =
        (CausalToken){.system = system, .position = position, .timeline = (uint32_t)timeline};
    return true;
}

void causal_token_format(const CausalToken *token, char out[static CAUSAL_TOKEN_LEN + 1])
{
    out[0] = '\0';
    if (token->position != 0) {
        int len = snprintf(out, CAUSAL_TOKEN_LEN + 1, "w1-%016" PRIx64 "-%08" PRIx32 "-%016" PRIx64,
                           token->system, token->timeline, token->position);
        ASSERT(len == CAUSAL_TOKEN_LEN);
    }
}

/* ---- what is about to run ----------------------------------------------------------------------
 */

void causal_begin(Exchange *exchange)
{
    Causal *causal = &exchange->causal;
    causal->standby = causal->known = causal->nameless = causal->shown = false;
    causal->pending = causal->asked = false;
    causal->token = causal->unnamed = 0;
    causal->unnamed_follows = causal->follows = false;
    causal->news = CAUSAL_NO_NEWS;
    causal->written = (CausalToken){0};
    if (causal->own.data != NULL) {
        buf_done(&causal->own);
    }
}

static void refuse(SessionOut *out, const char *problem)
{
    if (out->problem == NULL) {
        out->problem = problem;
        out->sqlstate = "0A000";
    }
}

static void refuse_local(SessionOut *out)
{
    refuse(out, "SET LOCAL weir.causal_token has no effect: the server was chosen when the "
                "transaction began; set it in front of the transaction, without LOCAL");
}

static void refuse_behind(SessionOut *out)
{
    refuse(out, "weir.causal_token was set where a replica was chosen already: what follows must "
                "wait for the end of the transaction, and cannot be run in a pinned session; set "
                "it in front of the transaction, in a request of its own");
}

/* It begins a transaction, ends one, or sets a token. */
static bool may_follow(const TextEffects *effects)
{
    bool ends = effects->bare || effects->ends;
    return !effects->several && ((effects->token & SQL_TOKEN_SET) != 0 ||
                                 (ends && effects->pin == PIN_NONE && !effects->writes));
}

void causal_note_text(Exchange *exchange, const TextEffects *effects, SessionOut *out)
{
    Causal *causal = &exchange->causal;
    causal->token = effects->token;
    causal->follows = may_follow(effects);
    if ((effects->token & SQL_TOKEN_LOCAL) != 0) {
        refuse_local(out);
    }
    if ((effects->token & SQL_TOKEN_SHOWN) != 0 && effects->several) {
        refuse(out, "weir.causal_token must be shown by a request of its own, behind what is "
                    "written");
    }
    if ((effects->token & SQL_TOKEN_SET) != 0) {
        causal->pending = true;
        causal->asked = false;
    }
    if (causal->pending && causal->standby && !causal->follows) {
        refuse_behind(out);
    }
}

void causal_note_unread(const Exchange *exchange, SessionOut *out)
{
    if (exchange->causal.pending && exchange->causal.standby) {
        refuse_behind(out);
    }
}

void causal_note_kept(const Session *session, Exchange *exchange, const PgPiece *piece,
                      size_t offset, SessionOut *out)
{
    if (session->relay || exchange_is_deaf(exchange)) {
        return;
    }
    causal_note_unread(exchange, out);
    bool whole = piece->last && offset < piece->body.len;
    TextEffects effects = {0};
    if (whole) {
        effects = session_text_effects(exchange, slice_skip(piece->body, offset));
    }
    if ((effects.token & SQL_TOKEN_SHOWN) != 0) {
        refuse(out, "weir.causal_token cannot be shown by a prepared statement whose name the "
                    "proxy does not follow; ask without a name");
    }
    if ((effects.token & SQL_TOKEN_LOCAL) != 0) {
        refuse_local(out);
    }
    if ((effects.token & SQL_TOKEN_SET) != 0 && exchange->causal.standby) { /* whenever it runs */
        refuse(out, "weir.causal_token cannot be set by a prepared statement whose name the proxy "
                    "does not follow, where a replica serves; set it without a name");
    }
}

/* Where it is skipped behind an error, what was there before is. */
void causal_note_parsed(Exchange *exchange)
{
    Causal *causal = &exchange->causal;
    bool may_be_skipped = exchange->ended != exchange->batch || exchange->open;
    causal->unnamed = (uint8_t)(causal->token | (may_be_skipped ? causal->unnamed : 0));
    causal->unnamed_follows = causal->follows;
}

void causal_note_bound(const Exchange *exchange, SessionOut *out)
{
    bool there = exchange->unnamed == UNNAMED_PARSED || exchange->unnamed == UNNAMED_BOUND;
    if (!exchange->causal.unnamed_follows || !there) {
        causal_note_unread(exchange, out);
    }
}

void causal_note_error(Exchange *exchange)
{
    exchange->causal.unnamed_follows = false;
}

void causal_note_late(const Exchange *exchange, SessionOut *out)
{
    if ((exchange->causal.token & SQL_TOKEN_SHOWN) != 0) {
        refuse(out, "weir.causal_token must be shown by a shorter text");
    }
}

/* ---- showing it --------------------------------------------------------------------------------
 */

/* What the primary has inserted by now. Names are PostgreSQL's own, whatever the search_path is.
 * The error says in its own way what the matter is: there is no other one that plain SQL can raise.
 */
#define WRITTEN_NOW                                                                                \
    "SELECT CASE WHEN pg_catalog.pg_current_xact_id_if_assigned() IS NULL"                         \
    " THEN pg_catalog.set_config('" SQL_TOKEN_NAME "', pg_catalog.concat('w1-',"                   \
    " pg_catalog.lpad(pg_catalog.to_hex(c.system_identifier), 16, '0'), '-',"                      \
    " pg_catalog.lower(pg_catalog.substr(pg_catalog.pg_walfile_name(w.p), 1, 8)), '-',"            \
    " pg_catalog.lpad(pg_catalog.to_hex("                                                          \
    "pg_catalog.pg_wal_lsn_diff(w.p, '0/0')::pg_catalog.int8), 16, '0')), true)"                   \
    " ELSE pg_catalog.set_config('the causal token of what is not committed: ask behind COMMIT',"  \
    " '', true) END"                                                                               \
    " FROM pg_catalog.pg_control_system() AS c, pg_catalog.pg_current_wal_insert_lsn() AS w(p)"

/* Of a cluster whose name is not known. '' would say that nothing was written. */
#define WRITTEN_NAMELESS                                                                           \
    "SELECT pg_catalog.set_config('the causal token at a replica that does not say of which "      \
    "cluster it is: ask in a transaction that may write', '', true)"

static void put_messages(Exchange *exchange, Slice text, SessionOut *out)
{
    static const char order[] = "CPBEC";
    Buf *own = &exchange->causal.own;
    buf_clear(own);
    exchange->fronted = true;
    pg_put_close(own, 'S', SLICE(OWN_NAME));
    pg_put_parse(own, SLICE(OWN_NAME), text);
    pg_put_bind(own, SLICE(OWN_NAME), SLICE(OWN_NAME));
    pg_put_execute(own, SLICE(OWN_NAME), 0);
    pg_put_close(own, 'P', SLICE(OWN_NAME));
    for (const char *type = order; *type != '\0'; type++) {
        flight_push(&exchange->flight, *type, FLIGHT_OURS | (*type != 'C' ? FLIGHT_TELL : 0U));
    }
    session_put_before(out, buf_slice(own));
}

void causal_put(const Session *session, Exchange *exchange, bool runs, SessionOut *out)
{
    Causal *causal = &exchange->causal;
    char written[CAUSAL_TOKEN_LEN + 1];
    Buf text;
    if (session->relay || out->problem != NULL || exchange_is_deaf(exchange)) {
        return;
    }
    bool holds = causal->known && !exchange->changed && !causal->pending;
    causal->shown = causal->shown || runs;
    if (!causal->standby && !holds) {
        put_messages(exchange, SLICE(WRITTEN_NOW), out);
        return;
    }
    if (causal->nameless) {
        put_messages(exchange, SLICE(WRITTEN_NAMELESS), out);
        return;
    }
    causal_token_format(&causal->written, written);
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_printf(&text, "SELECT pg_catalog.set_config('" SQL_TOKEN_NAME "', '%s', true)", written);
    put_messages(exchange, buf_slice(&text), out);
    buf_done(&text);
}

/* ---- what it was set to ------------------------------------------------------------------------
 */

void causal_ask(Exchange *exchange)
{
    exchange->causal.asked = exchange->causal.pending;
}

void causal_take(Exchange *exchange, Slice value)
{
    Causal *causal = &exchange->causal;
    if (value.len > 0) {
        causal->news = causal_token_parse(value, &causal->set) ? CAUSAL_SET : CAUSAL_MALFORMED;
    }
}

void causal_answered(const Session *session, Exchange *exchange, SessionOut *out)
{
    Causal *causal = &exchange->causal;
    bool stays = causal->standby && session->pin != PIN_NONE; /* the answer itself may have told */
    out->causal = causal->news;
    causal->news = CAUSAL_NO_NEWS;
    causal->pending = causal->pending && (stays || !causal->asked);
    causal->asked = false;
}
