/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Writing records. Nothing here wakes the reader: it comes by itself. */
#ifndef WEFT_LIB_EMIT_H
#define WEFT_LIB_EMIT_H

#include "lib/outbox.h"
#include "lib/pressure.h"
#include "lib/work.h"

/* The ring of this CPU, with room for a record of `size` bytes of the stream `cookie`, which is 0
 * where the record must not be left out; null when there is none, which is counted. `how` tells
 * ROOM_SHORT. */
static __always_inline void *emit__ring(__u64 cookie, __u32 size, __u32 cpu, int *how)
{
	void *ring;

	*how = pressure__choose(cookie, size + ROOM_NOT_TOLD);
	if (*how == ROOM_REFUSED)
		return NULL;
	ring = bpf_map_lookup_elem(&rings, &cpu);
	if (!ring)
		count__drop(WEFT_DROP_NO_RING);
	return ring;
}

/* Room for one record. */
struct room {
	void *record;
	struct weft_outbox *box; /* null: it is in a ring */
	__u32 cpu;
};

/* Room for a record whose `size` is a constant; false when there is none, which is counted. */
static __always_inline bool emit__begin(struct room *room, __u64 cookie, const __u32 size)
{
	void *ring;
	int how;

	room->cpu = bpf_get_smp_processor_id();
	room->box = outbox__take(room->cpu, size);
	if (likely(room->box)) {
		room->record = outbox__place(room->box);
		return true;
	}
	ring = emit__ring(cookie, size, room->cpu, &how);
	if (!ring)
		return false;
	room->record = bpf_ringbuf_reserve(ring, size, 0);
	if (!room->record)
		count__drop(WEFT_DROP_RING_FULL);
	return room->record;
}

static __always_inline void emit__finish(struct room *room, const __u32 size)
{
	if (likely(room->box))
		outbox__publish(room->box, size);
	else
		bpf_ringbuf_submit(room->record, BPF_RB_NO_WAKEUP);
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
RARE bool emit__connection(struct sock *sk, const struct socket_state *s, const struct call *call,
			   __u16 kind)
{
	struct weft_connection *r;
	struct net *net;
	struct room room;

	if (!emit__begin(&room, kind == WEFT_RECORD_CONNECTION ? s->cookie : 0, sizeof(*r)))
		return false;
	r = room.record;
	__builtin_memset(r, 0, sizeof(*r));
	emit__fill_header(&r->header, call->time_ns, kind, sizeof(*r), room.cpu);
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
	emit__finish(&room, sizeof(*r));
	return true;
}

SHARED int emit__end(struct socket_state *s, __u64 time_ns, __u32 kind, __u32 direction,
		     __u64 position)
{
	struct weft_end *r;
	struct room room;

	if (!s || !emit__begin(&room, 0, sizeof(*r)))
		return 0;
	r = room.record;
	__builtin_memset(r, 0, sizeof(*r));
	emit__fill_header(&r->header, time_ns, kind, sizeof(*r), room.cpu);
	r->cookie = s->cookie;
	r->position = position;
	r->direction = direction;
	r->protocol = s->protocol;
	emit__finish(&room, sizeof(*r));
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
	struct room room;

	if (!emit__begin(&room, s->cookie, sizeof(struct weft_data)))
		return;
	emit__fill_data(room.record, s, call, data, sizeof(struct weft_data), room.cpu);
	emit__finish(&room, sizeof(struct weft_data));
}

#endif /* WEFT_LIB_EMIT_H */
