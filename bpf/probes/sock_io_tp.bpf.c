// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A rung of the data hook: sock_send_length and sock_recv_length (Linux 6.3), which fire in the
 * caller's context behind every send and receive on a socket, with the result. */
#define WEFT_SINCE_6_2 /* as these tracepoints are, and later */
#include "lib/probe.h"

#ifndef IPPROTO_TCP
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int ret, int flags)
{
	if (!socket__is_inet(sk))
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
	if (ret < 0 && !mmsg_seen)
		return 0; /* nothing moved */
	if (!socket__is_inet(sk) || sk->sk_protocol != IPPROTO_TCP)
		return 0; /* not ours */
	if (ret < 0)
		return probe__failed_call(sk, WEFT_RECEIVE);
	if (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE))
		return 0; /* the stream did not advance (case T1) */
	return probe__tcp_data(sk, ret, WEFT_RECEIVE, !(flags & MSG_TRUNC));
}
