/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Finding and reading the memory that the running system call sends from or receives into. */
#ifndef WEFT_LIB_READ_H
#define WEFT_LIB_READ_H

#include "lib/maps.h"

#define IOVECS 8

struct user_iovec {
	__u64 base;
	__u64 length;
};

/* Where the bytes of the call lie. One piece: `base`, `length`. Several: `iovecs`. */
struct user_buffer {
	__u64 base;
	__u64 length;
	__u32 iovec_count; /* 0: one piece */
	struct user_iovec iovecs[IOVECS];
};

#define BUFFER_NONE 0 /* not a call that we can decode */
#define BUFFER_FLAT 1
#define BUFFER_IOVECS 2
#define BUFFER_MSG 3
#define BUFFER_MMSG 4

static __always_inline int read__call_kind(__u64 nr, __u32 direction)
{
	if (direction == WEFT_SEND) {
		if (nr == NR_WRITE || nr == NR_SENDTO)
			return BUFFER_FLAT;
		if (nr == NR_WRITEV || nr == NR_PWRITEV2)
			return BUFFER_IOVECS;
		if (nr == NR_SENDMSG)
			return BUFFER_MSG;
		return nr == NR_SENDMMSG ? BUFFER_MMSG : BUFFER_NONE;
	}
	if (nr == NR_READ || nr == NR_RECVFROM)
		return BUFFER_FLAT;
	if (nr == NR_READV || nr == NR_PREADV2)
		return BUFFER_IOVECS;
	if (nr == NR_RECVMSG)
		return BUFFER_MSG;
	return nr == NR_RECVMMSG ? BUFFER_MMSG : BUFFER_NONE;
}

/* The kind of the running call, and its second and third argument. A kernel thread, an io_uring
 * worker, task work behind a call and a 32-bit call have no registers that we may believe. */
static __always_inline int read__call(__u32 direction, __u64 *second, __u64 *third)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs;

	if (task->flags & (PF_KTHREAD | PF_IO_WORKER))
		return BUFFER_NONE;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (!SYSCALL_RUNNING(regs) || SYSCALL_COMPAT(task, regs))
		return BUFFER_NONE;
	*second = SYSCALL_ARG_2(regs);
	*third = SYSCALL_ARG_3(regs);
	return read__call_kind(SYSCALL_NR(regs), direction);
}

/* The address of the message of a sendmmsg or recvmmsg that this event is about. There is one event
 * per message, so the place in the array is counted in the state. */
static __always_inline __u64 read__mmsg(struct direction_state *d, __u64 base, __u64 count)
{
	__u32 index;

	mmsg_seen = 1;
	if (d->mmsg_base != base || d->mmsg_count != (__u32)count) {
		d->mmsg_base = base;
		d->mmsg_count = count;
		d->mmsg_next = 0;
	}
	index = d->mmsg_next++;
	if (d->mmsg_next >= d->mmsg_count)
		d->mmsg_base = 0;
	return base + (__u64)index * 64; /* sizeof(struct mmsghdr) */
}

/* The array of iovecs of a struct user_msghdr. */
static __always_inline int read__msghdr(__u64 address, struct user_iovec *array)
{
	/* msg_iov and msg_iovlen lie side by side behind msg_name and msg_namelen. */
	return bpf_probe_read_user(array, sizeof(*array), (const void *)(address + 16));
}

/* A sendmmsg stops behind a message that went out in part, without an event that says so. */
static __always_inline void read__check_short_send(struct direction_state *d, __u32 sent,
						   const struct user_buffer *buffer)
{
	__u64 offered = 0;
	int i;

	for (i = 0; i < IOVECS; i++)
		if ((__u32)i < buffer->iovec_count)
			offered += buffer->iovecs[i].length;
	if (offered > sent)
		d->mmsg_base = 0;
}

/* Fills `buffer` for the running call, which moved `moved` bytes; false when its memory is out of
 * reach. */
static __always_inline bool read__locate(struct direction_state *d, __u32 direction, __u32 moved,
					 struct user_buffer *buffer)
{
	struct user_iovec array = {};
	__u64 second = 0, third = 0;
	__u64 count;
	int kind = read__call(direction, &second, &third);

	buffer->iovec_count = 0;
	if (kind != BUFFER_MMSG)
		d->mmsg_base = 0;
	if (kind == BUFFER_NONE)
		return false;
	if (kind == BUFFER_FLAT) {
		buffer->base = second;
		buffer->length = third;
		return true;
	}
	if (kind == BUFFER_MMSG)
		second = read__mmsg(d, second, third);
	if (kind == BUFFER_IOVECS) {
		array.base = second;
		array.length = third;
	} else if (read__msghdr(second, &array)) {
		return false;
	}
	count = BOUND(array.length, IOVECS);
	__builtin_memset(buffer->iovecs, 0, sizeof(buffer->iovecs));
	if (count == 0 || bpf_probe_read_user(buffer->iovecs, count * sizeof(struct user_iovec),
					      (const void *)array.base))
		return false;
	buffer->iovec_count = count;
	if (kind == BUFFER_MMSG && direction == WEFT_SEND)
		read__check_short_send(d, moved, buffer);
	if (count == 1 || buffer->iovecs[0].length >= moved) {
		buffer->base = buffer->iovecs[0].base;
		buffer->length = buffer->iovecs[0].length;
		buffer->iovec_count = 0;
	}
	return true;
}

/* Keeps the place in the array right for a call whose bytes are not wanted. */
static __always_inline void read__pass_mmsg(struct direction_state *d, __u32 direction)
{
	__u64 second = 0, third = 0;

	if (d->mmsg_base == 0)
		return;
	if (read__call(direction, &second, &third) == BUFFER_MMSG)
		read__mmsg(d, second, third);
	else
		d->mmsg_base = 0;
}

/* Copies up to `want` bytes, from `skip` on, into the scratch of this CPU; returns how many. A
 * function of its own, and not a static one: so the verifier looks at its loop once. */
__noinline int read__gather(struct user_buffer *buffer, __u32 skip, __u32 want, __u32 cpu)
{
	struct gather_scratch *to = bpf_map_lookup_elem(&scratch, &cpu);
	__u64 copied = 0, passed = skip;
	int i;

	if (!to || !buffer)
		return 0;
	for (i = 0; i < IOVECS; i++) {
		__u64 base, length, n;

		if ((__u32)i >= buffer->iovec_count || copied >= want)
			break;
		base = buffer->iovecs[i].base;
		length = buffer->iovecs[i].length;
		if (length <= passed) {
			passed -= length;
			continue;
		}
		base += passed;
		length -= passed;
		passed = 0;
		n = want - copied;
		if (n > length)
			n = length;
		n = BOUND(n, WEFT_CAPTURE_MAX);
		copied = BOUND(copied, WEFT_CAPTURE_MAX);
		if (bpf_probe_read_user(to->bytes + copied, n, (const void *)base))
			break;
		copied += n;
	}
	return copied;
}

#endif /* WEFT_LIB_READ_H */
