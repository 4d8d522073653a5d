/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Writing records. Nothing here wakes the reader: it comes by itself. */
#ifndef WEFT_LIB_EMIT_H
#define WEFT_LIB_EMIT_H

#include "lib/read.h"

/* The observed call: what every record of it carries. */
struct call {
	__u64 time_ns;
	__u64 pid_tgid;
	__u32 direction;
};

static __always_inline void *emit__ring(__u32 *cpu)
{
	void *ring;

	*cpu = bpf_get_smp_processor_id();
	ring = bpf_map_lookup_elem(&rings, cpu);
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

static __always_inline void emit__submit(void *record)
{
	struct weft_counters *c = counters__get();

	if (c)
		c->records++;
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

static __always_inline __u64 emit__process_start(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return task->group_leader->start_boottime;
}

/* The connection record of a TCP socket or the owner record of a UDP socket; false when there was
 * no room. */
static __always_inline bool emit__connection(struct sock *sk, const struct socket_state *s,
					     const struct call *call, __u16 kind)
{
	struct weft_connection *r;
	__u32 cpu;
	void *ring = emit__ring(&cpu);

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
	r->process_start_ns = emit__process_start();
	r->tgid = call->pid_tgid >> 32;
	bpf_probe_read_kernel_str(r->comm, sizeof(r->comm),
				  bpf_get_current_task_btf()->group_leader->comm);
	r->netns = sk->__sk_common.skc_net.net->ns.inum;
	r->local_port = sk->__sk_common.skc_num;
	r->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	r->flags = s->flags & (SOCKET_JOINED | SOCKET_ACTIVE | SOCKET_PASSIVE);
	if (sk->__sk_common.skc_family == AF_INET) {
		r->family = 4;
		*(__u32 *)r->local = sk->__sk_common.skc_rcv_saddr;
		*(__u32 *)r->remote = sk->__sk_common.skc_daddr;
	} else {
		r->family = 6;
		BPF_CORE_READ_INTO(&r->local, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&r->remote, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
	emit__submit(r);
	return true;
}

static __always_inline void emit__end(const struct socket_state *s, __u64 time_ns, __u16 kind,
				      __u32 direction, __u64 position)
{
	struct weft_end *r;
	__u32 cpu;
	void *ring = emit__ring(&cpu);

	if (!ring)
		return;
	r = bpf_ringbuf_reserve(ring, sizeof(*r), 0);
	if (!r) {
		count__drop(WEFT_DROP_RING_FULL);
		return;
	}
	__builtin_memset(r, 0, sizeof(*r));
	emit__fill_header(&r->header, time_ns, kind, sizeof(*r), cpu);
	r->cookie = s->cookie;
	r->position = position;
	r->direction = direction;
	emit__submit(r);
}

/* What a data record says, apart from the bytes. */
struct data {
	__u64 position;
	__u32 length;
	__u32 sequence;
	__u32 offset; /* of the first byte wanted */
	__u32 want;   /* bytes to copy */
};

static __always_inline void emit__fill_data(struct weft_data *r, const struct socket_state *s,
					    const struct call *call, const struct data *data,
					    __u32 size, __u32 cpu)
{
	emit__fill_header(&r->header, call->time_ns, WEFT_RECORD_DATA, size, cpu);
	r->cookie = s->cookie;
	r->position = data->position;
	r->process_start_ns = emit__process_start();
	r->length = data->length;
	r->captured = 0;
	r->captured_offset = data->offset;
	r->sequence = data->sequence;
	r->tgid = call->pid_tgid >> 32;
	r->tid = call->pid_tgid;
	__builtin_memset(r->_pad, 0, sizeof(r->_pad));
	r->direction = call->direction;
}

/* A record with room for `room` bytes, a constant, read straight from the caller's memory. */
static __always_inline void emit__flat(void *ring, const struct socket_state *s,
				       const struct call *call, const struct data *data, __u64 from,
				       const __u32 room, __u32 cpu)
{
	struct weft_data *r = bpf_ringbuf_reserve(ring, sizeof(*r) + room, 0);

	if (!r) {
		count__drop(WEFT_DROP_RING_FULL);
		return;
	}
	emit__fill_data(r, s, call, data, sizeof(*r) + room, cpu);
	if (room) {
		__u64 want = BOUND(data->want, room);

		if (bpf_probe_read_user(r + 1, want, (const void *)from))
			count__unread_buffer();
		else
			r->captured = want;
	}
	emit__submit(r);
}

/* A record put together from several iovecs: by way of the scratch, in the size that it needs. */
static __always_inline void emit__gathered(void *ring, const struct socket_state *s,
					   const struct call *call, const struct data *data,
					   struct user_buffer *buffer, __u32 cpu)
{
	struct weft_counters *c = counters__get();
	struct gather_scratch *g;
	struct weft_data *head;
	__u64 copied;

	g = bpf_map_lookup_elem(&scratch, &cpu);
	if (!g || !c)
		return; /* cannot be: there is one for each CPU that has a ring */
	copied = read__gather(buffer, data->offset, data->want, cpu);
	if (copied == 0 && data->want)
		c->unread_buffers++;
	copied = BOUND(copied, WEFT_CAPTURE_MAX);
	head = &g->head;
	emit__fill_data(head, s, call, data, sizeof(*head) + copied, cpu);
	head->captured = copied;
	if (bpf_ringbuf_output(ring, g, sizeof(*head) + copied, BPF_RB_NO_WAKEUP))
		count__drop(WEFT_DROP_RING_FULL);
	else
		c->records++;
}

/* `buffer` is null when there is nothing to copy. */
static __always_inline void emit__data(const struct socket_state *s, const struct call *call,
				       const struct data *data, struct user_buffer *buffer)
{
	__u64 from;
	__u32 cpu;
	void *ring = emit__ring(&cpu);

	if (!ring)
		return;
	if (!buffer || data->want == 0) {
		emit__flat(ring, s, call, data, 0, 0, cpu);
		return;
	}
	if (buffer->iovec_count) {
		emit__gathered(ring, s, call, data, buffer, cpu);
		return;
	}
	from = buffer->base + data->offset;
	if (data->want <= WEFT_CAPTURE_SMALL)
		emit__flat(ring, s, call, data, from, WEFT_CAPTURE_SMALL, cpu);
	else if (data->want <= WEFT_CAPTURE_MEDIUM)
		emit__flat(ring, s, call, data, from, WEFT_CAPTURE_MEDIUM, cpu);
	else if (data->want <= WEFT_CAPTURE_LARGE)
		emit__flat(ring, s, call, data, from, WEFT_CAPTURE_LARGE, cpu);
	else
		emit__flat(ring, s, call, data, from, WEFT_CAPTURE_MAX, cpu);
}

#endif /* WEFT_LIB_EMIT_H */
