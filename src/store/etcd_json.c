/*
 * The bodies of etcd's JSON gateway. Pure. Requests are written without a tree: all that is in them
 * comes as base64 or as a number, so that nothing needs to be escaped.
 */
#include "store/etcd_priv.h"

/* ---- requests ---------------------------------------------------------------------------------
 */

/* "name":"base64 of both parts" */
static void put_bytes(Buf *body, const char *name, Slice head, Slice tail)
{
    size_t len = head.len + tail.len;
    char *whole = mem_alloc(len + 1);
    if (head.len > 0) {
        memcpy(whole, head.data, head.len);
    }
    if (tail.len > 0) {
        memcpy(whole + head.len, tail.data, tail.len);
    }
    buf_printf(body, "\"%s\":\"", name);
    size_t encoded = base64_encoded_len(len);
    char *room = buf_reserve(body, encoded);
    if (room != NULL) {
        base64_encode(whole, len, room);
        buf_commit(body, encoded);
    }
    buf_append_char(body, '"');
    mem_free(whole);
}

static void put_i64(Buf *body, const char *name, int64_t value)
{
    buf_printf(body, "\"%s\":\"%lld\"", name, (long long)value);
}

/* The first key behind all that start with root and prefix. Both are ASCII, so that the last byte
 * has a successor. */
static void put_range_end(Buf *body, Slice root, Slice prefix)
{
    Slice last = prefix.len > 0 ? prefix : root;
    char *end = mem_alloc(last.len + 1);
    memcpy(end, last.data, last.len);
    end[last.len - 1]++;
    put_bytes(body, "range_end", prefix.len > 0 ? root : (Slice){0}, slice_from(end, last.len));
    mem_free(end);
}

void etcd_put_get(Buf *body, Slice root, Slice key)
{
    buf_append_char(body, '{');
    put_bytes(body, "key", root, key);
    buf_append_char(body, '}');
}

void etcd_put_range(Buf *body, Slice root, const EtcdRange *range)
{
    char *from =
        mem_alloc(range->from.len + 2); /* a NUL behind a key gives the next possible one */
    if (range->from.len > 0) {
        memcpy(from, range->from.data, range->from.len);
    }
    buf_append_char(body, '{');
    put_bytes(body, "key", root, slice_from(from, range->from.len + (range->behind ? 1 : 0)));
    buf_append_char(body, ',');
    put_range_end(body, root, range->prefix);
    buf_append_char(body, ',');
    put_i64(body, "limit", (int64_t)range->limit);
    buf_append_char(body, ',');
    put_i64(body, "revision", range->revision);
    buf_append_str(body, range->count_only ? ",\"count_only\":true}" : "}");
    mem_free(from);
}

static void put_compare(Buf *body, Slice root, const StoreCompare *compare)
{
    buf_append_str(body, "{\"target\":\"MOD\",\"result\":\"EQUAL\",");
    put_bytes(body, "key", root, compare->key);
    buf_append_char(body, ',');
    put_i64(body, "mod_revision", compare->revision); /* 0 of a key that is absent */
    buf_append_char(body, '}');
}

static void put_write(Buf *body, Slice root, const StoreWrite *write)
{
    bool put = write->kind == STORE_PUT;
    buf_append_str(body, put ? "{\"request_put\":{" : "{\"request_delete_range\":{");
    put_bytes(body, "key", root, write->key);
    if (put) {
        buf_append_char(body, ',');
        put_bytes(body, "value", (Slice){0}, write->value);
        buf_append_char(body, ',');
        put_i64(body, "lease", write->lease);
    }
    buf_append_str(body, "}}");
}

void etcd_put_txn(Buf *body, Slice root, const StoreTxn *txn)
{
    buf_append_str(body, "{\"compare\":[");
    for (size_t i = 0; i < txn->compares_len; i++) {
        buf_append_str(body, i > 0 ? "," : "");
        put_compare(body, root, &txn->compares[i]);
    }
    buf_append_str(body, "],\"success\":[");
    for (size_t i = 0; i < txn->writes_len; i++) {
        buf_append_str(body, i > 0 ? "," : "");
        put_write(body, root, &txn->writes[i]);
    }
    buf_append_str(body, "]}");
}

void etcd_put_watch(Buf *body, Slice root, int64_t start_revision)
{
    buf_append_str(body, "{\"create_request\":{");
    put_bytes(body, "key", root, (Slice){0});
    buf_append_char(body, ',');
    put_range_end(body, root, (Slice){0});
    buf_append_char(body, ',');
    put_i64(body, "start_revision", start_revision);
    buf_append_str(body, ",\"progress_notify\":true,\"fragment\":true}}");
}

/* ---- what a reply says ------------------------------------------------------------------------
 */

typedef struct Saying {
    const char *text; /* how etcd's sentence begins */
    EtcdVerdict verdict;
    ErrCode code;
    const char *advice;
} Saying;

/* What etcd says before it has done anything, or in the place of doing it, and what it means where
 * that is open. Anything else that is not a success leaves open what was done. */
