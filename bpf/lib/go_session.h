/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The session and the place in the ciphertext that plaintext of a tls.Conn belongs to. */
#ifndef WEFT_LIB_GO_SESSION_H
#define WEFT_LIB_GO_SESSION_H

#include "lib/go_tls.h"
#include "lib/tls_session.h"

/* The session of a call that has moved plaintext, with its socket; or null. */
static __always_inline struct tls_session *go__session(const struct go_call *c, __u32 tgid)
{
	struct tls_session_key key = {.session = c->tls.session, .tgid = tgid};
	struct tls_session *session;
	struct go_handshake *h;

	if (c->tls.mixed)
		return NULL; /* cannot be told */
	session = session__find(c->tls.session, true);
	if (!session)
		return NULL; /* counted */
	if (c->tls.cookie) {
		session__bind(session, c->tls.cookie, c->tls.flags);
		if (c->tls.operation == TLS_READ)
			session->received = c->received;
	}
	h = bpf_map_lookup_elem(&go_handshakes, &key);
	if (h) {
		if (!session->plaintext.cookie) {
			session__bind(session, h->cookie, h->flags);
			session->received = h->received;
		} else if (session->plaintext.cookie == h->cookie && !session->received) {
			session->received = h->received;
		}
		/* What was read ahead with the handshake is of interest to the first read only. */
		if (c->tls.operation == TLS_READ)
			bpf_map_delete_elem(&go_handshakes, &key);
	}
	return session->plaintext.cookie ? session : NULL;
}

/* The buffers of a tls.Conn, which lie side by side in it. */
struct go_buffers {
	struct {
		__u64 base, length, capacity, next;
		__u64 last_read;
	} raw; /* bytes.Buffer: records as they came, decrypted in their place */
	struct {
		__u64 base, length, capacity, next;
	} input; /* bytes.Reader: plaintext of the last record */
};

/* The raw sequence number of the record that the plaintext is from: its header is still where it
 * came in, in front of the plaintext and of what the cipher put between (nothing, a nonce or an
 * initial vector). */
static __always_inline __u32 go__record_sequence(const struct go_buffers *b, __u32 received)
{
	const __u32 before[] = {5, 13, 21};
	__u64 next = b->raw.base + b->raw.next;
	__u32 i;

#pragma unroll
	for (i = 0; i < 3; i++) {
		__u8 header[5] = {};
		__u64 at = b->input.base - before[i];

		if (bpf_probe_read_user(header, sizeof(header), (const void *)at))
			return 0;
		if (header[0] == 0x17 && header[1] == 3 &&
		    at + 5 + (header[3] << 8 | header[4]) == next)
			return received - (b->raw.length - b->raw.next) - (next - at);
	}
	return 0;
}

#endif /* WEFT_LIB_GO_SESSION_H */
