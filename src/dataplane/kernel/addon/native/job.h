// SPDX-License-Identifier: Apache-2.0
// Runs kernel work either at once or on a pool thread, with one description for both.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <napi.h>

#include "failure.h"

// Buffers that must stay alive and in place while a pool thread reads or writes them.
using Kept = std::vector<Napi::ObjectReference>;

template <class Result> class Job : public Napi::AsyncWorker
{
      public:
	using Work = std::function<Result()>;
	using Done = std::function<Napi::Value(Napi::Env, Result &)>;

	Job(Napi::Env env, Work work, Done done, Kept kept)
	    : Napi::AsyncWorker(env), deferred(Napi::Promise::Deferred::New(env)), work(std::move(work)),
	      done(std::move(done)), kept(std::move(kept))
	{
	}

	Napi::Promise promise() const
	{
		return deferred.Promise();
	}

      protected:
	void Execute() override
	{
		try {
			result.emplace(work());
		} catch (const Failure &caught) {
			failure.emplace(caught);
		}
	}

	void OnOK() override
	{
		Napi::HandleScope scope(Env());
		if (failure) {
			deferred.Reject(toError(Env(), *failure).Value());
			return;
		}
		try {
			deferred.Resolve(done(Env(), *result));
		} catch (const Failure &caught) {
			deferred.Reject(toError(Env(), caught).Value());
		} catch (const Napi::Error &error) {
			deferred.Reject(error.Value());
		}
	}

	void OnError(const Napi::Error &error) override
	{
		deferred.Reject(error.Value());
	}

      private:
	Napi::Promise::Deferred deferred;
	Work work;
	Done done;
	Kept kept;
	std::optional<Result> result;
	std::optional<Failure> failure;
};

// `work` must not touch JavaScript; `done` makes the JavaScript value on the main thread.
template <class Result>
Napi::Value run(Napi::Env env, bool async, typename Job<Result>::Work work, typename Job<Result>::Done done,
		Kept kept = {})
{
	if (!async) {
		Result result = work();
		return done(env, result);
	}
	auto *job = new Job<Result>(env, std::move(work), std::move(done), std::move(kept));
	auto promise = job->promise();
	job->Queue();
	return promise;
}
