/* What RDS could do here: versions and classes. */
#include "api/rds/rds_priv.h"

/* ---- engine versions
 * ----------------------------------------------------------------------------- */

static json_t *version_view(ApiContext *ctx, const InstalledVersion *item)
{
    const ParameterFamily *family = parameter_family_of(item->engine, item->version);
    char major[MODEL_VERSION_SIZE];
    engine_major(item->version, major);
    return json_pack("{s:s, s:s, s:s, s:s, s:s+, s:[], s:[], s:b, s:b, s:s, s:s, s:b, s:b, s:[s]}",
                     "Engine", item->engine, "EngineVersion", item->version,
                     "DBParameterGroupFamily",
                     family != NULL ? family->name : arena_printf(ctx->arena, "postgres%s", major),
                     "DBEngineDescription", "PostgreSQL", "DBEngineVersionDescription",
                     "PostgreSQL ", item->version, "ValidUpgradeTarget", "ExportableLogTypes",
                     "SupportsLogExportsToCloudwatchLogs", 0, "SupportsReadReplica", 1, "Status",
                     "available", "MajorEngineVersion", major, "SupportsParallelQuery", 0,
                     "SupportsGlobalDatabases", 0, "SupportedCACertificateIdentifiers", "weir-ca");
}

/* "15" fits "15.18". */
static bool version_fits(const char *version, const char *asked)
{
    size_t len = asked != NULL ? strlen(asked) : 0;
    return len == 0 ||
           (strncmp(version, asked, len) == 0 && (version[len] == '\0' || version[len] == '.'));
}

static bool family_fits(const InstalledVersion *item, const char *asked)
{
    const ParameterFamily *family = parameter_family_of(item->engine, item->version);
    return asked == NULL || (family != NULL && strcmp(family->name, asked) == 0);
}

static bool engine_fits(const InstalledVersion *item, const char *engine)
{
    return strcmp(item->engine, "postgres") == 0 &&
           (engine == NULL || strcmp(engine, item->engine) == 0);
}

bool rds_describe_engine_versions(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    EngineVersions versions = engine_versions(ctx);
    json_t *items = json_array();
    bool one = input_flag(input, "DefaultOnly");
    for (size_t i = 0; i < versions.len; i++) {
        const InstalledVersion *item = &versions.items[i];
        if (engine_fits(item, input_str(input, "Engine")) &&
            version_fits(item->version, input_str(input, "EngineVersion")) &&
            family_fits(item, input_str(input, "DBParameterGroupFamily")) &&
            !(one && json_array_size(items) > 0)) {
            json_array_append_new(items, version_view(ctx, item));
        }
    }
    return page_output(ctx, input, "DBEngineVersions", items, ret_output);
}

/* ---- classes
 * ------------------------------------------------------------------------------------- */

static json_t *zones_view(ApiContext *ctx)
{
    json_t *zones = json_array();
    for (const char *zone = MODEL_ZONES; *zone != '\0'; zone++) {
        json_array_append_new(zones,
                              json_pack("{s:s}", "Name", zone_name(ctx->arena, &ctx->tier, *zone)));
    }
    return zones;
}

static json_t *orderable_view(ApiContext *ctx, const InstalledVersion *item,
                              const InstanceClass *class)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:b, s:b, s:b, s:s, s:b, s:b, s:b, s:b, s:b, s:i, "
                     "s:i, s:b, s:b, s:[s]}",
                     "Engine", item->engine, "EngineVersion", item->version, "DBInstanceClass",
                     class->name, "LicenseModel", "postgresql-license", "AvailabilityZones",
                     zones_view(ctx), "MultiAZCapable", 1, "ReadReplicaCapable", 1, "Vpc", 1,
                     "StorageType", "gp3", "SupportsStorageEncryption", 0, "SupportsIops", 0,
                     "SupportsEnhancedMonitoring", 0, "SupportsIAMDatabaseAuthentication", 0,
                     "SupportsPerformanceInsights", 0, "MinStorageSize", 5, "MaxStorageSize", 65536,
                     "SupportsStorageAutoscaling", 0, "OutpostCapable", 0, "SupportedNetworkTypes",
                     "IPV4");
}

static void append_classes(ApiContext *ctx, const InstalledVersion *item, const char *wanted,
                           json_t *items)
{
    InstanceClass class;
    for (size_t cursor = 0; instance_class_next("db.", &cursor, &class);) {
        if (wanted == NULL || strcmp(class.name, wanted) == 0) {
            json_array_append_new(items, orderable_view(ctx, item, &class));
        }
    }
}

bool rds_describe_orderable(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *engine;
    TRY(input_required(ctx, input, "Engine", &engine));
    EngineVersions versions = engine_versions(ctx);
    json_t *items = json_array();
    for (size_t i = 0; i < versions.len; i++) {
        const InstalledVersion *item = &versions.items[i];
        if (engine_fits(item, engine) &&
            version_fits(item->version, input_str(input, "EngineVersion"))) {
            append_classes(ctx, item, input_str(input, "DBInstanceClass"), items);
        }
    }
    return page_output(ctx, input, "OrderableDBInstanceOptions", items, ret_output);
}
