#include "/usr/include/linux/bpf_common.h"
