/* Allocation, arenas, buffers, vectors and the error value. */
#include <errno.h>
#include <stdio.h>

#include "../unit.h"

static void test_mem(void **state)
{
    (void)state;
    CLEANUP(mem_free_ptr) char *bytes = mem_alloc(100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(bytes[i], 0);
    }
    bytes = mem_realloc(bytes, 200);
    assert_non_null(bytes);
    CLEANUP(mem_free_ptr) char *nothing = mem_alloc(0);
    assert_non_null(nothing);
    assert_null(mem_strdup(NULL));
    CLEANUP(mem_free_ptr) char *text = mem_printf("%s-%d", "weir", 7);
    assert_string_equal(text, "weir-7");
    mem_free(NULL);
}

static void test_arena(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char *first = arena_strdup(arena, "first");
    for (size_t size = 0; size < 20000; size += 97) {
        char *bytes = arena_alloc(arena, size);
        assert_int_equal((uintptr_t)bytes % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(bytes[i], 0);
        }
        memset(bytes, 0xee, size);
    }
    assert_string_equal(first, "first");
    assert_null(arena_strdup(arena, NULL));
    assert_string_equal(arena_strndup(arena, "abcdef", 3), "abc");
    assert_string_equal(arena_slice_str(arena, slice_of(NULL)), "");
    assert_string_equal(arena_printf(arena, "%05d|%s", 42, "x"), "00042|x");
    arena_reset(arena);
    const uint64_t *numbers = ARENA_ARRAY(arena, uint64_t, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(numbers[i], 0); /* zeroed again after a reset */
    }
    arena_free(NULL);
}

static void test_buf_append(void **state)
{
    (void)state;
    Buf buf;
    buf_init(&buf, BUF_MAX_DEFAULT);
    assert_string_equal(buf_str(&buf), "");
    assert_int_equal(buf_slice(&buf).len, 0);
    buf_append_str(&buf, "ab");
    buf_append_char(&buf, 'c');
    buf_append_slice(&buf, SLICE("de"));
    buf_append(&buf, NULL, 0);
    buf_printf(&buf, "%d", 123456);
    assert_string_equal(buf_str(&buf), "abcde123456");
    buf_consume(&buf, 5);
    assert_string_equal(buf_str(&buf), "123456");
    buf_consume(&buf, 0);
    buf_consume(&buf, 6);
    assert_string_equal(buf_str(&buf), "");
    for (int i = 0; i < 1000; i++) {
        buf_printf(&buf, "%03d", i);
    }
    assert_int_equal(buf.len, 3000);
    assert_memory_equal(buf.data + 2997, "999", 4);
    buf_truncate(&buf, 2);
    assert_string_equal(buf_str(&buf), "00");
    buf_clear(&buf);
    assert_string_equal(buf_str(&buf), "");
    buf_done(&buf);
    buf_done(&buf);
}

static void test_buf_maximum(void **state)
{
    (void)state;
    Buf buf;
    buf_init(&buf, 8);
    buf_append_str(&buf, "1234567");
    assert_false(buf.overflowed);
    buf_append_char(&buf, '8'); /* exactly full */
    assert_false(buf.overflowed);
    buf_append_char(&buf, '9');
    assert_true(buf.overflowed);
    buf_append_str(&buf, "");
    assert_string_equal(buf_str(&buf), "12345678");
    assert_null(buf_reserve(&buf, 1));
    buf_clear(&buf);
    assert_false(buf.overflowed);
    buf_printf(&buf, "%s", "123456789");
    assert_true(buf.overflowed);
    assert_int_equal(buf.len, 0);
    buf_clear(&buf);
    assert_null(buf_reserve(&buf, SIZE_MAX));
    buf_clear(&buf);
    char *room = buf_reserve(&buf, 8);
    assert_non_null(room);
    memcpy(room, "abc", 3);
    buf_commit(&buf, 3);
    assert_string_equal(buf_str(&buf), "abc");
    buf_done(&buf);
}

