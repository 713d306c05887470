// SPDX-License-Identifier: Apache-2.0
// A kernel object held by a file descriptor. Shared between the JavaScript handle and the
// operations in flight, so that close() during one cannot make it hit a reused descriptor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

enum class Kind { Map, Program, Link, Other };

struct Resource {
	Resource(int fd, Kind kind, std::string name);
	~Resource();
	Resource(const Resource &) = delete;
	Resource &operator=(const Resource &) = delete;

	bool perCpu() const;
	// Bytes of one value as user space sees it: per-CPU maps hold one slot a possible CPU,
	// each rounded up to 8 bytes.
	uint32_t valueStride() const;

	int fd;
	Kind kind;
	std::string name;
	uint32_t type = 0; // BPF_MAP_TYPE_*, BPF_PROG_TYPE_* or BPF_LINK_TYPE_*
	uint32_t keySize = 0;
	uint32_t valueSize = 0;
	uint32_t maxEntries = 0;
};

using ResourcePtr = std::shared_ptr<Resource>;

// Takes ownership of `fd` and reads from the kernel what it refers to. `name` is what errors
// call it; when empty, the kernel's name. Throws Failure (and closes fd).
ResourcePtr adopt(int fd, Kind kind, std::string name);

const char *kindName(Kind kind);
