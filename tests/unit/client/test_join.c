/* host.json, the token of a join, and folders that no host can join with. */
#include <sys/stat.h>

#include "../folder.h"
#include "client/client.h"

#define DIGEST "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define TOKEN  "10.101.0.1:4566/eu-west-1/JOINABCDEFGHIJKL/secretsecret/" DIGEST

static void write_file(const char *folder, const char *name, const char *text)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", folder, name);
    Err err;
    assert_true(file_write(path, slice_of(text), 0600, &err));
}

static bool has_file(const char *folder, const char *name)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", folder, name);
    return file_exists(path);
}

static void test_a_host_file_comes_back(void **state)
{
    HostFile file = {.name = "h1", .zone = "a", .net = "10.101", .tier = mem_strdup("abcd")};
    HostFile loaded;
    Err err;
    file.etcd = json_pack("{s:[s], s:b}", "endpoints", "https://10.101.0.1:2379", "own", 1);
    assert_true(host_file_save(*state, &file, &err));
    assert_true(host_file_load(*state, &loaded, &err));
    assert_string_equal(loaded.name, "h1");
    assert_string_equal(loaded.zone, "a");
    assert_string_equal(loaded.net, "10.101");
    assert_string_equal(loaded.tier, "abcd");
    assert_true(json_equal(loaded.etcd, file.etcd));
    struct stat info;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" CLIENT_HOST_FILE, (char *)*state);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    host_file_done(&loaded);
    host_file_done(&file);
}

static void test_wrong_host_files(void **state)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        {"{", "host.json"},
        {"{\"zone\":\"a\"}", "name of a host"},
        {"{\"name\":\"h1\",\"zone\":\"d\"}", "letters abc"},
        {"{\"name\":\"seventeen-letters\",\"zone\":\"a\"}", "name of a host"},
        {"{\"name\":\"h1\",\"zone\":\"a\",\"net\":\"10.256\"}", "/16"},
        {"{\"name\":\"h1\",\"zone\":\"a\",\"net\":\"10.1.2\"}", "/16"},
        {"{\"name\":\"h1\",\"zone\":\"a\",\"etcd\":{}}", "endpoints"},
        {"{\"name\":\"h1\",\"zone\":\"a\",\"etcd\":{\"endpoints\":[\"x\"],\"own\":true}}", "id"},
    };
    HostFile file;
    Err err;
    assert_false(host_file_load(*state, &file, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        write_file(*state, CLIENT_HOST_FILE, wrong[i].text);
        assert_false(host_file_load(*state, &file, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_non_null(strstr(err.message, wrong[i].says));
    }
}

static void test_a_token_comes_back(void **state)
{
    (void)state;
    JoinToken token;
    Err err;
    assert_true(join_token_parse("  " TOKEN "\n", &token, &err));
    assert_string_equal(token.endpoint, "https://10.101.0.1:4566");
    assert_string_equal(token.region, "eu-west-1");
    assert_string_equal(token.id, "JOINABCDEFGHIJKL");
    assert_true(secret_eq(&token.secret, SLICE("secretsecret")));
    assert_string_equal(token.ca_digest, DIGEST);
    CLEANUP(mem_free_ptr) char *text = join_token_format(&token);
    assert_string_equal(text, TOKEN);
    join_token_done(&token);
}

static void test_what_is_no_token(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "10.101.0.1:4566",
        "10.101.0.1:4566/eu-west-1/JOIN/secret/" DIGEST "00",
        "10.101.0.1:4566/eu-west-1/JOIN/secret/" DIGEST "/",
        "10.101.0.1:4566/eu-west-1/JOIN//" DIGEST,
        "10.101.0.1:4566/eu-west-1/JO IN/secret/" DIGEST,
        "user@10.101.0.1:4566/eu-west-1/JOIN/secret/" DIGEST,
    };
    JoinToken token;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        Err err;
        assert_false(join_token_parse(wrong[i], &token, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

/* None of these asks anybody. */
static void test_folders_that_cannot_join(void **state)
{
    const JoinWish wish = {.token = TOKEN, .name = "h2", .zone = "b", .net = ""};
    Err err;
    write_file(*state, "weir.sqlite", "a tier");
    assert_false(client_join(*state, &wish, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    write_file(*state, CLIENT_HOST_FILE,
               "{\"name\":\"h3\",\"zone\":\"b\",\"etcd\":{\"endpoints\":[\"x\"]}}");
    assert_false(client_join(*state, &wish, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_non_null(strstr(err.message, "h3"));
    write_file(*state, CLIENT_HOST_FILE,
               "{\"name\":\"h2\",\"zone\":\"b\",\"etcd\":{\"endpoints\":[\"x\"]}}");
    assert_true(client_join(*state, &wish, &err)); /* it has joined */
    assert_false(has_file(*state, "master.key"));
}

static void test_wrong_wishes(void **state)
{
    static const JoinWish wrong[] = {
        {.token = TOKEN, .name = "H2", .zone = "b", .net = ""},
        {.token = TOKEN, .name = "h2", .zone = "", .net = ""},
        {.token = TOKEN, .name = "h2", .zone = "b", .net = "10"},
        {.token = "word", .name = "h2", .zone = "b", .net = ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        Err err;
        assert_false(client_join(*state, &wrong[i], &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
    assert_false(has_file(*state, CLIENT_HOST_FILE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_a_host_file_comes_back),    IN_FOLDER(test_wrong_host_files),
        cmocka_unit_test(test_a_token_comes_back), cmocka_unit_test(test_what_is_no_token),
        IN_FOLDER(test_folders_that_cannot_join),  IN_FOLDER(test_wrong_wishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
