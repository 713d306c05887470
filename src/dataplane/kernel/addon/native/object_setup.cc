// SPDX-License-Identifier: Apache-2.0
#include "object_setup.h"

#include <cerrno>
#include <cstring>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "failure.h"

std::string nameOf(const struct bpf_map *map)
{
	std::string name = bpf_map__name(map);
	if (!bpf_map__is_internal(map))
		return name;
	for (const char *section : {".rodata", ".data", ".bss", ".kconfig"})
		if (auto at = name.find(section); at != std::string::npos)
			return name.substr(at);
	return name;
}

namespace
{

struct bpf_map *findMap(struct bpf_object *object, const std::string &wanted, const Request &request)
{
	struct bpf_map *map;
	std::string known;
	bpf_object__for_each_map(map, object)
	{
		if (nameOf(map) == wanted)
			return map;
		known += (known.empty() ? "" : ", ") + nameOf(map);
	}
	throw Failure{ENOENT, "BPF_OBJECT_OPEN", request.path,
		      "it has no map " + wanted + "; it has " + known, ""};
}

void reuse(struct bpf_map *map, const Resource &existing)
{
	auto name = nameOf(map);
	auto differs = [&](const char *what, uint32_t theirs, uint32_t ours) {
		if (theirs != ours)
			throw Failure{EINVAL, "BPF_MAP_REUSE", name,
				      std::string("the existing map has ") + what + " " +
					  std::to_string(theirs) + ", the object wants " +
					  std::to_string(ours),
				      ""};
	};
	differs("type", existing.type, bpf_map__type(map));
	differs("a key size of", existing.keySize, bpf_map__key_size(map));
	differs("a value size of", existing.valueSize, bpf_map__value_size(map));
	check(bpf_map__reuse_fd(map, existing.fd), "BPF_MAP_REUSE", name);
}

void setVariable(struct bpf_object *object, const Request &request, const std::string &name,
		 const Bytes &bytes)
{
	struct btf *btf = bpf_object__btf(object);
	if (!btf)
		throw Failure{EINVAL, "BPF_OBJECT_OPEN", request.path, "it has no BTF", ""};
	struct bpf_map *map;
	bpf_object__for_each_map(map, object)
	{
		if (!bpf_map__is_internal(map))
			continue;
		int id = btf__find_by_name_kind(btf, nameOf(map).c_str(), BTF_KIND_DATASEC);
		if (id < 0)
			continue;
		const struct btf_type *section = btf__type_by_id(btf, static_cast<uint32_t>(id));
		const struct btf_var_secinfo *variable = btf_var_secinfos(section);
		for (int i = 0; i < btf_vlen(section); i++, variable++) {
			const struct btf_type *type = btf__type_by_id(btf, variable->type);
			if (name != btf__name_by_offset(btf, type->name_off))
				continue;
			if (bytes.size() != variable->size)
				throw Failure{EINVAL, "BPF_OBJECT_OPEN", request.path,
					      "variable " + name + " has " + std::to_string(variable->size) +
						  " bytes, not " + std::to_string(bytes.size()),
					      ""};
			size_t size = 0;
			auto *data =
			    static_cast<uint8_t *>(const_cast<void *>(bpf_map__initial_value(map, &size)));
			if (!data || variable->offset + bytes.size() > size)
				throw Failure{EINVAL, "BPF_OBJECT_OPEN", request.path,
					      "variable " + name + " has no initial value", ""};
			std::memcpy(data + variable->offset, bytes.data(), bytes.size());
			return;
		}
	}
	throw Failure{ENOENT, "BPF_OBJECT_OPEN", request.path, "it has no global variable " + name, ""};
}

} // namespace

void configure(struct bpf_object *object, const Request &request)
{
	for (const auto &[name, entries] : request.mapSizes)
		check(bpf_map__set_max_entries(findMap(object, name, request), entries),
		      "BPF_MAP_SET_MAX_ENTRIES", name);
	for (const auto &[name, resource] : request.reuseHandles)
		reuse(findMap(object, name, request), *resource);
	for (const auto &[name, path] : request.reusePins) {
		auto *map = findMap(object, name, request);
		int fd = check(bpf_obj_get(path.c_str()), "BPF_OBJ_GET", path);
		reuse(map, *adopt(fd, Kind::Map, name));
	}
	for (const auto &[name, bytes] : request.variables)
		setVariable(object, request, name, bytes);
	for (const auto &[name, options] : request.programs) {
		auto *program = bpf_object__find_program_by_name(object, name.c_str());
		if (!program)
			throw Failure{ENOENT, "BPF_OBJECT_OPEN", request.path, "it has no program " + name,
				      ""};
		if (options.load)
			check(bpf_program__set_autoload(program, *options.load), "BPF_PROG_LOAD", name);
		if (options.type)
			check(bpf_program__set_type(program, static_cast<enum bpf_prog_type>(*options.type)),
			      "BPF_PROG_LOAD", name);
		if (options.attachType)
			check(bpf_program__set_expected_attach_type(
				  program, static_cast<enum bpf_attach_type>(*options.attachType)),
			      "BPF_PROG_LOAD", name);
	}
}
