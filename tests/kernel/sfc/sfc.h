/* SPDX-License-Identifier: GPL-2.0-only */
/* Stand-in for the Ethernet driver sfc; -DSFC_IN_TREE builds the one that comes with a kernel. */
#ifndef ONLOADD_SFC_H
#define ONLOADD_SFC_H

#include <linux/net_tstamp.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/ptp_clock_kernel.h>
#include <linux/spinlock.h>

#include "sfc_aux.h"

#ifdef SFC_IN_TREE
#define SFC_IS_IN_TREE	true
#define SFC_AUX_DEVICES	false
#else
#define SFC_IS_IN_TREE	false
#endif
#ifndef SFC_AUX_DEVICES
#define SFC_AUX_DEVICES	true
#endif
#ifndef SFC_HOLD_SELF
#define SFC_HOLD_SELF	false
#endif

#define SFC_MAX_RING		4096
#define SFC_MAX_CHANNELS	8
#define SFC_MAX_MTU		9202

/* One PCI function: a network port and its clock. Lives in its net_device. */
struct sfc_port {
	struct pci_dev *pdev;
	struct net_device *netdev;
	unsigned int function;
	struct sfc_aux_device *aux;

	struct ptp_clock_info clock_info;
	struct ptp_clock *clock;
	/* Guards the three below: the clock is read from any context. */
	spinlock_t clock_lock;
	u64 clock_ns;
	u64 clock_raw_ns;
	long clock_scaled_ppm;
	struct hwtstamp_config timestamping;

	unsigned int rx_ring;
	unsigned int tx_ring;
	unsigned int rx_usecs;
	unsigned int tx_usecs;
	bool adaptive_rx;
	u32 private_flags;
};

/* Out-of-tree builds only; zero in the others. */
extern unsigned int sfc_rx_ring;
extern unsigned int sfc_tx_ring;

struct sfc_port *sfc_netdev_create(struct pci_dev *pdev);
int sfc_netdev_register(struct sfc_port *port);
void sfc_netdev_unregister(struct sfc_port *port);
void sfc_netdev_free(struct sfc_port *port);

int sfc_clock_register(struct sfc_port *port);
void sfc_clock_unregister(struct sfc_port *port);
ktime_t sfc_clock_at(struct sfc_port *port, u64 raw);

int sfc_auxiliary_add(struct sfc_port *port);
void sfc_auxiliary_remove(struct sfc_port *port);

extern const struct ethtool_ops sfc_ethtool_ops;

#endif
