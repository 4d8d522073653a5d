/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is recorded of a call that moved bytes on a connection of known or unknown protocol. Knows
 * no socket: the state may be that of plaintext out of a TLS library. docs/adr/0002 has the reasons
 * for the copy budget of HTTP/1. */
#ifndef WEFT_LIB_STREAM_H
#define WEFT_LIB_STREAM_H

#include "lib/judge.h"
#ifndef WEFT_STATE_HASH
#include "lib/go.h"
#endif

/* The entry for this direction, where it may have one: a look into a hash costs as much as the rest
 * of a call inside a body. */
static __always_inline __u64 *stream__told_end(const struct weft_message_end_key *key)
{
	__u32 zero = 0;
	__u32 *told = bpf_map_lookup_elem(&ends_told, &zero);

	if (!told || !told[WEFT_ENDS_TOLD_PLACE(key->cookie)])
		return NULL;
	return bpf_map_lookup_elem(&message_ends, key);
}

/* How much of the call is copied, and from where. Within the budget: its start. Beyond it, only
 * lengths travel, unless the agent has said that the message ends inside this call. */
static __always_inline void stream__meet_end(struct socket_state *s, struct direction_state *d,
					     __u32 direction, struct data *data)
{
	struct weft_message_end_key key = {.cookie = s->cookie, .direction = direction};
	__u64 *end;

	if (likely(data->length <= d->budget))
		return;
	end = stream__told_end(&key);
	if (!end || *end >= data->position + data->length)
		return;
	if (*end >= data->position) {
		data->offset = *end - data->position;
		d->budget = settings.head_bytes;
	}
	bpf_map_delete_elem(&message_ends, &key);
}

/* After the meeting of an end: will only the call's length travel? Then where its memory lies need
 * not be asked. */
static __always_inline bool stream__is_length_only(const struct socket_state *s,
						   const struct direction_state *d,
						   const struct data *data)
{
	if (s->verdict == VERDICT_HTTP1)
		return !d->budget;
	return s->verdict == VERDICT_HTTP2 && !d->frames_lost && d->frame_is_data &&
	       d->frame_left >= data->length;
}

static __always_inline void stream__spend_budget(struct direction_state *d, bool readable,
						 struct data *data)
{
	if (!readable)
		return; /* a file's bytes cost nothing of the budget */
	data->want = data->length - data->offset;
	if (data->want > d->budget)
		data->want = d->budget;
	d->budget -= data->want;
}

static __always_inline void stream__http1(struct socket_state *s, struct direction_state *d,
					  struct call *call, struct data *data,
					  struct user_buffer *buffer)
{
	stream__spend_budget(d, buffer->kind != BUFFER_NONE, data);
	if (data->want && !read__fetch(d, call->direction, data->length, buffer))
		data->want = 0;
	if (data->want && !buffer->iovec_count) {
		__u64 length = buffer->length;

		if (length <= data->offset)
			data->want = 0;
		else if (data->want > length - data->offset)
			data->want = length - data->offset;
	}
	if (data->want == 0) {
		emit__length(s, call, data);
		return;
	}
	if (likely(!emit__bytes(s, call, data, buffer)))
		return;
	/* Upgraded. Both directions find their place at the start of a later call. */
	s->verdict = VERDICT_HTTP2;
	s->protocol = WEFT_PROTOCOL_HTTP2;
	s->direction[0].frames_lost = 1;
	s->direction[1].frames_lost = 1;
}

static __always_inline void stream__http2(struct socket_state *s, struct direction_state *d,
					  struct call *call, struct data *data,
					  struct user_buffer *buffer)
{
	if (!d->frames_lost && d->frame_is_data && d->frame_left >= data->length) {
		d->frame_left -= data->length;
		emit__length(s, call, data);
		return;
	}
	read__fetch(d, call->direction, data->length, buffer);
	read__fill(buffer);
	http2__call(s, call, data, buffer);
}

/* The records of a call. */
static __always_inline void stream__record(struct socket_state *s, struct call *call,
					   struct data *data, struct user_buffer *buffer)
{
	struct direction_state *d = &s->direction[call->direction & 1];

#ifdef WEFT_LIB_GO_H
	call->goroutine =
	    go__caller(s, call->pid_tgid >> 32,
		       call->direction == WEFT_RECEIVE && !(s->flags & SOCKET_ACTIVE));
#endif
	if (s->protocol == WEFT_PROTOCOL_HTTP2)
		stream__http2(s, d, call, data, buffer);
	else
		stream__http1(s, d, call, data, buffer);
}

/* How a call stands to those before it. */
#define CALL_IS_FIRST 1
#define CALL_TURNED 2	 /* its direction is not the one that spoke last */
#define CALL_MAY_START 4 /* see socket__may_start */

/* Decides about a connection of unknown protocol; true when this call is to be recorded. */
SHARED int stream__judge(struct socket_state *s, struct call *call, struct data *data,
			 struct user_buffer *buffer, __u32 how)
{
	bool first = how & CALL_IS_FIRST, turned = how & CALL_TURNED;
	bool at_start = how & CALL_MAY_START;
	struct direction_state *d;
	bool joined;

	if (!s || !call || !data || !buffer)
		return false;
	d = &s->direction[call->direction & 1];
	joined = s->flags & SOCKET_JOINED;
	if (joined && !turned)
		return false; /* a first call turns, too */
	read__fetch(d, call->direction, data->length, buffer);
	read__fill(buffer);
	if (joined)
		return judge__joined(s, buffer, data->length, first, at_start);
	return judge__born(s, d, buffer, data->length, data->position, turned && !first);
}

/* Takes note of who speaks, and says how the call stands to those before it. */
static __always_inline __u32 stream__turn(struct socket_state *s, __u32 direction)
{
	__u32 how = s->last == LAST_NONE ? CALL_IS_FIRST : 0;

	if (s->last == direction)
		return how;
	s->last = direction;
	s->direction[direction].budget = settings.head_bytes;
	return how | CALL_TURNED;
}

/* A call of a TLS library that moved `length` bytes of plaintext. `s` is the state of the
 * plaintext, made by whoever calls: cookie, flags (SOCKET_JOINED when its first bytes were missed),
 * last = LAST_NONE, protocol = WEFT_PROTOCOL_HTTP1; the connection has been announced. */
static __always_inline void stream__plaintext(struct socket_state *s, struct call *call,
					      __u32 length, __u32 sequence,
					      struct user_buffer *buffer)
{
	struct direction_state *d = &s->direction[call->direction & 1];
	struct data data = {.position = d->end, .length = length, .sequence = sequence};
	__u32 how;

	if (s->verdict == VERDICT_OTHER)
		return;
	buffer->kind = BUFFER_FLAT;
	buffer->iovec_count = 0;
	d->end += length;
	how = stream__turn(s, call->direction & 1) | CALL_MAY_START;
	stream__meet_end(s, d, call->direction, &data);
	if (s->verdict == VERDICT_UNKNOWN && !stream__judge(s, call, &data, buffer, how))
		return;
	stream__record(s, call, &data, buffer);
}

#endif /* WEFT_LIB_STREAM_H */
