/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <napi.h>

/* malloc of this process, which may be long-lived and mostly idle. */
Napi::Value
limitMalloc(const Napi::CallbackInfo &info); // () => undefined; large blocks are mapped, few arenas
Napi::Value trimMalloc(const Napi::CallbackInfo &info); // () => boolean: pages were given back to the kernel
