// SPDX-License-Identifier: GPL-2.0-only
/* /dev/onload and /dev/onload_epoll. */
#include <linux/cred.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "onload.h"

DEFINE_MUTEX(onload_files_lock);
LIST_HEAD(onload_files);

static int open_node(struct inode *inode, struct file *file)
{
	struct onload_file *onload_file = kzalloc(sizeof(*onload_file), GFP_KERNEL);

	if (!onload_file)
		return -ENOMEM;
	onload_file->pid = get_pid(task_tgid(current));
	onload_file->uid = current_uid();
	mutex_lock(&onload_files_lock);
	list_add_tail(&onload_file->list, &onload_files);
	mutex_unlock(&onload_files_lock);
	file->private_data = onload_file;
	return 0;
}

static int release_node(struct inode *inode, struct file *file)
{
	struct onload_file *onload_file = file->private_data;

	mutex_lock(&onload_files_lock);
	list_del(&onload_file->list);
	onload_stack_release(onload_file);
	mutex_unlock(&onload_files_lock);
	put_pid(onload_file->pid);
	kfree(onload_file);
	return 0;
}

static long check_interface(const void __user *argument)
{
	struct onload_interface wanted;

	if (copy_from_user(&wanted, argument, sizeof(wanted)))
		return -EFAULT;
	if (!memcmp(wanted.uk_intf_ver, onload_uk_intf_ver, ONLOAD_UK_INTF_LEN))
		return 0;
	pr_err("[onload] user/driver version mismatch: user %.*s, driver %s; reload the drivers\n",
	       ONLOAD_UK_INTF_LEN, wanted.uk_intf_ver, onload_uk_intf_ver);
	return -ELIBACC;
}

static long node_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct onload_file *onload_file = file->private_data;
	long rc = 0;

	if (command == ONLOAD_IOC_CHECK)
		return check_interface((const void __user *)argument);
	mutex_lock(&onload_files_lock);
	if (command == ONLOAD_IOC_STACK)
		rc = onload_stack_create(onload_file);
	else if (command == ONLOAD_IOC_CP_SERVER)
		onload_file->is_cp_server = true;
	else
		rc = -ENOTTY;
	mutex_unlock(&onload_files_lock);
	return rc;
}

/* Every open file counts twice, as on the real module: for the number and for the operations. */
static const struct file_operations operations = {
	.owner = THIS_MODULE,
	.open = open_node,
	.release = release_node,
	.unlocked_ioctl = node_ioctl,
};

/* Each node has a class and a number of its own. */
struct node {
	const char *name;
	struct class *class;
	int major;
};

static struct node nodes[] = {
	{ .name = "onload" },
	{ .name = "onload_epoll" },
};

static char *node_mode(struct device *dev, umode_t *mode)
{
	if (mode)
		*mode = 0666;
	return NULL;
}

static int register_node(struct node *node)
{
	struct device *dev;
	int rc;

	node->class = class_create(THIS_MODULE, node->name);
	if (IS_ERR(node->class))
		return PTR_ERR(node->class);
	node->class->devnode = node_mode;
	node->major = register_chrdev(0, node->name, &operations);
	if (node->major < 0) {
		rc = node->major;
		goto class;
	}
	dev = device_create(node->class, NULL, MKDEV(node->major, 0), NULL, "%s", node->name);
	if (IS_ERR(dev)) {
		rc = PTR_ERR(dev);
		goto number;
	}
	return 0;

number:
	unregister_chrdev(node->major, node->name);
class:
	class_destroy(node->class);
	return rc;
}

static void unregister_node(struct node *node)
{
	device_destroy(node->class, MKDEV(node->major, 0));
	unregister_chrdev(node->major, node->name);
	class_destroy(node->class);
}

int onload_nodes_register(void)
{
	int rc = register_node(&nodes[0]);

	if (rc)
		return rc;
	rc = register_node(&nodes[1]);
	if (rc)
		unregister_node(&nodes[0]);
	return rc;
}

void onload_nodes_unregister(void)
{
	unregister_node(&nodes[1]);
	unregister_node(&nodes[0]);
}
