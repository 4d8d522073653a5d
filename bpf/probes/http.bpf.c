// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The attach points of the HTTP/1 capture. sock_send_length and sock_recv_length (Linux 6.3) fire
 * in the caller's context behind every send and receive on a socket, with the result. */
#include "lib/probe.h"

#ifndef IPPROTO_TCP
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that the layout of every record is in the object's type information, where tests compare it.
 */
const struct weft_connection *record_connection __attribute__((unused));
const struct weft_data *record_data __attribute__((unused));
const struct weft_end *record_end __attribute__((unused));

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int ret, int flags)
{
	if (!judge__is_inet(sk))
		return 0; /* not ours */
	if (sk->sk_protocol == IPPROTO_UDP)
		return probe__udp_send(sk, ret);
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0; /* not ours */
	if (ret <= 0)
		return probe__failed_call(sk, WEFT_SEND);
	return probe__tcp_data(sk, ret, WEFT_SEND, true);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int ret, int flags)
{
	if (!judge__is_inet(sk) || sk->sk_protocol != IPPROTO_TCP)
		return 0; /* not ours */
	if (ret < 0)
		return probe__failed_call(sk, WEFT_RECEIVE);
	if (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE))
		return 0; /* the stream did not advance (case T1) */
	return probe__tcp_data(sk, ret, WEFT_RECEIVE, !(flags & MSG_TRUNC));
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int old_state, int new_state)
{
	if (sk->sk_protocol != IPPROTO_TCP || !judge__is_inet(sk))
		return 0; /* not ours */
	switch (new_state) {
	case TCP_ESTABLISHED:
		probe__established(sk, old_state);
		break;
	case TCP_CLOSE_WAIT:
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		probe__ending(sk, new_state);
		break;
	case TCP_CLOSE:
		probe__state_closed(sk);
		break;
	}
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock *sk)
{
	if (sk->sk_protocol == IPPROTO_TCP)
		probe__closed(sk);
	return 0;
}
