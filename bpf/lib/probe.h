/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What happens when a call has moved bytes on a socket: where in the stream it stands, whether the
 * socket is ours, what is recorded. */
#ifndef WEFT_LIB_PROBE_H
#define WEFT_LIB_PROBE_H

#include "lib/life.h"
#include "lib/stream.h"

#if __has_include("lib/tls.h") && !defined(WEFT_STATE_HASH)
#include "lib/tls.h"
#endif

/* Moves the position over the call and fills in where it started. A FIN that was read with the last
 * data counts one in copied_seq, and is no byte. */
static __always_inline void probe__advance(struct direction_state *d, const struct sock *sk,
					   __u32 sequence, __u32 direction, struct data *data)
{
	__u32 delta = sequence - d->sequence;

	d->sequence = sequence;
	if (unlikely(direction == WEFT_RECEIVE && delta == data->length + 1 &&
		     (FIELD(sk, sk_shutdown) & RCV_SHUTDOWN))) {
		delta--;
		sequence--;
	}
	d->end += delta;
	data->position = d->end >= data->length ? d->end - data->length : 0;
	data->sequence = sequence - data->length;
}

/* A UDP socket: its owner, once. */
static __always_inline int probe__udp_send(struct sock *sk, int ret)
{
	struct task_struct *task = current_task();
	struct call call = {.pid_tgid = emit__pid_tgid(task)};
	struct socket_state *s;

	if (ret < 0 || call.pid_tgid >> 32 == settings.own_tgid)
		return 0; /* not ours */
	s = socket__find(sk);
	if (s && (s->flags & SOCKET_ANNOUNCED))
		return 0; /* known already */
	call.time_ns = bpf_ktime_get_ns();
	call.process_start_ns = emit__process_start(task);
	if (!s)
		s = socket__create(sk, call.time_ns, 0);
	if (s && emit__connection(sk, s, &call, WEFT_RECORD_SOCKET_OWNER))
		s->flags |= SOCKET_ANNOUNCED;
	return 0;
}

#ifndef WEFT_STATE_HASH
/* A recvmmsg or sendmmsg that failed is over. */
static __always_inline int probe__failed_call(struct sock *sk, __u32 direction)
{
	struct socket_state *s;

	if (!mmsg_seen)
		return 0; /* nothing moved */
	s = socket__find(sk);
	if (s)
		s->direction[direction].mmsg_base = 0;
	return 0;
}
#endif

/* A call that moved ciphertext: counted, and shown to whoever binds plaintext to sockets. */
static __always_inline int probe__ciphertext(struct sock *sk, struct socket_state *s,
					     struct call *call, __u32 moved)
{
#ifdef WEFT_LIB_TLS_H
	tls__on_socket_event(sk, s, call, moved);
#endif
	return 0;
}

/* Of a socket that has just been found not to be ours its owner is told once where it may be a
 * client, for those who ask who is behind an address. */
static __always_inline int probe__dismissed(struct sock *sk, struct socket_state *s,
					    struct call *call, __u32 moved)
{
	if (!(s->flags & SOCKET_PASSIVE))
		socket__announce(sk, s, call);
	return s->verdict == VERDICT_TLS ? probe__ciphertext(sk, s, call, moved) : 0;
}

/* Once somebody uses sendmmsg and recvmmsg, every message of such a call is counted. */
static __always_inline bool probe__needs_no_memory(const struct socket_state *s,
						   const struct direction_state *d,
						   const struct data *data)
{
#ifdef WEFT_STATE_HASH
	return false; /* the memory was noted when the call began */
#else
	return !mmsg_seen && stream__is_length_only(s, d, data);
#endif
}

/* A call that moved bytes, or met the end of the stream, on a TCP socket. `memory` is that of the
 * call, unless it does not hold what the call moved. */
static __always_inline int probe__tcp_work(struct sock *sk, struct work *w, int ret,
					   const __u32 direction, call_memory memory)
{
	struct user_buffer *buffer = &w->buffer;
	struct call *call = &w->call;
	struct data *data = &w->data;
	struct direction_state *d;
	struct task_struct *task;
	struct socket_state *s;
	struct tcp_sock *tp;
	__u32 how, may_start = 0;

	/* First of all: traffic that is not HTTP pays for no more. */
	s = socket__find(sk);
	if (s && s->verdict == VERDICT_OTHER)
		return 0; /* not ours */
	task = current_task();
	*call = (struct call){.pid_tgid = emit__pid_tgid(task), .direction = direction};
	*data = (struct data){.length = ret};
	if (unlikely(call->pid_tgid >> 32 == settings.own_tgid))
		return 0; /* not ours */
	tp = socket__tcp(sk);
	if (unlikely(!tp))
		return 0; /* not ours */
	call->process_start_ns = emit__process_start(task);
	if (unlikely(s && s->verdict == VERDICT_TLS && ret)) {
		probe__advance(&s->direction[direction], sk, socket__sequence(tp, direction),
			       direction, data);
		return probe__ciphertext(sk, s, call, ret);
	}
	call->time_ns = bpf_ktime_get_ns();
	if (unlikely(ret == 0)) {
		if (s && life__is_recorded(s))
			life__check_receive_end(sk, s, call->time_ns);
		return 0; /* no bytes */
	}
	if (unlikely(!s)) {
		s = socket__adopt(sk, tp, call->time_ns, direction, ret);
		may_start = socket__may_start(tp, direction, ret) ? CALL_MAY_START : 0;
	}
	if (unlikely(!s))
		return 0; /* counted */
	d = &s->direction[direction];
	probe__advance(d, sk, socket__sequence(tp, direction) - read__behind(memory), direction,
		       data);
	how = stream__turn(s, direction) | may_start;
	buffer->kind = BUFFER_NONE;
	buffer->iovec_count = 0;
	stream__meet_end(s, d, direction, data);
	if (likely(memory) && !probe__needs_no_memory(s, d, data) && likely(socket__has_file(sk)))
		read__where(d, task, memory, direction, buffer);
	if (unlikely(s->verdict == VERDICT_UNKNOWN)) {
		if (s->flags & SOCKET_JOINED)
			socket__announce(sk, s, call);
		if (!stream__judge(s, call, data, buffer, how))
			return s->verdict == VERDICT_UNKNOWN ? 0
							     : probe__dismissed(sk, s, call, ret);
	}
	socket__announce(sk, s, call);
	if (unlikely(!(s->flags & SOCKET_ANNOUNCED)))
		return 0; /* counted where there was no room for it */
	stream__record(s, call, data, buffer);
	if (direction == WEFT_RECEIVE)
		life__check_receive_end(sk, s, call->time_ns);
	return 0;
}

static __always_inline int probe__tcp_data(struct sock *sk, int ret, const __u32 direction,
					   call_memory memory)
{
#ifdef WEFT_STATE_HASH
	struct work *w = work__take(sk);

	if (!w)
		return 0; /* counted */
	probe__tcp_work(sk, w, ret, direction, memory);
	work__give_back(w);
	return 0;
#else
	struct work w;

	return probe__tcp_work(sk, &w, ret, direction, memory);
#endif
}

#endif /* WEFT_LIB_PROBE_H */
