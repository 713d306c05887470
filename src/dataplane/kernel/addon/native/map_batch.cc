// SPDX-License-Identifier: Apache-2.0
// Whole-map and many-element operations on packed keys and values.
#include "map_batch.h"

#include <algorithm>
#include <cerrno>

#include <bpf/bpf.h>

#include "bytes.h"
#include "failure.h"
#include "handle.h"
#include "job.h"

namespace
{

// What map types without a batch operation answer; the kernel's own errno, unknown to libc.
constexpr int notSupported = -524;

constexpr uint32_t firstDumpBatch = 4096;

struct Dump {
	Bytes keys;
	Bytes values;
	uint32_t count = 0;
};

Failure batchFailure(int result, const char *call, const Resource &map, uint32_t done, uint32_t total)
{
	return Failure{-result, call, map.name,
		       std::string(strerrordesc_np(-result) ? strerrordesc_np(-result) : "failed") +
			   " after " + std::to_string(done) + " of " + std::to_string(total) + " entries",
		       ""};
}

// For types without batches. Bounded, because a key deleted meanwhile restarts the walk.
Dump dumpOneByOne(const Resource &map)
{
	Dump dump;
	const uint32_t stride = map.valueStride();
	Bytes key(map.keySize), next(map.keySize), value(stride);
	const uint8_t *previous = nullptr;
	for (uint64_t step = 0; step < 2ULL * map.maxEntries + 1; step++) {
		int result = bpf_map_get_next_key(map.fd, previous, next.data());
		if (result == -ENOENT)
			break;
		check(result, "BPF_MAP_GET_NEXT_KEY", map.name);
		key = next;
		previous = key.data();
		result = bpf_map_lookup_elem(map.fd, key.data(), value.data());
		if (result == -ENOENT)
			continue;
		check(result, "BPF_MAP_LOOKUP_ELEM", map.name);
		dump.keys.insert(dump.keys.end(), key.begin(), key.end());
		dump.values.insert(dump.values.end(), value.begin(), value.end());
		dump.count++;
	}
	return dump;
}

Dump dumpBatched(const Resource &map)
{
	Dump dump;
	const size_t keySize = map.keySize;
	const size_t stride = map.valueStride();
	// The cursor is a bucket number for hashes, a key for the others.
	Bytes cursor(std::max<size_t>(keySize, 8)), nextCursor(cursor.size());
	bool started = false;
	uint32_t batch = std::clamp<uint32_t>(map.maxEntries, 64, firstDumpBatch);
	for (;;) {
		dump.keys.resize((dump.count + batch) * keySize);
		dump.values.resize((dump.count + batch) * stride);
		uint32_t count = batch;
		int result = bpf_map_lookup_batch(map.fd, started ? cursor.data() : nullptr,
						  nextCursor.data(), dump.keys.data() + dump.count * keySize,
						  dump.values.data() + dump.count * stride, &count, nullptr);
		if (result == notSupported && !started)
			return dumpOneByOne(map);
		if (result == -ENOSPC) { // one bucket holds more than the batch
			batch *= 2;
			continue;
		}
		if (result == -EINTR || result == -EAGAIN)
			continue;
		if (result < 0 && result != -ENOENT)
			throw batchFailure(result, "BPF_MAP_LOOKUP_BATCH", map, dump.count, map.maxEntries);
		dump.count += count;
		if (result == -ENOENT)
			break;
		started = true;
		cursor.swap(nextCursor);
		batch = std::max(batch, std::min(dump.count, 65536U));
	}
	dump.keys.resize(dump.count * keySize);
	dump.values.resize(dump.count * stride);
	return dump;
}

uint32_t updateAll(const Resource &map, const uint8_t *keys, const uint8_t *values, uint32_t total,
		   uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = flags, );
	uint32_t count = total;
	int result = bpf_map_update_batch(map.fd, keys, values, &count, &opts);
	if (result == 0)
		return total;
	if (result != notSupported)
		throw batchFailure(result, "BPF_MAP_UPDATE_BATCH", map, std::min(count, total), total);
	const size_t stride = map.valueStride();
	for (uint32_t i = 0; i < total; i++) {
		result =
		    bpf_map_update_elem(map.fd, keys + i * size_t(map.keySize), values + i * stride, flags);
		if (result < 0)
			throw batchFailure(result, "BPF_MAP_UPDATE_ELEM", map, i, total);
	}
	return total;
}

