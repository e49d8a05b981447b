/* The generated tables (tools/aws_tables.py). */
#ifndef WEIR_AWS_TABLES_PRIV_H
#define WEIR_AWS_TABLES_PRIV_H

#include "aws/aws.h"

extern const AwsService aws_services[];
extern const size_t aws_service_count;

#endif
