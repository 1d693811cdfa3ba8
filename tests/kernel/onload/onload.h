/* SPDX-License-Identifier: GPL-2.0-only */
/* Stand-in for onload: device nodes, references, stacks in name, a control-plane server. */
#ifndef ONLOADD_ONLOAD_H
#define ONLOADD_ONLOAD_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/uidgid.h>

#include "onload_ioctl.h"

#ifndef ONLOAD_FAIL_INIT
#define ONLOAD_FAIL_INIT	false
#endif

/* One open /dev/onload or /dev/onload_epoll. */
struct onload_file {
	struct list_head list;
	struct pid *pid;
	kuid_t uid;
	bool is_cp_server;
	bool has_stack;
	unsigned int stack_id;
};

/* Of other modules, through which this one depends on them. */
unsigned int sfc_resource_nics(void);
int sfc_char_major(void);

/* What user library and driver must agree on. */
extern const char onload_uk_intf_ver[ONLOAD_UK_INTF_LEN + 1];

/* Guards both lists. */
extern struct mutex onload_files_lock;
extern struct list_head onload_files;

/* A stack whose process has gone. */
struct onload_orphan {
	struct list_head list;
	unsigned int stack_id;
};
extern struct list_head onload_orphans;

int onload_nodes_register(void);
void onload_nodes_unregister(void);

int onload_stack_create(struct onload_file *file);
void onload_stack_release(struct onload_file *file);
void onload_orphans_drop(void);

void onload_cplane_bootstrap(void);
void onload_cplane_on_demand(void);
void onload_cplane_stop(void);

int onload_proc_register(void);
void onload_proc_unregister(void);

#endif
