/* Sealed secrets: the way back, and every way that must fail. */
#include "../unit.h"

#include "crypto/crypto.h"

static const uint8_t key[AEAD_KEY_SIZE] = {1, 2, 3};

static void seal(const char *context, const char *plain, Buf *out)
{
    buf_init(out, BUF_MAX_DEFAULT);
    secret_seal(key, slice_of(context), slice_of(plain), out);
    assert_false(out->overflowed);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const plains[] = {"", "x", "s3cret", "a longer one with \xff bytes"};
    for (size_t i = 0; i < ARRAY_LEN(plains); i++) {
        Buf sealed;
        Secret secret = {0};
        Err err;
        seal("spec/x", plains[i], &sealed);
        assert_true(secret_unseal(key, SLICE("spec/x"), buf_slice(&sealed), &secret, &err));
        assert_slice(secret_reveal(&secret), plains[i]);
        secret_done(&secret);
        buf_done(&sealed);
    }
}

static void test_same_text_never_looks_the_same(void **state)
{
    (void)state;
    Buf a;
    Buf b;
    seal("spec/x", "s3cret", &a);
    seal("spec/x", "s3cret", &b);
    assert_false(slice_eq(buf_slice(&a), buf_slice(&b)));
    buf_done(&a);
    buf_done(&b);
}

static void assert_refused(const uint8_t *with_key, const char *context, Slice text)
{
    Secret secret = {0};
    Err err = {0};
    assert_false(secret_unseal(with_key, slice_of(context), text, &secret, &err));
    assert_int_equal(err.code, ERR_DENIED);
    assert_false(secret_is_set(&secret));
}

static void test_refusals(void **state)
{
    (void)state;
    static const uint8_t other_key[AEAD_KEY_SIZE] = {9};
    Buf sealed;
    seal("spec/x", "s3cret", &sealed);
    assert_refused(other_key, "spec/x", buf_slice(&sealed));
    assert_refused(key, "spec/y", buf_slice(&sealed));
    assert_refused(key, "spec/x", slice_from(sealed.data, sealed.len - 4));
    assert_refused(key, "spec/x", SLICE("not base64!"));
    assert_refused(key, "spec/x", SLICE(""));
    sealed.data[20] = sealed.data[20] == 'A' ? 'B' : 'A';
    assert_refused(key, "spec/x", buf_slice(&sealed));
    buf_done(&sealed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_same_text_never_looks_the_same),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
