/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Where a direction of an HTTP/2 connection stands in its frames: so that the payload of DATA,
 * which is most of what travels, is never copied, and everything else is. docs/adr/0007 has the
 * reasons. */
#ifndef WEFT_LIB_HTTP2_H
#define WEFT_LIB_HTTP2_H

#include "lib/emit.h"

#define HTTP2_WINDOW SNIFF_WINDOW /* read at once */
#define HTTP2_WINDOWS 4		  /* of one call; beyond them its rest is known by length only */
#define HTTP2_FRAMES 16		  /* of one window */
#define HTTP2_DATA_COPIED 8 /* of a payload of DATA: padding and the prefix of a gRPC message */

/* A piece of a call that lies in the scratch, behind what came of a header before it. */
struct http2_window {
	__u32 have; /* bytes in the scratch */
	__u32 left; /* bytes from the window's start to the call's end */
	/* What the walk answers: how far it has come, which is beyond `have` in a payload of DATA;
	 * and how much is worth a copy. */
	__u32 at;
	__u32 useful;
};

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

/* Moves the direction over the window. A function of its own, and not a static one: so the verifier
 * looks at its loop once. */
SHARED int http2__walk(struct direction_state *d, struct gather_scratch *g,
			   struct http2_window *w)
{
	__u32 have;
	int i;

	if (!d || !g || !w)
		return 0;
	have = BOUND(w->have, 2 * HTTP2_WINDOW - 1);
	for (i = 0; i < HTTP2_FRAMES; i++)
		if (!http2__step(d, g, w, have))
			break;
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
					 __u32 offset)
{
	struct data part = {.position = data->position + offset,
			    .sequence = data->sequence + offset};
	struct http2_window w = {.left = data->length - offset};
	__u32 had = 0, n;

	part.offset = http2__skip_data(d, w.left);
	w.left -= part.offset;
	if (w.left) {
		had = d->frames_lost ? 0 : BOUND(d->header_have, 8);
		d->header_have = 0;
		__builtin_memcpy(g->bytes, &d->header, sizeof(d->header));
		n = read__copy(buffer, g, offset + part.offset,
			       w.left < HTTP2_WINDOW ? w.left : HTTP2_WINDOW, had);
		if (n == 0) {
			count__unread_buffer();
			return 0;
		}
		w.have = had + n;
		w.left += had;
		if (d->frames_lost && (offset || !http2__recover(d, g, &w)))
			return 0;
		http2__walk(d, g, &w);
	}
	part.length = part.offset + w.at - had;
	part.want = w.useful - had;
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
	struct data rest;
	__u32 offset = 0, n;
	int i;

	if (!s || !call || !data || !buffer)
		return 0;
	d = &s->direction[call->direction & 1];
	if (buffer->kind == BUFFER_FLAT)
		g = scratch__take(bpf_get_smp_processor_id());
	for (i = 0; g && i < HTTP2_WINDOWS && offset < data->length; i++) {
		n = http2__part(s, d, call, data, buffer, g, offset);
		if (n == 0)
			break;
		offset += n;
	}
	if (g)
		scratch__release(g);
	if (offset >= data->length)
		return 0;
	d->frames_lost = 1;
	rest = *data;
	rest.position += offset;
	rest.sequence += offset;
	rest.length -= offset;
	emit__length(s, call, &rest);
	return 0;
}

#endif /* WEFT_LIB_HTTP2_H */
