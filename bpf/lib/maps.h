/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps and the state kept for each socket. */
#ifndef WEFT_LIB_MAPS_H
#define WEFT_LIB_MAPS_H

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "abi/weft_abi.h"
#include "compat.h"
#include "sniff/http1.h"

#define VERDICT_UNKNOWN 0
#define VERDICT_HTTP1 1
#define VERDICT_OTHER 2

#define LAST_NONE 2 /* no direction has spoken yet */

#define SOCKET_JOINED WEFT_CONNECTION_JOINED
#define SOCKET_ACTIVE WEFT_CONNECTION_ACTIVE
#define SOCKET_PASSIVE WEFT_CONNECTION_PASSIVE
#define SOCKET_ANNOUNCED 0x10
#define SOCKET_SEND_ENDED 0x20
#define SOCKET_RECEIVE_ENDED 0x40
#define SOCKET_CLOSED 0x80

struct direction_state {
	__u64 end;	 /* position behind the last byte seen */
	__u64 mmsg_base; /* the array of a sendmmsg or recvmmsg that is under way, or 0 */
	__u32 sequence;	 /* raw sequence number at `end` */
	__u32 budget;	 /* bytes that may still be copied */
	__u32 mmsg_count;
	__u32 mmsg_next;
};

/* The first bytes of a socket of unknown protocol, and room for what is read behind them. */
struct first_bytes {
	__u8 bytes[3 * SNIFF_BYTES];
};

struct socket_state {
	__u64 cookie;
	__u64 birth_ns;
	struct direction_state direction[2];
	__u8 verdict;
	__u8 last; /* direction that spoke last */
	__u8 flags;
	__u8 tries; /* sniffs without an answer, for a socket that was joined */
	__u32 prefix_length;
	struct first_bytes prefix;
};

/* Written before the load by the agent. */
const volatile struct weft_settings settings = {.abi_version = WEFT_ABI_VERSION};

/* Set once any TCP socket used sendmmsg or recvmmsg: only then do failed calls cost anything. */
__u32 mmsg_seen;

/* State of every TCP socket that lives, and a mark on UDP sockets. Programs write and read; an
 * entry dies with its socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps");

/* One ring per CPU, put in by the agent after the load. The agent sets the number. Programs write,
 * the agent reads. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
	    values, struct {
		    __uint(type, BPF_MAP_TYPE_RINGBUF);
		    __uint(max_entries, 65536);
	    });
} rings SEC(".maps");

/* Where long messages end. The agent writes; a program deletes what was passed, the agent what is
 * left when a connection closes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct weft_message_end_key);
	__type(value, __u64);
} message_ends SEC(".maps");

/* Programs write, the agent reads; never dies. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weft_counters);
} counters SEC(".maps");

/* Where a record that is gathered from several iovecs is put together. Twice the room, so that
 * offset and length may each be bounded by themselves. One per CPU (the value is too large for a
 * per-CPU map); a tracepoint runs without preemption. The agent sets the number of entries. */
struct gather_scratch {
	struct weft_data head;
	__u8 bytes[2 * WEFT_CAPTURE_MAX];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gather_scratch);
} scratch SEC(".maps");

/* Bounds a length in a way that the compiler cannot see through and the verifier can. */
#define BOUND(value, limit)                       \
	({                                        \
		__u64 bounded = (value);          \
		asm volatile("" : "+r"(bounded)); \
		if (bounded > (limit))            \
			bounded = (limit);        \
		bounded;                          \
	})

static __always_inline struct weft_counters *counters__get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

static __always_inline void count__drop(__u32 reason)
{
	struct weft_counters *c = counters__get();

	if (c && reason < WEFT_DROP_REASON_COUNT)
		c->drops[reason]++;
}

static __always_inline void count__unread_buffer(void)
{
	struct weft_counters *c = counters__get();

	if (c)
		c->unread_buffers++;
}

#endif /* WEFT_LIB_MAPS_H */
