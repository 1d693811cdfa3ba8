// SPDX-License-Identifier: GPL-2.0-only
/* The network port. A wire joins functions 0 and 1, 2 and 3, and so on. */
#include <linux/etherdevice.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>

#include "card.h"
#include "sfc.h"

#define MAX_FUNCTIONS	8

/* Who sits at which end of the wires, by PCI function. */
static struct net_device __rcu *wire[MAX_FUNCTIONS];

static void timestamp_sent(struct sfc_port *port, struct sk_buff *skb, u64 raw)
{
	struct skb_shared_hwtstamps stamp = { };

	if (port->timestamping.tx_type != HWTSTAMP_TX_ON ||
	    !(skb_shinfo(skb)->tx_flags & SKBTX_HW_TSTAMP))
		return;
	skb_shinfo(skb)->tx_flags |= SKBTX_IN_PROGRESS;
	stamp.hwtstamp = sfc_clock_at(port, raw);
	skb_tstamp_tx(skb, &stamp);
}

static void timestamp_received(struct sfc_port *port, struct sk_buff *skb, u64 raw)
{
	if (port->timestamping.rx_filter != HWTSTAMP_FILTER_NONE)
		skb_hwtstamps(skb)->hwtstamp = sfc_clock_at(port, raw);
}

static netdev_tx_t sfc_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct sfc_port *port = netdev_priv(dev);
	unsigned int len = skb->len;
	/* No time passes on the wire: how long this takes here is nobody's delay. */
	u64 raw = ktime_get_raw_ns();
	struct net_device *peer;

	timestamp_sent(port, skb, raw);
	skb_tx_timestamp(skb);
	dev_sw_netstats_tx_add(dev, 1, len);

	rcu_read_lock();
	peer = rcu_dereference(wire[port->function ^ 1]);
	/* What tells the sender of its timestamp shares the place where the peer's is written. */
	if (peer && !skb_unclone(skb, GFP_ATOMIC)) {
		timestamp_received(netdev_priv(peer), skb, raw);
		if (dev_forward_skb(peer, skb) == NET_RX_SUCCESS)
			dev_sw_netstats_rx_add(peer, len);
	} else {
		kfree_skb(skb);
	}
	rcu_read_unlock();
	return NETDEV_TX_OK;
}

static int sfc_open(struct net_device *dev)
{
	netif_carrier_on(dev);
	netif_tx_start_all_queues(dev);
	return 0;
}

static int sfc_stop(struct net_device *dev)
{
	netif_tx_stop_all_queues(dev);
	netif_carrier_off(dev);
	return 0;
}

/* Lets a test pull the cable: ip link set IF carrier off. */
static int sfc_change_carrier(struct net_device *dev, bool carrier)
{
	if (carrier)
		netif_carrier_on(dev);
	else
		netif_carrier_off(dev);
	return 0;
}

static int sfc_change_mtu(struct net_device *dev, int mtu)
{
	dev->mtu = mtu;
	return 0;
}

static int sfc_get_phys_port_id(struct net_device *dev, struct netdev_phys_item_id *id)
{
	id->id_len = ETH_ALEN;
	memcpy(id->id, dev->perm_addr, ETH_ALEN);
	return 0;
}

/* This is what makes udev append np0; out-of-tree drivers stopped answering. */
static int sfc_get_phys_port_name(struct net_device *dev, char *name, size_t len)
{
	struct sfc_port *port = netdev_priv(dev);

	if (!SFC_IS_IN_TREE)
		return -EOPNOTSUPP;
	return snprintf(name, len, "p%u", port->function) >= len ? -EINVAL : 0;
}

static int sfc_ioctl(struct net_device *dev, struct ifreq *request, int command)
{
	struct sfc_port *port = netdev_priv(dev);
	struct hwtstamp_config config = port->timestamping;

	if (command != SIOCSHWTSTAMP && command != SIOCGHWTSTAMP)
		return -EOPNOTSUPP;
	if (command == SIOCSHWTSTAMP) {
		if (copy_from_user(&config, request->ifr_data, sizeof(config)))
			return -EFAULT;
		if (config.tx_type != HWTSTAMP_TX_OFF && config.tx_type != HWTSTAMP_TX_ON)
			return -ERANGE;
		if (config.rx_filter != HWTSTAMP_FILTER_NONE)
			config.rx_filter = HWTSTAMP_FILTER_ALL;
		port->timestamping = config;
	}
	return copy_to_user(request->ifr_data, &config, sizeof(config)) ? -EFAULT : 0;
}

static const struct net_device_ops sfc_netdev_ops = {
	.ndo_open = sfc_open,
	.ndo_stop = sfc_stop,
	.ndo_start_xmit = sfc_start_xmit,
	.ndo_get_stats64 = dev_get_tstats64,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_change_mtu = sfc_change_mtu,
	.ndo_change_carrier = sfc_change_carrier,
	.ndo_get_phys_port_id = sfc_get_phys_port_id,
	.ndo_get_phys_port_name = sfc_get_phys_port_name,
	.ndo_eth_ioctl = sfc_ioctl,
};

struct sfc_port *sfc_netdev_create(struct pci_dev *pdev)
{
	unsigned int function = PCI_FUNC(pdev->devfn);
	u8 address[ETH_ALEN] = { 0x00, 0x0f, 0x53, 0x0a, 0x0b };
	struct net_device *dev;
	struct sfc_port *port;

	dev = alloc_etherdev_mqs(sizeof(*port), SFC_MAX_CHANNELS, SFC_MAX_CHANNELS);
	if (!dev)
		return ERR_PTR(-ENOMEM);
	dev->tstats = netdev_alloc_pcpu_stats(struct pcpu_sw_netstats);
	if (!dev->tstats) {
		free_netdev(dev);
		return ERR_PTR(-ENOMEM);
	}
	pci_read_config_byte(pdev, CARD_MAC_END, &address[ETH_ALEN - 1]);
	SET_NETDEV_DEV(dev, &pdev->dev);
	dev->netdev_ops = &sfc_netdev_ops;
	dev->ethtool_ops = &sfc_ethtool_ops;
	dev->max_mtu = SFC_MAX_MTU;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	dev->hw_features = NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_RXCSUM;
	dev->features |= dev->hw_features;
	eth_hw_addr_set(dev, address);
	netif_carrier_off(dev);

	port = netdev_priv(dev);
	port->pdev = pdev;
	port->netdev = dev;
	port->function = function;
	port->rx_ring = min_t(unsigned int, sfc_rx_ring, SFC_MAX_RING);
	port->tx_ring = min_t(unsigned int, sfc_tx_ring, SFC_MAX_RING);
	port->rx_usecs = 60;
	port->tx_usecs = 150;
	port->adaptive_rx = true;
	return port;
}

int sfc_netdev_register(struct sfc_port *port)
{
	struct net_device *dev = port->netdev;
	unsigned int channels = min_t(unsigned int, num_online_cpus(), SFC_MAX_CHANNELS);
	int rc;

	netif_set_real_num_tx_queues(dev, channels);
	netif_set_real_num_rx_queues(dev, channels);
	rc = register_netdev(dev);
	if (!rc)
		rcu_assign_pointer(wire[port->function], dev);
	return rc;
}

void sfc_netdev_unregister(struct sfc_port *port)
{
	/* The peer must not be forwarding into a device that goes. */
	RCU_INIT_POINTER(wire[port->function], NULL);
	synchronize_net();
	unregister_netdev(port->netdev);
}

void sfc_netdev_free(struct sfc_port *port)
{
	free_percpu(port->netdev->tstats);
	free_netdev(port->netdev);
}
