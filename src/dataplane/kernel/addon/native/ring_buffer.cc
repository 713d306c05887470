// SPDX-License-Identifier: Apache-2.0
#include "ring_buffer.h"

#include <cerrno>

#include <bpf/libbpf.h>

#include "addon_data.h"
#include "failure.h"
#include "handle.h"

namespace
{

// Returned by the record callback to end a turn; libbpf has consumed the record by then.
constexpr int turnIsOver = -ECANCELED;

} // namespace

RingBuffer::RingBuffer(const Napi::CallbackInfo &info)
    : Napi::ObjectWrap<RingBuffer>(info), environment(info.Env()),
      asyncContext(info.Env(), "cubeplane:ringbuf")
{
	try {
		map = Handle::of(info[0], Kind::Map);
		maxPerTurn = info[1].As<Napi::Number>().Uint32Value();
		callback = Napi::Persistent(info[2].As<Napi::Function>());
		ring = ring_buffer__new(map->fd, receive, this, nullptr);
		if (!ring)
			throw Failure{errno, "RING_BUFFER_OPEN", map->name, "", ""};
	} catch (const Failure &failure) {
		throw toError(info.Env(), failure);
	}
	uv_loop_t *loop = nullptr;
	napi_get_uv_event_loop(info.Env(), &loop);
	poll = new uv_poll_t;
	poll->data = this;
	uv_poll_init(loop, poll, ring_buffer__epoll_fd(ring));
	uv_poll_start(poll, UV_READABLE, readable);
	napi_add_env_cleanup_hook(environment, atExit, this);
	Ref(); // kept while open: close() is what ends it
}

RingBuffer::~RingBuffer()
{
	stop();
}

void RingBuffer::define(Napi::Env env, Napi::Object exports)
{
	auto type = DefineClass(env, "RingBuffer",
				{
				    InstanceMethod<&RingBuffer::close>("close"),
				    InstanceMethod<&RingBuffer::consume>("consume"),
				    InstanceMethod<&RingBuffer::setReferenced>("setReferenced"),
				});
	env.GetInstanceData<AddonData>()->ringBufferClass = Napi::Persistent(type);
	exports["RingBuffer"] = type;
}

int RingBuffer::receive(void *context, void *data, size_t size)
{
	auto *self = static_cast<RingBuffer *>(context);
	auto *bytes = static_cast<uint8_t *>(data);
	self->records.emplace_back(bytes, bytes + size);
	return self->records.size() >= self->maxPerTurn ? turnIsOver : 0;
}

Napi::Array RingBuffer::take(Napi::Env env)
{
	auto taken = std::move(records);
	records.clear();
	auto array = Napi::Array::New(env, taken.size());
	for (uint32_t i = 0; i < taken.size(); i++)
		array[i] = toBuffer(env, std::move(taken[i]));
	return array;
}

void RingBuffer::readable(uv_poll_t *poll, int, int)
{
	static_cast<RingBuffer *>(poll->data)->deliver();
}

void RingBuffer::deliver()
{
	ring_buffer__consume(ring);
	if (records.empty())
		return;
	Napi::Env env = environment; // the listener may close and free this object
	Napi::HandleScope scope(env);
	try {
		callback.MakeCallback(env.Global(), {take(env)}, asyncContext);
	} catch (const Napi::Error &error) {
		// The listener threw: an uncaught exception, as from any event.
		napi_fatal_exception(env, error.Value());
	}
}

Napi::Value RingBuffer::consume(const Napi::CallbackInfo &info)
{
	if (!ring)
		throw toError(info.Env(), Failure{EBADF, "USE", "ring buffer", "it was closed before", ""});
	ring_buffer__consume(ring);
	return take(info.Env());
}

Napi::Value RingBuffer::setReferenced(const Napi::CallbackInfo &info)
{
	auto *handle = reinterpret_cast<uv_handle_t *>(poll);
	if (handle && info[0].ToBoolean())
		uv_ref(handle);
	else if (handle)
		uv_unref(handle);
	return info.Env().Undefined();
}

void RingBuffer::stop()
{
	if (poll) {
		uv_poll_stop(poll);
		uv_close(reinterpret_cast<uv_handle_t *>(poll),
			 [](uv_handle_t *handle) { delete reinterpret_cast<uv_poll_t *>(handle); });
		poll = nullptr;
		napi_remove_env_cleanup_hook(environment, atExit, this);
	}
	if (ring) {
		ring_buffer__free(ring);
		ring = nullptr;
	}
	map.reset();
}

void RingBuffer::atExit(void *context)
{
	static_cast<RingBuffer *>(context)->stop();
}

Napi::Value RingBuffer::close(const Napi::CallbackInfo &info)
{
	if (poll) {
		stop();
		Unref();
	}
	return info.Env().Undefined();
}
