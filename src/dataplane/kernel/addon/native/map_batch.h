// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

// (map, async) => {keys, values, count}
Napi::Value mapDump(const Napi::CallbackInfo &info);
// (map, keys, values, flags, async) => entries written
Napi::Value mapUpdateBatch(const Napi::CallbackInfo &info);
// (map, keys, values, flags, async) => entries written; those that are there or find no room are passed over
Napi::Value mapFill(const Napi::CallbackInfo &info);
// (map, keys, async) => entries deleted; absent keys are passed over
Napi::Value mapDeleteBatch(const Napi::CallbackInfo &info);
