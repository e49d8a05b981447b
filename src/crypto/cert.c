/* Making certificates: an authority of our own and the end certificates that it signs. Names are
 * put into the certificate as data, never through OpenSSL's configuration syntax, so that no name
 * can say more than itself. */
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "crypto/crypto_priv.h"

#define CERT_BACKDATE_S        3600
#define CERT_SERIAL_BITS       159 /* 20 bytes and positive: RFC 5280, 4.1.2.2 */
#define CERT_COMMON_NAME_MAX   64
#define CERT_DAYS_MAX          36500
#define CERT_USAGE_SIZE        32
#define CERT_EXTENSION_VERSION 2 /* means v3 */

static void pkey_free_ptr(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void x509_free_ptr(X509 **cert)
{
    X509_free(*cert);
}

/* ---- PEM ------------------------------------------------------------------------------------- */

static int no_passphrase(char *buf, int size, int writing, void *user)
{
    (void)buf, (void)size, (void)writing, (void)user;
    return -1; /* never ask a terminal */
}

static bool pem_append(BIO *bio, Buf *out)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    ASSERT(len > 0);
    buf_append(out, data, (size_t)len);
    return !out->overflowed;
}

static bool cert_to_pem(X509 *cert, Buf *out, Err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    ASSERT(bio != NULL);
    bool ok = PEM_write_bio_X509(bio, cert) == 1 && pem_append(bio, out);
    BIO_free(bio);
    return ok || openssl_err(err, "writing a certificate");
}

static bool key_to_pem(EVP_PKEY *key, Secret *ret_pem, Err *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    ASSERT(bio != NULL);
    bool ok = PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (ok) {
        char *data;
        long len = BIO_get_mem_data(bio, &data);
        secret_set(ret_pem, slice_from(data, (size_t)len));
    }
    BIO_free(bio);
    return ok || openssl_err(err, "writing a private key");
}

static BIO *bio_of(Slice text)
{
    ASSERT(text.len <= INT32_MAX);
    BIO *bio = BIO_new_mem_buf(text.len > 0 ? text.data : "", (int)text.len);
    ASSERT(bio != NULL);
    return bio;
}

bool cert_chain_parse(Slice pem, STACK_OF(X509) * *ret_certs, Err *err)
{
    BIO *bio = bio_of(pem);
    STACK_OF(X509) *certs = sk_X509_new_null();
    ASSERT(certs != NULL);
    X509 *cert;
    ERR_clear_error();
    while ((cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
        sk_X509_push(certs, cert);
    }
    BIO_free(bio);
    /* At the end of the text it says "no start line"; anything else is a broken certificate. */
    bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (!at_end || sk_X509_num(certs) == 0) {
        sk_X509_pop_free(certs, X509_free);
        return err_set(err, ERR_INVALID, "the text is not a certificate in PEM form");
    }
    *ret_certs = certs;
    return true;
}

bool cert_key_parse(Slice pem, EVP_PKEY **ret_key, Err *err)
{
    BIO *bio = bio_of(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (key == NULL) {
        return err_set(err, ERR_INVALID, "the text is not an unencrypted private key in PEM form");
    }
    *ret_key = key;
    return true;
}

static bool cert_parse_first(Slice pem, X509 **ret_cert, Err *err)
{
    STACK_OF(X509) * certs;
    TRY(cert_chain_parse(pem, &certs, err));
    *ret_cert = sk_X509_shift(certs);
    sk_X509_pop_free(certs, X509_free);
    return true;
}

bool cert_expiry(Slice cert_pem, int64_t *ret_wall_ms, Err *err)
{
    CLEANUP(x509_free_ptr) X509 *cert = NULL;
    TRY(cert_parse_first(cert_pem, &cert, err));
    struct tm parts;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &parts) != 1) {
        return err_set(err, ERR_INVALID, "the certificate's end is not a time");
    }
    *ret_wall_ms = (int64_t)timegm(&parts) * MS_PER_S;
    return true;
}

bool cert_is_due(Slice cert_pem, int64_t now_ms)
{
    const int64_t left_ms = (int64_t)(CERT_END_DAYS - CERT_RENEW_DAYS) * 86400 * MS_PER_S;
    int64_t end_ms = 0;
    return !cert_expiry(cert_pem, &end_ms, NULL) || end_ms - now_ms < left_ms;
}

/* ---- the parts of a certificate -------------------------------------------------------------- */

static bool serial_set(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool ok = number != NULL && BN_rand(number, CERT_SERIAL_BITS, BN_RAND_TOP_ANY, 0) == 1 &&
              BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

static bool subject_set(X509 *cert, const char *common_name)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)common_name, -1, -1, 0) == 1;
}

static bool extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
    bool ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static GENERAL_NAME *general_name_make(const char *name)
{
    GENERAL_NAME *general = GENERAL_NAME_new();
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(name);
    ASSERT(general != NULL);
    if (address != NULL) {
        GENERAL_NAME_set0_value(general, GEN_IPADD, address);
        return general;
    }
    ERR_clear_error();
    ASN1_IA5STRING *dns = ASN1_IA5STRING_new();
    ASSERT(dns != NULL && ASN1_STRING_set(dns, name, -1) == 1);
    GENERAL_NAME_set0_value(general, GEN_DNS, dns);
    return general;
}

