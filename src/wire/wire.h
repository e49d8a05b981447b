/*
 * wire: pure codecs of the protocols that Weir speaks: PostgreSQL v3, SCRAM-SHA-256 and RESP 2/3.
 * Bytes in, values out: no descriptor, no clock, no log, and no memory but the Buf that a builder
 * appends to. Slices in results point into the input, and live as long as it does.
 *
 * An incremental reader gives the same answers however the input is cut: WIRE_MORE consumes
 * nothing that it does not say it consumed, and asks for the rest with more bytes behind it.
 */
#ifndef WEIR_WIRE_H
#define WEIR_WIRE_H

#include "base/base.h"
#include "crypto/crypto.h"

typedef enum WireResult {
    WIRE_DONE, /* one unit was read; the result says how many bytes it took */
    WIRE_MORE, /* the input ends within the unit */
    WIRE_BAD,  /* no continuation makes this valid: close the connection */
} WireResult;

/* ---- PostgreSQL: framing -------------------------------------------------------------------
 * PostgreSQL 15 documentation, chapter 55 "Frontend/Backend Protocol". */

#define PG_HEADER_SIZE    5
#define PG_BODY_MAX       ((uint32_t)0x3fffffff - 4) /* PostgreSQL's own limit: 1 GiB */
#define PG_START_MAX      10000                      /* a start packet, its length included */
#define PG_CANCEL_KEY_MAX 256                        /* protocol 3.2; it is 4 in 3.0 */
#define PG_PROTOCOL_MAJOR 3
#define PG_NAME_MAX       63 /* bytes that PostgreSQL keeps of a role or database name */

/* Which messages must be seen, and how much of each. A wanted message whose body has at most
 * head_max bytes is given whole; of a longer one the first piece holds at least head_max bytes.
 * What is not wanted is given in whatever pieces are there. */
typedef struct PgPolicy {
    uint64_t wanted[2]; /* a bit per 7-bit type */
    uint32_t head_max;
} PgPolicy;

void pg_policy_want(PgPolicy *policy, const char *types);

/* Where a direction of a connection stands: between messages, or within one. Zeroed to start. */
typedef struct PgFramer {
    uint32_t left; /* bytes of the body still to come; 0 between messages */
    uint32_t body_len;
    char type;
} PgFramer;

typedef struct PgPiece {
    char type;
    bool first; /* raw begins with the header */
    bool last;
    uint32_t body_len; /* of the whole message, 0 is common */
    Slice raw;         /* the bytes to forward and to consume */
    Slice body;        /* raw without the header */
} PgPiece;

/* How long the message is of which this is the header, with it. Below PG_HEADER_SIZE: it is none.
 */
static inline size_t pg_message_len(const char *header)
{
    const unsigned char *b = (const unsigned char *)header + 1;
    return 1 + (size_t)((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]);
}

/* The next message, or piece of a long one, at the front of `in`. It takes raw.len bytes. */
WireResult pg_framer_next(PgFramer *framer, const PgPolicy *policy, Slice in, PgPiece *ret_piece);
/* Between messages: another message may be put on the line here. */
bool pg_framer_idle(const PgFramer *framer);

/* ---- PostgreSQL: the first packet of a connection -------------------------------------------- */

typedef enum PgStartKind {
    PG_START_SESSION, /* StartupMessage: major, minor, params */
    PG_START_CANCEL,  /* CancelRequest: cancel_pid, cancel_key */
    PG_START_SSL,     /* SSLRequest: answer 'S' or 'N' */
    PG_START_GSS,     /* GSSENCRequest: answer 'N' */
    PG_START_TLS,     /* not a packet: a TLS ClientHello at once ("direct" negotiation) */
} PgStartKind;

typedef struct PgStart {
    PgStartKind kind;
    size_t len; /* bytes taken; 0 for PG_START_TLS */
    uint16_t major, minor;
    Slice params; /* for pg_params_next; checked to be well formed */
    uint32_t cancel_pid;
    Slice cancel_key;
} PgStart;

