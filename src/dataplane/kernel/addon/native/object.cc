// SPDX-License-Identifier: Apache-2.0
// Opens and loads one BPF object file through libbpf. Nothing of libbpf outlives the call: the
// loaded programs and maps are kept as descriptors of our own.
#include "object.h"

#include <cerrno>
#include <fcntl.h>
#include <map>
#include <memory>
#include <sys/mman.h>
#include <vector>

#include <bpf/libbpf.h>

#include "failure.h"
#include "handle.h"
#include "job.h"
#include "libbpf_log.h"
#include "object_setup.h"

namespace
{

// Room for the verifier's log of each program. Only the pages that are written cost memory.
constexpr size_t logSize = 16 << 20;

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

// Mapped, not allocated: malloc would keep such blocks, and clear them by writing.
class LogBuffer
{
      public:
	LogBuffer()
	{
		void *memory = mmap(nullptr, logSize, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (memory == MAP_FAILED)
			throw Failure{errno, "MMAP", "the verifier's log", "", ""};
		text = static_cast<char *>(memory);
	}
	~LogBuffer()
	{
		munmap(text, logSize);
	}
	LogBuffer(const LogBuffer &) = delete;
	LogBuffer &operator=(const LogBuffer &) = delete;

	char *text;
};

struct CloseObject {
	void operator()(struct bpf_object *object) const
	{
		bpf_object__close(object);
	}
};
using ObjectPtr = std::unique_ptr<struct bpf_object, CloseObject>;

// The text between two marks of libbpf's own messages, from the last place the first one occurs.
std::string between(const std::string &text, const std::string &before, const std::string &after)
{
	auto end = text.rfind(after);
	if (end == std::string::npos)
		return "";
	auto start = text.rfind(before, end);
	return start == std::string::npos ? ""
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
		std::string log = found == logs.end() ? "" : found->second.text;
		return Failure{error, "BPF_PROG_LOAD", program, complaint(log), log};
	}
	auto map = between(printed, "map '", "': failed to create");
	if (!map.empty())
		return Failure{error, "BPF_MAP_CREATE", map, "", printed};
	return Failure{error, "BPF_OBJECT_LOAD", request.path, complaint(printed), printed};
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
		auto &log = logs[bpf_program__name(program)];
		bpf_program__set_log_buf(program, log.text, logSize);
		bpf_program__set_log_level(program, request.logLevel);
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
		loaded.programs.push_back({name, bpf_program__section_name(program), logs[name].text,
					   duplicate(bpf_program__fd(program), Kind::Program, name)});
	}
	struct bpf_map *map;
	bpf_object__for_each_map(map, object.get())
	{
		if (bpf_map__fd(map) >= 0)
			loaded.maps.emplace_back(nameOf(map),
						 duplicate(bpf_map__fd(map), Kind::Map, nameOf(map)));
	}
	return loaded;
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
