/* SPDX-License-Identifier: GPL-2.0-only */
/* What sfc and sfc_resource share: the auxiliary device of one network port. */
#ifndef ONLOADD_SFC_AUX_H
#define ONLOADD_SFC_AUX_H

#include <linux/auxiliary_bus.h>
#include <linux/netdevice.h>

/* The interface of Onload 9.1 and later; 9.0 was 1.0. */
#define SFC_AUX_ABI_MAJOR	1
#define SFC_AUX_ABI_MINOR	3

struct sfc_aux_device {
	struct auxiliary_device adev;
	unsigned int abi_major;
	unsigned int abi_minor;
	struct net_device *netdev;
};

static inline struct sfc_aux_device *to_sfc_aux_device(struct auxiliary_device *adev)
{
	return container_of(adev, struct sfc_aux_device, adev);
}

#endif
