// SPDX-License-Identifier: Apache-2.0
/*
 * What calls on sockets cost the process that makes them. Both ends are here, in one thread, so that nobody is waked; only the
 * client's calls are timed, one by one.
 *
 *   sockets connect-tcp ADDRESS PORT BACKEND PORT COUNT   connect() of new sockets to ADDRESS, for which BACKEND accepts. The whole
 *                                                         handshake is in it, because loopback answers at once
 *   sockets connect-udp ADDRESS PORT BACKEND PORT COUNT   connect() of new sockets
 *   sockets datagram ADDRESS PORT BACKEND PORT COUNT      sendto() and recvfrom() of one socket that is not connected
 *
 * Prints the medians in ns, one line: of connect(), or of sendto() and recvfrom().
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct place {
	struct sockaddr_storage address;
	socklen_t length;
	int family;
};

static void die(const char *what)
{
	fprintf(stderr, "sockets: %s: %s\n", what, strerror(errno));
	exit(1);
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static struct place resolve(const char *address, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV}, *info;
	struct place place = {0};

	if (getaddrinfo(address, port, &hints, &info))
		die("address");
	memcpy(&place.address, info->ai_addr, info->ai_addrlen);
	place.length = info->ai_addrlen;
	place.family = info->ai_family;
	freeaddrinfo(info);
	return place;
}

static int open_socket(const struct place *place, int type)
{
	int fd = socket(place->family, type, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static int serve(const struct place *at, int type)
{
	int fd = open_socket(at, type), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (const struct sockaddr *)&at->address, at->length))
		die("bind");
	if (type == SOCK_STREAM && listen(fd, 16))
		die("listen");
	return fd;
}

static int by_value(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

static long median(long *times, long count)
{
	qsort(times, count, sizeof *times, by_value);
	return times[count / 2];
}

static void connects(int type, const struct place *to, const struct place *backend, long count)
{
	int server = serve(backend, type);
	long *times = malloc(count * sizeof *times);
	struct linger reset = {1, 0}; /* no TIME-WAIT: a run of many connections would use up the ports */

	for (long i = 0; i < count; i++) {
		int fd = open_socket(to, type);
		long begin = now();

		if (connect(fd, (const struct sockaddr *)&to->address, to->length))
			die("connect");
		times[i] = now() - begin;
		if (type == SOCK_STREAM) {
			int accepted = accept(server, NULL, NULL);

			if (accepted < 0)
				die("accept");
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
			close(fd);
			close(accepted);
		} else {
			close(fd);
		}
	}
	printf("%ld\n", median(times, count));
}

static void datagrams(const struct place *to, const struct place *backend, long count)
{
	int server = serve(backend, SOCK_DGRAM), fd = open_socket(to, SOCK_DGRAM);
	long *sends = malloc(count * sizeof *sends), *receives = malloc(count * sizeof *receives);
	struct sockaddr_storage peer;
	char byte = 1;

	for (long i = 0; i < count; i++) {
		socklen_t length = sizeof peer;
		long begin = now();

		if (sendto(fd, &byte, 1, 0, (const struct sockaddr *)&to->address, to->length) != 1)
			die("sendto");
		sends[i] = now() - begin;
		if (recvfrom(server, &byte, 1, 0, (struct sockaddr *)&peer, &length) != 1 ||
		    sendto(server, &byte, 1, 0, (struct sockaddr *)&peer, length) != 1)
			die("answer");
		length = sizeof peer;
		begin = now();
		if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&peer, &length) != 1)
			die("recvfrom");
		receives[i] = now() - begin;
		if (length != to->length || memcmp(&peer, &to->address, 8)) { /* family, port, IPv4 address */
			fprintf(stderr, "sockets: the answer came from somebody else\n");
			exit(1);
		}
	}
	printf("%ld %ld\n", median(sends, count), median(receives, count));
}

int main(int argc, char **argv)
{
	struct place to, backend;
	long count;

	if (argc != 7) {
		fprintf(stderr, "sockets: see the head of its source for its arguments\n");
		return 2;
	}
	to = resolve(argv[2], argv[3]);
	backend = resolve(argv[4], argv[5]);
	count = atol(argv[6]);
	if (!strcmp(argv[1], "datagram"))
		datagrams(&to, &backend, count);
	else
		connects(strcmp(argv[1], "connect-tcp") ? SOCK_DGRAM : SOCK_STREAM, &to, &backend, count);
	return 0;
}