/* Protocol versions other than 3 are returned, not judged; their params are empty. */
WireResult pg_start_read(Slice in, PgStart *ret_start);
/* Takes one name and value from the front of *params; false at the end. */
bool pg_params_next(Slice *params, Slice *ret_name, Slice *ret_value);
Slice pg_params_get(Slice params, const char *name); /* data == NULL when absent; the last wins */

/* ---- PostgreSQL: reading bodies -------------------------------------------------------------- */

/* A cursor over a body. Reading past the end sets `bad` and gives zeros: read all, check once. */
typedef struct PgReader {
    Slice rest;
    bool bad;
} PgReader;

uint8_t pg_read_u8(PgReader *reader);
uint16_t pg_read_u16(PgReader *reader);
uint32_t pg_read_u32(PgReader *reader);
Slice pg_read_bytes(PgReader *reader, size_t len);
Slice pg_read_str(PgReader *reader);          /* up to a NUL, which is skipped */
bool pg_reader_ended(const PgReader *reader); /* all was there, and nothing is left */

/* The frontend's messages. Each returns false where the body is not as the protocol says. */
NODISCARD bool pg_get_query(Slice body, Slice *ret_text);

typedef struct PgParse {
    Slice statement; /* "" is the unnamed one */
    Slice query;
    uint16_t type_count;
    Slice types; /* type_count OIDs of four bytes */
} PgParse;
NODISCARD bool pg_get_parse(Slice body, PgParse *ret_parse);
/* The same of a first piece: the name, and where in the body the query text begins. */
NODISCARD bool pg_get_parse_head(Slice head, Slice *ret_statement, size_t *ret_query_offset);

typedef struct PgBind {
    Slice portal;
    Slice statement;
    Slice rest; /* formats, values and result formats, as they came */
} PgBind;
NODISCARD bool pg_get_bind(Slice head, PgBind *ret_bind); /* a first piece will do */

typedef struct PgTarget {
    char kind; /* 'S' a statement, 'P' a portal */
    Slice name;
} PgTarget;
NODISCARD bool pg_get_target(Slice body, PgTarget *ret_target); /* Describe and Close */

typedef struct PgExecute {
    Slice portal;
    uint32_t rows_max; /* 0: all */
} PgExecute;
NODISCARD bool pg_get_execute(Slice body, PgExecute *ret_execute);
/* The body of a PasswordMessage or SASLResponse is taken as it is; this is the first SASL one. */
NODISCARD bool pg_get_sasl_initial(Slice body, Slice *ret_mechanism, Slice *ret_response);
NODISCARD bool pg_get_password(Slice body, Slice *ret_password);

/* The backend's messages. */
typedef enum PgAuthKind {
    PG_AUTH_OK = 0,
    PG_AUTH_CLEARTEXT = 3,
    PG_AUTH_MD5 = 5,
    PG_AUTH_SASL = 10,
    PG_AUTH_SASL_CONTINUE = 11,
    PG_AUTH_SASL_FINAL = 12,
} PgAuthKind;

typedef struct PgAuth {
    uint32_t kind; /* a PgAuthKind, or one that Weir does not speak */
    Slice data;    /* the salt, the mechanisms (a list of strings), or the SASL payload */
} PgAuth;
NODISCARD bool pg_get_auth(Slice body, PgAuth *ret_auth);
/* Whether the list of AuthenticationSASL names this mechanism. */
bool pg_auth_offers(const PgAuth *auth, const char *mechanism);

/* ErrorResponse and NoticeResponse. Fields that are absent are empty. */
typedef struct PgError {
    Slice severity; /* never translated where the peer sends 'V' */
    Slice sqlstate;
    Slice message;
    Slice detail;
    Slice hint;
    Slice routine; /* the C function in PostgreSQL; not sent when empty */
} PgError;
NODISCARD bool pg_get_error(Slice body, PgError *ret_error);
NODISCARD bool pg_get_parameter(Slice body, Slice *ret_name, Slice *ret_value);
NODISCARD bool pg_get_key_data(Slice body, uint32_t *ret_pid, Slice *ret_key);
NODISCARD bool pg_get_ready(Slice body, char *ret_status); /* 'I', 'T' or 'E' */
NODISCARD bool pg_get_command_tag(Slice body, Slice *ret_tag);
NODISCARD bool pg_get_notification(Slice body, uint32_t *ret_pid, Slice *ret_channel,
                                   Slice *ret_payload);

