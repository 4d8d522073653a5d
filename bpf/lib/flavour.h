/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every source makes up to two objects. The usual one keeps the state of a socket in the socket's
 * own storage and follows the kernel's pointers as the verifier allows to tracing programs
 * since 5.15. With WEFT_STATE_HASH it becomes one that asks for less: state in hashes, pointers
 * followed by reads that may fail, no atomics, no functions that are verified by themselves. That
 * one is for older kernels, and for kprobes and classic tracepoints on all of them. docs/adr/0011
 */
#ifndef WEFT_LIB_FLAVOUR_H
#define WEFT_LIB_FLAVOUR_H

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* What an ordinary call on a known connection does not do: out of the way, so that what it does
 * lies together in the caches of instructions, which the kernel's own path has emptied. */
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define RARE static __noinline __attribute__((unused))

#ifdef WEFT_STATE_HASH

/* A member of a struct of the kernel. */
#define FIELD(pointer, member) BPF_CORE_READ(pointer, member)
/* A function that is long or has a loop is verified once, by itself. Older kernels let such a
 * function have numbers only: here it is a part of one of that kind, NAME_apart, which finds the
 * rest in the work of the CPU. */
#define SHARED static __always_inline __attribute__((unused))

static __always_inline struct task_struct *current_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

#else

#define FIELD(pointer, member) ((pointer)->member)
#define SHARED __noinline

static __always_inline struct task_struct *current_task(void)
{
	return bpf_get_current_task_btf();
}

#endif

#endif /* WEFT_LIB_FLAVOUR_H */
