/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Records that hold bytes of the caller's memory: read straight to where the agent reads them where
 * they lie in one piece or two, else put together in the scratch. */
#ifndef WEFT_LIB_EMIT_BYTES_H
#define WEFT_LIB_EMIT_BYTES_H

#include "lib/emit.h"
#include "lib/read.h"

/* The first bytes of an HTTP/2 preface, as a number. */
#define PREFACE_WORD 0x5448202a20495250ULL /* "PRI * HT" */

/* "HTTP/1.1", " 200", and the empty line behind a head. */
#define RESPONSE_WORD 0x312e312f50545448ULL
#define STATUS_WORD 0x30303220
#define HEAD_END_WORD 0x0a0d0a0d

/* A connection that changes to HTTP/2 is told by its preface. */
static __always_inline bool emit__is_preface(struct weft_data *r, __u64 captured)
{
	if (captured < HTTP2_PREFACE_BYTES || likely(*(const __u64 *)(r + 1) != PREFACE_WORD))
		return false;
	r->protocol = WEFT_PROTOCOL_HTTP2;
	return true;
}

/* Does the record's first piece, of `length` bytes, hold the head of an ordinary response and
 * nothing else? Then what follows is a body, and not worth a read. */
static __always_inline bool emit__is_whole_head(const struct weft_data *r, __u64 length)
{
	const __u8 *bytes = (const __u8 *)(r + 1);

	length = BOUND(length, WEFT_CAPTURE_SMALL);
	return length >= 16 && *(const __u64 *)bytes == RESPONSE_WORD &&
	       *(const __u32 *)(bytes + 8) == STATUS_WORD &&
	       *(const __u32 *)(bytes + length - 4) == HEAD_END_WORD;
}

/* Reads the first two pieces, each short, to `r`; returns how many bytes. */
static __always_inline __u32 emit__pair(struct weft_data *r, const struct data *data,
					const struct user_buffer *buffer)
{
	__u64 first, second, left = data->want;

	first = BOUND(buffer->iovecs[0].length, WEFT_CAPTURE_SMALL);
	if (first > left)
		first = left;
	first = BOUND(first, WEFT_CAPTURE_SMALL);
	second = buffer->iovecs[1].length;
	if (second > left - first)
		second = left - first;
	second = BOUND(second, WEFT_CAPTURE_SMALL);
	if (bpf_probe_read_user(r + 1, first, (const void *)buffer->iovecs[0].base))
		return 0;
	if (!second || emit__is_whole_head(r, first) ||
	    bpf_probe_read_user((__u8 *)(r + 1) + first, second,
				(const void *)buffer->iovecs[1].base))
		return first;
	return first + second;
}

/* A record of at most WEFT_CAPTURE_LARGE bytes in the outbox, as long as what could be read. */
static __always_inline bool emit__boxed(struct weft_outbox *box, const struct socket_state *s,
					const struct call *call, const struct data *data,
					const struct user_buffer *buffer, __u32 cpu)
{
	struct weft_data *r = outbox__place(box);
	__u64 captured = BOUND(data->want, WEFT_CAPTURE_LARGE);
	bool is_preface;

	if (buffer->iovec_count)
		captured = emit__pair(r, data, buffer);
	else if (bpf_probe_read_user(r + 1, captured, (const void *)(buffer->base + data->offset)))
		captured = 0;
	if (unlikely(!captured))
		count__unread_buffer();
	emit__fill_data(r, s, call, data, sizeof(*r) + captured, cpu);
	r->captured = captured;
	is_preface = emit__is_preface(r, captured);
	outbox__publish(box, sizeof(*r) + captured);
	return is_preface;
}

/* The same in a ring, which wants the room to be a constant. */
static __always_inline bool emit__flat(void *ring, const struct socket_state *s,
				       const struct call *call, const struct data *data, __u64 from,
				       const __u32 room, __u32 cpu)
{
	struct weft_data *r = bpf_ringbuf_reserve(ring, sizeof(*r) + room, 0);
	__u64 want = BOUND(data->want, room);
	bool is_preface;

	if (!r) {
		count__drop(WEFT_DROP_RING_FULL);
		return false;
	}
	emit__fill_data(r, s, call, data, sizeof(*r) + room, cpu);
	if (bpf_probe_read_user(r + 1, want, (const void *)from)) {
		count__unread_buffer();
		want = 0;
	}
	r->captured = want;
	is_preface = emit__is_preface(r, want);
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return is_preface;
}

/* A record of data->want bytes that lie in the scratch `before` bytes behind its start: what says
 * whose they are is written right in front of them. */
