// SPDX-License-Identifier: Apache-2.0
// Links: what keeps a program attached. tcx attach types are newer than libbpf 1.1's headers, so
// they come in as numbers, and the query's attributes are declared here.
#include "link.h"

#include <cerrno>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include <bpf/bpf.h>

#include "failure.h"
#include "handle.h"

namespace
{

// The `query` member of union bpf_attr since Linux 6.6 (include/uapi/linux/bpf.h).
struct QueryAttributes {
	uint32_t target;
	uint32_t attachType;
	uint32_t queryFlags;
	uint32_t attachFlags;
	uint64_t programIds __attribute__((aligned(8)));
	uint32_t count;
	uint32_t padding;
	uint64_t programAttachFlags __attribute__((aligned(8)));
	uint64_t linkIds __attribute__((aligned(8)));
	uint64_t linkAttachFlags __attribute__((aligned(8)));
	uint64_t revision;
};

Napi::Array toArray(Napi::Env env, const std::vector<uint32_t> &ids)
{
	auto array = Napi::Array::New(env, ids.size());
	for (uint32_t i = 0; i < ids.size(); i++)
		array[i] = ids[i];
	return array;
}

} // namespace

Napi::Value linkCreate(const Napi::CallbackInfo &info)
{
	auto program = Handle::of(info[0], Kind::Program);
	auto target = info[1].As<Napi::Number>().Int32Value();
	auto type = static_cast<enum bpf_attach_type>(info[2].As<Napi::Number>().Uint32Value());
	auto where = info[4].As<Napi::String>().Utf8Value();
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = info[3].As<Napi::Number>().Uint32Value(), );
	int fd = check(bpf_link_create(program->fd, target, type, &opts), "BPF_LINK_CREATE", where);
	return Handle::create(info.Env(), adopt(fd, Kind::Link, where));
}

Napi::Value linkUpdate(const Napi::CallbackInfo &info)
{
	auto link = Handle::of(info[0], Kind::Link);
	auto program = Handle::of(info[1], Kind::Program);
	check(bpf_link_update(link->fd, program->fd, nullptr), "BPF_LINK_UPDATE", link->name);
	return info.Env().Undefined();
}

Napi::Value linkDetach(const Napi::CallbackInfo &info)
{
	auto link = Handle::of(info[0], Kind::Link);
	check(bpf_link_detach(link->fd), "BPF_LINK_DETACH", link->name);
	return info.Env().Undefined();
}

Napi::Value attachedPrograms(const Napi::CallbackInfo &info)
{
	std::vector<uint32_t> programs(64), links(64);
	QueryAttributes attributes = {};
	for (;;) {
		attributes = {};
		attributes.target = info[0].As<Napi::Number>().Uint32Value();
		attributes.attachType = info[1].As<Napi::Number>().Uint32Value();
		attributes.programIds = reinterpret_cast<uint64_t>(programs.data());
		attributes.linkIds = reinterpret_cast<uint64_t>(links.data());
		attributes.count = static_cast<uint32_t>(programs.size());
		long result = syscall(SYS_bpf, BPF_PROG_QUERY, &attributes, sizeof(attributes));
		if (result == 0)
			break;
		if (errno != ENOSPC)
			throw Failure{errno, "BPF_PROG_QUERY", "target " + std::to_string(attributes.target),
				      "", ""};
		programs.resize(programs.size() * 2);
		links.resize(programs.size());
	}
	programs.resize(attributes.count);
	links.resize(attributes.count);
	auto answer = Napi::Object::New(info.Env());
	answer["programIds"] = toArray(info.Env(), programs);
	answer["linkIds"] = toArray(info.Env(), links);
	return answer;
}
