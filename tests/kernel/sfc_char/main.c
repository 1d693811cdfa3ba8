// SPDX-License-Identifier: GPL-2.0-only
/* Stand-in for sfc_char: a device node that can be held open. */
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/module.h>

unsigned int sfc_resource_nics(void);

static int phys_mode_gid;
module_param(phys_mode_gid, int, 0644);
MODULE_PARM_DESC(phys_mode_gid, "group allowed physical buffers\n(-1 anyone, -2 nobody)");

static int mac_filters_gid;
module_param(mac_filters_gid, int, 0644);
MODULE_PARM_DESC(mac_filters_gid, "group allowed MAC filters\n(-1 anyone, -2 nobody)");

static struct class *class;
static int major;

/* The node's number; onload depends on this module through it. */
int sfc_char_major(void)
{
	return major;
}
EXPORT_SYMBOL_GPL(sfc_char_major);

/* Every open file counts twice, as on the real module: for the number and for the operations. */
static const struct file_operations operations = {
	.owner = THIS_MODULE,
};

static char *node_mode(struct device *dev, umode_t *mode)
{
	if (mode)
		*mode = 0666;
	return NULL;
}

static int __init char_init(void)
{
	struct device *node;
	int rc;

	class = class_create(THIS_MODULE, "sfc_char");
	if (IS_ERR(class))
		return PTR_ERR(class);
	class->devnode = node_mode;
	major = register_chrdev(0, "sfc_char", &operations);
	if (major < 0) {
		rc = major;
		goto class;
	}
	node = device_create(class, NULL, MKDEV(major, 0), NULL, "sfc_char");
	if (IS_ERR(node)) {
		rc = PTR_ERR(node);
		goto number;
	}
	pr_debug("%s: %u NICs\n", KBUILD_MODNAME, sfc_resource_nics());
	return 0;

number:
	unregister_chrdev(major, "sfc_char");
class:
	class_destroy(class);
	return rc;
}

static void __exit char_exit(void)
{
	device_destroy(class, MKDEV(major, 0));
	unregister_chrdev(major, "sfc_char");
	class_destroy(class);
}

module_init(char_init);
module_exit(char_exit);
MODULE_DESCRIPTION("onloadd tests: stand-in for Onload's character device");
MODULE_LICENSE("GPL");
