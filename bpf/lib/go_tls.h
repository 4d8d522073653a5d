/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which socket is behind a call of Go's crypto/tls? The socket call is made by the same goroutine,
 * though perhaps on another thread than the probe, so calls are kept by goroutine. docs/adr/0012 */
#ifndef WEFT_LIB_GO_TLS_H
#define WEFT_LIB_GO_TLS_H

#include "lib/go.h"
#include "lib/tls_call.h"

struct go_call_key {
	__u64 g;
	__u32 tgid;
	__u32 _pad;
};

struct go_call {
	struct tls_call tls;
	__u32
	    received; /* raw sequence number behind the last receive inside; valid with a cookie */
	__u32 length; /* of what is written */
};

/* The call that a goroutine is in, or was in last. Programs write; goroutines end unseen, so the
 * least recently used makes room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct go_call_key);
	__type(value, struct go_call);
} go_calls SEC(".maps");

struct go_handshake {
	__u64 cookie;
	__u32 received;
	__u32 flags;
};

/* The sockets of handshakes, by process and connection, for the first call behind them. Programs
 * write and delete; the least recently used makes room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct tls_session_key);
	__type(value, struct go_handshake);
} go_handshakes SEC(".maps");

static __always_inline void go__note_handshake(const struct go_call *c, __u32 tgid)
{
	struct tls_session_key key = {.session = c->tls.session, .tgid = tgid};
	struct go_handshake h = {
	    .cookie = c->tls.cookie, .received = c->received, .flags = c->tls.flags};

	if (!c->tls.mixed)
		bpf_map_update_elem(&go_handshakes, &key, &h, BPF_ANY);
}

/* An event of a socket that carries TLS. True when it lies inside a call of a goroutine. */
static __always_inline bool go__on_socket_event(struct sock *sk, struct socket_state *s,
						struct call *call, __u32 start, __u32 moved)
{
	struct go_call_key key = {.tgid = call->pid_tgid >> 32};
	struct go_process *p = go__process(key.tgid);
	struct go_call *c;

	if (!p)
		return false; /* not Go */
	key.g = go__running(p);
	c = bpf_map_lookup_elem(&go_calls, &key);
	if (!c)
		return false; /* not in a call */
	if (!call->time_ns && (call->direction == WEFT_SEND || !(s->flags & SOCKET_ANNOUNCED)))
		call->time_ns = bpf_ktime_get_ns();
	socket__announce(sk, s, call);
	tls__nested(&c->tls, s, call, start, moved);
	if (call->direction == WEFT_RECEIVE)
		c->received = start + moved;
	if (c->tls.operation == TLS_HANDSHAKE)
		go__note_handshake(c, key.tgid);
	return true;
}

#endif /* WEFT_LIB_GO_TLS_H */
