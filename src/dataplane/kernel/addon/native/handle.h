// SPDX-License-Identifier: Apache-2.0
// The JavaScript object that owns a Resource. close() releases it; the finalizer is a back-up.
#pragma once

#include <napi.h>

#include "resource.h"

class Handle : public Napi::ObjectWrap<Handle>
{
      public:
	explicit Handle(const Napi::CallbackInfo &info);
	static void define(Napi::Env env);
	static Napi::Object create(Napi::Env env, ResourcePtr resource);
	// The open resource behind a JavaScript value. Throws TypeError for anything that is not a
	// handle of that kind, Failure EBADF for a closed one.
	static ResourcePtr of(const Napi::Value &value, Kind kind);
	static ResourcePtr any(const Napi::Value &value);

      private:
	Napi::Value close(const Napi::CallbackInfo &info);
	Napi::Value fd(const Napi::CallbackInfo &info);
	Napi::Value isClosed(const Napi::CallbackInfo &info);
	Napi::Value describe(const Napi::CallbackInfo &info);

	ResourcePtr resource;
	std::string name; // kept for the message after close()
};
