// SPDX-License-Identifier: Apache-2.0
/*
 * Request and response, as small as they get: one byte there and one back, blocking sockets, one flow.
 *
 *   pingpong server tcp|udp ADDRESS PORT            answers until it is ended; prints "ready" when it listens
 *   pingpong client tcp|udp|connect|first ADDRESS[,ADDRESS...] PORT COUNT
 *                                                   prints p50, p99 and mean in ns, and the datagrams that had no answer
 *                                                   within two seconds, one line. connect: each time from connect() on;
 *                                                   first: the first datagram of a new socket and its answer. These two
 *                                                   ask the addresses in turn
 *   pingpong sink ADDRESS PORT                      counts UDP datagrams until stdin closes, then prints the count;
 *                                                   one of one byte is answered and not counted
 *   pingpong blast ADDRESS PORT SECONDS             sends 64-byte frames (22 B of payload over IPv4) as fast as it can for
 *                                                   so many seconds of its processor time (fractions, too), after two
 *                                                   short questions and answers, which make it an established flow; prints
 *                                                   how many, and the ns of processor time they took
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "pingpong: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static long now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static int make_socket(const char *address, const char *port, int type, int listening)
{
	struct addrinfo hints = {.ai_socktype = type, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *info;
	int one = 1, fd;

	if (getaddrinfo(address, port, &hints, &info))
		die("address");
	fd = socket(info->ai_family, type, 0);
	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (listening ? bind(fd, info->ai_addr, info->ai_addrlen) : connect(fd, info->ai_addr, info->ai_addrlen))
		die(listening ? "bind" : "connect");
	if (listening && type == SOCK_STREAM && listen(fd, 512))
		die("listen");
	if (!listening && type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	freeaddrinfo(info);
	return fd;
}

static void serve_udp(int fd)
{
	char byte[64];
	struct sockaddr_storage peer;

	for (;;) {
		socklen_t length = sizeof peer;
		ssize_t got = recvfrom(fd, byte, sizeof byte, 0, (struct sockaddr *)&peer, &length);

		if (got >= 0)
			sendto(fd, byte, got, 0, (struct sockaddr *)&peer, length);
	}
}

static void serve_tcp(int listener)
{
	struct pollfd fds[1024] = {{.fd = listener, .events = POLLIN}};
	int count = 1, one = 1;

	for (;;) {
		poll(fds, count, -1);
		for (int i = count - 1; i > 0; i--) {
			char byte[64];
			ssize_t got;

			if (!fds[i].revents)
				continue;
			got = read(fds[i].fd, byte, sizeof byte);
			if (got > 0 && write(fds[i].fd, byte, got) == got)
				continue;
			close(fds[i].fd);
			fds[i] = fds[--count];
		}
		if (fds[0].revents && count < 1024) {
			int fd = accept(listener, NULL, NULL);

			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
		}
	}
}

static int by_value(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

static int split(char *list, char **parts, int most)
{
	int count = 0;

	for (char *part = strtok(list, ","); part && count < most; part = strtok(NULL, ","))
		parts[count++] = part;
	return count;
}

static void client(const char *kind, char *addresses, const char *port, long count)
{
	char *targets[64];
	int many = split(addresses, targets, 64);
	int connects = !strcmp(kind, "connect"), firsts = !strcmp(kind, "first");
	int type = firsts || !strcmp(kind, "udp") ? SOCK_DGRAM : SOCK_STREAM;
	struct timeval patience = {.tv_sec = 2};
	int fd = connects || firsts ? -1 : make_socket(targets[0], port, type, 0);
	long *times = malloc(count * sizeof *times), total = 0, lost = 0;
	char byte = 1;

	if (fd >= 0 && type == SOCK_DGRAM)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);

	for (long i = 0; i < count; i++) {
		struct linger reset = {1, 0};
		long begin = now();

		if (connects || firsts)
			fd = make_socket(targets[i % many], port, type, 0);
		if (firsts) { /* the socket itself is not what is measured */
			setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
			begin = now();
		}
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1) {
			if (type != SOCK_DGRAM || errno != EAGAIN)
				die("round trip");
			lost++;
		}
		times[i] = now() - begin;
		total += times[i];
		if (connects) /* no TIME-WAIT: a run of many connections would use up the ports */
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		if (connects || firsts)
			close(fd);
	}
	qsort(times, count, sizeof *times, by_value);
	printf("%ld %ld %ld %ld\n", times[count / 2], times[count * 99 / 100], total / count, lost);
}

static void sink(int fd)
{
	static char bytes[64][64];
	struct sockaddr_storage peer;
	struct iovec parts[64];
	struct mmsghdr messages[64];
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
	long count = 0;

	for (int i = 0; i < 64; i++) {
		parts[i] = (struct iovec){bytes[i], sizeof bytes[i]};
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
	}
	messages[0].msg_hdr.msg_name = &peer;
	for (;;) {
		int got;

		poll(fds, 2, -1);
		messages[0].msg_hdr.msg_namelen = sizeof peer;
		got = recvmmsg(fd, messages, 64, MSG_DONTWAIT, NULL);
		if (got == 1 && messages[0].msg_len == 1)
			sendto(fd, bytes[0], 1, 0, (struct sockaddr *)&peer, messages[0].msg_hdr.msg_namelen);
		else if (got > 0)
			count += got;
		else if (fds[1].revents)
			break;
	}
	printf("%ld\n", count);
}

static void blast(int fd, double seconds)
{
	char payload[22] = {0};
	struct iovec part = {payload, sizeof payload};
	struct mmsghdr messages[64];
	struct timeval patience = {.tv_sec = 2};
	long end, busy, sent = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	for (int i = 0; i < 2; i++)
		if (write(fd, payload, 1) != 1 || read(fd, payload, 1) != 1)
			die("question to the sink");
	for (int i = 0; i < 64; i++)
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
	busy = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	end = busy + (long)(seconds * 1e9);
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < end) {
		int did = sendmmsg(fd, messages, 64, 0);

		if (did > 0)
			sent += did;
	}
	printf("%ld %ld\n", sent, clock_ns(CLOCK_PROCESS_CPUTIME_ID) - busy);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (argc >= 5 && !strcmp(argv[1], "server")) {
		int udp = !strcmp(argv[2], "udp");
		int fd = make_socket(argv[3], argv[4], udp ? SOCK_DGRAM : SOCK_STREAM, 1);

		puts("ready");
		udp ? serve_udp(fd) : serve_tcp(fd);
	} else if (argc == 6 && !strcmp(argv[1], "client")) {
		client(argv[2], argv[3], argv[4], atol(argv[5]));
	} else if (argc == 4 && !strcmp(argv[1], "sink")) {
		int fd = make_socket(argv[2], argv[3], SOCK_DGRAM, 1);

		puts("ready");
		sink(fd);
	} else if (argc == 5 && !strcmp(argv[1], "blast")) {
		blast(make_socket(argv[2], argv[3], SOCK_DGRAM, 0), atof(argv[4]));
	} else {
		fprintf(stderr, "pingpong: see the head of its source for its arguments\n");
		return 2;
	}
	return 0;
}
