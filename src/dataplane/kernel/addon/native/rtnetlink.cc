// SPDX-License-Identifier: Apache-2.0
// Requests to the kernel's rtnetlink, in any network namespace. What they say is TypeScript's
// business (kernel/rtnetlink); here they are sent, one after the other, and their answers taken.
#include "rtnetlink.h"

#include <cerrno>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <linux/netlink.h>
#include <optional>
#include <sched.h>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include "bytes.h"
#include "failure.h"
#include "job.h"

namespace
{

// The kernel answers at once; this only keeps a thread from waiting for ever.
constexpr timeval answerTimeout = {10, 0};
// More than the kernel puts into one datagram.
constexpr size_t datagramSize = 1 << 16;

struct Descriptor {
	int fd;
	explicit Descriptor(int fd) : fd(fd)
	{
	}
	Descriptor(const Descriptor &) = delete;
	Descriptor &operator=(const Descriptor &) = delete;
	~Descriptor()
	{
		if (fd >= 0)
			close(fd);
	}
};

struct Request {
	std::string netns; // path; empty: where the process is
	std::vector<std::pair<std::string, std::string>> files;
	Bytes messages;
};

int checkErrno(int result, const char *call, const std::string &object)
{
	if (result < 0)
		throw Failure{errno, call, object, "", ""};
	return result;
}

void enter(const std::string &netns)
{
	Descriptor file(checkErrno(open(netns.c_str(), O_RDONLY | O_CLOEXEC), "open", netns));
	checkErrno(setns(file.fd, CLONE_NEWNET), "setns", netns);
}

// A file that is not there belongs to something that this kernel does not have.
void write(const std::string &path, const std::string &text)
{
	Descriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
	if (file.fd < 0 && errno == ENOENT)
		return;
	checkErrno(file.fd, "open", path);
	checkErrno(static_cast<int>(::write(file.fd, text.data(), text.size())), "write", path);
}

// NLMSGERR_ATTR_MSG: why, in words; the kernel puts the attributes behind the request's header,
// which is all that it repeats of it (NETLINK_CAP_ACK).
std::string reason(const nlmsghdr *header)
{
	if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
		return "";
	size_t at = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(nlmsgerr));
	while (at + sizeof(nlattr) <= header->nlmsg_len) {
		nlattr attribute;
		memcpy(&attribute, reinterpret_cast<const char *>(header) + at, sizeof(attribute));
		if (attribute.nla_len <= NLA_HDRLEN || at + attribute.nla_len > header->nlmsg_len)
			break;
		const char *payload = reinterpret_cast<const char *>(header) + at + NLA_HDRLEN;
		if ((attribute.nla_type & NLA_TYPE_MASK) == NLMSGERR_ATTR_MSG)
			return std::string(payload, strnlen(payload, attribute.nla_len - NLA_HDRLEN));
		at += NLA_ALIGN(attribute.nla_len);
	}
	return "";
}

class Conversation
{
      public:
	Conversation()
	    : socket(checkErrno(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "socket",
				"NETLINK_ROUTE")),
	      buffer(datagramSize)
	{
		int on = 1;
		setsockopt(socket.fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
		setsockopt(socket.fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
		setsockopt(socket.fd, SOL_SOCKET, SO_RCVTIMEO, &answerTimeout, sizeof(answerTimeout));
	}

	// Sends one message, which asks for an ACK or a dump, and appends what is answered before that.
	void ask(const uint8_t *message, size_t length, const std::string &which, Bytes &answers)
	{
		sockaddr_nl kernel = {};
		kernel.nl_family = AF_NETLINK;
		checkErrno(static_cast<int>(sendto(socket.fd, message, length, 0,
						   reinterpret_cast<sockaddr *>(&kernel), sizeof(kernel))),
			   "sendto", which);
		while (!take(which, answers))
			;
	}

      private:
	// Reads one datagram. Returns whether it ends the answer.
	bool take(const std::string &which, Bytes &answers)
	{
		ssize_t length;
		do {
			length = recv(socket.fd, buffer.data(), buffer.size(), 0);
		} while (length < 0 && errno == EINTR);
		checkErrno(static_cast<int>(length), "recv", which);
		size_t left = static_cast<size_t>(length);
		const uint8_t *at = buffer.data();
		while (left >= sizeof(nlmsghdr)) {
			auto *header = reinterpret_cast<const nlmsghdr *>(at);
			if (header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > left)
				throw Failure{EBADMSG, "rtnetlink", which, "", ""};
			if (header->nlmsg_type == NLMSG_DONE)
				return true;
			if (header->nlmsg_type == NLMSG_ERROR) {
				int error;
				memcpy(&error, at + NLMSG_HDRLEN, sizeof(error));
				if (error == 0)
					return true;
				throw Failure{-error, "rtnetlink", which, "", reason(header)};
			}
			answers.insert(answers.end(), at, at + header->nlmsg_len);
			answers.resize(NLMSG_ALIGN(answers.size()));
			size_t step = NLMSG_ALIGN(header->nlmsg_len);
			at += step;
			left = step < left ? left - step : 0;
		}
		return false;
	}

	Descriptor socket;
	std::vector<uint8_t> buffer;
};

Bytes converse(const Request &request)
{
	if (!request.netns.empty())
		enter(request.netns);
	for (const auto &[path, text] : request.files)
		write(path, text);
	Conversation conversation;
	Bytes answers;
	size_t index = 0;
	for (size_t at = 0; at + sizeof(nlmsghdr) <= request.messages.size(); index++) {
		uint32_t length;
		memcpy(&length, request.messages.data() + at, sizeof(length));
		if (length < sizeof(nlmsghdr) || length > request.messages.size() - at)
			throw Failure{EINVAL, "rtnetlink", std::to_string(index), "", ""};
		conversation.ask(request.messages.data() + at, length, std::to_string(index), answers);
		at += NLMSG_ALIGN(length);
	}
	return answers;
}

// In a thread of its own, which ends: no thread of Node's is ever in another namespace.
Bytes converseElsewhere(const Request &request)
{
	Bytes answers;
	std::optional<Failure> failure;
	try {
		std::thread thread([&] {
			try {
				answers = converse(request);
			} catch (const Failure &caught) {
				failure.emplace(caught);
			}
		});
		thread.join();
	} catch (const std::system_error &error) {
		throw Failure{error.code().value(), "pthread_create", request.netns, "", ""};
	}
	if (failure)
		throw *failure;
	return answers;
}

} // namespace

Napi::Value rtnetlink(const Napi::CallbackInfo &info)
{
	Request request;
	request.netns = info[0].As<Napi::String>().Utf8Value();
	auto files = info[1].As<Napi::Array>();
	for (uint32_t i = 0; i < files.Length(); i++) {
		auto file = files.Get(i).As<Napi::Array>();
		request.files.emplace_back(file.Get(0u).As<Napi::String>().Utf8Value(),
					   file.Get(1u).As<Napi::String>().Utf8Value());
	}
	auto messages = bytesOf(info[2], "messages");
	request.messages.assign(messages.begin(), messages.end());
	return run<Bytes>(
	    info.Env(), true,
	    [request = std::move(request)] {
		    return request.netns.empty() ? converse(request) : converseElsewhere(request);
	    },
	    [](Napi::Env env, Bytes &answers) { return toBuffer(env, std::move(answers)); });
}