static __always_inline void emit__scratch(const struct socket_state *s, const struct call *call,
					  const struct data *data, struct gather_scratch *g,
					  __u32 before)
{
	__u64 captured = BOUND(data->want, WEFT_CAPTURE_MAX),
	      size = sizeof(struct weft_data) + captured;
	struct weft_data *head = (void *)((__u8 *)&g->head + BOUND(before, 8));
	__u32 cpu = bpf_get_smp_processor_id();
	struct weft_outbox *box = NULL;
	void *ring;
	int how;

	emit__fill_data(head, s, call, data, size, cpu);
	head->captured = captured;
	if (captured <= WEFT_CAPTURE_LARGE)
		box = outbox__take(cpu, size);
	if (box) {
		bpf_probe_read_kernel(outbox__place(box), BOUND(size, WEFT_OUTBOX_SLACK), head);
		outbox__publish(box, size);
		return;
	}
	ring = emit__ring(s->cookie, size, cpu, &how);
	if (ring && bpf_ringbuf_output(ring, head, size, BPF_RB_NO_WAKEUP))
		count__drop(WEFT_DROP_RING_FULL);
}

/* A record put together from several pieces: by way of the scratch, in the size that it needs. */
static __always_inline bool emit__gathered(const struct socket_state *s, const struct call *call,
					   const struct data *data, struct user_buffer *buffer)
{
	struct gather_scratch *g = scratch__take(bpf_get_smp_processor_id());
	struct data got = *data;
	bool is_preface;

	if (!g) {
		emit__length(s, call, data);
		return false;
	}
	got.want = read__copy(buffer, g, data->offset, data->want, 0);
	if (got.want == 0)
		count__unread_buffer();
	is_preface = got.want >= HTTP2_PREFACE_BYTES && *(const __u64 *)g->bytes == PREFACE_WORD;
	emit__scratch(s, call, &got, g, 0);
	scratch__release(g);
	return is_preface;
}

/* Room that a record in a ring takes for its bytes. */
static __always_inline __u32 emit__room(__u32 want)
{
	if (want <= WEFT_CAPTURE_SMALL)
		return WEFT_CAPTURE_SMALL;
	if (want <= WEFT_CAPTURE_MEDIUM)
		return WEFT_CAPTURE_MEDIUM;
	return want <= WEFT_CAPTURE_LARGE ? WEFT_CAPTURE_LARGE : WEFT_CAPTURE_MAX;
}

static __always_inline void emit__shorten(struct data *data)
{
	struct weft_counters *c = counters__get();

	if (data->want <= WEFT_CAPTURE_SMALL)
		return;
	data->want = WEFT_CAPTURE_SMALL;
	if (c)
		c->short_heads++;
}

/* A record of data->want bytes, at least one, out of a buffer that is ready; fewer where room has
 * become rare. True when the bytes are an HTTP/2 preface. A function of its own, because it needs
 * much of the stack. */
SHARED int emit__bytes(struct socket_state *s, struct call *call, struct data *data,
		       struct user_buffer *buffer)
{
	struct weft_outbox *box = NULL;
	bool is_pair;
	__u64 from;
	__u32 cpu;
	void *ring;
	int how;

	if (unlikely(!s || !call || !data || !buffer))
		return false;
	cpu = bpf_get_smp_processor_id();
	is_pair = buffer->iovec_count == 2 && data->want <= WEFT_CAPTURE_SMALL && !data->offset;
	if (data->want <= WEFT_CAPTURE_LARGE && (is_pair || !buffer->iovec_count))
		box = outbox__take(cpu, sizeof(struct weft_data) + data->want);
	if (likely(box))
		return emit__boxed(box, s, call, data, buffer, cpu);
	if (buffer->iovec_count)
		return emit__gathered(s, call, data, buffer);
	from = buffer->base + data->offset;
	ring = emit__ring(s->cookie, sizeof(struct weft_data) + emit__room(data->want), cpu, &how);
	if (!ring)
		return false;
	if (how == ROOM_SHORT)
		emit__shorten(data);
	if (data->want <= WEFT_CAPTURE_SMALL)
		return emit__flat(ring, s, call, data, from, WEFT_CAPTURE_SMALL, cpu);
	if (data->want <= WEFT_CAPTURE_MEDIUM)
		return emit__flat(ring, s, call, data, from, WEFT_CAPTURE_MEDIUM, cpu);
	if (data->want <= WEFT_CAPTURE_LARGE)
		return emit__flat(ring, s, call, data, from, WEFT_CAPTURE_LARGE, cpu);
	return emit__flat(ring, s, call, data, from, WEFT_CAPTURE_MAX, cpu);
}

#ifdef WEFT_STATE_HASH
__noinline int emit__bytes_apart(void)
{
	struct work *w = work__get();

	return w ? emit__bytes(work__state(w), &w->call, &w->data, &w->buffer) : 0;
}
#define emit__bytes(s, call, data, buffer) emit__bytes_apart()
#endif

#endif /* WEFT_LIB_EMIT_BYTES_H */
