/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The contract between the BPF programs in bpf/ and the agent in agent/sources/ebpf. The same file
 * is compiled as BPF C, as C11 and as C++20; there is no second copy of any of this.
 *
 * Who writes, who reads. The kernel side writes records into the outbox of the CPU, or into its
 * ring buffer when that is full, and counters into a per-CPU array. The agent reads all three. In
 * the other direction the agent fills `weft_settings` before the load and writes entries of the map
 * `message_ends` while the programs run.
 *
 * Life of a record. A program takes the outbox of its CPU, or reserves room in its ring, fills it
 * and publishes it without waking anybody; the agent empties all of them every few milliseconds,
 * sorts by time and turns records into segments. A record for which there is no room is counted
 * under a drop reason and is gone; the reader notices the hole by the stream positions.
 *
 * Order. Each of them is in order of time up to the length of one program run. They among each
 * other are not: the reader sorts by `time_ns`. A `connection` record stands before the first other
 * record of its socket in the same place; in another it may be late, so the reader takes the
 * connections of a drain first.
 *
 * Clock. Every `_ns` is CLOCK_MONOTONIC, except `process_start_ns`, which is CLOCK_BOOTTIME because
 * that is what identifies a process beside its pid (task->group_leader->start_boottime).
 *
 * Positions. A byte stream has one position per byte and direction, 64 bits, 0 at the birth of the
 * connection. They come from the socket's own sequence numbers, never from summed return values:
 * what bypassed the hooks (splice, a dropped record) is a hole and does not shift what follows. For
 * a socket older than the programs, 0 is where they first met it (WEFT_CONNECTION_JOINED).
 *
 * Byte order. Numbers are in the order of the machine. Addresses are bytes in network order; ports
 * are plain numbers.
 *
 * Fields. Fixed width only; no bool, int, long, enum or pointer; padding is explicit and zero;
 * largest first; the variable tail last.
 *
 * What may change. Kinds and reasons are only ever added; a number is never used again. Any other
 * change raises WEFT_ABI_VERSION, which the agent compares with the constant in the object.
 */
#ifndef WEFT_ABI_H
#define WEFT_ABI_H

#if defined(__cplusplus) || !defined(__bpf__)
#include <stddef.h>
#include <linux/types.h>
#endif

#define WEFT_ABI_VERSION 5