static const Saying sayings[] = {
    {"etcdserver: no leader", ETCD_ELSEWHERE, ERR_UNAVAILABLE,
     "more than half of its members must run and reach each other"},
    {"raft proposal dropped", ETCD_ELSEWHERE, ERR_UNAVAILABLE,
     "it has no leader: more than half of its members must run and reach each other"},
    {"etcdserver: too many requests", ETCD_ELSEWHERE, ERR_UNAVAILABLE, "its disk does not keep up"},
    {"etcdserver: rpc not supported for learner", ETCD_ELSEWHERE, ERR_UNAVAILABLE,
     "this member does not vote yet"},
    {"etcdserver: not capable", ETCD_ELSEWHERE, ERR_UNAVAILABLE, "it is still starting"},
    /* The change that fills it is made, and is told no other thing than those behind it that are
     * not (etcd's quotaApplierV3). */
    {"etcdserver: mvcc: database space exceeded", ETCD_UNKNOWN, ERR_LIMIT,
     "compact and defragment it, or raise its --quota-backend-bytes, and then disarm the alarm"},
    {"etcdserver: request is too large", ETCD_FAILED, ERR_LIMIT,
     "start it with --max-request-bytes 1572864 or more"},
    {"etcdserver: too many operations in txn request", ETCD_FAILED, ERR_LIMIT,
     "start it with --max-txn-ops 128 or more"},
    {"etcdserver: requested lease not found", ETCD_FAILED, ERR_NOT_FOUND, NULL},
    {"etcdserver: lease already exists", ETCD_FAILED, ERR_EXISTS, NULL},
    {"etcdserver: can only promote a learner member which is in sync with leader", ETCD_FAILED,
     ERR_UNAVAILABLE, "it does not have all yet"},
    {"etcdserver: can only promote a learner member", ETCD_FAILED, ERR_EXISTS, NULL},
    {"etcdserver: Peer URLs already exists", ETCD_FAILED, ERR_EXISTS, NULL},
    {"etcdserver: member ID already exist", ETCD_FAILED, ERR_EXISTS, NULL},
    {"etcdserver: member not found", ETCD_FAILED, ERR_NOT_FOUND, NULL},
    {"etcdserver: too many learner members in cluster", ETCD_FAILED, ERR_CONFLICT,
     "one is learning already"},
    {"etcdserver: unhealthy cluster", ETCD_FAILED, ERR_UNAVAILABLE,
     "its members must run and reach each other before they are changed"},
    {"etcdserver: re-configuration failed due to not enough started members", ETCD_FAILED,
     ERR_UNAVAILABLE, "its members must run before they are changed"},
    {"etcdserver: mvcc: required revision has been compacted", ETCD_FAILED, ERR_CONFLICT, NULL},
    {"etcdserver: mvcc: required revision is a future revision", ETCD_FAILED, ERR_CONFLICT, NULL},
    {"etcdserver: permission denied", ETCD_FAILED, ERR_DENIED,
     "Weir uses a client certificate and none of etcd's users: its auth must be disabled"},
    {"etcdserver: user name is empty", ETCD_FAILED, ERR_DENIED,
     "Weir uses a client certificate and none of etcd's users: its auth must be disabled"},
    {"etcdserver: invalid auth token", ETCD_FAILED, ERR_DENIED,
     "Weir uses a client certificate and none of etcd's users: its auth must be disabled"},
};

static bool say(Err *err, const Saying *saying, const char *text)
{
    return saying->advice != NULL
               ? err_set(err, saying->code, "etcd says: %s: %s", text, saying->advice)
               : err_set(err, saying->code, "etcd says: %s", text);
}

