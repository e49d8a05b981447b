/* Whole requests against an API that holds some resources: the first byte chooses the service, the
 * first line is X-Amz-Target (JSON services), the rest is the body. Each is signed, so that it
 * reaches the handlers; the tier is made anew for each input. */
#include "api/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t master_key[AEAD_KEY_SIZE] = {1};
static const InstalledVersion installed[] = {{"postgres", "15.18"}, {"redis", "7.0.15"}};

static int64_t now(void *context)
{
    (void)context;
    return 1700000000000;
}

static const Secret *find_key(void *context, Slice access_key)
{
    (void)access_key;
    return context;
}

static void ask(Api *api, const Secret *key, const char *service, Slice target, Slice body)
{
    char date[AWS_AMZ_DATE_SIZE];
    AwsHeader headers[6] = {
        {SLICE("Host"), SLICE("weir")},
        {SLICE("Content-Type"), target.len > 0 ? SLICE("application/x-amz-json-1.1")
                                               : SLICE("application/x-www-form-urlencoded")}};
    size_t count = 2;
    if (target.len > 0) {
        headers[count++] = (AwsHeader){SLICE("X-Amz-Target"), target};
    }
    AwsHttp http = {.method = SLICE("POST"),
                    .path = SLICE("/"),
                    .headers = headers,
                    .header_count = count,
                    .body = body};
    AwsSigner signer = {SLICE("K"), key, SLICE("eu-west-1"), slice_of(service)};
    Buf authorization;
    buf_init(&authorization, BUF_MAX_DEFAULT);
    aws_sigv4_sign(&http, &signer, now(NULL), date, &authorization);
    headers[count++] = (AwsHeader){SLICE("X-Amz-Date"), slice_of(date)};
    headers[count++] = (AwsHeader){SLICE("Authorization"), buf_slice(&authorization)};
    http.header_count = count;
    ApiReply reply;
    api_reply_init(&reply);
    api_answer(api, &http, &reply);
    ASSERT(reply.status >= 200 && reply.status < 600 && reply.body.len > 0);
    api_reply_done(&reply);
    buf_done(&authorization);
}

static void furnish(Api *api, const Secret *key)
{
    ask(api, key, "rds", (Slice){0},
        SLICE("Action=CreateDBInstance&Version=2014-10-31&DBInstanceIdentifier=a&Engine=postgres&"
              "DBInstanceClass=db.t4g.micro&AllocatedStorage=20&MasterUsername=u&"
              "MasterUserPassword=12345678"));
    ask(api, key, "elasticache", (Slice){0},
        SLICE("Action=CreateReplicationGroup&Version=2015-02-02&ReplicationGroupId=r&"
              "ReplicationGroupDescription=d&CacheNodeType=cache.t4g.micro&NumCacheClusters=2"));
    ask(api, key, "secretsmanager", SLICE("secretsmanager.CreateSecret"),
        SLICE("{\"Name\":\"s\",\"SecretString\":\"x\"}"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const services[] = {"rds", "elasticache", "secretsmanager",
                                           "ec2", "sts",         "weir"};
    if (size < 2 || size > 8192) {
        return 0;
    }
    Secret key = {0};
    secret_set(&key, SLICE("secret"));
    Store *store = store_open_memory(NULL);
    Api *api = NULL;
    Err err;
    const ApiOptions options = {
        .store = store,
        .master_key = master_key,
        .tier = {MODEL_ACCOUNT_ID, "eu-west-1", "127.1"},
        .tier_id = "t",
        .host = "h",
        .endpoint = "e",
        .versions = {installed, ARRAY_LEN(installed), NULL},
        .key_find = find_key,
        .now_ms = now,
        .context = &key,
    };
    if (api_new(&options, &api, &err)) {
        furnish(api, &key);
        Slice rest = slice_from(data + 1, size - 1);
        Slice target = slice_cut(&rest, '\n');
        Slice body = rest.data != NULL ? rest : target;
        ask(api, &key, services[data[0] % ARRAY_LEN(services)],
            rest.data != NULL ? target : (Slice){0}, body);
    }
    api_free(api);
    store_close(store);
    secret_done(&key);
    return 0;
}
