// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

// (handle, path) => undefined
Napi::Value pin(const Napi::CallbackInfo &info);
// (path, 'map' | 'program' | 'link') => Handle
Napi::Value openPinned(const Napi::CallbackInfo &info);
// ('map' | 'program' | 'link', id) => Handle
Napi::Value openById(const Napi::CallbackInfo &info);
// ('map' | 'program' | 'link') => every id in the kernel
Napi::Value allIds(const Napi::CallbackInfo &info);
