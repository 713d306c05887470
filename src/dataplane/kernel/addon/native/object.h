// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

// ({path, reuseMaps: {name: map | pinned path}, mapSizes: {name: entries},
//   variables: {name: bytes}, programs: {name: {load?, type?, attachType?, name?}}, logLevel})
//   => Promise of {programs: [{name, section, handle, log}], maps: [{name, handle}]}
Napi::Value loadObject(const Napi::CallbackInfo &info);
