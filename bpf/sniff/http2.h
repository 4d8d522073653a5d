/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Is this HTTP/2? A connection preface alone is no proof (other protocols borrow it); a SETTINGS
 * frame behind it is. For connections met in the middle: do frames tile the call? No helper calls,
 * so that the same file compiles for the host, where it is tested. */
#ifndef WEFT_SNIFF_HTTP2_H
#define WEFT_SNIFF_HTTP2_H

#include "sniff/http1.h"

#define HTTP2_PREFACE_BYTES 24
#define HTTP2_HEADER_BYTES 9
#define HTTP2_FIRST_BYTES (HTTP2_PREFACE_BYTES + HTTP2_HEADER_BYTES)

#define HTTP2_DATA 0
#define HTTP2_HEADERS 1
#define HTTP2_PRIORITY 2
#define HTTP2_RST_STREAM 3
#define HTTP2_SETTINGS 4
#define HTTP2_PUSH_PROMISE 5
#define HTTP2_PING 6
#define HTTP2_GOAWAY 7
#define HTTP2_WINDOW_UPDATE 8
#define HTTP2_CONTINUATION 9

static inline __attribute__((always_inline)) unsigned int
sniff__http2_length(const unsigned char *header)
{
	return (unsigned int)header[0] << 16 | (unsigned int)header[1] << 8 | header[2];
}

static inline __attribute__((always_inline)) unsigned int
sniff__http2_stream(const unsigned char *header)
{
	return ((unsigned int)header[5] << 24 | (unsigned int)header[6] << 16 |
		(unsigned int)header[7] << 8 | header[8]) &
	       0x7fffffff;
}

/* Could these nine bytes be the header of a frame? Frames of unknown types are allowed (RFC 9113
 * 4.1): this is for a tracker that knows where it stands, and wants to notice when it does not. */
static inline __attribute__((always_inline)) int sniff__http2_possible(const unsigned char *header)
{
	unsigned int length = sniff__http2_length(header), stream = sniff__http2_stream(header);

	switch (header[3]) {
	case HTTP2_DATA:
	case HTTP2_HEADERS:
	case HTTP2_PUSH_PROMISE:
	case HTTP2_CONTINUATION:
		return stream != 0;
	case HTTP2_PRIORITY:
		return stream != 0 && length == 5;
	case HTTP2_RST_STREAM:
		return stream != 0 && length == 4;
	case HTTP2_SETTINGS:
		return stream == 0 && length % 6 == 0;
	case HTTP2_PING:
		return stream == 0 && length == 8;
	case HTTP2_GOAWAY:
		return stream == 0 && length >= 8;
	case HTTP2_WINDOW_UPDATE:
		return length == 4;
	}
	return 1;
}

/* The same without benefit of the doubt: for bytes of which nothing is known. Known types, only
 * flags that the type has, no reserved bit, the sizes that everybody uses. */
static inline __attribute__((always_inline)) int sniff__http2_strict(const unsigned char *header)
{
	unsigned int flags = header[4], allowed = 0;

	if (header[3] > HTTP2_CONTINUATION || (header[5] & 0x80))
		return 0;
	if (sniff__http2_length(header) > 1 << 20 || !sniff__http2_possible(header))
		return 0;
	switch (header[3]) {
	case HTTP2_DATA:
		allowed = 0x09;
		break;
	case HTTP2_HEADERS:
		allowed = 0x2d;
		break;
	case HTTP2_PUSH_PROMISE:
		allowed = 0x0c;
		break;
	case HTTP2_CONTINUATION:
		allowed = 0x04;
		break;
	case HTTP2_SETTINGS:
		allowed = sniff__http2_length(header) ? 0 : 0x01;
		break;
	case HTTP2_PING:
		allowed = 0x01;
		break;
	}
	return (flags & ~allowed) == 0;
}

/* A first SETTINGS frame, as both sides must send it. `have` < 9: as far as it goes. */
static inline __attribute__((always_inline)) int sniff__http2_settings(const unsigned char *bytes,
								       unsigned int have)
{
	unsigned int length = sniff__http2_length(bytes);

	if ((have >= 1 && bytes[0]) || (have >= 2 && bytes[1]))
		return SNIFF_NO;
	if (have >= 3 && (length % 6 || length > 120))
		return SNIFF_NO;
	if ((have >= 4 && bytes[3] != HTTP2_SETTINGS) || (have >= 5 && bytes[4]))
		return SNIFF_NO;
	if ((have >= 6 && bytes[5]) || (have >= 7 && bytes[6]) || (have >= 8 && bytes[7]))
		return SNIFF_NO;
	if (have < HTTP2_HEADER_BYTES)
		return SNIFF_MORE;
	return bytes[8] ? SNIFF_NO : SNIFF_YES;
}

/* The preface, and behind it a SETTINGS frame. `bytes` must hold SNIFF_BYTES. */
static inline __attribute__((always_inline)) int sniff__http2_preface(const unsigned char *bytes,
								      unsigned int have)
{
	const unsigned char want[HTTP2_PREFACE_BYTES + 1] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	unsigned int i;

	for (i = 0; i < HTTP2_PREFACE_BYTES; i++) {
		if (i >= have)
			return SNIFF_MORE;
		if (bytes[i] != want[i])
			return SNIFF_NO;
	}
	return sniff__http2_settings(bytes + HTTP2_PREFACE_BYTES, have - HTTP2_PREFACE_BYTES);
}

/* Do frames start at the first byte? `have` bytes of a call that moved `moved`. One frame that
 * fills the call exactly, or two that follow each other. */
static inline __attribute__((always_inline)) int
sniff__http2_tiles(const unsigned char *bytes, unsigned int have, unsigned int moved)
{
	unsigned int next;

	if (have < HTTP2_HEADER_BYTES || !sniff__http2_strict(bytes))
		return SNIFF_NO;
	next = HTTP2_HEADER_BYTES + sniff__http2_length(bytes);
	if (next == moved)
		return SNIFF_YES;
	if (next > moved || next + HTTP2_HEADER_BYTES > have)
		return SNIFF_NO;
	next &= SNIFF_WINDOW - 1;
	return sniff__http2_strict(bytes + next) ? SNIFF_YES : SNIFF_NO;
}

#endif /* WEFT_SNIFF_HTTP2_H */
