/*
 * AUTH and HELLO of a client: who may use the front, and what the answer is. The front says it
 * where no reply of the node is due; otherwise the node is sent something that has the same answer.
 */
#include "front/front_priv.h"

#define WRONG_PASSWORD_LEN 32

static const char noauth_hello[] =
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
    "<proto> "
    "AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol "
    "version at the same time";

static const char wrongpass[] = "WRONGPASS invalid username-password pair or user is disabled.";

static const char no_password_is_set[] =
    "ERR AUTH <password> called without any password configured for the default user. Are you sure "
    "your configuration is correct?";

static bool login_fits(const FrontClient *client, const FrontLogin *login)
{
    const FrontConfig *config = client->front->config;
    bool known = login->user.len == 0 || slice_is(login->user, "default");
    bool fits = config->tokens.len == 0 || front_token_fits(config, login->password);
    return known && fits;
}

/* Whether a reply of the front's own is in order now. */
static bool client_is_quiet(const FrontClient *client)
{
    return client->link != LINK_READY ||
           (front_session_is_quiet(&client->session) && !front_held_any(client));
}

/* A command of the front's own making, whose reply is the client's. */
static void client_forward_made(FrontClient *client, Buf *made)
{
    stream_write(client->back, buf_slice(made));
    buf_done(made);
    front_session_sent(&client->session, COMMAND_OTHER, NULL);
}

/* The node says what the front would say: it knows one password, and no other. */
static void client_forward_auth(FrontClient *client, bool good)
{
    const FrontConfig *config = client->front->config;
    char wrong[WRONG_PASSWORD_LEN + 1];
    Buf out;
    random_id(wrong, WRONG_PASSWORD_LEN);
    Slice args[] = {SLICE("AUTH"), slice_of(config->backend_user),
                    good ? secret_reveal(&config->backend_password) : slice_of(wrong)};
    buf_init(&out, BUF_MAX_DEFAULT);
    resp_put_command(&out, args, ARRAY_LEN(args));
    client_forward_made(client, &out);
}

void front_client_auth(FrontClient *client, const FrontLogin *login)
{
    bool good = login->refused == NULL && login_fits(client, login);
    const char *error = login->refused != NULL ? login->refused : good ? NULL : wrongpass;
    if (good && client->front->config->tokens.len == 0 && login->user.len == 0) {
        error = no_password_is_set;
    }
    client->authenticated = client->authenticated || good;
    if (!client_is_quiet(client)) {
        client_forward_auth(client, error == NULL);
    } else if (error != NULL) {
        front_client_error(client, error);
    } else {
        front_client_simple(client, "OK");
    }
}

bool front_client_hello(FrontClient *client, const FrontCommand *command, const FrontLogin *login)
{
    const char *error = login->refused;
    if (error == NULL && login->given && !login_fits(client, login)) {
        error = wrongpass;
    } else if (error == NULL && !login->given && !client->authenticated) {
        error = noauth_hello;
    }
    if (error != NULL && client_is_quiet(client)) {
        front_client_error(client, error);
        return true;
    }
    if (error != NULL) {
        client_forward_auth(client, false);
        return true;
    }
    client->authenticated = true;
    if (client->refusing) {
        front_client_error(client, front_unavailable_text(client));
        return true;
    }
    if (!front_link_need(client)) {
        return false;
    }
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    front_login_put_hello(login, &out);
    stream_write(client->back, buf_slice(&out));
    buf_done(&out);
    front_session_sent(&client->session, COMMAND_HELLO, command);
    return true;
}
