/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a program knows of the call that it looks at. On the stack of the program; with
 * WEFT_STATE_HASH in a map, where functions that are verified by themselves find it: older kernels
 * let them have numbers only. */
#ifndef WEFT_LIB_WORK_H
#define WEFT_LIB_WORK_H

#include "lib/socket_map.h"

#define IOVECS 4 /* at hand together */
/* Pieces that one read may cover. gRPC sends a header block in dozens of them. */
#define PIECES_OF_A_READ (8 * IOVECS)
#define PIECES_OF_A_CALL 1024 /* more the kernel does not take */

struct user_iovec {
	__u64 base;
	__u64 length;
};

/* Where the bytes of the call lie. First as the call says it (read__where), which reads no memory
 * of the caller; ready to be read after read__fetch. One piece: `base`, `length`. Several:
 * `iovecs`, which holds a few of them, from `first` on, and moves on with what is read. */
struct user_buffer {
	__u64 base;	   /* of several pieces: where the array of them is */
	__u64 length;	   /* of several pieces: how many bytes lie in those before `first` */
	__u32 iovec_count; /* 0: one piece */
	__u16 first;
	__u8 kind;	/* BUFFER_…; FLAT once it is ready, NONE when it is out of reach */
	__u8 in_kernel; /* the array is */
	struct user_iovec iovecs[IOVECS];
};

#define BUFFER_NONE 0 /* not a call that we can decode */
#define BUFFER_FLAT 1
#define BUFFER_IOVECS 2
#define BUFFER_MSG 3
#define BUFFER_MMSG 4
#define BUFFER_KERNEL_IOVECS 5 /* the array is a copy in the kernel */

/* The observed call: what every record of it carries. */
struct call {
	__u64 time_ns;
	__u64 pid_tgid;
	__u64 process_start_ns;
	__u32 direction;
	__u32 flags;	 /* WEFT_DATA_… */
	__u32 goroutine; /* for which the call is made; 0: not known, the thread stands for it */
	__u32 _pad;
};

/* What a data record says, apart from the bytes. */
struct data {
	__u64 position;
	__u32 length;
	__u32 sequence;
	__u32 offset; /* of the first byte wanted */
	__u32 want;   /* bytes to copy */
};

/* A piece of a call that lies in the scratch, behind what came of a header before it. */
struct http2_window {
	__u32 have; /* bytes in the scratch */
	__u32 left; /* bytes from the window's start to the call's end */
	/* What the walk answers: how far it has come, which is beyond `have` in a payload of DATA;
	 * and how much is worth a copy. */
	__u32 at;
	__u32 useful;
};

struct work {
	struct call call;
	struct data data;
	struct user_buffer buffer;
#ifdef WEFT_STATE_HASH
	struct http2_window window;
	__u64 key;   /* of the socket's state */
	__u64 taken; /* a program that was interrupted is using it */
#endif
};

#ifdef WEFT_STATE_HASH

/* One per CPU. Programs write and read during a run. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} works SEC(".maps");

static __always_inline struct work *work__get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&works, &zero);
}

static __always_inline struct work *work__take(const struct sock *sk)
{
	struct work *w = work__get();

	if (!w || w->taken) {
		count__drop(WEFT_DROP_NO_STATE);
		return NULL;
	}
	w->taken = 1;
	w->key = (__u64)sk;
	return w;
}

static __always_inline void work__give_back(struct work *w)
{
	w->taken = 0;
}

static __always_inline struct socket_state *work__state(const struct work *w)
{
	__u64 key = w->key;
	struct hashed_socket *found = bpf_map_lookup_elem(&sockets, &key);

	return found ? &found->state : NULL;
}

static __always_inline struct gather_scratch *work__scratch(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&scratch, &cpu);
}

#endif

#endif /* WEFT_LIB_WORK_H */
