// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

// (program, ifindex | fd, attachType, flags, where) => Handle; `where` names the target in errors
Napi::Value linkCreate(const Napi::CallbackInfo &info);
// (link, program, where) => undefined
Napi::Value linkUpdate(const Napi::CallbackInfo &info);
// (link) => undefined
Napi::Value linkDetach(const Napi::CallbackInfo &info);
// (ifindex | fd, attachType) => {programIds, linkIds}
Napi::Value attachedPrograms(const Napi::CallbackInfo &info);
