// SPDX-License-Identifier: GPL-2.0-only
/* The auxiliary device sfc.onload.N, through which sfc_resource finds a port. */
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "sfc.h"

#ifndef SFC_IN_TREE
static unsigned int aux_abi_minor = SFC_AUX_ABI_MINOR;
module_param(aux_abi_minor, uint, 0644);
MODULE_PARM_DESC(aux_abi_minor, "tests: minor version of the auxiliary interface to claim");

static bool aux_devices = SFC_AUX_DEVICES;
module_param(aux_devices, bool, 0644);
MODULE_PARM_DESC(aux_devices, "tests: whether ports have auxiliary devices");

static DEFINE_IDA(numbers);

static void release(struct device *dev)
{
	kfree(to_sfc_aux_device(to_auxiliary_dev(dev)));
}

int sfc_auxiliary_add(struct sfc_port *port)
{
	struct sfc_aux_device *aux;
	int number, rc;

	if (!aux_devices)
		return 0;
	aux = kzalloc(sizeof(*aux), GFP_KERNEL);
	if (!aux)
		return -ENOMEM;
	number = ida_alloc(&numbers, GFP_KERNEL);
	if (number < 0) {
		kfree(aux);
		return number;
	}
	aux->abi_major = SFC_AUX_ABI_MAJOR;
	aux->abi_minor = aux_abi_minor;
	aux->netdev = port->netdev;
	aux->adev.name = "onload";
	aux->adev.id = number;
	aux->adev.dev.parent = &port->pdev->dev;
	aux->adev.dev.release = release;
	rc = auxiliary_device_init(&aux->adev);
	if (rc) {
		kfree(aux);
		goto number;
	}
	rc = auxiliary_device_add(&aux->adev);
	if (rc) {
		auxiliary_device_uninit(&aux->adev);
		goto number;
	}
	port->aux = aux;
	return 0;

number:
	ida_free(&numbers, number);
	return rc;
}

void sfc_auxiliary_remove(struct sfc_port *port)
{
	int number;

	if (!port->aux)
		return;
	number = port->aux->adev.id;
	auxiliary_device_delete(&port->aux->adev);
	auxiliary_device_uninit(&port->aux->adev);
	ida_free(&numbers, number);
	port->aux = NULL;
}
#else
/* The driver that comes with a kernel has none: nothing is accelerated on it. */
int sfc_auxiliary_add(struct sfc_port *port)
{
	return 0;
}

void sfc_auxiliary_remove(struct sfc_port *port)
{
}
#endif
