/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What happens at each attach point: where in the stream the call stands, and how much of it is
 * copied. docs/adr/0002 has the reasons for the copy budget. */
#ifndef WEFT_LIB_PROBE_H
#define WEFT_LIB_PROBE_H

#include "lib/judge.h"

/* Moves the position over the call and fills in where it started. A FIN that was read with the last
 * data counts one in copied_seq, and is no byte. */
static __always_inline void probe__advance(struct direction_state *d, const struct sock *sk,
					   __u32 sequence, __u32 direction, struct data *data)
{
	__u32 delta = sequence - d->sequence;

	d->sequence = sequence;
	if (direction == WEFT_RECEIVE && delta == data->length + 1 &&
	    (sk->sk_shutdown & RCV_SHUTDOWN)) {
		delta--;
		sequence--;
	}
	d->end += delta;
	data->position = d->end >= data->length ? d->end - data->length : 0;
	data->sequence = sequence - data->length;
}

/* How much of the call is copied, and from where. Within the budget: its start. Beyond it, only
 * lengths travel, unless the agent has said that the message ends inside this call. */
static __always_inline void probe__spend_budget(const struct socket_state *s,
						struct direction_state *d, __u32 direction,
						bool readable, struct data *data)
{
	if (data->length > d->budget) {
		struct weft_message_end_key key = {.cookie = s->cookie, .direction = direction};
		__u64 *end = bpf_map_lookup_elem(&message_ends, &key);

		if (end && *end < data->position + data->length) {
			if (*end >= data->position) {
				data->offset = *end - data->position;
				d->budget = settings.head_bytes;
			}
			bpf_map_delete_elem(&message_ends, &key);
		}
	}
	if (!readable)
		return; /* a file's bytes cost nothing of the budget */
	data->want = data->length - data->offset;
	if (data->want > d->budget)
		data->want = d->budget;
	d->budget -= data->want;
}

/* The peer's FIN has arrived and all before it was read. */
static __always_inline void probe__check_receive_end(struct sock *sk, const struct tcp_sock *tp,
						     struct socket_state *s, __u64 time_ns)
{
	if (!(sk->sk_shutdown & RCV_SHUTDOWN) || (s->flags & SOCKET_RECEIVE_ENDED))
		return;
	if (tp->rcv_nxt - tp->copied_seq > 1)
		return;
	s->flags |= SOCKET_RECEIVE_ENDED;
	emit__end(s, time_ns, WEFT_RECORD_END, WEFT_RECEIVE, s->direction[WEFT_RECEIVE].end);
}

/* A UDP socket: its owner, once. */
static __always_inline int probe__udp_send(struct sock *sk, int ret)
{
	struct call call = {.pid_tgid = bpf_get_current_pid_tgid()};
	struct socket_state *s;

	if (ret < 0 || call.pid_tgid >> 32 == settings.own_tgid)
		return 0; /* not ours */
	s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (s && (s->flags & SOCKET_ANNOUNCED))
		return 0; /* known already */
	call.time_ns = bpf_ktime_get_ns();
	if (!s)
		s = judge__create(sk, call.time_ns, 0);
	if (s && emit__connection(sk, s, &call, WEFT_RECORD_SOCKET_OWNER))
		s->flags |= SOCKET_ANNOUNCED;
	return 0;
}

/* A recvmmsg or sendmmsg that failed is over. */
static __always_inline int probe__failed_call(struct sock *sk, __u32 direction)
{
	struct socket_state *s;

	if (!mmsg_seen)
		return 0; /* nothing moved */
	s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (s)
		s->direction[direction].mmsg_base = 0;
	return 0;
}

static __always_inline void probe__record(struct sock *sk, struct socket_state *s,
					  const struct call *call, struct data *data,
					  struct user_buffer *buffer)
{
	struct direction_state *d = &s->direction[call->direction];

	judge__announce(sk, s, call);
	if (!(s->flags & SOCKET_ANNOUNCED))
		return; /* counted where there was no room for it */
	probe__spend_budget(s, d, call->direction, buffer, data);
	if (data->want == 0) {
		read__pass_mmsg(d, call->direction);
		buffer = NULL;
	}
	if (buffer && !buffer->iovec_count) {
		__u64 length = buffer->length;

		if (length <= data->offset)
			buffer = NULL;
		else if (data->want > length - data->offset)
			data->want = length - data->offset;
	}
	emit__data(s, call, data, buffer);
}