// One by one: a batch ends at the first entry that cannot be written.
uint32_t fill(const Resource &map, const uint8_t *keys, const uint8_t *values, uint32_t total, uint32_t flags)
{
	const size_t stride = map.valueStride();
	uint32_t written = 0;
	for (uint32_t i = 0; i < total; i++) {
		int result =
		    bpf_map_update_elem(map.fd, keys + i * size_t(map.keySize), values + i * stride, flags);
		if (result == 0)
			written++;
		else if (result != -EEXIST && result != -E2BIG)
			throw batchFailure(result, "BPF_MAP_UPDATE_ELEM", map, i, total);
	}
	return written;
}

uint32_t deleteAll(const Resource &map, const uint8_t *keys, uint32_t total)
{
	uint32_t deleted = 0;
	uint32_t position = 0;
	bool batched = true;
	while (position < total) {
		const uint8_t *key = keys + position * size_t(map.keySize);
		uint32_t count = total - position;
		int result = batched ? bpf_map_delete_batch(map.fd, key, &count, nullptr)
				     : bpf_map_delete_elem(map.fd, key);
		if (!batched)
			count = result == 0 ? 1 : 0;
		if (result == notSupported && batched) {
			batched = false;
			continue;
		}
		if (result < 0 && result != -ENOENT)
			throw batchFailure(result, batched ? "BPF_MAP_DELETE_BATCH" : "BPF_MAP_DELETE_ELEM",
					   map, position, total);
		deleted += count;
		position += count + (result == -ENOENT ? 1 : 0);
	}
	return deleted;
}

std::span<uint8_t> packed(const Napi::Value &value, const std::string &what, uint32_t size)
{
	auto bytes = bytesOf(value, what.c_str());
	if (size == 0 || bytes.size() % size != 0)
		throw Napi::TypeError::New(value.Env(), what + " must be a multiple of " +
							    std::to_string(size) + " bytes, not " +
							    std::to_string(bytes.size()));
	return bytes;
}

Napi::Value toNumber(Napi::Env env, uint32_t &count)
{
	return Napi::Number::New(env, count);
}

} // namespace

Napi::Value mapDump(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	return run<Dump>(
	    info.Env(), info[1].ToBoolean(), [map] { return dumpBatched(*map); },
	    [](Napi::Env env, Dump &dump) -> Napi::Value {
		    auto object = Napi::Object::New(env);
		    object["count"] = dump.count;
		    object["keys"] = toBuffer(env, std::move(dump.keys));
		    object["values"] = toBuffer(env, std::move(dump.values));
		    return object;
	    });
}

namespace
{

using Write = uint32_t (*)(const Resource &, const uint8_t *, const uint8_t *, uint32_t, uint32_t);

Napi::Value writeMany(const Napi::CallbackInfo &info, Write write)
{
	auto map = Handle::of(info[0], Kind::Map);
	auto keys = packed(info[1], "keys of map " + map->name, map->keySize);
	auto total = static_cast<uint32_t>(keys.size() / map->keySize);
	auto values = bytesOf(info[2], "values of map " + map->name, total * size_t(map->valueStride()));
	auto flags = info[3].As<Napi::Number>().Uint32Value();
	Kept kept;
	keep(kept, info[1]);
	keep(kept, info[2]);
	return run<uint32_t>(
	    info.Env(), info[4].ToBoolean(),
	    [=] {
		    if (total == 0)
			    return total;
		    return write(*map, keys.data(), values.data(), total, flags);
	    },
	    toNumber, std::move(kept));
}

} // namespace

Napi::Value mapUpdateBatch(const Napi::CallbackInfo &info)
{
	return writeMany(info, updateAll);
}

Napi::Value mapFill(const Napi::CallbackInfo &info)
{
	return writeMany(info, fill);
}

Napi::Value mapDeleteBatch(const Napi::CallbackInfo &info)
{
	auto map = Handle::of(info[0], Kind::Map);
	auto keys = packed(info[1], "keys of map " + map->name, map->keySize);
	auto total = static_cast<uint32_t>(keys.size() / map->keySize);
	Kept kept;
	keep(kept, info[1]);
	return run<uint32_t>(
	    info.Env(), info[2].ToBoolean(), [=] { return deleteAll(*map, keys.data(), total); }, toNumber,
	    std::move(kept));
}
