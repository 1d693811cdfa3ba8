// SPDX-License-Identifier: GPL-2.0-only
/* The module onload. */
#include <linux/module.h>

#include "onload.h"

#define DEFAULT_MAX_PACKETS	0x80000

static int inject_kernel_gid;
module_param(inject_kernel_gid, int, 0644);
MODULE_PARM_DESC(inject_kernel_gid, "group that may give packets to the kernel");

static int oof_shared_keep_thresh = 100;
module_param(oof_shared_keep_thresh, int, 0644);
MODULE_PARM_DESC(oof_shared_keep_thresh, "sockets that keep a wildcard filter");

static int oof_shared_steal_thresh = 200;
module_param(oof_shared_steal_thresh, int, 0644);
MODULE_PARM_DESC(oof_shared_steal_thresh, "sockets that take a wildcard filter over");

static int oof_all_ports_required = 1;
module_param(oof_all_ports_required, int, 0644);
MODULE_PARM_DESC(oof_all_ports_required, "an error unless every port that is up\nhas its filters");

static int oof_use_all_local_ip_addresses;
module_param(oof_use_all_local_ip_addresses, int, 0644);
MODULE_PARM_DESC(oof_use_all_local_ip_addresses, "accept every local address");

static int phys_mode_gid = -2;
module_param(phys_mode_gid, int, 0644);
MODULE_PARM_DESC(phys_mode_gid, "group allowed physical buffers\n(-1 anyone, -2 nobody)");

static int scalable_filter_gid = -2;
module_param(scalable_filter_gid, int, 0644);
MODULE_PARM_DESC(scalable_filter_gid, "group allowed scalable filters\n(-2 needs CAP_NET_RAW)");

static bool oo_accelerate_veth;
module_param(oo_accelerate_veth, bool, 0644);
MODULE_PARM_DESC(oo_accelerate_veth, "accelerate over veth");

static int epoll_max_stacks = 16;
module_param(epoll_max_stacks, int, 0644);
MODULE_PARM_DESC(epoll_max_stacks, "stacks in one epoll object");

static int max_packets_per_stack = DEFAULT_MAX_PACKETS;
module_param(max_packets_per_stack, int, 0644);
MODULE_PARM_DESC(max_packets_per_stack, "packet buffers a stack may have");

static bool allow_insecure_setuid_sharing;
module_param(allow_insecure_setuid_sharing, bool, 0644);
MODULE_PARM_DESC(allow_insecure_setuid_sharing, "programs with setuid may share stacks");

static bool fail_init = ONLOAD_FAIL_INIT;
module_param(fail_init, bool, 0444);
MODULE_PARM_DESC(fail_init, "tests: refuse to load with EIO");

static int __init onload_init(void)
{
	int rc;

	if (fail_init) {
		pr_err("[onload] initialisation failed: fail_init is set\n");
		return -EIO;
	}
	rc = onload_proc_register();
	if (rc)
		return rc;
	rc = onload_nodes_register();
	if (rc) {
		onload_proc_unregister();
		return rc;
	}
	onload_cplane_bootstrap();
	pr_info("Onload %s: %u NICs\n", THIS_MODULE->version, sfc_resource_nics());
	return 0;
}

static void __exit onload_exit(void)
{
	onload_cplane_stop();
	onload_nodes_unregister();
	onload_proc_unregister();
	onload_orphans_drop();
}

module_init(onload_init);
module_exit(onload_exit);
MODULE_DESCRIPTION("onloadd tests: stand-in for Onload");
MODULE_LICENSE("GPL");
/* Replaced for every release by build.sh. */
MODULE_VERSION("0.0.0");
