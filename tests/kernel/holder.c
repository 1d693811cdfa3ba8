// SPDX-License-Identifier: GPL-2.0-only
/*
 * Somebody who uses Onload: opens /dev/onload, says `held` and waits to be killed. With --stack
 * it also makes a stack, with --epoll or --char it opens that node instead.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "onload_ioctl.h"

int main(int argc, char **argv)
{
	const char *node = "/dev/onload";
	int file, i, stack = 0;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--stack")) {
			stack = 1;
		} else if (!strcmp(argv[i], "--epoll")) {
			node = "/dev/onload_epoll";
		} else if (!strcmp(argv[i], "--char")) {
			node = "/dev/sfc_char";
		} else {
			fprintf(stderr, "usage: %s [--stack] [--epoll | --char]\n", argv[0]);
			return 2;
		}
	}
	file = open(node, O_RDWR | O_CLOEXEC);
	if (file < 0 || (stack && ioctl(file, ONLOAD_IOC_STACK))) {
		perror(node);
		return 1;
	}
	puts("held");
	fflush(stdout);
	for (;;)
		pause();
}