EtcdVerdict etcd_judge(int status, Slice reply, Err *err)
{
    if (status == 200) {
        return ETCD_DONE;
    }
    json_t *tree = json_loadb(reply.data != NULL ? reply.data : "", reply.len, 0, NULL);
    const char *text = json_string_value(json_object_get(tree, "error"));
    EtcdVerdict verdict = ETCD_UNKNOWN;
    if (text == NULL) {
        err_set(err, ERR_UNAVAILABLE,
                "an answer (HTTP %d) that is not etcd's: is its --enable-grpc-gateway off?",
                status);
    } else {
        err_set(err, ERR_UNAVAILABLE, "etcd says: %s", text);
    }
    for (size_t i = 0; text != NULL && i < ARRAY_LEN(sayings); i++) {
        if (slice_starts(slice_of(text), sayings[i].text)) {
            verdict = sayings[i].verdict;
            say(err, &sayings[i], text);
            break;
        }
    }
    json_decref(tree);
    return verdict;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

bool etcd_read_i64(const json_t *object, const char *name, int64_t *ret_value, Err *err)
{
    const json_t *value = json_object_get(object, name);
    int64_t number = 0;
    bool ok =
        value == NULL || json_is_integer(value) ||
        (json_is_string(value) &&
         str_to_i64(slice_from(json_string_value(value), json_string_length(value)), &number));
    if (!ok) {
        return err_set(err, ERR_UNAVAILABLE, "etcd's answer has a %s that is no number", name);
    }
    *ret_value = json_is_integer(value) ? (int64_t)json_integer_value(value) : number;
    return true;
}

bool etcd_read_header(const json_t *reply, EtcdHeader *ret_header, Err *err)
{
    const json_t *header = json_object_get(reply, "header");
    const json_t *id = json_object_get(header, "cluster_id");
    EtcdHeader read = {0};
    if (!json_is_string(id) ||
        !str_to_u64(slice_from(json_string_value(id), json_string_length(id)), &read.cluster_id)) {
        return err_set(err, ERR_UNAVAILABLE, "an answer that is not etcd's: it has no cluster_id");
    }
    TRY(etcd_read_i64(header, "revision", &read.revision, err));
    *ret_header = read;
    return true;
}

/* Base64 text of an object, decoded; absent is empty. The memory is the caller's. */
static bool read_bytes(const json_t *object, const char *name, char **ret_data, size_t *ret_len,
                       Err *err)
{
    const json_t *text = json_object_get(object, name);
    size_t len = json_string_length(text);
    char *data = mem_alloc(len + 1);
    size_t decoded = 0;
    if (text != NULL &&
        (!json_is_string(text) ||
         !base64_decode(slice_from(json_string_value(text), len), data, len + 1, &decoded))) {
        mem_free(data);
        return err_set(err, ERR_UNAVAILABLE, "etcd's answer has a %s that is not base64", name);
    }
    *ret_data = data;
    *ret_len = decoded;
    return true;
}

static bool read_record(const json_t *kv, Slice root, Slice key, Slice value, Record **ret_record,
                        Err *err)
{
    int64_t mod, create, lease;
    TRY(etcd_read_i64(kv, "mod_revision", &mod, err));
    TRY(etcd_read_i64(kv, "create_revision", &create, err));
    TRY(etcd_read_i64(kv, "lease", &lease, err));
    if (key.len <= root.len || !slice_eq(slice_from(key.data, root.len), root) || mod <= 0) {
        return err_set(err, ERR_UNAVAILABLE, "etcd's answer has a key that was not asked for");
    }
    *ret_record = record_new(slice_skip(key, root.len), value, mod, create, lease);
    return true;
}

bool etcd_read_record(const json_t *kv, Slice root, Record **ret_record, Err *err)
{
    CLEANUP(mem_free_ptr) char *key = NULL;
    CLEANUP(mem_free_ptr) char *value = NULL;
    size_t key_len, value_len;
    TRY(read_bytes(kv, "key", &key, &key_len, err));
    TRY(read_bytes(kv, "value", &value, &value_len, err));
    return read_record(kv, root, slice_from(key, key_len), slice_from(value, value_len), ret_record,
                       err);
}

/* ---- watching ---------------------------------------------------------------------------------
 */

bool etcd_lines(Buf *rest, Slice data, EtcdOnLine *on_line, void *user)
{
    const char *end;
    while (data.len > 0 && (end = memchr(data.data, '\n', data.len)) != NULL) {
        Slice line = slice_from(data.data, (size_t)(end - data.data));
        data = slice_skip(data, line.len + 1);
        if (rest->len > 0) {
            buf_append_slice(rest, line);
            line = buf_slice(rest);
        }
        TRY(!rest->overflowed && on_line(user, line));
        buf_clear(rest);
    }
    buf_append_slice(rest, data);
    return !rest->overflowed;
}

bool etcd_read_message(const json_t *line, EtcdMessage *ret_message, Err *err)
{
    const json_t *failure = json_object_get(line, "error");
    const json_t *result = json_object_get(line, "result");
    if (failure != NULL || !json_is_object(result)) {
        const char *text = json_is_string(failure)
                               ? json_string_value(failure)
                               : json_string_value(json_object_get(failure, "message"));
        return err_set(err, ERR_UNAVAILABLE, "etcd has ended the watch: %s",
                       text != NULL ? text : "without a reason");
    }
    EtcdMessage message = {
        .events = json_object_get(result, "events"),
        .created = json_is_true(json_object_get(result, "created")),
        .canceled = json_is_true(json_object_get(result, "canceled")),
        .fragment = json_is_true(json_object_get(result, "fragment")),
    };
    TRY(etcd_read_header(result, &message.header, err));
    TRY(etcd_read_i64(result, "compact_revision", &message.compact_revision, err));
    if (json_array_size(message.events) == 0) {
        message.events = NULL;
    }
    *ret_message = message;
    return true;
}

bool etcd_read_event(const json_t *event, Slice root, BatchOp *ret_op, Err *err)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    bool delete = type != NULL && strcmp(type, "DELETE") == 0;
    if (type != NULL && !delete &&strcmp(type, "PUT") != 0) {
        return err_set(err, ERR_UNAVAILABLE, "etcd tells of a change of the unknown type %s", type);
    }
    Record *record;
    TRY(etcd_read_record(json_object_get(event, "kv"), root, &record, err));
    *ret_op = (BatchOp){delete ? STORE_DELETE : STORE_PUT, record};
    return true;
}
