/* What is redrawn at the end of a terminal: cut so that it does not wrap. */
#include <stdio.h>
#include <stdlib.h>

#include "../unit.h"
#include "cli/cli_priv.h"

static void assert_fitted(const char *text, const char *expected)
{
    FILE *out = tmpfile(); /* no terminal: 80 columns, 24 rows */
    Screen screen;
    Buf fitted;
    screen_init(&screen, out);
    buf_init(&fitted, BUF_MAX_DEFAULT);
    screen_fit(&screen, text, &fitted);
    assert_string_equal(buf_str(&fitted), expected);
    buf_done(&fitted);
    fclose(out);
}

#define A78 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A79 A78 "a"

static void test_width(void **state)
{
    (void)state;
    assert_fitted("", "");
    assert_fitted("a\n\nb\n", "a\n\nb\n");
    assert_fitted(A79 "\n", A79 "\n");
    assert_fitted(A79 "b\n", A79 "\n");
    assert_fitted("\033[32m" A79 "\033[0m\n", "\033[32m" A79 "\033[0m\n"); /* takes no room */
    assert_fitted("\033[32m" A79 "b\033[0m\n", "\033[32m" A79 "\033[0m\n");
    assert_fitted("…" A79 "\n", "…" A78 "\n"); /* characters, not bytes */
}

static void test_height(void **state)
{
    (void)state;
#define TEN "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"
    assert_fitted(TEN TEN "1\n2\n3\n", TEN TEN "1\n2\n3\n");
    assert_fitted(TEN TEN "1\n2\n3\n4\n", TEN TEN "1\n2\nand 2 more\n");
}

static void test_put(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    Screen screen;
    screen_init(&screen, out);
    screen_put(&screen, "above\n", "below\n");
    assert_string_equal(text, "above\n");
    screen.live = true;
    screen_put(&screen, "", "one\ntwo\n");
    screen_put(&screen, "news\n", "three\n");
    screen_put(&screen, "", "");
    screen_put(&screen, "end\n", "");
#define UP "\033[1A\033[2K"
    assert_string_equal(text, "above\none\ntwo\n" UP UP "news\nthree\n" UP "end\n");
    fclose(out);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_height),
        cmocka_unit_test(test_put),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
