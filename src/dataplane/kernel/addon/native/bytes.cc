// SPDX-License-Identifier: Apache-2.0
#include "bytes.h"

std::span<uint8_t> bytesOf(const Napi::Value &value, const char *what)
{
	if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
		throw Napi::TypeError::New(value.Env(), std::string(what) + " must be bytes");
	auto array = value.As<Napi::Uint8Array>();
	return {array.Data(), array.ByteLength()};
}

std::span<uint8_t> bytesOf(const Napi::Value &value, const std::string &what, size_t size)
{
	auto bytes = bytesOf(value, what.c_str());
	if (bytes.size() != size)
		throw Napi::TypeError::New(value.Env(), what + " must have " + std::to_string(size) +
							    " bytes, not " + std::to_string(bytes.size()));
	return bytes;
}

namespace
{

constexpr size_t COPIED = 4096; // bytes

} // namespace

Napi::Value toBuffer(Napi::Env env, Bytes &&bytes)
{
	// Copied, unless it is a dump of a map: memory behind a buffer is given back only when the event loop turns.
	if (bytes.size() <= COPIED)
		return Napi::Buffer<uint8_t>::Copy(env, bytes.data(), bytes.size());
	auto *owner = new Bytes(std::move(bytes));
	return Napi::Buffer<uint8_t>::NewOrCopy(
	    env, owner->data(), owner->size(), [](Napi::Env, uint8_t *, Bytes *data) { delete data; }, owner);
}
