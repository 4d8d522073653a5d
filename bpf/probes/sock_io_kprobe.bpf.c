// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A rung of the data hook: the functions that carry every send and receive of TCP, through kprobes.
 * They are looked at when they are entered, where the arguments are, and when they return, where
 * the result is. */
#define WEFT_STATE_HASH
#include "lib/open_call.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline int leave(int ret, const __u32 direction)
{
	struct open_call c;

	if (!open_call__end(&c))
		return 0; /* begun before the programs */
	return open_call__tcp_done((struct sock *)c.sk, &c, ret, direction);
}

SEC("kprobe/tcp_sendmsg")
int BPF_KPROBE(enter_send, struct sock *sk, struct msghdr *message)
{
	return open_call__enter(sk, message, 0);
}

SEC("kretprobe/tcp_sendmsg")
int BPF_KRETPROBE(on_send, int ret)
{
	return leave(ret, WEFT_SEND);
}

/* Until 5.18 there is a parameter `nonblock` before the flags. */
SEC("kprobe/tcp_recvmsg")
int BPF_KPROBE(enter_receive_6, struct sock *sk, struct msghdr *message, size_t size, int nonblock,
	       int flags)
{
	return open_call__enter(sk, message, flags);
}

SEC("kprobe/tcp_recvmsg")
int BPF_KPROBE(enter_receive_4, struct sock *sk, struct msghdr *message, size_t size, int flags)
{
	return open_call__enter(sk, message, flags);
}

SEC("kretprobe/tcp_recvmsg")
int BPF_KRETPROBE(on_receive, int ret)
{
	return leave(ret, WEFT_RECEIVE);
}

SEC("kprobe/tcp_sendpage")
int BPF_KPROBE(enter_send_page, struct sock *sk)
{
	return open_call__enter(sk, NULL, 0);
}

SEC("kretprobe/tcp_sendpage")
int BPF_KRETPROBE(on_send_page, int ret)
{
	return leave(ret, WEFT_SEND);
}

/* The owner of a UDP socket is told when it begins to send, whatever becomes of that. */
SEC("kprobe/udp_sendmsg")
int BPF_KPROBE(on_udp, struct sock *sk)
{
	return probe__udp_send(sk, 0);
}

SEC("kprobe/udpv6_sendmsg")
int BPF_KPROBE(on_udp6, struct sock *sk)
{
	return probe__udp_send(sk, 0);
}