/* ---- PostgreSQL: building messages -------------------------------------------------------------
 * Each appends one message. A Buf that overflows says so; nothing else can fail. */

/* An own message: pg_put_begin, append to the Buf, pg_put_end with what begin returned. */
size_t pg_put_begin(Buf *out, char type);
void pg_put_end(Buf *out, size_t mark);
void pg_put_u16(Buf *out, uint16_t value);
void pg_put_u32(Buf *out, uint32_t value);
void pg_put_str(Buf *out, Slice text); /* with its NUL; a NUL within the text ends it */

/* To a client. */
void pg_put_error(Buf *out, const PgError *error);
void pg_put_notice(Buf *out, const PgError *notice);
void pg_put_auth(Buf *out, PgAuthKind kind, Slice data);
void pg_put_auth_sasl(Buf *out, bool with_plus); /* offers SCRAM-SHA-256 [-PLUS first] */
void pg_put_parameter(Buf *out, Slice name, Slice value);
void pg_put_key_data(Buf *out, uint32_t pid, Slice key);
void pg_put_ready(Buf *out, char status);
void pg_put_command_complete(Buf *out, Slice tag);
/* NegotiateProtocolVersion: the newest minor we speak, and the _pq_. options we do not know. */
void pg_put_negotiate(Buf *out, uint16_t minor, const Slice *unknown, size_t unknown_count);

/* To a server. */
/* `params`: name, NUL, value, NUL, …, as pg_params_next reads them; without the last NUL. */
void pg_put_start(Buf *out, uint16_t minor, Slice params);
void pg_put_cancel(Buf *out, uint32_t pid, Slice key);
void pg_put_ssl_request(Buf *out);
void pg_put_password(Buf *out, Slice password);
void pg_put_sasl_initial(Buf *out, const char *mechanism, Slice response);
void pg_put_sasl_response(Buf *out, Slice response);
void pg_put_query(Buf *out, Slice text);
void pg_put_parse(Buf *out, Slice statement, Slice query); /* without parameter types */
void pg_put_bind(Buf *out, Slice portal, Slice statement); /* without parameters, text results */
void pg_put_describe(Buf *out, char kind, Slice name);
void pg_put_execute(Buf *out, Slice portal, uint32_t rows_max);
void pg_put_close(Buf *out, char kind, Slice name);
void pg_put_sync(Buf *out);
void pg_put_flush(Buf *out);
void pg_put_terminate(Buf *out);

/* "md5" + md5(md5(password user) salt), as PostgreSQL's md5 method wants it. */
void pg_md5_response(Slice user, Slice password, Slice salt, char out[static 36]);

/* ---- SCRAM-SHA-256 (RFC 5802, RFC 7677) ---------------------------------------------------------
 */

#define SCRAM_MECHANISM      "SCRAM-SHA-256"
#define SCRAM_MECHANISM_PLUS "SCRAM-SHA-256-PLUS"
#define SCRAM_ITERATIONS     4096 /* PostgreSQL's default */
#define SCRAM_ITERATIONS_MAX 10000000
#define SCRAM_SALT_SIZE      16 /* what we make */
#define SCRAM_SALT_MAX       128
#define SCRAM_NONCE_RAW      18   /* random bytes behind each of our nonces */
#define SCRAM_PART_MAX       1024 /* a message of the exchange that must be kept */
#define SCRAM_BINDING_MAX    64   /* a certificate's hash */

/* What a server keeps instead of a password. */
typedef struct ScramVerifier {
    uint32_t iterations;
    uint32_t salt_len;
    uint8_t salt[SCRAM_SALT_MAX];
    uint8_t stored_key[SHA256_SIZE];
    uint8_t server_key[SHA256_SIZE];
} ScramVerifier;

