/* PostgreSQL framing and the first packet of a connection. */
#include "../unit.h"

#include "wire/wire.h"

static PgPolicy policy_of(const char *types, uint32_t head_max)
{
    PgPolicy policy = {.head_max = head_max};
    pg_policy_want(&policy, types);
    return policy;
}

/* Writes "T:len" per message begun, "." per message ended. */
static void describe(const PgPiece *piece, Buf *out)
{
    if (piece->first) {
        buf_printf(out, "%c%u", piece->type, piece->body_len);
    }
    if (piece->last) {
        buf_append_char(out, '.');
    }
}

static void test_framer_whole(void **state)
{
    (void)state;
    PgPolicy policy = policy_of("Q", 100);
    PgFramer framer = {0};
    Slice in = SLICE("Q\0\0\0\x06hiS\0\0\0\x04Q");
    PgPiece piece;
    assert_true(pg_framer_next(&framer, &policy, in, &piece) == WIRE_DONE);
    assert_true(piece.first && piece.last && piece.type == 'Q');
    assert_slice(piece.body, "hi");
    assert_int_equal(piece.raw.len, 7);
    in = slice_skip(in, piece.raw.len);
    assert_true(pg_framer_next(&framer, &policy, in, &piece) == WIRE_DONE);
    assert_true(piece.first && piece.last && piece.type == 'S' && piece.body_len == 0);
    in = slice_skip(in, piece.raw.len);
    assert_true(pg_framer_next(&framer, &policy, in, &piece) == WIRE_MORE);
    assert_true(pg_framer_idle(&framer));
}

static void test_framer_pieces(void **state)
{
    (void)state;
    PgPolicy policy = policy_of("Q", 4);
    PgFramer framer = {0};
    PgPiece piece;
    /* Wanted: at least four bytes of the body at first, or all of it. */
    assert_true(pg_framer_next(&framer, &policy,
                               SLICE("Q\0\0\0\x0e"
                                     "abc"),
                               &piece) == WIRE_MORE);
    assert_true(pg_framer_next(&framer, &policy,
                               SLICE("Q\0\0\0\x0e"
                                     "abcde"),
                               &piece) == WIRE_DONE);
    assert_true(piece.first && !piece.last && piece.body_len == 10);
    assert_slice(piece.body, "abcde");
    assert_false(pg_framer_idle(&framer));
    assert_true(pg_framer_next(&framer, &policy, SLICE(""), &piece) == WIRE_MORE);
    assert_true(pg_framer_next(&framer, &policy, SLICE("fghijS"), &piece) == WIRE_DONE);
    assert_true(!piece.first && piece.last && piece.type == 'Q');
    assert_slice(piece.raw, "fghij");
    /* Not wanted: from the header on. */
    assert_true(pg_framer_next(&framer, &policy, SLICE("d\0\0\0\x0e"), &piece) == WIRE_DONE);
    assert_true(piece.first && !piece.last && piece.body.len == 0);
}

static void test_framer_bad(void **state)
{
    (void)state;
    PgPolicy policy = policy_of("", 0);
    PgFramer framer = {0};
    PgPiece piece;
    assert_true(pg_framer_next(&framer, &policy, SLICE("Q\0\0\0\x03"), &piece) == WIRE_BAD);
    assert_true(pg_framer_next(&framer, &policy, SLICE("Q\x40\0\0\0"), &piece) == WIRE_BAD);
    assert_true(pg_framer_next(&framer, &policy, SLICE("\xff\xff\xff\xff\xff"), &piece) ==
                WIRE_BAD);
    assert_true(pg_framer_idle(&framer));
}

/* Reads `in` as if it came in two parts, the second after the first was read as far as possible. */
static void run_split(Slice in, size_t cut, const PgPolicy *policy, Buf *story, Buf *bytes)
{
    PgFramer framer = {0};
    size_t at = 0;
    for (size_t end = cut;; end = in.len) {
        PgPiece piece;
        while (pg_framer_next(&framer, policy, (Slice){in.data + at, end - at}, &piece) ==
               WIRE_DONE) {
            describe(&piece, story);
            buf_append_slice(bytes, piece.raw);
            at += piece.raw.len;
        }
        if (end == in.len) {
            return;
        }
    }
}

