/* The client's side of Signature Version 4: signs a request by the Authorization header. */
#include <stdlib.h>

#include "aws/sigv4_priv.h"

static char *lower_name(Slice name, Arena *arena)
{
    char *lower = arena_slice_str(arena, name);
    for (char *at = lower; *at != '\0'; at++) {
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at);
    }
    return lower;
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of all headers, in lower case, sorted, joined by ';'. */
static void join_names(const AwsHttp *http, Arena *arena, Buf *out)
{
    char **names = ARENA_ARRAY(arena, char *, http->header_count);
    for (size_t i = 0; i < http->header_count; i++) {
        names[i] = lower_name(http->headers[i].name, arena);
    }
    qsort(names, http->header_count, sizeof(char *), name_compare);
    for (size_t i = 0; i < http->header_count; i++) {
        if (i == 0 || strcmp(names[i - 1], names[i]) != 0) {
            buf_append_str(out, out->len > 0 ? ";" : "");
            buf_append_str(out, names[i]);
        }
    }
}

static void amz_date_format(int64_t now_ms, char out[static AWS_AMZ_DATE_SIZE])
{
    char iso[TIME_ISO_SIZE]; /* 2026-01-31T12:00:00.000Z */
    time_format_iso(now_ms, iso);
    size_t len = 0;
    for (const char *at = iso; *at != '\0' && *at != '.'; at++) {
        if (*at != '-' && *at != ':') {
            out[len++] = *at;
        }
    }
    out[len++] = 'Z';
    out[len] = '\0';
    ASSERT(len == AWS_AMZ_DATE_SIZE - 1);
}

/* The request with X-Amz-Date among its headers. */
static AwsHttp with_date(const AwsHttp *http, const char *date, Arena *arena)
{
    AwsHttp dated = *http;
    AwsHeader *headers = ARENA_ARRAY(arena, AwsHeader, http->header_count + 1);
    if (http->header_count > 0) {
        memcpy(headers, http->headers, sizeof(AwsHeader) * http->header_count);
    }
    headers[dated.header_count++] = (AwsHeader){SLICE("x-amz-date"), slice_of(date)};
    dated.headers = headers;
    return dated;
}

void aws_sigv4_sign(const AwsHttp *http, const AwsSigner *signer, int64_t now_ms,
                    char ret_date[static AWS_AMZ_DATE_SIZE], Buf *authorization)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char payload[SIGV4_HEX_SIZE];
    char signature[SIGV4_HEX_SIZE];
    Buf names;
    Buf canonical;
    buf_init(&names, BUF_MAX_DEFAULT);
    buf_init(&canonical, BUF_MAX_DEFAULT);
    amz_date_format(now_ms, ret_date);
    AwsHttp dated = with_date(http, ret_date, arena);
    join_names(&dated, arena, &names);
    sigv4_hash_hex(http->body, payload);
    sigv4_canonical(&dated, buf_slice(&names), slice_of(payload), arena, &canonical);
    Sigv4Scope scope = {slice_from(ret_date, 8), signer->region, signer->service};
    sigv4_signature(signer->secret_key, &scope, slice_of(ret_date), buf_slice(&canonical),
                    signature);
    buf_printf(authorization,
               SIGV4_ALGORITHM " Credential=%.*s/%.*s/%.*s/%.*s/aws4_request, "
                               "SignedHeaders=%s, Signature=%s",
               SLICE_FMT(signer->access_key), SLICE_FMT(scope.date), SLICE_FMT(scope.region),
               SLICE_FMT(scope.service), buf_str(&names), signature);
    buf_done(&names);
    buf_done(&canonical);
}
