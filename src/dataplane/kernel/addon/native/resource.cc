// SPDX-License-Identifier: Apache-2.0
#include "resource.h"

#include <cerrno>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "failure.h"

Resource::Resource(int fd, Kind kind, std::string name) : fd(fd), kind(kind), name(std::move(name))
{
}

Resource::~Resource()
{
	close(fd);
}

bool Resource::perCpu() const
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

uint32_t Resource::valueStride() const
{
	if (!perCpu())
		return valueSize;
	return ((valueSize + 7) / 8 * 8) * static_cast<uint32_t>(libbpf_num_possible_cpus());
}

const char *kindName(Kind kind)
{
	switch (kind) {
	case Kind::Map:
		return "map";
	case Kind::Program:
		return "program";
	case Kind::Link:
		return "link";
	case Kind::Other:
		break;
	}
	return "handle";
}

ResourcePtr adopt(int fd, Kind kind, std::string name)
{
	auto resource = std::make_shared<Resource>(fd, kind, std::move(name));
	const char *call = "BPF_OBJ_GET_INFO_BY_FD";
	if (kind == Kind::Map) {
		struct bpf_map_info info = {};
		uint32_t size = sizeof(info);
		check(bpf_obj_get_info_by_fd(fd, &info, &size), call, resource->name);
		resource->type = info.type;
		resource->keySize = info.key_size;
		resource->valueSize = info.value_size;
		resource->maxEntries = info.max_entries;
		if (resource->name.empty())
			resource->name = info.name;
	} else if (kind == Kind::Program) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);
		check(bpf_obj_get_info_by_fd(fd, &info, &size), call, resource->name);
		resource->type = info.type;
		if (resource->name.empty())
			resource->name = info.name;
	} else if (kind == Kind::Link) {
		struct bpf_link_info info = {};
		uint32_t size = sizeof(info);
		check(bpf_obj_get_info_by_fd(fd, &info, &size), call, resource->name);
		resource->type = info.type;
	}
	return resource;
}
