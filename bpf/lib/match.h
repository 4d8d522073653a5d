/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the first bytes of a call look like. Knows neither sockets nor what was found before. */
#ifndef WEFT_LIB_MATCH_H
#define WEFT_LIB_MATCH_H

#include "lib/work.h"

#define MATCH_NO 0
#define MATCH_MORE 1	   /* too few bytes to say anything */
#define MATCH_MORE_HTTP1 2 /* too few, but it looks like a start line */
#define MATCH_MORE_HTTP2 3 /* a part of a preface, or all of it and nothing behind it */
#define MATCH_HTTP1 4
#define MATCH_HTTP2 5
#define MATCH_SETTINGS 6 /* a frame that is HTTP/2 if the other side sends a preface */
#define MATCH_TLS 7

#define EXPECT_ANY 0
#define EXPECT_PREFACE 1
#define EXPECT_SETTINGS 2
/* Anything, or an answer: one thread may have read it before the hook of another one, that sent the
 * request, has run. */
#define EXPECT_ANSWER 3

static __always_inline int judge__expected(const struct first_bytes *prefix, __u32 have,
					   __u32 expect)
{
	int match;

	if (expect == EXPECT_SETTINGS) {
		match = sniff__http2_settings(prefix->bytes, have);
		return match == SNIFF_YES    ? MATCH_HTTP2
		       : match == SNIFF_MORE ? MATCH_MORE
					     : MATCH_NO;
	}
	match = sniff__http2_preface(prefix->bytes, have);
	if (match == SNIFF_MORE)
		return have >= HTTP2_PREFACE_BYTES ? MATCH_HTTP2 : MATCH_MORE_HTTP2;
	return match == SNIFF_YES ? MATCH_HTTP2 : MATCH_NO;
}

/* A function of its own, and not a static one: so the verifier looks at its loops once. */
SHARED int judge__match(struct first_bytes *prefix, __u32 have, __u32 expect)
{
	int preface, http1, settings, tls;

	if (!prefix)
		return MATCH_NO;
	have = BOUND(have, SNIFF_BYTES);
	if (expect == EXPECT_PREFACE || expect == EXPECT_SETTINGS)
		return judge__expected(prefix, have, expect);
	preface = sniff__http2_preface(prefix->bytes, have);
	if (preface == SNIFF_YES)
		return MATCH_HTTP2;
	if (preface == SNIFF_MORE && have >= 3)
		return MATCH_MORE_HTTP2;
	http1 = sniff__http1_request(prefix->bytes, have);
	if (http1 != SNIFF_NO)
		return http1 == SNIFF_YES ? MATCH_HTTP1 : MATCH_MORE_HTTP1;
	tls = sniff__tls(prefix->bytes, have);
	settings = sniff__http2_settings(prefix->bytes, have);
	if (expect == EXPECT_ANSWER && sniff__http1_response(prefix->bytes, have) == SNIFF_YES)
		return MATCH_HTTP1;
	if (tls == SNIFF_YES)
		return MATCH_TLS;
	if (settings == SNIFF_YES)
		return MATCH_SETTINGS;
	return tls == SNIFF_MORE || settings == SNIFF_MORE ? MATCH_MORE : MATCH_NO;
}

/* What the verifier should look at apart, so that it forgets how the answer came about. */
SHARED int judge__line_end(struct gather_scratch *g, __u32 have)
{
	return g ? sniff__line_end(g->bytes, have) : 0;
}

SHARED int judge__is_framed(struct gather_scratch *g, __u32 have, __u32 moved)
{
	if (!g)
		return MATCH_NO;
	if (sniff__tls(g->bytes, have) == SNIFF_YES)
		return MATCH_TLS;
	return sniff__http2_tiles(g->bytes, have, moved) == SNIFF_YES ? MATCH_HTTP2 : MATCH_NO;
}

SHARED int judge__is_http1(struct gather_scratch *g, __u32 have, __u32 responses, __u32 end)
{
	if (!g)
		return MATCH_NO;
	if (responses && sniff__http1_response(g->bytes, have) == SNIFF_YES)
		return MATCH_HTTP1;
	if (sniff__http1_request(g->bytes, have) != SNIFF_YES)
		return MATCH_NO;
	if (!responses && sniff__http1_version_at(g->bytes, have, end) != SNIFF_YES)
		return MATCH_NO;
	return MATCH_HTTP1;
}

#ifdef WEFT_STATE_HASH
__noinline int judge__match_apart(__u32 have, __u32 expect)
{
	struct work *w = work__get();
	struct socket_state *s = w ? work__state(w) : NULL;

	return s ? judge__match(&s->prefix, have, expect) : MATCH_NO;
}

__noinline int judge__line_end_apart(__u32 have)
{
	return judge__line_end(work__scratch(), have);
}

__noinline int judge__is_framed_apart(__u32 have, __u32 moved)
{
	return judge__is_framed(work__scratch(), have, moved);
}

__noinline int judge__is_http1_apart(__u32 have, __u32 responses, __u32 end)
{
	return judge__is_http1(work__scratch(), have, responses, end);
}
#define judge__match(prefix, have, expect) judge__match_apart(have, expect)
#define judge__line_end(g, have) judge__line_end_apart(have)
#define judge__is_framed(g, have, moved) judge__is_framed_apart(have, moved)
#define judge__is_http1(g, have, responses, end) judge__is_http1_apart(have, responses, end)
#endif

#endif /* WEFT_LIB_MATCH_H */
