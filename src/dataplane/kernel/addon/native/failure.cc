// SPDX-License-Identifier: Apache-2.0
#include "failure.h"

#include <cstring>

#include "addon_data.h"

namespace
{

// The kernel's own number for "not supported", which libc has no name for.
constexpr int kernelNotSupported = 524;

std::string nameOf(int error)
{
	if (error == kernelNotSupported)
		return "ENOTSUPP";
	const char *name = strerrorname_np(error);
	return name ? name : std::to_string(error);
}

std::string textOf(int error)
{
	if (error == kernelNotSupported)
		return "operation is not supported";
	const char *text = strerrordesc_np(error);
	return text ? text : "unknown error";
}

} // namespace

int check(int result, const char *call, const std::string &object)
{
	if (result < 0)
		throw Failure{-result, call, object, "", ""};
	return result;
}

Napi::Value setErrorClass(const Napi::CallbackInfo &info)
{
	auto *data = info.Env().GetInstanceData<AddonData>();
	data->errorClass = Napi::Persistent(info[0].As<Napi::Function>());
	return info.Env().Undefined();
}

Napi::Error toError(Napi::Env env, const Failure &failure)
{
	auto fields = Napi::Object::New(env);
	fields["errno"] = failure.error;
	fields["code"] = nameOf(failure.error);
	fields["call"] = failure.call;
	fields["object"] = failure.object;
	fields["detail"] = failure.detail.empty() ? textOf(failure.error) : failure.detail;
	fields["log"] = failure.log;
	auto *data = env.GetInstanceData<AddonData>();
	return data->errorClass.New({fields}).As<Napi::Error>();
}
