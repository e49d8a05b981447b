/* Certificates: what they say, checked by the openssl command; names as data; bad input. */
#include <sys/wait.h>
#include <unistd.h>

#include "../folder.h"
#include "crypto/crypto.h"

typedef struct Fixture {
    char *dir;
    Buf ca;
    Secret ca_key;
    Buf cert;
    Secret key;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    Err err;
    fixture->dir = folder_make();
    buf_init(&fixture->ca, BUF_MAX_DEFAULT);
    buf_init(&fixture->cert, BUF_MAX_DEFAULT);
    assert_true(cert_ca_make("Weir test CA", &fixture->ca, &fixture->ca_key, &err));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    folder_remove(fixture->dir);
    buf_done(&fixture->ca);
    buf_done(&fixture->cert);
    secret_done(&fixture->ca_key);
    secret_done(&fixture->key);
    mem_free(fixture);
    return 0;
}

static bool issue(Fixture *fixture, const CertSpec *spec, Err *err)
{
    buf_clear(&fixture->cert);
    return cert_issue(buf_slice(&fixture->ca), secret_reveal(&fixture->ca_key), spec,
                      &fixture->cert, &fixture->key, err);
}

static void put(Fixture *fixture, const char *name, Slice text)
{
    Err err;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", fixture->dir, name);
    assert_true(file_write(path, text, 0600, &err));
}