#ifdef __cplusplus
#define WEFT_ABI_ASSERT(condition, text) static_assert(condition, text)
#else
#define WEFT_ABI_ASSERT(condition, text) _Static_assert(condition, text)
#endif
#define WEFT_ABI_LAYOUT(type, size, last, offset)                                                  \
	WEFT_ABI_ASSERT(sizeof(struct type) == (size), #type " has another size");                 \
	WEFT_ABI_ASSERT(__builtin_offsetof(struct type, last) == (offset), #type "." #last " move" \
										 "d")

/* NAME, number, "text" */
#define WEFT_RECORD_KINDS(X)           \
	X(CONNECTION, 1, "connection") \
	X(DATA, 2, "data")             \
	X(END, 3, "end")               \
	X(CLOSED, 4, "closed")         \
	X(SOCKET_OWNER, 5, "socket_owner")

/* Why a record was not written. */
#define WEFT_DROP_REASONS(X)         \
	X(RING_FULL, 0, "ring_full") \
	X(NO_STATE, 1, "no_state")   \
	X(NO_RING, 2, "no_ring")     \
	X(SAMPLED, 3, "sampled")     \
	X(CGROUP_RATE, 4, "cgroup_rate")

#define WEFT_DROP_REASON_COUNT 5

/* What the kernel side took a connection for when it met its first bytes. */
#define WEFT_PROTOCOLS(X)     \
	X(HTTP1, 1, "http/1") \
	X(HTTP2, 2, "http/2")

enum weft_record_kind {
#define WEFT_X(name, number, text) WEFT_RECORD_##name = number,
	WEFT_RECORD_KINDS(WEFT_X)
#undef WEFT_X
};

enum weft_drop_reason {
#define WEFT_X(name, number, text) WEFT_DROP_##name = number,
	WEFT_DROP_REASONS(WEFT_X)
#undef WEFT_X
};

enum weft_protocol {
#define WEFT_X(name, number, text) WEFT_PROTOCOL_##name = number,
	WEFT_PROTOCOLS(WEFT_X)
#undef WEFT_X
};

enum weft_direction { WEFT_SEND = 0, WEFT_RECEIVE = 1 };

/* In a ring, records are reserved in these sizes of tail, so that a length can be a constant in the
 * kernel. */
#define WEFT_CAPTURE_SMALL 256
#define WEFT_CAPTURE_MEDIUM 1024
#define WEFT_CAPTURE_LARGE 4096
#define WEFT_CAPTURE_MAX 16384

/* The first 16 bytes of every record. */
struct weft_record_header {
	__u64 time_ns; /* when the observed call returned */
	__u32 size;    /* of the whole record as it lies in the ring, this header included */
	__u16 kind;    /* enum weft_record_kind */
	__u16 cpu;
};
WEFT_ABI_LAYOUT(weft_record_header, 16, cpu, 14);

#define WEFT_CONNECTION_JOINED 1  /* older than the programs: position 0 is not its first byte */
#define WEFT_CONNECTION_ACTIVE 2  /* this side called connect() */
#define WEFT_CONNECTION_PASSIVE 4 /* this side accepted it */

/* CONNECTION: a TCP socket, once, before anything else of it. SOCKET_OWNER: a UDP socket, once, at
 * its first send; `remote` is zero unless it was connected. */
struct weft_connection {
	struct weft_record_header header;
	__u64 cookie; /* of the socket; unique for the life of the kernel */
	__u64 birth_ns;
	__u64 process_start_ns; /* of the calling process */
	__u32 tgid;
	__u32 netns;	/* inode of the network namespace */
	__u8 local[16]; /* IPv4 in the first four bytes */
	__u8 remote[16];
	__u8 comm[16]; /* of the process, NUL-terminated: a process may be gone before anybody asks
			*/
	__u16 local_port;
	__u16 remote_port;
	__u8 family; /* 4 or 6 */
	__u8 flags;  /* WEFT_CONNECTION_… */
	__u8 _pad[2];
};
WEFT_ABI_LAYOUT(weft_connection, 104, _pad, 102);

#define WEFT_DATA_PLAINTEXT \
	1 /* out of a TLS library: positions count plaintext, `sequence` does not */
#define WEFT_DATA_GOROUTINE \
	2 /* of a Go program: `tid` is a goroutine, the one for whose request the call is made */

/* DATA: a call, or a part of one, that moved `length` bytes; `captured` of them, from
 * `captured_offset` on, follow the struct. The record may have unused room behind them. On HTTP/2 a
 * call may leave several records, which tile it; a frame's bytes are captured unless they are the
 * payload of DATA. */
struct weft_data {
	struct weft_record_header header;
	__u64 cookie;
	__u64 position;		/* of the call's first byte */
	__u64 process_start_ns; /* of the calling process */
	__u32 length;
	__u32 captured;
	__u32 captured_offset; /* from the call's first byte */
	__u32 sequence;	       /* raw TCP sequence number of the call's first byte */
	__u32 tgid;
	__u32 tid;
	__u8 direction; /* enum weft_direction */
	__u8 protocol;	/* enum weft_protocol */
	__u8 flags;	/* WEFT_DATA_… */
	__u8 _pad[5];
};
WEFT_ABI_LAYOUT(weft_data, 72, _pad, 67);

/* END: a direction ended in order at `position`. CLOSED: the socket is gone; the rest is zero. */
struct weft_end {
	struct weft_record_header header;
	__u64 cookie;
	__u64 position;
	__u8 direction;
	__u8 protocol; /* of the connection's data so far */
	__u8 _pad[6];
};
WEFT_ABI_LAYOUT(weft_end, 40, _pad, 34);

#define WEFT_OUTBOX_SMALLEST 65536
#define WEFT_OUTBOX_SLACK 4608 /* a record that begins before the end may lie beyond it */

/* The one value of the array `outboxes` for a CPU; settings.outbox_bytes and the slack follow.
 * Records follow each other, each at a multiple of 8; one that ends at or beyond outbox_bytes is
 * the last before the start is used again. Positions are bytes since the load: masked, they are
 * places. */
struct weft_outbox {
	__u64 written; /* the programs: records before it are whole */
	__u64 taken;   /* a program is writing behind it */
	__u64 _pad[6];
	__u64 consumed; /* the agent: what is before it may be written over */
	__u64 _pad2[7];
};
WEFT_ABI_LAYOUT(weft_outbox, 128, consumed, 64);

/* Read-only data of the object; the agent fills it before the load. */
struct weft_settings {
	__u32 abi_version;
	__u32 own_tgid;		   /* the agent's own calls are not traced */
	__u32 head_bytes;	   /* copied per direction and message; at most WEFT_CAPTURE_MAX */
	__u32 outbox_bytes;	   /* of the outbox of a CPU; a power of two */
	__u32 ring_bytes;	   /* of the ring that it uses when that is full */
	__u32 cgroup_bytes_per_ms; /* that a container may put into rings; 0: any */
	__u32 cgroup_burst;	   /* the same at once, and */
	__u32 cgroup_fill_ms;	   /* how long that takes to be allowed again */
};
WEFT_ABI_LAYOUT(weft_settings, 32, cgroup_fill_ms, 28);

/* The one element of the per-CPU array `counters`. */
struct weft_counters {
	__u64 unread_buffers; /* the call's memory could not be read: the record has its length only
			       */
	__u64 short_heads;    /* records with fewer bytes than they should have, for want of room */
	__u64 drops[WEFT_DROP_REASON_COUNT];
};
WEFT_ABI_LAYOUT(weft_counters, 56, drops, 16);

/* Value of `cgroups`, by the id of a cgroup: a container that has put records into a ring,
 * and what was dropped of it there. */
struct weft_cgroup {
	__u64 filled_ns; /* the bucket, last */
	__u64 tokens;	 /* bytes */
	__u64 drops[WEFT_DROP_REASON_COUNT];
};
WEFT_ABI_LAYOUT(weft_cgroup, 56, drops, 16);

/* Key of `message_ends`; the value is a __u64 position: the message that now travels in this
 * direction ends before it. Written by the agent, deleted by whoever sees it passed. */
struct weft_message_end_key {
	__u64 cookie;
	__u32 direction;
	__u32 _pad;
};
WEFT_ABI_LAYOUT(weft_message_end_key, 16, _pad, 12);

/* `ends_told`: at this place, how many connections have had an entry in `message_ends`. The agent
 * counts; where it is 0, programs need not look for an entry. A power of two of __u32. */
#define WEFT_ENDS_TOLD 4096
#define WEFT_ENDS_TOLD_PLACE(cookie) ((cookie) & (WEFT_ENDS_TOLD - 1))

#endif /* WEFT_ABI_H */
