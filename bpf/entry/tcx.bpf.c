// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entry program: sits on the ingress of every interface that a chain uses, parses the packet
 * once, refuses what must not come in there, and hands the rest to the first cube by the graph in
 * force.
 *
 * `entry_dry` is the same for BPF_PROG_TEST_RUN alone: attached nowhere, it runs the real chain
 * with the dry flag, so that nothing is changed or sent.
 */
#define CUBE_WRITES
#include "parse.h"
#include "cube.h"
#include "clone.h"
#include "overlay-source.h"
#include "address.h"
#include "trace.h"
#include "replay.h"

/* An IPv6 source that is local to one link: unspecified (duplicate address detection) or fe80::/10. */
static __always_inline bool is_link_local(const addr_t *addr)
{
	return addr_is_zero(addr) || addr_is_link_local(addr);
}

static __always_inline bool pod_owns(const struct attachment *a, const addr_t *addr)
{
	for (int i = 0; i < POD_ADDRESSES; i++)
		if (i < a->addresses_count && addr_equal(&a->addresses[i], addr))
			return true;
	return false;
}

/* A pod sends from its own MAC and addresses only. Returns 0 or a drop reason. */
static __always_inline int check_pod(struct __sk_buff *skb, const struct attachment *a,
				     const struct cube_work *w)
{
	const mac_t *src = packet_at(skb, sizeof(*src), sizeof(*src));

	if (!src)
		return DROP_MALFORMED; /* parse_packet() has seen the whole Ethernet header */
	if (!mac_equal(src, &a->mac))
		return DROP_SPOOFED_SOURCE;
	if (!(w->flags & (PKT_IP | PKT_ARP)))
		return DROP_UNSUPPORTED;
	if (likely(pod_owns(a, packet_src(w))))
		return 0;
	if (w->flags & PKT_ND && is_link_local(packet_src(w)))
		return 0;
	/* router solicitations, MLD reports and the like of every starting pod: no attack, nobody's
	 * to handle */
	if (w->flags & PKT_IPV6 && is_link_local(packet_src(w)) && w->flags & PKT_MULTICAST)
		return DROP_LINK_LOCAL_CONTROL;
	return DROP_SPOOFED_SOURCE;
}

/*
 * What comes over the overlay must have a source that belongs to the node that sent it; otherwise
 * any host that reaches the VXLAN port could speak for any pod.
 */
static __always_inline int check_overlay(struct __sk_buff *skb, struct cube_work *w,
					 const struct node_config *config)
{
	struct bpf_tunnel_key key = {};
	addr_t remote;

	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0)) {
		addr_set_v4(&remote, bpf_htonl(key.remote_ipv4));
	} else if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6)) {
		__builtin_memcpy(remote.words, key.remote_ipv6, sizeof(remote));
	} else {
		return DROP_MALFORMED;
	}
	if (key.tunnel_id != config->overlay_vni || !(w->flags & PKT_IP))
		return DROP_SPOOFED_OVERLAY_SOURCE;

	addr_t source = *packet_src(w);
	const struct overlay_source *owner;

	/* a node speaks for itself too: processes that are bound to its address, what they answer to pods */
	if (unlikely(addr_equal(&source, &remote))) {
		struct prefix_key itself;

		prefix_of(&source, 128, &itself);
		w->flags |= PKT_OVERLAY_NODE;
		return bpf_map_lookup_elem(&overlay_sources, &itself) ? 0 : DROP_SPOOFED_OVERLAY_SOURCE;
	}
	owner = overlay_source_of(config, &source, w->flags & PKT_IPV4);
	return owner && addr_equal(&owner->remote, &remote) ? 0 : DROP_SPOOFED_OVERLAY_SOURCE;
}

/* Whether who sent a packet of a pod or the overlay may send it. Returns 0 or a drop reason. Global: the verifier goes through it once. */
__noinline int check_sender(struct __sk_buff *skb, const struct attachment *a)
{
	u32 zero = 0;
	struct node_config *config = bpf_map_lookup_elem(&node_config, &zero);
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);

	if (!a || !config || !w)
		return DROP_MALFORMED;
	return a->port == ATTACH_OVERLAY ? check_overlay(skb, w, config) : check_pod(skb, a, w);
}

static __always_inline int entry_drop(struct __sk_buff *skb, struct attachment_counter *counter, u32 reason,
				      u32 flags)
{
	u64 *count = bpf_map_lookup_elem(&entry_drops, &reason);

	if (flags & (CUBE_F_DRY | CUBE_F_TRACE))
		cube_report(skb, 0, EVENT_DROP, reason, skb->ifindex);
	if (flags & CUBE_F_DRY)
		return TC_ACT_SHOT;
	if (count)
		(*count)++;
	if (counter)
		counter->drops++;
	flow_tell(skb, 0, FLOW_DROPPED, reason, 0);
	return TC_ACT_SHOT;
}

