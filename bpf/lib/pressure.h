/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What gives way when there is no room in the outbox of a CPU and its records go into its ring:
 * only then is anything asked about pressure, so that it costs nothing while the agent keeps up.
 * docs/adr/0013 */
#ifndef WEFT_LIB_PRESSURE_H
#define WEFT_LIB_PRESSURE_H

#include "lib/maps.h"

/* What a record may do. */
#define ROOM_WHOLE 0
#define ROOM_SHORT 1   /* with a short head */
#define ROOM_REFUSED 2 /* not at all; counted */

#define ROOM_NOT_TOLD 8 /* bytes that a ring adds to each record */

/* How much may lie in a ring of `bytes` before heads become short, and before connections are
 * sampled. */
#define FILL_SHORT(bytes) ((bytes) - (bytes) / 4)
#define FILL_SAMPLED(bytes) ((bytes) - (bytes) / 8)
#define SAMPLED_BITS 3 /* one connection in eight is kept */

/* Containers that have used the rings, by the id of their cgroup. Programs write, the agent
 * reads what was dropped; the least recently used makes room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct weft_cgroup);
} cgroups SEC(".maps");

static __always_inline struct weft_cgroup *pressure__cgroup(__u64 id)
{
	static const struct weft_cgroup empty = {};
	struct weft_cgroup *c = bpf_map_lookup_elem(&cgroups, &id);

	if (c)
		return c;
	bpf_map_update_elem(&cgroups, &id, &empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(&cgroups, &id);
}

/* A bucket of bytes for each container. CPUs that write at once may forget each other's bytes: what
 * they forget is small against what the bucket holds. */
static __always_inline bool pressure__pays(struct weft_cgroup *c, __u32 size)
{
	__u64 now_ns = bpf_ktime_get_ns(), passed_ms = (now_ns - c->filled_ns) >> 20;
	__u64 tokens = c->tokens;

	if (passed_ms) {
		/* Longer ago than the bucket takes to fill; and so is the first time. */
		if (passed_ms >= settings.cgroup_fill_ms)
			tokens = settings.cgroup_burst;
		else
			tokens += passed_ms * settings.cgroup_bytes_per_ms;
		if (tokens > settings.cgroup_burst)
			tokens = settings.cgroup_burst;
		c->filled_ns = now_ns;
	}
	c->tokens = tokens >= size ? tokens - size : tokens;
	return tokens >= size;
}

/* Why a record of the stream `cookie` may not go into a ring in which `used` bytes lie;
 * WEFT_DROP_REASON_COUNT when it may. A record without a cookie says that something is over. */
static __always_inline __u32 pressure__reason(struct weft_cgroup *c, __u64 cookie, __u32 size,
					      __u64 used)
{
	if (used + size > settings.ring_bytes)
		return WEFT_DROP_RING_FULL;
	if (!cookie)
		return WEFT_DROP_REASON_COUNT;
	if (used > FILL_SAMPLED((__u64)settings.ring_bytes) &&
	    cookie * 0x9e3779b97f4a7c15ULL >> (64 - SAMPLED_BITS))
		return WEFT_DROP_SAMPLED;
	if (c && settings.cgroup_bytes_per_ms && !pressure__pays(c, size))
		return WEFT_DROP_CGROUP_RATE;
	return WEFT_DROP_REASON_COUNT;
}

/* May a record go into the ring of this CPU? Numbers only, so that any verifier lets it be a
 * function of its own. Cost: about 100 ns. */
__noinline int pressure__choose(__u64 cookie, __u32 size)
{
	__u32 cpu = bpf_get_smp_processor_id(), reason;
	void *ring = bpf_map_lookup_elem(&rings, &cpu);
	struct weft_cgroup *c = NULL;
	__u64 used, id;

	if (!ring) {
		count__drop(WEFT_DROP_NO_RING);
		return ROOM_REFUSED;
	}
	used = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
	/* The root, where all are on machines without this hierarchy, has no bucket. What says that
	 * something is over is said by whoever has noticed it. */
	id = cookie ? bpf_get_current_cgroup_id() : 0;
	if (id > 1)
		c = pressure__cgroup(id);
	reason = pressure__reason(c, cookie, size, used);
	if (reason < WEFT_DROP_REASON_COUNT) {
		count__drop(reason);
		if (c)
			c->drops[reason]++;
		return ROOM_REFUSED;
	}
	return used > FILL_SHORT((__u64)settings.ring_bytes) ? ROOM_SHORT : ROOM_WHOLE;
}

#endif /* WEFT_LIB_PRESSURE_H */
