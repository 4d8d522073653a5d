/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A call into a TLS library and the events of sockets inside it. */
#ifndef WEFT_LIB_TLS_CALL_H
#define WEFT_LIB_TLS_CALL_H

#include "lib/socket.h"

#define TLS_HEADER_BYTES 5
#define TLS_KEY_UPDATE_BYTES 27 /* of TLS 1.3: goes out by itself before the plaintext's record */

#define TLS_READ WEFT_RECEIVE
#define TLS_WRITE WEFT_SEND
#define TLS_HANDSHAKE 2

struct tls_session_key {
	__u64 session; /* SSL *, gnutls_session_t, *tls.Conn */
	__u32 tgid;
	__u32 _pad;
};

/* A call that is under way. */
struct tls_call {
	__u64 session; /* SSL *, gnutls_session_t */
	__u64 buffer;
	__u64 moved; /* address of the size_t that will tell the number of bytes; 0: the result does
		      */
	__u64 stack; /* pointer at the entry */
	__u64 cookie;  /* of the socket of the events inside; 0: none yet */
	__u64 time_ns; /* of the last of them */
	__u32 sequence;
	__u8 operation;
	__u8 flags;	 /* of the socket */
	__u8 mixed;	 /* events of several sockets: believe nothing */
	__u8 has_record; /* `sequence` is where a record started */
};

/* An event inside a call. A reading library fetches a record's header by itself: where the last
 * header started is where the record started that the call returns. */
static __always_inline void tls__nested(struct tls_call *c, const struct socket_state *s,
					const struct call *call, __u32 start, __u32 moved)
{
	if (c->cookie && c->cookie != s->cookie) {
		c->mixed = 1;
		return;
	}
	if (call->direction == c->operation && c->operation == TLS_READ) {
		if (!c->cookie || moved == TLS_HEADER_BYTES)
			c->sequence = start;
		c->has_record |= moved == TLS_HEADER_BYTES;
	} else if (call->direction == c->operation && !c->has_record) {
		c->sequence = start;
		c->has_record = moved != TLS_KEY_UPDATE_BYTES;
	}
	c->cookie = s->cookie;
	c->flags = s->flags;
	c->time_ns = call->time_ns;
}

#endif /* WEFT_LIB_TLS_CALL_H */