static void test_buf_reserve_keeps_a_text(void **state)
{
    (void)state;
    char *dirty = mem_alloc(64);
    memset(dirty, 'x', 64);
    mem_free(dirty); /* likely to come back as the buffer's */
    Buf buf;
    buf_init(&buf, 64);
    assert_non_null(buf_reserve(&buf, 8));
    assert_string_equal(buf_str(&buf), ""); /* also where nothing is committed */
    buf_done(&buf);
}

static void test_vec(void **state)
{
    (void)state;
    VEC(int) numbers = {0};
    for (int i = 0; i < 1000; i++) {
        vec_push(&numbers, i);
    }
    assert_int_equal(numbers.len, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(numbers.items[i], i);
    }
    vec_done(&numbers);
    assert_null(numbers.items);
    assert_int_equal(numbers.len, 0);
}

static void test_err(void **state)
{
    (void)state;
    Err err = {0};
    assert_false(err_set(NULL, ERR_INVALID, "nobody listens"));
    assert_false(err_set(&err, ERR_INVALID, "%s is not a number", "x"));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.message, "x is not a number");
    assert_int_equal(err_exit_code(err.code), 2);

    assert_false(err_set_errno(&err, EACCES, "cannot read %s", "/f"));
    assert_int_equal(err.code, ERR_DENIED);
    assert_int_equal(err.os_errno, EACCES);
    assert_string_equal(err.message, "cannot read /f: Permission denied");
    assert_false(err_wrap(&err, "tier %d", 3));
    assert_int_equal(err.code, ERR_DENIED);
    assert_int_equal(err.os_errno, EACCES);
    assert_string_equal(err.message, "tier 3: cannot read /f: Permission denied");
    assert_false(err_set(&err, ERR_LIMIT, "again: %s", err.message)); /* may point into itself */
    assert_string_equal(err.message, "again: tier 3: cannot read /f: Permission denied");

    char wide[3000];
    memset(wide, 'w', sizeof(wide));
    wide[sizeof(wide) - 1] = '\0';
    assert_false(err_set(&err, ERR_IO, "%s", wide));
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
    assert_false(err_wrap(&err, "context"));
    assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
}

static void test_err_codes(void **state)
{
    (void)state;
    const int exits[] = {
        [ERR_NONE] = 0,        [ERR_INTERNAL] = 1, [ERR_INVALID] = 2,     [ERR_NOT_FOUND] = 3,
        [ERR_UNSUPPORTED] = 2, [ERR_EXISTS] = 5,   [ERR_CONFLICT] = 5,    [ERR_DENIED] = 4,
        [ERR_TIMEOUT] = 6,     [ERR_LIMIT] = 1,    [ERR_UNAVAILABLE] = 1, [ERR_IO] = 1};
    for (int code = ERR_NONE; code <= ERR_IO; code++) {
        assert_int_equal(err_exit_code((ErrCode)code), exits[code]);
        assert_non_null(err_code_name((ErrCode)code));
    }
    const struct {
        int os_errno;
        ErrCode code;
    } pairs[] = {{ENOENT, ERR_NOT_FOUND},
                 {EEXIST, ERR_EXISTS},
                 {EPERM, ERR_DENIED},
                 {ETIMEDOUT, ERR_TIMEOUT},
                 {ECONNREFUSED, ERR_UNAVAILABLE},
                 {ENOSPC, ERR_IO}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        Err err;
        assert_false(err_set_errno(&err, pairs[i].os_errno, "x"));
        assert_int_equal(err.code, pairs[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_buf_append),
        cmocka_unit_test(test_buf_maximum),
        cmocka_unit_test(test_buf_reserve_keeps_a_text),
        cmocka_unit_test(test_vec),
        cmocka_unit_test(test_err),
        cmocka_unit_test(test_err_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
