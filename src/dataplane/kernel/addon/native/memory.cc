// SPDX-License-Identifier: Apache-2.0
#include "memory.h"

#include <malloc.h>

Napi::Value limitMalloc(const Napi::CallbackInfo &info)
{
	// A fixed threshold: the one that glibc adapts lets large blocks leave holes in the heap.
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	mallopt(M_ARENA_MAX, 1);
	return info.Env().Undefined();
}

Napi::Value trimMalloc(const Napi::CallbackInfo &info)
{
	return Napi::Boolean::New(info.Env(), malloc_trim(0) != 0);
}
