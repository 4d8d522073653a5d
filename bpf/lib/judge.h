/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The verdict about a connection's protocol, by the first bytes that anybody sends on it. Knows no
 * socket: plaintext out of a TLS library is judged in the same way. */
#ifndef WEFT_LIB_JUDGE_H
#define WEFT_LIB_JUDGE_H

#include "lib/http2.h"
#include "lib/match.h"

#define SNIFF_TRIES 16 /* turns, for a connection that is older than the programs */

/* The same for a call somewhere on a connection that is older than the programs. `at_start`: a
 * whole request line may be believed, though nobody has seen what stood before it. */
static __always_inline int judge__match_joined(struct gather_scratch *g, __u32 have, __u32 moved,
					       bool first, bool at_start)
{
	int match = judge__is_framed(g, have, moved);

	if (match != MATCH_NO || (first && !at_start))
		return match;
	return judge__is_http1(g, have, !first, first ? judge__line_end(g, have) : 0);
}

/* Reads the call's first bytes behind those that are kept already, and looks at all of them. */
static __always_inline int judge__sniff(struct socket_state *s, struct user_buffer *buffer,
					__u32 moved, __u32 expect)
{
	__u64 have = BOUND(s->prefix_length, SNIFF_BYTES);
	__u64 n = BOUND(moved, SNIFF_BYTES);

	if (buffer->iovec_count) {
		struct gather_scratch *g = scratch__take(bpf_get_smp_processor_id());

		if (!g)
			return MATCH_NO;
		n = read__copy(buffer, g, 0, n, 0);
		n = BOUND(n, SNIFF_BYTES);
		if (bpf_probe_read_kernel(s->prefix.bytes + have, n, g->bytes))
			n = 0;
		scratch__release(g);
	} else {
		if (n > buffer->length)
			n = buffer->length;
		n = BOUND(n, SNIFF_BYTES);
		if (bpf_probe_read_user(s->prefix.bytes + have, n, (const void *)buffer->base))
			n = 0;
	}
	if (n == 0)
		return MATCH_NO;
	have = BOUND(have + n, SNIFF_BYTES);
	s->prefix_length = have;
	return judge__match(&s->prefix, have, expect);
}

static __always_inline bool judge__as_http1(struct socket_state *s)
{
	s->verdict = VERDICT_HTTP1;
	s->protocol = WEFT_PROTOCOL_HTTP1;
	return true;
}

static __always_inline bool judge__dismiss(struct socket_state *s, __u8 verdict)
{
	s->verdict = verdict;
	return false;
}

/* Seen from birth. `position` is that of the call in its direction. */
static __always_inline bool judge__born(struct socket_state *s, struct direction_state *d,
					struct user_buffer *buffer, __u32 moved, __u64 position,
					bool other_side)
{
	bool is_answer = (s->flags & SOCKET_ACTIVE) && d == &s->direction[WEFT_RECEIVE];
	__u32 expect = is_answer ? EXPECT_ANSWER : EXPECT_ANY;
	int match;

	if (other_side) {
		/* Another CPU may be looking at the first bytes: this call shares what is found, or
		 * will be (case T11). */
		if (*(volatile __u8 *)&s->verdict != VERDICT_UNKNOWN)
			return s->verdict == VERDICT_HTTP1;
		if (s->hint == HINT_NONE && !*(volatile __u8 *)&s->prefix_length)
			return true;
		if (s->hint == HINT_NONE)
			return judge__dismiss(s, VERDICT_OTHER);
		expect = s->hint == HINT_PREFACE ? EXPECT_SETTINGS : EXPECT_PREFACE;
		s->prefix_length = 0;
	} else if (s->hint == HINT_SETTINGS) {
		return true; /* more frames, until the other side shows what they are */
	}
	match = buffer->kind == BUFFER_FLAT ? judge__sniff(s, buffer, moved, expect) : MATCH_NO;
	if (match == MATCH_NO || match == MATCH_TLS)
		return judge__dismiss(s, match == MATCH_TLS ? VERDICT_TLS : VERDICT_OTHER);
	if (match == MATCH_HTTP1)
		return judge__as_http1(s);
	if (match == MATCH_MORE)
		return false;
	if (match == MATCH_MORE_HTTP1) {
		s->protocol = WEFT_PROTOCOL_HTTP1;
		return true;
	}
	s->protocol = WEFT_PROTOCOL_HTTP2;
	if (match == MATCH_SETTINGS) {
		s->hint = HINT_SETTINGS;
		return true;
	}
	/* To the tracker the preface is a payload that is to be copied. */
	if (expect != EXPECT_SETTINGS && position < HTTP2_PREFACE_BYTES && !d->frame_left)
		d->frame_left = HTTP2_PREFACE_BYTES - position;
	s->hint = HINT_PREFACE;
	if (match == MATCH_HTTP2)
		s->verdict = VERDICT_HTTP2;
	return true;
}

/* Met in the middle: looked at only at its first call and where the direction turns, so that
 * nothing inside a body can match (case T24). */
static __always_inline bool judge__joined(struct socket_state *s, struct user_buffer *buffer,
					  __u32 moved, bool first, bool at_start)
{
	struct gather_scratch *g = NULL;
	int match = MATCH_NO;

	if (buffer->kind == BUFFER_FLAT)
		g = scratch__take(bpf_get_smp_processor_id());
	if (g) {
		__u32 n = moved < SNIFF_WINDOW ? moved : SNIFF_WINDOW;

		n = read__copy(buffer, g, 0, n, 0);
		match = judge__match_joined(g, n, moved, first, at_start);
		scratch__release(g);
	}
	if (match == MATCH_HTTP1)
		return judge__as_http1(s);
	if (match == MATCH_TLS)
		return judge__dismiss(s, VERDICT_TLS);
	if (match == MATCH_HTTP2) {
		s->verdict = VERDICT_HTTP2;
		s->protocol = WEFT_PROTOCOL_HTTP2;
		s->direction[0].frames_lost = 1;
		s->direction[1].frames_lost = 1;
		return true;
	}
	if (++s->tries >= SNIFF_TRIES)
		s->verdict = VERDICT_OTHER;
	return false;
}

#endif /* WEFT_LIB_JUDGE_H */
