// SPDX-License-Identifier: Apache-2.0
// Kernel objects by path in a BPF file system and by id.
#include "pin.h"

#include <cerrno>
#include <climits>
#include <unistd.h>

#include <bpf/bpf.h>

#include "failure.h"
#include "handle.h"

namespace
{

Kind kindOf(const Napi::Value &value)
{
	auto text = value.As<Napi::String>().Utf8Value();
	if (text == "map")
		return Kind::Map;
	if (text == "program")
		return Kind::Program;
	if (text == "link")
		return Kind::Link;
	throw Napi::TypeError::New(value.Env(), "no such kind of kernel object: " + text);
}

// What a BPF descriptor refers to: the kernel fills an info struct for the object it finds,
// whatever the caller expected.
Kind kindOf(int fd)
{
	char target[PATH_MAX] = {};
	auto path = "/proc/self/fd/" + std::to_string(fd);
	if (readlink(path.c_str(), target, sizeof(target) - 1) < 0)
		return Kind::Other;
	std::string text = target;
	if (text.ends_with("bpf-map"))
		return Kind::Map;
	if (text.ends_with("bpf-prog"))
		return Kind::Program;
	if (text.ends_with("bpf_link") || text.ends_with("bpf-link"))
		return Kind::Link;
	return Kind::Other;
}

} // namespace

Napi::Value pin(const Napi::CallbackInfo &info)
{
	auto resource = Handle::any(info[0]);
	auto path = info[1].As<Napi::String>().Utf8Value();
	check(bpf_obj_pin(resource->fd, path.c_str()), "BPF_OBJ_PIN", path);
	return info.Env().Undefined();
}

Napi::Value openPinned(const Napi::CallbackInfo &info)
{
	auto path = info[0].As<Napi::String>().Utf8Value();
	auto kind = kindOf(info[1]);
	int fd = check(bpf_obj_get(path.c_str()), "BPF_OBJ_GET", path);
	auto found = kindOf(fd);
	if (found != kind) {
		close(fd);
		throw Failure{
		    EINVAL, "BPF_OBJ_GET", path,
		    std::string("a ") + kindName(found) + " is pinned there, not a " + kindName(kind), ""};
	}
	return Handle::create(info.Env(), adopt(fd, kind, kind == Kind::Link ? path : ""));
}

Napi::Value openById(const Napi::CallbackInfo &info)
{
	auto kind = kindOf(info[0]);
	auto id = info[1].As<Napi::Number>().Uint32Value();
	auto object = std::string(kindName(kind)) + " id " + std::to_string(id);
	int fd = -1;
	if (kind == Kind::Map)
		fd = check(bpf_map_get_fd_by_id(id), "BPF_MAP_GET_FD_BY_ID", object);
	else if (kind == Kind::Program)
		fd = check(bpf_prog_get_fd_by_id(id), "BPF_PROG_GET_FD_BY_ID", object);
	else
		fd = check(bpf_link_get_fd_by_id(id), "BPF_LINK_GET_FD_BY_ID", object);
	return Handle::create(info.Env(), adopt(fd, kind, kind == Kind::Link ? object : ""));
}

Napi::Value allIds(const Napi::CallbackInfo &info)
{
	auto kind = kindOf(info[0]);
	auto next = kind == Kind::Map	    ? bpf_map_get_next_id
		    : kind == Kind::Program ? bpf_prog_get_next_id
					    : bpf_link_get_next_id;
	auto ids = Napi::Array::New(info.Env());
	uint32_t id = 0;
	for (;;) {
		int result = next(id, &id);
		if (result == -ENOENT)
			return ids;
		check(result, "BPF_OBJ_GET_NEXT_ID", kindName(kind));
		ids[ids.Length()] = id;
	}
}
