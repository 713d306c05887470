// SPDX-License-Identifier: Apache-2.0
// The addon's exports. Arguments are checked here as well as in TypeScript; see native.ts for
// their types.
#include <napi.h>

#include "addon_data.h"
#include "failure.h"
#include "handle.h"
#include "info.h"
#include "iterator.h"
#include "libbpf_log.h"
#include "link.h"
#include "map.h"
#include "map_batch.h"
#include "memory.h"
#include "netns.h"
#include "object.h"
#include "pin.h"
#include "program.h"
#include "ring_buffer.h"
#include "rtnetlink.h"

namespace
{

template <Napi::Value (*function)(const Napi::CallbackInfo &)>
void define(Napi::Env env, Napi::Object exports, const char *name)
{
	exports[name] = Napi::Function::New(env, guarded<function>, name);
}

Napi::Object start(Napi::Env env, Napi::Object exports)
{
	env.SetInstanceData(new AddonData);
	installLibbpfLog();
	Handle::define(env);
	RingBuffer::define(env, exports);
	define<setErrorClass>(env, exports, "setErrorClass");
	define<loadObject>(env, exports, "loadObject");
	define<mapCreate>(env, exports, "mapCreate");
	define<mapLookup>(env, exports, "mapLookup");
	define<mapUpdate>(env, exports, "mapUpdate");
	define<mapSetHandle>(env, exports, "mapSetHandle");
	define<mapDelete>(env, exports, "mapDelete");
	define<mapNextKey>(env, exports, "mapNextKey");
	define<mapFreeze>(env, exports, "mapFreeze");
	define<mapDump>(env, exports, "mapDump");
	define<mapUpdateBatch>(env, exports, "mapUpdateBatch");
	define<mapFill>(env, exports, "mapFill");
	define<mapDeleteBatch>(env, exports, "mapDeleteBatch");
	define<mapInfo>(env, exports, "mapInfo");
	define<mapBtf>(env, exports, "mapBtf");
	define<programInfo>(env, exports, "programInfo");
	define<programTestRun>(env, exports, "programTestRun");
	define<linkCreate>(env, exports, "linkCreate");
	define<linkUpdate>(env, exports, "linkUpdate");
	define<linkDetach>(env, exports, "linkDetach");
	define<iteratorRead>(env, exports, "iteratorRead");
	define<linkInfo>(env, exports, "linkInfo");
	define<attachedPrograms>(env, exports, "attachedPrograms");
	define<pin>(env, exports, "pin");
	define<openPinned>(env, exports, "openPinned");
	define<openById>(env, exports, "openById");
	define<allIds>(env, exports, "allIds");
	define<netnsCookie>(env, exports, "netnsCookie");
	define<rtnetlink>(env, exports, "rtnetlink");
	define<possibleCpus>(env, exports, "possibleCpus");
	define<enableStats>(env, exports, "enableStats");
	define<limitMalloc>(env, exports, "limitMalloc");
	define<trimMalloc>(env, exports, "trimMalloc");
	return exports;
}

} // namespace

NODE_API_MODULE(cubeplane, start)
