// SPDX-License-Identifier: Apache-2.0
// What the kernel knows of an object: BPF_OBJ_GET_INFO_BY_FD.
#include "info.h"

#include <cerrno>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bytes.h"
#include "failure.h"
#include "handle.h"

namespace
{

// struct bpf_link_info with the member for tcx links, which libbpf 1.1's headers lack.
struct LinkInfo {
	uint32_t type;
	uint32_t id;
	uint32_t programId;
	uint32_t padding;
	uint32_t first;	 // tcx: ifindex, 0 once the device is gone; cgroup: the lower half of its number
	uint32_t second; // tcx: attach type; cgroup: the upper half
	uint8_t rest[64];
};

template <class Info> Info infoOf(const Resource &resource, Info info = {})
{
	uint32_t size = sizeof(info);
	check(bpf_obj_get_info_by_fd(resource.fd, &info, &size), "BPF_OBJ_GET_INFO_BY_FD", resource.name);
	return info;
}

std::string hex(const uint8_t *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	std::string text;
	for (size_t i = 0; i < size; i++) {
		text += digits[bytes[i] >> 4];
		text += digits[bytes[i] & 15];
	}
	return text;
}

} // namespace

Napi::Value mapInfo(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	auto kernel = infoOf<struct bpf_map_info>(*map);
	auto object = Napi::Object::New(info.Env());
	object["id"] = kernel.id;
	object["name"] = Napi::String::New(info.Env(), kernel.name);
	object["type"] = kernel.type;
	object["keySize"] = kernel.key_size;
	object["valueSize"] = kernel.value_size;
	object["maxEntries"] = kernel.max_entries;
	object["flags"] = kernel.map_flags;
	object["btfId"] = kernel.btf_id;
	return object;
}

Napi::Value programInfo(const Napi::CallbackInfo &info)
{
	auto env = info.Env();
	auto program = Handle::of(info[0], Kind::Program);
	std::vector<uint32_t> maps(64);
	struct bpf_prog_info kernel = {};
	for (;;) {
		struct bpf_prog_info wanted = {};
		wanted.nr_map_ids = static_cast<uint32_t>(maps.size());
		wanted.map_ids = reinterpret_cast<uint64_t>(maps.data());
		kernel = infoOf(*program, wanted);
		if (kernel.nr_map_ids <= maps.size())
			break;
		maps.resize(kernel.nr_map_ids);
	}
	auto object = Napi::Object::New(env);
	object["id"] = kernel.id;
	object["type"] = kernel.type;
	object["name"] = Napi::String::New(env, kernel.name);
	object["tag"] = Napi::String::New(env, hex(kernel.tag, sizeof(kernel.tag)));
	object["verifiedInstructions"] = kernel.verified_insns;
	object["runTimeNs"] = Napi::BigInt::New(env, uint64_t(kernel.run_time_ns));
	object["runCount"] = Napi::BigInt::New(env, uint64_t(kernel.run_cnt));
	object["recursionMisses"] = Napi::BigInt::New(env, uint64_t(kernel.recursion_misses));
	object["loadTimeNs"] = Napi::BigInt::New(env, uint64_t(kernel.load_time));
	object["translatedSize"] = kernel.xlated_prog_len;
	object["jitedSize"] = kernel.jited_prog_len;
	auto ids = Napi::Array::New(env, kernel.nr_map_ids);
	for (uint32_t i = 0; i < kernel.nr_map_ids; i++)
		ids[i] = maps[i];
	object["mapIds"] = ids;
	return object;
}

Napi::Value linkInfo(const Napi::CallbackInfo &info)
{
	auto link = Handle::of(info[0], Kind::Link);
	auto kernel = infoOf<LinkInfo>(*link);
	auto object = Napi::Object::New(info.Env());
	object["id"] = kernel.id;
	object["type"] = kernel.type;
	object["programId"] = kernel.programId;
	object["target"] = kernel.first;
	object["attachType"] = kernel.second;
	object["wideTarget"] =
	    Napi::BigInt::New(info.Env(), uint64_t(kernel.first) | uint64_t(kernel.second) << 32);
	return object;
}

Napi::Value mapBtf(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	auto kernel = infoOf<struct bpf_map_info>(*map);
	if (kernel.btf_id == 0)
		return info.Env().Undefined();
	int fd = check(bpf_btf_get_fd_by_id(kernel.btf_id), "BPF_BTF_GET_FD_BY_ID", map->name);
	Resource btf(fd, Kind::Other, map->name);
	auto size = infoOf<struct bpf_btf_info>(btf).btf_size;
	Bytes bytes(size);
	struct bpf_btf_info wanted = {};
	wanted.btf = reinterpret_cast<uint64_t>(bytes.data());
	wanted.btf_size = size;
	infoOf(btf, wanted);
	auto object = Napi::Object::New(info.Env());
	object["btf"] = toBuffer(info.Env(), std::move(bytes));
	object["keyTypeId"] = kernel.btf_key_type_id;
	object["valueTypeId"] = kernel.btf_value_type_id;
	return object;
}

Napi::Value possibleCpus(const Napi::CallbackInfo &info)
{
	return Napi::Number::New(info.Env(),
				 check(libbpf_num_possible_cpus(), "POSSIBLE_CPUS", "the system"));
}

Napi::Value enableStats(const Napi::CallbackInfo &info)
{
	int fd = check(bpf_enable_stats(BPF_STATS_RUN_TIME), "BPF_ENABLE_STATS", "run time");
	return Handle::create(info.Env(), std::make_shared<Resource>(fd, Kind::Other, "stats"));
}
