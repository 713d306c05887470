// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

// Cookie of the network namespace of this process (Linux 5.14).
Napi::Value netnsCookie(const Napi::CallbackInfo &info);
