// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entry program at XDP: in front of interfaces whose chain begins with cubes at XDP. It parses the packet and hands it
 * to the first of them. What they let go on meets the entry program of TC, which parses it again: the metadata that XDP
 * can pass on is not known to every driver, and a packet that two programs see under two epochs only crosses a list
 * that is a moment older.
 *
 * Unlike at TC, packets for the host itself are not exempt: a flood is mostly meant for the node.
 *
 * `xdp_entry_dry` is the same for BPF_PROG_TEST_RUN alone.
 */
#define CUBE_XDP
#include "parse.h"
#include "cube.h"

static __always_inline int xdp_entry_drop(hook_t *packet, const struct attachment *a, u32 reason, u32 flags)
{
	u32 index = a->counters;
	struct attachment_counter *counter = bpf_map_lookup_elem(&attachment_counters, &index);
	u64 *count = bpf_map_lookup_elem(&entry_drops, &reason);

	if (flags & CUBE_F_DRY) {
		cube_report(packet, 0, EVENT_DROP, reason, packet->ingress_ifindex);
		return HOOK_DROP;
	}
	if (count)
		(*count)++;
	if (counter)
		counter->drops++;
	flow_tell(packet, 0, FLOW_DROPPED, reason, 0);
	return HOOK_DROP;
}

static __always_inline int xdp_enter(hook_t *packet, u32 flags)
{
	u32 zero = 0, ifindex = packet->ingress_ifindex, index;
	struct attachment *a = bpf_map_lookup_elem(&attachments, &ifindex);
	struct node_config *config = bpf_map_lookup_elem(&node_config, &zero);
	struct cube_work *w = bpf_map_lookup_elem(&work, &zero);
	struct xdp_packet *here = bpf_map_lookup_elem(&xdp_packet, &zero);
	u32 epoch, reason;
	u64 *edge_word;
	u64 edge;

	if (!a || !config || !w || !here)
		return HOOK_PASS; /* not ours (any more): as if the program were not here */
	epoch = *(volatile u32 *)&config->epoch;
	here->cb[CB_MAGIC] = CUBE_MAGIC;
	here->cb[CB_EPOCH] = epoch;
	here->cb[CB_HOPS] = 0;
	here->cb[CB_FLAGS] = flags;
	reason = parse_packet(packet, w, flags & CUBE_F_DRY);
	if (reason)
		return xdp_entry_drop(packet, a, reason, flags);
	index = edge_index(epoch, CUBE_XDP_SLOT, a->port & (CUBE_PORTS - 1));
	edge_word = bpf_map_lookup_elem(&edges, &index);
	if (edge_word) {
		edge = *(volatile u64 *)edge_word;
		if (edge_kind(edge) == EDGE_CUBE) {
			here->cb[CB_PORT] = edge_port(edge);
			bpf_tail_call(packet, &xdp_slots, edge_target(edge));
		}
	}
	if (a->failure == FAIL_OPEN)
		return HOOK_PASS;
	return xdp_entry_drop(packet, a, DROP_CHAIN_NOT_PROGRAMMED, flags);
}

SEC(HOOK_SECTION)
int xdp_entry(struct xdp_md *packet)
{
	return xdp_enter(packet, 0);
}

SEC(HOOK_SECTION)
int xdp_entry_dry(struct xdp_md *packet)
{
	return xdp_enter(packet, CUBE_F_DRY);
}

char _license[] SEC("license") = "GPL";
