/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Writing records. Nothing here wakes the reader: it comes by itself. */
#ifndef WEFT_LIB_EMIT_H
#define WEFT_LIB_EMIT_H

#include "lib/pressure.h"
#include "lib/work.h"

/* A ring with room for a record of `size` bytes of the stream `cookie`, which is 0 where the record
 * must not be left out; null when there is none, which is counted. `how` tells ROOM_SHORT. */
static __always_inline void *emit__ring(__u64 cookie, __u32 size, __u32 *cpu, int *how)
{
	/* One variable for both lookups: older verifiers have no stack left for two. */
	__u32 key = bpf_get_smp_processor_id();
	struct ring_room *room = bpf_map_lookup_elem(&ring_rooms, &key);
	void *ring;

	*cpu = key;
	*how = ROOM_SMALL;
	size += ROOM_NOT_TOLD;
	if (room && room->left >= size)
		room->left -= size;
	else
		*how = pressure__choose(cookie, size);
	if (*how == ROOM_REFUSED)
		return NULL;
	key = 2 * key + (*how != ROOM_SMALL);
	ring = bpf_map_lookup_elem(&rings, &key);
	if (!ring)
		count__drop(WEFT_DROP_NO_RING);
	return ring;
}

static __always_inline void emit__fill_header(struct weft_record_header *h, __u64 time_ns,
					      __u16 kind, __u32 size, __u32 cpu)
{
	h->time_ns = time_ns;
	h->size = size;
	h->kind = kind;
	h->cpu = cpu;
}

/* Who makes the call. Asked of the task, which is asked for once: a helper costs 8 ns. */
static __always_inline __u64 emit__pid_tgid(const struct task_struct *task)
{
#ifdef WEFT_STATE_HASH
	return bpf_get_current_pid_tgid();
#else
	return (__u64)task->tgid << 32 | (__u32)task->pid;
#endif
}

static __always_inline __u64 emit__process_start(const struct task_struct *task)
{
	struct task_struct *leader = FIELD(task, group_leader);

	return FIELD(leader, start_boottime);
}

/* The connection record of a TCP socket or the owner record of a UDP socket; false when there was
 * no room. */
static __always_inline bool emit__connection(struct sock *sk, const struct socket_state *s,
					     const struct call *call, __u16 kind)
{
	struct weft_connection *r;
	struct net *net;
	int how;
	__u32 cpu;
	void *ring =
	    emit__ring(kind == WEFT_RECORD_CONNECTION ? s->cookie : 0, sizeof(*r), &cpu, &how);

	if (!ring)
		return false;
	r = bpf_ringbuf_reserve(ring, sizeof(*r), 0);
	if (!r) {
		count__drop(WEFT_DROP_RING_FULL);
		return false;
	}
	__builtin_memset(r, 0, sizeof(*r));
	emit__fill_header(&r->header, call->time_ns, kind, sizeof(*r), cpu);
	r->cookie = s->cookie;
	r->birth_ns = s->birth_ns;
	r->process_start_ns = call->process_start_ns;
	r->tgid = call->pid_tgid >> 32;
	bpf_probe_read_kernel_str(r->comm, sizeof(r->comm),
				  FIELD(current_task(), group_leader)->comm);
	net = FIELD(sk, __sk_common.skc_net.net);
	r->netns = FIELD(net, ns.inum);
	r->local_port = FIELD(sk, __sk_common.skc_num);
	r->remote_port = bpf_ntohs(FIELD(sk, __sk_common.skc_dport));
	r->flags = s->flags & (SOCKET_JOINED | SOCKET_ACTIVE | SOCKET_PASSIVE);
	if (FIELD(sk, __sk_common.skc_family) == AF_INET) {
		r->family = 4;
		*(__u32 *)r->local = FIELD(sk, __sk_common.skc_rcv_saddr);
		*(__u32 *)r->remote = FIELD(sk, __sk_common.skc_daddr);
	} else {
		r->family = 6;
		BPF_CORE_READ_INTO(&r->local, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&r->remote, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return true;
}

SHARED int emit__end(struct socket_state *s, __u64 time_ns, __u32 kind, __u32 direction,
		     __u64 position)
{
	struct weft_end *r;
	__u32 cpu;
	void *ring;
	int how;

	if (!s)
		return 0;
	ring = emit__ring(0, sizeof(*r), &cpu, &how);
	if (!ring)
		return 0;
	r = bpf_ringbuf_reserve(ring, sizeof(*r), 0);
	if (!r) {
		count__drop(WEFT_DROP_RING_FULL);
		return 0;
	}
	__builtin_memset(r, 0, sizeof(*r));
	emit__fill_header(&r->header, time_ns, kind, sizeof(*r), cpu);
	r->cookie = s->cookie;
	r->position = position;
	r->direction = direction;
	r->protocol = s->protocol;
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline void emit__fill_data(struct weft_data *r, const struct socket_state *s,
					    const struct call *call, const struct data *data,
					    __u32 size, __u32 cpu)
{
	emit__fill_header(&r->header, call->time_ns, WEFT_RECORD_DATA, size, cpu);
	r->cookie = s->cookie;
	r->position = data->position;
	r->process_start_ns = call->process_start_ns;
	r->length = data->length;
	r->captured = 0;
	r->captured_offset = data->offset;
	r->sequence = data->sequence;
	r->tgid = call->pid_tgid >> 32;
	r->tid = call->goroutine ? call->goroutine : (__u32)call->pid_tgid;
	__builtin_memset(r->_pad, 0, sizeof(r->_pad));
	r->direction = call->direction;
	r->protocol = s->protocol;
	r->flags = call->flags | (call->goroutine ? WEFT_DATA_GOROUTINE : 0);
}

/* A record of a length. */
static __always_inline void emit__length(const struct socket_state *s, const struct call *call,
					 const struct data *data)
{
	struct weft_data *r;
	int how;
	__u32 cpu;
	void *ring = emit__ring(s->cookie, sizeof(*r), &cpu, &how);

	if (!ring)
		return;
	r = bpf_ringbuf_reserve(ring, sizeof(*r), 0);
	if (!r) {
		count__drop(WEFT_DROP_RING_FULL);
		return;
	}
	emit__fill_data(r, s, call, data, sizeof(*r), cpu);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
}

#endif /* WEFT_LIB_EMIT_H */
