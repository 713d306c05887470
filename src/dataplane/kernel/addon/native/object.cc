// SPDX-License-Identifier: Apache-2.0
// Opens and loads one BPF object file through libbpf. Nothing of libbpf outlives the call: the
// loaded programs and maps are kept as descriptors of our own.
#include "object.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "bytes.h"
#include "failure.h"
#include "handle.h"
#include "job.h"
#include "libbpf_log.h"

namespace
{

// Room for the verifier's log of each program. Only the pages that are written cost memory.
constexpr size_t logSize = 16 << 20;

struct ProgramOptions {
	std::optional<bool> load;
	std::optional<uint32_t> type;
	std::optional<uint32_t> attachType;
};

struct Request {
	std::string path;
	std::map<std::string, std::string> reusePins;
	std::map<std::string, ResourcePtr> reuseHandles;
	std::map<std::string, uint32_t> mapSizes;
	std::map<std::string, Bytes> variables;
	std::map<std::string, ProgramOptions> programs;
	uint32_t logLevel = 0;
};

struct LoadedProgram {
	std::string name;
	std::string section;
	std::string log;
	ResourcePtr resource;
};

struct Loaded {
	std::vector<LoadedProgram> programs;
	std::vector<std::pair<std::string, ResourcePtr>> maps;
};

struct FreeLog {
	void operator()(char *log) const
	{
		free(log);
	}
};
using LogBuffer = std::unique_ptr<char, FreeLog>;

struct CloseObject {
	void operator()(struct bpf_object *object) const
	{
		bpf_object__close(object);
	}
};
using ObjectPtr = std::unique_ptr<struct bpf_object, CloseObject>;

// Internal maps are called after the object and their section ("router.rodata"); the section
// alone names them here (".rodata").
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

struct bpf_map *findMap(struct bpf_object *object, const std::string &wanted,
			const Request &request)
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
					      "variable " + name + " has " +
						  std::to_string(variable->size) + " bytes, not " +
						  std::to_string(bytes.size()),
					      ""};
			size_t size = 0;
			auto *data = static_cast<uint8_t *>(
			    const_cast<void *>(bpf_map__initial_value(map, &size)));
			if (!data || variable->offset + bytes.size() > size)
				throw Failure{EINVAL, "BPF_OBJECT_OPEN", request.path,
					      "variable " + name + " has no initial value", ""};
			std::memcpy(data + variable->offset, bytes.data(), bytes.size());
			return;
		}
	}
	throw Failure{ENOENT, "BPF_OBJECT_OPEN", request.path, "it has no global variable " + name,
		      ""};
}

// The text between two marks of libbpf's own messages, from the last place the first one occurs.
std::string between(const std::string &text, const std::string &before, const std::string &after)
{
	auto end = text.rfind(after);
	if (end == std::string::npos)
		return "";
	auto start = text.rfind(before, end);
	return start == std::string::npos
		   ? ""
		   : text.substr(start + before.size(), end - start - before.size());
}

// The verifier's complaint is the last line before its statistics.
std::string complaint(const std::string &log)
{
	auto end = log.rfind("\nprocessed ");
	auto body = log.substr(0, end);
	while (body.ends_with('\n'))
		body.pop_back();
	return body.substr(body.rfind('\n') + 1);
}

Failure loadFailure(int error, const Request &request, const std::string &printed,
		    const std::map<std::string, LogBuffer> &logs)
{
	auto program = between(printed, "prog '", "': BPF program load failed");
	if (!program.empty()) {
		auto found = logs.find(program);
		std::string log = found == logs.end() ? "" : found->second.get();
		return Failure{error, "BPF_PROG_LOAD", program, complaint(log), log};
	}
	auto map = between(printed, "map '", "': failed to create");
	if (!map.empty())
		return Failure{error, "BPF_MAP_CREATE", map, "", printed};
	return Failure{error, "BPF_OBJECT_LOAD", request.path, complaint(printed), printed};
}

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
			throw Failure{ENOENT, "BPF_OBJECT_OPEN", request.path,
				      "it has no program " + name, ""};
		if (options.load)
			check(bpf_program__set_autoload(program, *options.load), "BPF_PROG_LOAD",
			      name);
		if (options.type)
			check(bpf_program__set_type(program,
						    static_cast<enum bpf_prog_type>(*options.type)),
			      "BPF_PROG_LOAD", name);
		if (options.attachType)
			check(bpf_program__set_expected_attach_type(
				  program, static_cast<enum bpf_attach_type>(*options.attachType)),
			      "BPF_PROG_LOAD", name);
	}
}

ResourcePtr duplicate(int fd, Kind kind, const std::string &name)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		throw Failure{errno, "FCNTL_DUPFD", name, "", ""};
	return adopt(copy, kind, name);
}

