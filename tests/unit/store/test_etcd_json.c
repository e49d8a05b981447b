/* The bodies of etcd's gateway: what is written, what is read, and what is not believed. */
#include "../unit.h"
#include "store/etcd_priv.h"

static json_t *parse(const char *text)
{
    json_t *tree = json_loads(text, 0, NULL);
    assert_non_null(tree);
    return tree;
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static void assert_body(Buf *body, const char *text)
{
    assert_false(body->overflowed);
    assert_string_equal(buf_str(body), text);
    json_decref(parse(buf_str(body)));
    buf_clear(body);
}

static void test_requests(void **state)
{
    (void)state;
    Buf body;
    Slice root = SLICE("/w/");
    buf_init(&body, BUF_MAX_DEFAULT);
    etcd_put_get(&body, root, SLICE("a"));
    assert_body(&body, "{\"key\":\"L3cvYQ==\"}");

    /* "/w/" to "/w0"; "/w/ab" to "/w/ac"; behind "/w/ab/1" is "/w/ab/1\0". */
    EtcdRange range = {.limit = 1, .count_only = true};
    etcd_put_range(&body, root, &range);
    assert_body(&body,
                "{\"key\":\"L3cv\",\"range_end\":\"L3cw\",\"limit\":\"1\",\"revision\":\"0\","
                "\"count_only\":true}");
    range = (EtcdRange){.prefix = SLICE("ab"), .from = SLICE("ab"), .limit = 5, .revision = 7};
    etcd_put_range(&body, root, &range);
    assert_body(&body, "{\"key\":\"L3cvYWI=\",\"range_end\":\"L3cvYWM=\",\"limit\":\"5\","
                       "\"revision\":\"7\"}");
    range.from = SLICE("ab/1");
    range.behind = true;
    etcd_put_range(&body, root, &range);
    assert_body(&body, "{\"key\":\"L3cvYWIvMQA=\",\"range_end\":\"L3cvYWM=\",\"limit\":\"5\","
                       "\"revision\":\"7\"}");

    StoreCompare compares[] = {{SLICE("a"), 0}, {SLICE("b"), 9007199254740993}};
    StoreWrite writes[] = {{STORE_PUT, SLICE("a"), SLICE("x"), 3},
                           {STORE_DELETE, SLICE("b"), {0}, 0}};
    StoreTxn txn = {compares, 2, writes, 2};
    etcd_put_txn(&body, root, &txn);
    assert_body(&body,
                "{\"compare\":[{\"target\":\"MOD\",\"result\":\"EQUAL\",\"key\":\"L3cvYQ==\","
                "\"mod_revision\":\"0\"},{\"target\":\"MOD\",\"result\":\"EQUAL\","
                "\"key\":\"L3cvYg==\",\"mod_revision\":\"9007199254740993\"}],\"success\":["
                "{\"request_put\":{\"key\":\"L3cvYQ==\",\"value\":\"eA==\",\"lease\":\"3\"}},"
                "{\"request_delete_range\":{\"key\":\"L3cvYg==\"}}]}");

    etcd_put_watch(&body, root, 8);
    assert_body(&body, "{\"create_request\":{\"key\":\"L3cv\",\"range_end\":\"L3cw\","
                       "\"start_revision\":\"8\",\"progress_notify\":true,\"fragment\":true}}");
    buf_done(&body);
}

/* The largest transaction that the contract allows fits into what etcd takes. */
static void test_a_whole_transaction_fits(void **state)
{
    (void)state;
    Buf body;
    char root[ETCD_ROOT_MAX + 1];
    char keys[STORE_TXN_OPS_MAX][STORE_KEY_MAX + 1];
    StoreCompare compares[STORE_TXN_OPS_MAX];
    StoreWrite writes[STORE_TXN_OPS_MAX];
    size_t share = STORE_TXN_BYTES_MAX / STORE_TXN_OPS_MAX - STORE_KEY_MAX;
    char *value = mem_alloc(share);
    memset(root, 'r', ETCD_ROOT_MAX);
    for (size_t i = 0; i < STORE_TXN_OPS_MAX; i++) {
        memset(keys[i], 'k', STORE_KEY_MAX);
        Slice key = slice_from(keys[i], STORE_KEY_MAX);
        compares[i] = (StoreCompare){key, INT64_MAX};
        writes[i] = (StoreWrite){STORE_PUT, key, slice_from(value, share), INT64_MAX};
    }
    StoreTxn txn = {compares, STORE_TXN_OPS_MAX, writes, STORE_TXN_OPS_MAX};
    buf_init(&body, (size_t)4 << 20);
    etcd_put_txn(&body, slice_from(root, ETCD_ROOT_MAX), &txn);
    assert_false(body.overflowed);
    /* etcd counts it in protobuf: bytes and some 40 for each operation's frame. */
    size_t wire = STORE_TXN_BYTES_MAX +
                  (size_t)STORE_TXN_OPS_MAX * (2 * (ETCD_ROOT_MAX + 64) + STORE_KEY_MAX);
    assert_true(wire < 1572864);
    mem_free(value);
    buf_done(&body);
}

/* ---- replies ----------------------------------------------------------------------------------
 */

static void test_verdicts(void **state)
{
    (void)state;
    const struct {
        int status;
        const char *text;
        EtcdVerdict verdict;
        ErrCode code;
        const char *said;
    } cases[] = {
        {503, "etcdserver: no leader", ETCD_ELSEWHERE, ERR_UNAVAILABLE, "more than half"},
        {500, "raft proposal dropped", ETCD_ELSEWHERE, ERR_UNAVAILABLE, "no leader"},
        {429, "etcdserver: too many requests", ETCD_ELSEWHERE, ERR_UNAVAILABLE, "disk"},
        {429, "etcdserver: mvcc: database space exceeded", ETCD_UNKNOWN, ERR_LIMIT, "disarm"},
        {400, "etcdserver: request is too large", ETCD_FAILED, ERR_LIMIT, "--max-request-bytes"},
        {400, "etcdserver: too many operations in txn request", ETCD_FAILED, ERR_LIMIT,
         "--max-txn-ops"},
        {404, "etcdserver: requested lease not found", ETCD_FAILED, ERR_NOT_FOUND, "lease"},
        {412, "etcdserver: lease already exists", ETCD_FAILED, ERR_EXISTS, "lease"},
        {400, "etcdserver: mvcc: required revision has been compacted", ETCD_FAILED, ERR_CONFLICT,
         "compacted"},
        {403, "etcdserver: permission denied", ETCD_FAILED, ERR_DENIED, "auth must be disabled"},
        /* What may have run, or may run yet. */
        {503, "etcdserver: request timed out", ETCD_UNKNOWN, ERR_UNAVAILABLE, "timed out"},
        {503, "etcdserver: request timed out, possibly due to previous leader failure",
         ETCD_UNKNOWN, ERR_UNAVAILABLE, "leader failure"},
        {503, "etcdserver: leader changed", ETCD_UNKNOWN, ERR_UNAVAILABLE, "changed"},
        {503, "etcdserver: server stopped", ETCD_UNKNOWN, ERR_UNAVAILABLE, "stopped"},
        {503, "transport is closing", ETCD_UNKNOWN, ERR_UNAVAILABLE, "closing"},
        {500, "something new", ETCD_UNKNOWN, ERR_UNAVAILABLE, "something new"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err;
        CLEANUP(mem_free_ptr)
        char *reply = mem_printf("{\"error\":\"%s\",\"message\":\"%s\",\"code\":1}", cases[i].text,
                                 cases[i].text);
        assert_int_equal(etcd_judge(cases[i].status, slice_of(reply), &err), cases[i].verdict);
        assert_int_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.message, cases[i].said));
    }
    Err err;
    assert_int_equal(etcd_judge(200, SLICE(""), &err), ETCD_DONE);
    const char *strange[] = {"", "Not Found\n", "{", "[]", "{\"error\":7}", "null"};
    for (size_t i = 0; i < ARRAY_LEN(strange); i++) {
        assert_int_equal(etcd_judge(404, slice_of(strange[i]), &err), ETCD_UNKNOWN);
        assert_non_null(strstr(err.message, "--enable-grpc-gateway"));
    }
}