static bool alt_names_add(X509 *cert, const char *const *names)
{
    if (names == NULL || names[0] == NULL) {
        return true;
    }
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    ASSERT(list != NULL);
    for (size_t i = 0; names[i] != NULL; i++) {
        sk_GENERAL_NAME_push(list, general_name_make(names[i]));
    }
    bool ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(list);
    return ok;
}

/* Everything that authorities and end certificates have in common. */
static bool cert_begin(X509 *cert, EVP_PKEY *key, const char *common_name, int valid_days)
{
    return X509_set_version(cert, CERT_EXTENSION_VERSION) == 1 && serial_set(cert) &&
           subject_set(cert, common_name) &&
           X509_time_adj_ex(X509_getm_notBefore(cert), 0, -CERT_BACKDATE_S, NULL) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), valid_days, 0, NULL) != NULL &&
           X509_set_pubkey(cert, key) == 1;
}

static bool common_name_check(const char *common_name, Err *err)
{
    size_t len = strlen(common_name);
    if (len == 0 || len > CERT_COMMON_NAME_MAX) {
        return err_set(err, ERR_INVALID, "a common name has 1 to %d bytes, \"%s\" has %zu",
                       CERT_COMMON_NAME_MAX, common_name, len);
    }
    return true;
}

/* ---- making them ----------------------------------------------------------------------------- */

bool cert_ca_make(const char *common_name, Buf *cert_pem, Secret *ret_key_pem, Err *err)
{
    TRY(common_name_check(common_name, err));
    CLEANUP(pkey_free_ptr) EVP_PKEY *key = EVP_EC_gen("P-256");
    CLEANUP(x509_free_ptr) X509 *cert = X509_new();
    ASSERT(key != NULL && cert != NULL);
    bool ok = cert_begin(cert, key, common_name, CERT_CA_DAYS) &&
              X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
              extension_add(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              extension_add(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
              extension_add(cert, cert, NID_subject_key_identifier, "hash") &&
              X509_sign(cert, key, EVP_sha256()) > 0;
    if (!ok) {
        return openssl_err(err, "making a certificate authority");
    }
    TRY(cert_to_pem(cert, cert_pem, err));
    return key_to_pem(key, ret_key_pem, err);
}

static bool leaf_fill(X509 *cert, EVP_PKEY *key, X509 *ca_cert, const CertSpec *spec)
{
    char usage[CERT_USAGE_SIZE];
    snprintf(usage, sizeof(usage), "%s%s%s", spec->server ? "serverAuth" : "",
             spec->server && spec->client ? "," : "", spec->client ? "clientAuth" : "");
    return cert_begin(cert, key, spec->common_name, spec->valid_days) &&
           X509_set_issuer_name(cert, X509_get_subject_name(ca_cert)) == 1 &&
           extension_add(cert, ca_cert, NID_basic_constraints, "critical,CA:FALSE") &&
           extension_add(cert, ca_cert, NID_key_usage, "critical,digitalSignature") &&
           extension_add(cert, ca_cert, NID_ext_key_usage, usage) &&
           extension_add(cert, ca_cert, NID_subject_key_identifier, "hash") &&
           extension_add(cert, ca_cert, NID_authority_key_identifier, "keyid:always") &&
           alt_names_add(cert, spec->names);
}

bool cert_issue(Slice ca_cert_pem, Slice ca_key_pem, const CertSpec *spec, Buf *cert_pem,
                Secret *ret_key_pem, Err *err)
{
    ASSERT(spec->server || spec->client);
    TRY(common_name_check(spec->common_name, err));
    if (spec->valid_days < 1 || spec->valid_days > CERT_DAYS_MAX) {
        return err_set(err, ERR_INVALID, "a certificate is valid for 1 to %d days, not %d",
                       CERT_DAYS_MAX, spec->valid_days);
    }
    CLEANUP(x509_free_ptr) X509 *ca_cert = NULL;
    CLEANUP(pkey_free_ptr) EVP_PKEY *ca_key = NULL;
    TRY(cert_parse_first(ca_cert_pem, &ca_cert, err));
    TRY(cert_key_parse(ca_key_pem, &ca_key, err));
    if (X509_check_private_key(ca_cert, ca_key) != 1) {
        ERR_clear_error();
        return err_set(err, ERR_INVALID, "the authority's key does not belong to its certificate");
    }
    CLEANUP(pkey_free_ptr) EVP_PKEY *key = EVP_EC_gen("P-256");
    CLEANUP(x509_free_ptr) X509 *cert = X509_new();
    ASSERT(key != NULL && cert != NULL);
    if (!leaf_fill(cert, key, ca_cert, spec) || X509_sign(cert, ca_key, EVP_sha256()) <= 0) {
        return openssl_err(err, "issuing a certificate");
    }
    TRY(cert_to_pem(cert, cert_pem, err));
    return key_to_pem(key, ret_key_pem, err);
}
