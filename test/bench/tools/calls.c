// SPDX-License-Identifier: Apache-2.0
// Calls a CNI plugin as a runtime does and takes the time, from fork to exit:
//
//   calls NETNS PLUGIN <configuration     prints nanoseconds, the exit status, and what the plugin printed
//
// NETNS is the path of the node's network namespace; the variables CNI_… are passed on.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static long long now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
	char output[1 << 16];
	size_t length = 0;
	int out[2], status;
	pid_t child;

	if (argc != 3) {
		fprintf(stderr, "calls NETNS PLUGIN\n");
		return 2;
	}
	int netns = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (netns < 0 || setns(netns, CLONE_NEWNET))
		fail(argv[1]);
	if (pipe2(out, O_CLOEXEC))
		fail("pipe");
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	char *arguments[] = {argv[2], NULL};
	long long begin = now();
	if (posix_spawn(&child, argv[2], &actions, NULL, arguments, environ))
		fail(argv[2]);
	close(out[1]);
	for (;;) {
		ssize_t count = read(out[0], output + length, sizeof(output) - length);
		if (count < 0)
			fail("read");
		if (count == 0)
			break;
		length += (size_t)count;
	}
	if (waitpid(child, &status, 0) != child)
		fail("waitpid");
	long long end = now();
	printf("%lld %d\n", end - begin, WIFEXITED(status) ? WEXITSTATUS(status) : 255);
	fwrite(output, 1, length, stdout);
	return 0;
}
