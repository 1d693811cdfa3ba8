// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stand-in for libonload.so: the first IP socket of a program gets it a stack, and fails with
 * ELIBACC if library and driver do not match. Traffic stays with the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "onload_ioctl.h"

#ifndef ONLOAD_VERSION
#error "build.sh names the release and its interface"
#endif

/* Where people and tools look for them in the file. */
const char onload_version_text[] = "Onload " ONLOAD_VERSION;
const char onload_uk_intf_ver[] = ONLOAD_UK_INTF_VER;

/* No driver: the kernel's sockets, as with the real library. */
static int take_stack(void)
{
	struct onload_interface interface;
	int file = open("/dev/onload", O_RDWR | O_CLOEXEC);

	if (file < 0)
		return 0;
	memcpy(interface.uk_intf_ver, onload_uk_intf_ver, sizeof(interface.uk_intf_ver));
	if (ioctl(file, ONLOAD_IOC_CHECK, &interface) || ioctl(file, ONLOAD_IOC_STACK)) {
		int saved = errno;

		close(file);
		errno = saved;
		return -1;
	}
	return 0;
}

int socket(int domain, int type, int protocol)
{
	static int taken;

	if ((domain == AF_INET || domain == AF_INET6) && !taken) {
		if (take_stack())
			return -1;
		taken = 1;
	}
	return syscall(SYS_socket, domain, type, protocol);
}
