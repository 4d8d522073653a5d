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

/* Where the bytes of the call lie. First as the call says it (read__where), which reads no memory
 * of the caller; ready to be read after read__fetch. One piece: `base`, `length`. Several:
 * `iovecs`. */
struct user_buffer {
	__u64 base;
	__u64 length;
	__u32 iovec_count; /* 0: one piece */
	__u32 kind;	   /* BUFFER_…; FLAT once it is ready, NONE when it is out of reach */
	struct user_iovec iovecs[IOVECS];
};

#define BUFFER_NONE 0 /* not a call that we can decode */
#define BUFFER_FLAT 1
#define BUFFER_IOVECS 2
#define BUFFER_MSG 3
#define BUFFER_MMSG 4
#define BUFFER_KERNEL_IOVECS 5 /* the array is a copy in the kernel */

#ifdef WEFT_STATE_HASH

/* A call that was seen when it began. */
struct open_call {
	__u64 sk;
	__u64 base; /* as in user_buffer */
	__u64 length;
	__u32 kind;
	__u32 flags; /* MSG_… */
};

/* What is known of a call's memory: null when it does not hold what the call moved. */
typedef const struct open_call *call_memory;

static __always_inline void read__where(struct direction_state *d, __u32 direction,
					call_memory memory, struct user_buffer *buffer)
{
	buffer->base = memory->base;
	buffer->length = memory->length;
	buffer->kind = memory->kind;
}

#else

/* False when the call's memory does not hold what it moved; else its registers tell the rest. */
typedef bool call_memory;

/* Set once any TCP socket used sendmmsg or recvmmsg: only then do failed calls cost anything. */
__u32 mmsg_seen;

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
	struct task_struct *task = current_task();
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

/* What the running call says about its memory. */
static __always_inline void read__where(struct direction_state *d, __u32 direction,
					call_memory memory, struct user_buffer *buffer)
{
	buffer->iovec_count = 0;
	buffer->kind = read__call(direction, &buffer->base, &buffer->length);
	if (buffer->kind == BUFFER_MMSG)
		buffer->base = read__mmsg(d, buffer->base, buffer->length);
	else
		d->mmsg_base = 0;
}

#endif

/* The array of iovecs of a struct user_msghdr. */
static __always_inline int read__msghdr(__u64 address, struct user_iovec *array)
{
	/* msg_iov and msg_iovlen lie side by side behind msg_name and msg_namelen. */
	return bpf_probe_read_user(array, sizeof(*array), (const void *)(address + 16));
}

static __always_inline int read__iovecs(struct user_buffer *buffer, __u32 kind, __u64 count,
					__u64 from)
{
	__u32 size = count * sizeof(struct user_iovec);

#ifdef WEFT_STATE_HASH
	if (kind == BUFFER_KERNEL_IOVECS)
		return bpf_probe_read_kernel(buffer->iovecs, size, (const void *)from);
#endif
	return bpf_probe_read_user(buffer->iovecs, size, (const void *)from);
}

/* Makes `buffer` ready, for a call that moved `moved` bytes. Where that fails its kind is NONE. */
static __always_inline bool read__fetch(struct direction_state *d, __u32 direction, __u32 moved,
					struct user_buffer *buffer)
{
	struct user_iovec array = {.base = buffer->base, .length = buffer->length};
	__u32 kind = buffer->kind;
	__u64 count;

	if (kind == BUFFER_FLAT || kind == BUFFER_NONE)
		return kind == BUFFER_FLAT;
	buffer->kind = BUFFER_NONE;
	if ((kind == BUFFER_MSG || kind == BUFFER_MMSG) && read__msghdr(buffer->base, &array))
		return false;
	count = BOUND(array.length, IOVECS);
	__builtin_memset(buffer->iovecs, 0, sizeof(buffer->iovecs));
	if (count == 0 || read__iovecs(buffer, kind, count, array.base))
		return false;
	buffer->iovec_count = count;
	buffer->kind = BUFFER_FLAT;
#ifndef WEFT_STATE_HASH
	if (kind == BUFFER_MMSG && direction == WEFT_SEND)
		read__check_short_send(d, moved, buffer);
#endif
	if (count == 1 || buffer->iovecs[0].length >= moved) {
		buffer->base = buffer->iovecs[0].base;
		buffer->length = buffer->iovecs[0].length;
		buffer->iovec_count = 0;
	}
	return true;
}

/* Gives a buffer of one piece defined bytes where its others would be: older verifiers want them
 * before they let it go to a function. */
static __always_inline void read__fill(struct user_buffer *buffer)
{
	if (!buffer->iovec_count)
		__builtin_memset(buffer->iovecs, 0, sizeof(buffer->iovecs));
}

/* Copies up to `want` bytes, from `skip` on, into the scratch, behind the `before` bytes (at most
 * 8) that it holds already; returns how many. A function of its own, and not a static one: so the
 * verifier looks at its loop once. */
SHARED int read__copy(struct user_buffer *buffer, struct gather_scratch *to, __u32 skip,
			  __u32 want, __u32 before)
{
	__u64 copied = 0, passed = skip;
	int i;

	if (!to || !buffer || buffer->kind != BUFFER_FLAT)
		return 0;
	for (i = 0; i < IOVECS; i++) {
		__u64 base = buffer->base, length = buffer->length, n;

		if (copied >= want || (i > 0 && (__u32)i >= buffer->iovec_count))
			break;
		if (buffer->iovec_count) {
			base = buffer->iovecs[i].base;
			length = buffer->iovecs[i].length;
		}
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
		if (bpf_probe_read_user(to->bytes + BOUND(before, 8) + copied, n,
					(const void *)base))
			break;
		copied += n;
	}
	return copied;
}

#endif /* WEFT_LIB_READ_H */
