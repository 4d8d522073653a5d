/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where a direction of an HTTP/2 connection stands in its frames: so that the payload of DATA,
 * which is most of what travels, is never copied, and everything else is. docs/adr/0007 has the
 * reasons. */
#ifndef WEFT_LIB_HTTP2_H
#define WEFT_LIB_HTTP2_H

#include "lib/emit_bytes.h"

#define HTTP2_WINDOW SNIFF_WINDOW /* read at once */
/* Windows of one call, beyond which its rest is known by length only: many streams in flight leave
 * their frames in one call. */
#define HTTP2_WINDOWS 16
/* A window is walked to its end, in walks of so many frames: going back in a call of many pieces
 * would take reads that find nothing. */
#define HTTP2_FRAMES 32
#define HTTP2_WALKS (HTTP2_WINDOW / HTTP2_HEADER_BYTES / HTTP2_FRAMES + 1)
#define HTTP2_DATA_COPIED 8 /* of a payload of DATA: padding and the prefix of a gRPC message */

/* One step of the walk: the rest of a payload, then a header; false when it is over. All that it
 * knows is in memory, so that the verifier need not follow numbers from step to step. */
static __always_inline bool http2__step(struct direction_state *d, const struct gather_scratch *g,
					volatile struct http2_window *w, __u32 have)
{
	const __u8 *header;
	__u32 at, n;

	n = (d->frame_is_data ? w->left : have) - w->at;
	if (n > d->frame_left)
		n = d->frame_left;
	d->frame_left -= n;
	w->at += n;
	if (!d->frame_is_data)
		w->useful = w->at;
	at = w->at;
	if (at >= have)
		return false;
	header = g->bytes + BOUND(at, 2 * HTTP2_WINDOW);
	if (have - at < HTTP2_HEADER_BYTES) {
		__builtin_memcpy(&d->header, header, sizeof(d->header));
		d->header_have = have - at;
		w->at = have;
		w->useful = have;
		return false;
	}
	at += HTTP2_HEADER_BYTES;
	w->at = at;
	w->useful = at;
	if (!sniff__http2_possible(header)) {
		d->frames_lost = 1;
		return false;
	}
	n = sniff__http2_length(header);
	d->frame_left = n;
	d->frame_is_data = header[3] == HTTP2_DATA;
	if (d->frame_is_data) {
		at += n < HTTP2_DATA_COPIED ? n : HTTP2_DATA_COPIED;
		w->useful = at < have ? at : have;
	}
	return true;
}

/* Moves the direction over what the call holds of a payload of DATA. */
static __always_inline void http2__pass_data(struct direction_state *d,
					     volatile struct http2_window *w)
{
	__u32 n = w->left - w->at;

	if (!d->frame_is_data)
		return;
	if (n > d->frame_left)
		n = d->frame_left;
	d->frame_left -= n;
	w->at += n;
}

/* Moves the direction over the window. A function of its own, and not a static one: so the verifier
 * looks at its loop once. */
SHARED int http2__walk(struct direction_state *d, struct gather_scratch *g, struct http2_window *w)
{
	__u32 have;
	int i;

	if (!d || !g || !w)
		return 0;
	have = BOUND(w->have, 2 * HTTP2_WINDOW - 1);
	for (i = 0; i < HTTP2_FRAMES; i++)
		if (!http2__step(d, g, w, have))
			break;
	http2__pass_data(d, w); /* behind the last header that there was a step for */
	return 0;
}

/* A direction that lost its place stands at a frame's start when frames tile the call. */
SHARED int http2__recover(struct direction_state *d, struct gather_scratch *g,
			  struct http2_window *w)
{
	if (!d || !g || !w || sniff__http2_tiles(g->bytes, w->have, w->left) != SNIFF_YES)
		return 0;
	d->frames_lost = 0;
	d->frame_is_data = 0;
	d->frame_left = 0;
	return 1;
}

#ifdef WEFT_STATE_HASH
static __always_inline struct direction_state *http2__direction(const struct work *w)
{
	struct socket_state *s = work__state(w);

	return s ? &s->direction[w->call.direction & 1] : NULL;
}

