/* Digests, HMAC, PBKDF2 and AES-256-GCM against published vectors; the secret type. */
#include "../unit.h"
#include "crypto/crypto.h"

static void assert_hex(const void *data, size_t len, const char *expected)
{
    CLEANUP(mem_free_ptr) char *text = mem_alloc(2 * len + 1);
    hex_encode(data, len, text);
    assert_string_equal(text, expected);
}

/* FIPS 180-2, appendix B, and the empty message. */
static void test_sha256(void **state)
{
    (void)state;
    uint8_t out[SHA256_SIZE];
    sha256(SLICE("abc"), out);
    assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), out);
    assert_hex(out, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    sha256(slice_of(NULL), out);
    assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, test cases 1, 2, 6. */
static void test_hmac(void **state)
{
    (void)state;
    uint8_t out[SHA256_SIZE];
    char key[131];
    memset(key, 0x0b, 20);
    hmac_sha256(slice_from(key, 20), SLICE("Hi There"), out);
    assert_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256(SLICE("Jefe"), SLICE("what do ya want for nothing?"), out);
    assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    hmac_sha256(slice_from(key, sizeof(key)),
                SLICE("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    assert_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hmac_sha256(slice_of(NULL), slice_of(NULL), out);
    assert_hex(out, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* RFC 7914, section 11 (first half of each), and the salted password of RFC 7677, section 3. */
static void test_pbkdf2(void **state)
{
    (void)state;
    uint8_t out[SHA256_SIZE];
    pbkdf2_sha256(SLICE("passwd"), SLICE("salt"), 1, out);
    assert_hex(out, 32, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    pbkdf2_sha256(SLICE("Password"), SLICE("NaCl"), 80000, out);
    assert_hex(out, 32, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56");

    uint8_t salt[16];
    size_t salt_len;
    assert_true(base64_decode(SLICE("W22ZaJ0SNY7soEsUEjb6gQ=="), salt, sizeof(salt), &salt_len));
    pbkdf2_sha256(SLICE("pencil"), slice_from(salt, salt_len), 4096, out);
    uint8_t key[SHA256_SIZE];
    hmac_sha256(slice_from(out, sizeof(out)), SLICE("Server Key"), key);
    hmac_sha256(slice_from(key, sizeof(key)),
                SLICE("n=user,r=rOprNGfwEbeRWgbNEkqO,"
                      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                      "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
                      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
                out);
    char signature[64];
    base64_encode(out, sizeof(out), signature);
    assert_string_equal(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/* RFC 1321, appendix A.5. */
static void test_md5(void **state)
{
    (void)state;
    char out[33];
    md5_hex(slice_of(NULL), out);
    assert_string_equal(out, "d41d8cd98f00b204e9800998ecf8427e");
    md5_hex(SLICE("message digest"), out);
    assert_string_equal(out, "f96b697d7cb7938d525a2f31aaf161d0");
}

/* The GCM specification (McGrew, Viega), appendix B, test case 16: opened, since sealing draws its
 * own nonce. */
static void test_aead_vector(void **state)
{
    (void)state;
    static const char sealed_hex[] =
        "cafebabefacedbaddecaf888"
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b";
    static const char plain_hex[] = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a"
                                    "721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
    uint8_t key[AEAD_KEY_SIZE];
    uint8_t context[20];
    uint8_t sealed[128];
    size_t key_len;
    size_t context_len;
    size_t sealed_len;
    assert_true(
        hex_decode(SLICE("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"), key,
                   sizeof(key), &key_len));
    assert_true(hex_decode(SLICE("feedfacedeadbeeffeedfacedeadbeefabaddad2"), context,
                           sizeof(context), &context_len));
    assert_true(hex_decode(SLICE(sealed_hex), sealed, sizeof(sealed), &sealed_len));
    Buf out;
    Err err;
    buf_init(&out, BUF_MAX_DEFAULT);
    assert_true(aead_open(key, slice_from(context, context_len), slice_from(sealed, sealed_len),
                          &out, &err));
    assert_hex(out.data, out.len, plain_hex);
    buf_done(&out);
}

static void test_aead_round(void **state)
{
    (void)state;
    uint8_t key[AEAD_KEY_SIZE];
    random_bytes(key, sizeof(key));
    const Slice plains[] = {SLICE(""), SLICE("x"),
                            SLICE("a secret of some length, say 40 bytes..")};
    const Slice contexts[] = {SLICE(""), SLICE("spec/secret/app")};
    for (size_t i = 0; i < ARRAY_LEN(plains) * ARRAY_LEN(contexts); i++) {
        Slice plain = plains[i / ARRAY_LEN(contexts)];
        Slice context = contexts[i % ARRAY_LEN(contexts)];
        Buf sealed;
        Buf again;
        Buf out;
        Err err;
        buf_init(&sealed, 200);
        buf_init(&again, 200);
        buf_init(&out, 200);
        aead_seal(key, context, plain, &sealed);
        aead_seal(key, context, plain, &again);
        assert_int_equal(sealed.len, plain.len + AEAD_OVERHEAD);
        assert_false(slice_eq(buf_slice(&sealed), buf_slice(&again))); /* a nonce each */
        buf_append_str(&out, ">");
        assert_true(aead_open(key, context, buf_slice(&sealed), &out, &err));
        assert_true(slice_eq(slice_skip(buf_slice(&out), 1), plain));
        buf_done(&sealed);
        buf_done(&again);
        buf_done(&out);
    }
}

static void test_aead_refuses(void **state)
{
    (void)state;
    uint8_t key[AEAD_KEY_SIZE] = {1};
    Slice context = SLICE("context");
    Buf sealed;
    Buf out;
    Err err = {0};
    buf_init(&sealed, 200);
    buf_init(&out, 200);
    aead_seal(key, context, SLICE("plain text"), &sealed);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 1; /* any changed byte */
        assert_false(aead_open(key, context, buf_slice(&sealed), &out, &err));
        assert_int_equal(err.code, ERR_DENIED);
        sealed.data[i] ^= 1;
        assert_false(aead_open(key, context, (Slice){sealed.data, i}, &out, &err)); /* any cut */
    }
    assert_false(aead_open(key, SLICE("other"), buf_slice(&sealed), &out, &err));
    key[31] = 1;
    assert_false(aead_open(key, context, buf_slice(&sealed), &out, &err));
    key[31] = 0;
    assert_int_equal(out.len, 0); /* not one byte of what did not open */
    Buf small;
    buf_init(&small, 9);
    assert_false(aead_open(key, context, buf_slice(&sealed), &small, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_true(aead_open(key, context, buf_slice(&sealed), &out, &err));
    buf_done(&small);
    buf_init(&small, 30);
    aead_seal(key, context, SLICE("plain text"), &small);
    assert_true(small.overflowed);
    buf_done(&small);
    buf_done(&sealed);
    buf_done(&out);
}

static void test_secret(void **state)
{
    (void)state;
    Secret secret = {0};
    assert_false(secret_is_set(&secret));
    assert_false(secret_eq(&secret, SLICE("")));
    secret_set(&secret, SLICE("hunter2"));
    assert_true(secret_is_set(&secret));
    assert_slice(secret_reveal(&secret), "hunter2");
    assert_string_equal(secret_reveal(&secret).data, "hunter2");
    assert_true(secret_eq(&secret, SLICE("hunter2")));
    assert_false(secret_eq(&secret, SLICE("hunter3")));
    assert_false(secret_eq(&secret, SLICE("hunter")));
    secret_set(&secret, slice_skip(secret_reveal(&secret), 3)); /* may come from itself */
    assert_slice(secret_reveal(&secret), "ter2");
    secret_set(&secret, SLICE(""));
    assert_true(secret_is_set(&secret)); /* empty is not absent */
    assert_true(secret_eq(&secret, slice_of(NULL)));
    secret_done(&secret);
    secret_done(&secret);
    assert_false(secret_is_set(&secret));
}

static void test_equal_and_wipe(void **state)
{
    (void)state;
    assert_true(crypto_equal("abc", "abc", 3));
    assert_false(crypto_equal("abc", "abd", 3));
    assert_true(crypto_equal("abc", "abd", 2));
    char data[4] = "abc";
    crypto_wipe(data, sizeof(data));
    assert_memory_equal(data, "\0\0\0", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),         cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_pbkdf2),         cmocka_unit_test(test_md5),
        cmocka_unit_test(test_aead_vector),    cmocka_unit_test(test_aead_round),
        cmocka_unit_test(test_aead_refuses),   cmocka_unit_test(test_secret),
        cmocka_unit_test(test_equal_and_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
