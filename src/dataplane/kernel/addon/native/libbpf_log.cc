// SPDX-License-Identifier: Apache-2.0
#include "libbpf_log.h"

#include <cstdarg>
#include <cstdio>

#include <bpf/libbpf.h>

namespace
{

thread_local LibbpfLog *current = nullptr;

int collect(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (level == LIBBPF_DEBUG || !current)
		return 0;
	va_list again;
	va_copy(again, arguments);
	int size = vsnprintf(nullptr, 0, format, again);
	va_end(again);
	if (size <= 0)
		return 0;
	std::string line(static_cast<size_t>(size) + 1, '\0');
	vsnprintf(line.data(), line.size(), format, arguments);
	line.pop_back();
	current->text += line;
	return size;
}

} // namespace

void installLibbpfLog()
{
	libbpf_set_print(collect);
}

LibbpfLog::LibbpfLog() : outer(current)
{
	current = this;
}

LibbpfLog::~LibbpfLog()
{
	current = outer;
}
