// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

// ({name, type, keySize, valueSize, maxEntries, flags, innerMap?}) => Handle
Napi::Value mapCreate(const Napi::CallbackInfo &info);
// (map, key) => Buffer | undefined
Napi::Value mapLookup(const Napi::CallbackInfo &info);
// (map, key, value, flags) => undefined
Napi::Value mapUpdate(const Napi::CallbackInfo &info);
// (map, key, handle) => undefined; for maps of programs and of maps
Napi::Value mapSetHandle(const Napi::CallbackInfo &info);
// (map, key) => whether it was there
Napi::Value mapDelete(const Napi::CallbackInfo &info);
// (map, key | undefined) => Buffer | undefined
Napi::Value mapNextKey(const Napi::CallbackInfo &info);
// (map) => undefined
Napi::Value mapFreeze(const Napi::CallbackInfo &info);