static void test_headers(void **state)
{
    (void)state;
    Err err;
    EtcdHeader header;
    json_t *good = parse("{\"header\":{\"cluster_id\":\"15367540871481372898\","
                         "\"revision\":\"9007199254740993\"}}");
    assert_true(etcd_read_header(good, &header, &err));
    assert_true(header.cluster_id == 15367540871481372898U);
    assert_true(header.revision == 9007199254740993);
    json_decref(good);
    const char *bad[] = {"{}",
                         "[]",
                         "{\"header\":7}",
                         "{\"header\":{\"revision\":\"1\"}}",
                         "{\"header\":{\"cluster_id\":\"x\",\"revision\":\"1\"}}",
                         "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"1x\"}}",
                         "{\"header\":{\"cluster_id\":\"1\",\"revision\":{}}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *tree = parse(bad[i]);
        assert_false(etcd_read_header(tree, &header, &err));
        assert_int_equal(err.code, ERR_UNAVAILABLE);
        json_decref(tree);
    }
    assert_false(etcd_read_header(NULL, &header, &err));
}

static void test_records(void **state)
{
    (void)state;
    Err err;
    Record *record;
    Slice root = SLICE("/w/");
    json_t *kv = parse("{\"key\":\"L3cvYQ==\",\"create_revision\":\"2\",\"mod_revision\":\"5\","
                       "\"version\":\"2\",\"value\":\"AAEC\",\"lease\":\"9\"}");
    assert_true(etcd_read_record(kv, root, &record, &err));
    assert_slice(record_key(record), "a");
    assert_int_equal(record->value_len, 3);
    assert_memory_equal(record->bytes + 2, "\0\1\2", 4);
    assert_int_equal(record->mod_revision, 5);
    assert_int_equal(record->create_revision, 2);
    assert_int_equal(record->lease, 9);
    record_unref(record);
    json_decref(kv);
    const char *bad[] = {"{}",
                         "7",
                         "{\"key\":\"L3cvYQ==\"}", /* no revision */
                         "{\"key\":\"L3cvYQ\",\"mod_revision\":\"5\"}",
                         "{\"key\":7,\"mod_revision\":\"5\"}",
                         "{\"key\":\"L3cv\",\"mod_revision\":\"5\"}",     /* the root itself */
                         "{\"key\":\"L3gvYQ==\",\"mod_revision\":\"5\"}", /* another's */
                         "{\"key\":\"L3cvYQ==\",\"mod_revision\":\"5\",\"value\":\"*\"}",
                         "{\"key\":\"L3cvYQ==\",\"mod_revision\":\"-5\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *tree = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        assert_false(etcd_read_record(tree, root, &record, &err));
        assert_int_equal(err.code, ERR_UNAVAILABLE);
        json_decref(tree);
    }
}

