/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The life of a TCP socket: birth, the ends of its directions, its end. */
#ifndef WEFT_LIB_LIFE_H
#define WEFT_LIB_LIFE_H

#include "lib/socket.h"

static __always_inline bool life__is_recorded(const struct socket_state *s)
{
	return s->verdict == VERDICT_HTTP1 || s->verdict == VERDICT_HTTP2;
}

/* The peer's FIN has arrived and all before it was read. */
static __always_inline void life__check_receive_end(struct sock *sk, struct socket_state *s,
						    __u64 time_ns)
{
	struct tcp_sock *tp;

	if (likely(!(FIELD(sk, sk_shutdown) & RCV_SHUTDOWN)) || (s->flags & SOCKET_RECEIVE_ENDED))
		return;
	tp = socket__tcp(sk);
	if (!tp || FIELD(tp, rcv_nxt) - FIELD(tp, copied_seq) > 1)
		return;
	s->flags |= SOCKET_RECEIVE_ENDED;
	emit__end(s, time_ns, WEFT_RECORD_END, WEFT_RECEIVE, s->direction[WEFT_RECEIVE].end);
}

static __always_inline void life__established(struct sock *sk, int old_state)
{
	__u64 now_ns = bpf_ktime_get_ns();
	struct tcp_sock *tp = socket__tcp(sk);
	struct socket_state *s;

	if (!tp)
		return; /* not ours */
	s = socket__find(sk);
	if (s) { /* fast open: it has sent before, and could not receive */
		if (s->last != WEFT_RECEIVE)
			s->direction[WEFT_RECEIVE].sequence = FIELD(tp, copied_seq);
		return;
	}
	s = socket__create(sk, now_ns, old_state == TCP_SYN_SENT ? SOCKET_ACTIVE : SOCKET_PASSIVE);
	if (s)
		socket__set_base(s, tp);
}

/* The socket will carry nothing more. Said once. */
static __always_inline void life__closed(struct sock *sk)
{
	struct socket_state *s = socket__find(sk);

	if (!s || !(s->flags & SOCKET_ANNOUNCED) || (s->flags & SOCKET_CLOSED))
		return; /* never announced */
	s->flags |= SOCKET_CLOSED;
	emit__end(s, bpf_ktime_get_ns(), WEFT_RECORD_CLOSED, 0, 0);
}

static __always_inline void life__ending(struct sock *sk, int new_state)
{
	struct socket_state *s = socket__find(sk);

	if (!s || !life__is_recorded(s) || !(s->flags & SOCKET_ANNOUNCED))
		return; /* not ours */
	if (new_state == TCP_CLOSE_WAIT) {
		life__check_receive_end(sk, s, bpf_ktime_get_ns());
		return;
	}
	if (s->flags & SOCKET_SEND_ENDED)
		return; /* said already */
	s->flags |= SOCKET_SEND_ENDED;
	emit__end(s, bpf_ktime_get_ns(), WEFT_RECORD_END, WEFT_SEND, s->direction[WEFT_SEND].end);
}

/* A closed socket may hold bytes that its owner has yet to read: then tcp_destroy_sock, which comes
 * when the owner lets go, says that it is over. */
static __always_inline void life__state_closed(struct sock *sk)
{
	struct tcp_sock *tp = socket__tcp(sk);

	if (tp && FIELD(tp, rcv_nxt) - FIELD(tp, copied_seq) <= 1)
		life__closed(sk);
}

#endif /* WEFT_LIB_LIFE_H */
