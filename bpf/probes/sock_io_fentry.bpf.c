// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* A rung of the data hook: the functions that carry every send and receive of TCP, looked at when
 * they return, through trampolines. Where the caller's registers cannot be had (before 5.15) the
 * memory is what the message says when the function is entered; by its end it has moved on.
 *
 * tcp_recvmsg has lost parameters over the years: the agent loads the programs that end in the
 * number that the running kernel's has. 6: with `nonblock`, until 5.18. 4: without the address
 * length. */
#ifdef WEFT_STATE_HASH
#include "lib/open_call.h"
#else
#include "lib/probe.h"
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifdef WEFT_STATE_HASH

static __always_inline int leave(struct sock *sk, int ret, const __u32 direction)
{
	struct open_call c;

	if (!open_call__end(&c) || c.sk != (__u64)sk)
		return 0; /* begun before the programs */
	return open_call__tcp_done(sk, &c, ret, direction);
}

SEC("fentry/tcp_sendmsg")
int BPF_PROG(enter_send, struct sock *sk, struct msghdr *message, size_t size)
{
	return open_call__enter(sk, message, 0);
}

SEC("fexit/tcp_sendmsg")
int BPF_PROG(on_send, struct sock *sk, struct msghdr *message, size_t size, int ret)
{
	return leave(sk, ret, WEFT_SEND);
}

SEC("fentry/tcp_recvmsg")
int BPF_PROG(enter_receive_4, struct sock *sk, struct msghdr *message, size_t size, int flags)
{
	return open_call__enter(sk, message, flags);
}

SEC("fentry/tcp_recvmsg")
int BPF_PROG(enter_receive_6, struct sock *sk, struct msghdr *message, size_t size, int nonblock,
	     int flags)
{
	return open_call__enter(sk, message, flags);
}

static __always_inline int received(struct sock *sk, int ret, int flags)
{
	return leave(sk, ret, WEFT_RECEIVE);
}

#else

static __always_inline int received(struct sock *sk, int ret, int flags)
{
	if (ret < 0)
		return mmsg_seen ? probe__failed_call(sk, WEFT_RECEIVE) : 0;
	if (flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE))
		return 0; /* the stream did not advance (case T1) */
	return probe__tcp_data(sk, ret, WEFT_RECEIVE, !(flags & MSG_TRUNC));
}

SEC("fexit/tcp_sendmsg")
int BPF_PROG(on_send, struct sock *sk, struct msghdr *message, size_t size, int ret)
{
	return ret <= 0 ? probe__failed_call(sk, WEFT_SEND)
			: probe__tcp_data(sk, ret, WEFT_SEND, true);
}

#endif

SEC("fexit/tcp_recvmsg")
int BPF_PROG(on_receive_4, struct sock *sk, struct msghdr *message, size_t size, int flags, int ret)
{
	return received(sk, ret, flags);
}

SEC("fexit/tcp_recvmsg")
int BPF_PROG(on_receive_5, struct sock *sk, struct msghdr *message, size_t size, int flags,
	     int *address_length, int ret)
{
	return received(sk, ret, flags);
}

SEC("fexit/tcp_recvmsg")
int BPF_PROG(on_receive_6, struct sock *sk, struct msghdr *message, size_t size, int nonblock,
	     int flags, int *address_length, int ret)
{
	return received(sk, ret, flags);
}

/* The bytes are those of a file. */
SEC("fexit/tcp_sendpage")
int BPF_PROG(on_send_page, struct sock *sk, struct page *page, int offset, size_t size, int flags,
	     int ret)
{
#ifdef WEFT_STATE_HASH
	struct open_call memory = {.kind = BUFFER_NONE};

	return ret <= 0 ? 0 : probe__tcp_data(sk, ret, WEFT_SEND, &memory);
#else
	return ret <= 0 ? 0 : probe__tcp_data(sk, ret, WEFT_SEND, false);
#endif
}

SEC("fexit/udp_sendmsg")
int BPF_PROG(on_udp, struct sock *sk, struct msghdr *message, size_t size, int ret)
{
	return probe__udp_send(sk, ret);
}

SEC("fexit/udpv6_sendmsg")
int BPF_PROG(on_udp6, struct sock *sk, struct msghdr *message, size_t size, int ret)
{
	return probe__udp_send(sk, ret);
}
