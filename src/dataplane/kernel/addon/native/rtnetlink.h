// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

// rtnetlink(netns, files, messages): see native.ts.
Napi::Value rtnetlink(const Napi::CallbackInfo &info);
