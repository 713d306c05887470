// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ends connected UDP sockets whose backend is gone (bpf_sock_destroy, Linux 6.5): their processes get ECONNABORTED instead of
 * sending to nobody for ever, and connect again. Walks the sockets of the network namespace of who reads it, which the agent
 * does when backends have gone; attached nowhere. It shares `peers` and `backends` with the socket load balancer.
 */
#include <bpf/bpf_core_read.h>
#include <linux/in.h>
#include "backend.h"
#include "peer.h"

#define AF_INET 2

/* The members of the kernel's own structures that are needed, found by CO-RE. */
struct in6_addr {
	union {
		be32_t u6_addr32[4];
	} in6_u;
} __attribute__((preserve_access_index));

struct sock_common {
	be32_t skc_daddr;
	be16_t skc_dport;
	u16 skc_family;
	struct in6_addr skc_v6_daddr;
} __attribute__((preserve_access_index));

struct udp_sock;
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__udp {
	struct bpf_iter_meta *meta;
	struct udp_sock *udp_sk;
} __attribute__((preserve_access_index));

int bpf_sock_destroy(struct sock_common *sock) __ksym;

/* A socket that was looked at because it is connected to a service, and what became of it. */
struct sweep_event {
	u32 destroyed;
	u32 pad;
};
SIZE_ASSERT(struct sweep_event, 8);

static __noinline int write_event(struct seq_file *seq, struct sweep_event *event)
{
	return bpf_seq_write(seq, event, sizeof(*event));
}

/* A process may have connected it to somebody else by AF_UNSPEC, of which no program is told. */
static __always_inline bool is_connected_to(struct sock_common *sk, const struct place *to)
{
	if (sk->skc_dport != to->port)
		return false;
	if (sk->skc_family == AF_INET)
		return addr_is_v4(&to->addr) && sk->skc_daddr == to->addr.words[3];
	for (int i = 0; i < 4; i++) {
		if (sk->skc_v6_daddr.in6_u.u6_addr32[i] != to->addr.words[i])
			return false;
	}
	return true;
}

SEC("iter/udp")
int sweep_udp(struct bpf_iter__udp *ctx)
{
	struct sweep_event event = {};
	struct sock_common *sk = (struct sock_common *)ctx->udp_sk;
	struct peer *peer;

	if (!sk)
		return 0;
	peer = bpf_sk_storage_get(&peers, sk, NULL, 0);
	if (!peer)
		return 0;
	if (!backend_of(peer->id, peer->generation, bpf_ktime_get_ns() >> 30) &&
	    is_connected_to(sk, &peer->backend))
		event.destroyed = !bpf_sock_destroy(sk);
	write_event(ctx->meta->seq, &event);
	return 0;
}

char _license[] SEC("license") = "GPL";