Loaded load(const Request &request)
{
	LibbpfLog printed;
	ObjectPtr object(bpf_object__open_file(request.path.c_str(), nullptr));
	if (!object)
		throw Failure{errno, "BPF_OBJECT_OPEN", request.path, "", printed.text};
	configure(object.get(), request);

	std::map<std::string, LogBuffer> logs;
	struct bpf_program *program;
	bpf_object__for_each_program(program, object.get())
	{
		LogBuffer log(static_cast<char *>(calloc(1, logSize)));
		if (!log)
			throw Failure{ENOMEM, "BPF_PROG_LOAD", bpf_program__name(program), "", ""};
		bpf_program__set_log_buf(program, log.get(), logSize);
		bpf_program__set_log_level(program, request.logLevel);
		logs[bpf_program__name(program)] = std::move(log);
	}
	int result = bpf_object__load(object.get());
	if (result < 0)
		throw loadFailure(-result, request, printed.text, logs);

	Loaded loaded;
	bpf_object__for_each_program(program, object.get())
	{
		if (bpf_program__fd(program) < 0)
			continue;
		std::string name = bpf_program__name(program);
		loaded.programs.push_back(
		    {name, bpf_program__section_name(program), logs[name].get(),
		     duplicate(bpf_program__fd(program), Kind::Program, name)});
	}
	struct bpf_map *map;
	bpf_object__for_each_map(map, object.get())
	{
		if (bpf_map__fd(map) >= 0)
			loaded.maps.emplace_back(
			    nameOf(map), duplicate(bpf_map__fd(map), Kind::Map, nameOf(map)));
	}
	return loaded;
}

template <class Use> void forEach(const Napi::Object &options, const char *field, Use use)
{
	auto value = options.Get(field);
	if (value.IsUndefined())
		return;
	auto object = value.As<Napi::Object>();
	auto names = object.GetPropertyNames();
	for (uint32_t i = 0; i < names.Length(); i++) {
		auto name = names.Get(i).As<Napi::String>();
		use(name.Utf8Value(), object.Get(name));
	}
}

Request requestOf(const Napi::Object &options)
{
	Request request;
	request.path = options.Get("path").As<Napi::String>().Utf8Value();
	request.logLevel = options.Get("logLevel").As<Napi::Number>().Uint32Value();
	forEach(options, "reuseMaps", [&](const std::string &name, const Napi::Value &value) {
		if (value.IsString())
			request.reusePins[name] = value.As<Napi::String>().Utf8Value();
		else
			request.reuseHandles[name] = Handle::of(value, Kind::Map);
	});
	forEach(options, "mapSizes", [&](const std::string &name, const Napi::Value &value) {
		request.mapSizes[name] = value.As<Napi::Number>().Uint32Value();
	});
	forEach(options, "variables", [&](const std::string &name, const Napi::Value &value) {
		auto bytes = bytesOf(value, "a variable");
		request.variables[name] = Bytes(bytes.begin(), bytes.end());
	});
	forEach(options, "programs", [&](const std::string &name, const Napi::Value &value) {
		auto given = value.As<Napi::Object>();
		auto &program = request.programs[name];
		if (given.Has("load"))
			program.load = given.Get("load").ToBoolean();
		if (given.Has("type"))
			program.type = given.Get("type").As<Napi::Number>().Uint32Value();
		if (given.Has("attachType"))
			program.attachType =
			    given.Get("attachType").As<Napi::Number>().Uint32Value();
	});
	return request;
}

} // namespace

Napi::Value loadObject(const Napi::CallbackInfo &info)
{
	auto request = requestOf(info[0].As<Napi::Object>());
	return run<Loaded>(
	    info.Env(), true, [request = std::move(request)] { return load(request); },
	    [](Napi::Env env, Loaded &loaded) -> Napi::Value {
		    auto programs = Napi::Array::New(env, loaded.programs.size());
		    for (uint32_t i = 0; i < loaded.programs.size(); i++) {
			    auto &from = loaded.programs[i];
			    auto program = Napi::Object::New(env);
			    program["name"] = from.name;
			    program["section"] = from.section;
			    program["log"] = from.log;
			    program["handle"] = Handle::create(env, from.resource);
			    programs[i] = program;
		    }
		    auto maps = Napi::Array::New(env, loaded.maps.size());
		    for (uint32_t i = 0; i < loaded.maps.size(); i++) {
			    auto map = Napi::Object::New(env);
			    map["name"] = loaded.maps[i].first;
			    map["handle"] = Handle::create(env, loaded.maps[i].second);
			    maps[i] = map;
		    }
		    auto object = Napi::Object::New(env);
		    object["programs"] = programs;
		    object["maps"] = maps;
		    return object;
	    });
}
