// SPDX-License-Identifier: GPL-2.0-only
/*
 * How full the maps are: writes a record for each map of the system, from the counters that the kernel keeps of its hash
 * maps (bpf_map_sum_elem_count, Linux 6.6), so that nobody has to walk them. Read by the agent, attached nowhere.
 */
#include "types.h"
#include <bpf/bpf_core_read.h>

/* The members of the kernel's own structures that are needed, found by CO-RE. */
struct bpf_map {
	u32 id;
	enum bpf_map_type map_type;
} __attribute__((preserve_access_index));

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} __attribute__((preserve_access_index));

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
} __attribute__((preserve_access_index));

s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym;

struct usage_event {
	u32 id;
	u32 pad;
	u53_t used; /* entries */
};
SIZE_ASSERT(struct usage_event, 16);

static __noinline int write_usage(struct seq_file *seq, struct usage_event *event)
{
	return bpf_seq_write(seq, event, sizeof(*event));
}

SEC("iter/bpf_map")
int usage(struct bpf_iter__bpf_map *ctx)
{
	struct bpf_map *map = ctx->map;
	struct usage_event event = {};
	s64 used;

	if (!map)
		return 0;
	switch (map->map_type) {
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		break;
	default:
		return 0; /* nothing counts their entries */
	}
	used = bpf_map_sum_elem_count(map);
	event.id = map->id;
	event.used = used < 0 ? 0 : used;
	write_usage(ctx->meta->seq, &event);
	return 0;
}

char _license[] SEC("license") = "GPL";
