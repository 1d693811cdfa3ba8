// SPDX-License-Identifier: GPL-2.0-only
/*
 * Starts the control-plane server. Nobody waits for it, and nobody starts it again: only loading
 * this module or making a stack does.
 */
#include <linux/highuid.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string_helpers.h>
#include <linux/umh.h>
#include <linux/workqueue.h>

#include "onload.h"

#define DEFAULT_PATH	"/sbin/onload_cp_server"
#define ARGUMENTS	"--no-ipv6 --daemonise --bootstrap"
#define MAX_TEXT	256

static char cplane_server_path[MAX_TEXT];
module_param_string(cplane_server_path, cplane_server_path, MAX_TEXT, 0644);
MODULE_PARM_DESC(cplane_server_path, "the server (" DEFAULT_PATH " if empty)");

static char cplane_server_params[MAX_TEXT];
module_param_string(cplane_server_params, cplane_server_params, MAX_TEXT, 0644);
MODULE_PARM_DESC(cplane_server_params, "further arguments of the server");

static bool cplane_spawn_server = true;
module_param(cplane_spawn_server, bool, 0644);
MODULE_PARM_DESC(cplane_spawn_server, "start the server when it is needed");

static unsigned int cplane_server_grace_timeout = 30;
module_param(cplane_server_grace_timeout, uint, 0644);
MODULE_PARM_DESC(cplane_server_grace_timeout,
		 "seconds the server outlives its last stack\n(not 0: started with the module)");

static unsigned int cplane_init_timeout = 10;
module_param(cplane_init_timeout, uint, 0644);
MODULE_PARM_DESC(cplane_init_timeout, "seconds a new stack waits for the server");

static unsigned int cplane_route_request_limit = 1000;
module_param(cplane_route_request_limit, uint, 0644);
MODULE_PARM_DESC(cplane_route_request_limit, "route requests in the queue");

static unsigned int cplane_route_request_timeout_ms = 200;
module_param(cplane_route_request_timeout_ms, uint, 0644);
MODULE_PARM_DESC(cplane_route_request_timeout_ms, "milliseconds a route request may take");

static unsigned int cplane_server_uid = DEFAULT_OVERFLOWUID;
module_param(cplane_server_uid, uint, 0644);
MODULE_PARM_DESC(cplane_server_uid, "user of the server");

static unsigned int cplane_server_gid = DEFAULT_OVERFLOWGID;
module_param(cplane_server_gid, uint, 0644);
MODULE_PARM_DESC(cplane_server_gid, "group of the server");

static int cplane_server_core_size = -1;
module_param(cplane_server_core_size, int, 0644);
MODULE_PARM_DESC(cplane_server_core_size, "size of the server's core file");

static bool cplane_use_prefsrc_as_local;
module_param(cplane_use_prefsrc_as_local, bool, 0644);
MODULE_PARM_DESC(cplane_use_prefsrc_as_local, "take preferred sources for local addresses");

static bool cplane_track_xdp;
module_param(cplane_track_xdp, bool, 0644);
MODULE_PARM_DESC(cplane_track_xdp, "follow XDP programs");

/* The command as one line, without the line ends that a shell's echo leaves in a parameter. */
static char *command_line(void)
{
	char *path, *extra, *line = NULL;

	kernel_param_lock(THIS_MODULE);
	path = kstrdup(cplane_server_path, GFP_KERNEL);
	extra = kstrdup(cplane_server_params, GFP_KERNEL);
	kernel_param_unlock(THIS_MODULE);
	if (path && extra) {
		char *trimmed = strim(path);

		line = kasprintf(GFP_KERNEL, "%s " ARGUMENTS " %s",
				 *trimmed ? trimmed : DEFAULT_PATH, strim(extra));
	}
	kfree(path);
	kfree(extra);
	return line;
}

/*
 * The server takes on the user itself: a kernel module cannot move a process's accounts from one
 * user to another. Without the host's modprobe rule nobody names a user, and it runs as root.
 */
static int run_server(char **argv)
{
	char uid[sizeof("ONLOAD_UID=4294967295")] = "", gid[sizeof("ONLOAD_GID=4294967295")] = "";
	char *environment[] = { "HOME=/", "PATH=/sbin:/usr/sbin:/bin:/usr/bin", gid, uid, NULL };

	if (cplane_server_gid != DEFAULT_OVERFLOWGID)
		snprintf(gid, sizeof(gid), "ONLOAD_GID=%u", cplane_server_gid);
	if (cplane_server_uid != DEFAULT_OVERFLOWUID)
		snprintf(uid, sizeof(uid), "ONLOAD_UID=%u", cplane_server_uid);
	return call_usermodehelper(argv[0], argv, environment, UMH_WAIT_EXEC);
}

/* In a work item, so that neither module load nor a new stack waits for the execution. */
static void spawn(struct work_struct *work)
{
	char *line = command_line();
	char **argv = line ? argv_split(GFP_KERNEL, line, NULL) : NULL;
	int rc;

	kfree(line);
	if (!argv)
		return;
	rc = run_server(argv);
	if (rc)
		pr_err("[onload] cannot start %s: %d\n", argv[0], rc);
	argv_free(argv);
}

static DECLARE_WORK(spawn_work, spawn);

void onload_cplane_bootstrap(void)
{
	if (cplane_spawn_server && cplane_server_grace_timeout)
		schedule_work(&spawn_work);
}

/* Under onload_files_lock. */
void onload_cplane_on_demand(void)
{
	struct onload_file *file;

	list_for_each_entry(file, &onload_files, list)
		if (file->is_cp_server)
			return;
	if (cplane_spawn_server)
		schedule_work(&spawn_work);
}

void onload_cplane_stop(void)
{
	cancel_work_sync(&spawn_work);
}
