/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What vmlinux.h cannot give: constants of the kernel's macros, and what differs between the
 * architectures. Old layouts of structs stand here too, suffixed with the last kernel that has them
 * (struct name___6_3): a read of their members is relocated like any other, where they exist. */
#ifndef WEFT_COMPAT_H
#define WEFT_COMPAT_H

#define AF_INET 2
#define AF_INET6 10

#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_TRUNC 0x20
#define MSG_ERRQUEUE 0x2000

#define RCV_SHUTDOWN 1

#ifndef IPPROTO_TCP
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#endif

#define S_IFMT 0170000
#define S_IFSOCK 0140000

#define PF_IO_WORKER 0x00000010
#define PF_KTHREAD 0x00200000

/* The iterator over the memory of a message. Until 5.13 its kind is a bit mask with the direction
 * in bit 0; until 6.3 the pieces have another name; the one piece of user memory came with 6.0. */
struct iov_iter___5_13 {
	unsigned int type;
} __attribute__((preserve_access_index));
struct iov_iter___6_3 {
	const struct iovec *iov;
} __attribute__((preserve_access_index));

static __always_inline bool iov_iter__is_one_piece(const struct iov_iter *i)
{
	return bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
	       BPF_CORE_READ(i, iter_type) == bpf_core_enum_value(enum iter_type, ITER_UBUF);
}

static __always_inline bool iov_iter__is_pieces(const struct iov_iter *i)
{
	const struct iov_iter___5_13 *old = (const void *)i;

	if (bpf_core_field_exists(old->type))
		return (BPF_CORE_READ(old, type) & ~1u) ==
		       bpf_core_enum_value(enum iter_type, ITER_IOVEC);
	return BPF_CORE_READ(i, iter_type) == bpf_core_enum_value(enum iter_type, ITER_IOVEC);
}

/* The address of the array of pieces. */
static __always_inline __u64 iov_iter__pieces(const struct iov_iter *i)
{
	const struct iov_iter___6_3 *old = (const void *)i;

	if (bpf_core_field_exists(old->iov))
		return (__u64)BPF_CORE_READ(old, iov);
	return (__u64)BPF_CORE_READ(i, __iov);
}

/* The registers of a system call, and its numbers. */
#if defined(__TARGET_ARCH_x86)

#define SYSCALL_NR(regs) ((__u64)(regs)->orig_ax)
#define SYSCALL_ARG_2(regs) ((__u64)(regs)->si)
#define SYSCALL_ARG_3(regs) ((__u64)(regs)->dx)
/* ax holds -ENOSYS from the entry until the call is over: later it is task work that runs. */
#define SYSCALL_RUNNING(regs) ((regs)->ax == (unsigned long)-38)
/* thread_info.status & TS_COMPAT */
#define SYSCALL_COMPAT(task, regs) ((task)->thread_info.status & 2)

#define NR_READ 0
#define NR_WRITE 1
#define NR_READV 19
#define NR_WRITEV 20
#define NR_SENDTO 44
#define NR_RECVFROM 45
#define NR_SENDMSG 46
#define NR_RECVMSG 47
#define NR_RECVMMSG 299
#define NR_SENDMMSG 307
#define NR_PREADV2 327
#define NR_PWRITEV2 328

#elif defined(__TARGET_ARCH_arm64)

#define SYSCALL_NR(regs) ((__u64)(__u32)(regs)->syscallno)
#define SYSCALL_ARG_2(regs) ((__u64)(regs)->regs[1])
#define SYSCALL_ARG_3(regs) ((__u64)(regs)->regs[2])
/* x0 holds the first argument until the call is over. */
#define SYSCALL_RUNNING(regs) ((regs)->regs[0] == (regs)->orig_x0)
/* PSR_MODE32_BIT */
#define SYSCALL_COMPAT(task, regs) ((regs)->pstate & 0x10)

#define NR_READ 63
#define NR_WRITE 64
#define NR_READV 65
#define NR_WRITEV 66
#define NR_SENDTO 206
#define NR_RECVFROM 207
#define NR_SENDMSG 211
#define NR_RECVMSG 212
#define NR_RECVMMSG 243
#define NR_SENDMMSG 269
#define NR_PREADV2 286
#define NR_PWRITEV2 287

#else
#error "compat.h does not know this architecture"
#endif

#endif /* WEFT_COMPAT_H */