/* ---- watching ---------------------------------------------------------------------------------
 */

#define HEADER "\"header\":{\"cluster_id\":\"1\",\"revision\":\"8\"}"

static void test_messages(void **state)
{
    (void)state;
    Err err;
    EtcdMessage message;
    json_t *line = parse("{\"result\":{" HEADER ",\"created\":true}}");
    assert_true(etcd_read_message(line, &message, &err));
    assert_true(message.created && !message.canceled && !message.fragment);
    assert_null(message.events);
    json_decref(line);
    line = parse("{\"result\":{" HEADER ",\"canceled\":true,\"compact_revision\":\"6\"}}");
    assert_true(etcd_read_message(line, &message, &err));
    assert_true(message.canceled);
    assert_int_equal(message.compact_revision, 6);
    json_decref(line);
    line = parse("{\"result\":{" HEADER ",\"fragment\":true,\"events\":[{\"kv\":{"
                 "\"key\":\"L3cvYQ==\",\"mod_revision\":\"7\",\"value\":\"eA==\"}},"
                 "{\"type\":\"DELETE\",\"kv\":{\"key\":\"L3cvYg==\",\"mod_revision\":\"7\"}},"
                 "{\"type\":\"NEW\",\"kv\":{\"key\":\"L3cvYg==\",\"mod_revision\":\"7\"}}]}}");
    assert_true(etcd_read_message(line, &message, &err));
    assert_true(message.fragment);
    BatchOp op;
    assert_true(etcd_read_event(json_array_get(message.events, 0), SLICE("/w/"), &op, &err));
    assert_int_equal(op.kind, STORE_PUT);
    record_unref(op.record);
    assert_true(etcd_read_event(json_array_get(message.events, 1), SLICE("/w/"), &op, &err));
    assert_int_equal(op.kind, STORE_DELETE);
    assert_slice(record_key(op.record), "b");
    record_unref(op.record);
    assert_false(etcd_read_event(json_array_get(message.events, 2), SLICE("/w/"), &op, &err));
    json_decref(line);

    const char *ends[] = {"{\"error\":{\"grpc_code\":14,\"message\":\"bye\"}}",
                          "{\"error\":\"bye\"}"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        line = parse(ends[i]);
        assert_false(etcd_read_message(line, &message, &err));
        assert_non_null(strstr(err.message, "bye"));
        json_decref(line);
    }
    assert_false(etcd_read_message(NULL, &message, &err));
}