static void test_framer_splits(void **state)
{
    (void)state;
    Slice in = SLICE("Q\0\0\0\x06hid\0\0\0\x0c"
                     "abcdefghS\0\0\0\x04P\0\0\0\x0b"
                     "1234567");
    PgPolicy policy = policy_of("QP", 3);
    for (size_t cut = 0; cut <= in.len; cut++) {
        Buf story;
        Buf bytes;
        buf_init(&story, BUF_MAX_DEFAULT);
        buf_init(&bytes, BUF_MAX_DEFAULT);
        run_split(in, cut, &policy, &story, &bytes);
        assert_string_equal(buf_str(&story), "Q2.d8.S0.P7.");
        assert_true(slice_eq(buf_slice(&bytes), in));
        buf_done(&story);
        buf_done(&bytes);
    }
}

static void test_start_session(void **state)
{
    (void)state;
    Buf packet;
    buf_init(&packet, BUF_MAX_DEFAULT);
    pg_put_start(&packet, 2, SLICE("user\0ann\0database\0\0user\0bob\0"));
    buf_append_str(&packet, "more");
    PgStart start;
    for (size_t cut = 1; cut < packet.len - 4; cut++) {
        assert_true(pg_start_read((Slice){packet.data, cut}, &start) == WIRE_MORE);
    }
    assert_true(pg_start_read(buf_slice(&packet), &start) == WIRE_DONE);
    assert_true(start.kind == PG_START_SESSION && start.len == packet.len - 4);
    assert_int_equal(start.major, 3);
    assert_int_equal(start.minor, 2);
    assert_slice(pg_params_get(start.params, "user"), "bob");
    assert_int_equal(pg_params_get(start.params, "database").len, 0);
    assert_non_null(pg_params_get(start.params, "database").data);
    assert_null(pg_params_get(start.params, "options").data);
    buf_done(&packet);
}

static void test_start_special(void **state)
{
    (void)state;
    PgStart start;
    assert_true(pg_start_read(SLICE("\0\0\0\x08\x04\xd2\x16\x2f"), &start) == WIRE_DONE);
    assert_true(start.kind == PG_START_SSL && start.len == 8);
    assert_true(pg_start_read(SLICE("\0\0\0\x08\x04\xd2\x16\x30"), &start) == WIRE_DONE);
    assert_true(start.kind == PG_START_GSS);
    assert_true(pg_start_read(SLICE("\x16\x03\x01"), &start) == WIRE_DONE);
    assert_true(start.kind == PG_START_TLS && start.len == 0);
    Buf packet;
    buf_init(&packet, BUF_MAX_DEFAULT);
    pg_put_cancel(&packet, 77, SLICE("\x01\x02\x03\x04"));
    assert_true(pg_start_read(buf_slice(&packet), &start) == WIRE_DONE);
    assert_true(start.kind == PG_START_CANCEL && start.cancel_pid == 77);
    assert_true(slice_eq(start.cancel_key, SLICE("\x01\x02\x03\x04")));
    buf_clear(&packet);
    pg_put_ssl_request(&packet);
    assert_true(slice_eq(buf_slice(&packet), SLICE("\0\0\0\x08\x04\xd2\x16\x2f")));
    buf_done(&packet);
}

static void test_start_bad(void **state)
{
    (void)state;
    const Slice bad[] = {
        SLICE("\0\0\0\x07\0\x03\0"),                 /* too short to hold a version */
        SLICE("\0\0\x27\x11"),                       /* longer than a start packet may be */
        SLICE("GET / HTTP/1.1"),                     /* another protocol */
        SLICE("\0\0\0\x08\0\x03\0\0"),               /* no terminator */
        SLICE("\0\0\0\x0a\0\x03\0\0\0x"),            /* bytes behind it */
        SLICE("\0\0\0\x0e\0\x03\0\0user\0\0"),       /* a name without a value */
        SLICE("\0\0\0\x09\x04\xd2\x16\x2f\0"),       /* SSLRequest with a body */
        SLICE("\0\0\0\x0c\x04\xd2\x16\x2e\0\0\0\0"), /* CancelRequest without a key */
        SLICE("\0\0\0\x08\x04\xd2\x16\x40"),         /* an unknown special request */
    };
    PgStart start;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(pg_start_read(bad[i], &start) == WIRE_BAD);
    }
    assert_true(pg_start_read(SLICE("\0\0\0\x09\0\x03\0\0\0"), &start) == WIRE_DONE);
    assert_true(pg_start_read(SLICE("\0\0\0\x08\0\x02\0\0"), &start) == WIRE_DONE);
    assert_int_equal(start.major, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framer_whole),  cmocka_unit_test(test_framer_pieces),
        cmocka_unit_test(test_framer_bad),    cmocka_unit_test(test_framer_splits),
        cmocka_unit_test(test_start_session), cmocka_unit_test(test_start_special),
        cmocka_unit_test(test_start_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
