// SPDX-License-Identifier: Apache-2.0
#include "iterator.h"

#include <cerrno>
#include <string>
#include <unistd.h>

#include <bpf/bpf.h>

#include "failure.h"
#include "handle.h"

namespace
{

struct Descriptor {
	int fd;
	~Descriptor()
	{
		close(fd);
	}
};

} // namespace

Napi::Value iteratorRead(const Napi::CallbackInfo &info)
{
	auto program = Handle::of(info[0], Kind::Program);
	Descriptor link{check(bpf_link_create(program->fd, 0, BPF_TRACE_ITER, nullptr), "BPF_LINK_CREATE",
			      program->name)};
	Descriptor iterator{check(bpf_iter_create(link.fd), "BPF_ITER_CREATE", program->name)};
	std::string all;
	char part[4096];
	for (;;) {
		ssize_t length = read(iterator.fd, part, sizeof(part));
		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (length < 0)
			throw Failure{errno, "read", program->name, "", ""};
		if (length == 0)
			return Napi::Buffer<char>::Copy(info.Env(), all.data(), all.size());
		all.append(part, static_cast<size_t>(length));
	}
}
