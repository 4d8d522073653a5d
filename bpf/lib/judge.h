/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which sockets are ours: the life of a socket's state, its announcement, and the verdict about its
 * protocol. */
#ifndef WEFT_LIB_JUDGE_H
#define WEFT_LIB_JUDGE_H

#include "lib/emit.h"

#define SNIFF_TRIES 16 /* turns, for a socket that is older than the programs */

static __always_inline bool judge__is_inet(const struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	return family == AF_INET || family == AF_INET6;
}

static __always_inline __u32 judge__sequence(const struct tcp_sock *tp, __u32 direction)
{
	return direction == WEFT_SEND ? tp->write_seq : tp->copied_seq;
}

/* State for a socket that has none. `flags` say how it was met. */
static __always_inline struct socket_state *judge__create(struct sock *sk, __u64 now_ns, __u8 flags)
{
	struct socket_state *s;

	s = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s) {
		count__drop(WEFT_DROP_NO_STATE);
		return NULL;
	}
	s->cookie = bpf_get_socket_cookie(sk);
	s->birth_ns = now_ns;
	s->flags = flags;
	s->last = LAST_NONE;
	return s;
}

static __always_inline void judge__set_base(struct socket_state *s, const struct tcp_sock *tp)
{
	s->direction[WEFT_SEND].sequence = tp->write_seq;
	s->direction[WEFT_RECEIVE].sequence = tp->copied_seq;
}

/* A TCP socket whose first sign is a call: older than the programs, or one that speaks before it is
 * established (fast open). The call that just ended starts at position 0. */
static __always_inline struct socket_state *judge__adopt(struct sock *sk, const struct tcp_sock *tp,
							 __u64 now_ns, __u32 direction, __u32 moved)
{
	__u8 state = sk->__sk_common.skc_state;
	struct socket_state *s;
	__u8 flags = SOCKET_JOINED;

	if (state == TCP_SYN_SENT)
		flags = SOCKET_ACTIVE;
	else if (state == TCP_SYN_RECV)
		flags = SOCKET_PASSIVE;
	s = judge__create(sk, now_ns, flags);
	if (!s)
		return NULL;
	judge__set_base(s, tp);
	s->direction[direction].sequence -= moved;
	return s;
}

static __always_inline void judge__announce(struct sock *sk, struct socket_state *s,
					    const struct call *call)
{
	if (s->flags & SOCKET_ANNOUNCED)
		return;
	if (emit__connection(sk, s, call, WEFT_RECORD_CONNECTION))
		s->flags |= SOCKET_ANNOUNCED;
}

/* Not HTTP/1, for good. Its owner is told once where it may be a client, for those who ask who is
 * behind an address. */
static __always_inline void judge__dismiss(struct sock *sk, struct socket_state *s,
					   const struct call *call)
{
	s->verdict = VERDICT_OTHER;
	if (!(s->flags & SOCKET_PASSIVE))
		judge__announce(sk, s, call);
}

/* A function of its own, and not a static one: so the verifier looks at its loop once. */
__noinline int judge__match(struct first_bytes *prefix, __u32 have, __u32 may_be_response)
{
	int verdict;

	if (!prefix)
		return SNIFF_NO;
	verdict = sniff__http1_request(prefix->bytes, have);
	if (verdict == SNIFF_NO && may_be_response)
		verdict = sniff__http1_response(prefix->bytes, have);
	return verdict;
}

/* Reads the call's first bytes behind those that are kept already, and looks at all of them. */
static __always_inline int judge__sniff(struct socket_state *s, struct user_buffer *buffer,
					__u32 moved)
{
	__u64 have = BOUND(s->prefix_length, SNIFF_BYTES);
	__u64 n = BOUND(moved, SNIFF_BYTES);

	if (buffer->iovec_count) {
		__u32 cpu = bpf_get_smp_processor_id();
		struct gather_scratch *g = bpf_map_lookup_elem(&scratch, &cpu);

		n = g ? read__gather(buffer, 0, n, cpu) : 0;
		n = BOUND(n, SNIFF_BYTES);
		if (!g || bpf_probe_read_kernel(s->prefix.bytes + have, n, g->bytes))
			n = 0;
	} else {
		if (n > buffer->length)
			n = buffer->length;
		n = BOUND(n, SNIFF_BYTES);
		if (bpf_probe_read_user(s->prefix.bytes + have, n, (const void *)buffer->base))
			n = 0;
	}
	if (n == 0)
		return SNIFF_NO;
	have = BOUND(have + n, SNIFF_BYTES);
	s->prefix_length = have;
	return judge__match(&s->prefix, have, s->flags & SOCKET_JOINED);
}

/* Decides about a socket of unknown protocol; true when this call is to be recorded. A socket seen
 * from birth is judged by the first bytes that anybody sends on it. One that was joined is looked
 * at only where the direction turns, so that nothing inside a body can match (case T24). */
static __always_inline bool judge__call(struct sock *sk, struct socket_state *s,
					const struct call *call, struct user_buffer *buffer,
					__u32 moved, bool first, bool turned)
{
	int verdict;

	if (s->flags & SOCKET_JOINED) {
		judge__announce(sk, s, call);
		if (first || !turned)
			return false;
		s->prefix_length = 0;
		if (buffer && judge__sniff(s, buffer, moved) == SNIFF_YES) {
			s->verdict = VERDICT_HTTP1;
			return true;
		}
		if (++s->tries >= SNIFF_TRIES)
			s->verdict = VERDICT_OTHER;
		return false;
	}
	if (turned && !first) {
		judge__dismiss(sk, s, call);
		return false;
	}
	verdict = buffer ? judge__sniff(s, buffer, moved) : SNIFF_NO;
	if (verdict == SNIFF_NO) {
		judge__dismiss(sk, s, call);
		return false;
	}
	if (verdict == SNIFF_YES)
		s->verdict = VERDICT_HTTP1;
	return true;
}

#endif /* WEFT_LIB_JUDGE_H */
