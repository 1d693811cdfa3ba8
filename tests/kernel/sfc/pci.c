// SPDX-License-Identifier: GPL-2.0-only
/* The module sfc: binds to PCI functions, carries the parameters. */
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mtd/mtd.h>

#include "sfc.h"

static char *rss_cpus;
module_param(rss_cpus, charp, 0444);
MODULE_PARM_DESC(rss_cpus, "number of receive queues, or what to count");

static unsigned int interrupt_mode;
module_param(interrupt_mode, uint, 0444);
MODULE_PARM_DESC(interrupt_mode, "0 = MSI-X, 1 = MSI");

static bool fail_probe;
module_param(fail_probe, bool, 0644);
MODULE_PARM_DESC(fail_probe, "tests: refuse every function with EIO");

unsigned int sfc_rx_ring = 1024;
unsigned int sfc_tx_ring = 1024;

#ifndef SFC_IN_TREE
module_param_named(rx_ring, sfc_rx_ring, uint, 0444);
MODULE_PARM_DESC(rx_ring, "descriptors in a receive ring");
module_param_named(tx_ring, sfc_tx_ring, uint, 0444);
MODULE_PARM_DESC(tx_ring, "descriptors in a transmit ring");

static int num_vis = -1;
module_param(num_vis, int, 0444);
MODULE_PARM_DESC(num_vis, "virtual interfaces to reserve for Onload\n(-1 = as many as are useful)");

static char *performance_profile;
module_param(performance_profile, charp, 0444);
MODULE_PARM_DESC(performance_profile, "throughput, latency or auto");

static char *link_mgmt;
module_param(link_mgmt, charp, 0444);
MODULE_PARM_DESC(link_mgmt, "netport, legacy or auto");

static bool enable_vswitch;
module_param(enable_vswitch, bool, 0444);
MODULE_PARM_DESC(enable_vswitch, "let functions share a port");

static unsigned int irq_adapt_low_thresh = 8000;
module_param(irq_adapt_low_thresh, uint, 0644);
MODULE_PARM_DESC(irq_adapt_low_thresh, "score below which interrupts are moderated less");

static bool mcdi_logging_default;
module_param(mcdi_logging_default, bool, 0644);
MODULE_PARM_DESC(mcdi_logging_default, "log management commands");
#endif

/* What keeps this module loaded although nobody uses it: a driver that refuses to go. */
static bool hold_self = SFC_HOLD_SELF;
static bool held;

static void settle_hold(void)
{
	if (hold_self == held)
		return;
	held = hold_self;
	if (held)
		__module_get(THIS_MODULE);
	else
		module_put(THIS_MODULE);
}

static int set_hold_self(const char *text, const struct kernel_param *param)
{
	int rc = param_set_bool(text, param);

	if (!rc)
		settle_hold();
	return rc;
}

static const struct kernel_param_ops hold_self_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_hold_self,
	.get = param_get_bool,
};
module_param_cb(hold_self, &hold_self_ops, &hold_self, 0644);
MODULE_PARM_DESC(hold_self, "tests: keep a reference to this module");

static int sfc_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct sfc_port *port;
	int rc;

	if (fail_probe) {
		dev_err(&pdev->dev, "refused: fail_probe is set\n");
		return -EIO;
	}
	dev_info(&pdev->dev, "Solarflare NIC detected: device %04x:%04x subsys %04x:%04x\n",
		 pdev->vendor, pdev->device, pdev->subsystem_vendor, pdev->subsystem_device);

	rc = pci_enable_device(pdev);
	if (rc)
		return rc;
	port = sfc_netdev_create(pdev);
	if (IS_ERR(port)) {
		rc = PTR_ERR(port);
		goto disable;
	}
	pci_set_drvdata(pdev, port);
	rc = sfc_clock_register(port);
	if (rc)
		goto free;
	rc = sfc_netdev_register(port);
	if (rc)
		goto clock;
	rc = sfc_auxiliary_add(port);
	if (rc)
		goto netdev;
	return 0;

netdev:
	sfc_netdev_unregister(port);
clock:
	sfc_clock_unregister(port);
free:
	sfc_netdev_free(port);
disable:
	pci_disable_device(pdev);
	return rc;
}

static void sfc_remove(struct pci_dev *pdev)
{
	struct sfc_port *port = pci_get_drvdata(pdev);

	sfc_auxiliary_remove(port);
	sfc_netdev_unregister(port);
	sfc_clock_unregister(port);
	sfc_netdev_free(port);
	pci_disable_device(pdev);
}

static const struct pci_device_id sfc_ids[] = {
	{ PCI_DEVICE(0x1924, 0x0903) },
	{ PCI_DEVICE(0x1924, 0x0923) },
	{ PCI_DEVICE(0x1924, 0x0a03) },
	{ PCI_DEVICE(0x1924, 0x0b03) },
#ifndef SFC_IN_TREE
	{ PCI_DEVICE(0x1924, 0x0c03) },
	{ PCI_DEVICE(0x1924, 0x2c03) },
#endif
	{ }
};
MODULE_DEVICE_TABLE(pci, sfc_ids);

static struct pci_driver sfc_driver = {
	.name = KBUILD_MODNAME,
	.id_table = sfc_ids,
	.probe = sfc_probe,
	.remove = sfc_remove,
};

static void mtd_seen(struct mtd_info *mtd)
{
}

/* The real driver shows its flash through mtd; this one only needs mtd to be there. */
static struct mtd_notifier mtd_user = {
	.add = mtd_seen,
	.remove = mtd_seen,
};

static int __init sfc_init(void)
{
	int rc;

	register_mtd_user(&mtd_user);
	rc = pci_register_driver(&sfc_driver);
	if (rc)
		unregister_mtd_user(&mtd_user);
	else
		settle_hold();
	return rc;
}

static void __exit sfc_exit(void)
{
	pci_unregister_driver(&sfc_driver);
	unregister_mtd_user(&mtd_user);
}

module_init(sfc_init);
module_exit(sfc_exit);
MODULE_DESCRIPTION("onloadd tests: stand-in for the Solarflare network driver");
MODULE_LICENSE("GPL");
#ifdef SFC_IN_TREE
/* Else the kernel taints itself as for any module built outside. */
MODULE_INFO(intree, "Y");
#else
/* Replaced for every release by build.sh. */
MODULE_VERSION("0.0.0.0");
#endif
