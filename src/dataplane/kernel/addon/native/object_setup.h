// SPDX-License-Identifier: Apache-2.0
// Applies a request to an opened object before it is loaded.
#pragma once

#include <string>

#include "object_request.h"

struct bpf_map;
struct bpf_object;

// Internal maps are called after the object and their section ("router.rodata"); the section
// alone names them here (".rodata").
std::string nameOf(const struct bpf_map *map);

// Sizes and reuses maps, sets variables, chooses programs. Throws Failure for a name that the
// object does not have and for an existing map that does not fit.
void configure(struct bpf_object *object, const Request &request);
