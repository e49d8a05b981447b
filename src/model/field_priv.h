/* The tables behind model_fields. */
#ifndef WEIR_MODEL_FIELD_PRIV_H
#define WEIR_MODEL_FIELD_PRIV_H

#include "model/model.h"

typedef struct FieldTable {
    const FieldInfo *fields;
    size_t len;
} FieldTable;

extern const FieldTable field_tables[RESOURCE_TYPES];

#endif