/* SASLprep (RFC 4013) is applied to ASCII, where it changes nothing. Other texts, and whatever
 * SASLprep forbids, are used byte for byte, as PostgreSQL does with what SASLprep refuses. */
void scram_verifier_make(Slice password, Slice salt, uint32_t iterations,
                         ScramVerifier *ret_verifier);
/* "SCRAM-SHA-256$4096:salt$StoredKey:ServerKey", as in pg_authid.rolpassword. */
NODISCARD bool scram_verifier_parse(Slice text, ScramVerifier *ret_verifier);
void scram_verifier_format(const ScramVerifier *verifier, Buf *out);
/* For a user who does not exist: looks like a verifier, is the same each time for the same user,
 * and no password matches it. `secret` is the process's own. */
void scram_verifier_mock(Slice user, const uint8_t secret[static SHA256_SIZE],
                         ScramVerifier *ret_verifier);

typedef enum ScramOutcome {
    SCRAM_OK,
    SCRAM_DENIED, /* the password is wrong, or there is no such user */
    SCRAM_BAD,    /* the message breaks the protocol; err says how */
} ScramOutcome;

/* One exchange, server side. Holds no pointers. */
typedef struct ScramServer {
    ScramVerifier verifier; /* after SCRAM_OK: the one that was proven */
    ScramVerifier other;    /* proven just as well; the same one where there is no other */
    bool doomed;            /* a mock: everything is computed, and denied */
    uint8_t binding[SCRAM_BINDING_MAX];
    size_t binding_len; /* 0: without TLS, -PLUS was not offered */
    char gs2_header[256];
    char client_first_bare[SCRAM_PART_MAX];
    char server_first[SCRAM_PART_MAX];
    bool bound;                      /* the client chose -PLUS */
    uint8_t client_key[SHA256_SIZE]; /* after SCRAM_OK: logs in anywhere this verifier is kept */
} ScramServer;

/* `binding` is the tls-server-end-point hash (RFC 5929) of our certificate; empty without TLS. */
void scram_server_init(ScramServer *server, const ScramVerifier *verifier, bool doomed,
                       Slice binding);
/* One more password is as good, while it is being changed: of the same salt and iterations, for the
 * client hears of them before it proves anything. */
void scram_server_accept_too(ScramServer *server, const ScramVerifier *other);
/* Takes the client's first message, appends the server's first. `nonce` is printable, no comma. */
ScramOutcome scram_server_first(ScramServer *server, Slice mechanism, Slice message, Slice nonce,
                                Buf *out, Err *err);
/* Takes the client's final message; on SCRAM_OK appends the server's final. */
ScramOutcome scram_server_final(ScramServer *server, Slice message, Buf *out, Err *err);
void scram_server_done(ScramServer *server); /* wipes */

/* What a client derives from a password for one salt: keep it, and the next login costs no PBKDF2.
 */
typedef struct ScramKeys {
    uint32_t iterations; /* 0: nothing derived yet */
    uint32_t salt_len;
    uint8_t salt[SCRAM_SALT_MAX];
    uint8_t client_key[SHA256_SIZE];
    uint8_t server_key[SHA256_SIZE];
} ScramKeys;

/* One exchange, client side, without channel binding. */
typedef struct ScramClient {
    char client_first_bare[SCRAM_PART_MAX];
    char client_nonce[SCRAM_PART_MAX];
    uint8_t server_signature[SHA256_SIZE];
} ScramClient;

/* Appends the first message. `nonce` as above. */
void scram_client_first(ScramClient *client, Slice nonce, Buf *out);
/* Takes the server's first message and appends the final one. `keys` are used where they were
 * derived for this very salt, and are derived anew from `password` otherwise. */
NODISCARD bool scram_client_final(ScramClient *client, Slice message, Slice password,
                                  ScramKeys *keys, Buf *out, Err *err);
/* Takes the server's final message: does it know the password too? */
NODISCARD bool scram_client_verify(const ScramClient *client, Slice message, Err *err);

/* ---- RESP 2 and 3 (redis.io/docs/reference/protocol-spec)
 * -----------------------------------------
 */

