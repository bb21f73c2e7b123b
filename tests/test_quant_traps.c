#include <check.h>
#include "tests/suites.h"
Suite *suite_quant_traps(void)
{
    return suite_create("quant_traps");
}
