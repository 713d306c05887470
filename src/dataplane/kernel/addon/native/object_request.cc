// SPDX-License-Identifier: Apache-2.0
#include "object_request.h"

#include "handle.h"

namespace
{

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

} // namespace

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
			program.attachType = given.Get("attachType").As<Napi::Number>().Uint32Value();
	});
	return request;
}
