/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The records of a TLS library's call that has moved plaintext. */
#ifndef WEFT_LIB_TLS_RECORD_H
#define WEFT_LIB_TLS_RECORD_H

#include "lib/stream.h"
#include "lib/tls_session.h"

static __always_inline void tls__record(struct tls_session *session, const struct tls_call *c,
					int moved)
{
	struct user_buffer buffer = {.base = c->buffer, .length = moved};
	struct socket_state *s = &session->plaintext;
	struct call call = {.pid_tgid = bpf_get_current_pid_tgid(),
			    .process_start_ns = emit__process_start(current_task()),
			    .direction = c->operation & 1,
			    .flags = WEFT_DATA_PLAINTEXT};

	if (!(s->flags & SOCKET_ANNOUNCED))
		return; /* counted where there was no room for it */
	/* A write has happened when the socket took it, which may be before somebody's answer. */
	call.time_ns = c->operation == TLS_WRITE && c->time_ns ? c->time_ns : bpf_ktime_get_ns();
	stream__plaintext(s, &call, moved, c->sequence, &buffer);
	if (s->verdict == VERDICT_OTHER && !session->is_whole && !(s->flags & SOCKET_JOINED)) {
		/* It may have begun before there were probes: look again where it turns. */
		s->flags |= SOCKET_JOINED;
		s->verdict = VERDICT_UNKNOWN;
	}
}

#endif /* WEFT_LIB_TLS_RECORD_H */
