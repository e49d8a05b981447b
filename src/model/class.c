/*
 * Classes of machines. A db. class is a family and a size: so many vCPUs, and memory per vCPU. The
 * t families have sizes of their own. Of cache. node types ElastiCache documents maxmemory in
 * bytes ("Redis node-type specific parameters"); m and r families of one size agree.
 */
#include <stdio.h>

#include "model/model.h"

#define GIB ((int64_t)1 << 30)

/* ---- tables ---------------------------------------------------------------------------------- */

typedef struct SizeInfo {
    const char *name;
    int vcpus;
    int64_t memory_bytes;
} SizeInfo;

/* Size names carry vCPUs; memory follows from the family. In the order of `sizes` bits below. */
static const SizeInfo db_sizes[] = {
    {"large", 2, 0},      {"xlarge", 4, 0},     {"2xlarge", 8, 0},   {"4xlarge", 16, 0},
    {"8xlarge", 32, 0},   {"12xlarge", 48, 0},  {"16xlarge", 64, 0}, {"24xlarge", 96, 0},
    {"32xlarge", 128, 0}, {"48xlarge", 192, 0},
};

#define SIZES_TO(n) ((1U << (n)) - 1U)
#define UP_TO_16    SIZES_TO(7)
#define UP_TO_24    SIZES_TO(8)
#define UP_TO_32    SIZES_TO(9)
#define UP_TO_48    (SIZES_TO(10) & ~(1U << 8)) /* there is no 32xlarge of the 7i families */

typedef struct FamilyInfo {
    const char *name;
    int64_t gib_per_vcpu;
    unsigned sizes; /* bits of db_sizes */
} FamilyInfo;

static const FamilyInfo db_families[] = {
    {"m5", 4, UP_TO_24},  {"m5d", 4, UP_TO_24}, {"m6g", 4, UP_TO_16}, {"m6gd", 4, UP_TO_16},
    {"m6i", 4, UP_TO_32}, {"m7g", 4, UP_TO_16}, {"m7i", 4, UP_TO_48}, {"r5", 8, UP_TO_24},
    {"r5b", 8, UP_TO_24}, {"r5d", 8, UP_TO_24}, {"r6g", 8, UP_TO_16}, {"r6gd", 8, UP_TO_16},
    {"r6i", 8, UP_TO_32}, {"r7g", 8, UP_TO_16}, {"r7i", 8, UP_TO_48}, {"x2g", 16, UP_TO_16},
};

static const SizeInfo db_burstable[] = {
    {"t2.micro", 1, GIB},      {"t2.small", 1, 2 * GIB},    {"t2.medium", 2, 4 * GIB},
    {"t2.large", 2, 8 * GIB},  {"t2.xlarge", 4, 16 * GIB},  {"t2.2xlarge", 8, 32 * GIB},
    {"t3.micro", 2, GIB},      {"t3.small", 2, 2 * GIB},    {"t3.medium", 2, 4 * GIB},
    {"t3.large", 2, 8 * GIB},  {"t3.xlarge", 4, 16 * GIB},  {"t3.2xlarge", 8, 32 * GIB},
    {"t4g.micro", 2, GIB},     {"t4g.small", 2, 2 * GIB},   {"t4g.medium", 2, 4 * GIB},
    {"t4g.large", 2, 8 * GIB}, {"t4g.xlarge", 4, 16 * GIB}, {"t4g.2xlarge", 8, 32 * GIB},
};

static const SizeInfo cache_nodes[] = {
    {"t2.micro", 1, 581959680},         {"t2.small", 1, 1665138688},
    {"t2.medium", 2, 3461349376},       {"t3.micro", 2, 536870912},
    {"t3.small", 2, 1471026299},        {"t3.medium", 2, 3317862236},
    {"t4g.micro", 2, 536870912},        {"t4g.small", 2, 1471026299},
    {"t4g.medium", 2, 3317862236},      {"m4.large", 2, 6892593152},
    {"m4.xlarge", 4, 15328501760},      {"m4.2xlarge", 8, 31889126359},
    {"m4.4xlarge", 16, 65257290629},    {"m4.10xlarge", 40, 166047614239},
    {"m5.large", 2, 6854542746},        {"m5.xlarge", 4, 13891921715},
    {"m5.2xlarge", 8, 27966669210},     {"m5.4xlarge", 16, 56116178125},
    {"m5.12xlarge", 48, 168715971994},  {"m5.24xlarge", 96, 337500562842},
    {"m6g.large", 2, 6854542746},       {"m6g.xlarge", 4, 13891921715},
    {"m6g.2xlarge", 8, 27966669210},    {"m6g.4xlarge", 16, 56116178125},
    {"m6g.8xlarge", 32, 111325552312},  {"m6g.12xlarge", 48, 168715971994},
    {"m6g.16xlarge", 64, 225000375228}, {"m7g.large", 2, 6854542746},
    {"m7g.xlarge", 4, 13891921715},     {"m7g.2xlarge", 8, 27966669210},
    {"m7g.4xlarge", 16, 56116178125},   {"m7g.8xlarge", 32, 111325552312},
    {"m7g.12xlarge", 48, 168715971994}, {"m7g.16xlarge", 64, 225000375228},
    {"r4.large", 2, 13201781556},       {"r4.xlarge", 4, 26898228839},
    {"r4.2xlarge", 8, 54197537997},     {"r4.4xlarge", 16, 108858546586},
    {"r4.8xlarge", 32, 218255432090},   {"r4.16xlarge", 64, 437021573120},
    {"r5.large", 2, 14037181030},       {"r5.xlarge", 4, 28261849702},
    {"r5.2xlarge", 8, 56711183565},     {"r5.4xlarge", 16, 113609865216},
    {"r5.12xlarge", 48, 341206346547},  {"r5.24xlarge", 96, 682485973811},
    {"r6g.large", 2, 14037181030},      {"r6g.xlarge", 4, 28261849702},
    {"r6g.2xlarge", 8, 56711183565},    {"r6g.4xlarge", 16, 113609865216},
    {"r6g.8xlarge", 32, 225000375228},  {"r6g.12xlarge", 48, 341206346547},
    {"r6g.16xlarge", 64, 450000750456}, {"r7g.large", 2, 14037181030},
    {"r7g.xlarge", 4, 28261849702},     {"r7g.2xlarge", 8, 56711183565},
    {"r7g.4xlarge", 16, 113609865216},  {"r7g.8xlarge", 32, 225000375228},
    {"r7g.12xlarge", 48, 341206346547}, {"r7g.16xlarge", 64, 450000750456},
};

