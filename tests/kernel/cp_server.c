// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stand-in for onload_cp_server: holds /dev/onload open twice and says that it is the server.
 * No signal is handled, so SIGTERM ends it at once. Unknown arguments are what the real one takes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "onload_ioctl.h"

#define NODE	"/dev/onload"

/* In the background before the node is opened, so that the driver sees the pid that stays. */
static int daemonise(void)
{
	switch (fork()) {
	case -1:
		return -1;
	case 0:
		return setsid() < 0 ? -1 : 0;
	default:
		_exit(0);
	}
}

/* The driver names the user in the environment; see cplane.c. */
static int become_user(void)
{
	const char *gid = getenv("ONLOAD_GID");
	const char *uid = getenv("ONLOAD_UID");

	if (gid && (setgroups(0, NULL) || setgid(strtoul(gid, NULL, 10))))
		return -1;
	return uid ? setuid(strtoul(uid, NULL, 10)) : 0;
}

int main(int argc, char **argv)
{
	int first, second, i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--daemonise") && daemonise()) {
			perror("cannot go into the background");
			return 1;
		}
	}
	if (become_user()) {
		perror("cannot change user");
		return 1;
	}
	first = open(NODE, O_RDWR | O_CLOEXEC);
	second = open(NODE, O_RDWR | O_CLOEXEC);
	if (first < 0 || second < 0 || ioctl(first, ONLOAD_IOC_CP_SERVER)) {
		perror(NODE);
		return 1;
	}
	for (;;)
		pause();
}
