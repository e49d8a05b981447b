/* PostgreSQL framing: where messages begin and end, and the one packet of a connection that has no
 * type. Nothing is copied and nothing is kept but how much of the current message is missing. */
#include "wire/wire.h"

#define PROTOCOL_SPECIAL 1234
#define SPECIAL_CANCEL   5678
#define SPECIAL_SSL      5679
#define SPECIAL_GSS      5680
#define START_MIN        8 /* length and version */
#define TLS_HANDSHAKE    0x16

static uint32_t u32_at(const char *data)
{
    const unsigned char *b = (const unsigned char *)data;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

void pg_policy_want(PgPolicy *policy, const char *types)
{
    for (const char *type = types; *type != '\0'; type++) {
        unsigned int bit = (unsigned char)*type & 127;
        policy->wanted[bit / 64] |= (uint64_t)1 << (bit % 64);
    }
}

static bool policy_wants(const PgPolicy *policy, char type)
{
    unsigned int bit = (unsigned char)type;
    return bit < 128 && (policy->wanted[bit / 64] >> (bit % 64) & 1) != 0;
}

bool pg_framer_idle(const PgFramer *framer)
{
    return framer->left == 0;
}

static WireResult framer_begin(PgFramer *framer, const PgPolicy *policy, Slice in,
                               PgPiece *ret_piece)
{
    if (in.len < PG_HEADER_SIZE) {
        return WIRE_MORE;
    }
    uint32_t len = u32_at(in.data + 1);
    if (len < 4 || len - 4 > PG_BODY_MAX) {
        return WIRE_BAD;
    }
    uint32_t body_len = len - 4;
    size_t here = in.len - PG_HEADER_SIZE;
    if (here >= body_len) {
        here = body_len;
    } else if (policy_wants(policy, in.data[0]) && here < policy->head_max) {
        return WIRE_MORE;
    }
    *framer = (PgFramer){body_len - (uint32_t)here, body_len, in.data[0]};
    *ret_piece = (PgPiece){.type = in.data[0],
                           .first = true,
                           .last = framer->left == 0,
                           .body_len = body_len,
                           .raw = {in.data, PG_HEADER_SIZE + here},
                           .body = {in.data + PG_HEADER_SIZE, here}};
    return WIRE_DONE;
}

WireResult pg_framer_next(PgFramer *framer, const PgPolicy *policy, Slice in, PgPiece *ret_piece)
{
    if (framer->left == 0) {
        return framer_begin(framer, policy, in, ret_piece);
    }
    if (in.len == 0) {
        return WIRE_MORE;
    }
    size_t here = in.len < framer->left ? in.len : framer->left;
    framer->left -= (uint32_t)here;
    *ret_piece = (PgPiece){.type = framer->type,
                           .last = framer->left == 0,
                           .body_len = framer->body_len,
                           .raw = {in.data, here},
                           .body = {in.data, here}};
    return WIRE_DONE;
}

/* ---- the first packet ------------------------------------------------------------------------ */

/* A list of name, NUL, value, NUL; one more NUL ends it, and the packet. */
static bool params_valid(Slice params)
{
    Slice name;
    Slice value;
    while (pg_params_next(&params, &name, &value)) {
    }
    return params.len == 1 && params.data[0] == '\0';
}

bool pg_params_next(Slice *params, Slice *ret_name, Slice *ret_value)
{
    const char *name_end = params->len > 0 ? memchr(params->data, '\0', params->len) : NULL;
    if (name_end == NULL || name_end == params->data) {
        return false;
    }
    size_t name_len = (size_t)(name_end - params->data);
    Slice rest = slice_skip(*params, name_len + 1);
    const char *value_end = rest.len > 0 ? memchr(rest.data, '\0', rest.len) : NULL;
    if (value_end == NULL) {
        return false;
    }
    size_t value_len = (size_t)(value_end - rest.data);
    *ret_name = (Slice){params->data, name_len};
    *ret_value = (Slice){rest.data, value_len};
    *params = slice_skip(rest, value_len + 1);
    return true;
}

Slice pg_params_get(Slice params, const char *name)
{
    Slice found = {0};
    Slice key;
    Slice value;
    while (pg_params_next(&params, &key, &value)) {
        if (slice_is(key, name)) {
            found = value;
        }
    }
    return found;
}

static WireResult start_special(Slice packet, uint16_t code, PgStart *start)
{
    Slice rest = slice_skip(packet, START_MIN);
    if (code == SPECIAL_SSL || code == SPECIAL_GSS) {
        start->kind = code == SPECIAL_SSL ? PG_START_SSL : PG_START_GSS;
        return rest.len == 0 ? WIRE_DONE : WIRE_BAD;
    }
    if (code != SPECIAL_CANCEL || rest.len <= 4 || rest.len > 4 + PG_CANCEL_KEY_MAX) {
        return WIRE_BAD;
    }
    start->kind = PG_START_CANCEL;
    start->cancel_pid = u32_at(rest.data);
    start->cancel_key = slice_skip(rest, 4);
    return WIRE_DONE;
}

WireResult pg_start_read(Slice in, PgStart *ret_start)
{
    PgStart start = {0};
    if (in.len > 0 && in.data[0] == TLS_HANDSHAKE) {
        start.kind = PG_START_TLS;
        *ret_start = start;
        return WIRE_DONE;
    }
    if (in.len < 4) {
        return WIRE_MORE;
    }
    uint32_t len = u32_at(in.data);
    if (len < START_MIN || len > PG_START_MAX) {
        return WIRE_BAD;
    }
    if (in.len < len) {
        return WIRE_MORE;
    }
    Slice packet = {in.data, len};
    uint32_t version = u32_at(in.data + 4);
    start.len = len;
    start.major = (uint16_t)(version >> 16);
    start.minor = (uint16_t)version;
    if (start.major == PROTOCOL_SPECIAL) {
        WireResult result = start_special(packet, start.minor, &start);
        if (result == WIRE_DONE) {
            *ret_start = start;
        }
        return result;
    }
    if (start.major == PG_PROTOCOL_MAJOR) {
        start.params = slice_skip(packet, START_MIN);
        if (!params_valid(start.params)) {
            return WIRE_BAD;
        }
    }
    *ret_start = start;
    return WIRE_DONE;
}
