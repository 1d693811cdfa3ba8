// SPDX-License-Identifier: GPL-2.0-only
/* The module sfc_resource: the list of NICs and its directory in /proc. */
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "sfc_resource.h"

#define RESOURCE_DIR	"driver/sfc_resource"

static bool pio = true;
module_param(pio, bool, 0444);
MODULE_PARM_DESC(pio, "use programmed I/O");

bool enable_accel_by_default = true;
module_param(enable_accel_by_default, bool, 0644);
MODULE_PARM_DESC(enable_accel_by_default, "new NICs may be accelerated");

bool enable_driverlink = true;
module_param(enable_driverlink, bool, 0644);
MODULE_PARM_DESC(enable_driverlink, "attach Solarflare NICs natively\n(0 leaves them to AF_XDP)");

static bool force_ev_timer = true;
module_param(force_ev_timer, bool, 0444);
MODULE_PARM_DESC(force_ev_timer, "an event timer for every queue that wakes");

static char *bpf_link_helper;
module_param(bpf_link_helper, charp, 0644);
MODULE_PARM_DESC(bpf_link_helper, "program that attaches generic XDP");

static bool enable_af_xdp_flow_filters = true;
module_param(enable_af_xdp_flow_filters, bool, 0644);
MODULE_PARM_DESC(enable_af_xdp_flow_filters, "filters for AF_XDP");

DEFINE_MUTEX(nics_lock);
LIST_HEAD(nics);
struct proc_dir_entry *resource_dir;

/* How many NICs there are; sfc_char and onload depend on this module through it. */
unsigned int sfc_resource_nics(void)
{
	unsigned int count = 0;
	struct nic *nic;

	mutex_lock(&nics_lock);
	list_for_each_entry(nic, &nics, list)
		count++;
	mutex_unlock(&nics_lock);
	return count;
}
EXPORT_SYMBOL_GPL(sfc_resource_nics);

/* Under nics_lock. */
struct nic *nic_add(struct net_device *netdev, enum nic_kind kind)
{
	struct nic *nic = kzalloc(sizeof(*nic), GFP_KERNEL);

	if (!nic)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&nic->rules);
	nic->netdev = netdev;
	nic->kind = kind;
	nic->enabled = enable_accel_by_default;
	strscpy(nic->name, netdev->name, sizeof(nic->name));
	if (firewall_add_nic(nic)) {
		kfree(nic);
		return ERR_PTR(-ENOMEM);
	}
	list_add_tail(&nic->list, &nics);
	return nic;
}

/* Under nics_lock. */
void nic_remove(struct nic *nic)
{
	remove_proc_subtree(nic->name, resource_dir);
	list_del(&nic->list);
	firewall_forget_rules(nic);
	kfree(nic);
}

/*
 * The directory follows the name of a native NIC. An AF_XDP one gets a second directory and
 * keeps the first, as seen on the real module.
 */
static void follow_name(struct nic *nic)
{
	if (nic->kind == NIC_NATIVE)
		remove_proc_subtree(nic->name, resource_dir);
	strscpy(nic->name, nic->netdev->name, sizeof(nic->name));
	firewall_add_nic(nic);
}

static int netdev_event(struct notifier_block *block, unsigned long event, void *info)
{
	struct net_device *netdev = netdev_notifier_info_to_dev(info);
	struct nic *nic;

	if (event != NETDEV_CHANGENAME)
		return NOTIFY_DONE;
	mutex_lock(&nics_lock);
	list_for_each_entry(nic, &nics, list)
		if (nic->netdev == netdev)
			follow_name(nic);
	mutex_unlock(&nics_lock);
	return NOTIFY_DONE;
}

static struct notifier_block netdev_notifier = {
	.notifier_call = netdev_event,
};

static int show_resources(struct seq_file *file, void *unused)
{
	seq_printf(file, "*** nic ***\n\tcurrent=%u\n", sfc_resource_nics());
	return 0;
}

static int __init resource_init(void)
{
	int rc = -ENOMEM;

	resource_dir = proc_mkdir(RESOURCE_DIR, NULL);
	if (!resource_dir)
		return rc;
	if (!proc_mkdir("devices", resource_dir) ||
	    !proc_create_single("resources", 0444, resource_dir, show_resources) ||
	    firewall_register())
		goto proc;
	rc = register_netdevice_notifier(&netdev_notifier);
	if (rc)
		goto proc;
	rc = afxdp_register();
	if (rc)
		goto notifier;
	rc = aux_driver_register();
	if (rc)
		goto afxdp;
	return 0;

afxdp:
	afxdp_unregister();
notifier:
	unregister_netdevice_notifier(&netdev_notifier);
proc:
	proc_remove(resource_dir);
	return rc;
}

static void __exit resource_exit(void)
{
	aux_driver_unregister();
	afxdp_unregister();
	unregister_netdevice_notifier(&netdev_notifier);
	proc_remove(resource_dir);
}

module_init(resource_init);
module_exit(resource_exit);
MODULE_DESCRIPTION("onloadd tests: stand-in for Onload's resource module");
MODULE_LICENSE("GPL");
