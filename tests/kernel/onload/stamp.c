// SPDX-License-Identifier: GPL-2.0-only
/* In a section and a file of its own, so that build.sh can write each release's value into it. */
#include "onload.h"

const char onload_uk_intf_ver[ONLOAD_UK_INTF_LEN + 1] __section(".onload_stamp") =
	"00000000000000000000000000000000";