#define RESP_DEPTH_MAX 16                     /* nesting of aggregates */
#define RESP_BULK_MAX  ((int64_t)512 << 20)   /* Redis's proto-max-bulk-len */
#define RESP_ARGS_MAX  ((int64_t)1024 * 1024) /* arguments of one command */
#define RESP_ITEMS_MAX ((int64_t)INT32_MAX)   /* items of one aggregate of a reply */
#define RESP_LINE_MAX  ((size_t)64 << 10)     /* an inline command; a simple string or error */
#define RESP_KEPT_MAX  64                     /* bytes that a scan keeps of the first line */

/* Walks over values without looking inside or keeping them: for forwarding of any size. Zeroed to
 * start, and ready for the next value after each WIRE_DONE. */
typedef struct RespScan {
    bool requests; /* a client's side: arrays of bulk strings, and inline commands */
    char type;     /* of the value: one of "+-:$*_#,(!=%~>"; requests: '*', or 'i' for inline */
    int64_t count; /* the number in its first line: items, length, value of ':'; -1 is null */
    uint32_t kept_len;
    char kept[RESP_KEPT_MAX]; /* the start of the first string in it. Requests: the command's
                                 name, in upper case (of an inline one with its quotes); errors:
                                 "CODE …"; pushes: their kind */
    /* private */
    uint8_t state_;
    uint8_t depth_;
    uint8_t digits_;
    char header_;
    bool negative_;
    bool began_;
    bool kept_done_;
    uint32_t attributes_; /* a bit per open aggregate */
    uint32_t line_len_;
    int64_t number_; /* while a number is read; then the bytes left of a bulk */
    int64_t items_left_[RESP_DEPTH_MAX];
} RespScan;

/* Consumes up to the end of one value. WIRE_DONE: it ends at *ret_consumed. WIRE_MORE: all of `in`
 * belongs to it (*ret_consumed == in.len), so that it can be forwarded at once. An attribute is
 * part of the value behind it. A request of '*' with count <= 0, or of 'i' with kept_len 0, is
 * empty: Redis answers nothing to it. */
WireResult resp_scan(RespScan *scan, Slice in, size_t *ret_consumed);
/* Between values (an attribute is part of the value behind it). */
bool resp_scan_idle(const RespScan *scan);

/* A whole command, with its arguments as slices. Quotes of inline arguments are still there. */
typedef struct RespCommand {
    size_t len;       /* bytes taken */
    size_t arg_count; /* all of them; args holds the first ones */
    bool inlined;
} RespCommand;

/* WIRE_MORE until the command is whole: for commands that are known to be small (give up on more
 * than some limit and use resp_scan). Fills at most args_max slices. */
WireResult resp_command_read(Slice in, Slice *args, size_t args_max, RespCommand *ret_command);
/* What an inline argument means without its quotes and escapes: at most arg.len bytes in `out`. */
size_t resp_inline_unquote(Slice arg, char *out);

/* One header of a reply. Aggregates are followed by `count` values (maps and attributes: by
 * 2 * count), which the caller reads in turn. */
typedef struct RespValue {
    char type; /* as in RespScan */
    bool null; /* "_", "$-1", "*-1" */
    bool truth;
    int64_t integer; /* ':' */
    int64_t count;   /* aggregates */
    Slice text;      /* strings, errors, doubles, big numbers; without a '=' value's "txt:" */
} RespValue;

/* Reads from the front of *in and moves it behind the header (and the text). */
WireResult resp_value_read(Slice *in, RespValue *ret_value);

void resp_put_command(Buf *out, const Slice *args, size_t arg_count);
void resp_put_simple(Buf *out, Slice text); /* no line ends within; they become spaces */
void resp_put_error(Buf *out, Slice text);  /* "CODE message"; the same */
void resp_put_integer(Buf *out, int64_t value);
void resp_put_bulk(Buf *out, Slice text);
void resp_put_null(Buf *out, int protocol); /* 2: "$-1", 3: "_" */
/* The header of an aggregate; `count` is of pairs for '%' and '|'. */
void resp_put_header(Buf *out, char type, size_t count);

#endif
