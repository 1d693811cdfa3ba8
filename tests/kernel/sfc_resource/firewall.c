// SPDX-License-Identifier: GPL-2.0-only
/* /proc/driver/sfc_resource: rules are kept and shown, no packet is looked at. */
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "sfc_resource.h"

#define MAX_LINE	256

struct rule {
	struct list_head list;
	char text[MAX_LINE];
};

/* Under nics_lock. */
static struct nic *nic_named(const char *name)
{
	struct nic *nic;

	list_for_each_entry(nic, &nics, list)
		if (!strcmp(nic->netdev->name, name))
			return nic;
	return NULL;
}

/* Under nics_lock. */
void firewall_forget_rules(struct nic *nic)
{
	struct rule *rule, *next;

	list_for_each_entry_safe(rule, next, &nic->rules, list) {
		list_del(&rule->list);
		kfree(rule);
	}
}

static int show_rules(struct seq_file *file, void *unused)
{
	struct nic *nic = file->private;
	unsigned int number = 0;
	struct rule *rule;

	/*
	 * Not under nics_lock: the directory is removed under it, which waits for readers.
	 */
	rcu_read_lock();
	list_for_each_entry_rcu(rule, &nic->rules, list)
		seq_printf(file, "if=%s rule=%u %s\n", nic->name, number++, rule->text);
	rcu_read_unlock();
	return 0;
}

/* Under nics_lock. */
int firewall_add_nic(struct nic *nic)
{
	struct proc_dir_entry *dir = proc_mkdir(nic->name, resource_dir);

	if (!dir)
		return -ENOMEM;
	if (!proc_create_single_data("firewall_rules", 0444, dir, show_rules, nic)) {
		proc_remove(dir);
		return -ENOMEM;
	}
	return 0;
}

/* Takes a line apart: "if=NAME" and the rest. */
static char *split_line(char *line, char **name)
{
	char *rest = strim(line);

	*name = strsep(&rest, " ");
	if (strncmp(*name, "if=", 3))
		return ERR_PTR(-EINVAL);
	*name += 3;
	return rest;
}

static int add_rule(char *line)
{
	char *name, *text = split_line(line, &name);
	struct rule *rule;
	struct nic *nic;
	int rc = 0;

	if (IS_ERR_OR_NULL(text) || !strstr(text, "action="))
		return -EINVAL;
	rule = kzalloc(sizeof(*rule), GFP_KERNEL);
	if (!rule)
		return -ENOMEM;
	strscpy(rule->text, text, sizeof(rule->text));
	mutex_lock(&nics_lock);
	nic = nic_named(name);
	if (nic) {
		list_add_tail_rcu(&rule->list, &nic->rules);
	} else {
		kfree(rule);
		rc = -EINVAL;
	}
	mutex_unlock(&nics_lock);
	return rc;
}

/* All rules of an interface, or the one named by its number. */
static int delete_rule(char *line)
{
	char *name, *text = split_line(line, &name);
	unsigned int number = 0, position = 0;
	struct rule *rule, *next;
	bool all = !text;
	struct nic *nic;
	int rc = -EINVAL;

	if (IS_ERR(text))
		return PTR_ERR(text);
	if (!all && (strncmp(text, "rule=", 5) || kstrtouint(text + 5, 10, &number)))
		return -EINVAL;
	mutex_lock(&nics_lock);
	nic = nic_named(name);
	if (nic) {
		list_for_each_entry_safe(rule, next, &nic->rules, list) {
			if (!all && position++ != number)
				continue;
			list_del_rcu(&rule->list);
			synchronize_rcu();
			kfree(rule);
			rc = 0;
		}
	}
	mutex_unlock(&nics_lock);
	return all && nic ? 0 : rc;
}

static ssize_t write_line(const char __user *from, size_t len, int (*act)(char *line))
{
	char *line;
	int rc;

	if (len >= MAX_LINE)
		return -EINVAL;
	line = memdup_user_nul(from, len);
	if (IS_ERR(line))
		return PTR_ERR(line);
	rc = act(line);
	kfree(line);
	return rc ? rc : len;
}

static ssize_t write_add(struct file *file, const char __user *from, size_t len, loff_t *at)
{
	return write_line(from, len, add_rule);
}

static ssize_t write_del(struct file *file, const char __user *from, size_t len, loff_t *at)
{
	return write_line(from, len, delete_rule);
}

static const struct proc_ops add_ops = { .proc_write = write_add };
static const struct proc_ops del_ops = { .proc_write = write_del };

int firewall_register(void)
{
	if (!proc_create("firewall_add", 0200, resource_dir, &add_ops) ||
	    !proc_create("firewall_del", 0200, resource_dir, &del_ops))
		return -ENOMEM;
	return 0;
}
