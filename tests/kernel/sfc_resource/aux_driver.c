// SPDX-License-Identifier: GPL-2.0-only
/* Attaches the ports of sfc natively, if sfc and Onload speak the same interface. */
#include <linux/module.h>

#include "sfc_aux.h"
#include "sfc_resource.h"

static ssize_t enable_show(struct device *dev, struct device_attribute *attribute, char *text)
{
	struct nic *nic = dev_get_drvdata(dev);

	return sysfs_emit(text, "%d\n", nic->enabled);
}

static ssize_t enable_store(struct device *dev, struct device_attribute *attribute,
			    const char *text, size_t len)
{
	struct nic *nic = dev_get_drvdata(dev);
	int rc = kstrtobool(text, &nic->enabled);

	return rc ? rc : len;
}
static DEVICE_ATTR_RW(enable);

static struct attribute *nic_attributes[] = {
	&dev_attr_enable.attr,
	NULL
};

static const struct attribute_group nic_group = {
	.name = "sfc_resource",
	.attrs = nic_attributes,
};

static const struct attribute_group *nic_groups[] = {
	&nic_group,
	NULL
};

/* A newer sfc serves an older Onload, not the other way round. */
static bool interface_fits(const struct sfc_aux_device *aux)
{
	return aux->abi_major == SFC_AUX_ABI_MAJOR && aux->abi_minor >= SFC_AUX_ABI_MINOR;
}

static int attach(struct auxiliary_device *adev, const struct auxiliary_device_id *id)
{
	struct sfc_aux_device *aux = to_sfc_aux_device(adev);
	struct nic *nic;

	if (!enable_driverlink)
		return -ENODEV;
	if (!interface_fits(aux)) {
		/* The real module prints the two pairs the wrong way round, so this does. */
		dev_err(&adev->dev, "Auxbus ABI version mismatch. %s requires %u.%u. %s has %u.%u.\n",
			KBUILD_MODNAME, aux->abi_major, aux->abi_minor,
			adev->dev.parent->driver->name, SFC_AUX_ABI_MAJOR, SFC_AUX_ABI_MINOR);
		return -EPROTO;
	}
	mutex_lock(&nics_lock);
	nic = nic_add(aux->netdev, NIC_NATIVE);
	mutex_unlock(&nics_lock);
	if (IS_ERR(nic))
		return PTR_ERR(nic);
	auxiliary_set_drvdata(adev, nic);
	return 0;
}

static void detach(struct auxiliary_device *adev)
{
	mutex_lock(&nics_lock);
	nic_remove(auxiliary_get_drvdata(adev));
	mutex_unlock(&nics_lock);
}

static const struct auxiliary_device_id ids[] = {
	{ .name = "sfc.onload" },
	{ }
};

static struct auxiliary_driver driver = {
	.name = "ef10",
	.id_table = ids,
	.probe = attach,
	.remove = detach,
	.driver.dev_groups = nic_groups,
};

int aux_driver_register(void)
{
	return auxiliary_driver_register(&driver);
}

void aux_driver_unregister(void)
{
	auxiliary_driver_unregister(&driver);
}
