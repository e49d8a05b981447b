/*
 * The certificates of a node: the one its engine serves with, and the one with which it logs in to
 * the node that it follows. Both are issued together by the tier's CA, into a folder of the node;
 * the file "issued" beside them tells for which names.
 */
#include "agent/node/node_priv.h"

#define CERTS_LOOK_MS (3600 * MS_PER_S)
#define ISSUED_MAX    ((size_t)4096)

/* Both pairs go to disk together; the Secrets wipe the keys. */
static bool certs_issue(NodeRun *run, const ProcessAccount *account, const char *address,
                        const char *client_name, Err *err)
{
    const AgentOptions *options = run->work->options;
    const char *const names[] = {address, run->work->id, NULL};
    const CertSpec server = {
        .common_name = run->work->id, .names = names, .server = true, .valid_days = CERT_END_DAYS};
    const CertSpec client = {
        .common_name = client_name, .client = true, .valid_days = CERT_END_DAYS};
    CLEANUP(secret_done) Secret server_key = {0};
    CLEANUP(secret_done) Secret client_key = {0};
    Buf server_cert;
    Buf client_cert;
    buf_init(&server_cert, BUF_MAX_DEFAULT);
    buf_init(&client_cert, BUF_MAX_DEFAULT);
    bool ok = cert_issue(options->ca_cert_pem, options->ca_key_pem, &server, &server_cert,
                         &server_key, err) &&
              cert_issue(options->ca_cert_pem, options->ca_key_pem, &client, &client_cert,
                         &client_key, err);
    if (ok) {
        const EngineTls tls = {buf_slice(&server_cert), secret_reveal(&server_key),
                               buf_slice(&client_cert), secret_reveal(&client_key),
                               options->ca_cert_pem};
        bool changed = false;
        ok = engine_tls_write(&run->paths, account, &tls, &changed, err);
    }
    buf_done(&server_cert);
    buf_done(&client_cert);
    return ok;
}

/* Whether the certificate there is for these names and lives long enough. */
static bool certs_good(const NodeRun *run, const char *issued_path, const char *issued)
{
    const char *path = arena_printf(run->arena, "%s/server.crt", run->paths.tls);
    Buf text;
    Buf pem;
    buf_init(&text, ISSUED_MAX);
    buf_init(&pem, BUF_MAX_DEFAULT);
    bool good = file_read(issued_path, &text, NULL) && slice_is(buf_slice(&text), issued) &&
                file_read(path, &pem, NULL) && !cert_is_due(buf_slice(&pem), time_wall_ms());
    buf_done(&text);
    buf_done(&pem);
    return good;
}

static bool certs_ensure(NodeRun *run, const ProcessAccount *account, const char *client_name,
                         bool *ret_issued, Err *err)
{
    const char *address = node_address(run, run->goal);
    const char *issued_path = arena_printf(run->arena, "%s/issued", run->paths.tls);
    const char *issued = arena_printf(run->arena, "%s %s\n", address, client_name);
    run->work->certs_look_ms = time_mono_ms() + CERTS_LOOK_MS;
    if (certs_good(run, issued_path, issued)) {
        return true;
    }
    TRY(certs_issue(run, account, address, client_name, err));
    *ret_issued = true;
    return file_write(issued_path, slice_of(issued), 0600, err);
}

bool node_dirs(NodeRun *run, const ProcessAccount *account, const char *client_name, Err *err)
{
    bool ignored = false;
    return engine_dirs_make(&run->paths, account, err) &&
           certs_ensure(run, account, client_name, &ignored, err);
}

bool node_certs_renew(NodeRun *run, const ProcessAccount *account, const char *client_name,
                      bool *ret_renewed, Err *err)
{
    *ret_renewed = false;
    return time_mono_ms() < run->work->certs_look_ms ||
           certs_ensure(run, account, client_name, ret_renewed, err);
}
