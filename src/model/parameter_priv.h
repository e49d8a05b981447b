/* The tables of parameters, made at build time from src/model/parameters. */
#ifndef WEIR_MODEL_PARAMETER_PRIV_H
#define WEIR_MODEL_PARAMETER_PRIV_H

#include "model/model.h"

extern const ParameterFamily parameter_families[];
extern const size_t parameter_families_len;

bool parameter_is_number(const ParameterInfo *info);

#endif
