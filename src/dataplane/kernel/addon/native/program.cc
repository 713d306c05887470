// SPDX-License-Identifier: Apache-2.0
// BPF_PROG_TEST_RUN: one packet or context through a loaded program, in the kernel.
#include "program.h"

#include <cerrno>

#include <bpf/bpf.h>

#include "bytes.h"
#include "failure.h"
#include "handle.h"
#include "job.h"

namespace
{

struct Outcome {
	uint32_t retval = 0;
	uint32_t duration = 0;
	Bytes data;
	Bytes context;
};

struct Input {
	Bytes data;
	Bytes context;
	int repeat;
	uint32_t dataOutSize;
	uint32_t contextOutSize;
	uint32_t flags;
};

Outcome testRun(const Resource &program, const Input &input)
{
	// A syscall program gets only a context, and the kernel writes it back in place.
	const bool inPlace = program.type == BPF_PROG_TYPE_SYSCALL;
	Outcome outcome;
	outcome.data.resize(input.dataOutSize);
	outcome.context.resize(inPlace ? 0 : input.contextOutSize);
	Bytes context = input.context;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .repeat = inPlace ? 0 : input.repeat, .flags = input.flags, );
	if (!input.data.empty()) {
		opts.data_in = input.data.data();
		opts.data_size_in = static_cast<uint32_t>(input.data.size());
	}
	if (!outcome.data.empty()) {
		opts.data_out = outcome.data.data();
		opts.data_size_out = input.dataOutSize;
	}
	if (!context.empty()) {
		opts.ctx_in = context.data();
		opts.ctx_size_in = static_cast<uint32_t>(context.size());
	}
	if (!outcome.context.empty()) {
		opts.ctx_out = outcome.context.data();
		opts.ctx_size_out = input.contextOutSize;
	}
	int result = bpf_prog_test_run_opts(program.fd, &opts);
	if (result == -ENOSPC)
		throw Failure{ENOSPC, "BPF_PROG_TEST_RUN", program.name,
			      "the packet came out with " + std::to_string(opts.data_size_out) +
				  " bytes and dataOutSize is " + std::to_string(input.dataOutSize),
			      ""};
	check(result, "BPF_PROG_TEST_RUN", program.name);
	outcome.retval = opts.retval;
	outcome.duration = opts.duration;
	outcome.data.resize(outcome.data.empty() ? 0 : opts.data_size_out);
	if (inPlace)
		outcome.context = std::move(context);
	else
		outcome.context.resize(outcome.context.empty() ? 0 : opts.ctx_size_out);
	return outcome;
}

Bytes copied(const Napi::Object &options, const char *field)
{
	auto value = options.Get(field);
	if (value.IsUndefined())
		return {};
	auto bytes = bytesOf(value, field);
	return {bytes.begin(), bytes.end()};
}

} // namespace

Napi::Value programTestRun(const Napi::CallbackInfo &info)
{
	auto program = Handle::of(info[0], Kind::Program);
	auto options = info[1].As<Napi::Object>();
	auto number = [&](const char *field) { return options.Get(field).As<Napi::Number>().Uint32Value(); };
	Input input{copied(options, "dataIn"), copied(options, "ctxIn"), static_cast<int>(number("repeat")),
		    number("dataOutSize"),     number("ctxOutSize"),	 number("flags")};
	return run<Outcome>(
	    info.Env(), info[2].ToBoolean(),
	    [program, input = std::move(input)] { return testRun(*program, input); },
	    [](Napi::Env env, Outcome &outcome) -> Napi::Value {
		    auto object = Napi::Object::New(env);
		    object["retval"] = outcome.retval;
		    object["duration"] = outcome.duration;
		    object["dataOut"] = toBuffer(env, std::move(outcome.data));
		    object["ctxOut"] = toBuffer(env, std::move(outcome.context));
		    return object;
	    });
}
