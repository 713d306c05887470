// SPDX-License-Identifier: Apache-2.0
// One failed kernel call: what C++ code throws and JavaScript receives as a KernelError.
#pragma once

#include <string>

#include <napi.h>

struct Failure {
	int error;	    // errno, positive
	std::string call;   // the bpf command, for example "BPF_MAP_UPDATE_ELEM"
	std::string object; // name of the map or program, or the path
	std::string detail; // one line; errno's own text when empty
	std::string log;    // the verifier's or libbpf's log, often empty
};

// Throws a Failure when `result`, a libbpf return value, is negative.
int check(int result, const char *call, const std::string &object);

// Keeps the JavaScript class that failures are made with (`setErrorClass` of the addon).
Napi::Value setErrorClass(const Napi::CallbackInfo &info);

Napi::Error toError(Napi::Env env, const Failure &failure);

// Turns Failures thrown by an exported function into JavaScript exceptions.
template <Napi::Value (*function)(const Napi::CallbackInfo &)>
Napi::Value guarded(const Napi::CallbackInfo &info)
{
	try {
		return function(info);
	} catch (const Failure &failure) {
		throw toError(info.Env(), failure);
	}
}
