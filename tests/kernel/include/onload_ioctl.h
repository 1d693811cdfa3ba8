/* SPDX-License-Identifier: GPL-2.0-only */
/* What can be asked of /dev/onload: by the control-plane server, the library and the holder. */
#ifndef ONLOADD_ONLOAD_IOCTL_H
#define ONLOADD_ONLOAD_IOCTL_H

#include <linux/ioctl.h>

#define ONLOAD_IOC_MAGIC	90
#define ONLOAD_UK_INTF_LEN	32

struct onload_interface {
	char uk_intf_ver[ONLOAD_UK_INTF_LEN];
};

/* Makes a stack for the caller: it lives as long as this open file. */
#define ONLOAD_IOC_STACK	_IO(ONLOAD_IOC_MAGIC, 0xe0)
/* The caller is the control-plane server. */
#define ONLOAD_IOC_CP_SERVER	_IO(ONLOAD_IOC_MAGIC, 0xe1)
/* ELIBACC unless the caller's library was built with this driver. */
#define ONLOAD_IOC_CHECK	_IOW(ONLOAD_IOC_MAGIC, 0xff, struct onload_interface)

#endif