/* Runs openssl with these arguments in the folder; returns what it printed, and its exit status. */
static int openssl(Fixture *fixture, const char *const *args, char *out, size_t out_size)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipe_fds[1], STDOUT_FILENO);
        dup2(pipe_fds[1], STDERR_FILENO);
        if (chdir(fixture->dir) == 0) {
            execvp("openssl", (char *const *)(uintptr_t)args);
        }
        _exit(127);
    }
    close(pipe_fds[1]);
    size_t len = 0;
    for (ssize_t got; (got = read(pipe_fds[0], out + len, out_size - 1 - len)) > 0;) {
        len += (size_t)got;
    }
    out[len] = '\0';
    close(pipe_fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *const names[] = {"db.example", "*.cache.example", "127.3.1.7", "::1", NULL};

static void test_openssl_accepts(void **state)
{
    Fixture *fixture = *state;
    Err err;
    char out[8192];
    CertSpec spec = {.common_name = "db", .names = names, .server = true, .valid_days = 30};
    assert_true(issue(fixture, &spec, &err));
    put(fixture, "ca.pem", buf_slice(&fixture->ca));
    put(fixture, "cert.pem", buf_slice(&fixture->cert));
    const char *verify[] = {"openssl", "verify", "-x509_strict", "-purpose",  "sslserver",
                            "-CAfile", "ca.pem", "-verify_ip",   "127.3.1.7", "cert.pem",
                            NULL};
    assert_int_equal(openssl(fixture, verify, out, sizeof(out)), 0);
    verify[8] = "127.3.1.8";
    assert_int_not_equal(openssl(fixture, verify, out, sizeof(out)), 0);
    verify[8] = "127.3.1.7";
    verify[4] = "sslclient";
    assert_int_not_equal(openssl(fixture, verify, out, sizeof(out)), 0);
}

static void test_openssl_shows(void **state)
{
    Fixture *fixture = *state;
    Err err;
    char out[8192];
    CertSpec spec = {
        .common_name = "db", .names = names, .server = true, .client = true, .valid_days = 30};
    assert_true(issue(fixture, &spec, &err));
    put(fixture, "ca.pem", buf_slice(&fixture->ca));
    put(fixture, "cert.pem", buf_slice(&fixture->cert));
    put(fixture, "key.pem", secret_reveal(&fixture->key));
    const char *show[] = {"openssl", "x509", "-in", "cert.pem", "-noout", "-text", NULL};
    assert_int_equal(openssl(fixture, show, out, sizeof(out)), 0);
    assert_non_null(strstr(out, "DNS:db.example, DNS:*.cache.example, IP Address:127.3.1.7, "
                                "IP Address:0:0:0:0:0:0:0:1"));
    assert_non_null(strstr(out, "TLS Web Server Authentication, TLS Web Client Authentication"));
    assert_non_null(strstr(out, "CA:FALSE"));
    assert_non_null(strstr(out, "prime256v1"));
    show[3] = "ca.pem";
    assert_int_equal(openssl(fixture, show, out, sizeof(out)), 0);
    assert_non_null(strstr(out, "CA:TRUE, pathlen:0"));
    const char *key[] = {"openssl", "pkey", "-in", "key.pem", "-noout", "-check", NULL};
    assert_int_equal(openssl(fixture, key, out, sizeof(out)), 0);
    assert_true(slice_starts(secret_reveal(&fixture->key), "-----BEGIN PRIVATE KEY-----"));
}

/* What would be syntax in openssl.cnf is nothing but a name here. */
static void test_name_is_data(void **state)
{
    Fixture *fixture = *state;
    Err err;
    char out[8192];
    const char *const odd[] = {"a.example,IP:10.0.0.1", NULL};
    CertSpec spec = {.common_name = "x,CN=root", .names = odd, .server = true, .valid_days = 1};
    assert_true(issue(fixture, &spec, &err));
    put(fixture, "ca.pem", buf_slice(&fixture->ca));
    put(fixture, "cert.pem", buf_slice(&fixture->cert));
    const char *verify[] = {"openssl",    "verify",   "-CAfile",  "ca.pem",
                            "-verify_ip", "10.0.0.1", "cert.pem", NULL};
    assert_int_not_equal(openssl(fixture, verify, out, sizeof(out)), 0);
}

static void test_expiry(void **state)
{
    Fixture *fixture = *state;
    Err err;
    int64_t ends_ms;
    int64_t day_ms = 86400 * MS_PER_S;
    CertSpec spec = {.common_name = "db", .server = true, .valid_days = 30};
    assert_true(issue(fixture, &spec, &err));
    assert_true(cert_expiry(buf_slice(&fixture->cert), &ends_ms, &err));
    assert_in_range(ends_ms, time_wall_ms() + 30 * day_ms - 60000, time_wall_ms() + 30 * day_ms);
    assert_true(cert_expiry(buf_slice(&fixture->ca), &ends_ms, &err));
    assert_in_range(ends_ms, time_wall_ms() + CERT_CA_DAYS * day_ms - 60000,
                    time_wall_ms() + CERT_CA_DAYS * day_ms);
    assert_false(cert_expiry(SLICE("not a certificate"), &ends_ms, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_false(cert_expiry(slice_from(fixture->ca.data, fixture->ca.len / 2), &ends_ms, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void test_due(void **state)
{
    Fixture *fixture = *state;
    Err err;
    int64_t now_ms = time_wall_ms();
    CertSpec spec = {.common_name = "db", .server = true, .valid_days = CERT_END_DAYS};
    assert_true(issue(fixture, &spec, &err));
    Slice cert = buf_slice(&fixture->cert);
    assert_false(cert_is_due(cert, now_ms));
    assert_false(cert_is_due(cert, now_ms + CERT_RENEW_MS - 60000));
    assert_true(cert_is_due(cert, now_ms + CERT_RENEW_MS + 60000));
    assert_true(cert_is_due(SLICE("not a certificate"), now_ms));
}

static void test_bad_input(void **state)
{
    Fixture *fixture = *state;
    Err err;
    CertSpec spec = {.common_name = "", .server = true, .valid_days = 1};
    assert_false(issue(fixture, &spec, &err));
    assert_int_equal(err.code, ERR_INVALID);
    spec.common_name = "a name of more than sixty-four bytes, which is what X.520 allows it to be";
    assert_false(issue(fixture, &spec, &err));
    assert_int_equal(err.code, ERR_INVALID);
    spec.common_name = "db";
    spec.valid_days = 0;
    assert_false(issue(fixture, &spec, &err));
    assert_int_equal(err.code, ERR_INVALID);
    spec.valid_days = 1;

    Buf other;
    Secret other_key = {0};
    buf_init(&other, BUF_MAX_DEFAULT);
    assert_true(cert_ca_make("other", &other, &other_key, &err));
    assert_false(cert_issue(buf_slice(&fixture->ca), secret_reveal(&other_key), &spec, &other,
                            &other_key, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_false(
        cert_issue(SLICE("x"), secret_reveal(&other_key), &spec, &other, &other_key, &err));
    assert_false(cert_issue(buf_slice(&fixture->ca), SLICE("x"), &spec, &other, &other_key, &err));
    buf_done(&other);
    secret_done(&other_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_openssl_accepts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_openssl_shows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_name_is_data, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_due, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_input, setup, teardown),
    };
    return cmocka_run_group_tests_name("cert", tests, NULL, NULL);
}
