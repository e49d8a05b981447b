/*
 * aws: the AWS wire. Tables of services, operations and shapes (made at build time from
 * services/<name>.aws), codecs that walk them for awsQuery, ec2Query and awsJson 1.0/1.1, on the
 * server's and on the client's side, and Signature Version 4. Pure: no fd, no clock, no log.
 *
 * The value tree of an input or output is jansson's json_t, by shape:
 *   struct          object, by the model's member names (DBInstanceIdentifier, not the wire's)
 *   list, map       array, object
 *   string, enum    string            blob       string, base64
 *   integer, long   integer           double     real or integer
 *   boolean         true, false       timestamp  integer, milliseconds since 1970 UTC
 * An absent member and null mean the same. Members that the output shape does not know are not
 * sent, so a handler may put more into its record than AWS knows.
 */
#ifndef WEIR_AWS_H
#define WEIR_AWS_H

#include <jansson.h>

#include "base/base.h"
#include "crypto/crypto.h"

/* ---- tables ------------------------------------------------------------------------------- */

typedef enum AwsProtocol { AWS_QUERY, AWS_EC2, AWS_JSON_1_0, AWS_JSON_1_1 } AwsProtocol;

typedef enum AwsType {
    AWS_STRING,
    AWS_INTEGER, /* 32 bits */
    AWS_LONG,
    AWS_BOOLEAN,
    AWS_DOUBLE,
    AWS_TIMESTAMP,
    AWS_BLOB,
    AWS_ENUM,
    AWS_STRUCT,
    AWS_LIST,
    AWS_MAP,
} AwsType;

typedef struct AwsShape AwsShape;

typedef struct AwsMember {
    const char *name;  /* in the value tree */
    const char *wire;  /* in XML and JSON */
    const char *query; /* in a request form */
    const AwsShape *shape;
    bool required;
    bool sensitive;
    bool omit_empty; /* an empty list is not sent: clients index the first item unseen */
} AwsMember;

struct AwsShape {
    const char *name;
    AwsType type;
    const AwsMember *members; /* struct: all; list: the item; map: key and value */
    size_t member_count;
    const char *const *values; /* enum: as known; newer clients may send others */
    size_t value_count;
};

typedef struct AwsFaultInfo {
    const char *shape; /* DBInstanceNotFoundFault */
    const char *code;  /* DBInstanceNotFound */
    int status;        /* HTTP */
    bool sender;       /* the caller's mistake, not ours */
} AwsFaultInfo;

typedef struct AwsOperation {
    const char *name;
    const char *wrapper;    /* the XML element around the output (query), or NULL */
    const AwsShape *input;  /* NULL: takes nothing */
    const AwsShape *output; /* NULL: returns nothing */
    const AwsFaultInfo *const *errors;
    size_t error_count;
} AwsOperation;

typedef struct AwsService {
    const char *name;      /* rds */
    const char *signing;   /* the service of a credential scope */
    const char *target;    /* X-Amz-Target is target.Operation; NULL: none */
    const char *version;   /* 2014-10-31 */
    const char *namespace; /* of XML replies, or NULL */
    AwsProtocol protocol;
    const AwsOperation *operations; /* by name */
    size_t operation_count;
    const AwsShape *shapes; /* by name */
    size_t shape_count;
    const AwsFaultInfo *faults; /* by shape */
    size_t fault_count;
} AwsService;

/* NULL when there is none. */
const AwsService *aws_service_at(size_t index); /* to walk them all */
const AwsService *aws_service_find(Slice signing_name);
/* "secretsmanager.GetSecretValue": the service, and the operation's name behind the point. */
const AwsService *aws_service_by_target(Slice target, Slice *ret_operation);
const AwsOperation *aws_operation_find(const AwsService *service, Slice name);
const AwsShape *aws_shape_find(const AwsService *service, Slice name);
const AwsMember *aws_member_find(const AwsShape *shape, Slice name);
bool aws_enum_has(const AwsShape *shape, Slice value);
/* A deep copy in which every sensitive member is "***": what may be logged. */
json_t *aws_redacted(const AwsShape *shape, const json_t *value);

