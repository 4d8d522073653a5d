/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where records usually go: memory that one CPU writes and the agent reads. No lock, no locked
 * instruction behind the bytes of a record: that would wait until the cache lines that the agent
 * has read are this CPU's again. docs/adr/0015 */
#ifndef WEFT_LIB_OUTBOX_H
#define WEFT_LIB_OUTBOX_H

#include "lib/maps.h"

/* One per CPU. The agent sets the number, and the size by settings.outbox_bytes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct weft_outbox) + WEFT_OUTBOX_SMALLEST + WEFT_OUTBOX_SLACK);
} outboxes SEC(".maps");

/* Two programs may interrupt one another, and those of uprobes may be preempted. */
static __always_inline bool outbox__enter(struct weft_outbox *box)
{
#if defined(WEFT_STATE_HASH) && defined(__TARGET_ARCH_arm64)
	return false; /* what publishes a record in order is newer than the kernels that need this
		       */
#else
	return taken__set(&box->taken);
#endif
}

/* The outbox of this CPU, for one record of at most `size` bytes; null when there is no room, or
 * when the program that was interrupted is writing into it. */
static __always_inline struct weft_outbox *outbox__take(__u32 cpu, __u32 size)
{
	struct weft_outbox *box = bpf_map_lookup_elem(&outboxes, &cpu);

	if (unlikely(!box || !outbox__enter(box)))
		return NULL;
	if (likely(box->written - box->consumed + size <= settings.outbox_bytes))
		return box;
	box->taken = 0;
	return NULL;
}

/* Where the record is to be written: at most WEFT_OUTBOX_SLACK bytes. */
static __always_inline void *outbox__place(struct weft_outbox *box)
{
	return (__u8 *)(box + 1) + (box->written & (settings.outbox_bytes - 1));
}

/* The record, of `size` bytes, is whole: the agent may read it. */
static __always_inline void outbox__publish(struct weft_outbox *box, __u32 size)
{
	__u64 next = box->written + ((size + 7) & ~7U), mask = settings.outbox_bytes - 1;

	if (unlikely((next ^ box->written) > mask))
		next &= ~mask;
#if defined(__TARGET_ARCH_arm64) && !defined(WEFT_STATE_HASH)
	__sync_lock_test_and_set(&box->written, next); /* behind the bytes */
#else
	/* x86 shows stores in their order; the compiler need only be told. */
	asm volatile("" ::: "memory");
	*(volatile __u64 *)&box->written = next;
#endif
	asm volatile("" ::: "memory");
	*(volatile __u64 *)&box->taken = 0;
}

#endif /* WEFT_LIB_OUTBOX_H */
