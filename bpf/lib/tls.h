/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which socket is behind a call into a TLS library? The probes of tls.bpf.c note the call in the
 * storage of the thread; the hooks that see the sockets come here with every event of a socket that
 * carries TLS. An event inside a call binds the two. A library that writes to memory and leaves the
 * socket to its caller (Node, asyncio) has no event inside: then the last receive before a call and
 * the first send behind it are votes, counted in tls.bpf.c. docs/adr/0008 */
#ifndef WEFT_LIB_TLS_H
#define WEFT_LIB_TLS_H

#include "lib/go_tls.h"
#include "lib/tls_call.h"

#define TLS_DEPTH 2 /* TLS inside TLS, or a read inside a write (case T11) */

#define TLS_NONE 0
#define TLS_ONE 1
#define TLS_SEVERAL 2

/* A socket as the storage of a thread remembers it. */
struct tls_seen {
	__u64 cookie;
	__u32 sequence;
	__u8 flags;
	__u8 _pad[3];
};

struct tls_thread {
	struct tls_call calls[TLS_DEPTH];
	struct tls_seen received; /* outside of calls, since the last reading call */
	struct tls_seen sent;	  /* the first send behind `wrote` */
	__u64 wrote;		  /* the session that made output without a send inside */
	__u64 sent_by;		  /* the session that `sent` is a vote for, or 0 */
	__u8 received_from;	  /* TLS_NONE, TLS_ONE, TLS_SEVERAL: how many sockets */
	__u8 written_by;	  /* the same for sessions */
	__u8 depth;
	__u8 is_probed; /* has called a library that has probes */
	__u8 is_ignored;
	__u8 is_told; /* the agent knows that this process speaks TLS */
	__u8 _pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tls_thread);
} tls_threads SEC(".maps");

/* Processes that the agent should look at: they speak TLS, or have just started. Programs push, the
 * agent takes; when it is full the oldest goes, and the next round of the agent finds it. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, __u32);
} tls_hints SEC(".maps");

static __always_inline void tls__hint(__u32 tgid)
{
	bpf_map_push_elem(&tls_hints, &tgid, BPF_EXIST);
}

/* A call moved `moved` bytes on a socket that carries TLS; the state's sequence stands behind them.
 */
static __always_inline void tls__on_socket_event(struct sock *sk, struct socket_state *s,
						 struct call *call, __u32 moved)
{
	__u32 start = s->direction[call->direction & 1].sequence - moved;
	struct tls_thread *t;
	struct tls_seen seen = {.cookie = s->cookie, .sequence = start};

	if (go__on_socket_event(sk, s, call, start, moved))
		return;
	t = bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(), 0,
				 BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t || t->is_ignored)
		return; /* not ours */
	if (!t->is_told) {
		t->is_told = 1;
		tls__hint(call->pid_tgid >> 32);
	}
	/* The time of a receive is not asked for: what it brought is there only when the call ends.
	 */
	if (!call->time_ns && (call->direction == WEFT_SEND || !(s->flags & SOCKET_ANNOUNCED)))
		call->time_ns = bpf_ktime_get_ns();
	if (t->is_probed)
		socket__announce(sk, s, call);
	if (t->depth) {
		if (t->depth <= TLS_DEPTH)
			tls__nested(&t->calls[(t->depth - 1) & (TLS_DEPTH - 1)], s, call, start,
				    moved);
		return;
	}
	seen.flags = s->flags;
	if (call->direction == WEFT_RECEIVE) {
		if (t->received_from == TLS_NONE) {
			t->received = seen;
			t->received_from = TLS_ONE;
		} else if (t->received.cookie != seen.cookie) {
			t->received_from = TLS_SEVERAL;
		}
		return;
	}
	if (t->written_by == TLS_ONE) {
		t->sent = seen;
		t->sent_by = t->wrote;
	}
	t->written_by = TLS_NONE;
}

#endif /* WEFT_LIB_TLS_H */
