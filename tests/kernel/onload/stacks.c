// SPDX-License-Identifier: GPL-2.0-only
/* Stacks in name only: they are listed, and hold this module. */
#include <linux/module.h>
#include <linux/slab.h>

#include "onload.h"

/* With the two of its open file, the five references of a real accelerated process. */
#define STACK_REFERENCES	3

LIST_HEAD(onload_orphans);
static unsigned int next_id;

/* A real stack outlives its process for about 44 s; here until this is set to 0. */
static bool linger;

static int set_linger(const char *text, const struct kernel_param *param)
{
	int rc = param_set_bool(text, param);

	if (!rc && !linger)
		onload_orphans_drop();
	return rc;
}

static const struct kernel_param_ops linger_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_linger,
	.get = param_get_bool,
};
module_param_cb(linger, &linger_ops, &linger, 0644);
MODULE_PARM_DESC(linger, "tests: stacks stay listed after their process\n(until set to 0)");

/* Under onload_files_lock. */
int onload_stack_create(struct onload_file *file)
{
	unsigned int i;

	if (file->has_stack)
		return -EALREADY;
	for (i = 0; i < STACK_REFERENCES; i++)
		__module_get(THIS_MODULE);
	file->has_stack = true;
	file->stack_id = next_id++;
	onload_cplane_on_demand();
	return 0;
}

/* Under onload_files_lock. */
void onload_stack_release(struct onload_file *file)
{
	struct onload_orphan *orphan;
	unsigned int i;

	if (!file->has_stack)
		return;
	orphan = linger ? kzalloc(sizeof(*orphan), GFP_KERNEL) : NULL;
	if (orphan) {
		orphan->stack_id = file->stack_id;
		list_add_tail(&orphan->list, &onload_orphans);
	}
	for (i = 0; i < STACK_REFERENCES; i++)
		module_put(THIS_MODULE);
}

void onload_orphans_drop(void)
{
	struct onload_orphan *orphan, *next;

	mutex_lock(&onload_files_lock);
	list_for_each_entry_safe(orphan, next, &onload_orphans, list) {
		list_del(&orphan->list);
		kfree(orphan);
	}
	mutex_unlock(&onload_files_lock);
}
