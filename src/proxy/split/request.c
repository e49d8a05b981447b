/* Which requests may go to a replica: see split_priv.h. */
#include "proxy/split/split_priv.h"

/* What a message runs, or makes ready to be run. False: it cannot be told. */
static bool message_effects(const LineReader *reader, const PgPiece *piece,
                            TextEffects *ret_effects)
{
    PgParse parse;
    PgBind bind;
    const Statement *statement;
    switch (piece->type) {
    case 'Q':
        *ret_effects = line_text_effects(reader, piece->body);
        return true;
    case 'P':
        if (!pg_get_parse(piece->body, &parse)) {
            return false;
        }
        *ret_effects = line_text_effects(reader, parse.query);
        return true;
    case 'B':
        if (!pg_get_bind(piece->body, &bind)) {
            return false;
        }
        if (bind.statement.len == 0) {
            *ret_effects = (TextEffects){0}; /* that of its Parse */
            return true;
        }
        statement = statement_names_get(&reader->session->names, bind.statement);
        if (statement == NULL || !statement->learned ||
            statement->names_generation != sql_names_generation(reader->dialect)) {
            return false;
        }
        *ret_effects = statement->effects;
        return true;
    default:
        *ret_effects = (TextEffects){0};
        return strchr("DECSH", piece->type) != NULL;
    }
}

/* Not one that ends a transaction: what is behind it in the batch may be anything. */
static bool may_run_there(const TextEffects *effects)
{
    const unsigned others = SQL_BEGINS_SERIALIZABLE | SQL_BEGINS_READ_WRITE;
    return effects->pin == PIN_NONE && !effects->locks && !effects->alone &&
           (effects->begins & others) == 0;
}

/* A whole batch, up to its Sync, that begins a transaction which only reads, and does not end it.
 */
static bool begins_there(const LineReader *reader, bool read_only, Slice data)
{
    const PgPolicy policy = {0};
    bool begins = read_only;
    bool unbound = false;
    for (size_t at = 0; at < data.len;) {
        PgFramer framer = {0};
        PgPiece piece;
        TextEffects effects;
        if (pg_framer_next(&framer, &policy, slice_skip(data, at), &piece) != WIRE_DONE ||
            !piece.last || !message_effects(reader, &piece, &effects) || !may_run_there(&effects)) {
            return false;
        }
        begins = begins || (effects.begins & SQL_BEGINS_READ_ONLY) != 0;
        if (!begins || (piece.type == 'Q' && at > 0)) {
            return false; /* what is first must say so */
        }
        unbound = (unbound || piece.type == 'P') && piece.type != 'B';
        if (piece.type == 'S' || piece.type == 'Q') {
            return (at > 0 || piece.type == 'Q') && !unbound; /* which pins */
        }
        at += piece.raw.len;
    }
    return false;
}

SplitKind split_kind(const LineReader *reader, SplitDefaults defaults, Slice data,
                     LineRequest *ret_request)
{
    const Session *session = reader->session;
    if (session->pin != PIN_NONE || session->walsender || defaults.serializable) {
        return SPLIT_PRIMARY;
    }
    if (line_request_read(reader, data, ret_request)) {
        return SPLIT_READ;
    }
    /* Its channels would come along, and no replica listens. */
    bool may_begin = session->listening == NULL;
    return may_begin && begins_there(reader, defaults.read_only, data) ? SPLIT_TRANSACTION
                                                                       : SPLIT_PRIMARY;
}
