/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Calls that are under way, for hooks that see a call's arguments when it begins and its result
 * when it is over. By thread: a thread is in one call at a time, and a later one takes the place of
 * one whose end was missed (case T14). */
#ifndef WEFT_LIB_OPEN_CALL_H
#define WEFT_LIB_OPEN_CALL_H

#include "lib/probe.h"

/* Programs write and read; an entry goes when its call is over, and makes room when it is the least
 * recently used, which only happens when more threads than that wait for bytes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct open_call);
} open_calls SEC(".maps");

static __always_inline void open_call__begin(const struct open_call *c)
{
	__u64 thread = bpf_get_current_pid_tgid();

	if (thread >> 32 == settings.own_tgid)
		return; /* not ours */
	if (bpf_map_update_elem(&open_calls, &thread, c, BPF_ANY))
		count__drop(WEFT_DROP_NO_STATE);
}

/* Takes what is known of the thread's call out of the map; false when nobody saw it begin. */
static __always_inline bool open_call__end(struct open_call *c)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct open_call *found = bpf_map_lookup_elem(&open_calls, &thread);

	if (!found)
		return false;
	*c = *found;
	bpf_map_delete_elem(&open_calls, &thread);
	return true;
}

/* The pieces of memory that a message of the kernel is about to send from or receive into. Only the
 * caller's own memory counts: pages and the kernel's memory are known by their length. */
static __always_inline void open_call__message(struct open_call *c, const struct msghdr *message)
{
	const struct iov_iter *i = __builtin_preserve_access_index(&message->msg_iter);
	__u64 skip = FIELD(i, iov_offset);

	c->kind = BUFFER_NONE;
	if (iov_iter__is_one_piece(i)) {
		c->kind = BUFFER_FLAT;
		c->base = (__u64)FIELD(i, ubuf) + skip;
		c->length = FIELD(i, count);
	} else if (iov_iter__is_pieces(i) && !skip) {
		c->kind = BUFFER_KERNEL_IOVECS;
		c->base = iov_iter__pieces(i);
		c->length = FIELD(i, nr_segs);
	}
}

/* A function of the kernel that carries a message of a TCP socket, or pages when there is none. */
static __always_inline int open_call__enter(struct sock *sk, const struct msghdr *message,
					    __u32 flags)
{
	struct open_call c = {.sk = (__u64)sk, .flags = flags};

	if (message)
		open_call__message(&c, message);
	open_call__begin(&c);
	return 0;
}

/* A TCP or UDP socket of the internet families? The protocol, or 0. */
static __always_inline __u32 open_call__protocol(const struct sock *sk)
{
	__u32 protocol;

	if (!sk || !socket__is_inet(sk))
		return 0;
	protocol = FIELD(sk, sk_protocol);
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ? protocol : 0;
}

/* A call on a TCP socket is over. */
static __always_inline int open_call__tcp_done(struct sock *sk, struct open_call *c, int ret,
					       const __u32 direction)
{
	if (ret < 0 || (ret == 0 && direction == WEFT_SEND))
		return 0; /* nothing moved */
	if (direction == WEFT_RECEIVE) {
		if (c->flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE))
			return 0; /* the stream did not advance (case T1) */
		if (c->flags & MSG_TRUNC)
			c->kind = BUFFER_NONE;
	}
	return probe__tcp_data(sk, ret, direction, c);
}

#endif /* WEFT_LIB_OPEN_CALL_H */
