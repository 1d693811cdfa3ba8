/* SPDX-License-Identifier: GPL-2.0-only */
/* Stand-in for sfc_resource: which NICs Onload may use, natively or through AF_XDP. */
#ifndef ONLOADD_SFC_RESOURCE_H
#define ONLOADD_SFC_RESOURCE_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/proc_fs.h>

enum nic_kind {
	NIC_NATIVE,
	NIC_AF_XDP,
};

struct nic {
	struct list_head list;
	struct list_head rules;
	struct net_device *netdev;
	enum nic_kind kind;
	bool enabled;
	/* The directory in /proc: the interface's name when last looked at. */
	char name[IFNAMSIZ];
};

/* Guards the list, and what is in it. Taken within the network lock, never around it. */
extern struct mutex nics_lock;
extern struct list_head nics;
extern struct proc_dir_entry *resource_dir;
extern bool enable_accel_by_default;
extern bool enable_driverlink;

struct nic *nic_add(struct net_device *netdev, enum nic_kind kind);
void nic_remove(struct nic *nic);

int aux_driver_register(void);
void aux_driver_unregister(void);

int afxdp_register(void);
void afxdp_unregister(void);

int firewall_register(void);
int firewall_add_nic(struct nic *nic);
void firewall_forget_rules(struct nic *nic);

#endif
