// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The life of every TCP socket: its birth, the ends of its directions, its end. Loaded first and
 * always: the maps that all other objects share are those of this one. */
#include "lib/life.h"
#ifndef WEFT_STATE_HASH
#include "lib/tls.h"
#endif

#ifndef IPPROTO_TCP
#define IPPROTO_TCP 6
#endif

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* So that the layout of every record is in the object's type information, where tests compare it.
 */
const struct weft_connection *record_connection __attribute__((unused));
const struct weft_data *record_data __attribute__((unused));
const struct weft_end *record_end __attribute__((unused));

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int old_state, int new_state)
{
	if (FIELD(sk, sk_protocol) != IPPROTO_TCP || !socket__is_inet(sk))
		return 0; /* not ours */
	switch (new_state) {
	case TCP_ESTABLISHED:
		life__established(sk, old_state);
		break;
	case TCP_CLOSE_WAIT:
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		life__ending(sk, new_state);
		break;
	case TCP_CLOSE:
		life__state_closed(sk);
		break;
	}
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock *sk)
{
	if (FIELD(sk, sk_protocol) != IPPROTO_TCP)
		return 0; /* not ours */
	life__closed(sk);
	socket__forget(sk);
	return 0;
}
