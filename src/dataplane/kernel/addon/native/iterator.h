// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

// (program) => Buffer: all that an iterator program (SEC("iter/…")) writes in one run
Napi::Value iteratorRead(const Napi::CallbackInfo &info);
