// SPDX-License-Identifier: Apache-2.0
// A BPF ring buffer read on the event loop: its epoll descriptor is watched by libuv, so no
// thread waits. Each turn delivers at most `maxPerTurn` records.
#pragma once

#include <memory>
#include <vector>

#include <napi.h>
#include <uv.h>

#include "bytes.h"
#include "resource.h"

struct ring_buffer;

class RingBuffer : public Napi::ObjectWrap<RingBuffer>
{
      public:
	// (map, maxPerTurn, (records: Buffer[]) => void)
	explicit RingBuffer(const Napi::CallbackInfo &info);
	~RingBuffer() override;
	static void define(Napi::Env env, Napi::Object exports);

      private:
	static int receive(void *context, void *data, size_t size);
	static void readable(uv_poll_t *poll, int status, int events);
	static void atExit(void *context);
	void deliver();
	void stop();
	Napi::Value close(const Napi::CallbackInfo &info);
	Napi::Value consume(const Napi::CallbackInfo &info);
	Napi::Value setReferenced(const Napi::CallbackInfo &info);
	Napi::Array take(Napi::Env env);

	Napi::Env environment;
	ResourcePtr map;
	struct ring_buffer *ring = nullptr;
	uv_poll_t *poll = nullptr; // freed by its close callback
	Napi::FunctionReference callback;
	Napi::AsyncContext asyncContext;
	std::vector<Bytes> records;
	size_t maxPerTurn;
};
