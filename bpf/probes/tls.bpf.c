// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Plaintext out of TLS libraries. The agent finds the libraries and puts these programs at the
 * cheapest places in their functions, by name; nothing here attaches by itself but the hint about
 * new programs. A stream of plaintext is kept like a socket: positions, budget and verdict of its
 * own, under the cookie of the socket that carries its ciphertext. docs/adr/0008 */
#include "lib/tls_record.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Processes that are to be left alone. The agent writes and deletes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u8);
} tls_excluded SEC(".maps");

static __always_inline struct tls_thread *thread__get(__u64 pid_tgid, __u8 operation)
{
	struct tls_thread *t = bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(), 0,
						    BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t) {
		count__drop(WEFT_DROP_NO_STATE);
		return NULL;
	}
	/* Again with each session: a program is known for one to be left alone only when the agent
	 * has looked at it. */
	if (!t->is_probed || operation == TLS_HANDSHAKE) {
		__u32 tgid = pid_tgid >> 32;

		t->is_probed = 1;
		t->is_ignored =
		    tgid == settings.own_tgid || bpf_map_lookup_elem(&tls_excluded, &tgid) != NULL;
	}
	return t->is_ignored ? NULL : t;
}

/* Calls that never came back (a longjmp, an exception) lie deeper in the stack than this one. */
static __always_inline void thread__forget_lost(struct tls_thread *t, __u64 stack)
{
	int i;

	if (t->depth > TLS_DEPTH)
		return;
	for (i = 0; i < TLS_DEPTH; i++)
		if (t->depth && t->calls[(t->depth - 1) & (TLS_DEPTH - 1)].stack <= stack)
			t->depth--;
}

static __always_inline int tls__enter(struct pt_regs *ctx, __u8 operation, __u64 session,
				      __u64 buffer, __u64 moved)
{
	struct tls_thread *t = thread__get(bpf_get_current_pid_tgid(), operation);
	struct tls_call *c;

	if (!t)
		return 0; /* not ours */
	thread__forget_lost(t, PT_REGS_SP(ctx));
	if (t->sent_by) {
		session__vote(t->sent_by, &t->sent);
		t->sent_by = 0;
	}
	c = &t->calls[t->depth & (TLS_DEPTH - 1)];
	if (t->depth++ >= TLS_DEPTH)
		return 0; /* deeper than we look */
	__builtin_memset(c, 0, sizeof(*c));
	c->session = session;
	c->buffer = buffer;
	c->moved = moved;
	c->stack = PT_REGS_SP(ctx);
	c->operation = operation;
	if (t->depth != 1)
		return 0; /* reads what the outer call reads */
	if (t->received_from == TLS_ONE) {
		if (operation == TLS_READ)
			c->sequence = t->received.sequence;
		session__vote(session, &t->received);
	}
	t->received_from = TLS_NONE;
	return 0;
}

/* The call made no socket move: its output, if any, will leave with a later send. */
static __always_inline void thread__note_output(struct tls_thread *t, const struct tls_call *c,
						int result)
{
	if (t->depth || (c->operation == TLS_READ && result > 0))
		return; /* the outer call's business, or nothing was written */
	if (t->written_by != TLS_NONE && t->wrote != c->session) {
		t->written_by = TLS_SEVERAL;
		return;
	}
	t->wrote = c->session;
	t->written_by = TLS_ONE;
}

static __always_inline int tls__leave(struct pt_regs *ctx, int result, bool counts_apart)
{
	struct tls_thread *t = bpf_task_storage_get(&tls_threads, bpf_get_current_task_btf(), 0, 0);
	struct tls_session *session;
	struct tls_call *c;
	__u64 apart = 0;

	if (!t || !t->depth || t->is_ignored)
		return 0; /* not ours, or begun before the probes */
	if (t->depth-- > TLS_DEPTH)
		return 0; /* deeper than we look */
	c = &t->calls[BOUND(t->depth, TLS_DEPTH - 1)];
	if (c->mixed)
		return 0; /* cannot be told */
	if (!c->cookie)
		thread__note_output(t, c, result);
	if (c->operation != TLS_HANDSHAKE && result <= 0) {
		session__interrupt(c);
		return 0; /* nothing moved; the caller comes again (case T65) */
	}
	session = session__find(c->session, c->cookie || c->operation == TLS_HANDSHAKE);
	if (!session)
		return 0; /* no vote yet */
	if (c->cookie) {
		session->is_nested = 1;
		session__bind(session, c->cookie, c->flags);
	}
	if (c->operation == TLS_HANDSHAKE) {
		session->is_whole = 1;
		return 0;
	}
	if (!session->plaintext.cookie)
		return 0; /* no socket is known, or not surely */
	if (session->plaintext.verdict == VERDICT_OTHER ||
	    session->plaintext.verdict == VERDICT_TLS)
		return 0; /* not ours */
	if (counts_apart) {
		if (bpf_probe_read_user(&apart, sizeof(apart), (const void *)c->moved))
			return 0; /* cannot be told */
		result = apart;
	}
	session__resume(session, c);
	if (result > 0)
		tls__record(session, c, result);
	return 0;
}

SEC("uprobe")
int enter_read(struct pt_regs *ctx)
{
	return tls__enter(ctx, TLS_READ, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), 0);
}

SEC("uprobe")
int enter_write(struct pt_regs *ctx)
{
	return tls__enter(ctx, TLS_WRITE, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), 0);
}

SEC("uprobe")
int enter_read_ex(struct pt_regs *ctx)
{
	return tls__enter(ctx, TLS_READ, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx),
			  PT_REGS_PARM4(ctx));
}

SEC("uprobe")
int enter_write_ex(struct pt_regs *ctx)
{
	return tls__enter(ctx, TLS_WRITE, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx),
			  PT_REGS_PARM4(ctx));
}

SEC("uprobe")
int enter_handshake(struct pt_regs *ctx)
{
	return tls__enter(ctx, TLS_HANDSHAKE, PT_REGS_PARM1(ctx), 0, 0);
}

SEC("uprobe")
int leave(struct pt_regs *ctx)
{
	return tls__leave(ctx, PT_REGS_RC(ctx), false);
}

SEC("uprobe")
int leave_ex(struct pt_regs *ctx)
{
	return tls__leave(ctx, PT_REGS_RC(ctx), true);
}

SEC("uprobe")
int forget(struct pt_regs *ctx)
{
	struct tls_session_key key = {.session = PT_REGS_PARM1(ctx),
				      .tgid = bpf_get_current_pid_tgid() >> 32};

	bpf_map_delete_elem(&tls_sessions, &key);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	tls__hint(task->tgid);
	return 0;
}
