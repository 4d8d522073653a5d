/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Could these be the first bytes of an HTTP/1 message? A filter, not a parser: what passes is
 * looked at again by the agent. No helper calls, so that the same file compiles for the host, where
 * it is tested. */
#ifndef WEFT_SNIFF_HTTP1_H
#define WEFT_SNIFF_HTTP1_H

#define SNIFF_BYTES 64	  /* the arrays passed must hold as many, unless it says otherwise */
#define SNIFF_WINDOW 1024 /* looked at of a call on a connection that was met in the middle */
#define SNIFF_START 32	  /* where a target must have begun */

#define SNIFF_NO 0
#define SNIFF_MORE 1 /* all bytes fit so far, but they are too few to say */
#define SNIFF_YES 2

/* METHOD SP, then what starts a target: "/", "*", "h" of http://, or anything behind CONNECT. Up to
 * four CR or LF may stand before it (RFC 9112 2.2). "PRI *" is HTTP/2. */
static inline __attribute__((always_inline)) int sniff__http1_request(const unsigned char *bytes,
								      unsigned int have)
{
	unsigned int letters = 0, blank = 0, i;

	if (have >= 3 && bytes[0] == 'P' && bytes[1] == 'R' && bytes[2] == 'I')
		return SNIFF_NO;
	for (i = 0; i < SNIFF_START - 1; i++) {
		unsigned char c;

		if (i >= have)
			return SNIFF_MORE;
		c = bytes[i];
		if ((c >= 'A' && c <= 'Z') || (c == '-' && letters > 0)) {
			if (++letters > 20)
				return SNIFF_NO;
		} else if (c == ' ' && letters >= 3) {
			break;
		} else if ((c == '\r' || c == '\n') && letters == 0 && blank < 4) {
			blank++;
		} else {
			return SNIFF_NO;
		}
	}
	if (i + 1 >= SNIFF_START)
		return SNIFF_NO;
	if (i + 1 >= have)
		return SNIFF_MORE;
	if (bytes[0] == 'C' && bytes[1] == 'O' && bytes[2] == 'N')
		return SNIFF_YES;
	i = (i + 1) & (SNIFF_START - 1);
	return bytes[i] == '/' || bytes[i] == '*' || bytes[i] == 'h' || bytes[i] == 'H' ? SNIFF_YES
											: SNIFF_NO;
}

/* "HTTP/1." */
static inline __attribute__((always_inline)) int sniff__http1_response(const unsigned char *bytes,
								       unsigned int have)
{
	const unsigned char want[8] = "HTTP/1.";
	unsigned int i;

	for (i = 0; i < 7; i++) {
		if (i >= have)
			return SNIFF_MORE;
		if (bytes[i] != want[i])
			return SNIFF_NO;
	}
	return SNIFF_YES;
}

/* Where the first control character stands; `have` when there is none. `bytes` must hold
 * SNIFF_WINDOW. */
static inline __attribute__((always_inline)) unsigned int
sniff__line_end(const unsigned char *bytes, unsigned int have)
{
	unsigned int i;

	for (i = 0; i < SNIFF_WINDOW; i++)
		if (i >= have || bytes[i] < ' ')
			return i;
	return have;
}

/* Does a request line end at `end`, with " HTTP/1.x"? `bytes` must hold SNIFF_WINDOW. */
static inline __attribute__((always_inline)) int
sniff__http1_version_at(const unsigned char *bytes, unsigned int have, unsigned int end)
{
	const unsigned char want[9] = " HTTP/1.";
	unsigned int newline, k;

	/* Bounded where it is used: older verifiers forget the bounds of what the compiler puts
	 * away. */
	__asm__ volatile("" : "+r"(end));
	end &= SNIFF_WINDOW - 1;
	if (end < 13 || end == SNIFF_WINDOW - 1)
		return SNIFF_NO;
	newline = end;
	if (bytes[end] == '\r')
		newline++;
	if (newline >= have || bytes[newline] != '\n')
		return SNIFF_NO;
	bytes += end - 9;
	for (k = 0; k < 8; k++)
		if (bytes[k] != want[k])
			return SNIFF_NO;
	return SNIFF_YES;
}

#endif /* WEFT_SNIFF_HTTP1_H */
