// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "exchange.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* The agent says every second that it is at work, so these tell one that is away from one that is busy. */
#define CONNECT_MS 2000
#define SILENCE_MS 5000
/* Of the whole call. Runtimes give a sandbox two minutes and more. */
#define TOTAL_MS 60000
/* Longest line `STATUS LENGTH`. */
#define MAX_HEADER 32

long long now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* The socket, or -1 with errno. A backlog that is full is waited for. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	long long deadline = now_ms() + CONNECT_MS;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		int error = errno;
		if ((error != EAGAIN && error != EINTR) || now_ms() > deadline) {
			close(fd);
			errno = error == EAGAIN ? ETIMEDOUT : error;
			return -1;
		}
		usleep(20000);
	}
	return fd;
}

/* Waits for `events` until the deadline. */
static int is_ready(int fd, short events, long long deadline)
{
	for (;;) {
		long long left = deadline - now_ms();
		struct pollfd waiting = {.fd = fd, .events = events};
		int count = left <= 0 ? 0 : poll(&waiting, 1, (int)left);
		if (count >= 0 || errno != EINTR)
			return count > 0;
	}
}

static int send_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		if (!is_ready(fd, POLLOUT, now_ms() + SILENCE_MS))
			return 0;
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return 0;
		if (sent > 0) {
			bytes += sent;
			length -= (size_t)sent;
		}
	}
	return 1;
}

static int send_request(int fd, const struct request *request)
{
	if (!send_all(fd, PROTOCOL, sizeof(PROTOCOL)))
		return 0;
	for (size_t i = 0; i < sizeof(request->fields) / sizeof(request->fields[0]); i++)
		if (!send_all(fd, request->fields[i], strlen(request->fields[i]) + 1))
			return 0;
	return send_all(fd, request->config, request->config_length) && shutdown(fd, SHUT_WR) == 0;
}

/* Bytes read, at most `size`; 0 where the stream or the time has ended. */
static size_t receive(int fd, char *bytes, size_t size, long long deadline, const char **why)
{
	long long silence = now_ms() + SILENCE_MS;
	for (;;) {
		if (!is_ready(fd, POLLIN, silence < deadline ? silence : deadline)) {
			*why = "it did not answer in time";
			return 0;
		}
		ssize_t got = recv(fd, bytes, size, 0);
		if (got > 0)
			return (size_t)got;
		if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
			*why = "it ended before it had answered";
			return 0;
		}
	}
}

/* `STATUS LENGTH` without the end of the line. */
static int read_header(const char *line, int *status, size_t *length)
{
	char *end;
	if ((line[0] != '0' && line[0] != '1') || line[1] != ' ' || line[2] < '0' || line[2] > '9')
		return 0;
	unsigned long value = strtoul(line + 2, &end, 10);
	if (*end != '\0' || value == 0 || value > MAX_ANSWER)
		return 0;
	*status = line[0] - '0';
	*length = value;
	return 1;
}

static enum outcome receive_answer(int fd, char *answer, size_t *length, int *status, const char **why)
{
	long long deadline = now_ms() + TOTAL_MS;
	char header[MAX_HEADER];
	size_t used = 0;
	for (;;) {
		char one;
		if (receive(fd, &one, 1, deadline, why) == 0)
			return AGENT_AWAY;
		if (one != '\n') {
			header[used++] = one;
			if (used < sizeof(header))
				continue;
			*why = "its answer does not begin as one";
			return BAD_ANSWER;
		}
		if (used > 0)
			break;
	}
	header[used] = '\0';
	if (!read_header(header, status, length)) {
		*why = "its answer does not begin as one, or is too long";
		return BAD_ANSWER;
	}
	for (size_t have = 0; have < *length;) {
		size_t got = receive(fd, answer + have, *length - have, deadline, why);
		if (got == 0)
			return AGENT_AWAY;
		have += got;
	}
	return ANSWERED;
}

enum outcome ask_agent(const char *path, const struct request *request, char *answer, size_t *length,
		       int *status, const char **why)
{
	enum outcome outcome;
	int fd = connect_to(path);
	if (fd < 0) {
		*why = errno == ENOENT ? "there is no such socket" : strerror(errno);
		return errno == EACCES || errno == EPERM ? NOT_ALLOWED : AGENT_AWAY;
	}
	/* An agent that refuses the request closes before all of it is sent, and has answered nevertheless. */
	int sent = send_request(fd, request);
	outcome = receive_answer(fd, answer, length, status, why);
	if (!sent && outcome == AGENT_AWAY)
		*why = "it did not take the request";
	close(fd);
	return outcome;
}
