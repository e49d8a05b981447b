/* Slices, numbers and encodings. */
#include "../unit.h"

static void test_slice_compare(void **state)
{
    (void)state;
    Slice empty = slice_of(NULL);
    assert_int_equal(empty.len, 0);
    assert_true(slice_eq(empty, SLICE("")));
    assert_true(slice_is(SLICE("abc"), "abc"));
    assert_false(slice_is(SLICE("abc"), "ab"));
    assert_false(slice_is(SLICE("abc"), "abd"));
    assert_false(slice_is(slice_from("a\0c", 3), "a"));
    assert_true(slice_is_nocase(SLICE("SeLect"), "sELECT"));
    assert_false(slice_is_nocase(SLICE("select"), "selects"));
    assert_true(slice_starts(SLICE("abc"), "ab"));
    assert_true(slice_starts(SLICE("abc"), ""));
    assert_true(slice_starts(empty, ""));
    assert_false(slice_starts(SLICE("ab"), "abc"));
    assert_true(slice_has(SLICE("abcd"), "bc"));
    assert_true(slice_has(empty, ""));
    assert_false(slice_has(empty, "a"));
    assert_false(slice_has(SLICE("abcd"), "bd"));
    const char *const parts[] = {"x", "cd", NULL};
    assert_true(slice_has_any(SLICE("abcd"), parts));
    assert_false(slice_has_any(SLICE("abc"), parts));
    assert_true(slice_ends(SLICE("abc"), "bc"));
    assert_true(slice_ends(empty, ""));
    assert_false(slice_ends(SLICE("bc"), "abc"));
}

static void test_slice_order(void **state)
{
    (void)state;
    assert_true(slice_cmp(SLICE("a"), SLICE("b")) < 0);
    assert_true(slice_cmp(SLICE("b"), SLICE("ab")) > 0);
    assert_true(slice_cmp(SLICE("a"), SLICE("ab")) < 0);
    assert_true(slice_cmp(SLICE("ab"), SLICE("a")) > 0);
    assert_true(slice_cmp(SLICE("\x7f"), SLICE("\x80")) < 0); /* bytes, not characters */
    assert_int_equal(slice_cmp(SLICE("ab"), SLICE("ab")), 0);
    assert_int_equal(slice_cmp((Slice){0}, SLICE("")), 0);
}

static void test_slice_cutting(void **state)
{
    (void)state;
    assert_slice(slice_trim(SLICE(" \t\r\n a b \n")), "a b");
    assert_slice(slice_trim(SLICE(" \n ")), "");
    assert_slice(slice_trim(slice_of(NULL)), "");
    assert_slice(slice_skip(SLICE("abc"), 2), "c");
    assert_slice(slice_skip(SLICE("abc"), 3), "");
    assert_slice(slice_skip(slice_of(NULL), 0), "");

    Slice rest = SLICE("a,,b");
    assert_slice(slice_cut(&rest, ','), "a");
    assert_slice(slice_cut(&rest, ','), "");
    assert_non_null(rest.data);
    assert_slice(slice_cut(&rest, ','), "b");
    assert_null(rest.data);
    assert_slice(slice_cut(&rest, ','), "");

    rest = SLICE("a,");
    assert_slice(slice_cut(&rest, ','), "a");
    assert_non_null(rest.data); /* an empty last part is a part */
    assert_int_equal(rest.len, 0);
}

static void test_numbers(void **state)
{
    (void)state;
    uint64_t u = 7;
    assert_true(str_to_u64(SLICE("0"), &u));
    assert_int_equal(u, 0);
    assert_true(str_to_u64(SLICE("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    u = 7;
    const char *bad[] = {
        "",   "18446744073709551616", "99999999999999999999", "-1", "+1", " 1", "1 ", "1x", "0x10",
        "1.0"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(str_to_u64(slice_of(bad[i]), &u));
    }
    assert_int_equal(u, 7);

    int64_t s = 7;
    assert_true(str_to_i64(SLICE("-9223372036854775808"), &s));
    assert_true(s == INT64_MIN);
    assert_true(str_to_i64(SLICE("9223372036854775807"), &s));
    assert_true(s == INT64_MAX);
    assert_true(str_to_i64(SLICE("-0"), &s));
    assert_int_equal(s, 0);
    s = 7;
    const char *bad_signed[] = {"",   "-", "--1", "9223372036854775808", "-9223372036854775809",
                                "- 1"};
    for (size_t i = 0; i < ARRAY_LEN(bad_signed); i++) {
        assert_false(str_to_i64(slice_of(bad_signed[i]), &s));
    }
    assert_int_equal(s, 7);
}

static void test_hex(void **state)
{
    (void)state;
    char text[9];
    hex_encode("\x00\x7f\x80\xff", 4, text);
    assert_string_equal(text, "007f80ff");
    hex_encode("", 0, text);
    assert_string_equal(text, "");

    uint8_t out[4] = {0};
    size_t len = 9;
    assert_true(hex_decode(SLICE("00fF80Aa"), out, sizeof(out), &len));
    assert_int_equal(len, 4);
    assert_memory_equal(out, "\x00\xff\x80\xaa", 4);
    assert_true(hex_decode(SLICE(""), out, sizeof(out), &len));
    assert_int_equal(len, 0);
    const char *bad[] = {"0", "0g", "g0", " 0", "0011223344", "\xc1\xc1", "0x"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(hex_decode(slice_of(bad[i]), out, sizeof(out), &len));
    }
}

/* RFC 4648, section 10. */
static const char *const base64_vectors[][2] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

static void test_base64(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(base64_vectors); i++) {
        Slice plain = slice_of(base64_vectors[i][0]);
        Slice coded = slice_of(base64_vectors[i][1]);
        char text[16];
        uint8_t out[16];
        size_t len = 99;
        assert_int_equal(base64_encoded_len(plain.len), coded.len);
        base64_encode(plain.data, plain.len, text);
        assert_string_equal(text, coded.data);
        assert_true(base64_decode(coded, out, plain.len, &len));
        assert_slice(slice_from(out, len), plain.data);
        assert_true(plain.len == 0 || !base64_decode(coded, out, plain.len - 1, &len));
    }
    char high[5];
    base64_encode("\xfb\xff\xfe", 3, high);
    assert_string_equal(high, "+//+");
}

static void test_base64_refuses(void **state)
{
    (void)state;
    const char *bad[] = {
        "Z",        "Zg",   "Zg=",   "Zg===", "=Zg=", "Z===",    "Zm9v====", "Zg=a",
        "Zg==Zg==", "Zm 9", "Zm9\n", "Zm9-",  "Zm9_", "\xffm9v", "Zh==",     "Zm9="};
    uint8_t out[16];
    size_t len = 99;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(base64_decode(slice_of(bad[i]), out, sizeof(out), &len));
    }
    assert_false(base64_decode(slice_from("Zm\0v", 4), out, sizeof(out), &len));
    assert_int_equal(len, 99);
}

static void test_utf8_len(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } cases[] = {
        {"a", 1},
        {"\xc3\xa4x", 2},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x98\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xed\x9f\xbf", 3},
        {"\x80", 0},
        {"\xc1\xbf", 0},
        {"\xc3", 0},
        {"\xc3x", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xed\xa0\x80", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(utf8_len(slice_of(cases[i].text)), cases[i].len);
    }
    assert_int_equal(utf8_len(SLICE("\0")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice_compare), cmocka_unit_test(test_slice_order),
        cmocka_unit_test(test_utf8_len),      cmocka_unit_test(test_slice_cutting),
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_hex),
        cmocka_unit_test(test_base64),        cmocka_unit_test(test_base64_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