static bool join(void *user, Slice line)
{
    Buf *joined = user;
    buf_append_char(joined, '<');
    buf_append_slice(joined, line);
    buf_append_char(joined, '>');
    return !slice_is(line, "stop");
}

static void test_lines_cut_anywhere(void **state)
{
    (void)state;
    Slice stream = SLICE("one\n\ntwo, longer\nrest");
    for (size_t first = 0; first <= stream.len; first++) {
        for (size_t second = first; second <= stream.len; second++) {
            Buf rest, joined;
            buf_init(&rest, 64);
            buf_init(&joined, 64);
            assert_true(etcd_lines(&rest, slice_from(stream.data, first), join, &joined));
            assert_true(
                etcd_lines(&rest, slice_from(stream.data + first, second - first), join, &joined));
            assert_true(etcd_lines(&rest, slice_skip(stream, second), join, &joined));
            assert_string_equal(buf_str(&joined), "<one><><two, longer>");
            assert_slice(buf_slice(&rest), "rest");
            buf_done(&rest);
            buf_done(&joined);
        }
    }
}

static void test_lines_that_end(void **state)
{
    (void)state;
    Buf rest, joined;
    buf_init(&rest, 8);
    buf_init(&joined, 64);
    assert_false(etcd_lines(&rest, SLICE("a\nstop\nb\n"), join, &joined));
    assert_string_equal(buf_str(&joined), "<a><stop>");
    assert_false(rest.overflowed);
    buf_clear(&rest);
    assert_true(etcd_lines(&rest, SLICE("12345678"), join, &joined));
    assert_false(etcd_lines(&rest, SLICE("9\n"), join, &joined));
    assert_true(rest.overflowed);
    buf_done(&rest);
    buf_done(&joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_a_whole_transaction_fits),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_lines_cut_anywhere),
        cmocka_unit_test(test_lines_that_end),
    };
    return cmocka_run_group_tests_name("etcd's bodies", tests, NULL, NULL);
}
