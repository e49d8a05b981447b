/* Neither side of SCRAM trips over what the other sends, nobody gets in with garbage, and a
 * verifier that is read is written back the same. Input: two messages with a newline between. */
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_server(const char *mechanism, Slice first, Slice final, Slice binding)
{
    static const uint8_t secret[SHA256_SIZE] = {1};
    ScramVerifier verifier;
    ScramServer server;
    Buf out;
    Err err;
    buf_init(&out, BUF_MAX_DEFAULT);
    scram_verifier_mock(SLICE("user"), secret, &verifier);
    scram_server_init(&server, &verifier, false, binding);
    ScramOutcome outcome =
        scram_server_first(&server, slice_of(mechanism), first, SLICE("server"), &out, &err);
    ASSERT(outcome != SCRAM_DENIED);
    if (outcome == SCRAM_OK) {
        buf_clear(&out);
        ASSERT(scram_server_final(&server, final, &out, &err) != SCRAM_OK);
    }
    ASSERT(outcome == SCRAM_OK || out.len == 0);
    scram_server_done(&server);
    buf_done(&out);
}

static void check_client(Slice first, Slice final)
{
    ScramClient client;
    ScramKeys keys = {0};
    Buf out;
    Err err;
    buf_init(&out, BUF_MAX_DEFAULT);
    scram_client_first(&client, SLICE("client"), &out);
    /* PBKDF2 costs what the peer asks for; that is not what is fuzzed. */
    const char *asked = first.len > 0 ? memmem(first.data, first.len, ",i=", 3) : NULL;
    Slice rest = asked != NULL ? slice_skip(first, (size_t)(asked + 3 - first.data)) : SLICE("1");
    if (slice_is(slice_cut(&rest, ','), "1") &&
        scram_client_final(&client, first, SLICE("pw"), &keys, &out, &err)) {
        ASSERT(!scram_client_verify(&client, final, &err));
    }
    buf_done(&out);
}

static void check_verifier(Slice text)
{
    ScramVerifier verifier;
    ScramVerifier again;
    if (!scram_verifier_parse(text, &verifier)) {
        return;
    }
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    scram_verifier_format(&verifier, &out);
    ASSERT(scram_verifier_parse(buf_slice(&out), &again));
    ASSERT(memcmp(&verifier, &again, sizeof(verifier)) == 0);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Slice final = slice_from(data, size);
    check_verifier(final);
    Slice first = slice_cut(&final, '\n');
    check_server(SCRAM_MECHANISM, first, final, (Slice){0});
    check_server(SCRAM_MECHANISM_PLUS, first, final, SLICE("hash"));
    check_client(first, final);
    return 0;
}
