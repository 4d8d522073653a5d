// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The last rung of the data hook: the tracepoints of the system calls themselves. The agent
 * attaches each program to every call of its kind. A call is taken note of when it begins, if its
 * descriptor is a socket of TCP or UDP, and looked at when it is over. What makes no system call
 * (io_uring) is not seen; a position is that of the socket after the call, so calls of two threads
 * in the same direction of a socket may swap their places. */
#define WEFT_STATE_HASH
#include "lib/open_call.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define MMSGHDR_BYTES 64
#define MMSGHDR_LENGTH 56
#define MESSAGES \
	64 /* of one sendmmsg or recvmmsg; what more there are is a hole in the positions */

/* The message of a sendmmsg or recvmmsg that is looked at. One per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct open_call);
} messages SEC(".maps");

/* The socket behind a descriptor of the running task, or null. */
static __always_inline struct sock *socket_of(__u32 descriptor)
{
	struct fdtable *table = BPF_CORE_READ(current_task(), files, fdt);
	struct file **files = FIELD(table, fd), *file = NULL;
	struct socket *socket;

	if (descriptor >= FIELD(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), files + descriptor) || !file)
		return NULL;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = FIELD(file, private_data);
	return socket ? FIELD(socket, sk) : NULL;
}

static __always_inline int enter(__u64 descriptor, __u64 base, __u64 length, __u32 kind,
				 __u32 flags, const __u32 direction)
{
	struct open_call c = {.base = base, .length = length, .kind = kind, .flags = flags};
	struct sock *sk = socket_of(descriptor);
	__u32 protocol = open_call__protocol(sk);

	if (!protocol || (protocol == IPPROTO_UDP && direction == WEFT_RECEIVE))
		return 0; /* not ours */
	c.sk = (__u64)sk;
	open_call__begin(&c);
	return 0;
}

/* Only then has a socket that nobody bound its port. */
static __always_inline bool is_udp(const struct open_call *c)
{
	return open_call__protocol((const struct sock *)c->sk) == IPPROTO_UDP;
}

static __always_inline int leave(struct trace_event_raw_sys_exit *ctx, const __u32 direction)
{
	struct open_call c;
	int ret = ctx->ret;

	if (!open_call__end(&c))
		return 0; /* not ours, or begun before the programs */
	if (direction == WEFT_SEND && is_udp(&c))
		return probe__udp_send((struct sock *)c.sk, ret);
	return open_call__tcp_done((struct sock *)c.sk, &c, ret, direction);
}

static __always_inline int message_done(int ret, const __u32 direction)
{
	__u32 zero = 0;
	struct open_call *c = bpf_map_lookup_elem(&messages, &zero);

	return c ? open_call__tcp_done((struct sock *)c->sk, c, ret, direction) : 0;
}

/* Functions of their own, so that the verifier looks at them once. */
__noinline int message_sent(int ret)
{
	return message_done(ret, WEFT_SEND);
}

__noinline int message_received(int ret)
{
	return message_done(ret, WEFT_RECEIVE);
}

static __always_inline __u32 message_length(const struct open_call *c, __u32 i)
{
	__u32 length = 0;

	bpf_probe_read_user(&length, sizeof(length),
			    (const void *)(c->base + i * MMSGHDR_BYTES + MMSGHDR_LENGTH));
	return length;
}

/* The result is a number of messages; each is a call by itself, of the length that the kernel wrote
 * behind it. */
static __always_inline int leave_messages(struct trace_event_raw_sys_exit *ctx,
					  const __u32 direction)
{
	__u32 zero = 0, count = ctx->ret, i, length;
	struct open_call *c = bpf_map_lookup_elem(&messages, &zero);

	if (!c || !open_call__end(c))
		return 0; /* not ours, or begun before the programs */
	if (direction == WEFT_SEND && is_udp(c))
		return probe__udp_send((struct sock *)c->sk, ctx->ret);
	if (ctx->ret <= 0 || count > MESSAGES)
		return 0; /* nothing moved, or too many to tell */
	c->behind = 0;
	for (i = 0; i < MESSAGES; i++) {
		if (i >= count)
			break;
		c->behind += message_length(c, i);
	}
	for (i = 0; i < MESSAGES; i++) {
		if (i >= count)
			break;
		length = message_length(c, 0);
		c->behind -= length;
		if (direction == WEFT_SEND)
			message_sent(length);
		else
			message_received(length);
		c->base += MMSGHDR_BYTES;
	}
	return 0;
}

/* write, sendto, … */
SEC("tracepoint")
int enter_write(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1], ctx->args[2], BUFFER_FLAT, 0, WEFT_SEND);
}

/* writev, pwritev2 */
SEC("tracepoint")
int enter_writev(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1], ctx->args[2], BUFFER_IOVECS, 0, WEFT_SEND);
}

SEC("tracepoint")
int enter_sendmsg(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1], 0, BUFFER_MSG, ctx->args[2], WEFT_SEND);
}

/* sendfile: the bytes are not the caller's. */
SEC("tracepoint")
int enter_sendfile(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], 0, 0, BUFFER_NONE, 0, WEFT_SEND);
}

SEC("tracepoint")
int enter_splice(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[2], 0, 0, BUFFER_NONE, 0, WEFT_SEND);
}

SEC("tracepoint")
int enter_sendmmsg(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1], 0, BUFFER_MSG, ctx->args[3], WEFT_SEND);
}

SEC("tracepoint")
int leave_sendmmsg(struct trace_event_raw_sys_exit *ctx)
{
	return leave_messages(ctx, WEFT_SEND);
}

SEC("tracepoint")
int leave_send(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx, WEFT_SEND);
}

/* read */
SEC("tracepoint")
int enter_read(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1], ctx->args[2], BUFFER_FLAT, 0, WEFT_RECEIVE);
}

SEC("tracepoint")
int enter_recvfrom(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1], ctx->args[2], BUFFER_FLAT, ctx->args[3],
		     WEFT_RECEIVE);
}

SEC("tracepoint")
int enter_readv(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1], ctx->args[2], BUFFER_IOVECS, 0, WEFT_RECEIVE);
}

SEC("tracepoint")
int enter_recvmsg(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1], 0, BUFFER_MSG, ctx->args[2], WEFT_RECEIVE);
}

SEC("tracepoint")
int enter_recvmmsg(struct trace_event_raw_sys_enter *ctx)
{
	return enter(ctx->args[0], ctx->args[1], 0, BUFFER_MSG, ctx->args[3], WEFT_RECEIVE);
}

SEC("tracepoint")
int leave_recvmmsg(struct trace_event_raw_sys_exit *ctx)
{
	return leave_messages(ctx, WEFT_RECEIVE);
}

SEC("tracepoint")
int leave_receive(struct trace_event_raw_sys_exit *ctx)
{
	return leave(ctx, WEFT_RECEIVE);
}
