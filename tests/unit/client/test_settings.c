/* client.json, and settings that no client can be opened with. */
#include <sys/stat.h>
#include <unistd.h>

#include "../folder.h"
#include "client/client.h"

static void write_settings(const char *folder, const char *text)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" CLIENT_FILE, folder);
    Err err;
    assert_true(file_write(path, slice_of(text), 0600, &err));
}

static void test_save_and_load(void **state)
{
    char endpoint[] = "https://127.1.0.1:4566";
    char region[] = "local-1";
    char access_key[] = "AKIA";
    char ca[] = "ca.pem";
    char run_dir[] = "/run/weir/x";
    ClientSettings settings = {.endpoint = endpoint,
                               .region = region,
                               .access_key = access_key,
                               .ca = ca,
                               .run_dir = run_dir};
    ClientSettings loaded;
    Err err;
    secret_set(&settings.secret_key, SLICE("s/\"\xc3\xa4"));
    assert_true(client_settings_save(*state, &settings, &err));
    assert_true(client_settings_load(*state, &loaded, &err));
    assert_string_equal(loaded.endpoint, endpoint);
    assert_string_equal(loaded.region, region);
    assert_string_equal(loaded.access_key, access_key);
    assert_true(secret_eq(&loaded.secret_key, SLICE("s/\"\xc3\xa4")));
    CLEANUP(mem_free_ptr) char *expected_ca = mem_printf("%s/ca.pem", (char *)*state);
    assert_string_equal(loaded.ca, expected_ca);
    assert_string_equal(loaded.run_dir, run_dir);
    assert_int_equal(loaded.patience_ms, CLIENT_PATIENCE_DEFAULT_MS);
    struct stat info;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" CLIENT_FILE, (char *)*state);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    client_settings_done(&loaded);
    secret_done(&settings.secret_key);
}

static void test_without_a_ca(void **state)
{
    ClientSettings loaded;
    Err err;
    write_settings(*state, "{\"endpoint\": \"https://a\", \"region\": \"r\", \"access_key\": \"k\","
                           " \"secret_key\": \"s\"}");
    assert_true(client_settings_load(*state, &loaded, &err));
    assert_null(loaded.ca);
    assert_null(loaded.run_dir);
    client_settings_done(&loaded);
    client_settings_done(&loaded); /* twice is fine */
}

static void test_bad_files(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"", "not JSON"},
        {"{", "not JSON"},
        {"[]", "\"endpoint\""},
        {"{\"endpoint\": 1}", "\"endpoint\""},
        {"{\"endpoint\": \"x\"}", "\"region\""},
        {"{\"endpoint\": \"x\", \"region\": \"r\", \"access_key\": \"k\"}", "\"secret_key\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ClientSettings loaded;
        Err err;
        write_settings(*state, cases[i].text);
        assert_false(client_settings_load(*state, &loaded, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, cases[i].says));
    }
    ClientSettings loaded;
    Err err;
    assert_false(client_settings_load("/nonexistent", &loaded, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void test_endpoints(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint;
        bool ok;
    } cases[] = {
        {"https://127.1.0.1:4566", true},
        {"https://127.1.0.1:4566/", true},
        {"https://weir.test", true},
        {"https://[::1]:4566", true},
        {"http://127.1.0.1:4566", false},
        {"127.1.0.1:4566", false},
        {"https://127.1.0.1:4566/path", false},
        {"https://127.1.0.1:4566/?x=y", false},
        {"https://user@127.1.0.1:4566", false},
        {"https://", false},
        {"https://a b", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(mem_free_ptr) char *endpoint = mem_strdup(cases[i].endpoint);
        char text[] = "x";
        ClientSettings settings = {.endpoint = endpoint, .region = text, .access_key = text};
        Client *client = NULL;
        Err err;
        secret_set(&settings.secret_key, SLICE("x"));
        assert_int_equal(client_open(&settings, &client, &err), cases[i].ok);
        assert_true(cases[i].ok || err.code == ERR_INVALID);
        client_close(client);
        secret_done(&settings.secret_key);
    }
}

static void test_calls_that_are_not_sent(void **state)
{
    (void)state;
    char endpoint[] = "https://127.0.0.1:1";
    char text[] = "x";
    char missing_ca[] = "/nonexistent/ca.pem";
    ClientSettings settings = {
        .endpoint = endpoint, .region = text, .access_key = text, .timeout_ms = 1000};
    Client *client;
    AwsFault fault;
    json_t *output = NULL;
    Err err;
    secret_set(&settings.secret_key, SLICE("x"));
    settings.ca = missing_ca;
    assert_false(client_open(&settings, &client, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    settings.ca = NULL;
    assert_true(client_open(&settings, &client, &err));
    assert_false(client_call(client, "rds", "Fly", NULL, &output, &fault, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
    assert_false(client_call(client, "s3", "Fly", NULL, &output, &fault, &err));
    json_t *input = json_pack("{s:s}", "MaxRecords", "many");
    assert_false(client_call(client, "rds", "DescribeDBInstances", input, &output, &fault, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.message,
                        "DescribeDBInstances: MaxRecords must be an integer of 32 bits");
    assert_false(client_call(client, "rds", "DescribeDBInstances", NULL, &output, &fault, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_string_equal(fault.code, "");
    assert_false(client_call(client, "rds", "DescribeDBInstances", NULL, &output, NULL, NULL));
    assert_null(output);
    json_decref(input);
    client_close(client);
    secret_done(&settings.secret_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_save_and_load),
        IN_FOLDER(test_without_a_ca),
        IN_FOLDER(test_bad_files),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_calls_that_are_not_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