/* Counts the packet at the interface that it comes in by. */
static __always_inline struct attachment_counter *entry_count(struct __sk_buff *skb, u32 row)
{
	struct attachment_counter *counter = bpf_map_lookup_elem(&attachment_counters, &row);

	if (counter) {
		counter->packets++;
		counter->bytes += skb->len;
	}
	return counter;
}

static __always_inline int entry_replay(struct cube_ctx *c, const struct flow_look *look,
					struct attachment_counter *counter)
{
	int verdict = replay(c, look);

	return verdict < 0 ? entry_drop(c->skb, counter, -verdict, 0) : verdict;
}

static __always_inline int entry_pass(struct __sk_buff *skb, u32 why, u32 flags)
{
	if (!(flags & (CUBE_F_DRY | CUBE_F_TRACE)))
		return CUBE_PASS;
	cube_report(skb, 0, EVENT_PASS, why, skb->ifindex);
	return flags & CUBE_F_DRY ? TC_ACT_SHOT : CUBE_PASS;
}

static __always_inline bool is_for_host(const struct attachment *a, const struct cube_work *w)
{
	return a->port >= ATTACH_INTERFACE && bpf_map_lookup_elem(&host_addresses, packet_dst(w));
}

static __always_inline int enter(struct __sk_buff *skb, u32 ifindex, u32 flags)
{
	u32 zero = 0, reason, index, epoch;
	struct node_config *config = bpf_map_lookup_elem(&node_config, &zero);
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);
	struct attachment_counter *counter;
	struct attachment *a;
	struct flow_look look = {};
	struct cube_ctx c = {.skb = skb, .work = w};
	bool is_cut = false, is_known;
	u64 *edge_word;
	u64 edge;

	if (!config || !w)
		return entry_pass(skb, PASS_NOT_ATTACHED, flags);
	epoch = *(volatile u32 *)&config->epoch;
	reason = parse_packet(skb, w, flags & CUBE_F_DRY);
	if (likely(!reason && !(flags & CUBE_F_DRY)))
		flow_look(&c, epoch, &look);
	is_known = flow_is_known(&look) && flow_fits(&c, look.record);
	if (is_known && look.record->is_proof && likely(!config->tracing))
		return entry_replay(&c, &look, entry_count(skb, look.record->counters));

	a = bpf_map_lookup_elem(&attachments, &ifindex);
	if (!a) /* not ours (any more): as if the program were not here */
		return entry_pass(skb, PASS_NOT_ATTACHED, flags);
	counter = flags & CUBE_F_DRY ? NULL : entry_count(skb, a->counters);
	if (!reason && (a->port == ATTACH_POD || a->port == ATTACH_OVERLAY))
		reason = check_sender(skb, a);
	if (a->port >= ATTACH_INTERFACE)
		flags |= CUBE_F_HOST_DEV;
	if (unlikely(config->tracing) && !(flags & CUBE_F_DRY))
		flags |= trace_mark(skb);
	skb->cb[CB_MAGIC] = CUBE_MAGIC;
	skb->cb[CB_EPOCH] = epoch;
	skb->cb[CB_HOPS] = 0;
	skb->cb[CB_FLAGS] = flags;
	if (unlikely(flags & (CUBE_F_DRY | CUBE_F_TRACE)))
		cube_report(skb, 0, EVENT_ENTER, a->port, skb->ifindex);
	if (reason)
		return entry_drop(skb, counter, reason, flags);
	if (likely(!(flags & (CUBE_F_DRY | CUBE_F_TRACE)))) {
		if (is_known)
			return entry_replay(&c, &look, counter);
		flags |= flow_begin(&c, &look, a);
		skb->cb[CB_FLAGS] = flags;
	}

	/* ssh to the node, the tunnels of its overlay, its leases: whatever a chain does, the host stays reachable */
	if (!(a->flags & ATTACH_ALL) && is_for_host(a, w))
		return entry_pass(skb, PASS_HOST_ADDRESS, flags);

	index = edge_index(epoch, 0, a->port & (CUBE_PORTS - 1));
	edge_word = bpf_map_lookup_elem(&edges, &index);
	if (edge_word) {
		edge = *(volatile u64 *)edge_word;
		if (edge_kind(edge) == EDGE_CUBE) {
			skb->cb[CB_PORT] = edge_port(edge);
			bpf_tail_call(skb, &slots, edge_target(edge));
		} else if (edge_kind(edge) == EDGE_CUT) {
			is_cut = true;
		}
	}
	if (a->flags & ATTACH_ALL && is_for_host(a, w))
		return entry_pass(skb, PASS_HOST_ADDRESS, flags);
	if (a->failure == FAIL_OPEN && !is_cut)
		return entry_pass(skb, PASS_FAIL_OPEN, flags);
	return entry_drop(skb, counter, DROP_CHAIN_NOT_PROGRAMMED, flags);
}

