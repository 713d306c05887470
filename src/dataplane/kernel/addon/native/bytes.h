// SPDX-License-Identifier: Apache-2.0
// Views of JavaScript byte arrays, checked for their size before any system call.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <napi.h>

#include "job.h"

using Bytes = std::vector<uint8_t>;

// The bytes of a Uint8Array or Buffer. Throws TypeError for anything else.
std::span<uint8_t> bytesOf(const Napi::Value &value, const char *what);

// The same, of exactly `size` bytes.
std::span<uint8_t> bytesOf(const Napi::Value &value, const std::string &what, size_t size);

Napi::Value toBuffer(Napi::Env env, Bytes &&bytes);

inline void keep(Kept &kept, const Napi::Value &value)
{
	if (value.IsObject())
		kept.push_back(Napi::Persistent(value.As<Napi::Object>()));
}