/* ---- walking all classes: burstable db., then db. families by size, then cache.
 * ------------------ */

#define FAMILY_SLOTS (ARRAY_LEN(db_families) * ARRAY_LEN(db_sizes))
#define CLASS_SLOTS  (ARRAY_LEN(db_burstable) + FAMILY_SLOTS + ARRAY_LEN(cache_nodes))

static void class_set(InstanceClass *class, const char *kind, const SizeInfo *info)
{
    snprintf(class->name, sizeof(class->name), "%s.%s", kind, info->name);
    class->vcpus = info->vcpus;
    class->memory_bytes = info->memory_bytes;
}

/* False for a slot that no class has. */
static bool class_at(size_t slot, InstanceClass *class)
{
    if (slot < ARRAY_LEN(db_burstable)) {
        class_set(class, "db", &db_burstable[slot]);
        return true;
    }
    slot -= ARRAY_LEN(db_burstable);
    if (slot >= FAMILY_SLOTS) {
        class_set(class, "cache", &cache_nodes[slot - FAMILY_SLOTS]);
        return true;
    }
    const FamilyInfo *family = &db_families[slot / ARRAY_LEN(db_sizes)];
    size_t size = slot % ARRAY_LEN(db_sizes);
    if ((family->sizes & (1U << size)) == 0) {
        return false;
    }
    snprintf(class->name, sizeof(class->name), "db.%s.%s", family->name, db_sizes[size].name);
    class->vcpus = db_sizes[size].vcpus;
    class->memory_bytes = class->vcpus * family->gib_per_vcpu * GIB;
    return true;
}

bool instance_class_next(const char *prefix, size_t *cursor, InstanceClass *ret_class)
{
    while (*cursor < CLASS_SLOTS) {
        InstanceClass class = {0};
        if (class_at((*cursor)++, &class) && slice_starts(slice_of(class.name), prefix)) {
            *ret_class = class;
            return true;
        }
    }
    return false;
}

/* ---- finding one ------------------------------------------------------------------------------
 */

#define NEAR_MAX 4

/* "db.r6g." of "db.r6g.huge", else "db." or "cache.": what the near ones start with. */
static Slice class_near_prefix(const char *name, size_t dots)
{
    const char *at = name;
    for (size_t i = 0; i < dots; i++) {
        const char *dot = strchr(at, '.');
        if (dot == NULL) {
            return slice_from(name, 0);
        }
        at = dot + 1;
    }
    return slice_from(name, (size_t)(at - name));
}

static void append_near(Buf *near, const char *name, size_t dots)
{
    Slice prefix = class_near_prefix(name, dots);
    char text[sizeof(((InstanceClass *)NULL)->name)];
    if (prefix.len == 0 || prefix.len >= sizeof(text)) {
        return;
    }
    snprintf(text, sizeof(text), "%.*s", SLICE_FMT(prefix));
    InstanceClass class;
    size_t cursor = 0;
    for (size_t i = 0; i < NEAR_MAX && instance_class_next(text, &cursor, &class); i++) {
        buf_printf(near, "%s%s", near->len > 0 ? ", " : "", class.name);
    }
}

static bool refuse_class(const char *name, Err *err)
{
    Buf near;
    buf_init(&near, BUF_MAX_DEFAULT);
    for (size_t dots = 2; dots > 0 && near.len == 0; dots--) {
        append_near(&near, name, dots);
    }
    if (near.len == 0) {
        buf_append_str(&near, "db.t4g.micro, db.r6g.large, cache.t4g.micro, cache.r6g.large");
    }
    err_set(err, ERR_INVALID, "Invalid DB Instance class: %.40s. Near ones: %s", name,
            buf_str(&near));
    buf_done(&near);
    return false;
}

bool instance_class_find(const char *name, InstanceClass *ret_class, Err *err)
{
    InstanceClass class;
    size_t cursor = 0;
    while (instance_class_next("", &cursor, &class)) {
        if (strcmp(class.name, name) == 0) {
            *ret_class = class;
            return true;
        }
    }
    return refuse_class(name, err);
}

/* ---- a share of the host ------------------------------------------------------------------------
 */

static void note_share(const InstanceClass *class, int64_t share, char *note)
{
    snprintf(note, MODEL_NOTE_SIZE, "%s has %.1f GiB; this host gives it %.1f GiB", class->name,
             (double)class->memory_bytes / (double)GIB, (double)share / (double)GIB);
}

int64_t memory_share(const InstanceClass *class, int64_t host_memory_bytes, int engines,
                     char note[static MODEL_NOTE_SIZE])
{
    ASSERT(engines > 0 && host_memory_bytes > 0);
    int64_t share = host_memory_bytes / 4 * 3 / engines;
    note[0] = '\0';
    if (share >= class->memory_bytes) {
        return class->memory_bytes;
    }
    note_share(class, share, note);
    return share;
}