SEC("tc")
int entry(struct __sk_buff *skb)
{
	return enter(skb, skb->ifindex, 0);
}

/*
 * Where a dry run begins. The agent says it in skb->cb, which BPF_PROG_TEST_RUN takes from its context: the top byte of
 * cb[4] is the mode, all but these mean "at the interface".
 */
#define DRY_TUNNEL 1 /* at the overlay device: from the VTEP cb[0..3], VNI in the rest of cb[4] */
#define DRY_CUBE   2 /* at port cb[1] of the cube in slot cb[0] */

static __always_inline int dry_tunnel(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {.tunnel_id = skb->cb[4] & 0xffffff};
	addr_t remote = {.words = {skb->cb[0], skb->cb[1], skb->cb[2], skb->cb[3]}};
	u64 flags = BPF_F_TUNINFO_IPV6;

	/* the source of a received packet is the "local" end for who writes the key */
	if (addr_is_v4(&remote)) {
		key.local_ipv4 = bpf_ntohl(remote.words[3]);
		flags = 0;
	} else {
		__builtin_memcpy(key.local_ipv6, remote.words, sizeof(key.local_ipv6));
	}
	if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags))
		return TC_ACT_SHOT;
	return enter(skb, skb->ifindex, CUBE_F_DRY);
}

static __always_inline int dry_cube(struct __sk_buff *skb)
{
	u32 zero = 0, slot = skb->cb[0], port = skb->cb[1], reason;
	struct node_config *config = bpf_map_lookup_elem(&node_config, &zero);
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);

	if (!config || !w)
		return TC_ACT_SHOT;
	reason = parse_packet(skb, w, true);
	skb->cb[CB_MAGIC] = CUBE_MAGIC;
	skb->cb[CB_PORT] = port;
	skb->cb[CB_EPOCH] = *(volatile u32 *)&config->epoch;
	skb->cb[CB_HOPS] = 0;
	skb->cb[CB_FLAGS] = CUBE_F_DRY;
	if (reason)
		return entry_drop(skb, NULL, reason, CUBE_F_DRY);
	bpf_tail_call(skb, &slots, slot);
	return entry_drop(skb, NULL, DROP_TAIL_CALL_FAILED, CUBE_F_DRY);
}

SEC("tc")
int entry_dry(struct __sk_buff *skb)
{
	u32 mode = skb->cb[4] >> 24;

	if (mode == DRY_TUNNEL)
		return dry_tunnel(skb);
	if (mode == DRY_CUBE)
		return dry_cube(skb);
	return enter(skb, skb->ifindex, CUBE_F_DRY);
}

/*
 * At the egress of devices that copies leave by (clone.h). At interfaces it cuts those that cube_clone_cut() has marked; a
 * copy of many segments becomes one frame, and one that cannot be cut is not sent, and counted by its cube. At the device
 * of copies for cubes it does what the port's edge would have done with the packet itself. Everything else goes on.
 */
SEC("tc")
int copies(struct __sk_buff *skb)
{
	u32 length = skb->cb[CB_CUT_LENGTH], place = skb->cb[CB_COPY_PLACE];

	if (skb->cb[CB_MAGIC] == CUT_MAGIC && skb->cb[CB_CUT_DEVICE] == skb->ifindex) {
		skb->cb[CB_MAGIC] = 0; /* cb goes along to whoever gets the frame */
		if (skb->len > length && bpf_skb_change_tail(skb, length, 0))
			return TC_ACT_SHOT;
		return CUBE_PASS;
	}
	if (likely(skb->cb[CB_MAGIC] != CUBE_COPY_MAGIC || skb->cb[CB_COPY_DEVICE] != skb->ifindex))
		return CUBE_PASS;
	skb->cb[CB_MAGIC] = CUBE_MAGIC;
	skb->cb[CB_PORT] = place & 0xff;
	skb->cb[CB_HOPS] = place >> 16;
	bpf_tail_call(skb, &slots, place >> 8 & 0xff);
	return entry_drop(skb, NULL, DROP_TAIL_CALL_FAILED, skb->cb[CB_FLAGS]);
}

char _license[] SEC("license") = "GPL";
