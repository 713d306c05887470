// SPDX-License-Identifier: Apache-2.0
/*
 * One request to the agent, one answer; src/dataplane/cni/wire.ts is the other side.
 *
 * Request: the fields below, each ended by NUL, then the network configuration as it came, then the end of the stream.
 * Answer: empty lines while the agent works, one a second; then a line `STATUS LENGTH`, and so many bytes of JSON.
 * STATUS is the exit status, 0 or 1.
 */
#ifndef CUBEPLANE_CNI_EXCHANGE_H
#define CUBEPLANE_CNI_EXCHANGE_H

#include <stddef.h>

/* First field: another layout is another word. */
#define PROTOCOL   "cubeplane-cni/1"
#define MAX_ANSWER (1 << 20)
/* sizeof(sun_path) of unix(7), the NUL included. */
#define MAX_SOCKET_PATH 108

struct request {
	/* CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS, CNI_PATH. */
	const char *fields[6];
	const char *config;
	size_t config_length;
};

enum outcome {
	ANSWERED,
	AGENT_AWAY, /* nobody listens, or nobody answers in time, or the answer breaks off: it may be tried again */
	NOT_ALLOWED, /* the socket may not be opened */
	BAD_ANSWER,  /* what came is none of the agent's answers */
};

/*
 * Asks the agent at a socket. The answer, of `length` bytes, is in `answer`, which holds MAX_ANSWER; otherwise `why` says
 * what went wrong.
 */
enum outcome ask_agent(const char *path, const struct request *request, char *answer, size_t *length,
		       int *status, const char **why);

/* Milliseconds of a clock that only goes forward. */
long long now_ms(void);

#endif
