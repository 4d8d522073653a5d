// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Go programs: plaintext of crypto/tls, and for whom the goroutines work that write the requests of
 * net/http. The agent puts these programs into each Go file at places that the kernel emulates,
 * never as return probes (Go moves its stacks). Arguments are in Go's registers: AX, BX, CX, …, the
 * goroutine in R14. docs/adr/0012 */
#include "lib/go_session.h"
#include "lib/tls_record.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#ifdef __TARGET_ARCH_x86
#define GO_ARGUMENT_1(ctx) ((ctx)->ax)
#define GO_ARGUMENT_2(ctx) ((ctx)->bx)
#define GO_ARGUMENT_3(ctx) ((ctx)->cx)
#define GO_ARGUMENT_4(ctx) ((ctx)->di)
#define GO_GOROUTINE(ctx) ((ctx)->r14)
#else
#define GO_ARGUMENT_1(ctx) (((struct user_pt_regs *)(ctx))->regs[0])
#define GO_ARGUMENT_2(ctx) (((struct user_pt_regs *)(ctx))->regs[1])
#define GO_ARGUMENT_3(ctx) (((struct user_pt_regs *)(ctx))->regs[2])
#define GO_ARGUMENT_4(ctx) (((struct user_pt_regs *)(ctx))->regs[3])
#define GO_GOROUTINE(ctx) (((struct user_pt_regs *)(ctx))->regs[28])
#endif

/* Programs that have started, for the agent to look at. Programs push, the agent takes; when it is
 * full the oldest goes, and the next round of the agent finds it. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, __u32);
} go_hints SEC(".maps");

/* What goroutines hand to one another: a connection or a request of net/http. */
struct go_errand_key {
	__u64 object;
	__u32 tgid;
	__u32 _pad;
};

/* For whom what was handed over is to be done, a goroutine. Programs write; the least recently used
 * makes room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct go_errand_key);
	__type(value, __u32);
} go_errands SEC(".maps");

static __always_inline __u32 current_tgid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

static __always_inline struct go_call *go__enter(struct pt_regs *ctx, __u8 operation)
{
	static const struct go_call empty = {};
	struct go_call_key key = {.g = GO_GOROUTINE(ctx), .tgid = current_tgid()};
	struct go_call *c = bpf_map_lookup_elem(&go_calls, &key);

	if (!c) {
		bpf_map_update_elem(&go_calls, &key, &empty, BPF_NOEXIST);
		c = bpf_map_lookup_elem(&go_calls, &key);
		if (!c) {
			count__drop(WEFT_DROP_NO_STATE);
			return NULL;
		}
	}
	c->tls.session = GO_ARGUMENT_1(ctx);
	c->tls.cookie = c->tls.time_ns = 0;
	c->tls.sequence = 0;
	c->tls.operation = operation;
	c->tls.mixed = c->tls.has_record = 0;
	return c;
}

static __always_inline bool go__is_ours(const struct tls_session *session)
{
	__u8 verdict = session->plaintext.verdict;

	return verdict != VERDICT_OTHER && verdict != VERDICT_TLS;
}

static __always_inline struct go_call *go__call(struct pt_regs *ctx, __u32 tgid, __u8 operation)
{
	struct go_call_key key = {.g = GO_GOROUTINE(ctx), .tgid = tgid};
	struct go_call *c = bpf_map_lookup_elem(&go_calls, &key);

	return c && c->tls.operation == operation ? c : NULL;
}

/* (*Conn).writeRecordLocked(type, bytes), where Write calls it. */
SEC("uprobe")
int go_enter_write(struct pt_regs *ctx)
{
	struct go_call *c = go__enter(ctx, TLS_WRITE);

	if (c) {
		c->tls.buffer = GO_ARGUMENT_3(ctx);
		c->length = BOUND(GO_ARGUMENT_4(ctx), 0x7fffffff);
	}
	return 0;
}

/* Behind that call: (n, error). Without an error it has written everything. */
SEC("uprobe")
int go_leave_write(struct pt_regs *ctx)
{
	__u32 tgid = current_tgid();
	struct go_call *c = go__call(ctx, tgid, TLS_WRITE);
	struct tls_session *session;

	if (!c || !c->length || GO_ARGUMENT_2(ctx))
		return 0; /* begun before the probes, or failed */
	session = go__session(c, tgid);
	if (session && go__is_ours(session))
		tls__record(session, &c->tls, BOUND(c->length, 0x7fffffff));
	c->length = 0;
	return 0;
}

/* (*Conn).Read(bytes) */
SEC("uprobe")
int go_enter_read(struct pt_regs *ctx)
{
	go__enter(ctx, TLS_READ);
	return 0;
}

struct go_plaintext {
	__u64 from, length;
	__u32 sequence;
};

/* Where the plaintext lies that Read is about to hand over; false when it cannot be told. The stack
 * of `buffers` is free again when the records are written, which older verifiers have room for. */
static __always_inline bool go__plaintext(const struct go_call *c, __u64 offset, __u32 received,
					  struct go_plaintext *text)
{
	struct go_buffers buffers;

	if (bpf_probe_read_user(&buffers, sizeof(buffers), (const void *)(c->tls.session + offset)))
		return false;
	if (text->from == 0) {
		/* The reader itself is about to copy: as much as it has, or there is room for. */
		if (buffers.input.next >= buffers.input.length)
			return false; /* nothing to read */
		text->from = buffers.input.base + buffers.input.next;
		if (text->length > buffers.input.length - buffers.input.next)
			text->length = buffers.input.length - buffers.input.next;
	}
	if (text->from == buffers.input.base)
		text->sequence = go__record_sequence(&buffers, received);
	return true;
}

