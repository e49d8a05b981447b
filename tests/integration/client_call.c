/* One call of src/client, for tests/integration/test_client.py: client_call DATA PATIENCE_MS
 * TIMEOUT_MS SERVICE OPERATION INPUT. Prints a line of JSON. */
#include <stdio.h>

#include "client/client.h"

static json_t *result(bool ok, json_t *output, const AwsFault *fault, const Err *err)
{
    if (ok) {
        return json_pack("{s:o}", "output", output);
    }
    return json_pack("{s:s, s:s, s:s, s:i}", "error", err->message, "kind",
                     err_code_name(err->code), "fault", fault->code, "status", fault->status);
}

int main(int argc, char **argv)
{
    ClientSettings settings;
    Client *client;
    AwsFault fault;
    Err err;
    if (argc != 7) {
        fputs("usage: client_call DATA PATIENCE_MS TIMEOUT_MS SERVICE OPERATION INPUT\n", stderr);
        return 2;
    }
    if (!client_settings_load(argv[1], &settings, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (!str_to_i64(slice_of(argv[2]), &settings.patience_ms) ||
        !str_to_i64(slice_of(argv[3]), &settings.timeout_ms) ||
        !client_open(&settings, &client, &err)) {
        return 1;
    }
    json_t *input = json_loads(argv[6], 0, NULL);
    json_t *output = NULL;
    bool ok = client_call(client, argv[4], argv[5], input, &output, &fault, &err);
    json_t *line = result(ok, output, &fault, &err);
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
    json_decref(input);
    client_close(client);
    client_settings_done(&settings);
    return 0;
}
