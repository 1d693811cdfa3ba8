// SPDX-License-Identifier: GPL-2.0-only
/* What ethtool shows of a port and can set. Settings are kept and shown, nothing else. */
#include <linux/ethtool.h>
#include <linux/module.h>
#include <linux/rtnetlink.h>
#include <generated/utsrelease.h>

#include "sfc.h"

#define PRIVATE_FLAGS	1

static const char private_flag_names[PRIVATE_FLAGS][ETH_GSTRING_LEN] = {
	"phy-power-follows-link",
};

static void sfc_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	struct sfc_port *port = netdev_priv(dev);
	const char *version = SFC_IS_IN_TREE ? UTS_RELEASE : THIS_MODULE->version;

	strscpy(info->driver, KBUILD_MODNAME, sizeof(info->driver));
	strscpy(info->version, version, sizeof(info->version));
	strscpy(info->fw_version, "8.5.0.1002 rx1 tx1", sizeof(info->fw_version));
	strscpy(info->bus_info, pci_name(port->pdev), sizeof(info->bus_info));
	info->n_priv_flags = PRIVATE_FLAGS;
}

static void sfc_get_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			      struct kernel_ethtool_ringparam *kernel_ring,
			      struct netlink_ext_ack *ack)
{
	struct sfc_port *port = netdev_priv(dev);

	ring->rx_max_pending = SFC_MAX_RING;
	ring->tx_max_pending = SFC_MAX_RING;
	ring->rx_pending = port->rx_ring;
	ring->tx_pending = port->tx_ring;
}

static int sfc_set_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			     struct kernel_ethtool_ringparam *kernel_ring,
			     struct netlink_ext_ack *ack)
{
	struct sfc_port *port = netdev_priv(dev);

	if (!ring->rx_pending || !ring->tx_pending)
		return -EINVAL;
	port->rx_ring = ring->rx_pending;
	port->tx_ring = ring->tx_pending;
	return 0;
}

static void sfc_get_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	channels->max_combined = SFC_MAX_CHANNELS;
	channels->combined_count = dev->real_num_tx_queues;
}

static int sfc_set_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	return netif_set_real_num_queues(dev, channels->combined_count, channels->combined_count);
}

static int sfc_get_coalesce(struct net_device *dev, struct ethtool_coalesce *coalesce,
			    struct kernel_ethtool_coalesce *kernel_coalesce,
			    struct netlink_ext_ack *ack)
{
	struct sfc_port *port = netdev_priv(dev);

	coalesce->rx_coalesce_usecs = port->rx_usecs;
	coalesce->tx_coalesce_usecs = port->tx_usecs;
	coalesce->use_adaptive_rx_coalesce = port->adaptive_rx;
	return 0;
}

static int sfc_set_coalesce(struct net_device *dev, struct ethtool_coalesce *coalesce,
			    struct kernel_ethtool_coalesce *kernel_coalesce,
			    struct netlink_ext_ack *ack)
{
	struct sfc_port *port = netdev_priv(dev);

	port->rx_usecs = coalesce->rx_coalesce_usecs;
	port->tx_usecs = coalesce->tx_coalesce_usecs;
	port->adaptive_rx = coalesce->use_adaptive_rx_coalesce;
	return 0;
}

static int sfc_get_sset_count(struct net_device *dev, int set)
{
	return set == ETH_SS_PRIV_FLAGS ? PRIVATE_FLAGS : -EOPNOTSUPP;
}

static void sfc_get_strings(struct net_device *dev, u32 set, u8 *text)
{
	if (set == ETH_SS_PRIV_FLAGS)
		memcpy(text, private_flag_names, sizeof(private_flag_names));
}

static u32 sfc_get_priv_flags(struct net_device *dev)
{
	struct sfc_port *port = netdev_priv(dev);

	return port->private_flags;
}

static int sfc_set_priv_flags(struct net_device *dev, u32 flags)
{
	struct sfc_port *port = netdev_priv(dev);

	port->private_flags = flags;
	return 0;
}

static int sfc_get_link_ksettings(struct net_device *dev, struct ethtool_link_ksettings *link)
{
	ethtool_link_ksettings_zero_link_mode(link, supported);
	ethtool_link_ksettings_add_link_mode(link, supported, 25000baseCR_Full);
	ethtool_link_ksettings_add_link_mode(link, supported, FIBRE);
	link->base.port = PORT_DA;
	link->base.autoneg = AUTONEG_DISABLE;
	link->base.duplex = netif_carrier_ok(dev) ? DUPLEX_FULL : DUPLEX_UNKNOWN;
	link->base.speed = netif_carrier_ok(dev) ? SPEED_25000 : SPEED_UNKNOWN;
	return 0;
}

static int sfc_get_ts_info(struct net_device *dev, struct ethtool_ts_info *info)
{
	struct sfc_port *port = netdev_priv(dev);

	info->so_timestamping = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE |
				SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_TX_HARDWARE |
				SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
	info->phc_index = ptp_clock_index(port->clock);
	info->tx_types = BIT(HWTSTAMP_TX_OFF) | BIT(HWTSTAMP_TX_ON);
	info->rx_filters = BIT(HWTSTAMP_FILTER_NONE) | BIT(HWTSTAMP_FILTER_ALL);
	return 0;
}

const struct ethtool_ops sfc_ethtool_ops = {
	.supported_coalesce_params = ETHTOOL_COALESCE_USECS | ETHTOOL_COALESCE_USE_ADAPTIVE_RX,
	.get_drvinfo = sfc_get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = sfc_get_link_ksettings,
	.get_ringparam = sfc_get_ringparam,
	.set_ringparam = sfc_set_ringparam,
	.get_channels = sfc_get_channels,
	.set_channels = sfc_set_channels,
	.get_coalesce = sfc_get_coalesce,
	.set_coalesce = sfc_set_coalesce,
	.get_sset_count = sfc_get_sset_count,
	.get_strings = sfc_get_strings,
	.get_priv_flags = sfc_get_priv_flags,
	.set_priv_flags = sfc_set_priv_flags,
	.get_ts_info = sfc_get_ts_info,
};