static __always_inline int go__leave_read(struct pt_regs *ctx, __u64 from, __u64 length)
{
	struct go_plaintext text = {.from = from, .length = length};
	__u32 tgid = current_tgid();
	struct go_call *c = go__call(ctx, tgid, TLS_READ);
	struct tls_session *session = c ? go__session(c, tgid) : NULL;

	if (!session || !go__is_ours(session))
		return 0; /* begun before the probes, not ours, or no socket is known */
	if (!go__plaintext(c, bpf_get_attach_cookie(ctx), session->received, &text))
		return 0; /* cannot be told, or nothing to read */
	c->tls.buffer = text.from;
	c->tls.sequence = text.sequence;
	if ((__s64)text.length > 0)
		tls__record(session, &c->tls, BOUND(text.length, 0x7fffffff));
	return 0;
}

/* memmove(to, from, n), where Read hands over plaintext: bytes.Reader.Read, made a part of it. */
SEC("uprobe")
int go_leave_read_copy(struct pt_regs *ctx)
{
	return go__leave_read(ctx, GO_ARGUMENT_2(ctx), GO_ARGUMENT_3(ctx));
}

/* (*bytes.Reader).Read(bytes), where Read calls it. */
SEC("uprobe")
int go_leave_read_reader(struct pt_regs *ctx)
{
	return go__leave_read(ctx, 0, GO_ARGUMENT_3(ctx));
}

/* (*Conn).clientHandshake or serverHandshake: whatever was known of this address is another's. */
SEC("uprobe")
int go_enter_handshake(struct pt_regs *ctx)
{
	struct tls_session_key key = {.session = GO_ARGUMENT_1(ctx), .tgid = current_tgid()};
	struct tls_session *session;
	struct go_call *c;

	bpf_map_delete_elem(&tls_sessions, &key);
	bpf_map_delete_elem(&go_handshakes, &key);
	session = session__find(key.session, true);
	if (session)
		session->is_whole = 1;
	c = go__call(ctx, key.tgid, TLS_READ);
	if (c && c->tls.session == key.session)
		return 0; /* inside a read, whose events come from the same socket */
	go__enter(ctx, TLS_HANDSHAKE);
	return 0;
}

/* The running goroutine hands `object` on: what is done with it is done for whom it works. */
static __always_inline int go__hand_over(struct pt_regs *ctx, __u64 object)
{
	struct go_errand_key key = {.object = object, .tgid = current_tgid()};
	struct go_process *p = go__process(key.tgid);
	__u32 *known, whom;

	if (!p)
		return 0; /* not looked at yet */
	whom = go__whom(key.tgid, p, GO_GOROUTINE(ctx), false);
	known = bpf_map_lookup_elem(&go_errands, &key);
	if (known)
		*known = whom;
	else if (whom)
		bpf_map_update_elem(&go_errands, &key, &whom, BPF_ANY);
	return 0;
}

static __always_inline int go__take_over(struct pt_regs *ctx, __u64 object)
{
	struct go_errand_key key = {.object = object, .tgid = current_tgid()};
	struct go_process *p = go__process(key.tgid);
	__u32 *whom = bpf_map_lookup_elem(&go_errands, &key);
	__u32 id;

	if (!p || !whom)
		return 0; /* nobody has handed it over */
	id = go__number(GO_GOROUTINE(ctx), p->id_offset);
	if (id && *whom)
		go__works_for(key.tgid, id, *whom);
	return 0;
}

/* (*persistConn).roundTrip(request): the request is left to the connection's own goroutine. */
SEC("uprobe")
int go_hand_over_1(struct pt_regs *ctx)
{
	return go__hand_over(ctx, GO_ARGUMENT_1(ctx));
}

/* (*http2ClientConn).roundTrip(request, …): a goroutine is started for it. */
SEC("uprobe")
int go_hand_over_2(struct pt_regs *ctx)
{
	return go__hand_over(ctx, GO_ARGUMENT_2(ctx));
}

/* persistConnWriter{connection}.Write(bytes) */
SEC("uprobe")
int go_take_over_1(struct pt_regs *ctx)
{
	return go__take_over(ctx, GO_ARGUMENT_1(ctx));
}

/* (*http2clientStream).doRequest(request, …) */
SEC("uprobe")
int go_take_over_2(struct pt_regs *ctx)
{
	return go__take_over(ctx, GO_ARGUMENT_2(ctx));
}

/* runtime.main: a program of a known file starts. The cookie says what is where in it. */
SEC("uprobe")
int go_start(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 tgid = current_tgid(), *births = go__births();

	bpf_map_update_elem(&go_processes, &tgid, &cookie, BPF_ANY);
	if (births)
		__sync_fetch_and_add(births, 1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(go_on_exec, struct task_struct *task)
{
	__u32 tgid = task->tgid;

	bpf_map_delete_elem(&go_processes, &tgid);
	bpf_map_push_elem(&go_hints, &tgid, BPF_EXIST);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(go_on_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid;

	if (task->pid == task->tgid)
		bpf_map_delete_elem(&go_processes, &tgid);
	return 0;
}