/* ---- names of endpoints ------------------------------------------------------------------- */

/* Ended by NULL, from the arena: the hosts that SDKs connect to where nothing tells them of this
 * API ("rds.eu-west-1.amazonaws.com", …), and that it can stand in for. */
const char *const *aws_public_hosts(Arena *arena, const char *region);

/* ---- faults ------------------------------------------------------------------------------- */

/* What a caller is told instead of a result; caller-owned, like Err. */
typedef struct AwsFault {
    char code[96]; /* as on the wire: DBInstanceNotFound */
    int status;
    bool sender;
    bool modelled; /* stands in the service's table */
    char message[1024];
} AwsFault;

/* By shape or code from the service's table, or from the codes that all services share
 * (InvalidParameterValue, InvalidParameterCombination, MissingParameter, ValidationError,
 * AccessDenied, Throttling, InternalFailure, …). Another name becomes the code, with status 400.
 * `service` may be NULL. Returns false, so that a caller can `return aws_fault_set(…)`. */
PRINTF_LIKE(4, 5)
bool aws_fault_set(AwsFault *fault, const AwsService *service, const char *name, const char *format,
                   ...);
/* Whether aws_fault_set would find the name. For tests of handlers. */
bool aws_fault_known(const AwsService *service, const char *name);
/* InternalFailure, InvalidParameterValue, …: from one of our own errors. ServiceUnavailable, from
 * ERR_UNAVAILABLE and ERR_LIMIT, promises that nothing was done: clients ask again by themselves.
 */
bool aws_fault_from_err(AwsFault *fault, const AwsService *service, const Err *err);
/* The other way, for the client: "code: message". Returns false. */
bool aws_fault_to_err(const AwsFault *fault, Err *err);

/* ---- HTTP as these codecs see it ------------------------------------------------------------ */

typedef struct AwsHeader {
    Slice name; /* any case */
    Slice value;
} AwsHeader;

typedef struct AwsHttp {
    Slice method;
    Slice path;  /* as on the wire, without the query */
    Slice query; /* as on the wire, without '?' */
    const AwsHeader *headers;
    size_t header_count;
    Slice body;
    bool tls; /* it came so */
} AwsHttp;

/* The first header of this name; data == NULL when there is none. */
Slice aws_http_header(const AwsHttp *http, const char *name);

/* ---- server: requests ----------------------------------------------------------------------- */

/* What a request asks for. */
typedef struct AwsCall {
    const AwsService *service;
    const AwsOperation *operation;
    AwsProtocol protocol; /* of this request */
} AwsCall;

/* The family in which a request that cannot be routed is answered. */
AwsProtocol aws_protocol_of(const AwsHttp *http);
/* Finds service and operation: by X-Amz-Target, or by the credential scope's service
 * (`signing_name`, see aws_sigv4_verify) and the form's Action. */
NODISCARD bool aws_route(const AwsHttp *http, Slice signing_name, AwsCall *ret_call,
                         AwsFault *fault);
/* Reads the request's body (for query and ec2 also a GET's query) into a value tree, an object even
 * where the operation takes nothing. A list that is present and empty is [], a string "". Names
 * that the input shape does not know are appended to `unknown` (an array; may be NULL), never
 * refused. */
NODISCARD bool aws_input_parse(const AwsCall *call, const AwsHttp *http, json_t **ret_input,
                               json_t *unknown, AwsFault *fault);

#define AWS_DEPTH_MAX        32   /* of a value tree */
#define AWS_FORM_PAIRS_MAX   8192 /* of a request form */
#define AWS_REQUEST_BODY_MAX ((size_t)1 << 20)

/* ---- server: replies ------------------------------------------------------------------------ */

/* Both append to `out`. `output` may be NULL (nothing known). ERR_INTERNAL where a value does not
 * fit its shape, naming it: that is the handler's mistake. */
NODISCARD bool aws_output_format(const AwsCall *call, const json_t *output, const char *request_id,
                                 Buf *out, Err *err);
