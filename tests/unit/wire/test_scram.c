/* SCRAM-SHA-256: the RFC's own exchange, both our sides against each other, and what is refused. */
#include "../unit.h"

#include "wire/wire.h"

static const uint8_t mock_secret[SHA256_SIZE] = "a secret of the process";

typedef struct Exchange {
    ScramServer server;
    Buf out;
    Err err;
} Exchange;

static void exchange_init(Exchange *x, const ScramVerifier *verifier, bool doomed, Slice binding)
{
    memset(x, 0, sizeof(*x));
    buf_init(&x->out, BUF_MAX_DEFAULT);
    scram_server_init(&x->server, verifier, doomed, binding);
}

static void exchange_done(Exchange *x)
{
    scram_server_done(&x->server);
    buf_done(&x->out);
}

static ScramVerifier verifier_of(const char *password)
{
    ScramVerifier verifier;
    scram_verifier_make(slice_of(password), SLICE("0123456789abcdef"), 64, &verifier);
    return verifier;
}

/* RFC 7677, section 3. */
static void test_rfc_vector(void **state)
{
    (void)state;
    uint8_t salt[16];
    size_t len;
    assert_true(base64_decode(SLICE("W22ZaJ0SNY7soEsUEjb6gQ=="), salt, sizeof(salt), &len));
    ScramVerifier verifier;
    scram_verifier_make(SLICE("pencil"), slice_from(salt, len), 4096, &verifier);
    Exchange x;
    exchange_init(&x, &verifier, false, (Slice){0});
    assert_true(scram_server_first(
                    &x.server, SLICE(SCRAM_MECHANISM), SLICE("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"),
                    SLICE("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"), &x.out, &x.err) == SCRAM_OK);
    assert_string_equal(buf_str(&x.out), "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                         "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    buf_clear(&x.out);
    Slice final = SLICE("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_true(scram_server_final(&x.server, final, &x.out, &x.err) == SCRAM_OK);
    assert_string_equal(buf_str(&x.out), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    exchange_done(&x);
}

/* Our client against our server; the outcome of the server's last step. */
static ScramOutcome login(Exchange *x, const char *password, ScramKeys *keys)
{
    ScramClient client;
    Buf sent;
    buf_init(&sent, BUF_MAX_DEFAULT);
    scram_client_first(&client, SLICE("clientnonce"), &sent);
    assert_true(scram_server_first(&x->server, SLICE(SCRAM_MECHANISM), buf_slice(&sent),
                                   SLICE("servernonce"), &x->out, &x->err) == SCRAM_OK);
    buf_clear(&sent);
    assert_true(
        scram_client_final(&client, buf_slice(&x->out), slice_of(password), keys, &sent, &x->err));
    buf_clear(&x->out);
    ScramOutcome outcome = scram_server_final(&x->server, buf_slice(&sent), &x->out, &x->err);
    if (outcome == SCRAM_OK) {
        assert_true(scram_client_verify(&client, buf_slice(&x->out), &x->err));
        assert_memory_equal(keys->client_key, x->server.client_key, SHA256_SIZE);
        x->out.data[4] ^= 1;
        assert_false(scram_client_verify(&client, buf_slice(&x->out), &x->err));
    }
    buf_done(&sent);
    return outcome;
}

static void test_both_sides(void **state)
{
    (void)state;
    ScramVerifier verifier = verifier_of("p\xc3\xa4ss \xff word");
    ScramKeys keys = {0};
    Exchange x;
    for (int round = 0; round < 2; round++) { /* the second one with the keys of the first */
        exchange_init(&x, &verifier, false, (Slice){0});
        assert_true(login(&x, round == 0 ? "p\xc3\xa4ss \xff word" : "unused", &keys) == SCRAM_OK);
        exchange_done(&x);
    }
    keys = (ScramKeys){0};
    exchange_init(&x, &verifier, false, (Slice){0});
    assert_true(login(&x, "wrong", &keys) == SCRAM_DENIED);
    exchange_done(&x);
}

static ScramOutcome login_with_two(const char *password, bool doomed)
{
    ScramVerifier now = verifier_of("new");
    ScramVerifier before = verifier_of("old");
    ScramKeys keys = {0};
    Exchange x;
    exchange_init(&x, &now, doomed, (Slice){0});
    scram_server_accept_too(&x.server, &before);
    ScramOutcome outcome = login(&x, password, &keys); /* also: the server knows which one it was */
    exchange_done(&x);
    return outcome;
}

static void test_two_passwords(void **state)
{
    (void)state;
    assert_true(login_with_two("new", false) == SCRAM_OK);
    assert_true(login_with_two("old", false) == SCRAM_OK);
    assert_true(login_with_two("older", false) == SCRAM_DENIED);
    assert_true(login_with_two("new", true) == SCRAM_DENIED);
    assert_true(login_with_two("old", true) == SCRAM_DENIED);
}

static void test_unknown_user(void **state)
{
    (void)state;
    ScramVerifier one;
    ScramVerifier again;
    ScramVerifier other;
    scram_verifier_mock(SLICE("nobody"), mock_secret, &one);
    scram_verifier_mock(SLICE("nobody"), mock_secret, &again);
    scram_verifier_mock(SLICE("somebody"), mock_secret, &other);
    assert_int_equal(one.iterations, SCRAM_ITERATIONS);
    assert_int_equal(one.salt_len, SCRAM_SALT_SIZE);
    assert_memory_equal(one.salt, again.salt, SCRAM_SALT_SIZE);
    assert_memory_not_equal(one.salt, other.salt, SCRAM_SALT_SIZE);
    Exchange x;
    ScramKeys keys = {0};
    exchange_init(&x, &one, true, (Slice){0});
    assert_true(login(&x, "anything", &keys) == SCRAM_DENIED);
    exchange_done(&x);
    /* Doomed stays doomed, even where the proof is right. */
    ScramVerifier known = verifier_of("right");
    keys = (ScramKeys){0};
    exchange_init(&x, &known, true, (Slice){0});
    assert_true(login(&x, "right", &keys) == SCRAM_DENIED);
    exchange_done(&x);
}

static void test_verifier_text(void **state)
{
    (void)state;
    ScramVerifier verifier = verifier_of("pencil");
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    scram_verifier_format(&verifier, &text);
    assert_true(slice_starts(buf_slice(&text), "SCRAM-SHA-256$64:MDEyMzQ1Njc4OWFiY2RlZg==$"));
    ScramVerifier back;
    assert_true(scram_verifier_parse(buf_slice(&text), &back));
    assert_memory_equal(&verifier, &back, sizeof(verifier));
    for (size_t cut = 0; cut < text.len; cut++) {
        assert_false(scram_verifier_parse((Slice){text.data, cut}, &back));
    }
    assert_false(scram_verifier_parse(SLICE("md5aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &back));
    assert_false(scram_verifier_parse(SLICE("SCRAM-SHA-256$0:AAAA$AAAA:AAAA"), &back));
    buf_done(&text);
    /* For the password "foo", computed by another program. */
    assert_true(scram_verifier_parse(
        SLICE("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$TfzDNbsmw370u7l66zzcfgQmqJvWcCRVpiZA6fh+"
              "z4w=:HcwUFDz3B5fz3NcxJafdQBPm17KbxUQIDBOBVovVopE="),
        &back));
    ScramVerifier made;
    scram_verifier_make(SLICE("foo"), slice_from(back.salt, back.salt_len), 4096, &made);
    assert_memory_equal(&made, &back, sizeof(made));
}

static ScramOutcome first_of(const char *mechanism, const char *message, Slice binding)
{
    ScramVerifier verifier = verifier_of("x");
    Exchange x;
    exchange_init(&x, &verifier, false, binding);
    ScramOutcome outcome = scram_server_first(&x.server, slice_of(mechanism), slice_of(message),
                                              SLICE("servernonce"), &x.out, &x.err);
    assert_true(outcome == SCRAM_OK || (x.out.len == 0 && x.err.message[0] != '\0'));
    exchange_done(&x);
    return outcome;
}

static void test_first_message(void **state)
{
    (void)state;
    Slice hash = SLICE("certificate hash");
    Slice none = {0};
    const char *plain = SCRAM_MECHANISM;
    const char *plus = SCRAM_MECHANISM_PLUS;
    assert_true(first_of(plain, "n,,n=,r=abc", none) == SCRAM_OK);
    assert_true(first_of(plain, "y,,n=,r=abc", none) == SCRAM_OK);
    assert_true(first_of(plain, "n,,n=,r=abc", hash) == SCRAM_OK);
    assert_true(first_of(plain, "n,,n=,r=abc,x=extension", none) == SCRAM_OK);
    assert_true(first_of(plus, "p=tls-server-end-point,,n=,r=abc", hash) == SCRAM_OK);
    const char *bad[] = {"",
                         "n",
                         "n,",
                         "n,,",
                         "n,,n=",
                         "n,,n=u,r=",
                         "n,,r=abc",
                         "n,a=other,n=,r=abc",
                         "x,,n=,r=a",
                         "n,,m=,n=,r=a",
                         "n,,n=,r=a b",
                         "p=tls-unique,,n=,r=abc",
                         "p=tls-server-end-point,,n=,r=abc"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(first_of(plain, bad[i], none) == SCRAM_BAD);
    }
    assert_true(first_of(plain, "y,,n=,r=abc", hash) == SCRAM_BAD); /* a downgrade */
    assert_true(first_of(plus, "n,,n=,r=abc", hash) == SCRAM_BAD);
    assert_true(first_of(plus, "p=tls-server-end-point,,n=,r=abc", none) == SCRAM_BAD);
    assert_true(first_of("SCRAM-SHA-1", "n,,n=,r=abc", none) == SCRAM_BAD);
    CLEANUP(mem_free_ptr) char *lengthy = mem_printf("n,,n=,r=%02000d", 1);
    assert_true(first_of(plain, lengthy, none) == SCRAM_BAD);
    CLEANUP(mem_free_ptr) char *tight = mem_printf("n,,n=,r=%01000d", 1);
    assert_true(first_of(plain, tight, none) == SCRAM_BAD); /* no room for our nonce */
}

/* With channel binding, the proof covers the certificate. */
static ScramOutcome plus_login(const char *bound_to)
{
    ScramVerifier verifier = verifier_of("pw");
    Exchange x;
    exchange_init(&x, &verifier, false, SLICE("hash-of-cert"));
    assert_true(scram_server_first(&x.server, SLICE(SCRAM_MECHANISM_PLUS),
                                   SLICE("p=tls-server-end-point,,n=,r=abc"), SLICE("def"), &x.out,
                                   &x.err) == SCRAM_OK);
    CLEANUP(mem_free_ptr) char *bound = mem_printf("p=tls-server-end-point,,%s", bound_to);
    char encoded[128];
    base64_encode(bound, strlen(bound), encoded);
    CLEANUP(mem_free_ptr) char *unproven = mem_printf("c=%s,r=abcdef", encoded);
    CLEANUP(mem_free_ptr)
    char *signed_text = mem_printf("n=,r=abc,%s,%s", buf_str(&x.out), unproven);
    uint8_t salted[SHA256_SIZE], client_key[SHA256_SIZE], signature[SHA256_SIZE];
    pbkdf2_sha256(SLICE("pw"), SLICE("0123456789abcdef"), 64, salted);
    hmac_sha256(slice_from(salted, SHA256_SIZE), SLICE("Client Key"), client_key);
    hmac_sha256(slice_from(verifier.stored_key, SHA256_SIZE), slice_of(signed_text), signature);
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        client_key[i] ^= signature[i];
    }
    base64_encode(client_key, SHA256_SIZE, encoded);
    CLEANUP(mem_free_ptr) char *final = mem_printf("%s,p=%s", unproven, encoded);
    buf_clear(&x.out);
    ScramOutcome outcome = scram_server_final(&x.server, slice_of(final), &x.out, &x.err);
    exchange_done(&x);
    return outcome;
}

static void test_channel_binding(void **state)
{
    (void)state;
    assert_true(plus_login("hash-of-cert") == SCRAM_OK);
    assert_true(plus_login("hash-of-evil") == SCRAM_BAD);
    assert_true(plus_login("") == SCRAM_BAD);
}

static void test_final_message(void **state)
{
    (void)state;
    const char *proof = "p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const struct {
        const char *format;
        ScramOutcome outcome;
    } cases[] = {
        {"c=biws,r=abcdef,%s", SCRAM_DENIED},
        {"c=biws,r=abcdef,x=1,%s", SCRAM_DENIED},
        {"c=biws,r=abcdef", SCRAM_BAD},
        {"c=biws,r=abcdef,p=c2hvcnQ=", SCRAM_BAD},
        {"c=biws,r=abcdef,%s,more", SCRAM_BAD},
        {"c=biws,r=abcdef,%s,", SCRAM_BAD},
        {"c=eSws,r=abcdef,%s", SCRAM_BAD},
        {"c=biws,r=abcxyz,%s", SCRAM_BAD},
        {"c=biws,r=abc,%s", SCRAM_BAD},
        {"r=abcdef,%s", SCRAM_BAD},
        {"", SCRAM_BAD},
    };
    ScramVerifier verifier = verifier_of("x");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Exchange x;
        exchange_init(&x, &verifier, false, (Slice){0});
        assert_true(scram_server_first(&x.server, SLICE(SCRAM_MECHANISM), SLICE("n,,n=,r=abc"),
                                       SLICE("def"), &x.out, &x.err) == SCRAM_OK);
        buf_clear(&x.out);
        Buf message;
        buf_init(&message, BUF_MAX_DEFAULT);
        const char *at = strstr(cases[i].format, "%s");
        if (at != NULL) {
            buf_append(&message, cases[i].format, (size_t)(at - cases[i].format));
            buf_append_str(&message, proof);
            buf_append_str(&message, at + 2);
        } else {
            buf_append_str(&message, cases[i].format);
        }
        assert_int_equal(scram_server_final(&x.server, buf_slice(&message), &x.out, &x.err),
                         cases[i].outcome);
        assert_int_equal(x.out.len, 0);
        buf_done(&message);
        exchange_done(&x);
    }
}

static void test_client_refuses(void **state)
{
    (void)state;
    const char *bad[] = {"",
                         "r=clientnonce,s=QUJD,i=4096",
                         "r=other,s=QUJD,i=4096",
                         "r=clientnonceX,s=,i=4096",
                         "r=clientnonceX,s=QUJD,i=0",
                         "r=clientnonceX,s=QUJD,i=99999999999",
                         "r=clientnonceX,s=QUJD",
                         "m=x,r=clientnonceX,s=QUJD,i=4096",
                         "e=unknown-user"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        ScramClient client;
        ScramKeys keys = {0};
        Err err;
        Buf out;
        buf_init(&out, BUF_MAX_DEFAULT);
        scram_client_first(&client, SLICE("clientnonce"), &out);
        buf_clear(&out);
        assert_false(scram_client_final(&client, slice_of(bad[i]), SLICE("pw"), &keys, &out, &err));
        assert_int_equal(out.len, 0);
        assert_false(scram_client_verify(&client, slice_of(bad[i]), &err));
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_vector),    cmocka_unit_test(test_both_sides),
        cmocka_unit_test(test_unknown_user),  cmocka_unit_test(test_verifier_text),
        cmocka_unit_test(test_first_message), cmocka_unit_test(test_channel_binding),
        cmocka_unit_test(test_final_message), cmocka_unit_test(test_client_refuses),
        cmocka_unit_test(test_two_passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
