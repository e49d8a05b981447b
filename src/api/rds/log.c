/* Log files of an instance: one, the engine's log of its primary, as this host keeps it. */
#include <stdio.h>

#include "api/rds/rds_priv.h"

#define LOG_NAME      "error/postgresql.log"
#define LOG_PART_MAX  ((size_t)1 << 20)
#define LOG_LINES_MAX 10000

/* The node that leads the instance, by what its agent saw. NULL: there is none (yet). */
static const char *leader_node(ApiContext *ctx, const json_t *spec)
{
    const char *dbi = member_str(spec, "DbiResourceId", "");
    json_t *cluster = record_get(ctx, arena_printf(ctx->arena, "cluster/%s", dbi));
    return member_str(cluster, "leader", NULL);
}

static json_t *instance_of(ApiContext *ctx, const json_t *input)
{
    const char *name;
    return input_required(ctx, input, "DBInstanceIdentifier", &name) ? instance_find(ctx, name)
                                                                     : NULL;
}

bool rds_describe_log_files(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = instance_of(ctx, input);
    if (spec == NULL) {
        return false;
    }
    const ApiOptions *options = &ctx->api->options;
    const char *node = leader_node(ctx, spec);
    const char *part = input_str(input, "FilenameContains");
    json_t *items = json_array();
    int64_t bytes;
    int64_t written_ms;
    Err err;
    if (node != NULL && options->logs.stat != NULL && (part == NULL || strstr(LOG_NAME, part)) &&
        options->logs.stat(options->context, node, &bytes, &written_ms, &err) &&
        bytes >= member_int(input, "FileSize", 0) &&
        written_ms >= member_int(input, "FileLastWritten", 0)) {
        json_array_append_new(items,
                              json_pack("{s:s, s:I, s:I}", "LogFileName", LOG_NAME, "Size",
                                        (json_int_t)bytes, "LastWritten", (json_int_t)written_ms));
    }
    return page_output(ctx, input, "DescribeDBLogFiles", items, ret_output);
}

/* Cuts to whole lines, `lines` at most; a part without a line end stays whole. */
static size_t cut_lines(Slice text, int64_t lines)
{
    size_t end = 0;
    for (size_t i = 0; i < text.len && lines > 0; i++) {
        if (text.data[i] == '\n') {
            end = i + 1;
            lines--;
        }
    }
    return end > 0 ? end : text.len;
}

static bool log_position(ApiContext *ctx, const json_t *input, int64_t *ret_offset)
{
    const char *marker = input_str(input, "Marker");
    int64_t offset = 0;
    if (marker != NULL && (!str_to_i64(slice_of(marker), &offset) || offset < 0)) {
        return refuse(ctx, "InvalidParameterValue", "Invalid Marker: %s", marker);
    }
    *ret_offset = offset;
    return true;
}

static json_t *portion(ApiContext *ctx, const Buf *text, int64_t offset, int64_t lines,
                       int64_t size)
{
    size_t end = cut_lines(buf_slice(text), lines);
    int64_t next = offset + (int64_t)end;
    char *data = arena_strndup(ctx->arena, buf_str(text), end);
    json_t *value = json_string(data);
    if (value == NULL) { /* a log may hold any bytes */
        for (char *at = data; *at != '\0'; at++) {
            *at = (unsigned char)*at < 0x80 ? *at : '?';
        }
        value = json_string(data);
    }
    return json_pack("{s:o, s:o, s:b}", "LogFileData", value, "Marker",
                     json_sprintf("%lld", (long long)next), "AdditionalDataPending", next < size);
}

bool rds_download_log(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = instance_of(ctx, input);
    const char *name;
    int64_t offset = 0;
    if (spec == NULL || !input_required(ctx, input, "LogFileName", &name) ||
        !log_position(ctx, input, &offset)) {
        return false;
    }
    const ApiOptions *options = &ctx->api->options;
    const char *node = leader_node(ctx, spec);
    int64_t size;
    int64_t written_ms;
    Err err;
    if (strcmp(name, LOG_NAME) != 0 || node == NULL || options->logs.stat == NULL ||
        !options->logs.stat(options->context, node, &size, &written_ms, &err)) {
        return refuse(ctx, "DBLogFileNotFoundFault",
                      "DBLog File: %s, is not found on the DB instance", name);
    }
    Buf text;
    buf_init(&text, LOG_PART_MAX + 1);
    bool ok = options->logs.read(options->context, node, offset, LOG_PART_MAX, &text, &err);
    if (ok) {
        int64_t lines = member_int(input, "NumberOfLines", LOG_LINES_MAX);
        *ret_output = portion(ctx, &text, offset, lines > 0 ? lines : LOG_LINES_MAX, size);
    }
    buf_done(&text);
    return ok ? true : refuse_err(ctx, &err);
}
