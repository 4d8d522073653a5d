/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Finding and reading the memory that the running system call sends from or receives into. */
#ifndef WEFT_LIB_READ_H
#define WEFT_LIB_READ_H

#include "lib/work.h"


#ifdef WEFT_STATE_HASH

/* A call that was seen when it began. */
struct open_call {
	__u64 sk;
	__u64 base; /* as in user_buffer */
	__u64 length;
	__u32 kind;
	__u32 flags;  /* MSG_… */
	__u32 behind; /* bytes that the socket has moved since */
	__u32 _pad;
};

/* What is known of a call's memory: null when it does not hold what the call moved. */
typedef const struct open_call *call_memory;

static __always_inline __u32 read__behind(call_memory memory)
{
	return memory ? memory->behind : 0;
}

static __always_inline void read__where(struct direction_state *d, struct task_struct *task,
					call_memory memory, __u32 direction,
					struct user_buffer *buffer)
{
	buffer->base = memory->base;
	buffer->length = memory->length;
	buffer->kind = memory->kind;
}

#else

/* False when the call's memory does not hold what it moved; else its registers tell the rest. */
typedef bool call_memory;

static __always_inline __u32 read__behind(call_memory memory)
{
	return 0;
}

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
static __always_inline int read__call(struct task_struct *task, __u32 direction, __u64 *second,
				      __u64 *third)
{
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
static __always_inline void read__where(struct direction_state *d, struct task_struct *task,
					call_memory memory, __u32 direction,
					struct user_buffer *buffer)
{
	buffer->iovec_count = 0;
	buffer->kind = read__call(task, direction, &buffer->base, &buffer->length);
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

/* Takes the pieces from `first` on to hand; false when there is none, or it cannot be read. */
static __always_inline bool read__pieces(struct user_buffer *buffer, __u32 first)
{
	__u32 left = buffer->iovec_count - first, size = sizeof(buffer->iovecs);
	const void *from = (const void *)(buffer->base + first * sizeof(struct user_iovec));

	if (first >= buffer->iovec_count)
		return false;
	buffer->first = first;
	if (left < IOVECS)
		size = BOUND(left, IOVECS) * sizeof(struct user_iovec);
#ifdef WEFT_STATE_HASH
	if (buffer->in_kernel)
		return !bpf_probe_read_kernel(buffer->iovecs, size, from);
#endif
	return !bpf_probe_read_user(buffer->iovecs, size, from);
}

/* Makes `buffer` ready, for a call that moved `moved` bytes. Where that fails its kind is NONE. */
static __always_inline bool read__fetch(struct direction_state *d, __u32 direction, __u32 moved,
					struct user_buffer *buffer)
{
	struct user_iovec array = {.base = buffer->base, .length = buffer->length};
	__u32 kind = buffer->kind;

	if (kind == BUFFER_FLAT || kind == BUFFER_NONE)
		return kind == BUFFER_FLAT;
	buffer->kind = BUFFER_NONE;
	if ((kind == BUFFER_MSG || kind == BUFFER_MMSG) && read__msghdr(buffer->base, &array))
		return false;
	__builtin_memset(buffer->iovecs, 0, sizeof(buffer->iovecs));
	buffer->iovec_count = BOUND(array.length, PIECES_OF_A_CALL);
	buffer->base = array.base;
	buffer->length = 0;
	buffer->in_kernel = kind == BUFFER_KERNEL_IOVECS;
	if (!read__pieces(buffer, 0)) {
		buffer->iovec_count = 0;
		return false;
	}
	buffer->kind = BUFFER_FLAT;
#ifndef WEFT_STATE_HASH
	if (kind == BUFFER_MMSG && direction == WEFT_SEND)
		read__check_short_send(d, moved, buffer);
#endif
	if (buffer->iovec_count == 1 || buffer->iovecs[0].length >= moved) {
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
	if (buffer->iovec_count)
		return;
	buffer->first = 0;
	buffer->in_kernel = 0;
	__builtin_memset(buffer->iovecs, 0, sizeof(buffer->iovecs));
}

/* Up to `want` bytes of a piece, from `skip` on, to `to`; returns how many, 0 when they cannot be
 * read. */
static __always_inline __u64 read__piece(__u8 *to, __u64 base, __u64 length, __u64 skip, __u64 want)
{
	__u64 n = length - skip;

	if (n > want)
		n = want;
	n = BOUND(n, WEFT_CAPTURE_MAX);
	return bpf_probe_read_user(to, n, (const void *)(base + skip)) ? 0 : n;
}

/* Copies up to `want` bytes, from `skip` on, into the scratch, behind the `before` bytes (at most
 * 8) that it holds already; returns how many: fewer where more pieces than one read may cover are
 * in the way. The next read does best to go on behind this one. A function of its own, and not a
 * static one: so the verifier looks at its loop once. */
SHARED int read__copy(struct user_buffer *buffer, struct gather_scratch *to, __u32 skip, __u32 want,
		      __u32 before)
{
	volatile struct copy_state *c;
	__u64 length, n;
	__u32 i, place;

	if (!to || !buffer || buffer->kind != BUFFER_FLAT)
		return 0;
	before = BOUND(before, 8);
	if (!buffer->iovec_count)
		return buffer->length <= skip ? 0
					      : read__piece(to->bytes + before, buffer->base,
							    buffer->length, skip, want);
	if (skip < buffer->length) {
		buffer->length = 0;
		if (!read__pieces(buffer, 0))
			return 0;
	}
	c = &to->copy;
	c->copied = 0;
	c->gone = 0;
	c->passed = skip - buffer->length;
	for (i = 0; i < PIECES_OF_A_READ; i++) {
		place = i % IOVECS;
		length = buffer->iovecs[place].length;
		c->gone += length;
		if (length > c->passed) {
			n = read__piece(to->bytes + before + BOUND(c->copied, WEFT_CAPTURE_MAX),
					buffer->iovecs[place].base, length, c->passed,
					want - c->copied);
			c->copied += n;
			if (n == 0 || c->copied >= want)
				break;
			c->passed = length;
		}
		c->passed -= length;
		if (buffer->first + place + 1 >= buffer->iovec_count)
			break;
		if (place < IOVECS - 1)
			continue;
		buffer->length += c->gone;
		c->gone = 0;
		if (!read__pieces(buffer, buffer->first + IOVECS)) {
			buffer->kind = BUFFER_NONE;
			break;
		}
	}
	return c->copied;
}

#ifdef WEFT_STATE_HASH
__noinline int read__copy_apart(__u32 skip, __u32 want, __u32 before)
{
	struct work *w = work__get();

	return w ? read__copy(&w->buffer, work__scratch(), skip, want, before) : 0;
}
#define read__copy(buffer, to, skip, want, before) read__copy_apart(skip, want, before)
#endif

#endif /* WEFT_LIB_READ_H */
