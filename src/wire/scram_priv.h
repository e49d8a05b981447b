/* What both sides of a SCRAM exchange compute alike. */
#ifndef WEIR_WIRE_SCRAM_PRIV_H
#define WEIR_WIRE_SCRAM_PRIV_H

#include "wire/wire.h"

/* "a=value" at the front of *rest, up to a comma or the end; false where it is another attribute.
 */
bool scram_take_attr(Slice *rest, char attr, Slice *ret_value);
/* Copies into a fixed, NUL-terminated field; false where it does not fit or holds a NUL. */
bool scram_keep(char *field, size_t field_size, Slice text);
/* SaltedPassword's two keys. */
void scram_derive(Slice password, Slice salt, uint32_t iterations,
                  uint8_t client_key[static SHA256_SIZE], uint8_t server_key[static SHA256_SIZE]);
/* HMAC(key, client-first-bare "," server-first "," client-final-without-proof). */
void scram_sign(const uint8_t key[static SHA256_SIZE], Slice client_first_bare, Slice server_first,
                Slice final_without_proof, uint8_t out[static SHA256_SIZE]);
void scram_xor(const uint8_t a[static SHA256_SIZE], const uint8_t b[static SHA256_SIZE],
               uint8_t out[static SHA256_SIZE]);
void scram_put_base64(Buf *out, const void *data, size_t len);
bool scram_decode_exactly(Slice text, uint8_t out[static SHA256_SIZE]);

#endif
