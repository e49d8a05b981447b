/* Everything that is in the store, sorted by key in one array. The tier's whole state is some ten
 * thousand small records, so that moving pointers on an insert costs less than any tree would. */
#include "store/store_priv.h"

Record *record_new(Slice key, Slice value, int64_t mod_revision, int64_t create_revision,
                   int64_t lease)
{
    Record *record = mem_alloc(sizeof(Record) + key.len + value.len + 2);
    record->refs = 1;
    record->key_len = key.len;
    record->value_len = value.len;
    record->mod_revision = mod_revision;
    record->create_revision = create_revision;
    record->lease = lease;
    memcpy(record->bytes, key.data, key.len);
    if (value.len > 0) {
        memcpy(record->bytes + key.len + 1, value.data, value.len);
    }
    return record;
}

Record *record_ref(Record *record)
{
    record->refs++;
    return record;
}

void record_unref(Record *record)
{
    if (record != NULL && --record->refs == 0) {
        mem_free(record);
    }
}

Slice record_key(const Record *record)
{
    return slice_from(record->bytes, record->key_len);
}

StoreItem record_copy(const Record *record, Arena *arena)
{
    size_t len = record->key_len + record->value_len + 2;
    char *bytes = arena_alloc(arena, len);
    memcpy(bytes, record->bytes, len);
    return (StoreItem){
        .key = slice_from(bytes, record->key_len),
        .value = slice_from(bytes + record->key_len + 1, record->value_len),
        .mod_revision = record->mod_revision,
        .create_revision = record->create_revision,
        .lease = record->lease,
    };
}

void image_done(Image *image)
{
    for (size_t i = 0; i < image->len; i++) {
        record_unref(image->records[i]);
    }
    mem_free(image->records);
    vec_done(&image->leases);
    *image = (Image){0};
}

size_t image_seek(const Image *image, Slice key)
{
    size_t low = 0;
    size_t high = image->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_cmp(record_key(image->records[middle]), key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool image_has_at(const Image *image, size_t at, Slice key)
{
    return at < image->len && slice_eq(record_key(image->records[at]), key);
}

Record *image_find(const Image *image, Slice key)
{
    size_t at = image_seek(image, key);
    return image_has_at(image, at, key) ? image->records[at] : NULL;
}

void image_put(Image *image, Record *record)
{
    Slice key = record_key(record);
    size_t at = image_seek(image, key);
    if (image_has_at(image, at, key)) {
        record_unref(image->records[at]);
        image->records[at] = record;
        return;
    }
    image->records = vec_grow(image->records, &image->cap, image->len + 1, sizeof(*image->records));
    memmove(image->records + at + 1, image->records + at,
            (image->len - at) * sizeof(*image->records));
    image->records[at] = record;
    image->len++;
}

void image_delete(Image *image, Slice key)
{
    size_t at = image_seek(image, key);
    ASSERT(image_has_at(image, at, key));
    record_unref(image->records[at]);
    image->len--;
    memmove(image->records + at, image->records + at + 1,
            (image->len - at) * sizeof(*image->records));
}

Lease *image_lease(const Image *image, int64_t id)
{
    for (size_t i = 0; i < image->leases.len; i++) {
        if (image->leases.items[i].id == id) {
            return &image->leases.items[i];
        }
    }
    return NULL;
}

void image_lease_remove(Image *image, int64_t id)
{
    Lease *lease = image_lease(image, id);
    ASSERT(lease != NULL);
    *lease = image->leases.items[--image->leases.len];
}
