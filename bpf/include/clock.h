/* SPDX-License-Identifier: GPL-2.0-only */
/* The clock of sessions, for programs at tc. */
#ifndef CUBEPLANE_CLOCK_H
#define CUBEPLANE_CLOCK_H

#include "headers.h"
#include "maps.h"

/* Shortly before a second ends, ns: two ticks of the slowest clock that a kernel may have (HZ=100). */
#define SECOND_END 20000000

/* coarse_seconds(), asked for once a tick of the kernel's clock: between two it says the same, and takes as long as some lookups. */
static __always_inline u32 cpu_seconds(struct flow_cpu *cpu)
{
	u64 jiffies = bpf_jiffies64(), ns;

	if (likely(cpu->jiffies == jiffies))
		return cpu->second;
	ns = bpf_ktime_get_coarse_ns();
	/* the tick moves one clock right after the other, and this CPU may have seen the first alone */
	if ((ns & ((1 << 30) - 1)) < (1 << 30) - SECOND_END) {
		cpu->second = ns >> 30;
		cpu->jiffies = jiffies;
	}
	return ns >> 30;
}

static __always_inline u32 packet_seconds(void)
{
	u32 zero = 0;
	struct flow_cpu *cpu = bpf_map_lookup_elem(&flow_cpu, &zero);

	return cpu ? cpu_seconds(cpu) : coarse_seconds();
}

#endif
