/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which socket carries a TLS session, and what is known of its plaintext. Known at once where a
 * socket event lies inside a call of the session; else believed after two votes. */
#ifndef WEFT_LIB_TLS_SESSION_H
#define WEFT_LIB_TLS_SESSION_H

#include "lib/tls.h"

#define VOTES_NEEDED 2

struct tls_session {
	struct socket_state plaintext; /* its cookie is 0 until the socket is known */
	__u64 candidate;	       /* the socket that the votes are for */
	__u8 votes;
	__u8 is_nested;	   /* the library does its own socket calls: votes do not count */
	__u8 is_whole;	   /* seen from its handshake on */
	__u8 begun;	   /* bits of directions: a record was, and its call is to be made again */
	__u32 received;	   /* Go: raw sequence number behind the last byte that was read for it */
	__u32 begun_at[2]; /* raw sequence number of that record */
};

/* Every TLS session with a socket or a vote. Programs write; an entry goes when its session is
 * freed, starts over when its socket is another one, and makes room when it is the least recently
 * used. The agent sets the number. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct tls_session_key);
	__type(value, struct tls_session);
} tls_sessions SEC(".maps");

/* A new session's state; here because it is too large for the stack. */
static const struct tls_session empty_session = {
    .plaintext = {.last = LAST_NONE, .protocol = WEFT_PROTOCOL_HTTP1}};

static __always_inline struct tls_session *session__find(__u64 session, bool make)
{
	struct tls_session_key key = {.session = session, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct tls_session *found = bpf_map_lookup_elem(&tls_sessions, &key);

	if (found || !make)
		return found;
	bpf_map_update_elem(&tls_sessions, &key, &empty_session, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&tls_sessions, &key);
	if (!found)
		count__drop(WEFT_DROP_NO_STATE);
	return found;
}

/* From now on the session's plaintext belongs to this socket. */
static __always_inline void session__bind(struct tls_session *session, __u64 cookie, __u8 flags)
{
	struct socket_state *s = &session->plaintext;

	if (s->cookie != cookie) {
		__u8 is_whole = session->is_whole && !s->cookie;

		__builtin_memset(s, 0, sizeof(*s));
		s->cookie = cookie;
		s->last = LAST_NONE;
		s->protocol = WEFT_PROTOCOL_HTTP1;
		session->is_whole = is_whole;
		session->begun = 0;
	}
	/* What the stream itself has found out stays. */
	s->flags = flags | (s->flags & SOCKET_JOINED);
}

/* A call has moved a part of a record and must be made again. What is written began with the first
 * of such calls, what is read with the last header. */
static __always_inline void session__interrupt(const struct tls_call *c)
{
	struct tls_session *session;
	__u8 bit = 1 << (c->operation & 1);

	if (!c->has_record || c->operation == TLS_HANDSHAKE)
		return;
	session = session__find(c->session, true);
	if (!session || ((session->begun & bit) && c->operation == TLS_WRITE))
		return;
	session->begun |= bit;
	session->begun_at[c->operation & 1] = c->sequence;
}

/* The call that goes on from there has succeeded. */
static __always_inline void session__resume(struct tls_session *session, struct tls_call *c)
{
	__u8 bit = 1 << (c->operation & 1);

	if (!(session->begun & bit))
		return;
	session->begun &= ~bit;
	if (c->operation == TLS_WRITE || !c->has_record)
		c->sequence = session->begun_at[c->operation & 1];
}

/* Somebody saw a socket at work just before or behind a call of this session. Two such sights of
 * the same socket are believed (case T64). */
static __always_inline void session__vote(__u64 which, const struct tls_seen *seen)
{
	struct tls_session *session = session__find(which, true);

	if (!session || session->is_nested)
		return;
	if (session->plaintext.cookie) {
		if (session->plaintext.cookie == seen->cookie)
			session__bind(session, seen->cookie, seen->flags);
		return; /* settled */
	}
	if (session->candidate != seen->cookie) {
		session->candidate = seen->cookie;
		session->votes = 0;
	}
	if (++session->votes >= VOTES_NEEDED)
		session__bind(session, seen->cookie, seen->flags);
}

#endif /* WEFT_LIB_TLS_SESSION_H */