__noinline int http2__walk_apart(void)
{
	struct work *w = work__get();

	return w ? http2__walk(http2__direction(w), work__scratch(), &w->window) : 0;
}

__noinline int http2__recover_apart(void)
{
	struct work *w = work__get();

	return w ? http2__recover(http2__direction(w), work__scratch(), &w->window) : 0;
}
#define http2__walk(d, g, w) http2__walk_apart()
#define http2__recover(d, g, w) http2__recover_apart()
#endif

/* Bytes at the start of the call that lie in a payload of DATA; the direction moves over them. */
static __always_inline __u32 http2__skip_data(struct direction_state *d, __u32 left)
{
	__u32 n = d->frame_left < left ? d->frame_left : left;

	if (d->frames_lost || !d->frame_is_data)
		return 0;
	d->frame_left -= n;
	return n;
}

/* The next record of the call: its part from `offset` on. Returns how long that part is; 0 when the
 * place in the frames is lost. */
static __always_inline __u32 http2__part(const struct socket_state *s, struct direction_state *d,
					 const struct call *call, const struct data *data,
					 struct user_buffer *buffer, struct gather_scratch *g,
					 struct http2_window *w, __u32 offset)
{
	struct data part = {.position = data->position + offset,
			    .sequence = data->sequence + offset};
	__u32 had = 0, n;
	int i;

	w->have = 0;
	w->left = data->length - offset;
	w->at = 0;
	w->useful = 0;
	part.offset = http2__skip_data(d, w->left);
	w->left -= part.offset;
	if (w->left) {
		had = d->frames_lost ? 0 : BOUND(d->header_have, 8);
		d->header_have = 0;
		__builtin_memcpy(g->bytes, &d->header, sizeof(d->header));
		n = read__copy(buffer, g, offset + part.offset,
			       w->left < HTTP2_WINDOW ? w->left : HTTP2_WINDOW, had);
		if (n == 0) {
			count__unread_buffer();
			return 0;
		}
		w->have = had + n;
		w->left += had;
		if (d->frames_lost && (offset || !http2__recover(d, g, w)))
			return 0;
		for (i = 0; i < HTTP2_WALKS && w->at < w->have && !d->frames_lost; i++)
			http2__walk(d, g, w);
	}
	part.length = part.offset + w->at - had;
	part.want = w->useful - had;
	emit__scratch(s, call, &part, g, had);
	return part.length;
}

/* The records of a call. `buffer` is ready, or out of reach. A function of its own, because it is
 * long. */
SHARED int http2__call(struct socket_state *s, struct call *call, struct data *data,
		       struct user_buffer *buffer)
{
	struct gather_scratch *g = NULL;
	struct direction_state *d;
#ifdef WEFT_STATE_HASH
	struct http2_window *w = &((struct work *)call)->window;
#else
	struct http2_window window, *w = &window;
#endif
	__u32 offset = 0, n;
	int i;

	if (!s || !call || !data || !buffer)
		return 0;
	d = &s->direction[call->direction & 1];
	if (buffer->kind == BUFFER_FLAT)
		g = scratch__take(bpf_get_smp_processor_id());
	for (i = 0; g && i < HTTP2_WINDOWS && offset < data->length; i++) {
		n = http2__part(s, d, call, data, buffer, g, w, offset);
		if (n == 0)
			break;
		offset += n;
	}
	if (g)
		scratch__release(g);
	if (offset >= data->length)
		return 0;
	d->frames_lost = 1;
	data->position += offset;
	data->sequence += offset;
	data->length -= offset;
	emit__length(s, call, data);
	return 0;
}

#ifdef WEFT_STATE_HASH
__noinline int http2__call_apart(void)
{
	struct work *w = work__get();

	return w ? http2__call(work__state(w), &w->call, &w->data, &w->buffer) : 0;
}
#define http2__call(s, call, data, buffer) http2__call_apart()
#endif

#endif /* WEFT_LIB_HTTP2_H */
