// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registration of any interface: /sys/module/sfc_resource/afxdp. A registration holds the
 * interface, not this module, and ends only when this module goes.
 */
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/sysfs.h>

#include "sfc_resource.h"

#define MAX_VIS	128

static struct kobject *directory;

/* Splits "IFNAME[ N_VIS]\n"; the line must be a whole one. */
static int parse_line(const char *text, size_t len, char *name)
{
	char line[64], *words, *word;
	unsigned int vis;

	if (!len || len >= sizeof(line) || text[len - 1] != '\n')
		return -EINVAL;
	strscpy(line, text, sizeof(line));
	words = strim(line);
	word = strsep(&words, " ");
	if (!*word || strscpy(name, word, IFNAMSIZ) < 0)
		return -EINVAL;
	if (words && (kstrtouint(skip_spaces(words), 10, &vis) || !vis || vis > MAX_VIS))
		return -EINVAL;
	return 0;
}

/* Under nics_lock. */
static struct nic *nic_of(const struct net_device *netdev)
{
	struct nic *nic;

	list_for_each_entry(nic, &nics, list)
		if (nic->netdev == netdev)
			return nic;
	return NULL;
}

static ssize_t register_store(struct kobject *object, struct kobj_attribute *attribute,
			      const char *text, size_t len)
{
	struct net_device *netdev;
	char name[IFNAMSIZ];
	int rc = parse_line(text, len, name);

	if (rc)
		return rc;
	netdev = dev_get_by_name(current->nsproxy->net_ns, name);
	if (!netdev)
		return -ENOENT;
	mutex_lock(&nics_lock);
	rc = nic_of(netdev) ? -EALREADY : PTR_ERR_OR_ZERO(nic_add(netdev, NIC_AF_XDP));
	mutex_unlock(&nics_lock);
	if (rc) {
		dev_put(netdev);
		return rc;
	}
	pr_info("%s: %s is registered for AF_XDP\n", KBUILD_MODNAME, name);
	return len;
}

static ssize_t unregister_store(struct kobject *object, struct kobj_attribute *attribute,
				const char *text, size_t len)
{
	struct net_device *netdev;
	char name[IFNAMSIZ];
	int rc = parse_line(text, len, name);

	if (rc)
		return rc;
	netdev = dev_get_by_name(current->nsproxy->net_ns, name);
	if (!netdev)
		return -ENOENT;
	dev_put(netdev);
	return -EBUSY;
}

static struct kobj_attribute register_attribute = __ATTR(register, 0600, NULL, register_store);
static struct kobj_attribute unregister_attribute =
	__ATTR(unregister, 0600, NULL, unregister_store);

static const struct attribute *attributes[] = {
	&register_attribute.attr,
	&unregister_attribute.attr,
	NULL
};

int afxdp_register(void)
{
	int rc;

	directory = kobject_create_and_add("afxdp", &THIS_MODULE->mkobj.kobj);
	if (!directory)
		return -ENOMEM;
	rc = sysfs_create_files(directory, attributes);
	if (rc)
		kobject_put(directory);
	return rc;
}

void afxdp_unregister(void)
{
	struct nic *nic, *next;

	kobject_put(directory);
	mutex_lock(&nics_lock);
	list_for_each_entry_safe(nic, next, &nics, list) {
		struct net_device *netdev = nic->netdev;

		if (nic->kind != NIC_AF_XDP)
			continue;
		nic_remove(nic);
		dev_put(netdev);
	}
	mutex_unlock(&nics_lock);
}