/* A call that moved bytes, or met the end of the stream, on a TCP socket. `has_bytes` is false when
 * the call's memory does not hold what it moved. */
static __always_inline int probe__tcp_data(struct sock *sk, int ret, const __u32 direction,
					   bool has_bytes)
{
	struct call call = {.pid_tgid = bpf_get_current_pid_tgid(), .direction = direction};
	struct user_buffer buffer;
	struct data data = {.length = ret};
	struct direction_state *d;
	struct socket_state *s;
	struct tcp_sock *tp;
	bool first, turned, readable = false;

	if (call.pid_tgid >> 32 == settings.own_tgid)
		return 0; /* not ours */
	s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (s && s->verdict == VERDICT_OTHER)
		return 0; /* not ours */
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0; /* not ours */
	call.time_ns = bpf_ktime_get_ns();
	if (ret == 0) {
		if (s && s->verdict == VERDICT_HTTP1)
			probe__check_receive_end(sk, tp, s, call.time_ns);
		return 0; /* no bytes */
	}
	if (!s)
		s = judge__adopt(sk, tp, call.time_ns, direction, ret);
	if (!s)
		return 0; /* counted */
	d = &s->direction[direction];
	probe__advance(d, sk, judge__sequence(tp, direction), direction, &data);
	first = s->last == LAST_NONE;
	turned = s->last != direction;
	s->last = direction;
	if (turned)
		d->budget = settings.head_bytes;
	if (s->verdict == VERDICT_UNKNOWN || d->budget || data.length > d->budget)
		readable = has_bytes && sk->sk_socket && sk->sk_socket->file &&
			   read__locate(d, direction, ret, &buffer);
	if (s->verdict == VERDICT_UNKNOWN &&
	    !judge__call(sk, s, &call, readable ? &buffer : NULL, ret, first, turned))
		return 0; /* not ours, or not yet */
	probe__record(sk, s, &call, &data, readable ? &buffer : NULL);
	if (direction == WEFT_RECEIVE)
		probe__check_receive_end(sk, tp, s, call.time_ns);
	return 0;
}

static __always_inline void probe__established(struct sock *sk, int old_state)
{
	__u64 now_ns = bpf_ktime_get_ns();
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct socket_state *s;

	if (!tp)
		return; /* not ours */
	s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (s) { /* fast open: it has sent before, and could not receive */
		if (s->last != WEFT_RECEIVE)
			s->direction[WEFT_RECEIVE].sequence = tp->copied_seq;
		return;
	}
	s = judge__create(sk, now_ns, old_state == TCP_SYN_SENT ? SOCKET_ACTIVE : SOCKET_PASSIVE);
	if (s)
		judge__set_base(s, tp);
}

/* The socket will carry nothing more. Said once. */
static __always_inline void probe__closed(struct sock *sk)
{
	struct socket_state *s = bpf_sk_storage_get(&sockets, sk, 0, 0);

	if (!s || !(s->flags & SOCKET_ANNOUNCED) || (s->flags & SOCKET_CLOSED))
		return; /* never announced */
	s->flags |= SOCKET_CLOSED;
	emit__end(s, bpf_ktime_get_ns(), WEFT_RECORD_CLOSED, 0, 0);
}

static __always_inline void probe__ending(struct sock *sk, int new_state)
{
	struct socket_state *s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct tcp_sock *tp;

	if (!s || s->verdict != VERDICT_HTTP1 || !(s->flags & SOCKET_ANNOUNCED))
		return; /* not ours */
	if (new_state == TCP_CLOSE_WAIT) {
		tp = bpf_skc_to_tcp_sock(sk);
		if (tp)
			probe__check_receive_end(sk, tp, s, bpf_ktime_get_ns());
		return;
	}
	if (s->flags & SOCKET_SEND_ENDED)
		return; /* said already */
	s->flags |= SOCKET_SEND_ENDED;
	emit__end(s, bpf_ktime_get_ns(), WEFT_RECORD_END, WEFT_SEND, s->direction[WEFT_SEND].end);
}

/* A closed socket may hold bytes that its owner has yet to read: then tcp_destroy_sock, which comes
 * when the owner lets go, says that it is over. */
static __always_inline void probe__state_closed(struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	if (tp && tp->rcv_nxt - tp->copied_seq <= 1)
		probe__closed(sk);
}

#endif /* WEFT_LIB_PROBE_H */
