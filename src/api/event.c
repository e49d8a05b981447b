/* Events, as RDS and ElastiCache show them. Control and agents write the records. */
#include "api/operations_priv.h"

static bool within(const RecordItem *item, int64_t from_ms, int64_t to_ms)
{
    int64_t time_ms = member_int(item->value, "time_ms", 0);
    return time_ms >= from_ms && time_ms < to_ms;
}

static bool category_fits(const json_t *event, const json_t *wanted)
{
    size_t index;
    const json_t *category;
    if (json_array_size(wanted) == 0) {
        return true;
    }
    json_array_foreach (wanted, index, category) {
        if (json_is_string(category) &&
            member_has(event, "categories", json_string_value(category))) {
            return true;
        }
    }
    return false;
}

typedef struct SourceWord {
    ResourceType type;
    const char *word; /* AWS's SourceType */
} SourceWord;

static const SourceWord source_words[] = {
    {RESOURCE_DB_INSTANCE, "db-instance"},
    {RESOURCE_DB_PARAMETER_GROUP, "db-parameter-group"},
    {RESOURCE_DB_PROXY, "db-proxy"},
    {RESOURCE_DB_PROXY_ENDPOINT, "db-proxy"}, /* AWS has no word of its own for them */
    {RESOURCE_REPLICATION_GROUP, "replication-group"},
    {RESOURCE_CACHE_SUBNET_GROUP, "cache-subnet-group"},
    {RESOURCE_CACHE_PARAMETER_GROUP, "cache-parameter-group"},
};

static const char *source_word(ResourceType type)
{
    for (size_t i = 0; i < ARRAY_LEN(source_words); i++) {
        if (source_words[i].type == type) {
            return source_words[i].word;
        }
    }
    return NULL;
}

/* What its ARN ends in; of what is no more, the name. */
static const char *arn_end(ApiContext *ctx, ResourceType type, const char *id)
{
    const char *member = type == RESOURCE_DB_PROXY            ? "proxy_id"
                         : type == RESOURCE_DB_PROXY_ENDPOINT ? "endpoint_id"
                                                              : NULL;
    return member != NULL ? member_str(spec_get(ctx, type, id), member, id) : id;
}

static json_t *event_view(ApiContext *ctx, const json_t *event, ResourceType type)
{
    const char *id = member_str(event, "id", "");
    return json_pack("{s:s, s:s, s:s, s:o, s:I, s:s}", "SourceIdentifier", id, "SourceType",
                     source_word(type), "Message", member_str(event, "message", ""),
                     "EventCategories", json_strings_copy(member_array(event, "categories")),
                     "Date", (json_int_t)member_int(event, "time_ms", 0), "SourceArn",
                     arn_make(ctx->arena, &ctx->tier, type, arn_end(ctx, type, id)));
}

typedef struct EventQuery {
    const char *id;
    const char *word;
    int64_t from_ms, to_ms;
    const json_t *categories;
} EventQuery;

#define MINUTE_MS (60 * MS_PER_S)
#define DAY_MS    (24 * 60 * MINUTE_MS)
#define DAYS_MAX  14

static bool query_read(ApiContext *ctx, const json_t *input, EventQuery *query)
{
    int64_t duration = member_int(input, "Duration", 60);
    *query = (EventQuery){
        .id = input_lower(ctx, input, "SourceIdentifier"),
        .word = input_str(input, "SourceType"),
        .to_ms = member_int(input, "EndTime", ctx->now_ms + 1),
        .categories = member_array(input, "EventCategories"),
    };
    query->from_ms = member_int(input, "StartTime", query->to_ms - duration * MINUTE_MS);
    if (duration < 1 || duration > DAYS_MAX * DAY_MS / MINUTE_MS) {
        return refuse(ctx, "InvalidParameterValue", "Duration is 1 to %d minutes.",
                      (int)(DAYS_MAX * DAY_MS / MINUTE_MS));
    }
    if (query->id != NULL && query->word == NULL) {
        return refuse(ctx, "InvalidParameterCombination",
                      "SourceIdentifier needs a SourceType beside it.");
    }
    return true;
}

static bool event_fits(const EventQuery *query, const RecordItem *item, ResourceType type)
{
    const char *word = source_word(type);
    return word != NULL && within(item, query->from_ms, query->to_ms) &&
           (query->word == NULL || strcmp(query->word, word) == 0) &&
           (query->id == NULL || strcmp(query->id, member_str(item->value, "id", "")) == 0) &&
           category_fits(item->value, query->categories);
}

static bool describe(ApiContext *ctx, const json_t *input, bool cache, json_t **ret_output)
{
    EventQuery query;
    TRY(query_read(ctx, input, &query));
    json_t *items = json_array();
    RecordList list = record_list(ctx, "event/");
    for (size_t i = 0; i < list.len; i++) {
        ResourceType type;
        const char *name = member_str(list.items[i].value, "type", "");
        if (!resource_type_parse(slice_of(name), &type)) {
            continue;
        }
        bool of_cache = type >= RESOURCE_REPLICATION_GROUP;
        if (of_cache == cache && event_fits(&query, &list.items[i], type)) {
            json_array_append_new(items, event_view(ctx, list.items[i].value, type));
        }
    }
    return page_output(ctx, input, "Events", items, ret_output);
}

bool rds_describe_events(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return describe(ctx, input, false, ret_output);
}

bool cache_describe_events(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return describe(ctx, input, true, ret_output);
}
