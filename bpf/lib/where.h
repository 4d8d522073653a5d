/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where the memory is that a call sends from or receives into: told by the registers of the running
 * system call, or noted when the call began. */
#ifndef WEFT_LIB_WHERE_H
#define WEFT_LIB_WHERE_H

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

/* What is known of a call's memory, never null: its kind is NONE when it does not hold what the
 * call moved. */
typedef const struct open_call *call_memory;

static __always_inline __u32 read__behind(call_memory memory)
{
	return memory->behind;
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

	if (unlikely(task->flags & (PF_KTHREAD | PF_IO_WORKER)))
		return BUFFER_NONE;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (unlikely(!SYSCALL_RUNNING(regs) || SYSCALL_COMPAT(task, regs)))
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
	if (unlikely(buffer->kind == BUFFER_MMSG))
		buffer->base = read__mmsg(d, buffer->base, buffer->length);
	else
		d->mmsg_base = 0;
}

#endif

#endif /* WEFT_LIB_WHERE_H */
