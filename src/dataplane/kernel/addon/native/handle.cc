// SPDX-License-Identifier: Apache-2.0
#include "handle.h"

#include <cerrno>

#include "addon_data.h"
#include "failure.h"

namespace
{

constexpr napi_type_tag handleTag = {0x63756265706c616eULL, 0x6568616e646c6531ULL};

} // namespace

Handle::Handle(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Handle>(info)
{
	if (info.Length() != 1 || !info[0].IsExternal())
		throw Napi::TypeError::New(info.Env(), "a handle is made by the addon only");
	resource = std::move(*info[0].As<Napi::External<ResourcePtr>>().Data());
	name = resource->name;
	info.This().As<Napi::Object>().TypeTag(&handleTag);
}

void Handle::define(Napi::Env env)
{
	auto type = DefineClass(env, "Handle",
				{
				    InstanceMethod<&Handle::close>("close"),
				    InstanceAccessor<&Handle::fd>("fd"),
				    InstanceAccessor<&Handle::isClosed>("closed"),
				    InstanceAccessor<&Handle::describe>("shape"),
				});
	env.GetInstanceData<AddonData>()->handleClass = Napi::Persistent(type);
}

Napi::Object Handle::create(Napi::Env env, ResourcePtr resource)
{
	auto external = Napi::External<ResourcePtr>::New(env, &resource);
	return env.GetInstanceData<AddonData>()->handleClass.New({external});
}

ResourcePtr Handle::any(const Napi::Value &value)
{
	if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&handleTag))
		throw Napi::TypeError::New(value.Env(), "not a handle of this addon");
	auto *handle = Unwrap(value.As<Napi::Object>());
	if (!handle->resource)
		throw Failure{EBADF, "USE", handle->name, "it was closed before", ""};
	return handle->resource;
}

ResourcePtr Handle::of(const Napi::Value &value, Kind kind)
{
	auto resource = any(value);
	if (resource->kind != kind)
		throw Napi::TypeError::New(value.Env(), std::string("expected a ") + kindName(kind) +
							    ", got the " + kindName(resource->kind) + " " +
							    resource->name);
	return resource;
}

Napi::Value Handle::close(const Napi::CallbackInfo &info)
{
	resource.reset();
	return info.Env().Undefined();
}

Napi::Value Handle::fd(const Napi::CallbackInfo &info)
{
	return Napi::Number::New(info.Env(), resource ? resource->fd : -1);
}

Napi::Value Handle::isClosed(const Napi::CallbackInfo &info)
{
	return Napi::Boolean::New(info.Env(), !resource);
}

Napi::Value Handle::describe(const Napi::CallbackInfo &info)
{
	auto shape = Napi::Object::New(info.Env());
	shape["name"] = name;
	if (resource) {
		shape["type"] = resource->type;
		shape["keySize"] = resource->keySize;
		shape["valueSize"] = resource->valueSize;
		shape["valueStride"] = resource->valueStride();
		shape["maxEntries"] = resource->maxEntries;
		shape["perCpu"] = resource->perCpu();
	}
	return shape;
}
