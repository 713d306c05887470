// SPDX-License-Identifier: Apache-2.0
/*
 * Does nothing, as process 1: of a pod, whose namespaces it holds open, and of a machine of the cluster with real nodes.
 * Processes that lose their parent become its children, so it waits for their ends.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void bury(int signal)
{
	(void)signal;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void end(int signal)
{
	(void)signal;
	_exit(0);
}

int main(void)
{
	struct sigaction on_child = {.sa_handler = bury, .sa_flags = SA_NOCLDSTOP};
	struct sigaction on_end = {.sa_handler = end};

	if (sigaction(SIGCHLD, &on_child, NULL) || sigaction(SIGTERM, &on_end, NULL) ||
	    sigaction(SIGINT, &on_end, NULL))
		return EXIT_FAILURE;
	for (;;)
		pause();
}
