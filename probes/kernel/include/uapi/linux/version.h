#include "/usr/include/linux/version.h"
