/* Which requests may share a line: see line_priv.h. Whole messages only, and nothing that a later
 * request could meet: no names but known statements', no portals that stay. */
#include "proxy/line/line_priv.h"

typedef struct Shape {
    bool parsed, bound, executed;
    TextEffects effects; /* of what runs */
} Shape;

TextEffects line_text_effects(const LineReader *reader, Slice text)
{
    SqlScan scan;
    TextEffects effects = sql_memo_effects(reader->memo, *reader->dialect, text, &scan);
    effects.touched = (Slice){0};
    return effects;
}

static bool take_parse(const LineReader *reader, Slice body, Shape *shape)
{
    PgParse parse;
    if (!pg_get_parse(body, &parse) || parse.statement.len > 0 || shape->parsed || shape->bound) {
        return false;
    }
    shape->parsed = true;
    shape->effects = line_text_effects(reader, parse.query);
    return true;
}

static bool take_bind(const LineReader *reader, Slice body, Shape *shape)
{
    PgBind bind;
    if (!pg_get_bind(body, &bind) || bind.portal.len > 0 || shape->bound) {
        return false;
    }
    shape->bound = true;
    if (bind.statement.len == 0) {
        return shape->parsed;
    }
    const Statement *statement = statement_names_get(&reader->session->names, bind.statement);
    if (statement == NULL || shape->parsed || !statement->learned ||
        statement->names_generation != sql_names_generation(reader->dialect)) {
        return false;
    }
    shape->effects = statement->effects;
    return true;
}

static bool take_describe(Slice body, const Shape *shape)
{
    PgTarget target;
    return pg_get_target(body, &target) && target.name.len == 0 &&
           (target.kind == 'P' ? shape->bound : shape->parsed);
}

static bool take_execute(Slice body, Shape *shape)
{
    PgExecute execute;
    if (!pg_get_execute(body, &execute) || execute.portal.len > 0 || execute.rows_max > 0 ||
        !shape->bound || shape->executed) {
        return false;
    }
    shape->executed = true;
    return true;
}

/* One message before the Sync. */
static bool take_message(const LineReader *reader, const PgPiece *piece, Shape *shape)
{
    switch (piece->type) {
    case 'P':
        return take_parse(reader, piece->body, shape);
    case 'B':
        return take_bind(reader, piece->body, shape);
    case 'D':
        return take_describe(piece->body, shape);
    case 'E':
        return take_execute(piece->body, shape);
    default:
        return false;
    }
}

/* False: it is not complete, or something else. */
static bool read_shape(const LineReader *reader, Slice data, size_t *ret_len, Shape *shape)
{
    const PgPolicy policy = {0};
    for (size_t at = 0; at < data.len;) {
        PgFramer framer = {0};
        PgPiece piece;
        if (pg_framer_next(&framer, &policy, slice_skip(data, at), &piece) != WIRE_DONE ||
            !piece.last) {
            return false;
        }
        *ret_len = at + piece.raw.len;
        if (*ret_len > LINE_REQUEST_MAX) {
            return false;
        }
        if (piece.type == 'S') {
            return shape->executed;
        }
        if (piece.type == 'Q') {
            shape->effects = line_text_effects(reader, piece.body);
            return at == 0;
        }
        if (!take_message(reader, &piece, shape)) {
            return false;
        }
        at = *ret_len;
    }
    return false;
}

bool line_request_read(const LineReader *reader, Slice data, LineRequest *ret_request)
{
    Shape shape = {0};
    size_t len = 0;
    if (!read_shape(reader, data, &len, &shape) || !shape.effects.reads) {
        return false;
    }
    *ret_request = (LineRequest){.len = len, .digest = shape.effects.digest};
    return true;
}
