#include "adamw_cases.h"

int main(void)
{
    return adamw_main();
}