/* `service` may be NULL: the request was refused before it was known. */
void aws_fault_format(const AwsFault *fault, const AwsService *service, AwsProtocol protocol,
                      const char *request_id, Buf *out);
const char *aws_content_type(AwsProtocol protocol); /* of a reply */

/* ---- client -----------------------------------------------------------------------------------
 */

/* Appends the body of a request, in the service's own protocol. Send it by POST to "/" with
 * aws_request_content_type and, where aws_request_target is not empty, X-Amz-Target. */
NODISCARD bool aws_input_format(const AwsCall *call, const json_t *input, Buf *out, Err *err);
const char *aws_request_content_type(AwsProtocol protocol);
#define AWS_TARGET_SIZE 128
void aws_request_target(const AwsCall *call, char out[static AWS_TARGET_SIZE]);
/* Reads a 2xx reply. An object, also where the operation returns nothing. */
NODISCARD bool aws_output_parse(const AwsCall *call, Slice body, json_t **ret_output, Err *err);
/* Reads any other reply; what cannot be read becomes a fault that says so. */
void aws_fault_parse(const AwsCall *call, int status, Slice body, AwsFault *ret_fault);

/* ---- Signature Version 4 ----------------------------------------------------------------------
 */

#define AWS_CLOCK_SKEW_MS  (15 * 60 * MS_PER_S)
#define AWS_AMZ_DATE_SIZE  17 /* 20260131T120000Z and a NUL */
#define AWS_ACCESS_KEY_MAX 128
#define AWS_SCOPE_MAX      64

/* Who signed, and for what. */
typedef struct AwsCaller {
    char access_key[AWS_ACCESS_KEY_MAX + 1];
    char region[AWS_SCOPE_MAX + 1];
    char service[AWS_SCOPE_MAX + 1];
    bool presigned;     /* by the query, not by the Authorization header */
    uint64_t expires_s; /* of a presigned one: how long it is valid */
} AwsCaller;

/* The secret key of an access key, NULL where there is no such key. */
typedef const Secret *(*AwsKeyFind)(void *context, Slice access_key);

/* Checks a request's signature, in the Authorization header or in the query (presigned). The host,
 * and X-Amz-Target where it is present, must be among the signed headers; a session token is not
 * looked at. What the scope says (region, service) is returned, not judged. The fault
 * carries the code of the request's protocol: SignatureDoesNotMatch, InvalidClientTokenId,
 * IncompleteSignature, MissingAuthenticationToken, RequestExpired, and their awsJson namesakes. */
NODISCARD bool aws_sigv4_verify(const AwsHttp *http, int64_t now_ms, AwsKeyFind find, void *context,
                                AwsCaller *ret_caller, AwsFault *fault);

typedef struct AwsSigner {
    Slice access_key;
    const Secret *secret_key;
    Slice region;
    Slice service;
} AwsSigner;

/* Signs all headers in `http` (host must be there) and an X-Amz-Date of `now_ms`. The caller then
 * sends X-Amz-Date: ret_date, and Authorization: what was appended to `authorization`. */
void aws_sigv4_sign(const AwsHttp *http, const AwsSigner *signer, int64_t now_ms,
                    char ret_date[static AWS_AMZ_DATE_SIZE], Buf *authorization);

/* ---- IAM database tokens ----------------------------------------------------------------------
 */

#define AWS_DB_TOKEN_S   900
#define AWS_DB_TOKEN_MAX ((size_t)8192) /* one with a session token has some 1.5 KiB */

/* What a token must be for. */
typedef struct AwsDbTokenWant {
    Slice user;
    Slice region;
    const char *const *hosts; /* names and addresses; "HOST:PORT" where the port is not `port` */
    size_t host_count;
    uint16_t port;
    AwsKeyFind find;
    void *context;
} AwsDbTokenWant;

/* Checks what a client sent in the place of a password. A token may be used again until it has
 * expired, as at AWS. ERR_DENIED says what is wrong in words for its client, and nothing about
 * keys; the token itself is in no message. */
NODISCARD bool aws_db_token_verify(Slice token, const AwsDbTokenWant *want, int64_t now_ms,
                                   Err *err);

#endif
