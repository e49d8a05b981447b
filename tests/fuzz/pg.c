/* PostgreSQL's framing gives the same messages however its input is cut, and no decoder reads
 * outside of a body. The first byte of the input is the cut, the second the policy. */
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A digest of what was seen that does not depend on how long messages were cut up. */
typedef struct Story {
    uint64_t hash;
    size_t bytes;
    bool bad;
} Story;

static void story_add(Story *story, uint64_t value)
{
    story->hash = (story->hash ^ value) * 0x100000001b3ull;
}

static void feed(PgFramer *framer, const PgPolicy *policy, Slice in, size_t *at, Story *story)
{
    PgPiece piece;
    WireResult result = WIRE_MORE;
    while (!story->bad &&
           (result = pg_framer_next(framer, policy, slice_skip(in, *at), &piece)) == WIRE_DONE) {
        ASSERT(piece.raw.len > 0 && piece.raw.len <= in.len - *at);
        if (piece.first) {
            ASSERT(piece.raw.len == piece.body.len + PG_HEADER_SIZE);
            story_add(story, (uint64_t)(unsigned char)piece.type << 32 | piece.body_len);
        }
        if (piece.last) {
            story_add(story, 1);
        }
        *at += piece.raw.len;
        story->bytes += piece.raw.len;
    }
    if (result == WIRE_BAD) {
        story->bad = true;
    }
}

static Story run(Slice in, size_t cut, const PgPolicy *policy)
{
    PgFramer framer = {0};
    Story story = {0};
    size_t at = 0;
    feed(&framer, policy, (Slice){in.data, cut}, &at, &story);
    feed(&framer, policy, in, &at, &story);
    return story;
}

static void check_framer(Slice in, size_t cut, uint8_t choice)
{
    PgPolicy policy = {.head_max = choice & 31};
    pg_policy_want(&policy, choice & 32 ? "QPBDCE" : "ZSKE");
    Story whole = run(in, in.len, &policy);
    Story split = run(in, cut, &policy);
    ASSERT(whole.bad == split.bad && whole.hash == split.hash && whole.bytes == split.bytes);
}

static void check_start(Slice in, size_t cut)
{
    PgStart whole;
    PgStart part;
    WireResult of_whole = pg_start_read(in, &whole);
    WireResult of_part = pg_start_read((Slice){in.data, cut}, &part);
    ASSERT(of_part == WIRE_MORE || of_part == of_whole);
    if (of_whole == WIRE_DONE) {
        ASSERT(whole.len <= in.len);
        ASSERT(of_part != WIRE_DONE || (part.len == whole.len && part.kind == whole.kind));
        (void)pg_params_get(whole.params, "user");
    }
}

static void check_front_bodies(Slice body)
{
    Slice a;
    Slice b;
    size_t offset;
    PgParse parse;
    PgBind bind;
    PgTarget target;
    PgExecute execute;
    if (pg_get_parse(body, &parse)) {
        ASSERT(pg_get_parse_head(body, &a, &offset) && slice_eq(a, parse.statement));
        ASSERT(body.data + offset == parse.query.data);
    }
    (void)!pg_get_query(body, &a);
    (void)!pg_get_bind(body, &bind);
    (void)!pg_get_target(body, &target);
    (void)!pg_get_execute(body, &execute);
    (void)!pg_get_sasl_initial(body, &a, &b);
    (void)!pg_get_password(body, &a);
}

static void check_back_bodies(Slice body)
{
    Slice a;
    Slice b;
    uint32_t pid;
    char status;
    PgAuth auth;
    PgError error;
    if (pg_get_auth(body, &auth)) {
        (void)pg_auth_offers(&auth, SCRAM_MECHANISM);
    }
    (void)!pg_get_error(body, &error);
    (void)!pg_get_parameter(body, &a, &b);
    (void)!pg_get_key_data(body, &pid, &a);
    (void)!pg_get_ready(body, &status);
    (void)!pg_get_command_tag(body, &a);
    (void)!pg_get_notification(body, &pid, &a, &b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    Slice in = slice_from(data + 2, size - 2);
    size_t cut = in.len > 0 ? data[0] % (in.len + 1) : 0;
    check_framer(in, cut, data[1]);
    check_start(in, cut);
    check_front_bodies(in);
    check_back_bodies(in);
    return 0;
}
