// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

Napi::Value mapInfo(const Napi::CallbackInfo &info);	 // (map) => object
Napi::Value programInfo(const Napi::CallbackInfo &info); // (program) => object
Napi::Value linkInfo(const Napi::CallbackInfo &info);	 // (link) => object
// (map) => {btf, keyTypeId, valueTypeId} | undefined
Napi::Value mapBtf(const Napi::CallbackInfo &info);
Napi::Value possibleCpus(const Napi::CallbackInfo &info); // () => number
Napi::Value enableStats(const Napi::CallbackInfo &info);  // () => Handle; closing it disables
