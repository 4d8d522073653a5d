/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps and the state kept for each socket. Every object declares these maps; those of
 * conn.bpf.c are the ones that are used: the agent hands them to the other objects before it loads
 * them. */
#ifndef WEFT_LIB_MAPS_H
#define WEFT_LIB_MAPS_H

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "abi/weft_abi.h"
#include "compat.h"
#include "lib/flavour.h"
#include "sniff/http1.h"
#include "sniff/http2.h"
#include "sniff/tls.h"

#define VERDICT_UNKNOWN 0
#define VERDICT_HTTP1 1
#define VERDICT_HTTP2 2
#define VERDICT_TLS 3	/* its bytes are only counted; the plaintext comes from elsewhere */
#define VERDICT_OTHER 4 /* not ours, for good */

/* What may still become HTTP/2. */
#define HINT_NONE 0
#define HINT_PREFACE 1	/* one side has sent the preface, and nothing behind it yet */
#define HINT_SETTINGS 2 /* the side that sends no preface has spoken first, a SETTINGS frame */

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
	/* HTTP/2: where in the frames the direction stands. */
	__u32 frame_left; /* bytes of payload that have not passed yet */
	__u8 header_have; /* bytes of a frame's header that have come, at most 8 */
	__u8 frame_is_data;
	__u8 frames_lost; /* the place is unknown until frames are recognized again */
	__u8 _pad;
	__u64 header;
};

/* The first bytes of a socket of unknown protocol, and room for what is read behind them. */
struct first_bytes {
	__u8 bytes[2 * SNIFF_BYTES];
};

struct socket_state {
	__u64 cookie;
	__u64 birth_ns;
	struct direction_state direction[2];
	__u8 verdict;
	__u8 last; /* direction that spoke last */
	__u8 flags;
	__u8 tries;    /* sniffs without an answer, for a socket that was joined */
	__u8 protocol; /* enum weft_protocol: as what its records are announced */
	__u8 hint;
	__u8 prefix_length;
	__u8 _pad;
	/* The process that made the last call is no Go program, as of this count of go_births. */
	__u32 plain_tgid;
	__u32 plain_since;
	struct first_bytes prefix;
};

/* Written before the load by the agent; in a section of its own, where it finds it in every object.
 */
const volatile struct weft_settings settings SEC(".rodata.settings") = {
    .abi_version = WEFT_ABI_VERSION, .outbox_bytes = WEFT_OUTBOX_SMALLEST};

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

/* Whether to look for one: WEFT_ENDS_TOLD_PLACE of a cookie. The agent writes, programs read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, WEFT_ENDS_TOLD * sizeof(__u32));
} ends_told SEC(".maps");

/* Programs write, the agent reads; never dies. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct weft_counters);
} counters SEC(".maps");

/* Where a record is put together that cannot be read straight into a ring. Twice the room, so that
 * offset and length may each be bounded by themselves. One per CPU (the value is too large for a
 * per-CPU map). The agent sets the number of entries. */
struct gather_scratch {
	__u64 taken; /* a tracepoint runs without preemption, a uprobe does not */
	/* How far a copy of several pieces has come. Here, so that the verifier need not follow the
	 * numbers through the loop. */
	struct copy_state {
		__u64 copied;
		__u64 passed; /* bytes still to be left out */
		__u64 gone;   /* bytes in the pieces at hand that lie behind */
	} copy;
	struct weft_data head;
	__u8 bytes[2 * WEFT_CAPTURE_MAX + 8];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gather_scratch);
} scratch SEC(".maps");

/* Bounds a length in the very register that holds it: a comparison that the compiler makes may look
 * at a copy, and then older verifiers know nothing of the value itself. */
#define BOUND(value, limit)                              \
	({                                               \
		__u64 bounded = (value), most = (limit); \
		asm volatile("if %0 <= %1 goto +1\n\t"   \
			     "%0 = %1"                   \
			     : "+r"(bounded)             \
			     : "r"(most));               \
		bounded;                                 \
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

/* Takes what one program of a CPU may use at a time; false while one that was interrupted or
 * preempted is using it. A store of 0 gives it back. */
static __always_inline bool taken__set(__u64 *taken)
{
#ifdef WEFT_STATE_HASH
	/* Nothing is preempted where these objects are used but by interrupts, which give back what
	 * they take; and an exchange is what older kernels do not have. */
	if (*taken)
		return false;
	*taken = 1;
	return true;
#else
	return !__sync_lock_test_and_set(taken, 1);
#endif
}

/* The scratch of this CPU, or null when a program that was preempted is using it. */
static __always_inline struct gather_scratch *scratch__take(__u32 cpu)
{
	struct gather_scratch *g = bpf_map_lookup_elem(&scratch, &cpu);

	return g && taken__set(&g->taken) ? g : NULL;
}

static __always_inline void scratch__release(struct gather_scratch *g)
{
	g->taken = 0;
}

static __always_inline void count__unread_buffer(void)
{
	struct weft_counters *c = counters__get();

	if (c)
		c->unread_buffers++;
}

#endif /* WEFT_LIB_MAPS_H */
