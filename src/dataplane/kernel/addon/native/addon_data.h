// SPDX-License-Identifier: Apache-2.0
// What the addon keeps for each JavaScript environment; there is no other global state but
// libbpf's print callback.
#pragma once

#include <napi.h>

struct AddonData {
	Napi::FunctionReference errorClass;
	Napi::FunctionReference handleClass;
	Napi::FunctionReference ringBufferClass;
};
