// SPDX-License-Identifier: Apache-2.0
// Catches what libbpf prints, which would otherwise go to stderr.
#pragma once

#include <string>

void installLibbpfLog();

// While one lives, this thread's libbpf messages collect in it.
class LibbpfLog
{
      public:
	LibbpfLog();
	~LibbpfLog();
	LibbpfLog(const LibbpfLog &) = delete;
	LibbpfLog &operator=(const LibbpfLog &) = delete;

	std::string text;

      private:
	LibbpfLog *outer;
};
