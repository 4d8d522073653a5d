/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Sockets: which are ours, how their state begins, how they are announced. */
#ifndef WEFT_LIB_SOCKET_H
#define WEFT_LIB_SOCKET_H

#include "lib/emit.h"
#include "lib/socket_map.h"

static __always_inline bool socket__is_inet(const struct sock *sk)
{
	__u16 family = FIELD(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

static __always_inline __u32 socket__sequence(const struct tcp_sock *tp, __u32 direction)
{
	return direction == WEFT_SEND ? FIELD(tp, write_seq) : FIELD(tp, copied_seq);
}

/* State for a socket that has none. `flags` say how it was met. */
static __always_inline struct socket_state *socket__create(struct sock *sk, __u64 now_ns,
							   __u8 flags)
{
	struct socket_state *s;

	s = socket__make(sk);
	if (!s) {
		count__drop(WEFT_DROP_NO_STATE);
		return NULL;
	}
	s->cookie = socket__cookie(sk, now_ns);
	s->birth_ns = now_ns;
	s->flags = flags;
	s->last = LAST_NONE;
	s->protocol = WEFT_PROTOCOL_HTTP1;
	return s;
}

static __always_inline void socket__set_base(struct socket_state *s, const struct tcp_sock *tp)
{
	s->direction[WEFT_SEND].sequence = FIELD(tp, write_seq);
	s->direction[WEFT_RECEIVE].sequence = FIELD(tp, copied_seq);
}

/* A TCP socket whose first sign is a call: older than the programs, or one that speaks before it is
 * established (fast open). The call that just ended starts at position 0. */
static __always_inline struct socket_state *socket__adopt(struct sock *sk,
							  const struct tcp_sock *tp, __u64 now_ns,
							  __u32 direction, __u32 moved)
{
	__u8 state = FIELD(sk, __sk_common.skc_state);
	struct socket_state *s;
	__u8 flags = SOCKET_JOINED;

	if (state == TCP_SYN_SENT)
		flags = SOCKET_ACTIVE;
	else if (state == TCP_SYN_RECV)
		flags = SOCKET_PASSIVE;
	s = socket__create(sk, now_ns, flags);
	if (!s)
		return NULL;
	socket__set_base(s, tp);
	s->direction[direction].sequence -= moved;
	return s;
}

static __always_inline void socket__announce(struct sock *sk, struct socket_state *s,
					     const struct call *call)
{
	if (likely(s->flags & SOCKET_ANNOUNCED))
		return;
	if (emit__connection(sk, s, call, WEFT_RECORD_CONNECTION))
		s->flags |= SOCKET_ANNOUNCED;
}

/* May the first call that is seen of an old socket stand at the start of a message? Not when one
 * side has spoken before and the other never: that is a first request under way (case T15). */
static __always_inline bool socket__may_start(const struct tcp_sock *tp, __u32 direction,
					      __u32 moved)
{
	__s64 before;

	if (direction == WEFT_SEND)
		return FIELD(tp, bytes_received) || FIELD(tp, bytes_sent) <= moved;
	before =
	    FIELD(tp, bytes_received) - (__u32)(FIELD(tp, rcv_nxt) - FIELD(tp, copied_seq)) - moved;
	return FIELD(tp, bytes_sent) || before <= 0;
}

#endif /* WEFT_LIB_SOCKET_H */
