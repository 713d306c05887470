// SPDX-License-Identifier: Apache-2.0
/*
 * The CNI plugin (https://www.cni.dev/docs/spec/): hands the runtime's request to the node's agent and prints its
 * answer. It knows nothing of networks, so that a node needs no other plugin than this one at an upgrade of the agent.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exchange.h"
#include "json.h"

#define DEFAULT_SOCKET "/run/cubeplane/cni.sock"
#define MAX_CONFIG     (1 << 20)
/* Of one CNI_ variable. */
#define MAX_VARIABLE 16384
#define STDIN_MS     5000
#define NEWEST	     "1.1.0"
#define SUPPORTED    "[\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]"

/* Error codes of the specification. */
enum {
	INVALID_ENVIRONMENT = 4,
	IO_FAILURE = 5,
	DECODE_FAILURE = 6,
	INVALID_CONFIG = 7,
	TRY_AGAIN_LATER = 11,
	NOT_AVAILABLE = 50,
};

static char config[MAX_CONFIG + 1];
static char answer[MAX_ANSWER];
static char version[16] = NEWEST;
static const char *const commands[] = {"ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"};
static const char *const variables[] = {"CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS",
					"CNI_IFNAME",  "CNI_ARGS",	  "CNI_PATH"};

static void write_error(FILE *out, int code, const char *message, const char *details)
{
	fputs("{\"cniVersion\":", out);
	json_write_string(out, version);
	fprintf(out, ",\"code\":%d,\"msg\":", code);
	json_write_string(out, message);
	fputs(",\"details\":", out);
	json_write_string(out, details);
	fputs("}\n", out);
}

static int fail(int code, const char *message, const char *details)
{
	write_error(stdout, code, message, details);
	return 1;
}

/* All of standard input, or a negative number: -1 for one that is too long, -2 for one that cannot be read in time. */
static long read_config(void)
{
	size_t used = 0;
	long long deadline = now_ms() + STDIN_MS;
	for (;;) {
		struct pollfd waiting = {.fd = STDIN_FILENO, .events = POLLIN};
		long long left = deadline - now_ms();
		if (left <= 0 || poll(&waiting, 1, (int)left) == 0)
			return -2;
		ssize_t got = read(STDIN_FILENO, config + used, sizeof(config) - used);
		if (got < 0 && errno != EINTR && errno != EAGAIN)
			return -2;
		if (got == 0)
			return (long)used;
		if (got > 0)
			used += (size_t)got;
		if (used > MAX_CONFIG)
			return -1;
	}
}

/* The version that the runtime speaks, for answers that the plugin makes itself: digits and dots only. */
static enum json_member take_version(size_t length)
{
	char value[sizeof(version)];
	enum json_member found = json_string_member(config, length, "cniVersion", value, sizeof(value));
	if (found == JSON_FOUND && value[0] != '\0' && value[strspn(value, "0123456789.")] == '\0')
		strcpy(version, value);
	return found;
}

static int answer_version(size_t length)
{
	if (take_version(length) == JSON_MALFORMED && length > 0)
		return fail(DECODE_FAILURE, "standard input is no JSON object",
			    "VERSION reads {\"cniVersion\": \"1.1.0\"} there");
	printf("{\"cniVersion\":\"%s\",\"supportedVersions\":%s}\n", version, SUPPORTED);
	return 0;
}

static int hand_over(const char *path, const struct request *request)
{
	char message[MAX_SOCKET_PATH + 200];
	const char *why = "";
	size_t length = 0;
	int status = 1;
	int is_status = strcmp(request->fields[0], "STATUS") == 0;
	switch (ask_agent(path, request, answer, &length, &status, &why)) {
	case ANSWERED:
		fwrite(answer, 1, length, stdout);
		return status;
	case NOT_ALLOWED:
		snprintf(message, sizeof(message), "the socket %s of the agent cannot be opened: %s", path,
			 why);
		return fail(IO_FAILURE, message, "run the plugin as root");
	case BAD_ANSWER:
		snprintf(message, sizeof(message), "the agent at %s cannot be understood: %s", path, why);
		return fail(IO_FAILURE, message, "install plugin and agent of the same release");
	case AGENT_AWAY:
		break;
	}
	snprintf(message, sizeof(message), "the agent of this node does not answer at %s: %s", path, why);
	return fail(
	    is_status ? NOT_AVAILABLE : TRY_AGAIN_LATER, message,
	    "start it (cubeplane up --cni), or correct the field socket of the network configuration; "
	    "pods that have a network keep it meanwhile");
}

static int run(void)
{
	struct request request = {.config = config};
	char path[MAX_SOCKET_PATH] = DEFAULT_SOCKET;
	long length = read_config();
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *value = getenv(variables[i]);
		request.fields[i] = value == NULL ? "" : value;
		if (strlen(request.fields[i]) > MAX_VARIABLE) {
			char message[64];
			snprintf(message, sizeof(message), "%s is longer than %d bytes", variables[i],
				 MAX_VARIABLE);
			return fail(INVALID_ENVIRONMENT, message, "this is no call of a container runtime");
		}
	}
	if (length == -1)
		return fail(DECODE_FAILURE, "the network configuration is longer than 1 MiB",
			    "make it shorter: standard input holds one plugin's configuration");
	if (length < 0)
		return fail(IO_FAILURE, "standard input does not end",
			    "the runtime writes the network configuration there and closes it");
	size_t size = (size_t)length;
	size_t known = 0;
	while (known < sizeof(commands) / sizeof(commands[0]) &&
	       strcmp(commands[known], request.fields[0]) != 0)
		known++;
	if (strcmp(request.fields[0], "VERSION") == 0)
		return answer_version(size);
	enum json_member found = take_version(size);
	if (known == sizeof(commands) / sizeof(commands[0]))
		return fail(INVALID_ENVIRONMENT,
			    "CNI_COMMAND is none of ADD, DEL, CHECK, STATUS, GC, VERSION",
			    "this is a CNI plugin: container runtimes call it");
	if (found == JSON_MALFORMED)
		return fail(DECODE_FAILURE, "the network configuration on standard input is no JSON object",
			    "the runtime writes it there: look at the files in /etc/cni/net.d");
	found = json_string_member(config, size, "socket", path, sizeof(path));
	if (found == JSON_UNUSABLE || (found == JSON_FOUND && path[0] != '/'))
		return fail(
		    INVALID_CONFIG, "socket: no absolute path of at most 107 bytes",
		    "give the path that the agent was started with, or leave it out: " DEFAULT_SOCKET);
	request.config_length = size;
	return hand_over(path, &request);
}

int main(void)
{
	int status = run();
	/* A result that did not reach the runtime is none. */
	return fflush(stdout) == 0 ? status : 1;
}
