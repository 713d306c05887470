// SPDX-License-Identifier: Apache-2.0
// What JavaScript asks of a load, copied so that a pool thread can work on it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <napi.h>

#include "bytes.h"
#include "resource.h"

struct ProgramOptions {
	std::optional<bool> load;
	std::optional<uint32_t> type;
	std::optional<uint32_t> attachType;
};

struct Request {
	std::string path;
	std::map<std::string, std::string> reusePins;
	std::map<std::string, ResourcePtr> reuseHandles;
	std::map<std::string, uint32_t> mapSizes;
	std::map<std::string, Bytes> variables;
	std::map<std::string, ProgramOptions> programs;
	uint32_t logLevel = 0;
};

// Throws TypeError for variables that are no bytes and maps that are no handles.
Request requestOf(const Napi::Object &options);
