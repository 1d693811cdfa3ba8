// SPDX-License-Identifier: GPL-2.0-only
/*
 * A network card without a card: a PCI root bus of its own domain whose configuration space is
 * an array. The functions have no BARs, so only a driver that wants none can drive them.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <asm/unaligned.h>

#include "card.h"

#define VENDOR_SOLARFLARE	0x1924
#define SUBSYSTEM_X2522		0x8020
/* Above the 16 bits that firmware may use for its own domains. */
#define CARD_DOMAIN		0x10000
#define CONFIG_BYTES		256
/* What a board prints beside its slots. With it udev's name has 15 letters, all that there may be. */
#define SLOT_NAME		"1"
#define MAX_FUNCTIONS		8

static unsigned int functions = 2;
module_param(functions, uint, 0444);
MODULE_PARM_DESC(functions, "number of PCI functions (1 to 8)");

static ushort device = 0x0b03;
module_param(device, ushort, 0444);
MODULE_PARM_DESC(device, "PCI device id");

static ushort subsystem = SUBSYSTEM_X2522;
module_param(subsystem, ushort, 0444);
MODULE_PARM_DESC(subsystem, "PCI subsystem device id");

static int node;
module_param(node, int, 0444);
MODULE_PARM_DESC(node, "NUMA node");

static bool one_mac;
module_param(one_mac, bool, 0444);
MODULE_PARM_DESC(one_mac, "every function has the permanent address of the first");

static u8 config[MAX_FUNCTIONS][CONFIG_BYTES];
static struct platform_device *platform;
static struct pci_bus *bus;
static struct pci_slot *slot;
static struct pci_sysdata sysdata = { .domain = CARD_DOMAIN };
static struct resource bus_numbers = {
	.name = "onloadd card",
	.start = 0,
	.end = 0,
	.flags = IORESOURCE_BUS,
};

static u8 *function_config(unsigned int devfn)
{
	if (PCI_SLOT(devfn) || PCI_FUNC(devfn) >= functions)
		return NULL;
	return config[PCI_FUNC(devfn)];
}

static int card_read(struct pci_bus *pbus, unsigned int devfn, int where, int size, u32 *value)
{
	const u8 *space = function_config(devfn);

	/* All ones is the answer of a bus on which nobody answers. */
	*value = ~0U;
	if (!space)
		return PCIBIOS_DEVICE_NOT_FOUND;
	if (where + size > CONFIG_BYTES)
		return PCIBIOS_SUCCESSFUL;
	if (size == 1)
		*value = space[where];
	else if (size == 2)
		*value = get_unaligned_le16(space + where);
	else
		*value = get_unaligned_le32(space + where);
	return PCIBIOS_SUCCESSFUL;
}

/* Only what a driver core must be able to set: a BAR that takes no bits is a BAR not there. */
static bool writable(int where)
{
	return where == PCI_COMMAND || where == PCI_CACHE_LINE_SIZE ||
	       where == PCI_LATENCY_TIMER || where == PCI_INTERRUPT_LINE;
}

static int card_write(struct pci_bus *pbus, unsigned int devfn, int where, int size, u32 value)
{
	u8 *space = function_config(devfn);

	if (!space)
		return PCIBIOS_DEVICE_NOT_FOUND;
	if (!writable(where))
		return PCIBIOS_SUCCESSFUL;
	if (size == 1)
		space[where] = value;
	else
		put_unaligned_le16(value, space + where);
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops card_ops = {
	.read = card_read,
	.write = card_write,
};

static void fill_config(u8 *space, unsigned int function)
{
	space[CARD_MAC_END] = CARD_MAC_FIRST + (one_mac ? 0 : function);
	put_unaligned_le16(VENDOR_SOLARFLARE, space + PCI_VENDOR_ID);
	put_unaligned_le16(device, space + PCI_DEVICE_ID);
	space[PCI_REVISION_ID] = 1;
	put_unaligned_le16(PCI_CLASS_NETWORK_ETHERNET, space + PCI_CLASS_DEVICE);
	space[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_NORMAL | (functions > 1 ? 0x80 : 0);
	put_unaligned_le16(VENDOR_SOLARFLARE, space + PCI_SUBSYSTEM_VENDOR_ID);
	put_unaligned_le16(subsystem, space + PCI_SUBSYSTEM_ID);
}

static int __init card_init(void)
{
	LIST_HEAD(resources);
	unsigned int i;

	if (functions < 1 || functions > MAX_FUNCTIONS)
		return -EINVAL;
	for (i = 0; i < functions; i++)
		fill_config(config[i], i);
	sysdata.node = node;

	platform = platform_device_register_simple("onloadd_card", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(platform))
		return PTR_ERR(platform);

	pci_add_resource(&resources, &bus_numbers);
	pci_lock_rescan_remove();
	bus = pci_create_root_bus(&platform->dev, 0, &card_ops, &sysdata, &resources);
	if (bus) {
		slot = pci_create_slot(bus, 0, SLOT_NAME, NULL);
		pci_scan_child_bus(bus);
		pci_bus_add_devices(bus);
	}
	pci_unlock_rescan_remove();
	if (!bus) {
		pci_free_resource_list(&resources);
		platform_device_unregister(platform);
		return -ENOMEM;
	}
	return 0;
}

static void __exit card_exit(void)
{
	pci_lock_rescan_remove();
	if (!IS_ERR(slot))
		pci_destroy_slot(slot);
	pci_stop_root_bus(bus);
	pci_remove_root_bus(bus);
	pci_unlock_rescan_remove();
	platform_device_unregister(platform);
}

module_init(card_init);
module_exit(card_exit);
MODULE_DESCRIPTION("onloadd tests: PCI functions of a Solarflare card");
MODULE_LICENSE("GPL");
