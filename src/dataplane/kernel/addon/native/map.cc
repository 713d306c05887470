// SPDX-License-Identifier: Apache-2.0
// Single-element map operations. They run on the calling thread: each is one system call of
// about a microsecond.
#include "map.h"

#include <cerrno>

#include <bpf/bpf.h>

#include "bytes.h"
#include "failure.h"
#include "handle.h"

namespace
{

std::span<uint8_t> keyOf(const Resource &map, const Napi::Value &value)
{
	return bytesOf(value, "a key of map " + map.name, map.keySize);
}

} // namespace

Napi::Value mapCreate(const Napi::CallbackInfo &info)
{
	auto options = info[0].As<Napi::Object>();
	auto name = options.Get("name").As<Napi::String>().Utf8Value();
	auto number = [&](const char *field) { return options.Get(field).As<Napi::Number>().Uint32Value(); };
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = number("flags"), );
	if (options.Has("innerMap"))
		opts.inner_map_fd = Handle::of(options.Get("innerMap"), Kind::Map)->fd;
	int fd = check(bpf_map_create(static_cast<enum bpf_map_type>(number("type")), name.c_str(),
				      number("keySize"), number("valueSize"), number("maxEntries"), &opts),
		       "BPF_MAP_CREATE", name);
	return Handle::create(info.Env(), adopt(fd, Kind::Map, name));
}

Napi::Value mapLookup(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	auto key = keyOf(*map, info[1]);
	auto value = Napi::Buffer<uint8_t>::New(info.Env(), map->valueStride());
	int result = bpf_map_lookup_elem(map->fd, key.data(), value.Data());
	if (result == -ENOENT)
		return info.Env().Undefined();
	check(result, "BPF_MAP_LOOKUP_ELEM", map->name);
	return value;
}

Napi::Value mapUpdate(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	auto key = keyOf(*map, info[1]);
	auto value = bytesOf(info[2], "a value of map " + map->name, map->valueStride());
	auto flags = info[3].As<Napi::Number>().Uint32Value();
	check(bpf_map_update_elem(map->fd, key.data(), value.data(), flags), "BPF_MAP_UPDATE_ELEM",
	      map->name);
	return info.Env().Undefined();
}

Napi::Value mapSetHandle(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	auto key = keyOf(*map, info[1]);
	auto element = Handle::any(info[2]);
	uint32_t fd = static_cast<uint32_t>(element->fd);
	check(bpf_map_update_elem(map->fd, key.data(), &fd, BPF_ANY), "BPF_MAP_UPDATE_ELEM", map->name);
	return info.Env().Undefined();
}

Napi::Value mapDelete(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	auto key = keyOf(*map, info[1]);
	int result = bpf_map_delete_elem(map->fd, key.data());
	if (result != -ENOENT)
		check(result, "BPF_MAP_DELETE_ELEM", map->name);
	return Napi::Boolean::New(info.Env(), result == 0);
}

Napi::Value mapNextKey(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	const void *previous = info[1].IsUndefined() ? nullptr : keyOf(*map, info[1]).data();
	auto next = Napi::Buffer<uint8_t>::New(info.Env(), map->keySize);
	int result = bpf_map_get_next_key(map->fd, previous, next.Data());
	if (result == -ENOENT)
		return info.Env().Undefined();
	check(result, "BPF_MAP_GET_NEXT_KEY", map->name);
	return next;
}

Napi::Value mapFreeze(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	check(bpf_map_freeze(map->fd), "BPF_MAP_FREEZE", map->name);
	return info.Env().Undefined();
}
