/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where the state of a socket is kept, and how the kernel's socket is looked at: in the socket's
 * own storage, or in a hash by the socket's address. */
#ifndef WEFT_LIB_SOCKET_MAP_H
#define WEFT_LIB_SOCKET_MAP_H

#include "lib/maps.h"

#ifdef WEFT_STATE_HASH

/* An address is used again by a later socket. The state goes with its socket, and should that have
 * been missed, the ports tell that it is another's. */
struct hashed_socket {
	struct socket_state state;
	__u32 ports;
	__u32 _pad;
};

/* State of every TCP socket that lives, and a mark on UDP sockets, by address. Programs write and
 * read; an entry of TCP dies with its socket, any other makes room when it is the least recently
 * used. The agent sets the number. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct hashed_socket);
} sockets SEC(".maps");

/* A new entry; here because it is too large for the stack. */
static const struct hashed_socket empty_socket = {};

static __always_inline __u32 socket__ports(const struct sock *sk)
{
	return FIELD(sk, __sk_common.skc_portpair);
}

static __always_inline struct socket_state *socket__find(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct hashed_socket *found = bpf_map_lookup_elem(&sockets, &key);
	__u32 ports;

	if (!found)
		return NULL;
	ports = socket__ports(sk);
	/* A socket that is closed has given its own port back. */
	if (ports != found->ports && FIELD(sk, __sk_common.skc_num)) {
		bpf_map_delete_elem(&sockets, &key);
		return NULL;
	}
	return &found->state;
}

static __always_inline struct socket_state *socket__make(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct hashed_socket *made;

	bpf_map_update_elem(&sockets, &key, &empty_socket, BPF_NOEXIST);
	made = bpf_map_lookup_elem(&sockets, &key);
	if (!made)
		return NULL;
	made->ports = socket__ports(sk);
	return &made->state;
}

static __always_inline void socket__forget(const struct sock *sk)
{
	__u64 key = (__u64)sk;

	bpf_map_delete_elem(&sockets, &key);
}

/* No two sockets are met by one CPU at the same time. */
static __always_inline __u64 socket__cookie(const struct sock *sk, __u64 now_ns)
{
	return now_ns << 10 | (bpf_get_smp_processor_id() & 1023);
}

/* Of a full socket whose protocol is TCP. */
static __always_inline struct tcp_sock *socket__tcp(struct sock *sk)
{
	return (struct tcp_sock *)sk;
}

#else

/* State of every TCP socket that lives, and a mark on UDP sockets. Programs write and read; an
 * entry dies with its socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps");

static __always_inline struct socket_state *socket__find(struct sock *sk)
{
	return bpf_sk_storage_get(&sockets, sk, 0, 0);
}

static __always_inline struct socket_state *socket__make(struct sock *sk)
{
	return bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline void socket__forget(struct sock *sk)
{
}

static __always_inline __u64 socket__cookie(struct sock *sk, __u64 now_ns)
{
	return bpf_get_socket_cookie(sk);
}

#ifdef WEFT_SINCE_6_2
/* No call: the program loader makes a move of it. */
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym;

/* Of a full socket whose protocol is TCP. */
static __always_inline struct tcp_sock *socket__tcp(struct sock *sk)
{
	return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
}
#else
static __always_inline struct tcp_sock *socket__tcp(struct sock *sk)
{
	return bpf_skc_to_tcp_sock(sk);
}
#endif

#endif

/* Not a socket of the kernel's own. */
static __always_inline bool socket__has_file(const struct sock *sk)
{
	struct socket *socket = FIELD(sk, sk_socket);

	return socket && FIELD(socket, file);
}

#endif /* WEFT_LIB_SOCKET_MAP_H */
