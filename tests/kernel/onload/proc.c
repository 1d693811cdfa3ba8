// SPDX-License-Identifier: GPL-2.0-only
/* /proc/driver/onload. */
#include <linux/cred.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>

#include "onload.h"

/* Counters that follow the user id in a line of a stack; this module counts nothing. */
#define STACK_COUNTERS	24

static struct proc_dir_entry *directory;

static int show_version(struct seq_file *file, void *unused)
{
	seq_puts(file, "onload_product: Onload\n");
	seq_printf(file, "onload_version: %s\n", THIS_MODULE->version);
	seq_printf(file, "uk_intf_ver: %s\n", onload_uk_intf_ver);
	return 0;
}

static void show_stack(struct seq_file *file, unsigned int id, int pid, unsigned int uid)
{
	unsigned int i;

	seq_printf(file, "%u: %d %u", id, pid, uid);
	for (i = 0; i < STACK_COUNTERS; i++)
		seq_puts(file, " 0");
	seq_putc(file, '\n');
}

static int show_stacks_ul(struct seq_file *file, void *unused)
{
	struct onload_file *onload_file;

	mutex_lock(&onload_files_lock);
	list_for_each_entry(onload_file, &onload_files, list)
		if (onload_file->has_stack)
			show_stack(file, onload_file->stack_id, pid_vnr(onload_file->pid),
				   from_kuid_munged(current_user_ns(), onload_file->uid));
	mutex_unlock(&onload_files_lock);
	return 0;
}

static int show_stacks_k(struct seq_file *file, void *unused)
{
	struct onload_orphan *orphan;

	mutex_lock(&onload_files_lock);
	list_for_each_entry(orphan, &onload_orphans, list)
		show_stack(file, orphan->stack_id, 0, 0);
	mutex_unlock(&onload_files_lock);
	return 0;
}

static int show_stacks(struct seq_file *file, void *unused)
{
	show_stacks_ul(file, unused);
	return show_stacks_k(file, unused);
}

static int show_cp_server_pids(struct seq_file *file, void *unused)
{
	struct onload_file *onload_file;

	mutex_lock(&onload_files_lock);
	list_for_each_entry(onload_file, &onload_files, list)
		if (onload_file->is_cp_server)
			seq_printf(file, "%d\n", pid_vnr(onload_file->pid));
	mutex_unlock(&onload_files_lock);
	return 0;
}

static int show_filter_hwports(struct seq_file *file, void *unused)
{
	unsigned int i;

	for (i = 0; i < sfc_resource_nics(); i++)
		seq_printf(file, "hwport%u\n", i);
	return 0;
}

static int show_dlfilters(struct seq_file *file, void *unused)
{
	seq_printf(file, "sfc_char: major %d\n", sfc_char_major());
	return 0;
}

static int show_nothing(struct seq_file *file, void *unused)
{
	return 0;
}

static const struct {
	const char *name;
	int (*show)(struct seq_file *file, void *unused);
} files[] = {
	{ "version", show_version },
	{ "stacks", show_stacks },
	{ "stacks_ul", show_stacks_ul },
	{ "stacks_k", show_stacks_k },
	{ "cp_server_pids", show_cp_server_pids },
	{ "cp_stats", show_nothing },
	{ "dlfilters", show_dlfilters },
	{ "filter_hwports", show_filter_hwports },
	{ "filter_ipaddrs", show_nothing },
};

int onload_proc_register(void)
{
	unsigned int i;

	directory = proc_mkdir("driver/onload", NULL);
	if (!directory)
		return -ENOMEM;
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		if (!proc_create_single(files[i].name, 0444, directory, files[i].show)) {
			proc_remove(directory);
			return -ENOMEM;
		}
	}
	return 0;
}

void onload_proc_unregister(void)
{
	proc_remove(directory);
}
