#include "/usr/include/linux/types.h"
