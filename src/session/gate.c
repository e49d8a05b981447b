/* See gate_priv.h. */
#include "session/parts_priv.h"

enum { WHY_NOTICE = 1, WHY_CANCEL = 2 };

/* ---- what texts do -----------------------------------------------------------------------------
 */

void gate_begin(Exchange *exchange)
{
    Gate *gate = &exchange->gate;
    gate->why = gate->cancels > 0 ? WHY_CANCEL : 0;
    gate->passes = gate->passed = gate->wrote = false;
    gate->quieted = gate->retimed = gate->slow = false;
    gate->unnamed_wrote = gate->unnamed_slow = false;
    gate->slow_us = gate->took_us = 0;
}

static bool touches(Slice touched, const char *setting)
{
    Touch touch;
    Slice name;
    while (touched_next(&touched, &touch, &name)) {
        if (touch == TOUCH_ALL || slice_is(name, setting)) {
            return true;
        }
    }
    return false;
}

void gate_note_text(Exchange *exchange, const TextEffects *effects)
{
    Gate *gate = &exchange->gate;
    bool slow = effects->alone && !effects->harmless; /* its COMMIT waits without a timeout */
    gate->wrote = gate->wrote || !effects->harmless;
    gate->slow = gate->slow || slow;
    if (exchange->unnamed == UNNAMED_PARSED) {
        gate->unnamed_wrote = gate->unnamed_wrote || !effects->harmless;
        gate->unnamed_slow = gate->unnamed_slow || slow;
    }
    gate->retimed =
        gate->retimed || effects->quiets || touches(effects->touched, "statement_timeout");
    /* What is led back hears nothing where that is so from the login on. */
    gate->quieted = gate->quieted || effects->quiets ||
                    (gate->quiet && touches(effects->touched, "client_min_messages"));
}

void gate_note_unread(Exchange *exchange)
{
    exchange->gate.quieted = exchange->gate.retimed = true;
    gate_note_unknown(exchange);
}

/* Only where it is on: what is slow costs a look at the clock. */
void gate_note_unknown(Exchange *exchange)
{
    exchange->gate.wrote = exchange->gate.slow = exchange->gate.on;
}

void gate_note_unnamed(Exchange *exchange)
{
    Gate *gate = &exchange->gate;
    gate->wrote = gate->wrote || gate->unnamed_wrote;
    gate->slow = gate->slow || gate->unnamed_slow;
}

void gate_note_error(Exchange *exchange)
{
    exchange->gate.unnamed_wrote = exchange->gate.unnamed_slow = exchange->gate.on;
}

void gate_note_asked(Exchange *exchange)
{
    exchange->gate.quieted = exchange->gate.retimed = false;
}

/* ---- reasons -----------------------------------------------------------------------------------
 */

static bool keeps_quiet(const Settings *settings, const Gate *gate)
{
    Slice level = settings_value(settings, SLICE("client_min_messages"));
    return level.data != NULL ? !sql_level_warns(level) : gate->quiet;
}

static bool is_quiet(const Session *session, const Exchange *exchange)
{
    const Gate *gate = &exchange->gate;
    return gate->quieted || keeps_quiet(session->settings, gate) ||
           (exchange->settings_state != SETTINGS_IN_FORCE && keeps_quiet(exchange->applied, gate));
}

int64_t session_timeout_us(Slice shown)
{
    static const struct {
        const char *unit;
        int64_t us;
    } units[] = {{"ms", US_PER_MS},           {"s", 1000 * US_PER_MS},
                 {"min", 60000 * US_PER_MS},  {"h", 3600000 * US_PER_MS},
                 {"d", 86400000 * US_PER_MS}, {"", US_PER_MS}};
    size_t digits = 0;
    int64_t number;
    while (digits < shown.len && shown.data[digits] >= '0' && shown.data[digits] <= '9') {
        digits++;
    }
    if (digits > 10 || !str_to_i64((Slice){shown.data, digits}, &number)) {
        return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (slice_is(slice_skip(shown, digits), units[i].unit)) {
            return number * units[i].us;
        }
    }
    return -1;
}

/* What is under way may have run into it from here on. */
static int64_t suspect_us(const Session *session, const Exchange *exchange)
{
    const Gate *gate = &exchange->gate;
    Slice shown = settings_value(session->settings, SLICE("statement_timeout"));
    int64_t timeout_us = shown.data != NULL ? session_timeout_us(shown) : gate->timeout_us;
    if (gate->retimed || timeout_us < 0) {
        return 0;
    }
    return timeout_us > 0 && timeout_us < GATE_SLOW_US ? timeout_us : GATE_SLOW_US;
}

static bool is_slow(const Session *session, const Exchange *exchange)
{
    const Gate *gate = &exchange->gate;
    return gate->slow && gate->took_us >= suspect_us(session, exchange);
}

/* A ReadyForQuery, or the end of a statement that PostgreSQL has committed in front of it: of a
 * Query's, and of COMMIT. */
static bool tells_commit(const Exchange *exchange, char type)
{
    return exchange->gate.wrote &&
           loss_may_have_committed(exchange, type == 'C' && flight_head(&exchange->flight) != 'Q');
}

/* ---- the gate ----------------------------------------------------------------------------------
 */

bool gate_holds(const Session *session, Exchange *exchange, const PgPiece *piece)
{
    Gate *gate = &exchange->gate;
    if (piece->type != 'C' && piece->type != 'Z') {
        gate->passed = gate->passed && strchr("NSA", piece->type) != NULL;
        return false;
    }
    if (flight_is_ours(&exchange->flight)) {
        return false;
    }
    if (gate->passes) {
        gate->passes = false;
        gate->passed = flight_head(&exchange->flight) == 'Q'; /* a Sync commits behind that */
        return false;
    }
    bool proven = gate->passed && piece->type == 'Z';
    gate->passed = false;
    return !proven && (gate->why != 0 || is_slow(session, exchange) ||
                       (is_quiet(session, exchange) && tells_commit(exchange, piece->type)));
}

bool gate_takes(Exchange *exchange, const PgPiece *piece)
{
    PgError notice;
    bool cut = piece->type == 'N' && piece->last && pg_get_error(piece->body, &notice) &&
               slice_is(notice.routine, "SyncRepWaitForLSN");
    if (cut) {
        exchange->gate.why |= WHY_NOTICE;
        exchange->gate.passed = false;
        loss_note_unread(exchange); /* it has committed, whatever it looks like */
    }
    return cut;
}

void gate_answered(Exchange *exchange)
{
    Gate *gate = &exchange->gate;
    gate->why = gate->cancels > 0 ? WHY_CANCEL : 0;
    gate->slow = gate->passed = false;
    gate->wrote = gate->wrote && exchange->status != 'I';
    gate->slow_us = gate->took_us = 0;
}

void session_gate_open(Exchange *exchange)
{
    Gate *gate = &exchange->gate;
    gate->why &= WHY_CANCEL; /* of a pipeline it may have hit what comes next */
    gate->passes = true;
}

void session_gate_cancel(Exchange *exchange, bool done)
{
    Gate *gate = &exchange->gate;
    if (!done) {
        gate->why |= WHY_CANCEL;
        gate->cancels++;
    } else if (gate->cancels > 0) {
        gate->cancels--;
    }
}
