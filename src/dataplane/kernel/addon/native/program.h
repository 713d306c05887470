// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

// (program, {dataIn?, ctxIn?, repeat, dataOutSize, ctxOutSize, flags}, async)
//   => {retval, duration, dataOut, ctxOut}
Napi::Value programTestRun(const Napi::CallbackInfo &info);
