/*
 * The authority of Weir's own etcd (docs/hosts.md): members, and the serves of the tier, come in by
 * its certificates. Each host has the authority's key, and makes its own.
 */
#include <unistd.h>

#include "engine/engine.h"
#include "serve/etcd_own_priv.h"

#define TEXT_MAX ((size_t)64 << 10)

/* A host without the program has no account of it, and its files are for serve alone. */
static ProcessAccount account_of(void)
{
    ProcessAccount account;
    return engine_account(ETCD_OWN_ACCOUNT, &account, NULL)
               ? account
               : (ProcessAccount){.uid = geteuid(), .gid = getegid(), .drop = false};
}

/* For us and for the account. */
static bool file_give(const char *path, Slice text, const ProcessAccount *account, Err *err)
{
    return account->drop ? file_write_as(path, text, 0640, geteuid(), account->gid, err)
                         : file_write(path, text, 0600, err);
}

bool etcd_own_authority_make(const Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *root = mem_printf("%s/etcd", tier->data_dir);
    CLEANUP(mem_free_ptr) char *cert_path = etcd_own_place(tier, "ca.pem");
    CLEANUP(mem_free_ptr) char *key_path = etcd_own_place(tier, "ca.key");
    CLEANUP(mem_free_ptr) char *host_path = etcd_own_place(tier, "host.pem");
    CLEANUP(mem_free_ptr) char *name = mem_printf("Weir store %s", tier->id);
    CLEANUP(secret_done) Secret key = {0};
    CLEANUP(buf_done) Buf cert;
    buf_init(&cert, TEXT_MAX);
    return dir_make(root, 0711, err) && tree_remove(host_path, err) &&
           cert_ca_make(name, &cert, &key, err) &&
           file_write(key_path, secret_reveal(&key), 0600, err) &&
           file_write(cert_path, buf_slice(&cert), 0644, err);
}

static bool authority_read(const Tier *tier, Buf *cert, Buf *key, Err *err)
{
    CLEANUP(mem_free_ptr) char *cert_path = etcd_own_place(tier, "ca.pem");
    CLEANUP(mem_free_ptr) char *key_path = etcd_own_place(tier, "ca.key");
    return file_read(cert_path, cert, err) && file_read(key_path, key, err);
}

/* Certificate and key are one file, so that none is ever beside another's. */
static bool cert_write(const Tier *tier, Slice ca, Slice ca_key, Err *err)
{
    CLEANUP(mem_free_ptr) char *own = mem_printf("%s.0.1", tier->net);
    CLEANUP(mem_free_ptr) char *ca_path = etcd_own_place(tier, "ca.pem");
    CLEANUP(mem_free_ptr) char *path = etcd_own_place(tier, "host.pem");
    const ProcessAccount account = account_of();
    const char *const names[] = {own, "127.0.0.1", NULL};
    const CertSpec spec = {.common_name = tier->host,
                           .names = names,
                           .server = true,
                           .client = true,
                           .valid_days = CERT_END_DAYS};
    CLEANUP(secret_done) Secret key = {0};
    CLEANUP(buf_done) Buf text;
    buf_init(&text, TEXT_MAX);
    bool ok = cert_issue(ca, ca_key, &spec, &text, &key, err);
    buf_append_slice(&text, secret_reveal(&key));
    ok = ok && file_give(ca_path, ca, &account, err) &&
         file_give(path, buf_slice(&text), &account, err);
    crypto_wipe(text.data, text.len);
    return ok;
}

static bool cert_is_good(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *path = etcd_own_place(tier, "host.pem");
    CLEANUP(buf_done) Buf text;
    buf_init(&text, TEXT_MAX);
    bool good = file_read(path, &text, NULL) && !cert_is_due(buf_slice(&text), time_wall_ms());
    if (text.data != NULL) {
        crypto_wipe(text.data, text.len);
    }
    return good;
}

/* etcd reads its files for every connection anew, and so do we. */
bool etcd_own_cert_keep(const Tier *tier, Err *err)
{
    if (cert_is_good(tier)) {
        return true;
    }
    CLEANUP(buf_done) Buf cert;
    CLEANUP(buf_done) Buf key;
    buf_init(&cert, TEXT_MAX);
    buf_init(&key, TEXT_MAX);
    bool ok = authority_read(tier, &cert, &key, err) &&
              cert_write(tier, buf_slice(&cert), buf_slice(&key), err);
    if (key.data != NULL) {
        crypto_wipe(key.data, key.len);
    }
    return ok;
}

bool etcd_own_share(const Tier *tier, json_t *share, Err *err)
{
    CLEANUP(buf_done) Buf cert;
    CLEANUP(buf_done) Buf key;
    buf_init(&cert, TEXT_MAX);
    buf_init(&key, TEXT_MAX);
    bool ok = authority_read(tier, &cert, &key, err);
    if (ok) {
        json_object_set_new(share, "StoreCa", json_string(buf_str(&cert)));
        json_object_set_new(share, "StoreCaKey", json_string(buf_str(&key)));
    }
    if (key.data != NULL) {
        crypto_wipe(key.data, key.len);
    }
    return ok;
}
