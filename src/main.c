/* The one place that sees every subcommand's entry point. */
#include <stdio.h>

#include "base/base.h"

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    puts("weir " WEIR_VERSION);
    return 0;
}
