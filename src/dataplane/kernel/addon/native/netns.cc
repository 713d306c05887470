// SPDX-License-Identifier: Apache-2.0
// The number that bpf_get_netns_cookie() gives programs, which a socket tells user space.
#include "netns.h"

#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

#include "failure.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 // asm-generic/socket.h
#endif

Napi::Value netnsCookie(const Napi::CallbackInfo &info)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		throw Failure{errno, "socket", "netns cookie", "", ""};
	int result = getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
	int error = errno;
	close(fd);
	if (result < 0)
		throw Failure{error, "SO_NETNS_COOKIE", "this network namespace", "", ""};
	return Napi::BigInt::New(info.Env(), cookie);
}
